"""User servers of an installation that is being stopped: the hub leaves them running when it ends."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hub.local.state import ProcessId
from hub.local.supervised import end_processes


def user_servers(notes: Path) -> dict[str, ProcessId]:
    """Running user servers by the name of the spawner's note, ``<person>.pid``."""
    found = {}
    for note in sorted(notes.glob("*.pid")):
        try:
            pid, created = note.read_text().split()
            process_id = ProcessId(int(pid), float(created))
        except (OSError, ValueError):
            continue  # being written or removed just now
        if process_id.process() is not None:
            found[note.stem] = process_id
    return found


def stop_user_servers(notes: Path, patience: timedelta) -> None:
    """End them all at once; the hub finds them gone when it starts again."""
    end_processes(list(user_servers(notes).values()), patience)
