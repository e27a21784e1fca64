"""Publishes the kernels a new installation comes with, the way anybody publishes kernels."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import yaml

from hub.demo import demo_manifests
from hub.errors import KernelNotFound, ProcessFailed
from hub.rest import RestClient


def publish_demo_kernels(
    client: RestClient, step: Callable[[str, float, str], None], say: Callable[[str], None]
) -> None:
    """Publish what is not there yet; a release that is there is left alone.

    Raises
    ------
    ProcessFailed
        With the control plane's own words.
    """
    manifests = [yaml.safe_load(path.read_text()) for path in demo_manifests()]
    missing = [manifest for manifest in manifests if not _is_published(client, manifest)]
    if missing:
        say("Publishing the demo kernels (once; packages are fetched and environments built):")
    for manifest in missing:
        began = time.monotonic()
        publication = client.publish(manifest)
        for update in client.follow(publication):
            publication = update
        if publication.error is not None:
            raise ProcessFailed(
                f"The demo kernel {manifest['kernel']} could not be published: {publication.error.message} "
                "(--no-demo starts without demo people and kernels.)",
                output=publication.error.details.get("output", []),
            )
        title = f"{manifest['kernel']} {manifest['release']['version']}"
        step(title, time.monotonic() - began, "")


def _is_published(client: RestClient, manifest: dict[str, Any]) -> bool:
    try:
        kernel = client.kernel(manifest["kernel"])
    except KernelNotFound:
        return False
    return any(release.version == str(manifest["release"]["version"]) for release in kernel.releases)
