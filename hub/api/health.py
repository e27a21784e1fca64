"""For supervisors and the curious: is it alive, and what is where?"""

from __future__ import annotations

from fastapi import APIRouter

from hub.api.dependencies import Given
from hub.api.edge import HEALTH_PATH
from hub.wire import Body

router = APIRouter(include_in_schema=False)
index_router = APIRouter(include_in_schema=False)


class HealthBody(Body):
    status: str


class IndexBody(Body):
    """Where a client finds the rest, relative to this address."""

    service: str
    api: str
    openapi: str


@router.get(HEALTH_PATH, summary="Whether this process can work: it reaches its database")
async def read_health(given: Given) -> HealthBody:
    await given.database.ping()
    return HealthBody(status="ok")


@index_router.get("", summary="What is here")
@index_router.get("/", summary="What is here")
async def read_index() -> IndexBody:
    return IndexBody(service="granary", api="api/v1", openapi="api/v1/openapi.json")
