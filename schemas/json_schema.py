"""JSON Schema of the documents that authors write, for editors: generated from the structs of the catalog."""

import inspect
from typing import Any

import msgspec

from schemas.catalog import WRITTEN, Definition, Flag

DOCUMENTS = {"experiment": Flag, **dict[str, type[Definition]](WRITTEN.items())}  # by the name of the published file


def json_schema(document: str) -> str:
    """The schema of one kind of document, as the text of its file `configs/schemas/{document}.json`."""
    (reference,), parts = msgspec.json.schema_components([DOCUMENTS[document]], ref_template="#/$defs/{name}")
    for part in parts.values():
        part["description"] = inspect.cleandoc(part["description"])
    whole: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",  # the draft that every editor knows
        "title": f"Peekproof {document}",
        "allOf": [reference],
        "$defs": parts,
    }
    return msgspec.json.format(msgspec.json.encode(_with_numbers(whole)), indent=2).decode() + "\n"


def _with_numbers(part: Any) -> Any:
    """The same, but that whatever is a text may be written as a number, without quotes: its digits are the text."""
    if isinstance(part, list):
        return [_with_numbers(each) for each in part]
    if not isinstance(part, dict):
        return part
    made = {name: _with_numbers(each) for name, each in part.items()}
    return made | {"type": ["string", "number"]} if made.get("type") == "string" else made
