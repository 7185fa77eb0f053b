"""Notes: what is said of an event beside that it happened. Each is of one event, at its time, for one fact."""

from typing import Any

from numba import njit

# What is noted. SAME_ID: another event of the unit has its insert id within the minute (the note has the time of the
# later one), or it was told with several values. TOO_LARGE and TOO_SMALL are unusable where no cap makes a number of
# the event, which counts where one does.
LATE_EVENT, UNUSABLE, DUPLICATE, SAME_ID, TOO_LARGE, TOO_SMALL = range(6)


@njit(cache=True)
def put(note: Any, fact: int, time: int, what: int, unit: int, insert_id: int) -> None:  # noqa: PLR0917
    """Write a note."""
    note.fact, note.time, note.what, note.unit, note.insert_id = fact, time, what, unit, insert_id
