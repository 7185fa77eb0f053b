"""Replay: folds the archived `units` log again, without a broker, and compares every published look byte for byte.

A look says up to which offset of each units partition it covers the log. Looks of different runs cover different
offsets, and not in one order for all partitions; so a first pass over `results` notes which offsets looks need, and how
many need each, and a second one goes through the looks in the order of their publication. While a partition is folded
up to what a look needs, the aggregates that later looks need on the way are kept until the last of those has come.

A look's predecessor is the published one, as it was for the stage that made it.
"""

import heapq
from array import array
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET
from msgspec.structs import replace
from numpy.typing import NDArray

from evaluation.catalog.history import History
from evaluation.metrics.partition import Partition
from evaluation.significance.look import decode_look, encode_look, look
from pipeline.kafka.set_aside import SetAside
from pipeline.recovery.folding import Folding, archived_catalog
from pipeline.storage.archived import chain, partitions, read
from schemas.aggregate import Aggregate
from schemas.look import RULES, Look, RunKey
from schemas.topics import RESULTS, UNITS

FIRST_OF_OURS = 3  # by these rules and later ones looks are made again as they were

ReplayOutcome = Literal[
    "same",
    "different",
    "of other rules",  # and different: another version made it, which says the same of the log once more
    "not yet archived",  # it covers records, or documents, of intervals that are still open
    "lost to the archive",  # it covers records that the archive will never have, which somebody accepted
    "no predecessor",  # the look before it, from which it goes on, is older than the archive
]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one published look. Where it is different, or of other rules, `field` is the first
    one that differs."""

    experiment: str
    run: str
    look: int
    outcome: ReplayOutcome
    field: str | None = None
    published: Any = None
    replayed: Any = None


class Replay:
    """One replay of an archive: an iterator of `Replayed`. `messages` of the log are to be folded, `folded` are done.

    Raises PeekproofError for an archive that doesn't reach back to the beginning of the log, or is damaged.
    """

    def __init__(self, directory: Path, aside: SetAside | None = None) -> None:
        self._directory = directory
        self._aside = aside or SetAside()
        self._history = archived_catalog(directory)
        self._logs = {
            number: _FoldedLog(directory, number, self._history, self._aside) for number in partitions(directory, UNITS)
        }
        chains = {number: chain(directory, RESULTS, number) for number in partitions(directory, RESULTS)}
        self._ends = {number: files[-1].end if files else 0 for number, files in chains.items()}
        self.looks = 0
        for found, previous, _ in self._published():
            if self._can_replay(found, previous):
                self.looks += 1
                for number, offset in found.offsets.items():
                    self._logs[int(number)].needs.add(offset)
        for log in self._logs.values():
            log.needs.settle()
        self.messages = sum(int(log.needs.offsets[-1]) for log in self._logs.values() if len(log.needs.offsets))

    @property
    def folded(self) -> int:
        """The offsets that have been reached, all partitions together."""
        return sum(log.folding.partition.offset for log in self._logs.values())

    def __iter__(self) -> Iterator[Replayed]:
        for found, previous, value in self._published():
            if not self._can_replay(found, previous):
                yield _replayed(found, self._why_not(found))
                continue
            yield self._compare(found, previous, value)

    def _compare(self, found: Look, previous: Look | None, value: bytes) -> Replayed:
        run: RunKey = (found.experiment, found.run)
        aggregates = [
            self._logs[int(number)].aggregates_at(offset).get(run) for number, offset in found.offsets.items()
        ]
        known = [aggregate for aggregate in aggregates if aggregate is not None]
        if not known or len(known) < len(aggregates):
            return _replayed(found, "different", "offsets", found.offsets, "the log has no such run up to there")
        catalog = self._history.at_offset(max(aggregate.catalog for aggregate in known))
        of_run = next(each for each in catalog.flags[found.experiment].runs if each.key == found.run)
        rules = 1 if found.rules is UNSET else found.rules
        made = look(of_run, known, previous, catalog.logs, rules=min(rules, RULES))
        again = encode_look(replace(made, rules=found.rules))
        if again == value:
            return _replayed(found, "same")
        field, there, here = first_difference(msgspec.json.decode(value), msgspec.json.decode(again))
        is_ours = FIRST_OF_OURS <= rules <= RULES
        return _replayed(found, "different" if is_ours else "of other rules", field, there, here)

    def _published(self) -> Iterator[tuple[Look, Look | None, bytes]]:
        """Each look that readers take, its predecessor, and its bytes, in the order of publication."""
        last: dict[RunKey, Look] = {}
        logs = [zip(repeat(number), read(self._directory, RESULTS, number, end)) for number, end in self._ends.items()]
        for number, record in heapq.merge(*logs, key=lambda each: each[1].append_time):
            with self._aside.unless_ours(RESULTS, number, record.offset):
                found = decode_look(record.value)
                run = (found.experiment, found.run)
                previous = last.get(run)
                if previous is None or found.look > previous.look:
                    yield found, previous, record.value or b""
                    last[run] = found

    def _can_replay(self, found: Look, previous: Look | None) -> bool:
        return self._is_archived(found) and found.look == (previous.look if previous else 0) + 1

    def _why_not(self, found: Look) -> ReplayOutcome:
        if self._is_archived(found):
            return "no predecessor"
        logs = self._history.newest.logs
        is_lost = logs and any(
            found.offsets.get(str(number), 0) > log.folding.end
            and logs.gap_at("archive", UNITS, number, log.folding.end)
            for number, log in self._logs.items()
        )
        return "lost to the archive" if is_lost else "not yet archived"

    def _is_archived(self, found: Look) -> bool:
        return found.catalog_version <= self._history.newest.offset and all(
            int(number) in self._logs and offset <= self._logs[int(number)].folding.end
            for number, offset in found.offsets.items()
        )


class OffsetsNeeded:
    """The offsets of one log that looks need: `offsets` ascending, `looks` how many need each. `settle` brings them up
    to date. (Of ten runs in a month there are millions of looks, most of which share their offsets.)"""

    def __init__(self) -> None:
        self.offsets: NDArray[np.int64] = np.empty(0, np.int64)
        self.looks: NDArray[np.int64] = np.empty(0, np.int64)
        self._added = array("q")

    def add(self, offset: int) -> None:
        """One more look needs the offset."""
        self._added.append(offset)
        if len(self._added) >= max(len(self.offsets), 1 << 16):
            self.settle()

    def settle(self) -> None:
        """Count what was added."""
        self.offsets, at = np.unique(np.concatenate([self.offsets, self._added]), return_inverse=True)
        looks = np.zeros(len(self.offsets), np.int64)
        np.add.at(looks, at, np.concatenate([self.looks, np.ones(len(self._added), np.int64)]))
        self.looks, self._added = looks, array("q")


class _FoldedLog:
    """One partition of `units`, folded as far as looks need it."""

    def __init__(self, directory: Path, number: int, history: History, aside: SetAside) -> None:
        self.folding = Folding(Partition, directory, number, history, aside=aside)
        self.needs = OffsetsNeeded()
        self._at = 0  # in `needs`
        self._kept: dict[int, dict[RunKey, Aggregate]] = {}  # by offset

    def aggregates_at(self, offset: int) -> dict[RunKey, Aggregate]:
        """The aggregates of every run up to the offset. Asked once by each look that needs it."""
        while offset not in self._kept:
            needed = int(self.needs.offsets[self._at])
            self.folding.fold(needed)
            self._kept[needed] = {(each.flag, each.run): each for each in self.folding.partition.aggregates()}
            self._at += 1
        place = np.searchsorted(self.needs.offsets, offset)
        self.needs.looks[place] -= 1
        return self._kept[offset] if self.needs.looks[place] else self._kept.pop(offset)


def first_difference(published: Any, replayed: Any, path: str = "") -> tuple[str, Any, Any]:
    """Where two JSON values differ first, and what stands there: ("cells[0].p_value", 0.5, 0.4)."""
    if isinstance(published, dict) and isinstance(replayed, dict):
        pairs = [(f"{path}.{key}", published.get(key), replayed.get(key)) for key in published | replayed]
    elif isinstance(published, list) and isinstance(replayed, list) and len(published) == len(replayed):
        both = zip(published, replayed, strict=True)
        pairs = [(f"{path}[{index}]", there, here) for index, (there, here) in enumerate(both)]
    else:
        return path.removeprefix("."), published, replayed
    for name, there, here in pairs:
        if there != here:
            return first_difference(there, here, name)
    return path.removeprefix("."), published, replayed


def _replayed(
    found: Look,
    outcome: ReplayOutcome,
    field: str | None = None,
    published: Any = None,
    replayed: Any = None,
) -> Replayed:
    return Replayed(
        experiment=found.experiment,
        run=found.run,
        look=found.look,
        outcome=outcome,
        field=field,
        published=published,
        replayed=replayed,
    )
