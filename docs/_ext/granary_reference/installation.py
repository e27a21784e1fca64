"""The installation on one machine: its processes, and the file that configures it."""

from __future__ import annotations

from pathlib import Path

from granary_reference.settings import default, field_texts, shape
from granary_reference.text import code, table
from hub.local.config import LocalConfig, OidcSection
from hub.local.layout import Layout
from hub.local.plan import INTERNAL_PORTS, Place, ProcessPlan, make_plans
from hub.local.secrets import KNOWN_BY

PUBLIC_PORT = 8000

_SHAPES = {
    "oidc": "section",
    "teams": "list of sections",
    "hub_config_files": "list of paths",
    "scopes": "list",
}
"""Where the file is not written as a variable would be."""


def plans() -> list[ProcessPlan]:
    """The processes of an installation as it comes."""
    ports = {name: PUBLIC_PORT + number for number, name in enumerate(INTERNAL_PORTS, start=1)}
    place = Place("127.0.0.1", PUBLIC_PORT, f"http://127.0.0.1:{PUBLIC_PORT}", ports)
    layout = Layout(Path("DIR"))
    return make_plans(layout, LocalConfig(), place, {}, demo=True, version="")


def processes() -> str:
    """One row for each process, in the order in which they are started."""
    rows = [
        [
            code(plan.name),
            plan.title,
            code(f"python -m {plan.argv[plan.argv.index('-m') + 1]}"),
            ", ".join(code(secret) for secret in KNOWN_BY[plan.name]),
            code(plan.health.path) if plan.health.path else "its port listens",
        ]
        for plan in plans()
    ]
    return table(["process", "what", "runs", "secrets it is given", "healthy when this answers"], rows)


def configuration() -> str:
    """Every field of the file that ``granary up --config`` reads."""
    rows = _rows(LocalConfig, "") + _rows(OidcSection, "oidc.")
    return table(["field", "meaning", "value", "default"], rows)


def _rows(model: type[LocalConfig | OidcSection], prefix: str) -> list[list[str]]:
    texts = field_texts(model)
    return [
        [code(prefix + name), texts[name], _SHAPES.get(name) or shape(field), default(field)]
        for name, field in model.model_fields.items()
    ]
