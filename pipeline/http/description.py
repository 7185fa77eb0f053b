"""Description: the API as an OpenAPI document, from the types that it speaks, and the topics as an AsyncAPI one."""

from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router, get

from pipeline.http.evaluate.amplitude import Asked
from pipeline.http.ingest.uploads import MOST_EVENTS, Options
from pipeline.http.results.looks import Columns
from schemas.asyncapi import asyncapi
from schemas.event import Event
from schemas.fields import fields
from schemas.flag_config import FlagConfig
from schemas.look import TOLD, Cell

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
                "faults": {
                    "type": "array",
                    "description": "by field, such as `plan.steps[1].for`, where fields of a document are to blame",
                    "items": {
                        "type": "object",
                        "properties": {"path": {"type": "string"}, "error": {"type": "string"}},
                        "required": ["path", "error"],
                    },
                },
            },
            "required": ["error"],
        }
    }
    _merge_numbers(document)
    for name, struct in _TOLD.items():
        of_struct = components["schemas"][name]["properties"]
        for field in fields(struct).values():
            if field.name in of_struct:
                of_struct[field.name] |= field.schema
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method == "post" and (body := _BODIES.get(path)):
                operation["requestBody"] = {"required": True, "content": body}
            operation["operationId"] = operation["operationId"].lstrip("0123456789")  # in code a name can't begin so
            operation["security"] = [{"key": []}, {"header": []}]
            refused = _REFUSED
            if path in _INTAKE:
                operation["security"].append({})  # the body may hold the key
                refused = {"$ref": _PLACE.format(name="Refusal")}
            if answer := _ANSWERS.get(path):
                operation["responses"]["200"]["content"] = answer
            for status, meaning in _REFUSALS.items():
                content = {"application/json": {"schema": refused}}
                operation["responses"][status] = {"description": meaning, "content": content}
            for status, response in _OTHERS.get(path, {}).items():
                operation["responses"][status] = response
    return document


def _merge_numbers(value: Any) -> None:
    """A number that may be whole fits one of two schemas, and not both: as a number it fits one. So with any value."""
    if isinstance(value, dict):
        if {} in value.get("oneOf", ()):
            del value["oneOf"]
        kinds = [each.get("type") for each in value.get("oneOf", ())]
        if {"integer", "number"}.issubset(kinds):
            others = [each for each in value.pop("oneOf") if each.get("type") not in ("integer", "number")]
            value |= {"oneOf": [{"type": "number"}, *others]} if others else {"type": "number"}
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _merge_numbers(part)


# What is told field by field; the framework leaves out units, and what columns of a cell's numbers are.
_TOLD: dict[str, type[msgspec.Struct]] = {each.__name__: each for each in TOLD} | {Columns.__name__: Cell}
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


class Given(msgspec.Struct):
    """The variant that a flag yields. `metadata.default`: it is none; with `metadata.reason` the unit is missing."""

    key: str
    metadata: dict[str, Any]
    value: str | None = None
    payload: Any = None


class PlainGiven(msgspec.Struct):
    """The variant that a flag yields."""

    key: str
    payload: Any = None
    expKey: str | None = None  # noqa: N815  # as it is written


class CohortIds(msgspec.Struct):
    """Who belongs to a cohort."""

    cohortId: str  # noqa: N815
    groupType: str  # noqa: N815
    lastModified: int  # noqa: N815
    size: int
    memberIds: list[str]  # noqa: N815


class Evaluated(msgspec.Struct):
    """What OpenFeature's clients are told of a flag: value and variant, or an `errorCode`."""

    key: str
    value: Any = None
    reason: str | None = None
    variant: str | None = None
    metadata: dict[str, Any] = {}
    errorCode: str | None = None  # noqa: N815
    errorDetails: str | None = None  # noqa: N815


class EventStream(msgspec.Struct):
    """Where word of changes comes from."""

    type: str
    endpoint: dict[str, str]


class AllEvaluated(msgspec.Struct):
    """What they are told of every flag."""

    flags: list[Evaluated]
    eventStreams: list[EventStream]  # noqa: N815


class Unevaluated(msgspec.Struct):
    """Why nothing was evaluated."""

    errorCode: str  # noqa: N815
    errorDetails: str  # noqa: N815
    key: str | None = None


_RANGE = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
_, _SCHEMAS = msgspec.json.schema_components(
    [Event, Options, Asked, Given, PlainGiven, FlagConfig, CohortIds, Evaluated, AllEvaluated, Unevaluated],
    ref_template=_PLACE,
    schema_hook=lambda _: {"description": "any JSON value"},
)
for _name in ("Distribution", "BucketAllocation"):  # generators know no arrays by position
    _SCHEMAS[_name]["properties"]["range"] = _RANGE
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


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": _PLACE.format(name=name)}


def _by_flag(name: str) -> dict[str, Any]:
    return _json({"type": "object", "additionalProperties": _reference(name)})


_EVENT_STREAM = {"text/event-stream": {"schema": {"type": "string"}}}
_FLAGS = _json({"type": "array", "items": _reference("FlagConfig")})
_ANSWERS: dict[str, dict[str, Any]] = {  # of routes that write their bytes themselves
    "/sdk/v2/vardata": _by_flag("Given"),
    "/sdk/vardata": _by_flag("Given"),
    "/v1/vardata": _by_flag("PlainGiven"),
    "/sdk/v2/flags": _FLAGS,
    "/v1/flags": _FLAGS,
    "/sdk/v1/cohort/{key}": _json(_reference("CohortIds")),
    "/ofrep/v1/evaluate/flags": _json(_reference("AllEvaluated")),
    "/ofrep/v1/evaluate/flags/{key}": _json(_reference("Evaluated")),
    "/api/1/results/stream": _EVENT_STREAM,
    "/api/1/notifications/stream": _EVENT_STREAM,
}
_UNEVALUATED = {"description": "It cannot be evaluated", "content": _json(_reference("Unevaluated"))}
_OTHERS: dict[str, dict[str, Any]] = {
    "/sdk/v1/cohort/{key}": {"204": {"description": "No others than at `lastModified`"}},
    "/ofrep/v1/evaluate/flags": {"304": {"description": "What the client has"}, "400": _UNEVALUATED},
    "/ofrep/v1/evaluate/flags/{key}": {"400": _UNEVALUATED, "404": _UNEVALUATED},
}
_TEXT = {"type": ["string", "null"]}  # a whole number is read as one
_IDS = {"user_id": _TEXT, "device_id": _TEXT}
_CONTEXT = {"type": "object", "properties": {"targetingKey": _TEXT} | _IDS}
_EVALUATION = {"application/json": {"schema": {"type": "object", "properties": {"context": _CONTEXT}}}}
_BODIES = _INTAKE | {
    "/sdk/v2/vardata": {"application/json": {"schema": {"type": "object", "properties": _IDS}}},
    "/sdk/vardata": {"application/json": {"schema": {"type": "object", "properties": _IDS}}},
    "/v1/vardata": {"application/json": {"schema": {"$ref": _PLACE.format(name="Asked")}}},
    "/ofrep/v1/evaluate/flags": _EVALUATION,
    "/ofrep/v1/evaluate/flags/{key}": _EVALUATION,
}
