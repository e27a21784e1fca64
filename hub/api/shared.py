"""What the internal and the public routes have in common."""

from __future__ import annotations

import re
from typing import Annotated
from weakref import WeakKeyDictionary

from fastapi import Depends, Path
from starlette.responses import Response

from hub.policies.access import no_running_kernel
from hub.services.catalogue import Offer
from hub.wire import KernelChoiceBody, KernelChoicesBody

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


_written: WeakKeyDictionary[Offer, bytes] = WeakKeyDictionary()
"""Forgotten together with the snapshot the offers belong to."""


async def _known_form(kernel_id: Annotated[str, Path()]) -> str:
    """An id we could have given out; anything else need not bother the database."""
    if not _UUID.fullmatch(kernel_id):
        raise no_running_kernel(kernel_id)
    return kernel_id


KernelId = Annotated[str, Depends(_known_form)]


def choices_response(offer: Offer) -> Response:
    """Written out once for as long as the catalogue stays the same; every launcher asks for it."""
    return Response(_choices_json(offer), media_type="application/json")


def _choices_json(offer: Offer) -> bytes:
    if offer not in _written:
        _written[offer] = _write(offer)
    return _written[offer]


def _write(offer: Offer) -> bytes:
    body = KernelChoicesBody(
        default=offer.default, choices=[KernelChoiceBody.of(choice) for choice in offer.choices]
    )
    return body.model_dump_json().encode()
