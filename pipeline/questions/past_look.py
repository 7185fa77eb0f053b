"""Past look: a look of a run that the topic `results` holds no more, from the archive.

Looks of a run have ascending numbers and times, and stand in one partition; so the row group that holds one is found by
halving, at the first look of the run in each that is looked into.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import PeekproofError
from pipeline.questions.reading import TimeBound
from pipeline.storage.archived import ArchivedGroup, groups, partitions, records_of
from schemas.decoding import NoMessageError, decode
from schemas.look import LookHead
from schemas.topics import RESULTS


class ArchivedLook(NamedTuple):
    """A look as it was published at `time` (ms UTC); `following` is the number of the next one, if it is there."""

    number: int
    time: int
    value: bytes
    following: int | None = None


def archived_look(directory: Path, run: tuple[str, str], number: int, seconds: float) -> bytes | None:
    """The bytes of one look of a run, which is (experiment, run). Raises PeekproofError where it takes longer."""
    found = _last(directory, run, lambda look: look.number <= number, TimeBound(seconds))
    return found.value if found and found.number == number else None


def newest_archived(directory: Path, run: tuple[str, str], time: int, seconds: float) -> ArchivedLook | None:
    """The newest look of a run that was published by then (ms UTC), of those in the archive. Raises the same."""
    return _last(directory, run, lambda look: look.time <= time, TimeBound(seconds))


def _last(
    directory: Path, run: tuple[str, str], is_by_then: Callable[[ArchivedLook], bool], bound: TimeBound
) -> ArchivedLook | None:
    for partition in partitions(directory, RESULTS):
        found = [*groups(directory, RESULTS, partition)]
        low, high, holds = 0, len(found), None
        while low < high:
            middle = (low + high) // 2
            at, first = next(_looks(found, middle, high, run, bound), (high, None))
            if first is None or not is_by_then(first):
                high = middle
            else:
                holds, low = at, at + 1
        if holds is None:
            continue
        last = None
        for _, look in _looks(found, holds, len(found), run, bound):
            if not is_by_then(look):
                return last and last._replace(following=look.number)
            last = look
        return last
    return None


def _looks(
    found: Sequence[ArchivedGroup], begin: int, end: int, run: tuple[str, str], bound: TimeBound
) -> Iterator[tuple[int, ArchivedLook]]:
    """The looks of a run in some row groups, each with the index of its group."""
    for at in range(begin, end):
        for records in records_of(found[at]):
            for row in range(len(records)):
                if bound.is_over:
                    raise PeekproofError(f"the archive could not be read within {bound.seconds:.0f} s; ask again")
                value = records.value(row) or b""
                try:
                    head = decode(value, LookHead)
                except NoMessageError:  # the stage has told of it
                    continue
                if (head.experiment, head.run) == run:
                    yield at, ArchivedLook(head.look, int(records.append_time[row]), value)
