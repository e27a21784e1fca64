"""Settings of the control plane, read by ``hub.app``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from hub.process import ProcessSettings
from hub.setting_types import Address, Secret, Url
from hub.storage.engine import database_url
from hub.teams import ConfiguredTeams


class ControlSettings(ProcessSettings):
    """What the control plane needs to run."""

    control_bind: Address = "127.0.0.1:8081"
    """Where it listens; the public proxy forwards ``/services/granary/`` here and nothing else."""
    database_url: SecretStr
    """``sqlite:////path/file`` or ``postgresql://user@host/name``; may hold a password, so rather a file."""
    store_dir: Path
    """Directory of built environments; created with mode 0700 if it is missing."""
    homes_dir: Path
    """Directory of people's home directories, as the kernel host sees it."""
    hub_api_url: Url = "http://127.0.0.1:8080/hub/api"
    """JupyterHub's REST API, as this process reaches it."""
    kernel_host_url: Url = "http://127.0.0.1:8083"
    """The kernel host, as this process and the bridge reach it."""
    teams: ConfiguredTeams
    """The teams Granary governs: JSON list of ``{"name", "display_name", "admin_group"}``."""
    contact: Annotated[str, Field(max_length=300)] = "the people who run this site"
    """Whom to ask for access; ends a sentence that begins with "Ask"."""

    internal_secret: Secret
    """Shared by Granary's own processes."""
    kernel_host_secret: Secret
    """Opens the kernel host; the secret of each kernel is derived from it."""

    @field_validator("database_url")
    @classmethod
    def _database_is_supported(cls, value: SecretStr) -> SecretStr:
        database_url(value.get_secret_value())
        return value

    @field_validator("store_dir", "homes_dir")
    @classmethod
    def _paths_mean_the_same_everywhere(cls, value: Path) -> Path:
        return value.absolute()

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port of ``control_bind``."""
        host, _, port = self.control_bind.rpartition(":")
        return host, int(port)
