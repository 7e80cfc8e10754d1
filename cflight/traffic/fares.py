"""Generates batches of flight searches: real airports, plausible fares, and a few things that partners get wrong.

A fare grows with the distance less than in proportion, with the season, the weekend and the class, and scatters as
fares do: log-normally. The numbers are made for looking right, not taken from anywhere.
"""

from __future__ import annotations

import itertools
import math
import random
from datetime import date, timedelta
from typing import TYPE_CHECKING

from cflight.traffic.airports import AIRPORTS, Airport, distance_km
from cflight.traffic.batch import FEWEST_ROWS, MOST_ROWS, Batch, batch_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_DAY = date(2020, 8, 1)
_DAYS = 330
_FIXED_GBP = 24.0
_GBP_PER_KM = 0.55
_KM_EXPONENT = 0.76
_LEAST_GBP = 9.99
_SCATTER = 0.28
_SEASON = {1: 0.82, 2: 0.85, 6: 1.12, 7: 1.35, 8: 1.38, 12: 1.25}
_WEEKEND = 1.15
_CLASSES = {"Y": (1.0, 80), "W": (1.65, 9), "C": (3.4, 9), "F": (5.8, 2)}
_ROWS_A_SEARCH = 40


def generated(
    *, seed: int, count: int | None = None, fewest: int = FEWEST_ROWS, most: int = 2_000, bad_share: float = 0.0
) -> Iterator[Batch]:
    """Yield batches whose row counts are log-uniform: many short ones, few long ones.

    Args:
        seed: the same seed gives the same batches.
        count: how many; None for no end.
        fewest: rows of the shortest.
        most: rows of the longest.
        bad_share: share of the batches with something wrong: in some rows, or, a fifth of these, in the whole.

    Raises:
        ValueError: the numbers make no sense.
    """
    if not (1 <= fewest <= most <= MOST_ROWS and 0 <= bad_share <= 1):
        raise ValueError(f"rows must be 1 to {MOST_ROWS}, the fewest first, and the bad share from 0 to 1")
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    for number in itertools.count(1) if count is None else range(1, count + 1):
        rows = round(math.exp(chance.uniform(math.log(fewest), math.log(most))))
        yield _batch(chance, rows=rows, number=number, bad=chance.random() < bad_share)


def _batch(chance: random.Random, *, rows: int, number: int, bad: bool) -> Batch:
    lines = list(itertools.islice(_rows(chance), rows))
    name = f"generated {number}"
    if bad and chance.random() < 0.2:
        whole = batch_of(_text(lines), name=name)
        return Batch(name=name, body=whole.body[: max(len(whole.body) * 2 // 3, 12)], text=None)
    if bad:
        for at in chance.sample(range(rows), max(rows // 20, 1)):
            lines[at] = _spoilt(chance, lines[at])
    return batch_of(_text(lines), name=name)


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _rows(chance: random.Random) -> Iterator[str]:
    weights = [airport.weight for airport in AIRPORTS]
    while True:
        origin, destination = chance.choices(AIRPORTS, weights, k=2)
        if origin is destination:
            continue
        first = chance.randrange(_DAYS)
        for _ in range(chance.randint(1, _ROWS_A_SEARCH)):
            day = _FIRST_DAY + timedelta(days=first + chance.randrange(7))
            cabin = chance.choices(list(_CLASSES), [share for _, share in _CLASSES.values()])[0]
            fare = _fare(chance, origin, destination, day=day, cabin=cabin)
            yield f"{origin.code},{destination.code},{day},{fare:.2f},{cabin}"


def _fare(chance: random.Random, origin: Airport, destination: Airport, *, day: date, cabin: str) -> float:
    fare = _FIXED_GBP + _GBP_PER_KM * distance_km(origin, destination) ** _KM_EXPONENT
    fare *= _SEASON.get(day.month, 1.0) * (_WEEKEND if day.weekday() >= 4 else 1.0) * _CLASSES[cabin][0]
    return max(fare * chance.lognormvariate(0, _SCATTER), _LEAST_GBP)


def _spoilt(chance: random.Random, line: str) -> str:
    origin, destination, day, price, cabin = line.split(",")
    return chance.choice(
        (
            f"{origin},{destination},{day},{price}",
            f"{origin.lower()},{destination},{day},{price},{cabin}",
            f"{origin},{destination},{day[8:]}/{day[5:7]}/{day[:4]},{price},{cabin}",
            f"{origin},{destination},{day},-{price},{cabin}",
            f"{origin},{destination},{day},POA,{cabin}",
            f"{origin},{destination},{day},{price},economy",
        )
    )
