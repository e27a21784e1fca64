"""What a token's scopes make of a person. Whatever is not understood grants nothing."""

from __future__ import annotations

import pytest

from hub.domain.people import person_from_hub


def read(*scopes: str):
    return person_from_hub("ada", kind="user", groups=["atlas"], scopes=scopes)


def test_the_plain_scopes():
    person = read("custom:kernels:use", "custom:kernels:manage!group=atlas")
    assert person.may_use_kernels
    assert person.may_manage("atlas")
    assert not person.may_manage("borealis")


def test_unfiltered_manage_is_for_every_team():
    assert read("custom:kernels:manage").may_manage("borealis")


@pytest.mark.parametrize(
    "scope",
    [
        "custom:kernels:manage!user=ada",
        "custom:kernels:manage!group",
        "custom:kernels:manage!",
        "custom:kernels:manages",
        "xcustom:kernels:manage",
        "custom:kernels:manage!service=granary",
    ],
)
def test_other_filters_and_lookalikes_grant_nothing(scope: str):
    person = read(scope)
    assert not person.manages_all
    assert not person.may_manage("atlas")
    assert not person.may_manage("")
    assert not person.may_use_kernels


def test_membership_alone_grants_no_use():
    assert not read("users:activity!user").may_use_kernels
