"""Past source: the archive of one source partition, from where a run needs it up to what assignment tells itself."""

from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from evaluation.exploring.prefilter import Prefilter
from pipeline.storage.archived import ArchiveGapError, Excerpt, chain, excerpts, expired, offset_at, slices
from schemas.records import Records
from schemas.topics import SourcePartition

ROWS = 1 << 10  # that are read ahead


class PastSource:
    """Records appended in [begins, ends) (ms UTC), in order, from offset `position` on; some without any of the `names`
    are left out.

    Raises ArchiveGapError for an archive that begins later than `begins`.
    """

    def __init__(  # noqa: PLR0917
        self,
        directory: Path,
        key: SourcePartition,
        begins: int,
        ends: int,
        position: int | None,
        names: Collection[str] | None = None,
    ) -> None:
        self.key = key
        files = chain(directory, *key)
        first = files[0].begin if files else 0
        if position is None or position < first:
            self._require(directory, first, begins)
        self.position = max(first, offset_at(directory, *key, begins)) if position is None else position
        self.size = (offset_at(directory, *key, ends) if files else 0) - self.position  # about
        self.is_over = False
        self._ends = ends
        self._excerpts = excerpts(directory, *key, begin=self.position, names=names)
        self._prefilter = None if names is None else Prefilter(names)
        self._ahead: deque[Excerpt] = deque()

    def _require(self, directory: Path, first: int, begins: int) -> None:
        """Whether the archive begins early enough."""
        if not first:
            return
        records = next(slices(directory, *self.key), None)
        if records is not None and records.append_time[0] <= begins:
            return
        cut = expired(directory, *self.key)
        why = f": archive_keep had what was appended up to {cut.until} deleted" if cut else ""
        raise ArchiveGapError(
            f"the archive of {self.key[0]}/{self.key[1]} begins at offset {first}, after the run's start{why}"
        )

    def look_ahead(self) -> None:
        """Read so many rows ahead, if there are, so that steps are large."""
        while not self.is_over and sum(each.rows for each in self._ahead) < ROWS:
            found = next(self._excerpts, None)
            if found is None:
                self.is_over = True
                return
            records = self._prefilter.of(found.records) if self._prefilter else found.records
            if found.time >= self._ends:
                self.is_over = True
                records, _ = _until(records, self._ends)
            self._ahead.append(found._replace(records=records))

    @property
    def last(self) -> int | None:
        """The append time (ms UTC) up to which it was read ahead; None: it is over, or nothing is."""
        return None if self.is_over or not self._ahead else self._ahead[-1].time

    @property
    def is_told(self) -> bool:
        """Whether everything of it was taken."""
        return self.is_over and not self._ahead

    def take(self, time: int) -> Iterator[Records]:
        """What was read ahead and appended up to that time; slices may be empty."""
        while self._ahead:
            found = self._ahead.popleft()
            records, after = _until(found.records, time + 1)
            if records.begin < records.end:
                yield records
            if len(after):
                self._ahead.appendleft(found._replace(records=after, rows=len(after)))
                return


def _until(records: Records, time: int) -> tuple[Records, Records]:
    """Those before the first that was appended at that time or later, and the others."""
    later = np.flatnonzero(records.append_time >= time)
    return records.split(int(records.offset[later[0]]) if len(later) else records.end)
