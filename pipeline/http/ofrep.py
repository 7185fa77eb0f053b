"""OFREP 0.3: the protocol of OpenFeature's SDKs. One flag, all flags, and word of changes.

A variant's value is its payload. A flag of which no variant has one is told by the variant's key; if all it has is
`on`, it is true, and `off` false. Where there is no value (of `off`; of a variant without payload beside one that has
it) the default that stands in the code holds.
"""

from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.exceptions import NotAuthorizedException
from litestar.response import Stream

from evaluation.assignment.compiled import Answer
from evaluation.assignment.compiled import Reason as Why
from evaluation.assignment.configs import OFF
from pipeline.http.access import shown
from pipeline.http.backend import Backend
from pipeline.http.evaluation import JSON, MOST_USER_BYTES, evaluate, served_to, stream_of
from pipeline.http.flags import ServedFlags, digest
from pipeline.http.tickets import PATH

FIELDS = {  # of a user: what else a context holds is a property of the user
    *("user_id", "device_id", "country", "region", "city", "dma", "language", "platform", "version", "os"),
    *("device_manufacturer", "device_brand", "device_model", "carrier", "library", "ip_address"),
    *("user_properties", "groups", "group_properties"),
}
TOLD = ("experimentKey", "flagVersion", "flagType", "segmentName")  # of an answer's metadata
REASONS: dict[Why, str] = {
    "segment": "SPLIT",
    "sticky": "SPLIT",
    "not allocated": "SPLIT",
    "inclusion": "TARGETING_MATCH",
    "dependency": "TARGETING_MATCH",
    "inactive": "DISABLED",
}

AnyRequest = Request[Any, Any, Any]
Success = dict[str, Any]


class Body(msgspec.Struct):
    """What clients send."""

    context: dict[str, Any] = {}


class RefusedError(Exception):
    """A context that cannot be evaluated."""

    def __init__(self, code: str, details: str) -> None:
        self.code = code
        self.details = details
        super().__init__(details)


@post("/ofrep/v1/evaluate/flags/{key:str}", status_code=200, request_max_body_size=MOST_USER_BYTES)
async def evaluate_flag(request: AnyRequest, backend: Backend, key: str) -> Response[bytes]:
    """What one flag yields for the context."""
    served = served_to(request, backend)
    try:
        user = _user(await request.body())
        answer = evaluate(request, backend, served, user, [key]).get(key) if key in served.keys else None
    except RefusedError as error:
        return _told({"key": key, "errorCode": error.code, "errorDetails": error.details}, 400)
    if answer is None:
        details = f"'{key}' is no flag that this deployment is served"
        return _told({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}, 404)
    return _told(_success(served, key, answer))


@post("/ofrep/v1/evaluate/flags", status_code=200, request_max_body_size=MOST_USER_BYTES)
async def evaluate_flags(request: AnyRequest, backend: Backend) -> Response[bytes]:
    """What every flag yields for the context; 304 where it is what the client has."""
    served = served_to(request, backend)
    try:
        answers = evaluate(request, backend, served, _user(await request.body()))
    except RefusedError as error:
        return _told({"errorCode": error.code, "errorDetails": error.details}, 400)
    ticket = backend.tickets.of(shown(request.headers))
    tag = f'"{digest(b"".join([ticket.encode(), *served.each(_deciding, answers)]))}"'  # a lost ticket is replaced
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers={"etag": tag})
    told = {
        "flags": served.each(_written, answers),
        "eventStreams": [{"type": "sse", "endpoint": {"requestUri": f"{PATH}?ticket={ticket}"}}],
    }
    return Response(msgspec.json.encode(told), media_type=JSON, headers={"etag": tag})


@get(PATH, include_in_schema=False)
async def stream(backend: Backend, ticket: str) -> Stream:
    """Word of every change, for whoever has a ticket; and at once, as something may have changed meanwhile."""
    try:
        key = backend.tickets.key(ticket)
    except KeyError:
        raise NotAuthorizedException("the ticket is not known (any more); evaluate all flags for another one") from None
    return stream_of(backend, key, _word, b":\n\n")


def _word(served: ServedFlags) -> bytes:
    word = {"type": "refetchEvaluation", "etag": served.version, "lastModified": served.changed // 1_000}
    return b"data: " + msgspec.json.encode(word) + b"\n\n"


ofrep = Router("/", route_handlers=[evaluate_flag, evaluate_flags, stream], tags=["OpenFeature"])


def _user(body: bytes) -> dict[str, Any]:
    """The context as Amplitude's user. The targeting key is its user_id, unless it has one."""
    try:
        context = msgspec.json.decode(body or b"{}", type=Body).context
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RefusedError("PARSE_ERROR", f"the body cannot be read: {reason}") from None
    user = {name: value for name, value in context.items() if name in FIELDS}
    if user.get("user_id") in (None, ""):
        user["user_id"] = context.get("targetingKey")
    for name in ("user_id", "device_id"):
        if not isinstance(user.get(name), str | None):
            raise RefusedError("INVALID_CONTEXT", f"{name} (of a user, the targetingKey) is no text")
    if not (user["user_id"] or user.get("device_id")):
        raise RefusedError("TARGETING_KEY_MISSING", "the context has no targetingKey")
    properties = user.get("user_properties")
    others = {name: value for name, value in context.items() if name not in FIELDS and name != "targetingKey"}
    user["user_properties"] = others | properties if isinstance(properties, dict) else others
    return user


def _success(served: ServedFlags, key: str, answer: Answer) -> Success:
    told: Success = {
        "key": key,
        "reason": REASONS[answer.reason],
        "variant": answer.key,
        "metadata": {name: answer.metadata[name] for name in TOLD if name in answer.metadata},
    }
    match served.values[key]:
        case "payload" if answer.payload is not None:
            told["value"] = answer.payload
        case "toggle":
            told["value"] = answer.key != OFF
        case "key" if answer.key != OFF:
            told["value"] = answer.key
    return told


def _written(served: ServedFlags, key: str, answer: Answer) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(_success(served, key, answer)))


def _deciding(_: ServedFlags, key: str, answer: Answer) -> bytes:
    """What decides about all the rest: not why, as a sticky answer has another reason the second time."""
    return msgspec.json.encode((key, answer.key, answer.metadata.get("flagVersion")))


def _told(told: Success, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(told), status_code=status, media_type=JSON)
