"""Settings of every process, from its settings class and the text beneath each field."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.pycode import ModuleAnalyzer

import hub.process
import spawner.singleuser.settings
from granary_reference.text import PACKAGES, code, docstring, import_everything, table
from hub.process import ProcessSettings

PREFIX = "GRANARY_"

_TITLES = {"Control": "Control plane", "KernelHost": "Kernel host", "Oidc": "Bundled sign-in service"}
"""Where the class's name is not enough."""


def classes() -> list[type[ProcessSettings]]:
    """The settings class of each process, in the order of their modules' names."""
    import_everything()
    found = sorted(ProcessSettings.__subclasses__(), key=lambda cls: cls.__module__)
    return [cls for cls in found if not cls.__module__.startswith("tests")]


def variables(cls: type[ProcessSettings]) -> Iterator[tuple[str, FieldInfo]]:
    """Environment variables of one process with the fields they fill."""
    for name, field in cls.model_fields.items():
        yield f"{PREFIX}{name.upper()}", field


def markdown() -> str:
    """One section for each process; secrets apart, since they come from files."""
    return "\n".join(
        [
            *(_section(cls) for cls in classes()),
            _constants("User server", spawner.singleuser.settings),
            _constants("Every process", hub.process),
        ]
    )


def _section(cls: type[ProcessSettings]) -> str:
    texts = field_texts(cls)
    plain, secret = [], []
    for variable, field in variables(cls):
        text = texts[variable.removeprefix(PREFIX).lower()]
        if _is_secret(field):
            secret.append([code(variable.lower()), text])
        else:
            plain.append([code(variable), text, shape(field), default(field)])
    parts = [f"## {_title(cls)}", "", docstring(cls), "", f"Read from `{cls.__module__}.{cls.__name__}`.", ""]
    parts.append(table(["variable", "meaning", "value", "default"], plain))
    if secret:
        parts += ["", table(["secret file", "meaning"], secret)]
    return "\n".join(parts)


def _constants(title: str, module: ModuleType) -> str:
    """Variables a module reads by hand, each named by a constant with a text beneath it."""
    texts = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
    named = {name: getattr(module, name, None) for _, name in texts}
    rows = [
        [code(variable), " ".join(texts["", name]).replace("``", "`")]
        for name, variable in named.items()
        if isinstance(variable, str) and variable.startswith(PREFIX)
    ]
    summary = docstring(module).split("\n\n")[0]
    return f"## {title}\n\n{summary}\n\n{table(['variable', 'meaning'], rows)}"


def field_texts(cls: type[BaseModel]) -> dict[str, str]:
    """What stands beneath each field of a model, or in its description; inherited fields included.

    Raises
    ------
    LookupError
        If there is nothing: every field says what it is for.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, BaseModel) and base.__module__.split(".")[0] in PACKAGES:
            analyzer = ModuleAnalyzer.for_module(base.__module__)
            for (owner, name), lines in analyzer.find_attr_docs().items():
                if owner == base.__qualname__:
                    found[name] = " ".join(lines).replace("``", "`").strip()
    for name, field in cls.model_fields.items():
        found.setdefault(name, field.description or "")
        if not found[name]:
            raise LookupError(f"{cls.__module__}.{cls.__name__}.{name} has no text beneath it")
    return found


def _title(cls: type[ProcessSettings]) -> str:
    name = cls.__name__.removesuffix("Settings")
    return {"Control": "Control plane", "KernelHost": "Kernel host", "Oidc": "Bundled sign-in service"}.get(
        name, name
    )


def _is_secret(field: FieldInfo) -> bool:
    return _bare(field.annotation) is SecretStr


def shape(field: FieldInfo) -> str:
    """What can be written: a kind of value, and its bounds."""
    kind = _bare(field.annotation)
    bounds = [
        f"{word} {value:g}"
        for constraint in field.metadata
        for word, value in (
            ("at least", getattr(constraint, "ge", None)),
            ("more than", getattr(constraint, "gt", None)),
            ("at most", getattr(constraint, "le", None)),
            ("less than", getattr(constraint, "lt", None)),
        )
        if isinstance(value, int | float)
    ]
    return ", ".join([_kind(kind), *bounds])


def _bare(annotation: Any) -> Any:
    """The type beneath ``| None`` and ``Annotated``."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    choices = [choice for choice in get_args(annotation) if choice is not type(None)]
    if get_origin(annotation) in {Union, UnionType} and len(choices) == 1:
        return _bare(choices[0])
    return annotation


def _kind(kind: Any) -> str:
    simple = {
        str: "text",
        int: "number",
        float: "number",
        bool: "true or false",
        Path: "path",
        timedelta: "duration, such as `PT60S`",
    }
    if isinstance(kind, type) and kind in simple:
        return simple[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return " or ".join(code(str(member.value)) for member in kind)
    return "JSON"


def default(field: FieldInfo) -> str:
    """What holds when nothing is written."""
    if field.is_required():
        return "must be set"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value in ("", ()):
        return "none"
    if isinstance(value, timedelta):
        return code(TypeAdapter(timedelta).dump_python(value, mode="json"))
    if isinstance(value, tuple):
        return code(str(list(value)).replace("'", '"'))
    return code(str(value))
