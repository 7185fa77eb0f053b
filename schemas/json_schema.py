"""JSON Schema of the documents that authors write, for editors: generated from the structs of the catalog."""

import inspect
from typing import Any

import msgspec

from schemas.catalog import Cohort, Deployment, Flag, Group, Metric

DOCUMENTS = {  # by the name of the published file
    "experiment": Flag,
    "flag": Flag,
    "metric": Metric,
    "group": Group,
    "cohort": Cohort,
    "deployment": Deployment,
}


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
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n"
