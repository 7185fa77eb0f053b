"""Comments: what people said about a flag, and what of it was withdrawn."""

import msgspec

from evaluation.catalog.history import History, decode_spec
from schemas.comment import Comment


class CommentTold(msgspec.Struct, frozen=True, kw_only=True):
    """A comment as it was published at `time` (ms UTC); of one that was withdrawn no more than by whom and when."""

    version: int
    author: str
    time: int
    text: str | None
    run: str | None
    look: int | None
    metric: str | None
    withdrawn: int | None
    withdrawn_by: str | None


def comments_of(history: History, key: str) -> list[CommentTold]:
    """Every comment on a flag, oldest first. What withdraws one that is none, or is withdrawn already, does nothing."""
    found: dict[int, CommentTold] = {}
    for each in history.versions_of("comment", key):
        document, said = each.document, decode_spec(each.document, Comment)
        if said.withdraws is None:
            found[document.version] = CommentTold(
                version=document.version,
                author=document.author,
                time=each.append_time,
                text=said.text,
                run=said.run,
                look=said.look,
                metric=said.metric,
                withdrawn=None,
                withdrawn_by=None,
            )
        elif (of := found.get(said.withdraws)) and of.withdrawn is None:
            found[of.version] = msgspec.structs.replace(
                of, text=None, withdrawn=each.append_time, withdrawn_by=document.author
            )
    return [*found.values()]
