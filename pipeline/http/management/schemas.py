"""Schemas: what each field of a document may hold, for forms and editors."""

from typing import Any

import msgspec
from litestar import get
from litestar.exceptions import NotFoundException

from evaluation.catalog.rules import did_you_mean
from schemas.json_schema import DOCUMENTS, json_schema


@get("/schemas/{document:str}")
async def tell_schema(document: str) -> dict[str, Any]:
    """Tell the JSON Schema of a kind of document, the same as its file in `configs/schemas/`."""
    if document not in DOCUMENTS:
        raise NotFoundException(f"'{document}' is no kind of document; {did_you_mean(document, DOCUMENTS)}")
    schema: dict[str, Any] = msgspec.json.decode(json_schema(document))
    return schema


ROUTES = [tell_schema]
