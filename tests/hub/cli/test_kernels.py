"""From a manifest file to a kernel a team may use, by the command line alone."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.hub.cli.conftest import CountingStore, Run
from tests.support.launchers import HostInMemory

Manifest = Callable[..., str]


def test_a_kernel_is_published_offered_and_seen(granary: Run, manifest: Manifest) -> None:
    published = granary("kernel", "publish", manifest(), "--channel", "prod")
    assert published.exit_code == 0, published.output
    assert "Resolving" in published.stdout
    assert "Building" in published.stdout
    assert published.stdout.splitlines()[-1].startswith("Published python-tiny 1.0 (sha256:")

    shown = json.loads(granary("kernel", "show", "python-tiny", "--json").stdout)
    assert shown["channels"] == {"prod": "1.0"}
    assert shown["entitlements"] == {"atlas": ["prod"]}
    assert [release["version"] for release in shown["releases"]] == ["1.0"]

    release = json.loads(granary("kernel", "show", "python-tiny", "--release", "1.0", "--json").stdout)
    assert release["packages"] == [
        {"name": "ipykernel", "version": "0.0.1"},
        {"name": "tiny-part", "version": "1.0"},
    ]
    assert release["published_by"] == "atlas-admin"

    listed = granary("kernel", "list").stdout.splitlines()
    assert listed[0].split() == ["KERNEL", "TEAM", "CHANNELS", "RELEASES", "ENTITLED", "TITLE"]
    assert listed[1].split()[:3] == ["python-tiny", "atlas", "prod"]


def test_the_same_content_again_changes_nothing_and_other_content_is_refused(
    granary: Run, manifest: Manifest, builder: CountingStore
) -> None:
    assert granary("kernel", "publish", manifest()).exit_code == 0
    again = granary("kernel", "publish", manifest(), "--channel", "prod")
    assert again.exit_code == 0
    assert "is published already with this content; nothing has changed." in again.stdout
    assert "granary kernel channel set python-tiny prod 1.0" in again.stdout

    other = granary("kernel", "publish", manifest(requirements=["ipykernel==0.0.1", "tiny-extra==1.0"]))
    assert other.exit_code == 1
    assert other.stderr.startswith("granary: python-tiny 1.0 is published already, with other content.")
    assert other.stderr.rstrip().endswith("[release_exists]")
    assert builder.installed == 1


def test_the_same_content_is_built_once_for_several_kernels(
    granary: Run, manifest: Manifest, builder: CountingStore
) -> None:
    first = json.loads(granary("kernel", "publish", manifest(), "--json").stdout)
    second = json.loads(granary("kernel", "publish", manifest("python-other"), "--json").stdout)
    assert first["artifact_digest"] == second["artifact_digest"]
    assert builder.installed == 1


def test_channels_move_forward_and_back(granary: Run, manifest: Manifest) -> None:
    granary("kernel", "publish", manifest(version="1.0"), "--channel", "prod")
    granary(
        "kernel", "publish", manifest(version="2.0", requirements=["ipykernel==0.0.1", "tiny-extra==2.0"])
    )
    moved = granary("kernel", "channel", "set", "python-tiny", "prod", "2.0", "--reason", "proved itself")
    assert moved.exit_code == 0
    assert moved.stdout.startswith("python-tiny on prod is now 2.0.")
    assert json.loads(granary("kernel", "channel", "list", "python-tiny", "--json").stdout) == {
        "channels": {"prod": "2.0"}
    }
    back = granary("kernel", "channel", "set", "python-tiny", "prod", "1.0", "--json")
    assert json.loads(back.stdout) == {"kernel": "python-tiny", "channel": "prod", "version": "1.0"}
    assert granary("kernel", "channel", "list", "python-tiny").stdout.splitlines()[1].split() == [
        "prod", "1.0", "atlas",
    ]  # fmt: skip
    assert granary("kernel", "channel", "remove", "python-tiny", "prod").exit_code == 0
    assert granary("kernel", "channel", "list", "python-tiny").stdout == "python-tiny has no channels.\n"


def test_a_team_is_entitled_and_disentitled(granary: Run, manifest: Manifest) -> None:
    granary("kernel", "publish", manifest(), "--channel", "prod")
    assert "python-tiny" not in granary("kernel", "list", role="borealis-1").stdout
    entitled = granary("kernel", "entitle", "python-tiny", "borealis", "--channel", "prod")
    assert entitled.stdout == "Team borealis may use python-tiny on prod.\n"
    assert "python-tiny" in granary("kernel", "list", role="borealis-1").stdout
    assert granary("kernel", "disentitle", "python-tiny", "borealis", "--reason", "over").exit_code == 0
    assert "python-tiny" not in granary("kernel", "list", role="borealis-1").stdout


def test_a_member_may_not_publish(granary: Run, manifest: Manifest, builder: CountingStore) -> None:
    refused = granary("kernel", "publish", manifest(), role="atlas-1")
    assert refused.exit_code == 1
    assert "[not_team_admin]" in refused.stderr
    assert builder.installed == 0


def test_a_wrong_manifest_is_told_in_words_and_in_json(granary: Run, manifest: Manifest) -> None:
    wrong = manifest(requirements=["pandas>=2"], variables={"LD_PRELOAD": "x"})
    told = granary("kernel", "publish", wrong)
    assert told.exit_code == 1
    assert "requirements line 1: 'pandas>=2' is not pinned" in told.stderr
    assert "release.variables.LD_PRELOAD" in told.stderr
    body = json.loads(granary("kernel", "publish", wrong, "--json").stdout)
    assert body["code"] == "invalid_manifest"
    assert len(body["details"]["problems"]) == 2


def test_a_build_that_fails_is_told_with_the_end_of_its_output(granary: Run, manifest: Manifest) -> None:
    impossible = manifest(requirements=["ipykernel==0.0.1", "tiny-extra==9.9"])
    failed = granary("kernel", "publish", impossible)
    assert failed.exit_code == 1
    assert "tiny-extra==9.9" in failed.stderr
    assert "[build_failed]" in failed.stderr
    assert json.loads(granary("kernel", "publish", impossible, "--json").stdout)["details"]["output"]
    assert granary("kernel", "show", "python-tiny").exit_code == 1


def test_nothing_is_published_while_no_kernel_can_be_tried(
    granary: Run, manifest: Manifest, host: HostInMemory
) -> None:
    host.down = True
    failed = granary("kernel", "publish", manifest())
    assert failed.exit_code == 3
    assert "[kernel_host_unavailable]" in failed.stderr


def test_running_kernels_are_listed_and_strangers_cannot_stop_them(granary: Run) -> None:
    assert granary("running", "list").stdout == "No kernels are running.\n"
    assert json.loads(granary("running", "list", "--team", "atlas", "--json").stdout) == {"kernels": []}
    unknown = granary("running", "stop", "4a5c2a52-3f4b-4e8f-8f6c-0d6f0f5e7a11")
    assert unknown.exit_code == 1
    assert "[running_kernel_not_found]" in unknown.stderr


@pytest.mark.parametrize(
    ("role", "line"),
    [("atlas-admin", "governs:            atlas"), ("granary-cli", "governs:            everything")],
)
def test_whoami(granary: Run, role: str, line: str) -> None:
    told = granary("whoami", role=role)
    assert told.exit_code == 0
    assert line in told.stdout
    assert json.loads(granary("whoami", "--json", role=role).stdout)["name"] == role
