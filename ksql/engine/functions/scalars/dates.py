"""Functions of dates and times."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ksql.engine.expressions import temporal
from ksql.engine.functions.registry import scalar, v
from ksql.errors import FunctionError, RecordError

if TYPE_CHECKING:
    from datetime import tzinfo

_TIME: Final = "DATE / TIME"
_MS_UNITS: Final = {
    "MILLISECOND": 1,
    "SECOND": 1000,
    "MINUTE": 60_000,
    "HOUR": 3_600_000,
    "DAY": temporal.DAY_MS,
    "WEEK": 7 * temporal.DAY_MS,
}


def _unit(name: str) -> str:
    return name.upper().removesuffix("S")


# --- adding ---


def _shift_months(day: datetime, months: int) -> datetime:
    total = day.year * 12 + day.month - 1 + months
    year, month = divmod(total, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return day.replace(year=year, month=month + 1, day=min(day.day, last))
        except ValueError:
            continue
    raise FunctionError("Date out of range")


def _shift(millis: int, unit: str, amount: int) -> int:
    kind = _unit(unit)
    if kind in _MS_UNITS:
        return millis + amount * _MS_UNITS[kind]
    if kind in ("MONTH", "YEAR"):
        moved = _shift_months(temporal.to_datetime(millis), amount * (12 if kind == "YEAR" else 1))
        return temporal.to_millis(moved)
    raise FunctionError(f"Unsupported unit: {unit}")


def _timestamp_add(unit: str, amount: int, millis: int) -> int:
    return _shift(millis, unit, amount)


def _timestamp_subtract(unit: str, amount: int, millis: int) -> int:
    return _shift(millis, unit, -amount)


def _date_add(unit: str, amount: int, days: int) -> int:
    return _shift(days * temporal.DAY_MS, unit, amount) // temporal.DAY_MS


def _date_subtract(unit: str, amount: int, days: int) -> int:
    return _date_add(unit, -amount, days)


def _time_add(unit: str, amount: int, millis: int) -> int:
    if _unit(unit) not in _MS_UNITS:
        raise FunctionError(f"Unsupported unit: {unit}")
    return (millis + amount * _MS_UNITS[_unit(unit)]) % temporal.DAY_MS


def _time_subtract(unit: str, amount: int, millis: int) -> int:
    return _time_add(unit, -amount, millis)


# --- formatting and parsing ---


def _zone(name: str | None) -> tzinfo:
    return UTC if name is None else temporal.zone(name)


def _format_timestamp(millis: int, pattern: str, zone: str | None = None) -> str:
    return temporal.format_pattern(temporal.to_datetime(millis, _zone(zone)), pattern)


def _parse_timestamp(text: str, pattern: str, zone: str | None = None) -> int:
    return temporal.parse_pattern(text, pattern).millis(_zone(zone))


def _format_date(days: int, pattern: str) -> str:
    moment = datetime.combine(temporal.from_days(days), datetime.min.time(), UTC)
    return temporal.format_pattern(moment, pattern)


def _parse_date(text: str, pattern: str) -> int:
    parsed = temporal.parse_pattern(text, pattern)
    if any(
        part is not None for part in (parsed.hour, parsed.minute, parsed.second, parsed.nanos, parsed.half_day_hour)
    ):
        raise RecordError("Date format contains time field.")
    return temporal.to_days(parsed.date())


def _date_text(text: str, pattern: str) -> int:
    return temporal.to_days(temporal.parse_pattern(text, pattern).date())


def _format_time(millis: int, pattern: str) -> str:
    return temporal.format_pattern(temporal.to_datetime(millis), pattern)


def _parse_time(text: str, pattern: str) -> int:
    parsed = temporal.parse_pattern(text, pattern)
    if any(part is not None for part in (parsed.year, parsed.month, parsed.day)):
        raise RecordError("Time format contains date field.")
    return parsed.time_millis()


def _convert_zone(millis: int, source: str, target: str) -> int:
    """The same wall clock: a time in one zone as the time in another."""
    local = temporal.to_datetime(millis).replace(tzinfo=None)
    moment = local.replace(tzinfo=temporal.zone(source))
    shifted = moment.astimezone(temporal.zone(target)).replace(tzinfo=None)
    return millis + (shifted - local) // timedelta(milliseconds=1)


def _now(*_args: Any) -> int:
    return time.time_ns() // 1_000_000


def _today() -> int:
    return _now() // temporal.DAY_MS


def _identity(value: int) -> int:
    return value


def _register() -> None:
    for name, kind, add in (
        ("timestampadd", "TIMESTAMP", _timestamp_add),
        ("timestampsub", "TIMESTAMP", _timestamp_subtract),
        ("dateadd", "DATE", _date_add),
        ("datesub", "DATE", _date_subtract),
        ("timeadd", "TIME", _time_add),
        ("timesub", "TIME", _time_subtract),
    ):
        word = "Adds an interval to" if name.endswith("add") else "Subtracts an interval from"
        scalar(name, _TIME, f"{word} a {kind.lower()}.", v(f"INTERVALUNIT unit, INT interval, {kind} value", kind, add))
    scalar(
        "format_timestamp",
        _TIME,
        "A timestamp as text.",
        v("TIMESTAMP timestamp, STRING formatPattern", "STRING", _format_timestamp),
        v("TIMESTAMP timestamp, STRING formatPattern, STRING timeZone", "STRING", _format_timestamp),
    )
    scalar(
        "timestamptostring",
        _TIME,
        "Milliseconds as text.",
        v("BIGINT epochMilli, STRING formatPattern", "STRING", _format_timestamp),
        v("BIGINT epochMilli, STRING formatPattern, STRING timeZone", "STRING", _format_timestamp),
    )
    scalar(
        "parse_timestamp",
        _TIME,
        "A text as timestamp.",
        v("STRING formattedTimestamp, STRING formatPattern", "TIMESTAMP", _parse_timestamp),
        v("STRING formattedTimestamp, STRING formatPattern, STRING timeZone", "TIMESTAMP", _parse_timestamp),
    )
    scalar(
        "stringtotimestamp",
        _TIME,
        "A text as milliseconds.",
        v("STRING formattedTimestamp, STRING formatPattern", "BIGINT", _parse_timestamp),
        v("STRING formattedTimestamp, STRING formatPattern, STRING timeZone", "BIGINT", _parse_timestamp),
    )
    scalar("format_date", _TIME, "A date as text.", v("DATE date, STRING formatPattern", "STRING", _format_date))
    scalar("datetostring", _TIME, "Days as text.", v("INT epochDays, STRING formatPattern", "STRING", _format_date))
    scalar("parse_date", _TIME, "A text as date.", v("STRING formattedDate, STRING formatPattern", "DATE", _parse_date))
    scalar("stringtodate", _TIME, "A text as days.", v("STRING formattedDate, STRING formatPattern", "INT", _date_text))
    scalar("format_time", _TIME, "A time as text.", v("TIME time, STRING formatPattern", "STRING", _format_time))
    scalar("parse_time", _TIME, "A text as time.", v("STRING formattedTime, STRING formatPattern", "TIME", _parse_time))
    scalar(
        "convert_tz",
        _TIME,
        "A timestamp in another zone.",
        v("TIMESTAMP timestamp, STRING fromTz, STRING toTz", "TIMESTAMP", _convert_zone),
    )
    scalar("from_unixtime", _TIME, "Milliseconds as timestamp.", v("BIGINT epochMilli", "TIMESTAMP", _identity))
    scalar("from_days", _TIME, "Days as date.", v("INT days", "DATE", _identity))
    scalar(
        "unix_timestamp",
        _TIME,
        "Milliseconds of a timestamp, or of now.",
        v("", "BIGINT", _now),
        v("TIMESTAMP timestamp", "BIGINT", _identity),
    )
    scalar("unix_date", _TIME, "Days of a date, or of today.", v("", "INT", _today), v("DATE date", "INT", _identity))


_register()
