"""Functions of URLs."""

# Values have the types that SQL gives them, which only the registry knows: the checker cannot.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote, unquote, unquote_plus, urlsplit

from ksql.engine.functions.registry import scalar, v

if TYPE_CHECKING:
    from collections.abc import Callable

_URL: Final = "URL"
_CHARACTER: Final = re.compile(
    r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9_.!~*'();/?:@&=+$,#\[\]-]|[^\x00-\x20\x7f-\xa0\x22-\x7e])*"
)


def _encode(text: str) -> str:
    """As Java's form encoding: blanks become +, and * stays."""
    return quote(text, safe="*-._").replace("%20", "+").replace("~", "%7E")


def _split(url: str) -> SplitResult:
    """The parts of a URI of RFC 2396.

    Raises:
        ValueError: it has characters that must be escaped.
    """
    if not _CHARACTER.fullmatch(url):
        raise ValueError(f"Illegal character in {url}")
    return urlsplit(url)


def _part(pick: Callable[[SplitResult], str | int | None]) -> Callable[[str], str | int | None]:
    def call(url: str) -> str | int | None:
        return pick(_split(url))

    return call


def _or_none(text: str | None) -> str | None:
    return text or None


def _parameter(url: str, name: str) -> str | None:
    query = _split(url).query
    for pair in query.split("&") if query else []:
        key, _, value = pair.partition("=")
        if unquote(key) == name:
            return unquote(value)
    return None


def _register() -> None:
    scalar("url_encode_param", _URL, "Encodes a text for a query.", v("STRING input", "STRING", _encode))
    scalar("url_decode_param", _URL, "Decodes a text of a query.", v("STRING input", "STRING", unquote_plus))
    scalar(
        "url_extract_parameter",
        _URL,
        "A parameter of the query.",
        v("STRING input, STRING paramToFind", "STRING", _parameter),
    )
    for name, kind, pick in (
        ("fragment", "STRING", lambda parts: _or_none(unquote(parts.fragment))),
        ("host", "STRING", lambda parts: _or_none(parts.hostname and _host(parts))),
        ("path", "STRING", lambda parts: unquote(parts.path)),
        ("port", "INT", lambda parts: parts.port),
        ("protocol", "STRING", lambda parts: _or_none(parts.scheme)),
        ("query", "STRING", lambda parts: _or_none(unquote(parts.query))),
    ):
        scalar(f"url_extract_{name}", _URL, f"The {name} of a URL.", v("STRING input", kind, _part(pick)))


def _host(parts: SplitResult) -> str:
    """The host in its own case; urllib folds it."""
    netloc = parts.netloc.rpartition("@")[2]
    return netloc.partition(":")[0] if not netloc.startswith("[") else netloc.partition("]")[0] + "]"


_register()
