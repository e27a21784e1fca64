"""Publishing releases."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from starlette.status import HTTP_200_OK, HTTP_202_ACCEPTED

from hub.api.bodies import PublicationBody
from hub.api.dependencies import Asking, Given, Why
from hub.api.errors import responses
from hub.errors import Conflict, NotFound

router = APIRouter(tags=["publications"])

_FINISHED: dict[int | str, dict[str, Any]] = {
    HTTP_200_OK: {"model": PublicationBody, "description": "This content is published already"},
}


@router.post(
    "/kernels/{kernel}/releases",
    status_code=HTTP_202_ACCEPTED,
    summary="Publish a release from a manifest",
    responses={**responses(NotFound, Conflict), **_FINISHED},
)
async def publish_release(
    kernel: str,
    manifest: Annotated[dict[str, Any], Body(description="The manifest as JSON.")],
    person: Asking,
    why: Why,
    given: Given,
    response: Response,
) -> PublicationBody:
    published = await given.publishing.submit(person, why, kernel, manifest)
    if published.publication.state.finished:
        response.status_code = HTTP_200_OK
    return PublicationBody.of(published.publication, published.release)


@router.get(
    "/publications/{publication_id}",
    summary="How far a publication has come",
    responses=responses(NotFound),
)
async def read_publication(publication_id: str, person: Asking, given: Given) -> PublicationBody:
    published = await given.publishing.find(person, publication_id)
    return PublicationBody.of(published.publication, published.release)
