"""The file of ``granary up --config``: what an installation on one machine may decide."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.errors import InvalidConfiguration
from hub.setting_types import Url
from hub.teams import MAX_GROUP_LENGTH, ConfiguredTeam, ConfiguredTeams

MAX_FILE_BYTES = 256 * 1024

DEMO_TEAMS = (
    ConfiguredTeam(name="atlas", display_name="Atlas"),
    ConfiguredTeam(name="borealis", display_name="Borealis"),
)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OidcSection(_Section):
    """``oidc``: sign in at your own OpenID Connect provider instead of the bundled one."""

    issuer: Url
    """The provider, as its discovery document names it."""
    client_id: Annotated[str, Field(min_length=1)]
    """Granary's name at the provider."""
    client_secret_file: Path
    """File that holds Granary's password at the provider; relative to the configuration file."""
    scopes: tuple[str, ...] = ("openid", "profile", "email", "groups")
    """Scopes to ask for; the groups claim has to come with them."""
    username_claim: Annotated[str, Field(min_length=1)] = "preferred_username"
    """The claim that names a person."""
    groups_claim: Annotated[str, Field(min_length=1)] = "groups"
    """The claim that lists a person's groups."""


class LocalConfig(_Section):
    """Everything the file may hold; all of it is optional."""

    teams: ConfiguredTeams | None = None
    """The teams Granary governs: a list of ``name``, ``display_name``, ``admin_group``."""
    contact: Annotated[str, Field(min_length=1, max_length=300)] = "the people who run this site"
    """Whom to ask for access; ends a sentence that begins with "Ask"."""
    public_url: Url | None = None
    """The address people type, where it is not ``http://HOST:PORT``."""
    platform_admin_group: Annotated[str, Field(min_length=1, max_length=MAX_GROUP_LENGTH)] = "granary-admins"
    """Members of this group govern everything."""
    oidc: OidcSection | None = None
    """Your own OpenID Connect provider; without it a bundled one with demo accounts."""
    hub_config_files: tuple[Path, ...] = ()
    """Further JupyterHub configuration files, read after ours; relative to this file."""


def read_config(path: Path | None) -> LocalConfig:
    """Read and check a configuration file; none gives the defaults.

    Raises
    ------
    InvalidConfiguration
        With one sentence that names the file, the place and the mistake.
    """
    if path is None:
        return LocalConfig()
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise InvalidConfiguration(
                f"{path} is larger than {MAX_FILE_BYTES // 1024} KiB; it should be a short file."
            )
        values = yaml.safe_load(content)
    except OSError as error:
        raise InvalidConfiguration(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidConfiguration(f"{path} is no YAML: {_where(error)}.") from error
    if values is None:
        return LocalConfig()
    if not isinstance(values, dict):
        raise InvalidConfiguration(f"{path} has to hold settings by name, such as `teams:`.")
    try:
        config = LocalConfig.model_validate(values)
    except ValidationError as error:
        raise InvalidConfiguration(f"{path}: {_explain(error)}") from error
    return _with_absolute_paths(config, path.absolute().parent)


def _with_absolute_paths(config: LocalConfig, base: Path) -> LocalConfig:
    files = tuple(base / file for file in config.hub_config_files)
    oidc = config.oidc
    if oidc is not None:
        oidc = oidc.model_copy(update={"client_secret_file": base / oidc.client_secret_file})
    for file in (*files, *([oidc.client_secret_file] if oidc else [])):
        if not file.is_file():
            raise InvalidConfiguration(f"The configuration names {file}, but there is no such file.")
    return config.model_copy(update={"hub_config_files": files, "oidc": oidc})


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}: {getattr(error, 'problem', '')}"
    # A value such as a date that does not exist; anything else is about bytes that are no text.
    return str(error) if type(error) is ValueError else "it is not UTF-8 text"


def _explain(error: ValidationError) -> str:
    problem = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] in {"extra_forbidden", "invalid_key"}:
        return f"there is no setting {place!r}.{_near(str(problem['loc'][-1]))}"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}."


def _near(name: str) -> str:
    known = [*LocalConfig.model_fields, *OidcSection.model_fields, *ConfiguredTeam.model_fields]
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""
