"""What CREATE OR REPLACE may change of a stream, table or query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksql.engine.plan.steps import AggregateStep, JoinStep, PartitionByStep, SourceStep, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ksql.engine.metastore import FormatInfo, Source
    from ksql.engine.runtime.planning import PlannedQuery
    from ksql.engine.schema import Column


def source_upgrade_problem(before: Source, after: Source) -> str | None:
    """Return why a stream or table cannot take the place of another, in ksqlDB's words; None where it can.

    Args:
        before: what is there.
        after: what is to take its place: of the same kind and topic, with the same keys, with columns only appended.
    """
    found: list[tuple[str, str, str, str]] = []
    if before.kind is not after.kind:
        found.append(("type", _kind(before), _kind(after), ""))
    if _topic(before) != _topic(after):
        found.append(("topic", _topic(before), _topic(after), ""))
    keys = _moved(before.schema.key, after.schema.key, same_length=True)
    values = _moved(before.schema.value, after.schema.value, same_length=False)
    note = ""
    if keys:
        note = (
            f" (Key columns must be identical. The following key columns are changed, missing or reordered: [{keys}])"
        )
    elif values:
        note = f" (The following columns are changed, missing or reordered: [{values}])"
    if note:
        found.append(("schema", str(before.schema), str(after.schema), f".{note}"))
    if not found:
        return None
    texts = [
        f"DataSource '`{before.name}`' has {what} = {old} which is not upgradeable to {new}{note}"
        for what, old, new, note in found
    ]
    return "Cannot upgrade data source: " + "\n\tAND ".join(texts)


def query_upgrade_problem(before: PlannedQuery, after: PlannedQuery) -> str | None:
    """Return why a query cannot take the place of another that runs; None where it can."""
    for planned in (before, after):
        for step in _steps(planned.step):
            if isinstance(step, AggregateStep | JoinStep | PartitionByStep) or (
                isinstance(step, SourceStep) and step.is_table
            ):
                name = type(step).__name__.removesuffix("Step")
                kind = "Table" if step.is_table else "Stream"
                return f"Cannot upgrade query: Upgrades not yet supported for {kind}{name}"
    if before.sources != after.sources:
        return f"Cannot upgrade query: it would read {', '.join(after.sources)} instead of {', '.join(before.sources)}"
    return None


def _steps(step: Step) -> Iterator[Step]:
    yield step
    for name in ("input", "left", "right"):
        below = getattr(step, name, None)
        if isinstance(below, Step):
            yield from _steps(below)


def _kind(source: Source) -> str:
    return "KTABLE" if source.is_table else "KSTREAM"


def _topic(source: Source) -> str:
    window = "Optional.empty"
    if source.window is not None:
        size = "Optional.empty" if source.window.size_ms is None else f"Optional[PT{source.window.size_ms / 1000:g}S]"
        window = f"Optional[WindowInfo{{type={source.window.type}, size={size}}}]"
    return (
        f"KsqlTopic{{kafkaTopicName='{source.topic}', keyFormat=KeyFormat{{format={_format(source.key_format)},"
        f" features=[], window={window}}},"
        f" valueFormat=ValueFormat{{format={_format(source.value_format)}, features=[]}}}}"
    )


def _format(info: FormatInfo) -> str:
    properties = ", ".join(f"{name}={value}" for name, value in info.properties)
    return f"FormatInfo{{format={info.name}, properties={{{properties}}}}}"


def _moved(before: Sequence[Column], after: Sequence[Column], *, same_length: bool) -> str:
    moved = [column for index, column in enumerate(before) if index >= len(after) or after[index] != column]
    if same_length and not moved and len(after) > len(before):
        moved = list(after[len(before) :])
    return ", ".join(map(str, moved))
