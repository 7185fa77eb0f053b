"""Folding: a partition of `units`, or of `identities`, folded from the archive, as its stage folded it from the log.

Behind an accepted gap the stage went on without what lay in it, so whoever folds the archive leaves that out, although
the archive may hold it. Looks at offsets within such a gap were made by a worker whose state was lost: for them what
lies in the gap is folded, and then forgotten.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from evaluation.catalog.history import History
from evaluation.identity.identities import Identities
from evaluation.metrics.partition import Partition
from pipeline.errors import PeekproofError
from pipeline.kafka.logs import FOLDS
from pipeline.kafka.set_aside import SetAside
from pipeline.storage.archived import ArchivedRecord, ArchiveGapError, chain, expired, read
from schemas.logs import Gap
from schemas.topics import CATALOG, IDENTITIES, UNITS
from schemas.units import decode_units

BETWEEN_WORDS = 1_000  # messages between two words on how far it is
State = TypeVar("State", Partition, Identities)
_TOPICS: dict[type, str] = {Partition: UNITS, Identities: IDENTITIES}  # that they are folded from


class Folding(Generic[State]):
    """A partition's state of that kind, folded up to one offset after the other.

    The archive holds what is needed of offsets [begin, end). Raises ArchiveGapError where it does not reach back to
    `begin`. Without a horizon it is that of the messages; with a `state`, what that has not folded is folded into it.
    """

    def __init__(
        self,
        kind: type[State],
        directory: Path,
        number: int,
        history: History,
        horizon: int | None = None,
        *,
        aside: SetAside | None = None,
        state: State | None = None,
    ) -> None:
        self._kind: type[State] = kind
        self._topic = _TOPICS[kind]
        self._directory, self._number, self._history = directory, number, history
        self._aside = aside or SetAside()
        first = state.offset if state else 0
        self._gaps = [gap for gap in gaps_of(history, FOLDS[self._topic], self._topic, number) if gap.end > first]
        self.begin = behind(first, self._gaps)
        reached = whole(directory, self._topic, number, history, self._gaps, self.begin)
        self.end = behind(reached, self._gaps)
        self.partition: State = state or kind(number, self._horizon() if horizon is None else horizon)
        self._records = read(directory, self._topic, number, reached, first)
        self._next: ArchivedRecord | None = None
        self._before: bytes | None = None  # the state before a gap, while what lies in the gap is folded

    def fold(self, end: int, tell: Callable[[int], None] = lambda _: None) -> None:
        """Fold what lies before `end`, calling `tell` with offsets on the way.

        Raises PeekproofError for messages that don't follow one another.
        """
        while self._gaps and self._gaps[0].begin < end:
            gap = self._gaps[0]
            if self._before is None:
                self._fold(gap.begin, tell)
            if end < gap.end:
                self._before = self._before or self.partition.save()
                break
            if self._before is not None:
                self.partition, self._before = self._kind.load(self._before), None
            self.partition.skip(gap, gap.end)
            del self._gaps[0]
        self._fold(end, tell)

    def _fold(self, end: int, tell: Callable[[int], None]) -> None:
        while (record := self._next or next(self._records, None)) and record.offset < end:
            self._next = None
            try:
                with self._aside.unless_ours(self._topic, self._number, record.offset):
                    self.partition.fold(record.offset, record.value or b"", self._history.at_offset)
            except ValueError as error:
                raise PeekproofError(f"the archive cannot be folded: {error}") from error
            if record.offset % BETWEEN_WORDS == 0:
                tell(record.offset)
        self._next = record
        self.partition.offset = max(self.partition.offset, end)

    def _horizon(self) -> int:
        for record in read(self._directory, self._topic, self._number):
            with suppress(ValueError):  # `fold` says what is wrong with it
                return decode_units(record.value or b"")[1].horizon
        return 0


def archived_catalog(directory: Path) -> History:
    """The catalog as far as it is archived. Raises ArchiveGapError unless it is from its beginning."""
    history = History()
    whole(directory, CATALOG, 0, history)
    for record in read(directory, CATALOG, 0):
        history.append(record.offset, record.append_time, record.value)
    return history


def gaps_of(history: History, stage: str, topic: str, partition: int) -> list[Gap]:
    """The accepted gaps of a stage in a partition, by where they begin."""
    gaps = history.newest.logs.gaps if history.newest.logs else ()
    own = [gap for gap in gaps if (gap.stage, gap.topic, gap.partition) == (stage, topic, partition)]
    return sorted(own, key=lambda gap: gap.begin)


def behind(offset: int, gaps: Sequence[Gap]) -> int:
    """The offset, or where the gaps end that it lies in."""
    for gap in gaps:
        if gap.begin <= offset < gap.end:
            offset = gap.end
    return offset


def whole(  # noqa: PLR0917
    directory: Path, topic: str, partition: int, history: History, gaps: Sequence[Gap] = (), begin: int = 0
) -> int:
    """Up to which offset the archive holds all of a partition from `begin` on, but for these gaps.

    Raises ArchiveGapError where it begins later.
    """
    files = chain(directory, topic, partition)
    if files and files[0].begin > begin:
        cut = expired(directory, topic, partition)
        why = f": the setting archive_keep had what was appended up to {cut.until} deleted" if cut else ""
        raise ArchiveGapError(
            f"the archive of {topic}/{partition} begins at offset {files[0].begin}, but the log is needed from offset "
            f"{begin} on{why}. Bring back the older files of {files[0].path.parent}"
        )
    lacking = [gap.begin for gap in gaps_of(history, "archive", topic, partition) if behind(gap.begin, gaps) < gap.end]
    return min([files[-1].end if files else 0, *lacking])
