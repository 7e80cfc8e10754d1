"""Filters, projections, new keys, table functions: operators that remember nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ksql.engine.operators.protocol import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ksql.engine.formats.protocol import Row
    from ksql.engine.operators.protocol import State, StoreSpec

NOTHING: Sequence[Record] = ()


def with_value(record: Record, value: Row | None, old: Row | None = None) -> Record:
    """The record with another value."""
    return Record(
        record.key,
        value,
        record.timestamp,
        record.window,
        old,
        record.partition,
        record.offset,
        record.headers,
    )


class StreamFilter:
    """Keeps the records for which a condition holds."""

    stores: Sequence[StoreSpec] = ()

    def __init__(self, name: str, condition: Callable[[Record], bool]) -> None:
        self.name = name
        self._condition = condition

    def process(self, record: Record, _state: State) -> Sequence[Record]:
        """See Operator."""
        return (record,) if record.value is not None and self._condition(record) else NOTHING


class TableFilter:
    """Turns changes for which a condition does not hold into deletions of what was there.

    It needs the old values: a deletion of what never was there is dropped.
    """

    stores: Sequence[StoreSpec] = ()

    def __init__(self, name: str, condition: Callable[[Record], bool]) -> None:
        self.name = name
        self._condition = condition

    def process(self, record: Record, _state: State) -> Sequence[Record]:
        """See Operator."""
        value = record.value if record.value is not None and self._condition(record) else None
        old = record.old
        if old is not None and not self._condition(with_value(record, old)):
            old = None
        return NOTHING if value is None and old is None else (with_value(record, value, old),)


class Project:
    """Computes new values; keys and null values stay."""

    stores: Sequence[StoreSpec] = ()

    def __init__(self, name: str, values: Callable[[Record], Row], *, old_values: bool) -> None:
        self.name = name
        self._values = values
        self._old_values = old_values

    def process(self, record: Record, _state: State) -> Sequence[Record]:
        """See Operator."""
        value = None if record.value is None else self._values(record)
        old = None
        if self._old_values and record.old is not None:
            old = self._values(with_value(record, record.old))
        return (with_value(record, value, old),)


class PartitionBy:
    """Gives stream records a new key; the old key's columns move behind the value's."""

    stores: Sequence[StoreSpec] = ()

    def __init__(self, name: str, key: Callable[[Record], Row] | None, value: Callable[[Record], Row]) -> None:
        self.name = name
        self._key = key
        self._value = value

    def process(self, record: Record, _state: State) -> Sequence[Record]:
        """See Operator."""
        key = None if self._key is None else self._key(record)
        if key is not None and len(key) == 1 and key[0] is None:
            key = None
        value = None if record.value is None else self._value(record)
        return (
            Record(
                key,
                value,
                record.timestamp,
                record.window,
                None,
                record.partition,
                record.offset,
                record.headers,
            ),
        )


class StreamGroupBy:
    """Gives stream records the group as key; records without value, or with a null in their group, are dropped."""

    stores: Sequence[StoreSpec] = ()

    def __init__(self, name: str, key: Callable[[Record], Row] | None) -> None:
        self.name = name
        self._key = key

    def process(self, record: Record, _state: State) -> Sequence[Record]:
        """See Operator."""
        if record.value is None:
            return NOTHING
        key = record.key if self._key is None else self._key(record)
        if key is None or None in key:
            return NOTHING
        if self._key is None:
            return (record,)
        # What the aggregation reads of the old key has been put behind the value's columns.
        return (
            Record(
                key,
                (*record.value, *(record.key or ())),
                record.timestamp,
                None,
                None,
                record.partition,
                record.offset,
                record.headers,
            ),
        )


class TableGroupBy:
    """Turns a change of a table into changes of the groups that the old and the new row belong to."""

    stores: Sequence[StoreSpec] = ()

    def __init__(self, name: str, key: Callable[[Record], Row]) -> None:
        self.name = name
        self._key = key

    def process(self, record: Record, _state: State) -> Sequence[Record]:
        """See Operator."""
        new_key = None if record.value is None else self._group(record)
        old_key = None if record.old is None else self._group(with_value(record, record.old))
        suffix = record.key or ()
        new = None if record.value is None else (*record.value, *suffix)
        old = None if record.old is None else (*record.old, *suffix)
        if new_key is not None and new_key == old_key:
            return (self._change(record, new_key, new, old),)
        out: list[Record] = []
        if old_key is not None:
            out.append(self._change(record, old_key, None, old))
        if new_key is not None:
            out.append(self._change(record, new_key, new, None))
        return out

    def _group(self, record: Record) -> Row | None:
        key = self._key(record)
        return None if None in key else key

    @staticmethod
    def _change(record: Record, key: Row, new: Row | None, old: Row | None) -> Record:
        return Record(key, new, record.timestamp, None, old, record.partition, record.offset, record.headers)


class FlatMap:
    """Table functions: a record for each element of the longest result, with null where others are shorter."""

    stores: Sequence[StoreSpec] = ()

    def __init__(
        self, name: str, calls: Sequence[tuple[Callable[..., list[Any] | None], Callable[[Record], Row]]]
    ) -> None:
        self.name = name
        self._calls = calls

    def process(self, record: Record, _state: State) -> Sequence[Record]:
        """See Operator."""
        if record.value is None:
            return NOTHING
        columns = [self._call(function, arguments, record) for function, arguments in self._calls]
        longest = max(map(len, columns))
        value = record.value
        return [
            with_value(record, (*value, *(column[index] if index < len(column) else None for column in columns)))
            for index in range(longest)
        ]

    @staticmethod
    def _call(
        function: Callable[..., list[Any] | None], arguments: Callable[[Record], Row], record: Record
    ) -> list[Any]:
        return function(*arguments(record)) or []
