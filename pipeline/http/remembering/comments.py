"""Comments on flags and experiments: said, read, and withdrawn by who said them or by an admin."""

import asyncio
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.exceptions import ClientException, NotFoundException, PermissionDeniedException

from evaluation.catalog.comments import CommentTold, comments_of
from pipeline.catalog.commenting import check_comment, publish_comment
from pipeline.catalog.editing import RefusedError, Signature
from pipeline.http.backend import Backend
from pipeline.http.callers.access import ADMINISTERING, EDITING, OF_LINK, requires
from pipeline.http.callers.keys import Key
from pipeline.http.management.life import EditRequest, of_each, publishing, standing
from pipeline.http.remembering.markdown import html_of
from schemas.comment import Comment, CommentText


class CommentShown(CommentTold, frozen=True, kw_only=True):
    """A comment with its text as HTML, and whether who asks may withdraw it."""

    html: str | None
    may_withdraw: bool


class Comments(msgspec.Struct, frozen=True, kw_only=True):
    """Every comment on a flag, oldest first."""

    comments: list[CommentShown]


class Saying(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A comment that is to be published: its text in Markdown, and what it is about, if not the whole."""

    text: CommentText
    run: str | None = None
    look: Annotated[int, msgspec.Meta(ge=1)] | None = None
    metric: str | None = None


@get(of_each("comments"), opt=OF_LINK)
async def list_comments(request: EditRequest, backend: Backend, key: str) -> Comments:
    """What people said about it."""
    standing(backend, key)
    return Comments(comments=await _shown(backend, key, request.auth))


@post(of_each("comments"), status_code=200, guards=[requires(EDITING)])
async def comment(request: EditRequest, backend: Backend, key: str, data: Saying) -> Comments:
    """Say something about it; all comments then."""
    standing(backend, key)
    said = Comment(key=key, text=data.text, run=data.run, look=data.look, metric=data.metric)
    try:
        check_comment(said, backend.catalog.history)
    except RefusedError as error:
        raise ClientException(str(error)) from None
    await _publish(backend, said, Signature(request.auth.name, "comment"))
    return Comments(comments=await _shown(backend, key, request.auth))


@delete(of_each("comments/{version:int}"), status_code=200, guards=[requires(EDITING)])
async def withdraw(request: EditRequest, backend: Backend, key: str, version: int) -> Comments:
    """Withdraw a comment of one's own, or as an admin anybody's; all comments then, that one as withdrawn."""
    standing(backend, key)
    found = next((each for each in comments_of(backend.catalog.history, key) if each.version == version), None)
    if found is None:
        raise NotFoundException(f"'{key}' has no comment {version}; GET tells which there are")
    if not _may_withdraw(found, request.auth):
        raise PermissionDeniedException(f"comment {version} is by '{found.author}', who may withdraw it, or an admin")
    if found.withdrawn is None:
        said = Comment(key=key, withdraws=version)
        await _publish(backend, said, Signature(request.auth.name, f"withdraw comment {version}"))
    return Comments(comments=await _shown(backend, key, request.auth))


ROUTES = [list_comments, comment, withdraw]


async def _shown(backend: Backend, key: str, reader: Key) -> list[CommentShown]:
    told = comments_of(backend.catalog.history, key)
    html = await asyncio.to_thread(lambda: [each.text and html_of(each.text) for each in told])
    return [
        CommentShown(
            **msgspec.structs.asdict(each),
            html=rendered,
            may_withdraw=each.withdrawn is None and _may_withdraw(each, reader),
        )
        for each, rendered in zip(told, html, strict=True)
    ]


def _may_withdraw(comment: CommentTold, who: Key) -> bool:
    return who.role in ADMINISTERING or (who.role in EDITING and who.name == comment.author)


async def _publish(backend: Backend, said: Comment, signature: Signature) -> None:
    async with publishing():
        await publish_comment(backend.writer, said, signature)
