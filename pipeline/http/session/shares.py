"""Shares over HTTP: links to one experiment, made, listed and revoked by those who edit."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.exceptions import NotFoundException

from pipeline.http.backend import Backend
from pipeline.http.callers.access import EDITING, requires
from pipeline.http.callers.keys import Key
from pipeline.http.callers.shares import Share
from pipeline.http.management.bodies import ExactRequest
from pipeline.http.management.life import standing

PATH = "/experiments/{key:str}/shares"


class ShareTold(msgspec.Struct, frozen=True, kw_only=True):
    """A link: for whom it is, who made it, and until when it opens the experiment (ms UTC)."""

    id: str
    name: str
    by: str
    created: int
    expires: int


class SharesTold(msgspec.Struct, frozen=True, kw_only=True):
    """The links that open an experiment, oldest first."""

    shares: list[ShareTold]


class NewShare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A link to be made: for whom, and until when (ms UTC, within a year)."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    expires: int


class ShareMade(ShareTold, frozen=True, kw_only=True):
    """A link, with what stands in it: nobody can tell it again."""

    key: str


@get(PATH)
async def list_shares(backend: Backend, key: str) -> SharesTold:
    """The links that open an experiment."""
    standing(backend, key)
    return SharesTold(shares=[_told(share) for share in backend.access.shares.of(key)])


@post(PATH, status_code=200)
async def make_share(request: Request[Any, Key, Any], backend: Backend, key: str, data: NewShare) -> ShareMade:
    """Make a link, which lets whoever has it read this experiment, and nothing else."""
    standing(backend, key)
    share, text = backend.access.shares.create(key, data.name, request.auth.name, data.expires)
    return ShareMade(**msgspec.structs.asdict(_told(share)), key=text)


@delete(f"{PATH}/{{name:str}}", status_code=200)
async def revoke_share(backend: Backend, key: str, name: str) -> ShareTold:
    """Have a link open nothing any more, at once."""
    if (share := backend.access.shares.revoke(key, name)) is None:
        raise NotFoundException(f"'{key}' has no link '{name}'")
    return _told(share)


shares = Router(
    "/api/1",
    route_handlers=[list_shares, make_share, revoke_share],
    guards=[requires(EDITING)],
    request_class=ExactRequest,
    tags=["session"],
)


def _told(share: Share) -> ShareTold:
    return ShareTold(id=share.id, name=share.name, by=share.by, created=share.created, expires=share.expires)
