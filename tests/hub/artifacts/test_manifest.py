"""Manifests: every mistake gets a sentence that names its field, and nothing makes the parser crash."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.artifacts.manifest import MAX_REQUIREMENTS, EnvironmentSource, parse_manifest
from hub.artifacts.requirements import pinned_requirement, requirement_name
from hub.domain.resources import Resources
from hub.errors import InvalidManifest

GOOD: dict[str, Any] = {
    "kernel": "python-data",
    "team": "atlas",
    "display_name": "Python data",
    "description": "Two\nlines",
    "language": "python",
    "release": {
        "version": "2026.11.1",
        "environment": {"python": "3.12", "requirements": ["pandas==2.3.3", "IPython_Kernel==7.4.0"]},
        "variables": {"OMP_NUM_THREADS": "2"},
        "resources": {"cpu": "500m", "memory": "2Gi"},
    },
    "channels": ["dev", "dev"],
    "entitlements": {"borealis": ["prod"]},
}

DELETE = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """``GOOD`` with one field set, or removed by ``DELETE``."""
    document = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    section = document
    for parent in parents:
        section = section[parent]
    if value is DELETE:
        del section[last]
    else:
        section[last] = value
    return document


def message_of(document: Any) -> str:
    with pytest.raises(InvalidManifest) as refused:
        parse_manifest(document)
    return refused.value.message


def test_a_good_manifest_is_read() -> None:
    manifest = parse_manifest(GOOD)
    assert (manifest.kernel, manifest.team, manifest.version) == ("python-data", "atlas", "2026.11.1")
    assert manifest.environment == EnvironmentSource(("ipython-kernel==7.4.0", "pandas==2.3.3"), "3.12")
    assert manifest.resources == Resources(cpu_millicores=500, memory_bytes=2 * 2**30)
    assert manifest.variables == {"OMP_NUM_THREADS": "2"}
    assert manifest.channels == ("dev",)
    assert manifest.entitlements == {"borealis": ("prod",)}


def test_what_may_be_left_out_has_a_default() -> None:
    manifest = parse_manifest({
        "kernel": "a",
        "team": "b",
        "release": {"version": "1.0", "environment": {"requirements": ["ipykernel==7.4.0"]}},
    })  # fmt: skip
    assert (manifest.display_name, manifest.description, manifest.language) == ("a", "", "python")
    assert (manifest.channels, manifest.resources, manifest.environment.python) == ((), Resources(), None)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("kernel", DELETE, "kernel is missing."),
        ("kernel", "Python", "kernel: 'Python' cannot name a kernel: use lower-case letters"),
        ("kernel", 7, "kernel must be text; put it in quotes."),
        ("team", "default", "team: 'default' is reserved"),
        ("channles", ["dev"], "channles is unknown; did you mean channels?"),
        ("zebra", 1, "zebra is unknown; known are kernel, team,"),
        ("display_name", "two\nlines", "display_name: write it on one line"),
        ("display_name", "", "display_name is empty"),
        ("display_name", "x" * 81, "display_name is longer than 80 characters."),
        ("description", "bell\a", "description: control characters are not allowed."),
        ("description", "\ud800", "description"),
        ("language", "fortran", "language: environments are built for python only."),
        ("channels", "dev", "channels must be a list"),
        ("channels", ["dev", "Prod"], "channels line 2: 'Prod' cannot name a channel"),
        ("entitlements", ["borealis"], "entitlements must be a mapping"),
        ("entitlements", {"borealis": "prod"}, "entitlements.borealis must be a list"),
        ("entitlements", {"Bore\nalis": ["prod"]}, "cannot name a team"),
        ("release", "2026.11.1", "release must be a mapping"),
        ("release/version", DELETE, "release.version is missing."),
        ("release/version", 2026.11, "release.version must be text; put it in quotes."),
        ("release/version", "latest", "release.version: 'latest' is no release version"),
        ("release/image", "r/x@sha256:0", "release.image: releases made of an image need a cluster"),
        ("release/environment", DELETE, "release.environment is missing."),
        ("release/environment/python", "3", 'release.environment.python: write a minor version in quotes'),
        ("release/environment/python", 3.1, "release.environment.python must be text; put it in quotes."),
        ("release/environment/requirements", [], "requirements is empty; it needs at least 1 entry."),
        ("release/environment/requirements", "pandas==1", "release.environment.requirements must be a list"),
        ("release/environment/requirements", ["a==1"] * (MAX_REQUIREMENTS + 1), "has more than 500 entries."),
        ("release/environment/requirements", ["a==1", "A==2"], "requirements: a is required twice"),
        ("release/environment/requirements_file", "r.txt", "files are read by `granary kernel publish`"),
        ("release/variables", {"LD_PRELOAD": "x"}, "release.variables.LD_PRELOAD: this variable is not"),
        ("release/variables", {"pythonpath": "x"}, "release.variables.pythonpath: this variable is not"),
        ("release/variables", {"A B": "x"}, "release.variables.A B: a variable's name has letters"),
        ("release/variables", {"A\n": "x"}, "a variable's name has letters"),
        ("release/variables", {"N": 2}, "release.variables.N must be text; put it in quotes."),
        ("release/variables", {"N": "\0"}, "release.variables.N: control characters"),
        ("release/variables", {"N": "x" * 4097}, "release.variables.N is longer than 4096 characters."),
        ("release/resources", {"cpu": "many"}, "release.resources: cpu 'many' is not understood"),
        ("release/resources", {"memory": "2 GB"}, "release.resources: memory '2 GB' is not understood"),
        ("release/resources", {"disk": "1"}, "release.resources.disk is unknown; known are cpu, memory."),
        ("release/resources", {"cpu": float("nan")}, "release.resources: cpu"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_with_its_field(path: str, value: Any, told: str) -> None:
    assert told in message_of(changed(path, value))


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONSTARTUP", "JUPYTER_PATH", "JPY_PARENT_PID",
        "GRANARY_PERSON", "KERNEL_USERNAME", "BASH_ENV", "GCONV_PATH", "XDG_RUNTIME_DIR",
    ],
)  # fmt: skip
def test_variables_that_decide_what_runs_are_not_a_releases_to_set(name: str) -> None:
    assert "not a release's to set" in message_of(changed("release/variables", {name: "x"}))


def test_all_mistakes_are_told_at_once_but_not_without_end() -> None:
    message = message_of({"kernel": "X", "release": {"version": 1}})
    assert "kernel: 'X'" in message
    assert "team is missing." in message
    assert "release.version must be text" in message
    many = message_of(changed("release/environment/requirements", ["pandas"] * 400))
    assert many.endswith("There are 390 more mistakes.")


@pytest.mark.parametrize("document", [None, [], "kernel: a", 7, {1: 2}, {None: None}, {}])
def test_what_is_no_mapping_of_names_is_refused(document: Any) -> None:
    assert message_of(document)


def test_numbers_are_taken_as_amounts() -> None:
    manifest = parse_manifest(changed("release/resources", {"cpu": 2, "memory": 1024}))
    assert manifest.resources == Resources(cpu_millicores=2000, memory_bytes=1024)


# -- requirements ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("pandas==2.3.3", "pandas==2.3.3"),
        ("  Pandas == 2.3.3 ", "pandas==2.3.3"),
        ("zope.interface==7.0", "zope-interface==7.0"),
        ("dask[dataframe, array]==2026.1.0", "dask[array,dataframe]==2026.1.0"),
        ("torch==2.9.0+cpu", "torch==2.9.0+cpu"),
        ("tomli==2.0 ; python_version<'3.11'", 'tomli==2.0 ; python_version < "3.11"'),
    ],
)
def test_pinned_requirements_have_one_spelling(text: str, pinned: str) -> None:
    assert pinned_requirement(text) == pinned
    assert pinned_requirement(pinned) == pinned


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pandas", "is not pinned; write one exact version, pandas==<version>"),
        ("pandas>=2", "is not pinned"),
        ("pandas==2.*", "is not pinned"),
        ("pandas===2.3.3", "is not pinned"),
        ("pandas==2,!=2.1", "is not pinned"),
        ("", "it is empty"),
        ("-e .", "is an option"),
        ("--index-url https://x", "is an option"),
        ("-r other.txt", "is an option"),
        ("pandas @ https://x/p.whl", "is an address"),
        ("git+https://github.com/x/y", "is an address"),
        ("./pandas.whl", "is a path"),
        ("pandas-2.3.3-py3-none-any.whl", "is a path"),
        ("pandas==1 # why", "holds a comment"),
        ("pandas==1\n--index-url x", "characters that no requirement has"),
        ("pandas==1; python_version > '${HOME}'", "characters that no requirement has"),
        ("pandas==1 \\", "characters that no requirement has"),
        ("p\u0430ndas==1", "characters that no requirement has"),
        ("x" * 301, "more than 300 characters"),
        ("pandas==", "is no requirement"),
    ],
)
def test_anything_but_a_pin_is_told_apart(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        pinned_requirement(text)
    assert told in str(refused.value)


@given(st.text())
def test_a_requirement_is_one_safe_line_or_refused(text: str) -> None:
    try:
        pinned = pinned_requirement(text)
    except ValueError:
        return
    assert pinned.isascii()
    assert pinned.isprintable()
    assert requirement_name(pinned)
    assert not pinned.startswith("-")


# -- anything at all ---------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from([
    "kernel", "team", "display_name", "description", "language", "channels", "entitlements", "release",
    "release/version", "release/environment", "release/environment/python",
    "release/environment/requirements", "release/variables", "release/resources", "release/resources/cpu",
])  # fmt: skip


@given(anything)
def test_any_document_is_a_manifest_or_an_invalid_one(document: Any) -> None:
    with pytest.raises(InvalidManifest):
        parse_manifest(document)


@given(fields, anything)
def test_any_value_in_any_field_is_read_or_told(path: str, value: Any) -> None:
    message = ""
    try:
        parse_manifest(changed(path, value))
    except InvalidManifest as error:
        message = error.message
    assert not message or path.partition("/")[0] in message
    assert message.encode() is not None


@given(st.dictionaries(st.text(max_size=12), anything, max_size=3))
def test_unknown_fields_are_always_told(extra: dict[str, Any]) -> None:
    document = {**GOOD, **{f"x{name}": value for name, value in extra.items()}}
    if extra:
        assert "is unknown" in message_of(document)
    else:
        parse_manifest(document)
