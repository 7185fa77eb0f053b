"""Exact JSON: what people wrote, read as their documents are: nothing is lost without a word, a fault has its place."""

import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from math import inf, isinf
from typing import Any, NoReturn

from evaluation.catalog.rules import Path, Violation

MOST_DIGITS = 4_000  # of a number; Python reads 4,300


class JsonError(ValueError):
    """A text that is no JSON, or says what would be lost: `str()` gives place, rule and way out."""


class _Fault(str):
    """What is wrong with the value that stands here."""


class _Repeated(dict[str, Any]):
    """An object in which a name stands twice."""

    name = ""


def read_json(text: bytes) -> Any:
    """The value of a JSON text. Raises JsonError, UnicodeDecodeError and RecursionError."""
    try:
        value = json.loads(
            text.decode(), parse_float=_float, parse_int=_int, parse_constant=_no_constant, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise JsonError(f"is no JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    faults = [*_faults(value, ())]
    if faults:
        raise JsonError("\n".join(map(str, faults)))
    return value


def digits_fault(text: str, value: float, may_be_a_text: bool = False) -> str | None:
    """Why a number as it is written would lose some of its digits; None: it doesn't."""
    if isinf(value):
        return f"{text[:60]} is too large for a number; write it in quotes, as a text"
    read = repr(value)
    with suppress(InvalidOperation):  # the exponent has more than 18 digits
        if Decimal(text) == Decimal(read) and not may_be_a_text:
            return None
    return f"{text[:60]} would be read as the number {read[:60]}; write that, or in quotes the text '{text[:60]}'"


def _float(text: str) -> float | _Fault:
    value = float(text)
    return _Fault(fault) if (fault := digits_fault(text, value)) else value


def _int(text: str) -> int | _Fault:
    return int(text) if len(text) <= MOST_DIGITS else _Fault(digits_fault(text, inf))


def _no_constant(text: str) -> NoReturn:
    raise JsonError(f"is no JSON: {text} is no number of it; leave it out, or write a text")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    repeated = _Repeated(value)
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            repeated.name = name
            break
        seen.add(name)
    return repeated


def _faults(value: Any, path: Path) -> Iterator[Violation]:
    match value:
        case _Fault():
            yield Violation(path, str(value))
        case str():
            if not value.isascii() and (fault := half_fault(value)):
                yield Violation(path, fault)
        case dict():
            if isinstance(value, _Repeated):
                yield Violation((*path, value.name), "stands here twice; keep one of the two")
            for name, item in value.items():
                if not name.isascii() and (fault := half_fault(name)):
                    yield Violation(path, fault)
                yield from _faults(item, (*path, name))
        case list():
            for index, item in enumerate(value):
                yield from _faults(item, (*path, index))


def half_fault(text: str) -> str | None:
    """Why a text cannot be written down, if it has half of a surrogate pair; None: it can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        return (
            f"the text has \\u{code:04x}, half of a surrogate pair, which is no character; write both halves, or none"
        )
    return None
