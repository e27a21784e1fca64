"""Who may see and do what."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hub.domain.people import Person
from hub.domain.running import EndReason, RunningKernel, RunState
from hub.errors import (
    GranaryError,
    KernelNotFound,
    NotAMember,
    NotTeamAdmin,
    RunningKernelNotFound,
    ScopeMissing,
)
from hub.policies.access import may_stop, require_managed, require_member, require_reader, require_visible
from tests.support.catalogue import python_data

ENTRY = python_data()
MEMBER = Person("atlas-1", frozenset({"atlas"}), may_use_kernels=True)
ENTITLED = Person("borealis-1", frozenset({"borealis"}), may_use_kernels=True)
STRANGER = Person("carina-1", frozenset({"carina"}), may_use_kernels=True)
TEAM_ADMIN = Person("atlas-admin", manages=frozenset({"atlas"}))
OTHER_ADMIN = Person("borealis-admin", frozenset({"borealis"}), frozenset({"borealis"}), may_use_kernels=True)
FOREIGN_ADMIN = Person("carina-admin", manages=frozenset({"carina"}))
PLATFORM_ADMIN = Person("admin", manages_all=True)
POWERLESS = Person("atlas-1", frozenset({"atlas"}))


@pytest.mark.parametrize(
    "person", [MEMBER, ENTITLED, TEAM_ADMIN, OTHER_ADMIN, PLATFORM_ADMIN], ids=lambda p: p.name
)
def test_who_sees_a_kernel(person: Person):
    assert require_visible(person, "python-data", ENTRY) is ENTRY


@pytest.mark.parametrize(
    ("person", "error"),
    [(STRANGER, KernelNotFound), (FOREIGN_ADMIN, KernelNotFound), (POWERLESS, ScopeMissing)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_who_does_not(person: Person, error: type[GranaryError]):
    with pytest.raises(error) as hidden:
        require_visible(person, "python-data", ENTRY)
    with pytest.raises(error) as absent:
        require_visible(person, "python-data", None)
    assert hidden.value.message == absent.value.message


@pytest.mark.parametrize("person", [TEAM_ADMIN, PLATFORM_ADMIN], ids=lambda p: p.name)
def test_who_governs_it(person: Person):
    assert require_managed(person, "python-data", ENTRY) is ENTRY


@pytest.mark.parametrize(
    ("person", "error"),
    [
        (MEMBER, NotTeamAdmin),
        (ENTITLED, NotTeamAdmin),
        (OTHER_ADMIN, NotTeamAdmin),
        (FOREIGN_ADMIN, KernelNotFound),
        (STRANGER, KernelNotFound),
        (POWERLESS, ScopeMissing),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_who_does_not_govern_it(person: Person, error: type[GranaryError]):
    with pytest.raises(error):
        require_managed(person, "python-data", ENTRY)


def test_membership():
    require_member(MEMBER, "atlas")
    require_member(TEAM_ADMIN, "atlas")
    require_member(PLATFORM_ADMIN, "atlas")
    with pytest.raises(NotAMember):
        require_member(OTHER_ADMIN, "atlas")
    with pytest.raises(ScopeMissing):
        require_reader(POWERLESS)


RUNNING = RunningKernel(
    "id", "atlas-1", "atlas", "python-data", "1.0", "python-data", "local", RunState.RUNNING,
    datetime(2026, 11, 21, tzinfo=UTC),
)  # fmt: skip


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (MEMBER, EndReason.STOPPED_BY_OWNER),
        (TEAM_ADMIN, EndReason.STOPPED_BY_ADMIN),
        (PLATFORM_ADMIN, EndReason.STOPPED_BY_ADMIN),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_who_stops_a_running_kernel(person: Person, reason: EndReason):
    assert may_stop(person, RUNNING) is reason


@pytest.mark.parametrize(
    "person",
    [
        Person("atlas-2", frozenset({"atlas"}), may_use_kernels=True),
        OTHER_ADMIN,
        POWERLESS,
        Person("atlas-1", may_use_kernels=True, is_service=True),
    ],
    ids=["colleague", "other-admin", "powerless-token", "service-of-that-name"],
)
def test_for_others_it_does_not_exist(person: Person):
    with pytest.raises(RunningKernelNotFound):
        may_stop(person, RUNNING)
