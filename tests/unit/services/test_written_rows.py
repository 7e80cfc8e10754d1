"""What transform and cheapest write: ids, Avro, bundles, natively and in Python, decoded by others' decoders."""

from __future__ import annotations

import csv
import ctypes
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import avro
from services import contracts
from services.cheapest.layout import Quote, RowDecoder, cheapest_of, encode_cheapest
from services.contracts import wire_prefix
from services.errors import Reason, RowError
from services.exactly_once import Transaction
from services.native import ROW_BYTES, Native, load
from services.transform.enrich import bundle_bytes
from services.transform.ids import Identity, identify
from services.transform.rows import Rows
from services.transform.writer import NativeRowWriter, PythonRowWriter, RowWriter
from tests.unit.services.registry_server import running_registry

SCHEMA_ID = 7
IDENTITY = identify(topic="flight.eventlog", partition=3, offset=42, timestamp_ms=1_596_272_400_999)
SHARED = Path(os.environ.get("CFLIGHT_SHARED", Path(__file__).parents[4] / "shared"))


class RecordingProducer:
    """Takes what would be produced."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes, Any]] = []

    def produce(self, topic: str, value: bytes, key: bytes, headers: Any = None) -> None:
        assert topic == "rows"
        self.records.append((key, value, headers))

    def __len__(self) -> int:
        return 0


class RecordingNative:
    """The native code, but for librdkafka's part, which records."""

    def __init__(self, rows: Any, producer: RecordingProducer) -> None:
        self.cflight_count_plain = rows.cflight_count_plain
        self.cflight_enrich = rows.cflight_enrich
        self._producer = producer

    def cflight_produce(self, _api: Any, _topic: int, at: int, count: int, key: bytes, _messages: Any) -> int:
        values = ctypes.string_at(at, count * ROW_BYTES)
        self._producer.records += [(key, values[n : n + ROW_BYTES], None) for n in range(0, len(values), ROW_BYTES)]
        return count


def loaded() -> Native:
    native = load()
    if native is None:
        pytest.skip("the native code is not built")
    return native


def written(writer: str, rows: Rows, identity: Identity = IDENTITY) -> tuple[bytes, list[tuple[bytes, bytes, Any]]]:
    producer = RecordingProducer()
    made: RowWriter
    if writer == "python":
        made = PythonRowWriter(topic="rows", schema_id=SCHEMA_ID, queue_messages=100_000)
    else:
        native = loaded()
        recording = replace(native, rows=RecordingNative(native.rows, producer))
        made = NativeRowWriter(recording, topic="rows", schema_id=SCHEMA_ID, queue_messages=100_000)
        made._handle = lambda _producer: 1  # type: ignore[method-assign]
    bundle = made.write(rows, Transaction(producer), identity=identity)  # type: ignore[arg-type]
    return bundle, producer.records


rows_of_text = st.lists(
    st.tuples(
        st.sampled_from(["LHR", "AAA", "ZZZ"]),
        st.sampled_from(["IST", "JFK"]),
        st.dates().map(lambda day: day.isoformat()),
        st.from_regex(r"[1-9][0-9]{0,20}(\.[0-9]{1,25})?", fullmatch=True),
        st.sampled_from("AYZ"),
    ).map(",".join),
    min_size=1,
    max_size=40,
).map(lambda lines: Rows(text="".join(f"{line}\n" for line in lines).encode(), count=len(lines)))


@settings(max_examples=200, deadline=None)
@given(rows_of_text)
@pytest.mark.parametrize("writer", ["python", "native"])
def test_rows_and_bundle_say_the_same(writer: str, rows: Rows) -> None:
    bundle, records = written(writer, rows)
    lines = list(csv.reader(io.StringIO(bundle.decode())))
    assert len(bundle) == bundle_bytes(rows.text, rows.count)
    assert len(lines) == len(records) == rows.count
    for line, original, (key, value, _headers) in zip(lines, rows.text.decode().splitlines(), records, strict=True):
        record = avro.decode(value, schema=contracts.ROW_SCHEMA)
        assert value[:5] == wire_prefix(SCHEMA_ID)
        assert line[:5] == original.split(",")
        assert list(record.values()) == [*line[:3], float(line[3]), *line[4:]]
        assert key.decode() == record["batchuuid"] == IDENTITY.batch
        assert record["timestamp"] == "2020-08-01T09:00:00"
    assert records[0][2] == [(contracts.HEADER_BATCH_ROWS, str(rows.count).encode())]
    assert all(headers is None for _, _, headers in records[1:])
    assert len({line[5] for line in lines}) == len(lines)


@settings(max_examples=100, deadline=None)
@given(rows_of_text)
def test_native_code_writes_the_same_bytes(rows: Rows) -> None:
    assert written("native", rows) == written("python", rows)


def test_more_rows_than_a_block_are_written_the_same() -> None:
    text = "".join(f"LHR,IST,2020-08-01,{number}.5,Y\n" for number in range(1, 10_001)).encode()
    rows = Rows(text=text, count=10_000)
    bundle, records = written("python", rows)
    assert len(records) == 10_000
    assert written("native", rows) == (bundle, records)


def test_ids_depend_on_the_source_alone() -> None:
    source = {"topic": "flight.eventlog", "partition": 3, "offset": 42, "timestamp_ms": 1_596_272_400_999}
    assert identify(**source) == IDENTITY  # type: ignore[arg-type]
    others = [
        identify(topic="other", partition=3, offset=42, timestamp_ms=1_596_272_400_999),
        identify(topic="flight.eventlog", partition=34, offset=2, timestamp_ms=1_596_272_400_999),
        identify(topic="flight.eventlog", partition=3, offset=43, timestamp_ms=1_596_272_400_999),
        identify(topic="flight.eventlog", partition=3, offset=42, timestamp_ms=1_596_272_400_998),
    ]
    assert len({identity.batch for identity in (IDENTITY, *others)}) == 5
    assert re.fullmatch(r"[0-9a-f]{32}", IDENTITY.batch)
    assert IDENTITY.row_ids(1000).startswith(IDENTITY.row_ids(3))
    assert re.fullmatch(r"([0-9a-f]{32}){3}", IDENTITY.row_ids(3))


@pytest.mark.parametrize(
    ("timestamp_ms", "shown"),
    [
        (-1, "1970-01-01T00:00:00"),
        (0, "1970-01-01T00:00:00"),
        (2**62, "9999-12-31T23:59:59"),
        (951_782_400_000, "2000-02-29T00:00:00"),
    ],
)
def test_timestamps_are_shown_in_utc(timestamp_ms: int, shown: str) -> None:
    assert identify(topic="t", partition=0, offset=0, timestamp_ms=timestamp_ms).timestamp == shown


def test_the_registrys_own_deserializer_reads_what_is_written() -> None:
    rows = Rows(text=b"LHR,IST,2020-08-01,169.99,Y\n", count=1)
    _, [(_, value, _)] = written("python", rows)
    quote = encode_cheapest(prefix=wire_prefix(8), batch_id="b" * 32, quote=Quote(price=80.5, row_id="u" * 100))
    context = SerializationContext("rows", MessageField.VALUE)
    with running_registry({SCHEMA_ID: contracts.ROW_SCHEMA, 8: contracts.CHEAPEST_SCHEMA}) as server:
        client: Any = SchemaRegistryClient({"url": server.url})
        make_reader: Any = AvroDeserializer
        read = make_reader(client)
        row: Any = read(value, context)
        answer: Any = read(quote, context)
    assert row == {
        "depiata": "LHR",
        "arriata": "IST",
        "searchdate": "2020-08-01",
        "gbpprice": 169.99,
        "paxclass": "Y",
        "uuid": IDENTITY.row_ids(1),
        "batchuuid": IDENTITY.batch,
        "timestamp": "2020-08-01T09:00:00",
    }
    assert answer == {"BATCHUUID": "b" * 32, "CHEAPEST_QUOTE": 80.5, "UUID": "u" * 100}


def test_the_first_of_the_cheapest_wins() -> None:
    prices = [5.0, 3.0, 3.0, 4.0] * 200
    text = "".join(f"LHR,IST,2020-08-01,{price},Y\n" for price in prices).encode()
    _, records = written("python", Rows(text=text, count=len(prices)))
    quote = cheapest_of([value for _, value, _ in records], prefix=wire_prefix(SCHEMA_ID))
    assert quote == Quote(price=3.0, row_id=IDENTITY.row_ids(2)[32:])


@pytest.mark.parametrize("spoil", [(0, 1), (4, 8), (5, 8), (9, 8), (13, 18), (34, 62), (67, 66), (100, 36), (24, None)])
def test_rows_of_another_layout_are_not_cut_blindly(spoil: tuple[int, int | None]) -> None:
    _, records = written("python", Rows(text=b"LHR,IST,2020-08-01,169.99,Y\n" * 3, count=3))
    values = [value for _, value, _ in records]
    at, byte = spoil
    middle = bytearray(values[1])
    if byte is None:
        middle[24:32] = bytes.fromhex("000000000000f87f")  # NaN
    else:
        middle[at] = byte
    values[1] = bytes(middle)
    assert cheapest_of(values, prefix=wire_prefix(SCHEMA_ID)) is None


class KnowsOne:
    """A registry of one schema."""

    def __init__(self, schema: str) -> None:
        self._schema = schema

    def schema(self, schema_id: int) -> str | None:
        return self._schema if schema_id == 9 else None


def test_rows_of_other_schemas_are_decoded() -> None:
    schema = json.dumps(
        {
            "type": "record",
            "name": "Other",
            "fields": [{"name": "UUID", "type": ["null", "string"]}, {"name": "GBPPRICE", "type": ["null", "double"]}],
        }
    )
    decoder = RowDecoder(KnowsOne(schema), schema_id=SCHEMA_ID)  # type: ignore[arg-type]
    row = avro.encode({"UUID": "u1", "GBPPRICE": 12.5}, schema=schema)
    assert decoder.decode(wire_prefix(9) + row) == Quote(price=12.5, row_id="u1")
    for value, reason in (
        (None, Reason.NOT_AVRO),
        (b"", Reason.NOT_AVRO),
        (b"{}", Reason.NOT_AVRO),
        (b"\x01" + wire_prefix(9)[1:] + row, Reason.NOT_AVRO),
        (wire_prefix(9) + row[:-1], Reason.NOT_AVRO),
        (wire_prefix(SCHEMA_ID) + b"\xff" * 30, Reason.NOT_AVRO),
        (wire_prefix(10) + row, Reason.UNKNOWN_SCHEMA),
        (wire_prefix(9) + b"\x00\x00", Reason.PRICE),
    ):
        with pytest.raises(RowError) as refused:
            decoder.decode(value)
        assert refused.value.reason is reason


def test_quotes_are_those_of_the_ksql_table() -> None:
    golden = SHARED / "golden" / "ksql-rest" / "cheapest-flight.json"
    if not golden.exists():
        pytest.skip(f"{golden} is not here")
    steps = json.loads(golden.read_text())["exchanges"]
    [subjects] = [
        step["subjects"] for step in steps if step["kind"] == "registry" and "CHEAPEST_FLIGHT-value" in step["subjects"]
    ][:1]
    assert subjects["CHEAPEST_FLIGHT-value"]["schema"] == contracts.CHEAPEST_SCHEMA
    records = [
        record
        for step in steps
        if step["kind"] == "topic_contents" and step["topic"] == "CHEAPEST_FLIGHT"
        for record in step["records"]
    ]
    assert records
    for record in records:
        wanted = record["value_avro"]["value"] if "value" in record["value_avro"] else record["value_avro"]
        if wanted["CHEAPEST_QUOTE"] is None:
            continue  # the table also answers for rows without a price, which never reach the service
        quote = Quote(price=wanted["CHEAPEST_QUOTE"], row_id=wanted["UUID"])
        value = encode_cheapest(prefix=wire_prefix(1), batch_id=wanted["BATCHUUID"], quote=quote)
        assert avro.decode(value, schema=contracts.CHEAPEST_SCHEMA) == wanted
