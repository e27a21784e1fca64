"""``granary kernel publish``: send a manifest, tell how it goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console
from rich.status import Status
from rich.text import Text

from hub.api.bodies import PublicationBody, PublicationStepBody
from hub.cli.manifests import load_manifest
from hub.cli.output import plain, print_json, short_digest
from hub.domain.publications import PublicationState
from hub.errors import InvalidManifest
from hub.rest import RestClient

_TITLES = {
    PublicationState.QUEUED: "Waiting",
    PublicationState.RESOLVING: "Resolving",
    PublicationState.BUILDING: "Building",
    PublicationState.CHECKING: "Checking",
}


class Teller(Protocol):
    """Is shown every look at a publication."""

    def show(self, publication: PublicationBody) -> None:
        """Tell what is new since the last look."""

    def stop(self) -> None:
        """Leave the terminal tidy."""


class Lines:
    """A line for whatever is new, with the seconds since the beginning; for logs and pipes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told: set[tuple[str, str]] = set()

    def show(self, publication: PublicationBody) -> None:
        for step in publication.steps:
            news = (step.name, step.text)
            if news not in self._told:
                self._told.add(news)
                click.echo(f"{time.monotonic() - self._began:6.1f} s  {_title(step)}: {plain(step.text)}")

    def stop(self) -> None:
        """Nothing is open."""


class Live:
    """One moving line for the step under way, one that stays for each that is done."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._status = Status("Sending the manifest", console=self._console)
        self._status.start()
        self._done = 0

    def show(self, publication: PublicationBody) -> None:
        finished = [step for step in publication.steps if step.seconds is not None]
        for step in finished[self._done :]:
            text = f"{step.seconds or 0:6.1f} s  {_title(step)}: {plain(step.text)}"
            self._console.print(text, markup=False)
        self._done = max(self._done, len(finished))
        current = next((step for step in publication.steps if step.seconds is None), None)
        if current is not None:
            self._status.update(Text(f"{_title(current)}: {plain(current.text)}"))

    def stop(self) -> None:
        self._status.stop()


class Silent:
    """For programs that want the outcome only."""

    def show(self, publication: PublicationBody) -> None:
        """Nothing to tell."""

    def stop(self) -> None:
        """Nothing is open."""


def publish_and_follow(client: RestClient, manifest: Path, channels: Sequence[str], *, as_json: bool) -> None:
    """Publish and wait for the end; a failed publication is raised as the error it ended in."""
    document = load_manifest(manifest)
    _add_channels(document, channels)
    begun = client.publish(document)
    final = _followed(client.follow(begun), as_json=as_json)
    if final.error is not None:
        raise final.error.to_error()
    if as_json:
        print_json(final)
        return
    _tell_outcome(begun, final, channels)


def _followed(looks: Iterable[PublicationBody], *, as_json: bool) -> PublicationBody:
    """Show each look; the last one."""
    teller = _teller(as_json=as_json)
    try:
        for look in looks:
            teller.show(look)
    except KeyboardInterrupt:
        click.echo("Publishing goes on without you; the same command follows it again.", err=True)
        raise
    finally:
        teller.stop()
    return look


def _teller(*, as_json: bool) -> Teller:
    if as_json:
        return Silent()
    return Live() if sys.stdout.isatty() else Lines()


def _tell_outcome(begun: PublicationBody, final: PublicationBody, channels: Sequence[str]) -> None:
    name = f"{final.kernel} {final.version}"
    if begun.state.finished:
        click.echo(f"{name} is published already with this content; nothing has changed.")
        for channel in channels:
            target = f"{final.kernel} {channel} {final.version}"
            click.echo(f"To point {channel} at it: granary kernel channel set {target}")
        return
    digest = short_digest(final.artifact_digest or "")
    seconds = sum(step.seconds or 0 for step in final.steps)
    click.echo(f"Published {name} ({digest}) in {seconds:.1f} s.")


def _add_channels(document: dict[str, Any], channels: Sequence[str]) -> None:
    if not channels:
        return
    named = document.get("channels", [])
    if not isinstance(named, list):
        raise InvalidManifest("channels must be a list, one entry to a line beginning with a hyphen.")
    document["channels"] = [*named, *channels]


def _title(step: PublicationStepBody) -> str:
    """A step's name is the state the publication was in; newer servers may know more of them."""
    try:
        return _TITLES[PublicationState(step.name)]
    except (KeyError, ValueError):
        return plain(step.name).capitalize()
