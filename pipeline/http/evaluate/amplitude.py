"""Evaluation: Amplitude's protocol for SDKs. Variants of a user, flags to evaluate elsewhere, their stream, cohorts."""

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import Parameter
from litestar.response import Stream

from evaluation.flags.compiled import Answer
from evaluation.flags.users import id_of
from pipeline.http.backend import Backend
from pipeline.http.callers.access import password, shown
from pipeline.http.callers.keys import OF_DEPLOYMENTS, Key, Role
from pipeline.http.evaluate.flags import ServedFlags

JSON = "application/json"
OF_SERVERS: tuple[Role, ...] = ("server",)
MOST_USER_BYTES = 64_000
KEEP_ALIVE_SECONDS = 10.0  # SDKs take a stream for dead after 17
QUIET = b"data:  \n\n"  # one blank: SDKs know it as the stream's sign of life

AnyRequest = Request[Any, Any, Any]
User = dict[str, Any]
Read = TypeVar("Read")


class Asked(msgspec.Struct):
    """What the plain protocol asks. `context`: a user's other fields; `flag_keys`: all where there are none."""

    user_id: str | int | None = None
    device_id: str | int | None = None
    context: User | str | None = None  # a text holds its JSON
    flag_keys: list[str] | str | None = None  # a text has commas between them


def served_to(request: AnyRequest, backend: Backend) -> ServedFlags:
    """The flags of the deployment whose key the request carries. Raises what says 401, 403 or 429."""
    text = shown(request.headers)
    return _served(backend, backend.access.admit(text, OF_DEPLOYMENTS), text)


def _served(backend: Backend, key: Key, text: str | None) -> ServedFlags:
    if backend.access.is_open:
        return backend.flags.of_name(text)
    return backend.flags.of(key.deployment, key.role == "client")


def stream_of(backend: Backend, text: str | None, event: Callable[[ServedFlags], bytes], quiet: bytes) -> Stream:
    """An event of the key's flags at once and whenever answers may be others, `quiet` between, while the key stands.

    It is one request, however many changes there are. Raises as `served_to`.
    """
    key = backend.access.admit(text, OF_DEPLOYMENTS)

    async def events() -> AsyncIterator[bytes]:
        sent = ""
        while not backend.is_stopping and backend.access.holds(key):
            newest = _served(backend, key, text)
            if newest.version != sent:
                sent = newest.version
                yield event(newest)
            elif not await backend.catalog_changes(KEEP_ALIVE_SECONDS):
                yield quiet

    return backend.streams.of(events(), key.id)


@post("/sdk/v2/vardata", status_code=200, request_max_body_size=MOST_USER_BYTES)
async def variants_of_body(request: AnyRequest, backend: Backend) -> Response[bytes]:
    """The variants of the user in the body."""
    served = served_to(request, backend)
    return _variants(request, backend, served, _read(await request.body(), User))


@get("/sdk/v2/vardata")
async def variants_of_header(request: AnyRequest, backend: Backend) -> Response[bytes]:
    """The variants of the user in the header `X-Amp-Exp-User`."""
    served = served_to(request, backend)
    return _variants(request, backend, served, _read(_unwrapped(request, "x-amp-exp-user") or b"{}", User))


@post("/sdk/vardata", status_code=200, request_max_body_size=MOST_USER_BYTES)
async def variants_of_former(request: AnyRequest, backend: Backend) -> Response[bytes]:
    """The variants, without defaults, of the user in the body: what SDKs of the former protocol ask for."""
    served = served_to(request, backend)
    answers = evaluate(request, backend, served, _read(await request.body(), User))
    given = {key: answer for key, answer in answers.items() if not answer.metadata.get("default")}
    return Response(served.encode(given), media_type=JSON)


@get("/v1/vardata")
async def plain_variants(request: AnyRequest, backend: Backend) -> Response[bytes]:
    """The variants, without defaults, of the user in the query: `user_id`, `device_id`, `context`, `flag_keys`."""
    return _plain_variants(request, backend, served_to(request, backend), Asked())


@post("/v1/vardata", status_code=200, request_max_body_size=MOST_USER_BYTES)
async def plain_variants_of_body(request: AnyRequest, backend: Backend) -> Response[bytes]:
    """The same, with the names of the query in a body."""
    served = served_to(request, backend)
    return _plain_variants(request, backend, served, _read(await request.body() or b"{}", Asked))


@get("/sdk/v2/flags")
async def flags(request: AnyRequest, backend: Backend) -> Response[bytes]:
    """Every flag of the deployment, and what they depend on, for an SDK that evaluates by itself."""
    return Response(served_to(request, backend).json, media_type=JSON)


@get("/v1/flags")
async def some_flags(request: AnyRequest, backend: Backend, flag_keys: str | None = None) -> Response[bytes]:
    """Every flag of the deployment, or those of `flag_keys` (with commas between them) and what they depend on."""
    served = served_to(request, backend)
    return Response(served.json_of(flag_keys.split(",")) if flag_keys else served.json, media_type=JSON)


@get("/sdk/stream/v1/flags", include_in_schema=False)
async def stream(request: AnyRequest, backend: Backend) -> Stream:
    """The same at once and after every change, until the client leaves or its key is revoked."""
    text = shown(request.headers)
    return stream_of(backend, text, lambda served: b"data: " + served.json + b"\n\n", QUIET)


@get("/sdk/v1/cohort/{key:str}")
async def cohort(
    request: AnyRequest,
    backend: Backend,
    key: str,
    most: Annotated[int, Parameter(query="maxCohortSize")] = 2**31,
    since: Annotated[int | None, Parameter(query="lastModified")] = None,
) -> Response[bytes]:
    """The ids of a cohort, for SDKs that evaluate by themselves; 204: no others than at `lastModified`.

    Basic authentication: the password is a server key, of whatever user.
    """
    backend.access.admit(password(request.headers.get("authorization")), OF_SERVERS)
    found = backend.catalog.history.newest.cohorts.get(key)
    if found is None:
        raise NotFoundException(f"'{key}' is no cohort of the catalog")
    if since is not None and since >= found.append_time:
        return Response(b"", status_code=204)
    definition, members = found.definition, found.definition.members
    if len(members) > most:
        raise ClientException(f"cohort '{key}' has {len(members)} ids, more than {most}", status_code=413)
    told = {
        "cohortId": key,
        "groupType": "User" if definition.unit == "user_id" else definition.unit.removeprefix("groups."),
        "groupTypeId": 0,
        "lastComputed": found.append_time,
        "lastModified": found.append_time,
        "size": len(members),
        "memberIds": members,
    }
    return Response(msgspec.json.encode(told), media_type=JSON)


evaluation = Router(
    "/",
    route_handlers=[
        variants_of_body,
        variants_of_header,
        variants_of_former,
        plain_variants,
        plain_variants_of_body,
        flags,
        some_flags,
        stream,
        cohort,
    ],
    tags=["evaluation"],
)


def evaluate(
    request: AnyRequest, backend: Backend, served: ServedFlags, user: User, keys: Sequence[str] | None = None
) -> dict[str, Answer]:
    """What the deployment's flags yield for the user, tracked as the request's headers ask.

    Of whom there are no ids, nothing is tracked. Raises ClientException (400) for ids that are no texts.
    """
    read_ids(user)
    units = backend.sticky.stick(user, served)
    answers, headers = served.evaluate(user, keys), request.headers
    if not (user.get("user_id") or user.get("device_id") or user.get("groups")):
        return answers
    if headers.get("x-amp-exp-track", "track") == "track":
        backend.tracker.assign(served, user, answers, units)
    if headers.get("x-amp-exp-exposure-track") == "track":
        backend.tracker.expose(served, user, answers)
    return answers


def read_ids(user: User) -> None:
    """Make its ids, and the names of its groups, texts, as everything downstream knows them.

    Raises ClientException (400) for others than texts and whole numbers.
    """
    for name in ("user_id", "device_id"):
        user[name] = id_of(user.get(name))
        if not isinstance(user[name], str | None):
            raise ClientException(f"{name} is neither a text nor a whole number of up to 64 bits; write it in quotes")
    groups = user.get("groups")
    if isinstance(groups, dict):
        user["groups"] = {
            of: [*map(id_of, names)] if isinstance(names, list) else id_of(names) for of, names in groups.items()
        }


def _variants(request: AnyRequest, backend: Backend, served: ServedFlags, user: User) -> Response[bytes]:
    answers = evaluate(request, backend, served, user, _keys(request))
    return Response(served.encode(answers), media_type=JSON)


def _plain_variants(request: AnyRequest, backend: Backend, served: ServedFlags, asked: Asked) -> Response[bytes]:
    query = request.query_params
    context = asked.context or query.get("context") or {}
    user = _read(context.encode(), User) if isinstance(context, str) else context
    user["user_id"] = asked.user_id or query.get("user_id") or user.get("user_id")
    user["device_id"] = asked.device_id or query.get("device_id") or user.get("device_id")
    keys = asked.flag_keys or query.get("flag_keys") or query.get("flag_key")
    wanted = keys.split(",") if isinstance(keys, str) else keys or None
    answers = evaluate(request, backend, served, user, wanted)
    told = {}
    for key, answer in answers.items():
        if not answer.metadata.get("default"):
            told[key] = {"key": answer.key, "payload": answer.payload, "expKey": answer.metadata.get("experimentKey")}
            told[key] = {name: value for name, value in told[key].items() if value is not None}
    return Response(msgspec.json.encode(told), media_type=JSON)


def _keys(request: AnyRequest) -> list[str] | None:
    text = _unwrapped(request, "x-amp-exp-flag-keys")
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=list[str])
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ClientException(f"X-Amp-Exp-Flag-Keys: {error}; write a JSON array of flag keys, in base64") from None


def _unwrapped(request: AnyRequest, header: str) -> bytes | None:
    """What a header holds in base64, of either alphabet, with padding or without; None: there is no such header."""
    text = request.headers.get(header)
    if text is None:
        return None
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ClientException(f"the header {header} is no base64") from None


def _read(text: bytes, kind: type[Read]) -> Read:
    """A JSON object. Raises ClientException (400, 413)."""
    if len(text) > MOST_USER_BYTES:
        raise ClientException(f"the user has {len(text)} bytes, more than {MOST_USER_BYTES}", status_code=413)
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ClientException(f"the user cannot be read: {reason}; write a JSON object of its fields") from None
