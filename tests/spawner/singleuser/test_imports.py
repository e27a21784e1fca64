"""The start stays light, and what was left out is not missed."""

from __future__ import annotations

import json
import subprocess
import sys

NEVER_LOADED = [
    "alembic",
    "arrow",
    "httpx",
    "jupyterhub.orm",
    "pydantic",
    "requests",
    "rfc3987_syntax.utils",
    "sqlalchemy",
]

LIGHT = """
from spawner.singleuser.imports import block_unused, keep_node_out, stand_ins
block_unused()
with stand_ins():
    keep_node_out()
    from jupyterlab import labapp
    from spawner.singleuser import extension
"""

SCOPES = """
import itertools, json
from jupyterhub.services.auth import HubOAuth
held = ["access:servers", "access:servers!user=ada", "access:servers!server=ada/",
        "access:servers!server=ada/x", "access:servers!user=bob", "access:servers!group=atlas",
        "read:users!user=ada", "self"]
asked = [["access:servers!server=ada/", "access:servers!user=ada"],
         ["access:servers!server=ada/x"], ["custom:x"]]
auth = HubOAuth(api_token="x", hub_host="", oauth_client_id="x", cache_max_age=0)
print(json.dumps([sorted(auth.check_scopes(a, {"name": "ada", "scopes": [h, i]}))
                  for a in asked for h, i in itertools.product(held, held)]))
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_user_server_never_uses_is_not_loaded() -> None:
    loaded = set(
        json.loads(
            run(LIGHT + "import json, sys\nprint(json.dumps([n for n, m in sys.modules.items() if m]))")
        )
    )
    assert "jupyterlab.labapp" in loaded
    assert not loaded.intersection(NEVER_LOADED)


def test_access_is_decided_as_with_everything_loaded() -> None:
    assert run(LIGHT + SCOPES) == run(SCOPES)


def test_a_stand_in_gives_way_to_the_module_once_it_is_used() -> None:
    assert run(LIGHT + "import jupyterhub.scopes as s\nprint(s.orm.User.__tablename__)").strip() == "users"
