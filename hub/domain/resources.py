"""Amounts of compute, with the arithmetic that quotas need."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hub.errors import InvalidManifest

MAX_CPU_MILLICORES = 10**9
MAX_MEMORY_BYTES = 2**60
"""More than any machine has, and less than any column of a database holds."""

_MEMORY = re.compile(r"([0-9]{1,19})(Ki|Mi|Gi|Ti|K|M|G|T)?")
_MEMORY_UNIT = {None: 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
                "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}  # fmt: skip
_CPU = re.compile(r"([0-9]{1,12})m|([0-9]{1,9})(?:\.([0-9]{1,3}))?")


@dataclass(frozen=True)
class Resources:
    """CPU in thousandths of a core, memory in bytes, GPUs counted by type."""

    cpu_millicores: int = 0
    memory_bytes: int = 0
    gpus: tuple[tuple[str, int], ...] = ()
    """(type, count), sorted by type, counts above zero."""

    @staticmethod
    def of(
        *, cpu_millicores: int = 0, memory_bytes: int = 0, gpus: Mapping[str, int] | None = None
    ) -> Resources:
        counted = tuple(sorted((kind, n) for kind, n in (gpus or {}).items() if n))
        return Resources(cpu_millicores, memory_bytes, counted)

    def __add__(self, other: Resources) -> Resources:
        return self._combine(other, 1)

    def __sub__(self, other: Resources) -> Resources:
        return self._combine(other, -1)

    def fits_in(self, limit: Resources) -> bool:
        """Whether no amount exceeds ``limit``; a GPU type absent there is a limit of zero."""
        allowed = dict(limit.gpus)
        return (
            self.cpu_millicores <= limit.cpu_millicores
            and self.memory_bytes <= limit.memory_bytes
            and all(count <= allowed.get(kind, 0) for kind, count in self.gpus)
        )

    def _combine(self, other: Resources, sign: int) -> Resources:
        gpus = dict(self.gpus)
        for kind, count in other.gpus:
            gpus[kind] = gpus.get(kind, 0) + sign * count
        return Resources.of(
            cpu_millicores=self.cpu_millicores + sign * other.cpu_millicores,
            memory_bytes=self.memory_bytes + sign * other.memory_bytes,
            gpus=gpus,
        )


def parse_cpu(text: str) -> int:
    """Millicores from Kubernetes notation: ``500m``, ``2``, ``1.5``.

    Raises
    ------
    InvalidManifest
    """
    match = _CPU.fullmatch(text)
    if not match:
        raise InvalidManifest(f"cpu {text[:40]!r} is not understood: write 500m, 1 or 1.5.", value=text[:40])
    milli, whole, fraction = match.groups()
    millicores = int(milli) if milli else int(whole) * 1000 + int((fraction or "0").ljust(3, "0"))
    if millicores > MAX_CPU_MILLICORES:
        raise InvalidManifest(f"cpu {text[:40]!r} is more than any machine has.", value=text[:40])
    return millicores


def parse_memory(text: str) -> int:
    """Bytes from Kubernetes notation: ``512Mi``, ``2G``, ``1073741824``.

    Raises
    ------
    InvalidManifest
    """
    match = _MEMORY.fullmatch(text)
    if not match:
        raise InvalidManifest(f"memory {text[:40]!r} is not understood: write 512Mi or 2Gi.", value=text[:40])
    amount = int(match[1]) * _MEMORY_UNIT[match[2]]
    if amount > MAX_MEMORY_BYTES:
        raise InvalidManifest(f"memory {text[:40]!r} is more than any machine has.", value=text[:40])
    return amount
