"""``granary-singleuser``: what the spawner starts for a person."""

from __future__ import annotations

import os
import sys

from spawner.singleuser.imports import block_unused, keep_node_out, stand_ins
from spawner.singleuser.settings import PLAIN_IMPORTS, BadEnvironment, UserServerSettings

EXIT_BAD_ENVIRONMENT = 2


def main() -> None:
    """Start the user server; takes the same command line as ``jupyterhub-singleuser``."""
    try:
        UserServerSettings.from_environment()
    except BadEnvironment as error:
        print(error, file=sys.stderr)  # noqa: T201 # there is no log yet
        sys.exit(EXIT_BAD_ENVIRONMENT)
    # Chooses the extension and not the older application class, whatever was set for stock servers.
    os.environ["JUPYTERHUB_SINGLEUSER_EXTENSION"] = "1"
    os.environ.pop("JUPYTERHUB_SINGLEUSER_APP", None)
    if os.environ.get(PLAIN_IMPORTS) != "1":
        _import_lightly()
    from spawner.singleuser.extension import GranarySingleUser  # noqa: PLC0415 # after what it must not load

    GranarySingleUser.launch_instance()


def _import_lightly() -> None:
    """Import the server without what it never uses; if that has come to be used, start over with all."""
    block_unused()
    try:
        with stand_ins():
            keep_node_out()
            from jupyterlab import labapp  # noqa: F401, PLC0415 # its lighter imports, while they are light

            from spawner.singleuser import extension  # noqa: F401, PLC0415 # likewise
    except (ImportError, AttributeError) as error:
        print(f"Starting with all imports, because one is missing: {error}", file=sys.stderr)  # noqa: T201 # as above
        os.environ[PLAIN_IMPORTS] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 # this very program


if __name__ == "__main__":
    main()
