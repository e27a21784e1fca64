"""Rows and values, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session

from hub.domain.audit import Cause, Change, find_broken_link
from hub.domain.kernels import Channel
from hub.domain.people import Team
from hub.domain.publications import Publication, PublicationProblem, PublicationState, PublicationStep
from hub.domain.running import EndReason, RunningKernel, RunState
from hub.schema import TeamRow
from hub.storage import audit, catalogue, publications, revisions, running, teams
from hub.storage.audit import AuditFilter
from hub.storage.engine import for_reading
from hub.storage.running import RecordedKernel
from tests.support.catalogue import ATLAS, BOREALIS, NOON, a_release, an_entry, put, python_data

FAR_AWAY = timezone(timedelta(hours=-9, minutes=-30))


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened


def a_kernel(number: int = 1, owner: str = "atlas-1", team: str = "atlas") -> RecordedKernel:
    kernel = RunningKernel(
        id=f"00000000-0000-4000-8000-{number:012}",
        owner=owner,
        team=team,
        kernel="python-data",
        version="2026.11.1",
        spec_name="python-data.dev",
        host="local",
        state=RunState.STARTING,
        started_at=NOON + timedelta(seconds=number),
    )
    return RecordedKernel(kernel, kernel.id, f"request-{number}")


# -- instants ----------------------------------------------------------------------


def test_instants_come_back_aware_and_in_utc(session: Session):
    teams.save(session, ATLAS, NOON.astimezone(FAR_AWAY))
    session.commit()
    found = session.get(TeamRow, "atlas", populate_existing=True)
    assert found is not None
    assert (found.created_at, found.created_at.tzinfo) == (NOON, UTC)


def test_an_instant_without_a_zone_is_refused(session: Session):
    with pytest.raises(StatementError) as refused:
        teams.save(session, ATLAS, NOON.replace(tzinfo=None))
    assert "time zone" in str(refused.value)


# -- catalogue ---------------------------------------------------------------------


def test_a_catalogue_survives(session: Session):
    other = an_entry(a_release(kernel="r-stats"), kernel="r-stats", owner="borealis")
    put(session, python_data(), other)
    session.commit()
    read = catalogue.all_entries(session)
    without_packages = {
        version: replace(release, packages=()) for version, release in python_data().releases.items()
    }
    assert read["python-data"] == replace(python_data(), releases=without_packages)
    assert read["python-data"] == catalogue.entry(session, "python-data")
    assert list(read) == ["python-data", "r-stats"]
    assert catalogue.release(session, "python-data", "2026.11.1") == a_release()
    assert catalogue.release(session, "python-data", "1.0") is None
    assert catalogue.entry(session, "nothing") is None


def test_a_version_is_written_once(session: Session):
    put(session, python_data())
    session.commit()
    with pytest.raises(IntegrityError):
        catalogue.add_release(session, replace(a_release(), language_version="3.12.0"))


def test_a_channel_points_to_a_release_of_its_own_kernel(session: Session):
    put(session, python_data(), an_entry(a_release("9.9", "r-stats"), kernel="r-stats"))
    session.commit()
    with pytest.raises(IntegrityError):
        catalogue.set_channel(session, Channel("python-data", "prod", "9.9"), "x", NOON)


def test_channels_and_entitlements_go(session: Session):
    put(session, python_data())
    catalogue.delete_channel(session, "python-data", "dev")
    catalogue.revoke(session, "python-data", "borealis")
    catalogue.entitle(session, "python-data", "atlas", {"prod"}, NOON)
    entry = catalogue.entry(session, "python-data")
    assert entry is not None
    assert set(entry.channels) == {"prod"}
    assert {team: set(held.channels) for team, held in entry.entitlements.items()} == {"atlas": {"prod"}}


def test_a_revision_rises(session: Session):
    assert revisions.current(session, revisions.CATALOGUE) == 0
    put(session)
    before = revisions.current(session, revisions.CATALOGUE)
    revisions.raise_revision(session, revisions.CATALOGUE)
    assert revisions.current(session, revisions.CATALOGUE) == before + 1


# -- teams -------------------------------------------------------------------------


def test_a_team_that_leaves_is_kept_but_not_governed(session: Session):
    put(session)
    teams.release_from_governance(session, "borealis")
    session.commit()
    assert list(teams.governed(session)) == ["atlas"]
    assert not teams.is_governed(session, "borealis")
    assert session.get(TeamRow, "borealis") is not None
    teams.save(session, Team("borealis", "Back again", "b"), NOON)
    assert teams.governed(session)["borealis"] == Team("borealis", "Back again", "b")


# -- running kernels -----------------------------------------------------------------


def test_a_running_kernel_from_start_to_end(session: Session):
    put(session, python_data())
    recorded = a_kernel()
    running.add(session, recorded)
    session.commit()
    assert running.get(session, recorded.kernel.id) == recorded
    assert running.by_request(session, "atlas-1", "request-1") == recorded
    assert running.by_request(session, "atlas-2", "request-1") is None

    assert running.confirm(session, recorded.kernel.id, recorded.kernel.id)
    session.expire_all()
    assert [one.kernel.state for one in running.alive(session, team="atlas")] == [RunState.RUNNING]

    assert running.end(session, recorded.kernel.id, EndReason.HOST_LOST, NOON, "gone")
    assert not running.end(session, recorded.kernel.id, EndReason.STOPPED_BY_OWNER, NOON)
    assert not running.confirm(session, recorded.kernel.id, recorded.kernel.id)
    session.expire_all()
    ended = running.get(session, recorded.kernel.id)
    assert ended is not None
    assert (ended.kernel.end_reason, ended.kernel.ended_at, ended.end_text) == (
        EndReason.HOST_LOST,
        NOON,
        "gone",
    )
    assert running.alive(session) == []
    known = {recorded.kernel.id, "stranger"}
    assert running.ours_among(session, "local", known) == {recorded.kernel.id: True}
    assert running.ours_among(session, "elsewhere", known) == {}


def test_running_kernels_are_narrowed(session: Session):
    put(session, python_data())
    mine, colleagues, other_teams = a_kernel(1), a_kernel(2, "atlas-2"), a_kernel(3, team="borealis")
    for one in (mine, colleagues, other_teams):
        running.add(session, one)
    assert running.alive(session, team="atlas", owner="atlas-1") == [mine]
    assert running.alive(session, team="atlas") == [mine, colleagues]
    assert running.alive(session, owner="atlas-1") == [mine, other_teams]
    assert running.alive(session, host="elsewhere") == []


def test_a_request_books_once(session: Session):
    put(session, python_data())
    running.add(session, a_kernel(1))
    session.commit()
    with pytest.raises(IntegrityError):
        running.add(session, replace(a_kernel(2), request_id="request-1"))


# -- publications --------------------------------------------------------------------


def a_publication(number: int = 1) -> Publication:
    return Publication(
        id=f"p{number}",
        kernel="python-data",
        version="2026.11.1",
        team="atlas",
        manifest={"kernel": "python-data", "release": {"version": "2026.11.1", "note": "é\u0000"}},
        state=PublicationState.QUEUED,
        requested_by="atlas-admin",
        request_id="r",
        requested_at=NOON + timedelta(seconds=number),
        check_kernel_id=f"check-{number}",
    )


def test_a_publication_survives(session: Session):
    first, second = a_publication(1), a_publication(2)
    publications.save(session, first)
    publications.save(session, second)
    session.commit()
    assert publications.get(session, "p1") == first
    failed = replace(
        first,
        state=PublicationState.FAILED,
        steps=(PublicationStep("resolving", "…", 1.5), PublicationStep("building", "pandas", None)),
        problem=PublicationProblem("build_failed", "No.", {"package": "pandas"}),
        artifact_digest="sha256:0",
        finished_at=NOON,
    )
    publications.save(session, failed)
    session.commit()
    session.expire_all()
    publications.save(session, replace(failed, state=PublicationState.BUILDING, finished_at=None))
    session.expire_all()
    assert publications.get(session, "p1") == failed
    assert publications.of_version(session, "python-data", "2026.11.1") == [second, failed]
    assert publications.unfinished(session) == [second]
    assert publications.checks_among(session, {"check-1", "check-2", "x"}) == {
        "check-1": True,
        "check-2": False,
    }
    assert publications.get(session, "p9") is None


# -- audit -----------------------------------------------------------------------------


def tell(session: Session, number: int, team: str | None = "atlas", action: str = "channel.set") -> None:
    change = Change(action, f"s{number}", team, "why", {"x": [1, None, "é"]}, None)
    audit.append(session, change, Cause(f"a{number}", f"r{number}"), NOON + timedelta(minutes=number))


def test_the_chain_is_whole_and_shows_an_edit(session: Session):
    for number in range(5):
        tell(session, number)
    session.commit()
    assert [record.seq for record in audit.whole_chain(session)] == [1, 2, 3, 4, 5]
    assert find_broken_link(audit.whole_chain(session)) is None
    session.execute(text("UPDATE audit SET reason = 'forged' WHERE seq = 3"))
    session.expire_all()
    broken = find_broken_link(audit.whole_chain(session))
    assert broken is not None
    assert broken.seq == 3
    session.rollback()
    session.execute(text("DELETE FROM audit WHERE seq = 2"))
    session.expire_all()
    broken = find_broken_link(audit.whole_chain(session))
    assert broken is not None
    assert "2 is missing" in broken.problem


def test_records_are_found(session: Session):
    tell(session, 1)
    tell(session, 2, team="borealis")
    tell(session, 3, team=None, action="channels.x")
    tell(session, 4, action="channel_set")

    def found(**wanted: object) -> list[int]:
        return [record.seq for record in audit.find(session, AuditFilter(**wanted))]

    assert found() == [4, 3, 2, 1]
    assert found(limit=2) == [4, 3]
    assert found(before_seq=3) == [2, 1]
    assert found(teams={"borealis"}) == [2]
    assert found(teams=set()) == []
    assert found(actor="a3") == [3]
    assert found(action="channel.") == [2, 1]
    assert found(action="channel.set") == [2, 1]
    assert found(subject="s1") == [1]
    assert found(since=NOON + timedelta(minutes=2), until=NOON + timedelta(minutes=4)) == [3, 2]


# -- transactions ------------------------------------------------------------------------


def test_a_reader_sees_one_state_and_changes_nothing(engine: Engine):
    with Session(engine) as writing:
        put(writing)
        writing.commit()
    with Session(for_reading(engine)) as reading, Session(engine) as writing:
        before = teams.governed(reading)
        teams.save(writing, Team("carina", "Carina", "c"), NOON)
        writing.commit()
        assert teams.governed(reading) == before
        reading.rollback()
        assert set(teams.governed(reading)) == {"atlas", "borealis", "carina"}
        assert BOREALIS in teams.governed(reading).values()
