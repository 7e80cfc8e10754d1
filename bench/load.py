"""A deterministic load: batches of flight searches, good and bad."""

from __future__ import annotations

import gzip
import math
import random
from dataclasses import dataclass

_AIRPORTS = [
    "LHR",
    "IST",
    "JFK",
    "CDG",
    "AMS",
    "FRA",
    "DXB",
    "SIN",
    "HND",
    "SYD",
    "LAX",
    "BCN",
    "MAD",
    "FCO",
    "MUC",
    "ZRH",
    "VIE",
    "CPH",
    "OSL",
    "ARN",
    "HEL",
    "WAW",
    "PRG",
    "BUD",
    "ATH",
    "LIS",
    "DUB",
    "EDI",
    "MAN",
    "BRU",
    "GVA",
    "NCE",
    "LYS",
    "TLS",
    "MRS",
    "BOS",
    "EWR",
    "ORD",
    "ATL",
    "DFW",
    "SFO",
    "SEA",
    "YYZ",
    "YVR",
    "MEX",
    "GRU",
    "EZE",
    "BOG",
    "LIM",
    "SCL",
    "NRT",
    "ICN",
    "PEK",
    "PVG",
    "HKG",
    "BKK",
    "KUL",
    "CGK",
]
_CLASSES = "YWCF"
FEWEST_ROWS = 3
MOST_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch and what must come of it.

    Attributes:
        body: gzip, or what pretends to be.
        rows: how many good rows it has; 0 for a batch that cannot be read.
        bad_rows: how many rows it has that cannot be read.
        readable: whether it can be read as a whole.
        cheapest: the lowest price of its good rows, or None.
    """

    body: bytes
    rows: int
    bad_rows: int
    readable: bool
    cheapest: float | None


def batches(
    *, seed: int, rows: int, bad_share: float = 0.0, fewest: int = FEWEST_ROWS, most: int = MOST_ROWS
) -> list[Batch]:
    """Make batches whose row counts are log-uniform, until they have so many rows together.

    Args:
        seed: the same seed gives the same batches.
        rows: the rows of all batches, at least.
        bad_share: the share of batches that are bad: half of them as a whole, half in some of their rows.
        fewest: the fewest rows of a batch.
        most: the most rows of a batch.
    """
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    made: list[Batch] = []
    total = 0
    while total < rows:
        count = round(math.exp(chance.uniform(math.log(fewest), math.log(most))))
        total += count
        made.append(_batch(chance, rows=count, bad=chance.random() < bad_share))
    return made


def _batch(chance: random.Random, *, rows: int, bad: bool) -> Batch:
    lines = [_row(chance) for _ in range(rows)]
    if bad and chance.random() < 0.5:
        body = gzip.compress("".join(f"{line}\n" for line in lines).encode(), 6, mtime=0)
        cut = chance.randrange(1, len(body))
        return Batch(
            body=chance.choice((body[:cut], b"PK" + body[2:], body + b"?")),
            rows=0,
            bad_rows=0,
            readable=False,
            cheapest=None,
        )
    good = [True] * rows
    if bad:
        for at in chance.sample(range(rows), max(rows // 10, 1)):
            good[at] = False
            lines[at] = _spoil(chance, lines[at])
    prices = [float(line.split(",")[3]) for line, is_good in zip(lines, good, strict=True) if is_good]
    return Batch(
        body=gzip.compress("".join(f"{line}\n" for line in lines).encode(), 6, mtime=0),
        rows=len(prices),
        bad_rows=rows - len(prices),
        readable=True,
        cheapest=min(prices, default=None),
    )


def _row(chance: random.Random) -> str:
    origin, destination = chance.sample(_AIRPORTS, 2)
    day = f"2020-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
    return f"{origin},{destination},{day},{chance.randint(2_000, 250_000) / 100:.2f},{chance.choice(_CLASSES)}"


def _spoil(chance: random.Random, line: str) -> str:
    origin, destination, day, price, cabin = line.split(",")
    return chance.choice(
        (
            f"{origin.lower()},{destination},{day},{price},{cabin}",
            f"{origin},{destination},2020-02-30,{price},{cabin}",
            f"{origin},{destination},{day},-{price},{cabin}",
            f"{origin},{destination},{day},{price}",
            f'"{origin},{destination},{day},{price},{cabin}',
        )
    )
