"""What ipykernel is told so that none of its output is lost on the way to this host.

A ZMQ publisher drops what its subscribers do not take at once: beyond 1,000 waiting
messages in silence. Sockets that are files buffer less than TCP, so on a machine with
something else to do, 3,000 lines printed in a loop lost a tenth of themselves in one
run of six. The host reads everything and bounds it visibly, so the kernel's own
limit goes. ipykernel has no setting for it, but runs a configuration file first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_CONFIG = '''\
"""Written by the Granary kernel host: nothing printed is dropped before it reaches the host."""
import zmq
from ipykernel.kernelapp import IPKernelApp


def without_limit(original):
    def init_iopub(self, context, *args, **kwargs):
        context.setsockopt(zmq.SNDHWM, 0)
        return original(self, context, *args, **kwargs)

    return init_iopub


IPKernelApp.init_iopub = without_limit(IPKernelApp.init_iopub)
'''

_LAUNCHERS = frozenset({"ipykernel_launcher", "ipykernel"})


def with_our_config(command: Sequence[str], path: Path) -> list[str]:
    """The command of an ipykernel with our configuration, written to ``path``; any other as it is.

    People's own configuration files are read as well. Raises ``OSError``.
    """
    if not _LAUNCHERS.intersection(command) or any(word.startswith("--config") for word in command):
        return list(command)
    path.write_text(_CONFIG)
    return [*command, f"--config={path}"]
