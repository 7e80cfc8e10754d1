"""What every transactional service does around its work: settings, logs, health, signals, schema ids."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from services import logs
from services.errors import RegistryError, SettingsError
from services.exactly_once import Loop, backoff, instance_name
from services.health import Health, serve
from services.kafka import consumer_config, producer_config
from services.memory import plan_memory, tune_process
from services.settings import ConsumerSettings, load_or_exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.exactly_once import Work
    from services.registry import Registry

log = logging.getLogger(__name__)

_Settings = TypeVar("_Settings", bound=ConsumerSettings)


class Service:
    """One run of a transactional service.

    Args:
        name: the service's name: its consumer group and its log lines' `service`.
        settings: its settings.

    Attributes:
        settings: its settings.
        memory: the memory to keep to.
    """

    def __init__(self, *, name: str, settings: ConsumerSettings) -> None:
        self.settings = settings
        self.memory = plan_memory()
        self._name = name
        self._health = Health()
        self._stop = threading.Event()
        self._loop: Loop | None = None

    def start(self) -> None:
        """Serve health, and take SIGTERM and SIGINT as the wish to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._health.missing("kafka", "not asked yet")
        port = serve(self._health, host=self.settings.http_host, port=self.settings.http_port)
        log.info(
            "started",
            extra={
                "pid": os.getpid(),
                "http": f"{self.settings.http_host}:{port}",
                "memory_limit_bytes": self.memory.limit,
            },
        )

    def schema_id(self, registry: Registry, *, topic: str, schema: str) -> int | None:
        """Return the id of a topic's value schema, waiting for the registry; None if told to stop meanwhile.

        Args:
            registry: the registry.
            topic: the topic.
            schema: the Avro schema as JSON.
        """
        attempt = 0
        while not self._stop.is_set():
            self._health.turn()
            try:
                schema_id = registry.schema_id(f"{topic}-value", schema)
            except RegistryError as error:
                self._health.missing("registry", str(error))
                log.warning("waiting for the schema registry", extra={"cause": str(error)})
                self._stop.wait(backoff(attempt))
                attempt += 1
            else:
                self._health.present("registry")
                return schema_id
        return None

    def run(
        self, work: Callable[[], Work], *, topic: str, prefetch: float, prefetch_messages: int, queue_messages: int
    ) -> None:
        """Run the loop until told to stop.

        Args:
            work: makes the service's work.
            topic: the topic to read.
            prefetch: the part of the free memory that prefetched messages may take.
            prefetch_messages: the messages to prefetch from a partition, if the memory allows.
            queue_messages: how many messages may wait to be sent.
        """
        instance = instance_name(service=self._name, instance_id=self.settings.instance_id)
        self._loop = Loop(
            work=work,
            topic=topic,
            consumer=consumer_config(
                self.settings,
                group=self.settings.consumer_group or self._name,
                instance=instance,
                memory=self.memory,
                prefetch=prefetch,
                messages=prefetch_messages,
            ),
            producer=producer_config(self.settings, instance=instance, memory=self.memory, messages=queue_messages),
            transaction_seconds=self.settings.transaction_ms / 1000,
            health=self._health,
        )
        if not self._stop.is_set():
            self._loop.run()
        log.info("stopped")

    def _on_signal(self, number: int, _frame: Any) -> None:
        log.info("stopping", extra={"signal": signal.Signals(number).name})
        self._stop.set()
        if self._loop is not None:
            self._loop.stop()


def prepare(model: type[_Settings], *, name: str, purpose: str) -> tuple[Service, _Settings]:
    """Read a service's settings, set its process up and start it.

    Args:
        model: the settings' class.
        name: the service's name.
        purpose: what it does, a sentence for `--help`.

    Returns:
        The service and its settings.
    """
    program = f"cflight-{name}"
    settings = load_or_exit(model, program=program, purpose=purpose, environ=os.environ, arguments=sys.argv[1:])
    logs.configure(service=name, level=settings.log_level)
    tune_process()
    service = Service(name=name, settings=settings)
    try:
        service.start()
    except SettingsError as error:
        sys.stderr.write(f"{program}: {error}\n")
        raise SystemExit(2) from None
    return service, settings
