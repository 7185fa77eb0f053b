"""Plots: pictures as Altair's charts, that a notebook shows and people go on with."""

from typing import TYPE_CHECKING, Any

from pipeline.errors import PeekproofError
from pipeline.pictures.drawing import PLOT, Picture

if TYPE_CHECKING:
    from altair import TopLevelMixin


def chart(picture: Picture) -> "TopLevelMixin":
    """The chart. Raises PeekproofError without the extra `peekproof[plot]`."""
    try:
        import altair  # noqa: PLC0415 (an extra)
    except ImportError:
        raise PeekproofError(f"plots want Altair; {PLOT}") from None
    found: Any = altair.Chart.from_dict(picture)
    return found
