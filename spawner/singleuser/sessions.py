"""Which notebook belongs to which running kernel, remembered across servers.

A kernel outlives the server that started it. Kept in the person's home, the session
leads the next server's JupyterLab back to the kernel with its variables.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

from jupyter_server.services.sessions.sessionmanager import SessionManager
from traitlets import default

from spawner.singleuser.settings import UserServerSettings

IN_MEMORY = ":memory:"


class PersistentSessionManager(SessionManager):
    """Jupyter's sessions in a file of the person's, one file a team."""

    @default("database_filepath")
    def _in_the_home(self) -> str:
        settings = UserServerSettings.from_environment()
        return usable_database(settings.data_dir / f"sessions-{settings.team}.sqlite", self.log)

    async def kernel_culled(self, kernel_id: str) -> bool:
        """Whether the kernel is known to have ended. Until the bridge has listed kernels, nothing is known.

        Jupyter deletes the session of a culled kernel.
        """
        kernels = self.kernel_manager
        if kernel_id not in kernels and not kernels.adopted:
            await kernels.find(kernel_id)
        return kernel_id not in kernels


def usable_database(path: Path, log: logging.Logger) -> str:
    """``path`` if sessions can be kept there, readable by the person alone; else in memory.

    A full or read-only home, or a damaged file, must not keep a server from starting:
    what is lost is the way back to running kernels, and the log says so.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS session (session_id, path, name, type, kernel_id)")
        connection.close()
    except (OSError, sqlite3.Error) as error:
        log.warning("Sessions will not outlive this server: %s cannot be used (%s)", path, error)
        return IN_MEMORY
    return str(path)
