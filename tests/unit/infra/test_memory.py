"""From limits to heaps, and whether parts fit."""

from __future__ import annotations

import pytest

from infra.errors import SizingError
from infra.memory import (
    GIB,
    MIB,
    broker_memory,
    check_fit,
    connect_memory,
    format_memory,
    ksql_server_memory,
    parse_memory,
    registry_memory,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("256Mi", 256 * MIB), ("1Gi", GIB), ("1G", 10**9), ("512Ki", 512 * 1024), ("1048576", MIB), (MIB, MIB)],
)
def test_sizes_are_read_as_kubernetes_writes_them(text: str | int, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "0", "0Mi", "-1Mi", "1.5Gi", "1 Gi", "many", "1Ti", True, None, [1]])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="memory size"):
        parse_memory(text)


@pytest.mark.parametrize("size", [1, 1023, 1024, MIB, 384 * MIB, GIB, 3 * GIB + 1])
def test_a_written_size_reads_back(size: int) -> None:
    assert parse_memory(format_memory(size)) == size


def test_a_broker_leaves_half_to_the_page_cache_and_less_above_5_gib() -> None:
    assert broker_memory(512 * MIB).heap == 256 * MIB
    assert broker_memory(5 * GIB).heap == 5 * GIB // 2
    assert broker_memory(10 * GIB).heap == 6 * GIB


def test_a_worker_keeps_what_it_needs_beside_its_heap() -> None:
    assert connect_memory(288 * MIB).heap == 108 * MIB
    assert connect_memory(512 * MIB).heap == (512 - 32 - 176) * MIB
    assert connect_memory(4 * GIB).heap == 3 * GIB
    assert "-XX:NewRatio=1" in connect_memory(GIB).flags()


@pytest.mark.parametrize("limit", [256 * MIB, 512 * MIB, 4 * GIB])
def test_no_jvm_is_given_more_than_its_limit(limit: int) -> None:
    ksql, rocksdb = ksql_server_memory(limit)
    assert ksql.heap + ksql.direct + rocksdb < limit
    for memory in (broker_memory(limit), connect_memory(limit), registry_memory(limit)):
        assert memory.heap + memory.direct < limit
        assert f"-Xmx{memory.heap // 1024}k" in memory.flags()


def test_parts_that_fit_exactly_are_accepted() -> None:
    check_fit({"kafka": GIB, "connect": GIB}, available=2 * GIB, where="this machine")


def test_parts_that_do_not_fit_are_refused_with_the_sum() -> None:
    with pytest.raises(SizingError) as caught:
        check_fit({"kafka": GIB, "connect": 512 * MIB}, available=GIB, where="this machine")
    message = str(caught.value)
    assert "kafka 1Gi + connect 512Mi = 1,536 MiB" in message
    assert "this machine has 1,024 MiB" in message
    assert "pulumi config set" in message
