"""Nothing is missing in the reference.

Names are found in the sources, not by the generators that wrote the pages.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from gateway_bridge import rules
from hub.api import internal
from hub.app import API_PREFIX
from hub.artifacts import manifest
from hub.cli import main
from hub.domain import people
from hub.local.config import LocalConfig, OidcSection
from hub.local.secrets import KNOWN_BY
from tests.support.pages import Site

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path for package in ("hub", "spawner", "gateway_bridge") for path in (ROOT / package).rglob("*.py")
]


def classes() -> Iterator[ast.ClassDef]:
    for path in SOURCES:
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))


def error_codes() -> Iterator[str]:
    """Values of ``code = "…"`` in classes, wherever they are."""
    for item in (item for found in classes() for item in found.body):
        match item:
            case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                yield code


def settings_fields() -> Iterator[str]:
    """Fields of the classes that derive from ``ProcessSettings``."""
    for found in classes():
        if "ProcessSettings" in [ast.unparse(base) for base in found.bases]:
            for item in found.body:
                match item:
                    case ast.AnnAssign(target=ast.Name(id=name)):
                        yield name


def variables() -> set[str]:
    """Every ``GRANARY_…`` in the sources."""
    variable = re.compile(r"\bGRANARY_[A-Z][A-Z_]+[A-Z]\b")
    return {name for path in SOURCES for name in variable.findall(path.read_text())}


def command_words(name: str, command: click.Command) -> Iterator[tuple[str, list[str], list[str]]]:
    """Every visible command with the names of its options and its arguments."""
    context = click.Context(command, info_name=name)
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    options = [
        word for item in shown if isinstance(item, click.Option) for word in item.opts + item.secondary_opts
    ]
    arguments = [item.make_metavar(context) for item in shown if isinstance(item, click.Argument)]
    yield name, options, arguments
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from command_words(f"{name} {child}", found)


def test_every_error_code(site: Site) -> None:
    codes = set(error_codes()) - {"error"}
    assert len(codes) > 30
    assert codes <= site.page("reference/errors").code


def test_every_variable_of_the_sources(site: Site) -> None:
    pages = set().union(
        *(site.page(f"reference/{name}").code for name in ("settings", "commands", "processes"))
    )
    assert variables() <= pages | {name.upper() for name in pages}


def test_every_field_of_every_settings_class(site: Site) -> None:
    page = site.page("reference/settings")
    fields = set(settings_fields())
    assert len(fields) > 20
    assert not {name for name in fields if not page.code & {f"GRANARY_{name.upper()}", f"granary_{name}"}}


def test_every_command_option_and_argument(site: Site) -> None:
    page = site.page("reference/commands")
    for name, options, arguments in command_words("granary", main):
        assert name in page.code
        assert set(options) <= page.code, name
        usage = next((text for text in page.code if text.startswith(f"{name} [OPTIONS]")), "")
        assert set(arguments) <= set(usage.split()), name


def test_every_route_of_the_bridge(site: Site) -> None:
    routes = {f"{route.method} {route.pattern}" for route in rules.ROUTES}
    assert routes <= site.page("reference/rest").code


def test_every_route_of_the_control_plane(site: Site) -> None:
    """Decorators in the sources of ``hub/api``, whichever router they hang on."""
    decorator = re.compile(r"@\w*router\.(get|post|put|patch|delete)\(\s*\"([^\"]*)\"")
    variable = re.compile(r"\{[^}]*\}")
    said = {tuple(variable.sub("{}", text).split(" ", 1)) for text in site.page("reference/rest").code}
    routes = {
        (method.upper(), variable.sub("{}", route))
        for path in (ROOT / "hub" / "api").rglob("*.py")
        for method, route in decorator.findall(path.read_text())
    }
    assert len(routes) > len(internal.router.routes)
    for method, route in routes:
        assert any(word == method and rest and rest[0].endswith(route) for word, *rest in said), (
            method,
            route,
        )


def test_addresses_of_the_apis(site: Site) -> None:
    page = site.page("reference/rest")
    assert API_PREFIX in page.code
    assert rules.PUBLIC_PREFIX in page.code


def test_every_scope(site: Site) -> None:
    page = site.page("reference/rights")
    scopes = {value for name, value in vars(people).items() if name.endswith("_SCOPE")}
    assert scopes
    assert scopes <= page.code


def test_every_field_of_the_manifest(site: Site) -> None:
    """Leaves by their whole path, or named beside the section that holds them."""
    said = site.page("reference/manifest").code
    sections = {name: list(model.model_fields) for name, model in manifest._SECTIONS.items()}
    for section, fields in sections.items():
        for field in fields:
            path = f"{section}.{field}".lstrip(".")
            assert path in said or path in sections or {section, field} <= said, path


def test_every_field_of_the_configuration_file(site: Site) -> None:
    page = site.page("reference/configuration")
    assert set(LocalConfig.model_fields) <= page.code
    assert {f"oidc.{name}" for name in OidcSection.model_fields} <= page.code


def test_every_process_of_an_installation(site: Site) -> None:
    """By the secrets it is given: a process that is given none would be no part of Granary."""
    page = site.page("reference/processes")
    assert set(KNOWN_BY) <= page.code
    assert {secret for secrets in KNOWN_BY.values() for secret in secrets} <= page.code


def test_every_route_of_the_kernel_host(site: Site) -> None:
    """Patterns in the sources of the application."""
    source = (ROOT / "gateway_bridge" / "kernelhost" / "app.py").read_text()
    patterns = re.findall(r"""\(rf?"(/[^"]*|\{kernel\}/[^"]*)", """, source)
    assert len(patterns) > 5
    said = site.page("reference/rest").code
    for pattern in patterns:
        path = pattern.replace("{kernel}", "/api/kernels/{kernel_id}").removesuffix("/?")
        assert any(text.endswith(f" {path}") for text in said), path
