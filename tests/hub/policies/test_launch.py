"""What of a client's wishes reaches a kernel: hardly anything (T2)."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.policies.launch import CLIENT_ENVIRONMENT, allowed_environment, launch_environment, working_directory
from tests.support.catalogue import a_release

HOSTILE = {
    "KERNEL_USERNAME": "root",
    "KERNEL_IMAGE": "evil:latest",
    "KERNEL_NAMESPACE": "kube-system",
    "KERNEL_UID": "0",
    "KERNEL_VOLUMES": "[]",
    "KERNEL_SERVICE_ACCOUNT_NAME": "admin",
    "KERNEL_WORKING_DIR": "/root",
    "LD_PRELOAD": "/tmp/x.so",
    "PYTHONPATH": "/tmp",
    "PATH": "/tmp",
    "HOME": "/root",
    "USER": "root",
    "GRANARY_PERSON": "somebody",
    "GRANARY_TEAM": "borealis",
    "GRANARY_RELEASE": "0.0",
    "JUPYTERHUB_API_TOKEN": "t",
}


def test_hostile_variables_change_nothing():
    release = a_release()
    plain = launch_environment(release, {}, person="ada", team="atlas")
    assert launch_environment(release, HOSTILE, person="ada", team="atlas") == plain
    assert plain == {
        "OMP_NUM_THREADS": "2",
        "GRANARY_PERSON": "ada",
        "GRANARY_TEAM": "atlas",
        "GRANARY_KERNEL": "python-data",
        "GRANARY_RELEASE": "2026.11.1",
    }


def test_harmless_variables_arrive():
    assert launch_environment(a_release(), {"TZ": "Europe/Oslo"}, person="a", team="b")["TZ"] == "Europe/Oslo"


@given(st.dictionaries(st.sampled_from([*CLIENT_ENVIRONMENT, *HOSTILE]) | st.text(), st.text()))
def test_only_the_list_passes_and_only_printable_values(asked: dict[str, str]):
    passed = allowed_environment(asked)
    assert passed.keys() <= CLIENT_ENVIRONMENT
    assert all(value.isprintable() and len(value) <= 128 for value in passed.values())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, "/homes/ada"),
        ("", "/homes/ada"),
        ("work", "/homes/ada/work"),
        ("/homes/ada/work/x", "/homes/ada/work/x"),
        ("/homes/adam", "/homes/ada"),
        ("/homes/ada/../bob", "/homes/ada"),
        ("../bob", "/homes/ada"),
        ("/", "/homes/ada"),
        ("/etc", "/homes/ada"),
        ("work\0", "/homes/ada"),
        ("x" * 5000, "/homes/ada"),
    ],
)
def test_the_directory_is_in_the_home(asked: str | None, expected: str):
    assert working_directory("/homes/ada", asked) == expected


@given(st.text() | st.lists(st.sampled_from(["..", ".", "/", "a", "homes", "ada"])).map("/".join))
def test_no_wish_leads_out_of_the_home(asked: str):
    path = PurePosixPath(working_directory("/homes/ada", asked))
    assert path.is_relative_to("/homes/ada")
    assert ".." not in path.parts
