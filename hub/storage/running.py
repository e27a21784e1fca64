"""Running kernels in the database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from hub.domain.running import EndReason, RunningKernel, RunState
from hub.schema import RunningKernelRow


@dataclass(frozen=True)
class RecordedKernel:
    """A running kernel together with what only the control plane cares about."""

    kernel: RunningKernel
    host_kernel_id: str | None
    """None until a host that chooses its own ids has answered."""
    request_id: str
    end_text: str | None = None


def add(session: Session, recorded: RecordedKernel) -> None:
    kernel = recorded.kernel
    session.add(
        RunningKernelRow(
            id=kernel.id,
            owner=kernel.owner,
            team=kernel.team,
            kernel=kernel.kernel,
            version=kernel.version,
            spec_name=kernel.spec_name,
            host=kernel.host,
            host_kernel_id=recorded.host_kernel_id,
            request_id=recorded.request_id,
            state=kernel.state.value,
            started_at=kernel.started_at,
        )
    )
    session.flush()


def get(session: Session, kernel_id: str) -> RecordedKernel | None:
    row = session.get(RunningKernelRow, kernel_id)
    return _recorded(row) if row else None


def by_request(session: Session, owner: str, request_id: str) -> RecordedKernel | None:
    """The kernel that this request started the first time it came."""
    row = session.scalars(
        select(RunningKernelRow).where(
            RunningKernelRow.owner == owner, RunningKernelRow.request_id == request_id
        )
    ).first()
    return _recorded(row) if row else None


def alive(
    session: Session, *, team: str | None = None, owner: str | None = None, host: str | None = None
) -> list[RecordedKernel]:
    """Kernels that have not ended, oldest first, narrowed by whatever is given."""
    live = (RunState.STARTING.value, RunState.RUNNING.value)
    statement = select(RunningKernelRow).where(RunningKernelRow.state.in_(live))
    if team is not None:
        statement = statement.where(RunningKernelRow.team == team)
    if owner is not None:
        statement = statement.where(RunningKernelRow.owner == owner)
    if host is not None:
        statement = statement.where(RunningKernelRow.host == host)
    return [_recorded(row) for row in session.scalars(statement.order_by(RunningKernelRow.started_at))]


def ours_among(session: Session, host: str, host_kernel_ids: Collection[str]) -> dict[str, bool]:
    """Which of these ids at a host are ours, and whether they have ended in our books."""
    statement = select(RunningKernelRow.host_kernel_id, RunningKernelRow.state).where(
        RunningKernelRow.host == host, RunningKernelRow.host_kernel_id.in_(host_kernel_ids)
    )
    return {
        found: state == RunState.ENDED.value
        for found, state in session.execute(statement)
        if found is not None
    }


def confirm(session: Session, kernel_id: str, host_kernel_id: str) -> bool:
    """From starting to running. False if it has ended meanwhile."""
    return _changed(
        session,
        update(RunningKernelRow)
        .where(RunningKernelRow.id == kernel_id, RunningKernelRow.state != RunState.ENDED.value)
        .values(state=RunState.RUNNING.value, host_kernel_id=host_kernel_id),
    )


def end(session: Session, kernel_id: str, reason: EndReason, now: datetime, text: str | None = None) -> bool:
    """End it for good. False if it had ended already; the first reason stays."""
    return _changed(
        session,
        update(RunningKernelRow)
        .where(RunningKernelRow.id == kernel_id, RunningKernelRow.state != RunState.ENDED.value)
        .values(state=RunState.ENDED.value, ended_at=now, end_reason=reason.value, end_text=text),
    )


def _changed(session: Session, statement: object) -> bool:
    result = cast("CursorResult[object]", session.execute(statement))  # type: ignore[call-overload] # an update
    return bool(result.rowcount)


def _recorded(row: RunningKernelRow) -> RecordedKernel:
    kernel = RunningKernel(
        id=row.id,
        owner=row.owner,
        team=row.team,
        kernel=row.kernel,
        version=row.version,
        spec_name=row.spec_name,
        host=row.host,
        state=RunState(row.state),
        started_at=row.started_at,
        ended_at=row.ended_at,
        end_reason=EndReason(row.end_reason) if row.end_reason else None,
    )
    return RecordedKernel(kernel, row.host_kernel_id, row.request_id, row.end_text)
