"""From a volume to a platform and its price: `python -m infra.aws.sizing --tb-per-day 12 --rows-per-batch 2260`.

Pure arithmetic over three kinds of figures, each said where it stands: measured ones of this pipeline (RATIOS, CPU),
published ones of AWS (BROKERS), and planning values that a user may want to change (the command's options). The rules:

- brokers: for each kind and type, as many as peak ingress needs with one of them away, and as disks and partitions
  need; three at least, the same number in each zone; of all that a new cluster may have, the cheapest wins.
- partitions: so many that at the peak none takes more than 5 MB/s, and that the busiest service has one for each of its
  instances; a multiple of the brokers, so that each leads as many.
- sinks: a unit of MSK Connect (1 vCPU) archives about 20 MB/s; as few workers as can be, ten at most.
- objects: `flush.size` so that an object is about 128 MiB, or has what comes to a partition in ten minutes if that is
  less: the sinks' partitioner knows no time, so that nothing else closes a file without giving up exactly-once. At S3
  every object of the Confluent sink is a multi-part upload: one request to begin, one for each part, one to complete.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import yaml
from rich.console import Console
from rich.table import Table

from cflight.errors import CflightError
from infra.aws.prices import AS_OF, HOURS, PRICES, Prices
from infra.errors import SizingError
from infra.memory import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["standard", "express"]
Engine = Literal["ksql", "service"]

# A CSV row, and what the services write of it, in bytes on the brokers' disks with their compression (lz4; the
# bundles of batch.compressed are gzip). Measured with 266 batches of 3 to 20,000 rows, 601,340 rows together.
ROW_BYTES = 28.6
RATIOS = {"eventlog": 0.344, "payload": 1.860, "incoming": 2.019, "compressed": 1.184}
CHEAPEST_BYTES = 98  # of a batch
# Measured on one core: rows a second, MB of CSV a second, requests a second.
TRANSFORM_ROWS = 510_000
CHEAPEST_ROWS = 1_700_000
COMPRESSOR_MB = 50  # 198 MB/s of bundles, which are four times the CSV
INGEST_REQUESTS = 8_900
# Not measured here: a row of an Avro aggregation in a ksqlDB server; its users report some ten thousand a core.
KSQL_ROWS = 30_000

REPLICAS = 3
ZONES = 3
PARTITION_MB = 5.0
MCU_MB = 20.0
OBJECT_BYTES = 128 * MIB
# Parts of an upload: S3's smallest for objects of one part, else few requests.
SMALL_PART, LARGE_PART = 5 * MIB, 25 * MIB
FILE_SECONDS = 600
NODE_TYPES = {"m7i.large": 2, "m7i.xlarge": 4, "m7i.2xlarge": 8, "m7i.4xlarge": 16}
PLATFORM_CPUS = 2  # registry, jobs, and what every node runs
USED = 0.7  # of what there is, at the peak: the rest is for a zone's failure and rebalances
DISK_USED = 0.6  # where MSK grows a disk
MAX_DISK_GIB = 16_384
MAX_BROKERS = 15  # that a cluster can be made with; it can grow further
MAX_WORKERS = 10  # of a connector


@dataclass(frozen=True, kw_only=True)
class BrokerType:
    """A type of broker.

    Attributes:
        name: its name.
        kind: standard or Express.
        ingress: MB/s that it takes for long.
        partitions: replicas of partitions that AWS recommends at most.
        larges: how many times the price of a `large` it costs.
    """

    name: str
    kind: Kind
    ingress: float
    partitions: int
    larges: int


def _types() -> list[BrokerType]:
    # Express: AWS's published sustained ingress and recommended partitions. Standard: AWS says that a 16xlarge handles
    # 154 MB/s safely where an Express one takes 500; the same share is taken for the others.
    express = {
        "large": (15.6, 1000, 1),
        "xlarge": (31.2, 1000, 2),
        "2xlarge": (62.5, 2500, 4),
        "4xlarge": (124.9, 6000, 8),
        "8xlarge": (250.0, 12000, 16),
        "12xlarge": (375.0, 16000, 24),
        "16xlarge": (500.0, 20000, 32),
    }
    standard_partitions = {"large": 1000, "xlarge": 1000, "2xlarge": 2000}
    types: list[BrokerType] = []
    for size, (ingress, partitions, larges) in express.items():
        types.append(
            BrokerType(
                name=f"express.m7g.{size}", kind="express", ingress=ingress, partitions=partitions, larges=larges
            )
        )
        types.append(
            BrokerType(
                name=f"kafka.m7g.{size}",
                kind="standard",
                ingress=round(ingress * 154 / 500, 1),
                partitions=standard_partitions.get(size, 4000),
                larges=larges,
            )
        )
    return types


BROKERS = _types()


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What shall be processed.

    Attributes:
        tb_per_day: rows as CSV before gzip, in TB (10^12 bytes) a day.
        rows_per_batch: rows of a batch in the mean.
        retention_hours: how long derived topics keep their records.
        event_log_hours: how long the event log and the dead letters are kept.
        object_days: how long objects stay in S3.
        peak: the busiest hours' volume, as a multiple of the mean.
        engine: what finds the cheapest quotes.
        region: whose prices.
        kind: of brokers; None: the cheaper.
        flush_size: batches of an object of the archive; None: so many that it is about 128 MiB.
        nat_gateways: ways out to the internet.
    """

    tb_per_day: float
    rows_per_batch: float = 2260
    retention_hours: float = 24
    event_log_hours: float = 72
    object_days: float = 30
    peak: float = 1.5
    engine: Engine = "service"
    region: str = "eu-west-1"
    kind: Kind | None = None
    flush_size: int | None = None
    nat_gateways: int = 3


@dataclass(frozen=True, kw_only=True)
class SinkPlan:
    """A sink: its files, its workers, its requests."""

    flush_size: int
    part_size: int
    object_bytes: int
    objects_per_day: int
    requests_per_day: int
    tasks: int
    mcus: int
    workers: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A platform for a workload.

    Attributes:
        rows_per_second: in the mean.
        batches_per_day: in the mean.
        ingress_mb: MB/s that producers write, in the mean.
        partitions: of every topic.
        kind: of the brokers.
        broker_type: their type.
        brokers: their number.
        disk_gib: disk of a standard broker; None for Express.
        max_disk_gib: how far it may grow.
        replicas: instances of each service.
        node_type: type of the EKS nodes.
        nodes: their number.
        archive: the sink of the batches.
        quotes: the sink of the cheapest quotes.
        archive_gb_per_day: what the archive grows by.
        monthly: dollars a month by item.
    """

    rows_per_second: float
    batches_per_day: float
    ingress_mb: float
    partitions: int
    kind: Kind
    broker_type: str
    brokers: int
    disk_gib: int | None
    max_disk_gib: int | None
    replicas: dict[str, int]
    node_type: str
    nodes: int
    archive: SinkPlan
    quotes: SinkPlan
    archive_gb_per_day: float
    monthly: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def total(self) -> float:
        """Dollars a month."""
        return sum(self.monthly.values())


def plan(work: Workload) -> Plan:
    """Return the cheapest platform for a workload.

    Args:
        work: the workload.

    Raises:
        SizingError: no cluster that MSK offers is large enough, or the region's prices are not known.
    """
    prices = _prices(work.region)
    plans = [
        candidate
        for broker in BROKERS
        if work.kind in {None, broker.kind}
        # ksqlDB is Kafka Streams, which Express brokers support only in part.
        and not (work.engine == "ksql" and broker.kind == "express")
        and (candidate := _with(broker, work, prices)) is not None
    ]
    if not plans:
        raise SizingError(
            f"no cluster of {MAX_BROKERS} brokers takes {work.tb_per_day:g} TB a day",
            where="--tb-per-day",
            remedy="Keep records for fewer hours, or split the volume over several stacks.",
        )
    return min(plans, key=lambda candidate: candidate.total)


def _prices(region: str) -> Prices:
    if region not in PRICES:
        raise SizingError(
            f"there are no prices of {region}",
            where="--region",
            remedy=f"Known are {', '.join(PRICES)}; add others to infra/aws/prices.py.",
        )
    return PRICES[region]


def _with(broker: BrokerType, work: Workload, prices: Prices) -> Plan | None:
    csv_mb = work.tb_per_day * 1e6 / 86_400
    rows = work.tb_per_day * 1e12 / 86_400 / ROW_BYTES
    batches = rows / work.rows_per_batch * 86_400
    cheapest_mb = batches / 86_400 * CHEAPEST_BYTES / 1e6
    ingress = csv_mb * sum(RATIOS.values()) + cheapest_mb
    replicas = _replicas(work, rows=rows * work.peak, csv_mb=csv_mb * work.peak, batches=batches * work.peak / 86_400)
    kept_gb = (
        86_400
        / 1000
        / 24
        * (
            csv_mb * RATIOS["eventlog"] * work.event_log_hours
            + (ingress - csv_mb * RATIOS["eventlog"]) * work.retention_hours
        )
    )
    # One is always being patched, and takes nothing.
    by_ingress = math.ceil(ingress * work.peak / broker.ingress) + 1
    by_disk = 0
    if broker.kind == "standard":
        by_disk = math.ceil(kept_gb * 1e9 * REPLICAS / DISK_USED / (MAX_DISK_GIB * 2**30))
    busiest_topic = csv_mb * max(RATIOS.values()) * work.peak
    streams = max(math.ceil(busiest_topic / PARTITION_MB), *replicas.values(), ZONES)
    brokers = _multiple(max(by_ingress, by_disk, ZONES), of=ZONES)
    partitions = _multiple(streams, of=brokers)
    # Seven topics of the pipeline and as many again for what ksqlDB, Connect and the registry keep.
    brokers = _multiple(max(brokers, math.ceil(partitions * 14 * REPLICAS / broker.partitions)), of=ZONES)
    if brokers > MAX_BROKERS:
        return None
    partitions = _multiple(streams, of=brokers)
    disk = max_disk = None
    if broker.kind == "standard":
        disk = math.ceil(kept_gb * 1e9 * REPLICAS / DISK_USED / brokers / 2**30)
        max_disk = min(2 * disk, MAX_DISK_GIB)
    archive = _sink(
        mb=csv_mb * RATIOS["compressed"],
        records=batches,
        partitions=partitions,
        peak=work.peak,
        flush_size=work.flush_size,
    )
    quotes = _sink(mb=cheapest_mb, records=batches, partitions=partitions, peak=work.peak, flush_size=work.flush_size)
    cpus = _cpus(work, rows=rows * work.peak, csv_mb=csv_mb * work.peak, batches=batches * work.peak / 86_400)
    node_type, nodes = _nodes(sum(cpus.values()) / USED + PLATFORM_CPUS)
    made = Plan(
        rows_per_second=rows,
        batches_per_day=batches,
        ingress_mb=ingress,
        partitions=partitions,
        kind=broker.kind,
        broker_type=broker.name,
        brokers=brokers,
        disk_gib=disk,
        max_disk_gib=max_disk,
        replicas=replicas,
        node_type=node_type,
        nodes=nodes,
        archive=archive,
        quotes=quotes,
        archive_gb_per_day=(csv_mb * RATIOS["compressed"] + cheapest_mb) * 86.4,
    )
    made.monthly.update(_costs(made, broker, work, prices, kept_gb=kept_gb, csv_mb=csv_mb))
    return made


def _nodes(cpus: float) -> tuple[str, int]:
    # The smallest type of which one a zone is enough; else as many of the largest as it takes.
    name, size = next(
        ((name, size) for name, size in NODE_TYPES.items() if cpus <= size * ZONES), list(NODE_TYPES.items())[-1]
    )
    return name, max(ZONES, math.ceil(cpus / size))


def _multiple(number: int, *, of: int) -> int:
    return math.ceil(number / of) * of


def _cpus(work: Workload, *, rows: float, csv_mb: float, batches: float) -> dict[str, float]:
    engine = {"cheapest": rows / CHEAPEST_ROWS} if work.engine == "service" else {"ksql": rows / KSQL_ROWS}
    return {
        "ingest": batches / INGEST_REQUESTS,
        "transform": rows / TRANSFORM_ROWS,
        "compressor": csv_mb / COMPRESSOR_MB,
        **engine,
    }


def _replicas(work: Workload, *, rows: float, csv_mb: float, batches: float) -> dict[str, int]:
    cpus = _cpus(work, rows=rows, csv_mb=csv_mb, batches=batches)
    # A service is one process with one busy thread; two at least, so that one can go.
    return {name: max(2, math.ceil(cpu / USED)) for name, cpu in cpus.items() if name != "ksql"}


def _sink(*, mb: float, records: float, partitions: int, peak: float, flush_size: int | None) -> SinkPlan:
    record = mb * 86_400e6 / records
    in_time = records / partitions * FILE_SECONDS / 86_400
    in_file = flush_size or max(1, math.floor(min(OBJECT_BYTES / record, in_time)))
    objects = records / in_file
    size = record * in_file
    part = SMALL_PART if size <= SMALL_PART else LARGE_PART
    requests = objects * (2 + math.ceil(size / part))
    units = mb * peak / MCU_MB
    mcus = next(size for size in (1, 2, 4, 8) if units <= size * MAX_WORKERS * USED or size == 8)
    workers = max(1, min(MAX_WORKERS, math.ceil(units / mcus / USED)))
    return SinkPlan(
        flush_size=in_file,
        part_size=part,
        object_bytes=round(size),
        objects_per_day=round(objects),
        requests_per_day=round(requests),
        tasks=min(partitions, workers * mcus * 2),
        mcus=mcus,
        workers=workers,
    )


def _costs(
    made: Plan, broker: BrokerType, work: Workload, prices: Prices, *, kept_gb: float, csv_mb: float
) -> dict[str, float]:
    days = HOURS / 24
    written_gb = made.ingress_mb * 86.4 * days
    large = prices.express_large if broker.kind == "express" else prices.standard_large
    items = {"brokers": made.brokers * broker.larges * large * HOURS}
    if broker.kind == "express":
        items["Express storage"] = kept_gb * prices.express_storage
        items["Express ingress"] = written_gb * prices.express_ingress
    else:
        disks_gb = made.brokers * (made.disk_gib or 0) * 2**30 / 1e9
        items["broker disks"] = disks_gb * prices.standard_storage
    # Producers and consumers sit in the three zones: two thirds of what is written, and read once, crosses one.
    items["traffic between zones"] = written_gb * 2 * 2 / 3 * prices.zone_transfer
    units = sum(sink.mcus * sink.workers for sink in (made.archive, made.quotes))
    items["MSK Connect"] = units * prices.connect_mcu * HOURS
    items["S3 storage"] = _tiered(made.archive_gb_per_day * work.object_days, prices.s3_storage)
    requests = made.archive.requests_per_day + made.quotes.requests_per_day
    items["S3 requests"] = requests * days / 1000 * prices.s3_put
    items["EKS nodes"] = made.nodes * NODE_TYPES[made.node_type] * prices.node_cpu * HOURS
    items["EKS cluster"] = prices.eks_cluster * HOURS
    received_gb = csv_mb * RATIOS["eventlog"] * 86.4 * days
    items["load balancers"] = 2 * prices.balancer * HOURS + received_gb * prices.balancer_gb
    items["NAT gateways"] = work.nat_gateways * prices.nat * HOURS
    items["endpoints"] = 4 * ZONES * prices.endpoint * HOURS
    items["keys"] = 4 * prices.key
    return items


def _tiered(gb: float, prices: tuple[float, float, float]) -> float:
    first, second = min(gb, 50_000), min(max(gb - 50_000, 0), 450_000)
    return first * prices[0] + second * prices[1] + max(gb - 500_000, 0) * prices[2]


def stack_settings(made: Plan, work: Workload) -> dict[str, Any]:
    """Return the stack's settings that follow from a plan, as `Pulumi.<stack>.yaml` has them.

    Args:
        made: the plan.
        work: its workload.
    """
    disks = {} if made.disk_gib is None else {"storageGib": made.disk_gib, "maxStorageGib": made.max_disk_gib}
    sinks = {"batchcompress.sink": made.archive, "cflight.sink": made.quotes}
    return {
        "cflight:cheapestEngine": work.engine,
        "cflight:topics": {
            "partitions": made.partitions,
            "replicationFactor": REPLICAS,
            "minInSyncReplicas": 2,
            "retentionHours": round(work.retention_hours),
            "deadLetterRetentionHours": round(work.event_log_hours),
        },
        "cflight:services": {name: {"replicas": number} for name, number in made.replicas.items()},
        "cflight:sinks": {
            name: {
                "flushSize": sink.flush_size,
                "partSize": f"{sink.part_size // MIB}Mi",
                "tasksMax": sink.tasks,
            }
            for name, sink in sinks.items()
        },
        "cflight:aws": {
            "region": work.region,
            "network": {"create": {"natGateways": work.nat_gateways}},
            "cluster": {
                "create": {
                    "instanceType": made.node_type,
                    "nodes": made.nodes,
                    "maxNodes": made.nodes + math.ceil(made.nodes / ZONES),
                }
            },
            "kafka": {"kind": made.kind, "brokerType": made.broker_type, "brokers": made.brokers, **disks},
            "buckets": {"expiryDays": round(work.object_days)},
            "connect": {"sinks": {name: {"mcus": sink.mcus, "workers": sink.workers} for name, sink in sinks.items()}},
        },
    }


def report(made: Plan, work: Workload, *, console: Console) -> None:
    """Print a plan, its price, and what one object for every batch would be instead.

    Args:
        made: the plan.
        work: its workload.
        console: where to.
    """
    facts = Table(title=f"{work.tb_per_day:g} TB a day, {work.rows_per_batch:g} rows a batch", show_header=False)
    disks = "" if made.disk_gib is None else f", {made.disk_gib:,} GiB each"
    for name, value in (
        ("rows a second", f"{made.rows_per_second:,.0f}"),
        ("batches a day", f"{made.batches_per_day:,.0f}"),
        ("written to Kafka", f"{made.ingress_mb:,.0f} MB/s, {made.ingress_mb * work.peak:,.0f} at the peak"),
        ("partitions of a topic", f"{made.partitions}"),
        ("brokers", f"{made.brokers} x {made.broker_type}{disks}"),
        ("services", ", ".join(f"{number} {service}" for service, number in made.replicas.items())),
        ("nodes", f"{made.nodes} x {made.node_type}"),
        ("archive", _told(made.archive)),
        ("quotes", _told(made.quotes)),
    ):
        facts.add_row(name, value)
    console.print(facts)
    costs = Table(title=f"US$ a month, {work.region}, list prices of {AS_OF}")
    costs.add_column("item")
    costs.add_column("US$", justify="right")
    for name, dollars in sorted(made.monthly.items(), key=lambda item: -item[1]):
        costs.add_row(name, f"{dollars:,.0f}")
    costs.add_row("all", f"{made.total:,.0f}", style="bold")
    console.print(costs)
    if made.archive.flush_size > 1:
        console.print(why_not_one(work))


def _told(sink: SinkPlan) -> str:
    return (
        f"flush.size {sink.flush_size:,}: {sink.objects_per_day:,} objects of {sink.object_bytes / MIB:,.1f} MiB and "
        f"{sink.requests_per_day:,} requests a day; {sink.workers} x {sink.mcus} MCU, {sink.tasks} tasks"
    )


def why_not_one(work: Workload) -> str:
    """Return what `flush.size=1`, an object for every batch, would come to.

    Args:
        work: the workload.
    """
    made = plan(work)
    single = plan(replace(work, flush_size=1))
    objects = single.archive.objects_per_day + single.quotes.objects_per_day
    requests = single.archive.requests_per_day + single.quotes.requests_per_day
    return (
        f"flush.size=1 would make {objects:,} objects and {requests:,} requests a day: "
        f"US$ {single.monthly['S3 requests']:,.0f} a month for requests instead of "
        f"{made.monthly['S3 requests']:,.0f}, {requests / 86_400:,.0f} requests a second, and {objects // 1000:,} more "
        "to list a day's objects. It is for environments in which a batch shall be seen as an object at once."
    )


def _parser() -> argparse.ArgumentParser:
    defaults = Workload(tb_per_day=0)
    parser = argparse.ArgumentParser(prog="python -m infra.aws.sizing", description="Size the platform on AWS.")
    parser.add_argument(
        "--tb-per-day", type=_positive, required=True, help="rows as CSV before gzip, 10^12 bytes a day"
    )
    for name, text in (
        ("rows-per-batch", "rows of a batch in the mean"),
        ("retention-hours", "how long derived topics keep records"),
        ("event-log-hours", "how long event log and dead letters are kept"),
        ("object-days", "how long objects stay in S3"),
        ("peak", "the busiest hours, as a multiple of the mean"),
    ):
        default = getattr(defaults, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=_positive, default=default, help=f"{text} (default: {default:g})")
    parser.add_argument("--engine", choices=["ksql", "service"], default=defaults.engine, help="(default: service)")
    parser.add_argument("--region", default=defaults.region, help=f"one of {', '.join(PRICES)}")
    parser.add_argument("--kind", choices=["standard", "express"], help="of brokers (default: the cheaper)")
    parser.add_argument("--flush-size", type=_count, help="batches of an object (default: for 128 MiB)")
    parser.add_argument("--nat-gateways", type=int, choices=[0, 1, 3], default=defaults.nat_gateways)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the plan as one JSON object")
    output.add_argument("--settings", action="store_true", help="print the stack's settings, for Pulumi.<stack>.yaml")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: the command line.

    Returns:
        The exit code.
    """
    options: dict[str, Any] = vars(_parser().parse_args(arguments))
    as_json, as_settings = options.pop("json"), options.pop("settings")
    work = Workload(**options)
    try:
        made = plan(work)
    except CflightError as error:
        sys.stderr.write(f"sizing: {error}\n")
        return 1
    if as_json:
        sys.stdout.write(json.dumps({**asdict(made), "total": made.total, "prices_as_of": AS_OF}, indent=1) + "\n")
    elif as_settings:
        sys.stdout.write(yaml.safe_dump({"config": stack_settings(made, work)}, sort_keys=False))
    else:
        report(made, work, console=Console(soft_wrap=True, highlight=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
