"""Values: what stands at a selector, and the texts by which conditions and buckets know it.

A condition compares texts. A value that holds many (an array, or a text that is a JSON array) is compared element by
element; every other value is one text: numbers and booleans as JSON writes them, objects as JSON without blanks.
"""

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any

import msgspec

from evaluation.columns.nesting import DEEPEST, is_too_deep, json_depth

Selector = tuple[str, ...]
Subject = str | tuple[str, ...] | None  # what a condition is asked about: one text, many, or nothing
MOST_BITS = 1024  # an integer of more is beyond every double

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), skipkeys=True, default=str)


def select(target: Any, selector: Selector) -> Any:
    """The value at the end of the path; None where a step is missing, or leads through something else than an object.

    No path leads nowhere.
    """
    if not selector:
        return None
    for name in selector:
        if not isinstance(target, dict):
            return None
        target = target.get(name)
    return target


def text_of(value: Any) -> str | None:
    """The value as one text, by which it is bucketed; None for null, and for what cannot be written down."""
    if value.__class__ is str or value is None:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    return _json(value) if isinstance(value, dict | list | tuple) else str(value)


def subject_of(value: Any) -> Subject:
    """The value as conditions see it. Elements that are null don't count."""
    if isinstance(value, list | tuple):
        return _texts(value)
    text = text_of(value)
    if text is not None and text.startswith("["):
        elements = _array(text)
        return text if elements is None else _texts(elements)
    return text


def _number(value: float) -> str:
    if isinstance(value, int) and value.bit_length() <= MOST_BITS:
        return int.__repr__(value)
    if isinstance(value, float) and isfinite(value):
        return float.__repr__(value)
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124


def _json(value: Any) -> str | None:
    try:
        return None if is_too_deep(value) else _JSON.encode(value)
    except ValueError:  # an integer of thousands of digits
        return None


def _texts(elements: Sequence[Any]) -> tuple[str, ...]:
    return tuple(text for text in map(text_of, elements) if text is not None)


def _array(text: str) -> list[Any] | None:
    """The array that the text writes in JSON; None where it writes none."""
    try:
        value = read_json(text.encode())
    except UnicodeEncodeError:
        return None
    return value if isinstance(value, list) else None


def read_json(text: bytes) -> Any:
    """The value; None where it is no JSON, is nested too deeply, or has a number beyond all doubles."""
    try:
        return msgspec.json.decode(text) if json_depth(text) <= DEEPEST else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
