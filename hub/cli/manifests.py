"""Manifest files: YAML with every trap taken out, requirements read from beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from hub.errors import InvalidManifest

MAX_FILE_BYTES = 256 * 2**10

_COMMENT = re.compile(r"(?:^|\s)#.*")
"""As pip reads it: a # after white space begins one."""


class _PlainLoader(yaml.BaseLoader):
    """YAML as mappings, lists and text, nothing else.

    Text only: ``version: 2026.10`` and ``python: 3.10`` stay what was written instead
    of becoming numbers that lost a zero. No aliases: a few of them expand to
    gigabytes. No key twice: one of the two would win silently.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            place = self.get_event().start_mark  # type: ignore[no-untyped-call] # the stubs leave it untyped
            raise yaml.MarkedYAMLError(None, None, "aliases (*name) are not allowed", place)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(None, None, "a name must be plain text", key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(None, None, f"{key.value[:80]} is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def load_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest file; its ``requirements_file`` is replaced by the requirements in it.

    What the fields hold is for the control plane to judge.

    Raises
    ------
    InvalidManifest
    """
    try:
        document = yaml.load(_text(path), Loader=_PlainLoader)  # noqa: S506 # it builds text, lists, mappings
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" line {mark.line + 1}" if mark else ""
        raise InvalidManifest(f"{path.name}{where}: {error.problem or 'this is no YAML'}.") from None
    except (yaml.YAMLError, RecursionError):
        raise InvalidManifest(f"{path.name} is no YAML that can be read.") from None
    if not isinstance(document, dict):
        raise InvalidManifest(f"{path.name} is no manifest: it must begin with `kernel:`.")
    _inline_requirements(document, path)
    return document


def _inline_requirements(document: dict[str, Any], manifest: Path) -> None:
    release = document.get("release")
    environment = release.get("environment") if isinstance(release, dict) else None
    if not isinstance(environment, dict) or "requirements_file" not in environment:
        return
    name = environment.pop("requirements_file")
    if "requirements" in environment:
        raise InvalidManifest("release.environment: give requirements or requirements_file, not both.")
    if not isinstance(name, str):
        raise InvalidManifest("release.environment.requirements_file must be the name of a file.")
    environment["requirements"] = _requirements(_beside(manifest, name))


def _beside(manifest: Path, name: str) -> Path:
    """The file ``name`` in the manifest's folder or below: a manifest from elsewhere reads nothing else."""
    folder = manifest.resolve().parent
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder) and path.is_file()
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not inside:
        raise InvalidManifest(
            f"release.environment.requirements_file: {name[:200]!r} is no file in the manifest's folder."
        )
    return path


def _requirements(path: Path) -> list[str]:
    requirements = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        requirement = _COMMENT.sub("", line).strip()
        if "--hash" in requirement or requirement.endswith("\\"):
            raise InvalidManifest(
                f"{path.name} line {number}: write plain name==version lines; publishing records hashes."
            )
        if requirement:
            requirements.append(requirement)
    return requirements


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidManifest(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise InvalidManifest(f"{path.name} is larger than {MAX_FILE_BYTES // 2**10} KiB.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidManifest(f"{path.name} is not UTF-8 text.") from None
