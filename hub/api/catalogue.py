"""Kernels, releases, channels and entitlements."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.status import HTTP_204_NO_CONTENT

from hub.api.bodies import (
    ChannelBody,
    ChannelRequest,
    EntitlementBody,
    EntitlementRequest,
    KernelBody,
    KernelsBody,
    Reason,
    ReleaseBody,
)
from hub.api.dependencies import Asking, Given, Why
from hub.api.errors import responses
from hub.errors import NotFound

router = APIRouter(tags=["catalogue"], responses=responses(NotFound))


@router.get("/kernels", summary="The kernels you may see", responses=responses())
async def list_kernels(person: Asking, given: Given) -> KernelsBody:
    entries = await given.catalogue.kernels(person)
    return KernelsBody(kernels=[KernelBody.of(entry) for entry in entries])


@router.get("/kernels/{kernel}", summary="A kernel with its releases, channels and entitlements")
async def read_kernel(kernel: str, person: Asking, given: Given) -> KernelBody:
    return KernelBody.of(await given.catalogue.kernel(person, kernel))


@router.get("/kernels/{kernel}/releases/{version}", summary="A release with its packages")
async def read_release(kernel: str, version: str, person: Asking, given: Given) -> ReleaseBody:
    return ReleaseBody.of(await given.catalogue.release(person, kernel, version))


@router.put("/kernels/{kernel}/channels/{channel}", summary="Point a channel at a release")
async def set_channel(
    kernel: str, channel: str, wanted: ChannelRequest, person: Asking, why: Why, given: Given
) -> ChannelBody:
    target = await given.governance.set_channel(
        person, why, kernel=kernel, channel=channel, version=wanted.version, reason=wanted.reason
    )
    return ChannelBody(kernel=kernel, channel=channel, version=target.version)


@router.delete(
    "/kernels/{kernel}/channels/{channel}",
    status_code=HTTP_204_NO_CONTENT,
    summary="Remove a channel; its release stays",
)
async def delete_channel(
    kernel: str,
    channel: str,
    person: Asking,
    why: Why,
    given: Given,
    reason: Annotated[Reason, Query()] = "",
) -> None:
    await given.governance.delete_channel(person, why, kernel=kernel, channel=channel, reason=reason)


@router.put("/kernels/{kernel}/entitlements/{team}", summary="Let a team use channels of a kernel")
async def set_entitlement(
    kernel: str, team: str, wanted: EntitlementRequest, person: Asking, why: Why, given: Given
) -> EntitlementBody:
    granted = await given.governance.entitle(
        person, why, kernel=kernel, team=team, channels=wanted.channels, reason=wanted.reason
    )
    return EntitlementBody(kernel=kernel, team=team, channels=sorted(granted.channels))


@router.delete(
    "/kernels/{kernel}/entitlements/{team}",
    status_code=HTTP_204_NO_CONTENT,
    summary="Take a kernel away from a team; what runs goes on",
)
async def delete_entitlement(
    kernel: str,
    team: str,
    person: Asking,
    why: Why,
    given: Given,
    reason: Annotated[Reason, Query()] = "",
) -> None:
    await given.governance.revoke(person, why, kernel=kernel, team=team, reason=reason)
