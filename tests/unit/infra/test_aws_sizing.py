"""The calculator: its arithmetic, its command, and that the stacks' files say what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.aws import prices, sizing
from infra.aws.sizing import Workload, plan, stack_settings, why_not_one
from infra.errors import SizingError
from infra.memory import MIB

ROOT = Path(__file__).parents[3]
PROD = Workload(tb_per_day=12)
STAGING = Workload(tb_per_day=0.05, engine="ksql", object_days=14, nat_gateways=1)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(value, dict):
        found: dict[tuple[str, ...], Any] = {}
        for key, one in value.items():  # pyright: ignore[reportUnknownVariableType]
            found |= _leaves(one, (*path, str(key)))  # pyright: ignore[reportUnknownArgumentType]
        return found
    return {path: value}


def test_prod_says_what_the_calculator_says_for_12_tb_a_day() -> None:
    file = _leaves(yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"])
    wanted = _leaves(stack_settings(plan(PROD), PROD))
    assert {path: file.get(path) for path in wanted} == wanted


def test_staging_is_large_enough_for_its_volume() -> None:
    file = _leaves(yaml.safe_load((ROOT / "Pulumi.staging.yaml").read_text())["config"])
    wanted = _leaves(stack_settings(plan(STAGING), STAGING))
    kafka = ("cflight:aws", "kafka")
    for name in ("kind", "brokerType", "brokers", "storageGib", "maxStorageGib"):
        assert file[*kafka, name] == wanted[*kafka, name]
    assert file["cflight:topics", "partitions"] >= wanted["cflight:topics", "partitions"]


def test_the_volume_in_the_units_of_each_part() -> None:
    made = plan(PROD)
    assert made.rows_per_second == pytest.approx(12e12 / 86_400 / 28.6)
    assert made.batches_per_day == pytest.approx(12e12 / 28.6 / 2260)
    topics = 12e6 / 86_400 * (0.344 + 1.860 + 2.019 + 1.184)
    assert made.ingress_mb == pytest.approx(topics + made.batches_per_day / 86_400 * 98 / 1e6)


@pytest.mark.parametrize("kind", ["standard", "express"])
@pytest.mark.parametrize("tb", [0.01, 0.3, 1.0, 3.0])
def test_what_is_planned_is_enough(kind: sizing.Kind, tb: float) -> None:
    work = Workload(tb_per_day=tb, kind=kind)
    made = plan(work)
    broker = next(one for one in sizing.BROKERS if one.name == made.broker_type)
    assert made.brokers % 3 == 0
    assert (made.brokers - 1) * broker.ingress >= made.ingress_mb * work.peak
    assert made.partitions % made.brokers == 0
    assert made.partitions >= max(made.replicas.values())
    csv_mb = tb * 1e6 / 86_400
    assert csv_mb * 2.019 * work.peak / made.partitions <= sizing.PARTITION_MB
    assert made.archive.mcus * made.archive.workers * sizing.MCU_MB >= csv_mb * 1.184 * work.peak
    assert made.archive.workers <= sizing.MAX_WORKERS
    if kind == "standard":
        kept = 86_400e6 / 24 * (csv_mb * 0.344 * 72 + (made.ingress_mb - csv_mb * 0.344) * 24)
        assert made.brokers * (made.disk_gib or 0) * 2**30 * sizing.DISK_USED >= kept * 3
        assert (made.max_disk_gib or 0) <= sizing.MAX_DISK_GIB


def test_more_costs_more() -> None:
    totals = [plan(Workload(tb_per_day=tb)).total for tb in (0.1, 1, 4, 12)]
    assert totals == sorted(totals)
    assert plan(PROD).total < plan(replace(PROD, retention_hours=72)).total
    assert plan(PROD).total < plan(replace(PROD, object_days=365)).total
    third = replace(PROD, tb_per_day=3)
    assert plan(third).total == min(plan(replace(third, kind=kind)).total for kind in ("standard", "express"))
    with pytest.raises(SizingError, match="no cluster"):
        plan(replace(PROD, kind="standard"))


def test_smaller_batches_cost_more_files_not_more_brokers() -> None:
    small = plan(replace(PROD, rows_per_batch=10))
    assert small.batches_per_day == pytest.approx(plan(PROD).batches_per_day * 226)
    assert small.replicas["ingest"] > plan(PROD).replicas["ingest"]
    assert small.archive.object_bytes <= sizing.OBJECT_BYTES


def test_ksqldb_never_runs_on_express_brokers() -> None:
    assert plan(replace(STAGING, kind=None)).kind == "standard"
    with pytest.raises(SizingError, match="no cluster"):
        plan(replace(STAGING, kind="express"))


def test_objects_are_about_128_mib_or_ten_minutes() -> None:
    made = plan(PROD)
    assert 120 * MIB <= made.archive.object_bytes <= 128 * MIB
    in_ten_minutes = made.batches_per_day / made.partitions / 144
    assert made.quotes.flush_size == int(in_ten_minutes)
    assert made.quotes.objects_per_day == pytest.approx(made.partitions * 144, rel=0.01)


def test_why_flush_size_is_not_one() -> None:
    single = plan(replace(PROD, flush_size=1))
    assert single.archive.objects_per_day == pytest.approx(single.batches_per_day, abs=1)
    # Begin, one part, complete.
    assert single.archive.requests_per_day == pytest.approx(3 * single.batches_per_day, abs=2)
    assert single.monthly["S3 requests"] > 1000 * plan(PROD).monthly["S3 requests"]
    assert f"{single.monthly['S3 requests']:,.0f}" in why_not_one(PROD)


def test_too_much_is_said_so() -> None:
    with pytest.raises(SizingError, match="no cluster of 15 brokers takes 5000 TB a day"):
        plan(Workload(tb_per_day=5000))
    with pytest.raises(SizingError, match="no prices of mars-1"):
        plan(replace(PROD, region="mars-1"))


def test_prices_have_a_date_and_a_table_for_each_region() -> None:
    assert len(prices.AS_OF) == len("2025-06")
    assert {"us-east-1", "eu-west-1"} <= prices.PRICES.keys()


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert sizing.main(["--tb-per-day", "12", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["brokers"] == plan(PROD).brokers
    assert told["total"] == pytest.approx(sum(told["monthly"].values()))
    assert told["prices_as_of"] == prices.AS_OF
    assert sizing.main(["--tb-per-day", "12", "--settings"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["config"] == stack_settings(plan(PROD), PROD)
    assert sizing.main(["--tb-per-day", "12"]) == 0
    text = capsys.readouterr().out
    assert "list prices of 2025-06" in text
    assert "flush.size=1 would make" in text
    assert sizing.main(["--tb-per-day", "12", "--region", "mars-1"]) == 1
    assert "no prices of mars-1" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--tb-per-day", "0"], ["--tb-per-day", "nan"], ["--tb-per-day", "-1"]])
def test_the_command_refuses_nonsense(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        sizing.main(arguments)
    assert exit_.value.code == 2
    assert "usage:" in capsys.readouterr().err
