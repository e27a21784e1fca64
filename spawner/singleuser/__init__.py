"""The user server: JupyterLab without kernels, wired to the bridge."""

from __future__ import annotations


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """How jupyter_server finds the extension in this package."""
    from spawner.singleuser.extension import GranarySingleUser  # noqa: PLC0415 # settings alone need no Jupyter

    return [{"module": "spawner.singleuser", "app": GranarySingleUser}]
