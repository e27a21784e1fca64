"""Manifest files: what YAML can do to people, and what a file from elsewhere could try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.artifacts.manifest import parse_manifest
from hub.cli.manifests import MAX_FILE_BYTES, load_manifest
from hub.demo import demo_manifests
from hub.errors import InvalidManifest


def load(folder: Path, text: str | bytes) -> dict[str, Any]:
    path = folder / "manifest.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_manifest(path)


def refusal_of(folder: Path, text: str | bytes) -> str:
    with pytest.raises(InvalidManifest) as refused:
        load(folder, text)
    return refused.value.message


def with_requirements_file(name: str) -> str:
    return f"kernel: a\nrelease:\n  environment:\n    requirements_file: {name}\n"


def test_everything_is_the_text_that_was_written(tmp_path: Path) -> None:
    document = load(
        tmp_path, "kernel: no\nrelease:\n  version: 2026.10\n  when: 2026-11-01\n  n: 010\n  e:\n"
    )
    assert document == {
        "kernel": "no",
        "release": {"version": "2026.10", "when": "2026-11-01", "n": "010", "e": ""},
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kernel: a\nkernel: b\n", "manifest.yaml line 2: kernel is there twice."),
        ("release:\n  version: 1\n  version: 2\n", "manifest.yaml line 3: version is there twice."),
        ("a: &x [1]\nb: *x\n", "manifest.yaml line 2: aliases (*name) are not allowed."),
        ("a: &a [*a]\n", "aliases (*name) are not allowed"),
        ("[a, b]: 1\n", "a name must be plain text"),
        ("a: [1\n", "manifest.yaml line 2"),
        ("a: b: c\n", "manifest.yaml line 1"),
        ("a: 1\n---\nb: 2\n", "manifest.yaml line 2"),
        ("", "is no manifest: it must begin with `kernel:`."),
        ("- a\n", "is no manifest"),
        ("just text", "is no manifest"),
        (b"kernel: \xff\n", "is not UTF-8 text"),
        ("kernel: \x00\n", "is no YAML that can be read"),
        ("a: " + "[" * 20_000, "is no YAML that can be read"),
        ("a: " + "x" * MAX_FILE_BYTES, "is larger than 256 KiB"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str | bytes, told: str) -> None:
    assert told in refusal_of(tmp_path, text)


def test_a_tag_makes_no_object(tmp_path: Path) -> None:
    document = load(tmp_path, "kernel: !!python/object/apply:os.getcwd []\nn: !!int 3\n")
    assert document == {"kernel": [], "n": "3"}


def test_a_requirements_file_is_inlined(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "r.txt").write_text(
        "# ours\npandas==2.3.3  # pinned\n\n  numpy==2.3.5\na==1;b#c\n"
    )
    document = load(tmp_path, with_requirements_file("locked/r.txt"))
    assert document["release"]["environment"] == {
        "requirements": ["pandas==2.3.3", "numpy==2.3.5", "a==1;b#c"]
    }


@pytest.mark.parametrize(
    "name", ["../secret.txt", "/etc/hostname", "link.txt", "missing.txt", "folder", "''", '"\\0"', "~/x"]
)
def test_no_file_outside_the_manifests_folder_is_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "project"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("hunter2==1\n")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert "is no file in the manifest's folder" in refusal_of(folder, with_requirements_file(name))


@pytest.mark.parametrize("line", ["pandas==1 --hash=sha256:00", "pandas==1 \\"])
def test_hashes_are_not_dropped_silently(tmp_path: Path, line: str) -> None:
    (tmp_path / "r.txt").write_text(f"numpy==2.3.5\n{line}\n")
    told = refusal_of(tmp_path, with_requirements_file("r.txt"))
    assert told == "r.txt line 2: write plain name==version lines; publishing records hashes."


def test_requirements_come_from_one_place(tmp_path: Path) -> None:
    text = with_requirements_file("r.txt") + "    requirements: [a==1]\n"
    assert "not both" in refusal_of(tmp_path, text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_file_is_a_mapping_or_refused(tmp_path: Path, content: str | bytes) -> None:
    data = content.encode(errors="surrogatepass") if isinstance(content, str) else content
    try:
        document = load(tmp_path, data)
    except InvalidManifest:
        return
    assert isinstance(document, dict)


def test_the_demo_kernels_are_valid_and_stand_where_they_should() -> None:
    manifests = [parse_manifest(load_manifest(path)) for path in demo_manifests()]
    offered = {(found.kernel, found.version): found.channels for found in manifests}
    assert offered == {
        ("python-base", "2026.11.1"): ("prod",),
        ("python-data", "2026.10.1"): ("prod",),
        ("python-data", "2026.11.1"): ("dev",),
    }
    assert {found.team for found in manifests} == {"atlas"}
    assert [dict(found.entitlements) for found in manifests] == [{"borealis": ("prod",)}, {}, {}]
    pandas = [line for found in manifests for line in found.environment.requirements if "pandas" in line]
    assert len(set(pandas)) == 2
