"""Two doors of the hub that a scope filtered by group opens too wide, closed to the width of one team.

The hub asks the authenticator's handlers before its own, so these take the place of
the stock ones at the same addresses.
"""

from __future__ import annotations

from typing import Any

from jupyterhub.apihandlers.auth import OAuthAuthorizeHandler
from jupyterhub.apihandlers.users import UserTokenListAPIHandler
from tornado import web

from hub.policies.reach import TEAM_IN_STATE, VISIT, may_make_token, reaches_server


class OwnTokensHandler(UserTokenListAPIHandler):  # type: ignore[misc] # jupyterhub has no types
    """``/hub/api/users/NAME/tokens``: team admins see and revoke tokens, but make none for others.

    Stock, ``tokens!group=T`` makes tokens with all rights of any member of T: those of
    other teams, and a platform admin's.
    """

    async def post(self, user_name: str) -> None:
        requester = self.current_user
        if requester is None:
            raise web.HTTPError(403, "Sign in, or send a token, to make a token.")
        if not may_make_token(self.expanded_scopes, requester=requester.name, owner=user_name):
            raise web.HTTPError(403, "A token speaks for its owner, so only they can make it.")
        await super().post(user_name)


class TeamAuthorizeHandler(OAuthAuthorizeHandler):  # type: ignore[misc] # jupyterhub has no types
    """``/hub/api/oauth2/authorize``: team admins visit servers that work for their team.

    Stock, ``access:servers!group=T`` opens every server of a member of T, also while
    it works for another team.
    """

    @web.authenticated
    async def get(self) -> None:
        self._require_reach()
        await super().get()

    @web.authenticated
    def post(self) -> None:
        self._require_reach()
        super().post()

    def _require_reach(self) -> None:
        client = self.oauth_provider.fetch_by_client_id(self.get_argument("client_id", ""))
        spawner: Any = client.spawner if client is not None else None
        if spawner is None:
            return
        reached = reaches_server(
            self.expanded_scopes,
            VISIT,
            owner=spawner.user.name,
            server=spawner.name,
            team=(spawner.state or {}).get(TEAM_IN_STATE),
        )
        if not reached:
            raise web.HTTPError(403, "This server works for a team that you do not administer.")


HANDLERS = [
    (r"/api/users/([^/]+)/tokens", OwnTokensHandler),
    (r"/api/oauth2/authorize", TeamAuthorizeHandler),
]
