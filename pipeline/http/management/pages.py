"""Pages: long lists in parts; a cursor goes on where a part ends."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar.params import Parameter

MOST_AT_ONCE = 1_000
Limit = Annotated[int, Parameter(ge=1, le=MOST_AT_ONCE)]


class Page(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """An answer of several things; `next_cursor` goes on where it ends."""


def page_of(keys: Sequence[str], limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    """The first `limit` of the keys (ascending) behind the cursor, and the cursor of the next page."""
    rest = [key for key in keys if cursor is None or key > cursor]
    return rest[:limit], rest[limit - 1] if len(rest) > limit else None
