"""librdkafka's configuration: connection, login, and queues that fit the memory."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from services import contracts
from services.errors import SettingsError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

    from services.memory import MemoryPlan
    from services.settings import ConsumerSettings, KafkaSettings

log = logging.getLogger(__name__)

Config = dict[str, Any]
_LOG_PAUSE_SECONDS = 10.0
_OAUTH_EXTRA = "pip install 'cflight[aws]'"


def client_config(settings: KafkaSettings, *, client_id: str) -> Config:
    """Return what every client needs.

    Args:
        settings: where Kafka is and how to log in.
        client_id: the client's name in the broker's logs and quotas.

    Raises:
        SettingsError: if AWS IAM is asked for and its library is not installed.
    """
    config: Config = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": client_id,
        "security.protocol": settings.kafka_security_protocol,
        "error_cb": log_error,
        "logger": _library_log,
        "socket.keepalive.enable": True,
        # Reconnect soon: a broker that restarts is back in seconds.
        "reconnect.backoff.max.ms": 2000,
        "allow.auto.create.topics": False,
        "topic.metadata.refresh.interval.ms": 60_000,
    }
    if settings.kafka_ssl_ca_location is not None:
        config["ssl.ca.location"] = str(settings.kafka_ssl_ca_location)
    if settings.kafka_sasl_mechanism is not None:
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
    if settings.kafka_sasl_mechanism == "OAUTHBEARER":
        config["oauth_cb"] = _iam_token_callback(settings.kafka_iam_region or "")
    elif settings.kafka_sasl_username is not None and settings.kafka_sasl_password is not None:
        config["sasl.username"] = settings.kafka_sasl_username
        config["sasl.password"] = settings.kafka_sasl_password.get_secret_value()
    return config


def consumer_config(
    settings: ConsumerSettings, *, group: str, instance: str, memory: MemoryPlan, prefetch: float, messages: int
) -> Config:
    """Return the configuration of a transactional service's consumer.

    Args:
        settings: the service's settings.
        group: the consumer group.
        instance: this instance's name.
        memory: the memory to keep to.
        prefetch: the part of the free memory that prefetched messages may take.
        messages: the messages to prefetch from a partition, if the memory allows.
    """
    queue = memory.share(prefetch, least=2 * 1024 * 1024)
    config = client_config(settings, client_id=instance) | {
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": min(3000, settings.session_timeout_ms // 3),
        "queued.max.messages.kbytes": queue // 1024,
        "queued.min.messages": messages,
        # A longer message comes alone, whatever these say.
        "max.partition.fetch.bytes": max(queue // 4, 256 * 1024),
        "fetch.max.bytes": max(queue // 2, 1024 * 1024),
        "fetch.wait.max.ms": 100,
        "fetch.error.backoff.ms": 100,
        "fetch.queue.backoff.ms": 10,
    }
    if settings.instance_id is not None:
        config["group.instance.id"] = settings.instance_id
    return config


def producer_config(settings: ConsumerSettings, *, instance: str, memory: MemoryPlan, messages: int) -> Config:
    """Return the configuration of a transactional service's producer.

    Args:
        settings: the service's settings.
        instance: this instance's name, and its transactional id.
        memory: the memory to keep to.
        messages: how many messages may wait to be sent.
    """
    # A whole message must fit; the headroom lets a message that fills the limit be dead-lettered with its headers.
    longest = settings.max_message_bytes + contracts.HEADROOM_BYTES
    return client_config(settings, client_id=instance) | {
        "transactional.id": instance,
        "transaction.timeout.ms": settings.transaction_timeout_ms,
        "message.timeout.ms": settings.transaction_timeout_ms,
        "partitioner": contracts.PARTITIONER,
        "compression.type": settings.compression,
        "message.max.bytes": longest,
        "batch.size": 1_000_000,
        "linger.ms": 20,
        "queue.buffering.max.messages": messages,
        "queue.buffering.max.kbytes": max(memory.share(0.4, least=0), 2 * longest) // 1024,
        # A commit is the acknowledgement of everything in it: only failures are of interest.
        "delivery.report.only.error": True,
    }


def _is_news(record: logging.LogRecord) -> bool:
    # Lost connections come to log_error as well.
    return not record.getMessage().startswith("FAIL [")


_library_log = logging.getLogger("librdkafka")
_library_log.addFilter(_is_news)

_logged_at: dict[str, float] = {}


def log_error(error: KafkaError) -> None:
    """Log what a client reports of its own accord, each kind once in a while; what matters makes a call fail."""
    now = time.monotonic()
    if now - _logged_at.get(error.name(), -_LOG_PAUSE_SECONDS) >= _LOG_PAUSE_SECONDS:
        _logged_at[error.name()] = now
        log.warning("kafka", extra={"code": error.name(), "detail": error.str()})


def _iam_token_callback(region: str) -> Any:
    try:
        # Only the aws extra brings it; it has no types.
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415  # pyright: ignore
    except ImportError:
        raise SettingsError(
            "needs the AWS extra", where="KAFKA_SASL_MECHANISM=OAUTHBEARER", remedy=_OAUTH_EXTRA
        ) from None

    def token(_config: str) -> tuple[str, float]:
        answer: tuple[str, int] = MSKAuthTokenProvider.generate_auth_token(region)  # pyright: ignore
        text, expires_ms = answer
        return text, expires_ms / 1000

    return token
