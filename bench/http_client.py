"""Posts bodies over a few connections as fast as they are acknowledged, from a process of its own."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import zlib
from pathlib import Path

import uvloop


async def post_all(
    *, host: str, port: int, bodies: list[bytes], connections: int, seconds: float, seed: int
) -> dict[str, object]:
    """Post bodies for a while, each connection one after the other.

    Args:
        host: the server.
        port: its port.
        bodies: what to send, at random.
        connections: how many at once.
        seconds: for how long.
        seed: the same seed sends the same bodies.

    Returns:
        `requests`, `bytes`, `seconds`, and `acknowledged`: partition, offset and CRC-32 of each body.
    """
    requests = [
        (b"POST /batches HTTP/1.1\r\nhost: ingest\r\ncontent-length: %d\r\n\r\n" % len(body) + body, zlib.crc32(body))
        for body in bodies
    ]
    acknowledged: list[tuple[int, int, int]] = []
    sent = 0
    end = time.monotonic() + seconds

    async def post(number: int) -> None:
        nonlocal sent
        chance = random.Random(seed * 1000 + number)  # noqa: S311 - repeatable on purpose
        reader, writer = await asyncio.open_connection(host, port)
        while time.monotonic() < end:
            request, checksum = chance.choice(requests)
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(f"{head!r} {answer!r}")
            position = json.loads(answer)
            acknowledged.append((position["partition"], position["offset"], checksum))
            sent += len(request)
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*(post(number) for number in range(connections)))
    return {
        "requests": len(acknowledged),
        "bytes": sent,
        "seconds": time.monotonic() - started,
        "acknowledged": acknowledged,
    }


def main() -> None:
    """Read the task as JSON from standard input, do it, and print the result as JSON."""
    task = json.load(sys.stdin)
    bodies = [Path(path).read_bytes() for path in task.pop("files")]
    json.dump(uvloop.run(post_all(bodies=bodies, **task)), sys.stdout)


if __name__ == "__main__":
    main()
