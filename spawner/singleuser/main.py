"""``granary-singleuser``: what the spawner starts for a person."""

from __future__ import annotations

import os
import sys

from spawner.singleuser.imports import block_unused, stand_ins
from spawner.singleuser.settings import BadEnvironment, UserServerSettings

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
    block_unused()
    with stand_ins():
        from jupyterlab import labapp  # noqa: F401, PLC0415 # loaded here for its lighter imports

        from spawner.singleuser.extension import GranarySingleUser  # noqa: PLC0415 # after what it must not load
    GranarySingleUser.launch_instance()


if __name__ == "__main__":
    main()
