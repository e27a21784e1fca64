"""Who am I, and what teams are there for me?"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from hub.api.bodies import MeBody, MyTeamBody, TeamsBody
from hub.api.dependencies import Asking, Given
from hub.api.errors import responses
from hub.api.shared import choices_response
from hub.errors import NotFound
from hub.wire import KernelChoicesBody

router = APIRouter(tags=["me"], responses=responses())


@router.get("/me", summary="Whose token this is and what it may do")
async def read_me(person: Asking, given: Given) -> MeBody:
    return MeBody.of(person, await given.catalogue.teams(person))


@router.get("/teams", summary="The governed teams you belong to or govern")
async def list_teams(person: Asking, given: Given) -> TeamsBody:
    teams = await given.catalogue.teams(person)
    return TeamsBody(teams=[MyTeamBody.of(team, person) for team in teams])


@router.get(
    "/teams/{team}/kernel-choices",
    summary="What members of a team may start",
    response_model=KernelChoicesBody,
    responses=responses(NotFound),
)
async def list_kernel_choices(team: str, person: Asking, given: Given) -> Response:
    return choices_response(await given.catalogue.offer_for(person, team))
