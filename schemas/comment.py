"""Comment: what somebody says about a flag or an experiment, or takes back. Its author and time are its document's."""

from typing import Annotated

import msgspec

from schemas.numbers import Count
from schemas.written import Key, Strict

LONGEST_COMMENT = 4_000  # characters

CommentText = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=LONGEST_COMMENT,
        description=f"Markdown of 1 to {LONGEST_COMMENT:,} characters",
    ),
]


class Comment(Strict, frozen=True, kw_only=True):
    """One comment on the flag whose key it has: each version of the document is another one.

    `text` is Markdown, without HTML; it may be about a `run`, a `look` at it and a `metric`. A version that `withdraws`
    another one by its number has no text.
    """

    key: Key
    text: CommentText | None = None
    run: Key | None = None
    look: Count | None = None
    metric: Key | None = None
    withdraws: Annotated[int, msgspec.Meta(ge=1)] | None = None
