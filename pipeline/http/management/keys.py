"""Keys over HTTP: made, told this once, revoked; and which programs ask with those of a deployment."""

from typing import Any

import msgspec
from litestar import Request, delete, get, post
from litestar.exceptions import ClientException, NotFoundException

from pipeline.http.backend import Backend
from pipeline.http.callers.access import ADMINISTERING, requires
from pipeline.http.callers.keys import OF_DEPLOYMENTS, Key, Role
from pipeline.http.callers.programs import Program
from pipeline.http.management.edits import sound
from pipeline.http.management.words import LONGEST_REASON

AdminRequest = Request[Any, Key, Any]


class KeyTold(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key: its public name, and never the rest. `last`: when this server saw it used (ms UTC)."""

    id: str
    role: Role
    name: str
    created: int
    deployment: str | None
    last: int | None


class KeysTold(msgspec.Struct, frozen=True, kw_only=True):
    """Every key, oldest first. Of what was before `since` (ms UTC) this server saw nothing."""

    keys: list[KeyTold]
    since: int


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made. `name`: whose it is, without one its maker's. A client or server key has a deployment."""

    role: Role
    name: str | None = None
    deployment: str | None = None


class KeyMade(KeyTold, frozen=True, kw_only=True):
    """A key, with the whole of it: nobody can tell it again."""

    key: str


class ProgramsTold(msgspec.Struct, frozen=True, kw_only=True):
    """What asked with keys of a deployment, the newest first. Of what was before `since` this server saw nothing."""

    since: int
    programs: list[Program]


@get("/keys", guards=[requires(ADMINISTERING)])
async def list_keys(backend: Backend, deployment: str | None = None) -> KeysTold:
    """Keys, or those of a deployment."""
    keys = [key for key in backend.access.keys.all() if deployment in (None, key.deployment)]
    return KeysTold(keys=[_told(backend, key) for key in keys], since=backend.access.programs.since)


@post("/keys", status_code=200, guards=[requires(ADMINISTERING)])
async def make_key(request: AdminRequest, backend: Backend, data: NewKey) -> KeyMade:
    """Make a key, and tell it this once."""
    name = (data.name or "").strip() or request.auth.name
    if len(name) > LONGEST_REASON:
        raise ClientException(f"name: it has {len(name)} characters; give it at most {LONGEST_REASON}")
    if data.role in OF_DEPLOYMENTS and data.deployment is not None:
        _require(backend, data.deployment)
    key, text = sound(lambda: backend.access.keys.create(data.role, name, data.deployment))
    return KeyMade(**msgspec.structs.asdict(_told(backend, key)), key=text)


@delete("/keys/{name:str}", status_code=200, guards=[requires(ADMINISTERING)])
async def revoke_key(backend: Backend, name: str) -> KeyTold:
    """Make a key worthless, at once, and end the sessions that it began."""
    if backend.access.keys.of(name) is None:
        raise NotFoundException(f"there is no key '{name}'")
    return _told(backend, backend.access.keys.revoke(name))


@get("/deployments/{key:str}/connections")
async def connections(backend: Backend, key: str) -> ProgramsTold:
    """Which programs ask with keys of a deployment, and when they did last."""
    _require(backend, key)
    return ProgramsTold(since=backend.access.programs.since, programs=backend.access.programs.of(key))


ROUTES = [list_keys, make_key, revoke_key, connections]


def _require(backend: Backend, deployment: str) -> None:
    if deployment not in backend.catalog.history.newest.deployments:
        raise NotFoundException(f"'{deployment}' is no deployment of the catalog")


def _told(backend: Backend, key: Key) -> KeyTold:
    return KeyTold(
        id=key.id,
        role=key.role,
        name=key.name,
        created=key.created,
        deployment=key.deployment,
        last=backend.access.programs.last_of(key.id),
    )
