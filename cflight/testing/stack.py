"""A running stack as tests see it: send to it, wait for it, read what came out."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, TypeVar

from cflight.errors import CflightError
from cflight.observe.objects import Buckets, StoredObject
from cflight.observe.topics import Record, Topics
from cflight.testing.errors import ConditionError
from cflight.traffic.batch import Batch, batch_of
from cflight.traffic.sender import Accepted, Refused, Sender
from infra.local.status import PartStatus, parts_status
from services import contracts
from services.transform.ids import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cflight.endpoints import Endpoints

Found = TypeVar("Found")

_POLL_SECONDS = 0.1
_LOG_TAIL_LINES = 5


class RunningStack:
    """A stack that is up, on whatever target.

    Args:
        name: its name.
        endpoints: where it is found.
        token: the bearer token of its ingest, if that asks for one.

    Attributes:
        name: its name.
        endpoints: where it is found.
    """

    def __init__(self, *, name: str, endpoints: Endpoints, token: str | None = None) -> None:
        self.name = name
        self.endpoints = endpoints
        self._token = token
        self._topics: Topics | None = None
        self._buckets: Buckets | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's brokers, host:port."""
        return self.endpoints.bootstrap_servers

    @property
    def schema_registry_url(self) -> str:
        """Base URL of the registry's Confluent-compatible API."""
        return self.endpoints.schema_registry_url

    @property
    def buckets(self) -> Buckets:
        """Its buckets; `.client` is a boto3 client."""
        if self._buckets is None:
            self._buckets = Buckets(self.endpoints)
        return self._buckets

    def sender(self, *, concurrency: int = 8, rate: float | None = None, give_up_seconds: float = 60.0) -> Sender:
        """Return what posts batches to its ingest.

        Args:
            concurrency: requests at once.
            rate: batches a second at most.
            give_up_seconds: how long one batch is tried.
        """
        return Sender(
            self.endpoints.ingest_url,
            token=self._token,
            concurrency=concurrency,
            rate=rate,
            give_up_seconds=give_up_seconds,
        )

    def send(self, batches: Iterable[str | bytes | Batch]) -> list[Accepted]:
        """Send batches and return where they lie in the event log, in the order in which they were given.

        Args:
            batches: each CSV text, or bytes that are sent as they are, or a `Batch`.

        Raises:
            ConditionError: ingest refused one.
        """
        sent = [_batch(given, number) for number, given in enumerate(batches)]
        results = self.sender().send(sent)
        refused = [result for result in results if isinstance(result, Refused)]
        if refused:
            raise ConditionError(f"ingest refused {refused[0].batch.name}: {refused[0].why}", where=self.name)
        order = {id(batch): number for number, batch in enumerate(sent)}
        accepted = [result for result in results if isinstance(result, Accepted)]
        return sorted(accepted, key=lambda result: order[id(result.batch)])

    def batch_id(self, accepted: Accepted) -> str:
        """Return the id that an accepted batch has on its way: the key of its records.

        Args:
            accepted: what `send` returned.
        """
        place = accepted.position
        found = next(
            record
            for record in self.records(place.topic)
            if record.partition == place.partition
            and (record.offset == place.offset if place.offset is not None else record.value == accepted.batch.body)
        )
        return identify(
            topic=place.topic,
            partition=place.partition,
            offset=found.offset,
            timestamp_ms=round(found.timestamp * 1000),
        ).batch

    def records(self, topic: str, *, key: str | None = None) -> list[Record]:
        """Return the committed records of a topic, decoded, by partition and offset.

        Args:
            topic: the topic; `services.contracts` has the pipeline's.
            key: only those with this key.
        """
        if self._topics is None:
            self._topics = Topics(self.endpoints)
        return [record for record in self._topics.records(topic) if key is None or record.key == key]

    def quote(self, batch_id: str) -> Record | None:
        """Return the newest record of a batch's cheapest quote, or None as long as there is none.

        Args:
            batch_id: the batch's id.
        """
        return next(reversed(self.records(contracts.CHEAPEST, key=batch_id)), None)

    def objects(self, bucket: str, *, prefix: str = "") -> list[StoredObject]:
        """Return the objects of a bucket, by key. Read one with `buckets.read` or `buckets.records`.

        Args:
            bucket: the bucket's name; `endpoints` has the stack's.
            prefix: what their keys begin with.
        """
        return self.buckets.objects(bucket, prefix=prefix)

    def wait_for(self, what: str, probe: Callable[[], Found | None], *, seconds: float = 30.0) -> Found:
        """Wait until a probe finds something.

        A probe that fails with a `CflightError` or an `OSError` (a part is being restarted) is asked again.

        Args:
            what: what is waited for, for the message: "the quote of batch 1".
            probe: returns what it found, something false as long as it finds nothing.
            seconds: the longest time to wait.

        Returns:
            What the probe found.

        Raises:
            ConditionError: the time is over; the message tells the last answer, and which parts are not up.
        """
        start = time.monotonic()
        while True:
            asked = time.monotonic()
            try:
                found = probe()
                answer = repr(found)
            except (CflightError, OSError) as error:
                found, answer = None, str(error)
            if found:
                return found
            if time.monotonic() - start > seconds:
                raise ConditionError(
                    f"waited {seconds:.0f} s for {what}; last answer: {answer[:500]}{self._parts_told()}",
                    where=f"stack {self.name}",
                )
            # A probe that takes long must not take the processor from what it waits for.
            time.sleep(max(_POLL_SECONDS, time.monotonic() - asked))

    def parts(self) -> dict[str, PartStatus]:
        """Return how the parts of a local stack are, by name.

        Raises:
            CflightError: it is not on this machine.
        """
        return {part.name: part for part in parts_status(self.folder)}

    @property
    def folder(self) -> Path:
        """The folder of a local stack: `parts/<part>/log`, `parts/<part>/data`, ….

        Raises:
            CflightError: it is not on this machine.
        """
        if self.endpoints.folder is None:
            raise CflightError("its parts are not processes of this machine", where=f"stack {self.name}")
        return self.endpoints.folder

    def kill(self, part: str) -> PartStatus:
        """Kill a part of a local stack as the kernel would (SIGKILL), and return how it was before.

        Args:
            part: its name, as `cflight status` tells it.
        """
        status = self.wait_for(f"{part} to run", lambda: self._running(part))
        os.kill(status.pid, signal.SIGKILL)
        return status

    def close(self) -> None:
        """Leave its brokers; the stack itself stays as it is."""
        if self._topics is not None:
            self._topics.close()
            self._topics = None

    def _running(self, part: str) -> PartStatus | None:
        status = self.parts().get(part)
        return status if status and status.pid else None

    def _parts_told(self) -> str:
        if self.endpoints.folder is None:
            return ""
        lines: list[str] = []
        for part in self.parts().values():
            if part.state != "RUNNING" or part.restarts:
                lines.append(f"\n  {part.name} is {part.state}, restarted {part.restarts} times; its log ends:")
                log = self.folder / "parts" / part.name / "log"
                tail = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:] if log.exists() else []
                lines += [f"\n    {line[:300]}" for line in tail]
        return "".join(lines)


def _batch(given: str | bytes | Batch, number: int) -> Batch:
    if isinstance(given, Batch):
        return given
    if isinstance(given, str):
        return batch_of(given.encode(), name=f"batch {number}")
    return Batch(name=f"body {number}", body=given, text=None)
