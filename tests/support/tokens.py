"""A hub as far as token checks go: real HTTP, and faults to order."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hub.domain.people import MANAGE_SCOPE, USE_SCOPE

PEOPLE: dict[str, dict[str, Any]] = {
    "admin": {"groups": ["granary-admins"], "scopes": [USE_SCOPE, MANAGE_SCOPE]},
    "atlas-admin": {
        "groups": ["atlas", "atlas-admins"],
        "scopes": [USE_SCOPE, f"{MANAGE_SCOPE}!group=atlas"],
    },
    "atlas-1": {"groups": ["atlas"], "scopes": [USE_SCOPE]},
    "atlas-2": {"groups": ["atlas"], "scopes": [USE_SCOPE]},
    "atlas-1-powerless": {"name": "atlas-1", "groups": ["atlas"], "scopes": ["read:users!user=atlas-1"]},
    "borealis-admin": {
        "groups": ["borealis", "borealis-admins"],
        "scopes": [USE_SCOPE, f"{MANAGE_SCOPE}!group=borealis"],
    },
    "borealis-1": {"groups": ["borealis"], "scopes": [USE_SCOPE]},
    "both-1": {"groups": ["atlas", "borealis"], "scopes": [USE_SCOPE]},
    "outsider": {"groups": ["elsewhere"], "scopes": [USE_SCOPE]},
    "service-atlas-1": {"name": "atlas-1", "kind": "service", "groups": [], "scopes": [USE_SCOPE]},
    "granary-cli": {"kind": "service", "groups": [], "scopes": [USE_SCOPE, MANAGE_SCOPE]},
}
"""By role; the token of a role is ``token-<role>``."""


def header(role: str, scheme: str = "token") -> dict[str, str]:
    return {"Authorization": f"{scheme} token-{role}"}


@dataclass
class TokenHub:
    """Answers ``GET /hub/api/user``. ``answer_with`` and ``delay_seconds`` make it misbehave."""

    people: dict[str, dict[str, Any]] = field(default_factory=lambda: json.loads(json.dumps(PEOPLE)))
    answer_with: tuple[int, bytes] | None = None
    delay_seconds: float = 0
    asked: list[str] = field(default_factory=list)

    def start(self) -> TokenHub:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hub/api"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: TokenHub  # HTTP/1.0 on purpose: a kept connection would outlive the stopped server

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "")
        self.hub.asked.append(sent)
        time.sleep(self.hub.delay_seconds)
        status, body = self.hub.answer_with or self._truth(sent)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _truth(self, sent: str) -> tuple[int, bytes]:
        role = sent.removeprefix("token token-")
        if self.path != "/hub/api/user" or role not in self.hub.people:
            return 403, b'{"status": 403, "message": "Forbidden"}'
        model = {"name": role, "kind": "user"} | self.hub.people[role]
        return 200, json.dumps(model).encode()

    def log_message(self, *args: Any) -> None:
        pass
