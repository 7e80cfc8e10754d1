from __future__ import annotations

import itertools
import statistics
from datetime import date

import pytest

from cflight.traffic.airports import AIRPORTS, distance_km
from cflight.traffic.fares import generated
from cflight.traffic.statistics import percentile
from services.errors import BatchError, RowError
from services.transform.gunzip import gunzip
from services.transform.rows import read_row

BY_CODE = {airport.code: airport for airport in AIRPORTS}
LIMIT = 1 << 24


def rows_of(*, count: int, **options: float) -> list[list[str]]:
    batches = generated(seed=3, count=count, **options)  # type: ignore[arg-type]
    return [line.split(",") for batch in batches for line in (batch.text or b"").decode().splitlines()]


def test_the_same_seed_gives_the_same_batches() -> None:
    one, same, other = (list(generated(seed=seed, count=20, bad_share=0.5)) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_airports_are_where_they_are() -> None:
    assert len(BY_CODE) == len(AIRPORTS) > 100
    # Great-circle distances as published: LHR-JFK 5,540 km, SYD-LAX 12,050 km.
    assert distance_km(BY_CODE["LHR"], BY_CODE["JFK"]) == pytest.approx(5540, rel=0.01)
    assert distance_km(BY_CODE["SYD"], BY_CODE["LAX"]) == pytest.approx(12050, rel=0.01)


def test_good_batches_hold_good_rows_only() -> None:
    for origin, destination, day, price, cabin in rows_of(count=40):
        assert origin in BY_CODE
        assert destination in BY_CODE
        assert origin != destination
        date.fromisoformat(day)
        assert float(price) > 0
        assert cabin in "YWCF"


def test_fares_are_plausible() -> None:
    economy = [
        (distance_km(BY_CODE[row[0]], BY_CODE[row[1]]), float(row[3])) for row in rows_of(count=200) if row[4] == "Y"
    ]
    short = [fare for km, fare in economy if km < 1500]
    long = [fare for km, fare in economy if km > 8000]
    assert 40 < statistics.median(short) < 200
    assert 350 < statistics.median(long) < 1200


def test_sizes_keep_to_their_bounds() -> None:
    sizes = [(batch.text or b"").count(b"\n") for batch in generated(seed=1, count=300, fewest=5, most=50)]
    assert min(sizes) == 5
    assert max(sizes) <= 50


def test_bad_batches_are_refused_in_part_or_in_whole() -> None:
    whole = parts = 0
    for batch in generated(seed=5, count=100, bad_share=1.0, most=100):
        if batch.text is None:
            with pytest.raises(BatchError):
                gunzip(batch.body, limit=LIMIT)
            whole += 1
            continue
        refused = 0
        for line in batch.text.splitlines():
            try:
                read_row(line)
            except RowError:
                refused += 1
        assert refused == max(batch.text.count(b"\n") // 20, 1)
        parts += 1
    assert whole
    assert parts > whole


def test_it_goes_on_for_ever() -> None:
    assert len(list(itertools.islice(generated(seed=1, most=5), 1000))) == 1000


@pytest.mark.parametrize("wrong", [{"fewest": 0}, {"fewest": 9, "most": 8}, {"most": 20_001}, {"bad_share": 1.1}])
def test_senseless_numbers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="20000"):
        next(generated(seed=1, **wrong))  # type: ignore[arg-type]


def test_percentiles_are_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, p) for p in (50, 99, 100)] == [50, 99, 100]
    assert percentile([3.0, 1.0], 99) == 3.0
    assert percentile([2.0], 1) == 2.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
