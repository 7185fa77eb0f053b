"""OFREP 0.3: the protocol of OpenFeature's SDKs. One flag, all flags, and word of changes.

A variant's value is its payload. A flag of which no variant has one is told by the variant's key; if all it has is
`on`, it is true, and `off` false. Providers take an answer without a value for an error, so there always is one: `off`,
and a variant without payload beside one that has it, have the empty value of the payloads' type, or their key.

Whoever lacks a unit is answered wherever nothing is split by it. Where a flag is, it says so, and the default in the
code holds.
"""

from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.exceptions import ClientException, NotAuthorizedException
from litestar.response import Stream

from evaluation.flags.compiled import Answer, Basis
from evaluation.flags.compiled import Reason as Why
from pipeline.http.backend import Backend
from pipeline.http.callers.access import shown
from pipeline.http.callers.tickets import PATH
from pipeline.http.evaluate.amplitude import JSON, MOST_USER_BYTES, evaluate, read_ids, served_to, stream_of
from pipeline.http.evaluate.flags import ServedFlags, digest

FIELDS = {  # of a user: what else a context holds is a property of the user
    *("user_id", "device_id", "country", "region", "city", "dma", "language", "platform", "version", "os"),
    *("device_manufacturer", "device_brand", "device_model", "carrier", "library", "ip_address"),
    *("user_properties", "groups", "group_properties"),
}
METADATA = ("experimentKey", "flagVersion", "flagType", "segmentName", "problem")  # of an answer's metadata
REASONS: dict[Why, str] = {  # of others the basis tells
    "sticky": "SPLIT",
    "inclusion": "TARGETING_MATCH",
    "dependency": "TARGETING_MATCH",
    "inactive": "DISABLED",
}
OF_BASIS: dict[Basis, str] = {
    "everybody": "STATIC",
    "the rest": "DEFAULT",
    "condition": "TARGETING_MATCH",
    "hash": "SPLIT",
}

AnyRequest = Request[Any, Any, Any]
Evaluated = dict[str, Any]


class Body(msgspec.Struct):
    """What clients send."""

    context: dict[str, Any] = {}


class ContextError(Exception):
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
        user, has_key = _user(await request.body())
        answer = evaluate(request, backend, served, user, [key]).get(key) if key in served.keys else None
    except ContextError as error:
        return _told({"key": key, "errorCode": error.code, "errorDetails": error.details}, 400)
    if answer is None:
        details = f"'{key}' is no flag that this deployment is served"
        return _told({"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": details}, 404)
    told = (_of_named if has_key else _of_nameless)(served, key, answer)
    return _told(told, 400 if "errorCode" in told else 200)


@post("/ofrep/v1/evaluate/flags", status_code=200, request_max_body_size=MOST_USER_BYTES)
async def evaluate_flags(request: AnyRequest, backend: Backend) -> Response[bytes]:
    """What every flag yields for the context; 304 where it is what the client has."""
    served = served_to(request, backend)
    try:
        user, has_key = _user(await request.body())
        answers = evaluate(request, backend, served, user)
    except ContextError as error:
        return _told({"errorCode": error.code, "errorDetails": error.details}, 400)
    ticket = backend.tickets.of(shown(request.headers))
    decided = [ticket.encode(), b"%d" % has_key, *served.each(_deciding, answers)]  # a lost ticket is replaced
    tag = f'"{digest(b"".join(decided))}"'
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers={"etag": tag})
    told = {
        "flags": served.each(_written_of_named if has_key else _written_of_nameless, answers),
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


def _user(body: bytes) -> tuple[dict[str, Any], bool]:
    """The context as Amplitude's user, and whether it has a targeting key, which is its user_id unless that is said."""
    try:
        context = msgspec.json.decode(body or b"{}", type=Body).context
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ContextError("PARSE_ERROR", f"the body cannot be read: {reason}") from None
    user = {name: value for name, value in context.items() if name in FIELDS}
    if user.get("user_id") in (None, ""):
        user["user_id"] = context.get("targetingKey")
    try:
        read_ids(user)
    except ClientException as error:
        raise ContextError("INVALID_CONTEXT", f"{error.detail} (the targetingKey is the user_id)") from None
    properties = user.get("user_properties")
    others = {name: value for name, value in context.items() if name not in FIELDS and name != "targetingKey"}
    user["user_properties"] = others | properties if isinstance(properties, dict) else others
    return user, bool(user["user_id"])


def _of_named(served: ServedFlags, key: str, answer: Answer) -> Evaluated:
    """The answer to a context with a targeting key."""
    is_without = answer.reason == "no unit"
    return _without_unit(served, key, "INVALID_CONTEXT") if is_without else _success(served, key, answer)


def _of_nameless(served: ServedFlags, key: str, answer: Answer) -> Evaluated:
    if answer.reason == "no unit" and "user_id" in served.units[key]:
        return _without_unit(served, key, "TARGETING_KEY_MISSING")
    return _of_named(served, key, answer)


def _without_unit(served: ServedFlags, key: str, code: str) -> Evaluated:
    units = " and ".join(served.units[key])
    details = f"the context lacks a unit of '{key}', which is split by {units}; the targetingKey is the user_id"
    return {"key": key, "errorCode": code, "errorDetails": details}


def _success(served: ServedFlags, key: str, answer: Answer) -> Evaluated:
    return {
        "key": key,
        "value": served.values[key][answer.key],
        "reason": REASONS.get(answer.reason) or OF_BASIS[answer.basis],
        "variant": answer.key,
        "metadata": {name: answer.metadata[name] for name in METADATA if name in answer.metadata},
    }


def _written_of_named(served: ServedFlags, key: str, answer: Answer) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(_of_named(served, key, answer)))


def _written_of_nameless(served: ServedFlags, key: str, answer: Answer) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(_of_nameless(served, key, answer)))


def _deciding(_: ServedFlags, key: str, answer: Answer) -> bytes:
    """What decides about all the rest: not why, as a sticky answer has another reason the second time."""
    is_without = answer.reason == "no unit"
    return msgspec.json.encode((key, answer.key, answer.metadata.get("flagVersion"), is_without))


def _told(told: Evaluated, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(told), status_code=status, media_type=JSON)
