"""Both engines for the cheapest quote, the KSQL table and the row-by-row service, on the same batches of one stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.processes import ServiceProcess
from bench.topics import create_topics
from cflight.testing.errors import ConditionError
from cflight.traffic.fares import generated
from services import contracts

if TYPE_CHECKING:
    from cflight.testing.ephemeral import StackPool
    from cflight.testing.stack import RunningStack

pytestmark = pytest.mark.integration

BATCHES = 200
BY_SERVICE = "cheapest.by.service"


def test_both_engines_find_the_same_quotes(cflight_stacks: StackPool) -> None:
    stack = cflight_stacks.shared({"cflight:cheapestEngine": "ksql"})
    if stack.endpoints.ksql_url is None:
        pytest.skip(f"stack {stack.name} has no ksqlDB")
    before = set(_quotes(stack, contracts.CHEAPEST))
    create_topics(stack.bootstrap_servers, [BY_SERVICE], partitions=4)
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "SCHEMA_REGISTRY_URL": stack.schema_registry_url,
        "CHEAPEST_TOPIC": BY_SERVICE,
        "CONSUMER_GROUP": BY_SERVICE,
    }
    with ServiceProcess("services.cheapest", environment=environment, memory=0) as service:
        service.wait_ready()
        stack.send(generated(seed=11, count=BATCHES, most=400, bad_share=0.2))

        def same() -> bool:
            found = {batch: quote for batch, quote in _quotes(stack, contracts.CHEAPEST).items() if batch not in before}
            expected = {batch: quote for batch, quote in _quotes(stack, BY_SERVICE).items() if batch not in before}
            different = [batch for batch in expected | found if expected.get(batch) != found.get(batch)]
            if different or len(expected) < BATCHES * 3 // 4:
                raise ConditionError(f"{len(expected)} and {len(found)} batches; these differ: {different[:3]}")
            return True

        stack.wait_for("both engines to agree", same, seconds=90)
        service.stop()
    records = [record.key for record in stack.records(BY_SERVICE)]
    assert len(records) == len(set(records))  # the service says it once; the table may refine its answer


def _quotes(stack: RunningStack, topic: str) -> dict[str | None, object]:
    """Return the newest quote of each batch."""
    return {record.key: record.value for record in stack.records(topic)}
