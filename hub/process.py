"""What every Granary process does first: read its settings, set up its log.

The only module besides the wire, client and errors that bridge and spawner share
with the control plane.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

SECRETS_DIR_VARIABLE = "GRANARY_SECRETS_DIR"
"""Directory with one file per secret setting, named like the variable in lower case."""

LOG_LEVEL_VARIABLE = "GRANARY_LOG_LEVEL"
"""How much is logged: ``DEBUG``, ``INFO`` (the default), ``WARNING`` or ``ERROR``."""

EXIT_BAD_SETTINGS = 2

S = TypeVar("S", bound="ProcessSettings")


class ProcessSettings(BaseSettings):
    """Base of each process's settings: ``GRANARY_*`` variables, secrets preferably from files."""

    model_config = SettingsConfigDict(env_prefix="GRANARY_", extra="ignore", frozen=True)


def load_settings(cls: type[S]) -> S:
    """Read the settings of this process or say in one line per mistake what is wrong, and exit."""
    try:
        return cls(_secrets_dir=os.environ.get(SECRETS_DIR_VARIABLE))
    except ValidationError as error:
        sys.exit(_explain(error))
    except SettingsError as error:
        sys.exit(_explain_unreadable(error))


def setup_logging(process: str) -> None:
    """Log to standard error, one line a record, UTC, with the process's name."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=os.environ.get(LOG_LEVEL_VARIABLE, "INFO").upper(),
        format=f"%(asctime)s.%(msecs)03dZ %(levelname)s {process} %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        stream=sys.stderr,
    )
    # httpx logs every request's URL at INFO; queries may hold what does not belong in a log.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _explain(error: ValidationError) -> int:
    for problem in error.errors(include_input=False, include_url=False):
        variable = "GRANARY_" + "_".join(str(part) for part in problem["loc"]).upper()
        print(f"{variable}: {problem['msg']}. Set it in the environment and start again.", file=sys.stderr)  # noqa: T201 # the log is not set up yet
    return EXIT_BAD_SETTINGS


def _explain_unreadable(error: SettingsError) -> int:
    """A list or mapping that is no JSON is refused before any validator sees it."""
    field = re.search(r'field "(\w+)"', str(error))
    variable = f"GRANARY_{field[1].upper()}" if field else "A setting"
    print(f"{variable}: this is not valid JSON. Set it in the environment and start again.", file=sys.stderr)  # noqa: T201 # the log is not set up yet
    return EXIT_BAD_SETTINGS
