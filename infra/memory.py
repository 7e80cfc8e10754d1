"""From a part's memory limit to what it may use of it, and whether the parts fit together.

A limit is declared once, on the component, in the stack's settings. A JVM needs memory beside its heap (metaspace,
code cache, thread stacks, direct buffers, the page cache of a broker), so the heap is a share of the limit:

- Connect: 75 %. A worker holds records on the heap and little else.
- broker: 50 % up to 5 GiB, 60 % above: the rest is page cache, from which consumers are served.
- registry: 50 %. Quarkus needs nearly as much outside the heap as inside for a small store.
- ksqlDB server: 40 %, and 25 % for RocksDB, which lies outside the heap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from infra.errors import SizingError

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

_UNITS = {"": 1, "Ki": KIB, "Mi": MIB, "Gi": GIB, "k": 10**3, "M": 10**6, "G": 10**9}
_QUANTITY = re.compile(r"(\d+)(Ki|Mi|Gi|k|M|G)?")

# What the operating system and the commands themselves need beside the parts of a local stack.
MACHINE_RESERVE = 512 * MIB
# A sink's worker needs this beside open files and queued records: classes, buffers of the clients, garbage.
SINK_WORKER_BASE = 100 * MIB


def parse_memory(value: Any) -> int:
    """Return a memory size in bytes.

    Args:
        value: bytes, or a Kubernetes quantity such as "256Mi".

    Raises:
        ValueError: it is neither, or zero.
    """
    match = _QUANTITY.fullmatch(str(value).strip())
    if not match or isinstance(value, bool) or int(match[1]) == 0:
        raise ValueError('is not a memory size: write a number with Ki, Mi or Gi, such as "256Mi"')
    return int(match[1]) * _UNITS[match[2] or ""]


def format_memory(size: int) -> str:
    """Return a size in bytes as the shortest Kubernetes quantity that is exact."""
    for unit in ("Gi", "Mi", "Ki"):
        if size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


Memory = Annotated[
    int,
    BeforeValidator(parse_memory),
    PlainSerializer(format_memory),
    WithJsonSchema({"type": "string", "description": 'memory size, such as "256Mi"'}),
]
# What is optimised is what runs all the time, such as SHA-256 of what is uploaded (ten times as fast), and not
# whatever runs a little more often while a worker starts: ten times the JVM's own thresholds.
_OPTIMISE_LATE = (
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=20000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
)


@dataclass(frozen=True, kw_only=True)
class JvmMemory:
    """How a JVM divides its limit.

    Attributes:
        heap: bytes for `-Xmx`.
        direct: bytes for `-XX:MaxDirectMemorySize`.
        optimise: whether hot code is compiled by the optimising compiler, too. It takes memory and, at first, time;
            only then are checksums and hashes done with the processor's own instructions.
        short_lived: whether most of what fills the heap is soon garbage, such as records on their way through: half of
            it is for the young, or the collector copies records for a fifth of its time.
    """

    heap: int
    direct: int
    optimise: bool = False
    short_lived: bool = False

    def flags(self) -> list[str]:
        """Return the JVM's options for these sizes and for a small footprint at rest."""
        return [
            "-Xms32m",
            f"-Xmx{self.heap // KIB}k",
            f"-XX:MaxDirectMemorySize={self.direct // KIB}k",
            "-Xss512k",
            "-XX:ReservedCodeCacheSize=64m",
            "-XX:+UseSerialGC",
            *(("-XX:NewRatio=1",) if self.short_lived else ()),
            "-XX:+ExitOnOutOfMemoryError",
            *(_OPTIMISE_LATE if self.optimise else ("-XX:TieredStopAtLevel=1",)),
        ]


def broker_memory(limit: int) -> JvmMemory:
    """Divide a broker's limit (bytes)."""
    return JvmMemory(heap=int(limit * (0.5 if limit <= 5 * GIB else 0.6)), direct=limit // 8)


# Measured on a worker that uploads at full speed: classes, code, threads and the compilers' own memory.
_CONNECT_BESIDE_HEAP = 176 * MIB


def connect_memory(limit: int) -> JvmMemory:
    """Divide the limit (bytes) of a Connect worker."""
    direct = limit // 16
    heap = max(limit * 3 // 8, min(limit * 3 // 4, limit - direct - _CONNECT_BESIDE_HEAP))
    return JvmMemory(heap=heap, direct=direct, optimise=True, short_lived=True)


def registry_memory(limit: int) -> JvmMemory:
    """Divide the registry's limit (bytes)."""
    return JvmMemory(heap=limit // 2, direct=limit // 8)


def ksql_server_memory(limit: int) -> tuple[JvmMemory, int]:
    """Divide the limit (bytes) of a ksqlDB server; the second value is RocksDB's bound in bytes."""
    return JvmMemory(heap=int(limit * 0.4), direct=limit // 16), limit // 4


def check_fit(parts: Mapping[str, int], *, available: int, where: str) -> None:
    """Refuse parts that do not fit together.

    Args:
        parts: limit of each part in bytes.
        available: bytes that there are for them.
        where: what has that memory, for the message.

    Raises:
        SizingError: the sum is larger; the message holds it part by part.
    """
    total = sum(parts.values())
    if total <= available:
        return
    terms = " + ".join(f"{name} {format_memory(limit)}" for name, limit in parts.items())
    raise SizingError(
        f"the parts need {terms} = {total / MIB:,.0f} MiB, but {where} has {available / MIB:,.0f} MiB for them",
        where="cflight:*.memory",
        remedy="Lower limits (`pulumi config set --path cflight:kafka.memory 384Mi`) or leave parts out.",
    )
