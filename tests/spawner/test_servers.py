"""Servers of real people, started by a real hub: for whom, with what, and what they survive."""

from __future__ import annotations

import contextlib
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.hub import FormReader, RunningHub, Visitor, text_of, wait_until


@pytest.fixture
def visitor(hub: RunningHub) -> Visitor:
    return Visitor(hub)


@contextlib.contextmanager
def stopped_afterwards(hub: RunningHub, name: str) -> Iterator[None]:
    try:
        yield
    finally:
        hub.call("DELETE", f"/users/{name}/server", token=hub.admin_token())
        wait_until(lambda: hub.server(name) is None, f"{name}'s server to stop")


def ready(hub: RunningHub, name: str) -> dict[str, object]:
    def server() -> dict[str, object] | None:
        found = hub.server(name)
        return found if found and found["ready"] else None

    return wait_until(server, f"{name}'s server")  # type: ignore[no-any-return]


def environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)


# -- for whom ------------------------------------------------------------------------------


def test_one_team_is_not_asked_about(hub: RunningHub, visitor: Visitor):
    with stopped_afterwards(hub, "atlas-1"):
        page = visitor.sign_in("atlas-1", "/hub/spawn")
        assert "/hub/spawn-pending/" in str(page.url) or "/user/atlas-1/lab" in str(page.url)
        assert ready(hub, "atlas-1")["user_options"] == {"team": "atlas"}
        assert visitor.get("/user/atlas-1/lab").status_code == 200


def test_two_teams_are_asked_and_the_choice_counts(hub: RunningHub, visitor: Visitor):
    page = visitor.sign_in("both-1", "/hub/spawn")
    assert "Which team does this server work for? Atlas Borealis" in text_of(page.text)
    assert [each["value"] for each in FormReader.of(page.text).inputs] == ["atlas", "borealis"]
    with stopped_afterwards(hub, "both-1"):
        visitor.submit(page, team="borealis")
        assert ready(hub, "both-1")["user_options"] == {"team": "borealis"}
        found = environment(hub.pid_of_server("both-1"))
        assert found["GRANARY_TEAM"] == "borealis"
        assert found["GRANARY_GATEWAY_URL"] == "http://127.0.0.1:9/teams/borealis"
    page = visitor.get("/hub/spawn")
    assert [each["value"] for each in FormReader.of(page.text).inputs if "checked" in each] == ["borealis"]


@pytest.mark.parametrize(
    ("options", "status", "code", "says"),
    [
        ({"team": "borealis"}, 403, "not_a_member", "not a member of a team 'borealis'"),
        ({"team": "nowhere"}, 403, "not_a_member", "You can choose: Atlas (atlas)"),
        ({"team": ["atlas"]}, 400, "invalid_request", "as text"),
        ({"team": "atlas", "cmd": ["sh"]}, 400, "invalid_request", "'cmd'"),
        ({"image": "evil"}, 400, "invalid_request", "'image'"),
    ],
)
def test_the_api_refuses_in_words(
    hub: RunningHub, visitor: Visitor, options: dict[str, object], status: int, code: str, says: str
):
    visitor.sign_in("atlas-2")
    token = visitor.token("atlas-2")
    answer = hub.call("POST", "/users/atlas-2/server", token=token, json={"user_options": options})
    assert (answer.status_code, answer.headers["Granary-Error"]) == (status, code)
    assert says in answer.json()["message"]
    assert hub.server("atlas-2") is None


def test_a_refused_choice_in_the_address_is_not_replaced_by_another(hub: RunningHub, visitor: Visitor):
    page = visitor.sign_in("atlas-2")
    page = visitor.get("/hub/spawn?opt-team=borealis")
    assert page.status_code == 403
    assert "not a member of a team 'borealis'" in text_of(page.text)
    assert [each["value"] for each in FormReader.of(page.text).inputs] == ["atlas"]
    assert hub.server("atlas-2") is None


def test_several_teams_and_no_choice_is_refused(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("both-2")
    answer = hub.call("POST", "/users/both-2/server", token=visitor.token("both-2"))
    assert answer.status_code == 403
    assert answer.json()["message"].startswith(
        "You are in several teams: Atlas (atlas), Borealis (borealis)."
    )


def test_who_left_the_team_of_last_time_is_asked_not_moved(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("both-2")
    token = visitor.token("both-2")
    with stopped_afterwards(hub, "both-2"):
        chosen = {"user_options": {"team": "borealis"}}
        assert hub.call("POST", "/users/both-2/server", token=token, json=chosen).status_code == 201
    hub.provider.set_claims("both-2", preferred_username="both-2", groups=["atlas"])
    visitor.sign_in("both-2")
    answer = hub.call("POST", "/users/both-2/server", token=token)
    assert (answer.status_code, answer.headers["Granary-Error"]) == (403, "not_a_member")
    page = visitor.get("/hub/spawn")
    assert [each["value"] for each in FormReader.of(page.text).inputs] == ["atlas"]


def test_who_left_every_team_gets_no_server(hub: RunningHub, visitor: Visitor):
    hub.provider.set_claims("leaver", preferred_username="leaver", groups=["atlas-admins"])
    page = visitor.sign_in("leaver", "/hub/spawn")
    assert page.status_code == 403
    assert "You are in no team that Granary governs" in text_of(page.text)
    assert "Ask the data desk" in text_of(page.text)


def test_without_control_plane_nothing_starts_and_everybody_is_told(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("atlas-2")
    token = visitor.token("atlas-2")
    hub.control.stop()
    try:
        began = time.monotonic()
        answer = hub.call("POST", "/users/atlas-2/server", token=token, json={"user_options": {}})
        assert time.monotonic() - began < 1
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "control plane is not answering" in answer.json()["message"]
        page = visitor.get("/hub/spawn")
        assert page.status_code == 503
        assert "control plane is not answering" in text_of(page.text)
    finally:
        hub.control.start()


# -- with what -------------------------------------------------------------------------------


def test_what_a_server_is_given(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("atlas-1")
    with stopped_afterwards(hub, "atlas-1"):
        started = hub.call("POST", "/users/atlas-1/server", token=visitor.token("atlas-1"))
        assert started.status_code == 201, started.text
        pid = hub.pid_of_server("atlas-1")
        found = environment(pid)
        given = " ".join([*found.values(), *psutil.Process(pid).cmdline()])
        assert not [name for name, secret in hub.secrets.items() if secret in given]
        assert {name for name in found if name.startswith(("GRANARY_", "CONFIGPROXY"))} == {
            "GRANARY_TEAM",
            "GRANARY_GATEWAY_URL",
        }
        home = hub.directory / "homes" / "atlas-1"
        assert found["HOME"] == found["JUPYTERHUB_ROOT_DIR"] == str(home)
        assert Path(f"/proc/{pid}/cwd").resolve() == home
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        log = hub.directory / "state" / "servers" / "atlas-1.log"
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert found["JUPYTERHUB_API_TOKEN"] not in hub.log("hub") + log.read_text()
        may_do = hub.call("GET", "/user", token=found["JUPYTERHUB_API_TOKEN"]).json()
        assert may_do["groups"] == ["atlas"]
        assert set(may_do["scopes"]) == {
            "access:servers!server=atlas-1/",
            "custom:kernels:use",
            "users:activity!user=atlas-1",
            "read:users:activity!user=atlas-1",
            "read:users:groups!user=atlas-1",
            "read:users:name!user=atlas-1",
        }


def test_the_start_tells_what_is_happening(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("atlas-1")
    with stopped_afterwards(hub, "atlas-1"):
        visitor.get("/hub/spawn")
        with visitor.http.stream("GET", f"{hub.url}/hub/api/users/atlas-1/server/progress") as answer:
            told = "".join(answer.iter_text())
        ready(hub, "atlas-1")
    assert '"ready": true' in told
    steps = ["Asking what your teams allow", "Starting JupyterLab for team Atlas", "Waiting for JupyterLab"]
    assert all(step in told for step in steps) or "Server ready at" in told


# -- what it survives ---------------------------------------------------------------------------


def test_a_killed_hub_finds_the_server_again(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("atlas-1")
    assert hub.call("POST", "/users/atlas-1/server", token=visitor.token("atlas-1")).status_code == 201
    pid = hub.pid_of_server("atlas-1")
    hub.kill("hub")
    assert httpx.get(f"{hub.url}/user/atlas-1/api", timeout=10).status_code == 200
    # As if in the background of a shell: children must not inherit that an interrupt is ignored.
    hub.start_hub(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert ready(hub, "atlas-1")["user_options"] == {"team": "atlas"}
    assert hub.pid_of_server("atlas-1") == pid
    assert visitor.get("/user/atlas-1/lab").status_code == 200
    began = time.monotonic()
    assert hub.call("DELETE", "/users/atlas-1/server", token=hub.admin_token()).status_code in {202, 204}
    wait_until(lambda: not psutil.pid_exists(pid) or _is_zombie(pid), "the server to end")
    assert time.monotonic() - began < 5
    wait_until(lambda: hub.server("atlas-1") is None, "the hub to notice")

    with stopped_afterwards(hub, "atlas-1"):
        assert hub.call("POST", "/users/atlas-1/server", token=visitor.token("atlas-1")).status_code == 201
        status = Path(f"/proc/{hub.pid_of_server('atlas-1')}/status").read_text()
        ignored = int(status.split("SigIgn:")[1].split()[0], 16)
        assert not ignored & (1 << (signal.SIGINT - 1))


def _is_zombie(pid: int) -> bool:
    """Nobody may be there to collect a process whose parent was killed."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_stopped_hub_leaves_servers_alone(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("atlas-1")
    with stopped_afterwards(hub, "atlas-1"):
        assert hub.call("POST", "/users/atlas-1/server", token=visitor.token("atlas-1")).status_code == 201
        began = time.monotonic()
        hub.kill("hub", signal.SIGTERM)
        assert time.monotonic() - began < 5
        assert httpx.get(f"{hub.url}/user/atlas-1/api", timeout=10).status_code == 200
        hub.start_hub()
        ready(hub, "atlas-1")


def test_a_restarted_proxy_has_its_routes_again_within_ten_seconds(hub: RunningHub, visitor: Visitor):
    visitor.sign_in("atlas-1")
    with stopped_afterwards(hub, "atlas-1"):
        assert hub.call("POST", "/users/atlas-1/server", token=visitor.token("atlas-1")).status_code == 201
        hub.kill("proxy")
        hub.start_proxy()
        began = time.monotonic()
        wait_until(lambda: _status(f"{hub.url}/user/atlas-1/api") == 200, "route of the server")
        wait_until(
            lambda: _status(f"{hub.url}/services/granary/api/v1/openapi.json") == 200,
            "route of the control plane",
        )
        assert time.monotonic() - began < 10


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=5).status_code
    except httpx.TransportError:
        return 0
