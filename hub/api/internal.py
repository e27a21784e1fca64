"""What bridge and spawner ask. Not routed by the public proxy, and closed to people's tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response
from starlette.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from hub.api.dependencies import Given, our_own_process
from hub.api.errors import responses
from hub.api.shared import KernelId, choices_response
from hub.errors import Conflict, NotFound
from hub.services.ordering import StartOrder
from hub.services.running import Granted
from hub.wire import (
    GrantBody,
    GrantedKernelBody,
    GrantedKernelsBody,
    RunningKernelBody,
    SpawnPolicyBody,
    SpawnPolicyRequest,
    StartRequest,
    TeamBody,
)

router = APIRouter(
    prefix="/internal/v1",
    tags=["internal"],
    dependencies=[Depends(our_own_process)],
    responses=responses(NotFound, Conflict),
    include_in_schema=False,
)


@router.get("/teams/{team}/kernel-choices", summary="What a team may start")
async def team_kernel_choices(team: str, given: Given) -> Response:
    return choices_response(await given.catalogue.offer(team))


@router.post(
    "/teams/{team}/running-kernels", status_code=HTTP_201_CREATED, summary="Start a kernel for a person"
)
async def start_kernel(team: str, wanted: StartRequest, given: Given) -> GrantedKernelBody:
    order = StartOrder(team=team, **dict(wanted))
    return _granted_body(await given.running.start(order))


@router.get("/teams/{team}/running-kernels", summary="A person's kernels in a team, with grants")
async def persons_kernels(team: str, person: Annotated[str, Query()], given: Given) -> GrantedKernelsBody:
    found = await given.running.granted(team, person)
    return GrantedKernelsBody(kernels=[_granted_body(granted) for granted in found])


@router.get("/running-kernels/{kernel_id}/grant", summary="The way to a running kernel")
async def kernel_grant(kernel_id: KernelId, given: Given) -> GrantBody:
    return GrantBody.of(await given.running.grant(kernel_id))


@router.delete(
    "/running-kernels/{kernel_id}", status_code=HTTP_204_NO_CONTENT, summary="Stop a person's kernel"
)
async def stop_persons_kernel(
    kernel_id: KernelId, person: Annotated[str, Query()], given: Given, request: Request
) -> None:
    await given.running.stop_own(kernel_id, person, request.state.request_id)


@router.post("/people/{name}/spawn-policy", summary="What a person may spawn")
async def spawn_policy(name: str, asked: SpawnPolicyRequest, given: Given) -> SpawnPolicyBody:  # noqa: ARG001 # limits of one person come with quotas
    teams = await given.catalogue.governed_among(asked.groups)
    return SpawnPolicyBody(teams=[TeamBody.of(team) for team in teams], contact=given.contact)


def _granted_body(granted: Granted) -> GrantedKernelBody:
    return GrantedKernelBody(
        running_kernel=RunningKernelBody.of(granted.kernel), grant=GrantBody.of(granted.grant)
    )
