"""Native code for the two loops that run once a row: transform's and cheapest's.

Measured with `scripts/bench services`: a call of `Producer.produce` costs about a microsecond, a `Message` object half
of one, several times what librdkafka itself needs for a message. So rows are handed to librdkafka, and taken from it,
in arrays, through its public C interface and in the very library that confluent-kafka has loaded.

The library is optional: without a compiler at installation, on another platform, or with a confluent-kafka whose
objects look different, `load` returns None and the services do the same work in Python.
"""

from __future__ import annotations

import ctypes
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import confluent_kafka

from services.native.build import LIBRARY, source_id

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer

log = logging.getLogger(__name__)

ROW_BYTES = 120
ID_DIGITS = 32

# confluent-kafka keeps the client's librdkafka handle as the first field of its objects, which have this size. Another
# size means another layout, and then the handle is not looked for.
_CLIENT_OBJECT_BYTES = 176


class NativeMessage(ctypes.Structure):
    """rd_kafka_message_t of librdkafka's public header."""

    _fields_ = (
        ("err", ctypes.c_int),
        ("topic", ctypes.c_void_p),
        ("partition", ctypes.c_int32),
        ("payload", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("key", ctypes.c_void_p),
        ("key_length", ctypes.c_size_t),
        ("offset", ctypes.c_int64),
        ("private", ctypes.c_void_p),
    )


class NativeRun(ctypes.Structure):
    """Consecutive rows of one batch, or one message that has to be looked at alone; run_t of rows.c."""

    _fields_ = (
        ("first", ctypes.c_int64),
        ("last", ctypes.c_int64),
        ("expected", ctypes.c_int64),
        ("price", ctypes.c_double),
        ("partition", ctypes.c_int32),
        ("rows", ctypes.c_int32),
        ("odd", ctypes.c_int32),
        ("error", ctypes.c_int32),
        ("message", ctypes.POINTER(NativeMessage)),
        ("key", ctypes.c_uint8 * ID_DIGITS),
        ("row_id", ctypes.c_uint8 * ID_DIGITS),
    )


_API = ("produce_batch", "consume_batch_queue", "message_destroy", "message_headers", "header_get_last")


@dataclass(frozen=True, kw_only=True)
class Native:
    """The loaded libraries.

    Attributes:
        rows: rows.c.
        rdkafka: librdkafka.
        api: the addresses of librdkafka's functions that rows.c calls.
    """

    rows: Any
    rdkafka: Any
    api: Any

    def handle(self, client: Producer | Consumer) -> int | None:
        """Return a client's librdkafka handle, or None if it cannot be told where it is.

        Args:
            client: the client.
        """
        if type(client).__basicsize__ != _CLIENT_OBJECT_BYTES:
            log.warning(
                "this confluent-kafka is not known: rows are handled in Python",
                extra={"version": confluent_kafka.__version__},
            )
            return None
        return ctypes.c_void_p.from_address(id(client) + object.__basicsize__).value


def load() -> Native | None:
    """Load the native code, or return None where there is none that fits."""
    try:
        rows = ctypes.CDLL(str(LIBRARY))
        rdkafka = ctypes.CDLL(_loaded_librdkafka())
    except OSError as error:
        log.info("rows are handled in Python", extra={"cause": str(error)})
        return None
    rows.cflight_source.restype = ctypes.c_char_p
    if rows.cflight_source().decode() != source_id():
        log.warning("the native code is older than its source: rows are handled in Python")
        return None
    _declare(rows, rdkafka)
    addresses = [ctypes.cast(getattr(rdkafka, f"rd_kafka_{name}"), ctypes.c_void_p) for name in _API]
    return Native(rows=rows, rdkafka=rdkafka, api=(ctypes.c_void_p * len(addresses))(*addresses))


def _loaded_librdkafka() -> str:
    """Return the path of the librdkafka that confluent-kafka has loaded; another would not know its handles."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.partition("/")
        if "librdkafka" in path[2].rpartition("/")[2]:
            return "/" + path[2]
    raise OSError("librdkafka is not a library of its own")


def _declare(rows: Any, rdkafka: Any) -> None:
    void, size = ctypes.c_void_p, ctypes.c_size_t
    rows.cflight_count_plain.argtypes = (ctypes.c_char_p, size)
    rows.cflight_count_plain.restype = ctypes.c_int64
    rows.cflight_enrich.argtypes = (
        void, size, ctypes.c_int64, void, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, size, void,
        ctypes.POINTER(size), void, ctypes.POINTER(ctypes.c_int64),
    )  # fmt: skip
    rows.cflight_enrich.restype = size
    rows.cflight_produce.argtypes = (void, void, void, ctypes.c_int, ctypes.c_char_p, void)
    rows.cflight_produce.restype = ctypes.c_int
    rows.cflight_consume.argtypes = (
        void, void, ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, void, void,
        ctypes.POINTER(ctypes.c_int),
    )  # fmt: skip
    rows.cflight_consume.restype = ctypes.c_int
    rows.cflight_release.argtypes = (void, ctypes.POINTER(NativeMessage))
    rows.cflight_release.restype = None
    rdkafka.rd_kafka_topic_new.argtypes = (void, ctypes.c_char_p, void)
    rdkafka.rd_kafka_topic_new.restype = void
    rdkafka.rd_kafka_topic_destroy.argtypes = (void,)
    rdkafka.rd_kafka_topic_destroy.restype = None
    rdkafka.rd_kafka_queue_new.argtypes = (void,)
    rdkafka.rd_kafka_queue_new.restype = void
    rdkafka.rd_kafka_queue_get_partition.argtypes = (void, ctypes.c_char_p, ctypes.c_int32)
    rdkafka.rd_kafka_queue_get_partition.restype = void
    rdkafka.rd_kafka_queue_forward.argtypes = (void, void)
    rdkafka.rd_kafka_queue_forward.restype = None
    rdkafka.rd_kafka_queue_destroy.argtypes = (void,)
    rdkafka.rd_kafka_queue_destroy.restype = None
    rdkafka.rd_kafka_err2str.argtypes = (ctypes.c_int,)
    rdkafka.rd_kafka_err2str.restype = ctypes.c_char_p
