"""Portions: what some messages say as rows, and which records say more than can travel."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.messages import Stretch, UnitRows
from evaluation.columns.arrays import Words

# Of one record: they travel in one message, of at most 16 MB, with 45 bytes for each, beside 100,000 of other records.
MOST_ROWS = 200_000
Source = str | None  # its key; None: messages of our own shape


@dataclass(frozen=True, slots=True)
class Portion:
    """The rows of some messages, and those for `identities`."""

    columns: MessageColumns
    rows: UnitRows
    told: UnitRows

    def offsets(self) -> Words:
        """Of each row of both kinds its record's."""
        return np.concatenate([self.rows.offset, self.told.offset])


def travelling(portions: list[Portion], stretch: Stretch) -> list[Portion]:
    """The portions without what records say that make more than `MOST_ROWS` rows: it is rejected as a whole.

    Where several sources read such a record, those that say most of it lose it, until the rows of the others fit.
    """
    if sum(len(each.rows.offset) + len(each.told.offset) for each in portions) <= MOST_ROWS:
        return portions
    offsets, numbers = np.unique(np.concatenate([each.offsets() for each in portions]), return_counts=True)
    lost: dict[Source, list[int]] = defaultdict(list)
    for offset in offsets[numbers > MOST_ROWS].tolist():
        for source in _reject(offset, portions, stretch):
            lost[source].append(offset)
    stretch.answers = [each for each in stretch.answers if int(stretch.records.offset[each[0]]) not in lost[None]]
    return [
        replace(each, rows=_without(each.rows, offsets), told=_without(each.told, offsets))
        for each in portions
        for offsets in [lost[each.columns.source]]
    ]


def _reject(offset: int, portions: list[Portion], stretch: Stretch) -> Iterator[Source]:
    """The sources whose messages of this record are rejected."""
    sizes: Counter[Source] = Counter()
    for each in portions:
        sizes[each.columns.source] += int((each.offsets() == offset).sum())
    row, left = int(np.searchsorted(stretch.records.offset, offset)), sizes.total()
    for source, number in sizes.most_common():
        if left <= MOST_ROWS:
            return
        its = [each.columns for each in portions if each.columns.source == source]
        beside = f", and those of the record's other sources {left - number}" if left > number else ""
        detail = (
            f"its messages make {number} rows{beside}, one for each metric's fact that a message feeds; at most "
            f"{MOST_ROWS} travel together: {_way_out(source, number)}"
        )
        stretch.dead_letters.reject_whole(row, its, source, "too large", detail)
        left -= number
        yield source


def _way_out(source: Source, number: int) -> str:
    if source is None:
        return "send them in several records"
    if number <= MOST_ROWS:
        return "send this again, and this source alone reads it"
    return "let its producer write smaller records, or leave out by `where` what need not count, and send this again"


def _without(rows: UnitRows, offsets: Collection[int]) -> UnitRows:
    kept = ~np.isin(rows.offset, [*offsets])
    return rows if kept.all() else UnitRows(**{name: column[kept] for name, column in rows.columns().items()})
