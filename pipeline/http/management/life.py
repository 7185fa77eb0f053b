"""Life: the steps that people take with flags, and the versions that tell of them. The command line calls the same."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, get, post
from litestar.exceptions import NotFoundException, ServiceUnavailableException

from evaluation.catalog import overview
from evaluation.catalog.history import decode_spec
from evaluation.catalog.overview import Difference, Told
from evaluation.plans.resuming import resuming
from pipeline.catalog import editing
from pipeline.catalog.editing import Change, Signature, StepName, state_of
from pipeline.errors import PeekproofError
from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, OF_LINK, READING, requires
from pipeline.http.callers.keys import Key
from pipeline.http.management.bodies import ExactRequest
from pipeline.http.management.words import LONGEST_REASON
from schemas.catalog import FlagState
from schemas.decoding import decode
from schemas.look import Look

PUBLISHING_SECONDS = 10.0

EditRequest = Request[Any, Key, Any]  # whose key may edit


class Taking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a step is taken. `variant` is a roll-out's, `base` the version that it rests on; `yes`: despite risks.

    `new_salt`: a plain flag that starts again is split anew, as an experiment always is.
    """

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_REASON)]
    variant: str | None = None
    base: int | None = None
    new_salt: bool = False
    yes: bool = False


class Stands(msgspec.Struct, frozen=True, kw_only=True):
    """The version that a step made."""

    key: str
    version: int
    status: str
    run: str | None
    steps: tuple[str, ...]
    consequences: list[str]


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """Every version of a flag, oldest first."""

    versions: list[Told]


class Version(Told, frozen=True, kw_only=True):
    """A version, what it changed, and everything that it says."""

    differences: list[Difference]
    state: FlagState


def of_each(path: str) -> list[str]:
    """The path below a flag, and below an experiment."""
    return [f"/{kind}/{{key:str}}/{path}" for kind in ("flags", "experiments")]


@post(of_each("actions/{step:str}"), status_code=200, guards=[requires(EDITING)])
async def take(request: EditRequest, backend: Backend, key: str, step: StepName, data: Taking) -> Stands:
    """Take a step with a flag or an experiment. 409: it is refused, or wants `yes` to its consequences."""
    standing(backend, key)
    flag, now = backend.catalog.history.newest.flags[key], time.time_ns() // 1_000_000
    resumes = resuming(flag, newest_look(backend, key), now) if step == "resume" else None
    async with publishing():
        change = await editing.take(
            backend.writer,
            step,
            key,
            Signature(request.auth.name, data.reason),
            base=data.base,
            variant=data.variant,
            as_experiment=request.url.path.startswith("/api/1/experiments/"),
            splits_anew=data.new_salt,
            resuming=resumes,
            accept_risks=data.yes,
        )
    return stands(change)


def newest_look(backend: Backend, key: str) -> Look | None:
    """The newest look at the open run of a flag; None: there is none."""
    flag = backend.catalog.history.newest.flags[key]
    kept = backend.looks.of(key, flag.runs[-1].key) if flag.runs and flag.status == "running" else None
    return decode(kept.newest, Look) if kept else None


@get(of_each("versions"), opt=OF_LINK)
async def list_versions(backend: Backend, key: str) -> Versions:
    """Every version: when, who, why, and what it changed."""
    standing(backend, key)
    return Versions(versions=overview.told(backend.catalog.history, key))


@get(of_each("versions/{version:int}"))
async def show_version(backend: Backend, key: str, version: int) -> Version:
    """One version, and where it differs from the one before."""
    standing(backend, key)
    history = backend.catalog.history
    versions = overview.told(history, key)
    if not 1 <= version <= len(versions):
        raise NotFoundException(f"'{key}' has no version {version}; it has 1 to {len(versions)}")
    differences = overview.differences(history, key, version - 1, version)
    state = decode_spec(history.versions_of("flag", key)[version - 1].document, FlagState)
    return Version(**msgspec.structs.asdict(versions[version - 1]), differences=differences, state=state)


life = Router(
    "/api/1",
    route_handlers=[take, list_versions, show_version],
    guards=[requires(READING)],
    request_class=ExactRequest,
    tags=["management"],
)


def standing(backend: Backend, key: str) -> FlagState:
    """A flag's newest document. Raises NotFoundException where there is none."""
    try:
        return state_of(backend.catalog.history, key)
    except PeekproofError as error:
        raise NotFoundException(str(error)) from None


def stands(change: Change) -> Stands:
    """What a change made of a flag."""
    state = change.spec
    assert isinstance(state, FlagState)
    return Stands(
        key=change.key,
        version=change.version,
        status=state.removed or state.status,
        run=state.runs[-1].key if state.runs else None,
        steps=change.steps,
        consequences=[each.text for each in change.consequences],
    )


@asynccontextmanager
async def publishing() -> AsyncIterator[None]:
    """Bounds how long an edit may take. Raises ServiceUnavailableException: nobody knows how much of it stands."""
    try:
        async with asyncio.timeout(PUBLISHING_SECONDS):
            yield
    except TimeoutError:
        raise ServiceUnavailableException(
            f"the brokers have not answered for {PUBLISHING_SECONDS:.0f} s; all or a part may yet stand: look again",
            headers={"Retry-After": "1"},
        ) from None
