"""Running kernels, for the people they belong to and their team's admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.status import HTTP_204_NO_CONTENT

from hub.api.bodies import RunningKernelsBody
from hub.api.dependencies import Asking, Given, Why
from hub.api.errors import responses
from hub.api.shared import KernelId
from hub.errors import NotFound

router = APIRouter(tags=["running kernels"])


@router.get("/running-kernels", summary="Your running kernels, or a team's", responses=responses(NotFound))
async def list_running_kernels(
    person: Asking,
    given: Given,
    team: Annotated[str | None, Query(description="All of this team's; for its admins.")] = None,
) -> RunningKernelsBody:
    return RunningKernelsBody.of(await given.running.visible_to(person, team))


@router.delete(
    "/running-kernels/{kernel_id}",
    status_code=HTTP_204_NO_CONTENT,
    summary="Stop a running kernel",
    responses=responses(NotFound),
)
async def stop_running_kernel(kernel_id: KernelId, person: Asking, why: Why, given: Given) -> None:
    await given.running.stop(person, kernel_id, why)
