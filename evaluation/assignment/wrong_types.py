"""Wrong types: what msgspec says of a value that is not of its field's type, in plain words and with its way out."""

import re
from typing import Any

import msgspec

SHOWN = 60  # characters of a value
WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "a group of fields",
}
_WRONG = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_PARTS = re.compile(r"\.([^.\[]+)|\[([0-9]+)\]")


def in_words(message: str, document: Any, within: str = "") -> str:
    """The message of a ValidationError about a JSON value, or about its text, as `field is …; …`.

    `within` names the field of the document that was read.
    """
    reason, _, place = message.partition(" - at `$")
    place = f".{within}{place}".rstrip("`.") if within else place.rstrip("`")
    path = place.lstrip(".")
    found = _WRONG.fullmatch(reason)
    if found is None:
        return f"{path}: {reason}" if path else reason
    wanted = [*dict.fromkeys(WORDS.get(each, each) for each in found[1].split(" | ") if each != "null")]
    if "a number" in wanted and "a whole number" in wanted:
        wanted.remove("a whole number")
    value = _value_at(place, document)
    what = path or "the message"
    if isinstance(value, int) and "a text" in wanted:
        return f'{what} is a number; send it as a text, "{value}"'
    shown = "" if value is None else f"{msgspec.json.encode(value)[:SHOWN].decode(errors='replace')}, "
    return f"{what} is {shown}{WORDS.get(found[2], found[2])}; it must be {' or '.join(wanted)}"


def _value_at(place: str, document: Any) -> Any:
    """The number or text at the place; None where there is none, or where it cannot be found again.

    The place leaves names out that are no field's, a name may stand twice, and behind what is wrong may stand anything.
    """
    if "[...]" in place:
        return None
    try:
        value = msgspec.json.decode(document) if isinstance(document, bytes | msgspec.Raw) else document
        for name, index in _PARTS.findall(place):
            value = value[int(index)] if index else value[name]
    except (LookupError, TypeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None
