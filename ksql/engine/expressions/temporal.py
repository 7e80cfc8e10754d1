"""Dates and times: Java's pattern letters, and the partial ISO texts that stand for timestamps in SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ksql.errors import RecordError

if TYPE_CHECKING:
    from datetime import tzinfo

EPOCH: Final = date(1970, 1, 1)
DAY_MS: Final = 86_400_000
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_OFFSET: Final = re.compile(r"(?:(?:GMT|UTC|UT)?([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?)\Z")
_EPOCH_DATETIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


def zone(name: str) -> tzinfo:
    """A time zone by id (`Europe/London`) or offset (`+0200`, `Z`).

    Raises:
        RecordError: there is no such zone.
    """
    if name in ("Z", "UTC", "GMT"):
        return UTC
    match = _OFFSET.match(name)
    if match:
        hours, minutes, seconds = int(match[2]), int(match[3] or 0), int(match[4] or 0)
        delta = timedelta(hours=hours, minutes=minutes, seconds=seconds)
        return timezone(-delta if match[1] == "-" else delta)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise RecordError(f"Unknown time-zone ID: {name}") from error


def to_datetime(millis: int, tz: tzinfo = UTC) -> datetime:
    """The moment of epoch milliseconds in a time zone."""
    return (_EPOCH_DATETIME + timedelta(milliseconds=millis)).astimezone(tz)


def to_millis(moment: datetime) -> int:
    """Epoch milliseconds of a moment with a time zone."""
    return (moment - _EPOCH_DATETIME) // timedelta(milliseconds=1)


def to_days(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def from_days(days: int) -> date:
    """The date of days since 1970-01-01."""
    return EPOCH + timedelta(days=days)


# --- SQL's own texts ---


def format_timestamp(millis: int) -> str:
    """`2020-01-01T00:00:00.000`."""
    moment = to_datetime(millis)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}"


def format_date(days: int) -> str:
    """`2020-01-01`."""
    return from_days(days).isoformat()


def format_time(millis: int) -> str:
    """`10:20`, with seconds and fraction where they are not zero."""
    seconds, fraction = divmod(millis, 1000)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    if seconds % 60 or fraction:
        text += f":{seconds % 60:02d}"
    return f"{text}.{fraction:03d}" if fraction else text


_PARTIAL: Final = re.compile(
    r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?"
    r"(?:T(?:(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?)?)?)?"
    r"(Z|[+-]\d{2}:?\d{2}|[A-Za-z]+(?:/[A-Za-z_]+)*)?\Z"
)
_TIME: Final = re.compile(r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?\Z")


def parse_timestamp(text: str) -> int:
    """Epoch milliseconds of a text like `2020-01-01T10:20:30.123+0100`, of which the end may be missing.

    Raises:
        RecordError: the text is no timestamp.
    """
    match = _PARTIAL.match(text)
    if match is None:
        raise RecordError(
            f"Failed to parse timestamp '{text}': required format is: "
            "\"yyyy-MM-dd'T'HH:mm:ss.SSS\", with an optional numeric 4-digit timezone, for example: "
            "'2020-05-26T23.59.58.000' or with tz: '2020-05-26T23.59.58.000+0200'. Partials are also supported, "
            "for example '2020-05-26'"
        )
    year, month, day, hour, minute, second = (int(match[i]) if match[i] else None for i in range(1, 7))
    fraction = int((match[7] or "0")[:6].ljust(6, "0"))
    tz = zone(match[8]) if match[8] else UTC
    try:
        moment = datetime(year or 1970, month or 1, day or 1, hour or 0, minute or 0, second or 0, fraction, tz)
    except ValueError as error:
        raise RecordError(f"Failed to parse timestamp '{text}': {error}") from error
    return to_millis(moment)


def parse_date(text: str) -> int:
    """Days of a text like `2020-01-01`, of which the end may be missing; a time behind it is ignored.

    Raises:
        RecordError: the text is no date.
    """
    return parse_timestamp(text) // DAY_MS


def parse_time(text: str) -> int:
    """Milliseconds of a text like `10:20:30.123`, of which seconds may be missing.

    Raises:
        RecordError: the text is no time.
    """
    match = _TIME.match(text)
    if match is None:
        raise RecordError(f"Failed to parse time '{text}': Required format is: \"HH:mm:ss.SSS\"")
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise RecordError(f"Failed to parse time '{text}'")
    return ((hour * 60 + minute) * 60 + second) * 1000 + int((match[4] or "0")[:3].ljust(3, "0"))


# --- Java's patterns ---


@dataclass(frozen=True, slots=True)
class _Part:
    letter: str
    count: int
    text: str = ""


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[tuple[_Part, ...], tuple[int, ...]]:
    """The parts of a pattern, and the indices at which optional sections open."""
    parts: list[_Part] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == "'":
            end = index + 1
            text = ""
            while True:
                close = pattern.find("'", end)
                if close < 0:
                    raise RecordError(f"Pattern ends with an incomplete string literal: {pattern}")
                text += pattern[end:close]
                if pattern[close + 1 : close + 2] != "'":
                    break
                text += "'"
                end = close + 2
            parts.append(_Part("", 0, text or "'"))
            index = close + 1
        elif char in "[]":
            parts.append(_Part(char, 0))
            index += 1
        elif char.isalpha() and char.isascii():
            end = index
            while end < len(pattern) and pattern[end] == char:
                end += 1
            if char not in "GyuMLdDEecaHhkKmsSAnNVzOXxZQqwWp":
                raise RecordError(f"Unknown pattern letter: {char}")
            parts.append(_Part(char, end - index))
            index = end
        else:
            parts.append(_Part("", 0, char))
            index += 1
    return tuple(parts), ()


def _format_offset(moment: datetime, letter: str, count: int) -> str:  # noqa: PLR0911 - one for each letter
    offset = moment.utcoffset() or timedelta()
    total = int(offset.total_seconds())
    if letter == "X" and total == 0:
        return "Z"
    if total == 0 and (letter == "O" or (letter == "Z" and count == 4)):
        return "GMT"
    sign = "-" if total < 0 else "+"
    hours, minutes = divmod(abs(total) // 60, 60)
    if letter == "O" or (letter == "Z" and count == 4):
        return (
            f"GMT{sign}{hours:02d}:{minutes:02d}"
            if count == 4
            else f"GMT{sign}{hours}" + (f":{minutes:02d}" if minutes else "")
        )
    if letter == "Z" and count == 5:
        return "Z" if total == 0 else f"{sign}{hours:02d}:{minutes:02d}"
    if letter in "Xx" and count == 1:
        return f"{sign}{hours:02d}" + (f"{minutes:02d}" if minutes else "")
    if letter in "Xx" and count in (3, 5):
        return f"{sign}{hours:02d}:{minutes:02d}"
    return f"{sign}{hours:02d}{minutes:02d}"


def format_pattern(moment: datetime, pattern: str) -> str:  # noqa: C901, PLR0912 - one branch a letter
    """A moment in a Java DateTimeFormatter pattern.

    Raises:
        RecordError: the pattern is not valid.
    """
    out: list[str] = []
    for part in _parts(pattern)[0]:
        letter, count = part.letter, part.count
        if letter in "[]":
            out.append(part.text)
        elif letter in "yu":
            out.append(f"{moment.year % 100:02d}" if count == 2 else f"{moment.year:0{count}d}")
        elif letter in "ML":
            name = _MONTHS[moment.month - 1]
            out.append(f"{moment.month:0{count}d}" if count <= 2 else name if count == 4 else name[:3])
        elif letter == "d":
            out.append(f"{moment.day:0{count}d}")
        elif letter == "D":
            out.append(f"{moment.timetuple().tm_yday:0{count}d}")
        elif letter in "Eec":
            name = _DAYS[moment.weekday()]
            out.append(name if count == 4 else name[:3])
        elif letter == "a":
            out.append("AM" if moment.hour < 12 else "PM")
        elif letter == "H":
            out.append(f"{moment.hour:0{count}d}")
        elif letter == "k":
            out.append(f"{moment.hour or 24:0{count}d}")
        elif letter == "h":
            out.append(f"{moment.hour % 12 or 12:0{count}d}")
        elif letter == "K":
            out.append(f"{moment.hour % 12:0{count}d}")
        elif letter == "m":
            out.append(f"{moment.minute:0{count}d}")
        elif letter == "s":
            out.append(f"{moment.second:0{count}d}")
        elif letter == "S":
            out.append(f"{moment.microsecond * 1000:09d}"[:count])
        elif letter in "nN":
            out.append(str(moment.microsecond * 1000))
        elif letter == "G":
            out.append("AD")
        elif letter == "V":
            out.append(_zone_id(moment))
        elif letter == "z":
            out.append(_zone_name(moment, full=count == 4))
        elif letter in "OXxZ":
            out.append(_format_offset(moment, letter, count))
        elif letter in "Qq":
            out.append(f"{(moment.month - 1) // 3 + 1:0{count}d}")
        else:
            raise RecordError(f"Unsupported pattern letter: {letter}")
    return "".join(out)


def _zone_id(moment: datetime) -> str:
    tz = moment.tzinfo
    return tz.key if isinstance(tz, ZoneInfo) else "Z" if not moment.utcoffset() else _format_offset(moment, "X", 3)


def _zone_name(moment: datetime, *, full: bool) -> str:
    name = moment.tzname() or "UTC"
    if full:
        raise RecordError("Full zone names are not supported")
    return "UTC" if name.startswith("UTC") else name


_NUMBER_WIDTHS: Final = {"d": 2, "H": 2, "h": 2, "k": 2, "K": 2, "m": 2, "s": 2, "D": 3}
_NAMED_ZONES: Final = {
    "PST": "America/Los_Angeles",
    "EST": "America/New_York",
    "CET": "Europe/Paris",
    "BST": "Europe/London",
}


@dataclass(slots=True)
class Parsed:
    """The fields that a pattern found in a text; None where it has no letter for them."""

    year: int | None = None
    month: int | None = None
    day: int | None = None
    day_of_year: int | None = None
    hour: int | None = None
    half_day_hour: int | None = None
    afternoon: bool | None = None
    minute: int | None = None
    second: int | None = None
    nanos: int | None = None
    tz: tzinfo | None = None

    def date(self) -> date:
        """The date; missing parts are those of 1970-01-01."""
        if self.day_of_year is not None:
            return date(self.year or 1970, 1, 1) + timedelta(days=self.day_of_year - 1)
        return date(
            1970 if self.year is None else self.year,
            1 if self.month is None else self.month,
            1 if self.day is None else self.day,
        )

    def time_millis(self) -> int:
        """Milliseconds of the day."""
        hour = self.hour
        if hour is None and self.half_day_hour is not None:
            hour = self.half_day_hour % 12 + (12 if self.afternoon else 0)
        return (((hour or 0) * 60 + (self.minute or 0)) * 60 + (self.second or 0)) * 1000 + (
            self.nanos or 0
        ) // 1_000_000

    def millis(self, default: tzinfo) -> int:
        """Epoch milliseconds."""
        local = datetime.combine(self.date(), datetime.min.time(), self.tz or default)
        return to_millis((local + timedelta(milliseconds=self.time_millis())).replace(fold=0))


def parse_pattern(text: str, pattern: str) -> Parsed:
    """What a text says in a Java DateTimeFormatter pattern (letters without case, as ksqlDB's parsers are).

    Raises:
        RecordError: the text does not fit the pattern, or a field is out of its range.
    """
    parts = _parts(pattern)[0]
    for variant in _optional_variants(parts):
        parsed = Parsed()
        try:
            end = _parse_parts(text, variant, parsed)
        except (ValueError, IndexError):
            continue
        if end == len(text):
            _check(parsed, text)
            return parsed
    raise RecordError(f"Text '{text}' could not be parsed with the pattern '{pattern}'")


def _optional_variants(parts: tuple[_Part, ...]) -> list[tuple[_Part, ...]]:
    """The pattern with and without each optional section, the longest first."""
    if not any(part.letter == "[" for part in parts):
        return [parts]
    open_at = next(index for index, part in enumerate(parts) if part.letter == "[")
    depth = 0
    for index in range(open_at, len(parts)):
        depth += {"[": 1, "]": -1}.get(parts[index].letter, 0)
        if depth == 0:
            before, inner, after = parts[:open_at], parts[open_at + 1 : index], parts[index + 1 :]
            return [*_optional_variants(before + inner + after), *_optional_variants(before + after)]
    return [parts]


def _check(parsed: Parsed, text: str) -> None:
    limits = (
        ("HourOfDay", parsed.hour, 23),
        ("MinuteOfHour", parsed.minute, 59),
        ("SecondOfMinute", parsed.second, 59),
    )
    for name, value, limit in limits:
        if value is not None and value > limit:
            raise RecordError(f"Text '{text}' could not be parsed: Invalid value for {name}: {value}")
    try:
        parsed.date()
    except ValueError as error:
        raise RecordError(f"Text '{text}' could not be parsed: {error}") from error


def _is_number(part: _Part) -> bool:
    return part.letter in "yuDdHhkKmsSnN" if part.letter else part.text.isdigit()


def _parse_parts(text: str, parts: tuple[_Part, ...], parsed: Parsed) -> int:
    position = 0
    for index, part in enumerate(parts):
        if not part.letter:
            if text[position : position + len(part.text)].lower() != part.text.lower():
                raise ValueError(text)
            position += len(part.text)
            continue
        adjacent = index + 1 < len(parts) and _is_number(parts[index + 1]) and parts[index + 1].letter != ""
        position = _parse_part(text, position, part, parsed, adjacent=adjacent)
    return position


def _digits(text: str, position: int, smallest: int, largest: int) -> tuple[int, int]:
    end = position
    while end < len(text) and end - position < largest and text[end].isdigit():
        end += 1
    if end - position < smallest:
        raise ValueError(text)
    return int(text[position:end]), end


def _parse_part(  # noqa: C901, PLR0911, PLR0912 - one branch a letter
    text: str, position: int, part: _Part, parsed: Parsed, *, adjacent: bool
) -> int:
    letter, count = part.letter, part.count
    if letter in "yu":
        sign = -1 if text[position : position + 1] == "-" else 1
        position += sign < 0
        if count == 2:
            value, position = _digits(text, position, 2, 2)
            parsed.year = 2000 + value
        else:
            value, position = _digits(text, position, min(count, 4) if count > 1 else 1, count if adjacent else 9)
            parsed.year = sign * value
        return position
    if letter in "ML" and count >= 3:
        for number, name in enumerate(_MONTHS, 1):
            wanted = name if count == 4 else name[:3]
            if text[position : position + len(wanted)].lower() == wanted.lower():
                parsed.month = number
                return position + len(wanted)
        raise ValueError(text)
    if letter in "ML":
        parsed.month, position = _digits(text, position, count, 2)
        if not 1 <= parsed.month <= 12:
            raise RecordError(f"Text '{text}' could not be parsed: Invalid value for MonthOfYear: {parsed.month}")
        return position
    if letter in "Eec":
        for name in _DAYS:
            wanted = name if count == 4 else name[:3]
            if text[position : position + len(wanted)].lower() == wanted.lower():
                return position + len(wanted)
        raise ValueError(text)
    if letter == "a":
        half = text[position : position + 2].upper()
        if half not in ("AM", "PM"):
            raise ValueError(text)
        parsed.afternoon = half == "PM"
        return position + 2
    if letter in _NUMBER_WIDTHS:
        value, position = _digits(text, position, count, _NUMBER_WIDTHS[letter])
        _set_number(parsed, letter, value)
        return position
    if letter == "S":
        end = position + count
        if not text[position:end].isdigit() or len(text) < end:
            raise ValueError(text)
        parsed.nanos = int(text[position:end].ljust(9, "0")[:9])
        return end
    if letter in "nN":
        parsed.nanos, position = _digits(text, position, 1, 19)
        return position
    if letter == "G":
        return position + 2
    return _parse_zone(text, position, part, parsed)


def _set_number(parsed: Parsed, letter: str, value: int) -> None:
    if letter == "d":
        parsed.day = value
    elif letter == "D":
        parsed.day_of_year = value
    elif letter == "H":
        parsed.hour = value
    elif letter == "k":
        parsed.hour = value % 24
    elif letter in "hK":
        parsed.half_day_hour = value
    elif letter == "m":
        parsed.minute = value
    else:
        parsed.second = value


_ZONE_PATTERNS: Final = {
    "X1": r"Z|[+-]\d{2}(?:\d{2})?",
    "X2": r"Z|[+-]\d{4}",
    "X3": r"Z|[+-]\d{2}:\d{2}",
    "x1": r"[+-]\d{2}(?:\d{2})?",
    "x2": r"[+-]\d{4}",
    "x3": r"[+-]\d{2}:\d{2}",
    "Z1": r"[+-]\d{4}",
    "Z2": r"[+-]\d{4}",
    "Z3": r"[+-]\d{4}",
    "Z5": r"Z|[+-]\d{2}:\d{2}",
}
_ANY_ZONE: Final = r"[A-Za-z]+(?:/[A-Za-z_]+)*(?:[+-]\d{1,2}(?::?\d{2})?)?|[+-]\d{2}:?\d{2}"


def _parse_zone(text: str, position: int, part: _Part, parsed: Parsed) -> int:
    pattern = _ZONE_PATTERNS.get(f"{part.letter}{part.count}", _ANY_ZONE)
    match = re.compile(pattern, re.IGNORECASE).match(text, position)
    if match is None:
        raise ValueError(text)
    name = match.group()
    parsed.tz = zone(
        _NAMED_ZONES.get(name.upper(), name) if part.letter == "z" else name.upper() if name in "zZ" else name
    )
    return match.end()
