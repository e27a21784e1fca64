"""Environments: pinned requirements, resolved by uv, built once per content, read-only, kept by digest.

<root>/environments/<hex>/            a finished environment, sealed; it exists whole or not at all
<root>/environments/.<hex>.building   one being built, or left by a builder that died
<root>/environments/.<hex>.lock       held by whoever builds it
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from hub.artifacts.interpreter import Interpreter, find_interpreter
from hub.artifacts.manifest import EnvironmentSource, invalid
from hub.artifacts.tree import discard, exclusive, seal, tree_digest
from hub.artifacts.uv import Progress, Uv, write_lines
from hub.domain.audit import canonical_json
from hub.domain.kernels import Package
from hub.errors import ArtifactMissing, ArtifactTampered, BuildFailed

RESOLVE_TIMEOUT = timedelta(minutes=5)
CREATE_TIMEOUT = timedelta(minutes=1)
INSTALL_TIMEOUT = timedelta(minutes=20)
"""Large environments take minutes on a slow link."""
LOCK_TIMEOUT = timedelta(minutes=25)
"""For another builder of the same environment to finish."""

KERNEL_PACKAGE = "ipykernel"
_NO_KERNEL = (
    f"release.environment.requirements: a kernel needs {KERNEL_PACKAGE}; "
    f"add a line such as {KERNEL_PACKAGE}==7.4.0."
)
RECORD = "granary-environment.json"
"""In every finished environment: what it is, and the digest of its files."""

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", re.MULTILINE)
_LEFT_OVER = re.compile(r"\.([0-9a-f]{64})\.building")


@dataclass(frozen=True)
class ResolvedEnvironment:
    """Exactly which files an environment consists of.

    ``digest`` is ``sha256:<64 hex>`` over the lock, the Python's full version and the platform.
    """

    digest: str
    lock_text: str = field(repr=False)
    """Every package with its version and the hashes of its files."""
    python_version: str
    packages: tuple[Package, ...]
    """Sorted by name."""
    interpreter: Interpreter


class EnvironmentStore:
    """Resolves, builds and finds environments below one directory.

    Safe to use from several threads and processes at once. Calls block; none
    longer than the bounds above.

    Parameters
    ----------
    root
        Created with mode 0700 if it is missing.
    uv
        Path of the program; None is the one installed beside this package.
    environ
        Where the settings of index, proxy and certificates are read; None is this process's.
    """

    def __init__(self, root: Path, uv: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        self._uv = Uv(uv, environ)
        root = root.absolute()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._environments = root / "environments"
        self._environments.mkdir(exist_ok=True)

    def close(self) -> None:
        """End what is being built; half-built directories are cleared by the next build."""
        self._uv.close()

    # -- resolving -----------------------------------------------------------------------

    def resolve(self, environment: EnvironmentSource, progress: Progress) -> ResolvedEnvironment:
        """Choose every package, pinned or implied, with the hashes of its files. Installs nothing.

        Raises
        ------
        InvalidManifest
            No such Python here, or no kernel among the packages.
        BuildFailed
            No set of packages fits, or the index does not answer.
        """
        interpreter = find_interpreter(self._uv, environment.python)
        progress(f"Choosing versions for Python {interpreter.version}")
        with tempfile.TemporaryDirectory(prefix="granary-resolve-") as directory:
            wanted = write_lines(Path(directory), "requirements.in", "\n".join(environment.requirements))
            lock_text = self._uv.run(
                ["pip", "compile", wanted, "--python", interpreter.executable, "--generate-hashes",
                 "--only-binary", ":all:", "--no-header", "--no-annotate", "--no-emit-index-url",
                 "--no-emit-find-links", "--quiet"],
                what="find versions that fit together",
                timeout=RESOLVE_TIMEOUT,
                progress=progress,
            )  # fmt: skip
        packages = tuple(sorted(Package(*found) for found in _LOCKED.findall(lock_text)))
        if not any(package.name == KERNEL_PACKAGE for package in packages):
            raise invalid([_NO_KERNEL])
        progress(f"Chose {len(packages)} packages")
        return ResolvedEnvironment(
            digest=content_digest(lock_text, interpreter),
            lock_text=lock_text,
            python_version=interpreter.version,
            packages=packages,
            interpreter=interpreter,
        )

    # -- building ------------------------------------------------------------------------

    def build(self, resolved: ResolvedEnvironment, progress: Progress) -> Path:
        """Have the environment on disk; returns its directory.

        Built only if it is not there yet; what is there is verified instead. Of several
        builders of one digest the first builds and the others wait for it.

        Raises
        ------
        BuildFailed
        ArtifactTampered
            It was built earlier and its files have been changed since.
        """
        final = self._environments / _hex(resolved.digest)
        lock_file = self._environments / f".{final.name}.lock"

        def waiting() -> None:
            progress("The same content is being built already; waiting for it")

        with exclusive(lock_file, timeout=LOCK_TIMEOUT, waiting=waiting) as lock:
            if lock is None:
                raise BuildFailed(
                    f"Another build of the same content has not finished within {LOCK_TIMEOUT}. Try later."
                )
            if final.exists():
                self.verify(resolved.digest)
                progress("This content is built already")
                return final
            self._clear_left_overs()
            building = self._environments / f".{final.name}.building"
            discard(building)
            try:
                self._install(resolved, building, lock, progress)
                self._record(resolved, building)
                seal(building)
                building.rename(final)
            except OSError as error:
                discard(building)
                raise BuildFailed(f"Could not keep what was built: {error.strerror or error}.") from error
            except BaseException:
                discard(building)
                raise
        return final

    def _install(self, resolved: ResolvedEnvironment, directory: Path, lock: int, progress: Progress) -> None:
        progress(f"Creating an environment of Python {resolved.python_version}")
        self._uv.run(
            # Relocatable: no file in it names the directory it is built in.
            ["venv", str(directory), "--relocatable", "--no-project",
             "--python", resolved.interpreter.executable],
            what="create an environment",
            timeout=CREATE_TIMEOUT,
            keep_open=[lock],
        )  # fmt: skip
        # The mark tells backup programs that this can be fetched again. A release has to outlive its index.
        (directory / "CACHEDIR.TAG").unlink(missing_ok=True)
        progress(f"Installing {len(resolved.packages)} packages")
        locked = write_lines(directory, "requirements.lock", resolved.lock_text)
        self._uv.run(
            # Copies: a hard link would share its permissions, and every change, with uv's cache.
            ["pip", "sync", locked, "--python", str(directory / "bin" / "python"), "--require-hashes",
             "--only-binary", ":all:", "--compile-bytecode", "--link-mode", "copy"],
            what="install the packages",
            timeout=INSTALL_TIMEOUT,
            progress=progress,
            keep_open=[lock],
        )  # fmt: skip

    def _record(self, resolved: ResolvedEnvironment, directory: Path) -> None:
        record = {
            "digest": resolved.digest,
            "python": resolved.python_version,
            "platform": resolved.interpreter.platform,
            "packages": {package.name: package.version for package in resolved.packages},
            "tree": tree_digest(directory, without=RECORD),
        }
        (directory / RECORD).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def _clear_left_overs(self) -> None:
        """Remove half-built environments whose builders are gone."""
        for path in self._environments.iterdir():
            match = _LEFT_OVER.fullmatch(path.name)
            if match is None:
                continue
            lock_file = self._environments / f".{match[1]}.lock"
            with exclusive(lock_file, timeout=timedelta(0)) as lock:
                if lock is not None:
                    discard(path)

    # -- finding -------------------------------------------------------------------------

    def path(self, digest: str) -> Path:
        """Directory of a finished environment. Raises ``ArtifactMissing``."""
        directory = self._environments / _hex(digest)
        if not directory.is_dir():
            raise ArtifactMissing(
                "The files of this release are not in the environment store. Ask an admin to restore them, "
                "or publish the same content again.",
                digest=digest,
            )
        return directory

    def launch_argv(self, digest: str) -> list[str]:
        """Command line of a kernel in the environment, with ``{connection_file}``.

        Raises
        ------
        ArtifactMissing
        """
        python = self.path(digest) / "bin" / "python"
        if not python.exists():
            raise ArtifactMissing(
                f"The Python that this release was built with, {python.resolve()}, is no longer installed. "
                "Install it again, or publish the release under a new version.",
                digest=digest,
            )
        return [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]

    def verify(self, digest: str) -> None:
        """Compare every file with the record made when the environment was built.

        Raises
        ------
        ArtifactMissing, ArtifactTampered
        """
        directory = self.path(digest)
        record = _read_record(directory)
        tree = tree_digest(directory, without=RECORD)
        if record.get("digest") != digest or record.get("tree") != tree:
            raise ArtifactTampered(
                f"The files in {directory} are no longer those that were built. Restore them from a backup, "
                "or remove the directory and publish the same content again.",
                digest=digest,
            )


def content_digest(lock_text: str, interpreter: Interpreter) -> str:
    """What addresses an environment: equal exactly if the same files would be installed."""
    content = {"lock": lock_text, "python": interpreter.version, "platform": interpreter.platform}
    return f"sha256:{hashlib.sha256(canonical_json(content).encode()).hexdigest()}"


def _read_record(directory: Path) -> dict[str, Any]:
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _hex(digest: str) -> str:
    """The digest as a file name. Raises ``ArtifactMissing`` for anything that is no digest."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ArtifactMissing("This is no digest of an environment.", digest=digest[:80])
    return match[1]
