"""Description: the API as an OpenAPI document, from the types that it speaks, and the topics as an AsyncAPI one."""

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router, get

from pipeline.http.evaluation import Asked
from pipeline.http.uploads import MOST_EVENTS, Options
from schemas.asyncapi import asyncapi
from schemas.event import Event

_REFUSED = {"$ref": "#/components/schemas/Refused"}
_PLACE = "#/components/schemas/{name}"
_FORM = "application/x-www-form-urlencoded"


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The API, for other programs' tools."""
    return Response(request.app.state.openapi, media_type="application/json")


@get("/asyncapi.json", include_in_schema=False)
async def topics() -> Response[bytes]:
    """The topics and their messages, for other programs' tools."""
    return Response(_asyncapi(), media_type="application/json")


description = Router("/", route_handlers=[openapi, topics])


@cache
def _asyncapi() -> bytes:
    return msgspec.json.encode(asyncapi(version("peekproof")))


def openapi_of(app: Litestar) -> dict[str, Any]:
    """The document: what the framework finds in the types, with keys, refusals, and the bodies that are read raw."""
    document = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema()))
    components = document["components"]
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "of `peekproof key create`"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same, in another place"},
    }
    components["schemas"] |= _SCHEMAS | {
        "Refused": {
            "type": "object",
            "description": "Why something was not done: the value, the rule, the place and the way out.",
            "properties": {
                "error": {"type": "string"},
                "consequences": {"type": "array", "items": {"type": "string"}, "description": "that want a `yes`"},
            },
            "required": ["error"],
        }
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "post" and (body := _BODIES.get(path)):
                operation["requestBody"] = {"required": True, "content": body}
            if path in _INTAKE:  # whose bodies hold the key
                refused = {"$ref": "#/components/schemas/Refusal"}
            else:
                operation["security"] = [{"key": []}, {"header": []}]
                refused = _REFUSED
            for status, meaning in _REFUSALS.items():
                content = {"application/json": {"schema": refused}}
                operation["responses"][status] = {"description": meaning, "content": content}
    return document


_REFUSALS = {
    "400": "The request is wrong",
    "401": "The key is missing or not known",
    "403": "The key may not do this",
    "404": "There is no such thing",
    "409": "It is refused, or wants a `yes`",
    "413": "The request is too large",
    "429": "The key is in a hurry",
    "503": "Kafka does not answer; send it again",
}
_, _SCHEMAS = msgspec.json.schema_components(
    [Event, Options, Asked], ref_template=_PLACE, schema_hook=lambda _: {"description": "any JSON value"}
)
_EVENTS = {"type": "array", "maxItems": MOST_EVENTS, "items": {"$ref": _PLACE.format(name="Event")}}
_UPLOAD = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {
                "api_key": {"type": "string"},
                "events": _EVENTS,
                "options": {"$ref": _PLACE.format(name="Options")},
            },
            "required": ["api_key", "events"],
        }
    }
}
_IDENTIFICATION = {
    _FORM: {
        "schema": {
            "type": "object",
            "properties": {
                "api_key": {"type": "string"},
                "identification": {"type": "string", "description": "a JSON object, or an array of them"},
            },
            "required": ["api_key", "identification"],
        }
    }
}
_INTAKE: dict[str, dict[str, Any]] = {
    "/2/httpapi": _UPLOAD,
    "/batch": _UPLOAD,
    "/identify": _IDENTIFICATION,
    "/groupidentify": _IDENTIFICATION,
}
_TEXT = {"type": ["string", "null"]}
_IDS = {"user_id": _TEXT, "device_id": _TEXT}
_CONTEXT = {"type": "object", "properties": {"targetingKey": _TEXT} | _IDS}
_EVALUATION = {"application/json": {"schema": {"type": "object", "properties": {"context": _CONTEXT}}}}
_BODIES = _INTAKE | {
    "/sdk/v2/vardata": {"application/json": {"schema": {"type": "object", "properties": _IDS}}},
    "/v1/vardata": {"application/json": {"schema": {"$ref": _PLACE.format(name="Asked")}}},
    "/ofrep/v1/evaluate/flags": _EVALUATION,
    "/ofrep/v1/evaluate/flags/{key}": _EVALUATION,
}
