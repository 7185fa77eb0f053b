"""Gathering: what assignment has to tell the units partitions since it last did, as one message for each of them.

Every message covers the same source offsets, whether it has rows or not. So a source's ranges follow one another
without a hole in every units partition, and a lost message shows as a range that begins too late.
"""

from collections.abc import Iterable

import msgspec
import numpy as np

from evaluation.assignment.routing import Assigned, partition_of
from schemas.numbers import LATEST
from schemas.topics import SourcePartition
from schemas.units import ROWS, Arm, Came, CameKind, Header, Source, encode_units, newest

MOST_TOLD = 20_000  # minutes of which it is remembered that they were told
COLUMNS = [name for name in ROWS.names if name != "source"]


class Gathering:
    """Rows and covered ranges of the sources that this worker reads, until they are cut into messages."""

    def __init__(self, partitions: int, horizon: int, expected: int) -> None:
        self._partitions = partitions
        self._expected = expected
        self._until = LATEST
        self._horizon = horizon
        self._catalog = 0
        self._begin: dict[SourcePartition, int] = {}
        self._end: dict[SourcePartition, int] = {}
        self._watermark: dict[SourcePartition, int] = {}
        self._parts: list[tuple[SourcePartition, Assigned]] = []
        self._told: set[tuple[CameKind, str, int]] = set()
        self._came: dict[tuple[CameKind, str], list[int]] = {}
        self.rows = 0

    def begin(self, source: SourcePartition, offset: int) -> None:
        """Start to cover a source at an offset; what was known of it is void."""
        self._begin[source] = self._end[source] = offset
        self._watermark[source] = 0

    def leave(self, sources: Iterable[SourcePartition]) -> None:
        """Cover these sources no longer."""
        for source in sources:
            for known in (self._begin, self._end, self._watermark):
                known.pop(source, None)

    def add(self, source: SourcePartition, assigned: Assigned) -> None:
        """Take in what one stretch of a source says."""
        if assigned.begin != self._end[source]:
            raise ValueError(
                f"{source[0]}/{source[1]}: a slice begins at offset {assigned.begin}, but {self._end[source]} is next; "
                "the worker must start again from its committed offset"
            )
        self._end[source] = assigned.end
        self._watermark[source] = max(self._watermark[source], assigned.watermark)
        self._catalog = max(self._catalog, assigned.catalog)
        for what, key, minute in assigned.came - self._told:
            self._came.setdefault((what, key), []).append(minute)
        self._told |= assigned.came
        if len(assigned.offset):
            self._parts.append((source, assigned))
            self.rows += len(assigned.offset)

    def count(self, expected: int, until: int) -> None:
        """There are so many source partitions, and were no others until that time (ms UTC), which bounds watermarks."""
        self._expected, self._until = expected, until

    def watermark(self, source: SourcePartition) -> int:
        """The append time that a source has reached (ms UTC); 0 where it is not known yet."""
        return min(self._watermark.get(source, 0), self._until)

    def reach(self, source: SourcePartition, time: int, catalog: int) -> None:
        """Nothing older than `time` (ms UTC, a broker's) is left to read; `catalog` is the offset in force then."""
        self._watermark[source] = max(self._watermark[source], time)
        self._catalog = max(self._catalog, catalog)

    def cut(self) -> tuple[dict[SourcePartition, int], list[bytes]]:
        """The offsets covered so far, and one message for each units partition that says so; then start afresh."""
        sources = list(self._end)
        columns, arms, facts = self._columns({key: number for number, key in enumerate(sources)})
        header = Header(
            catalog=self._catalog,
            horizon=self._horizon,
            sources=[Source(*key, self._begin[key], self._end[key], self.watermark(key)) for key in sources],
            arms=arms,
            facts=facts,
            expected=self._expected,
            examples=newest(each for _, part in self._parts for each in part.examples),
        )
        home = partition_of(columns["unit"], self._partitions)
        order = np.argsort(home, kind="stable")
        bounds = np.searchsorted(home[order], np.arange(self._partitions + 1))
        columns = {name: column[order] for name, column in columns.items()}
        came = [Came(what, key, sorted(minutes)) for (what, key), minutes in sorted(self._came.items())]
        headers = [msgspec.structs.replace(header, came=came), *[header] * (self._partitions - 1)]
        messages = [
            encode_units({name: column[low:high] for name, column in columns.items()}, of_partition)
            for low, high, of_partition in zip(bounds[:-1].tolist(), bounds[1:].tolist(), headers, strict=True)
        ]
        self._begin = dict(self._end)
        self._parts, self.rows, self._came = [], 0, {}
        if len(self._told) > MOST_TOLD:
            self._told.clear()
        return dict(self._end), messages

    def _columns(self, index: dict[SourcePartition, int]) -> tuple[dict[str, np.ndarray], list[Arm], list[str]]:
        """The rows of every part as columns, and the arms and facts that their codes stand for."""
        arms: dict[Arm, int] = {}
        facts: dict[str, int] = {}
        parts = [(index[source], part) for source, part in self._parts if source in index]
        codes = []
        for _, part in parts:
            of_arms = np.array([arms.setdefault(arm, len(arms)) for arm in part.arms] or [0], np.uint16)
            of_facts = np.array([facts.setdefault(fact, len(facts)) for fact in part.facts] or [0], np.uint16)
            exposures = (part.kind & 1).astype(bool)
            last_arm, last_fact = len(of_arms) - 1, len(of_facts) - 1
            codes.append(
                np.where(
                    exposures,
                    of_arms[np.minimum(part.code, last_arm)],
                    of_facts[np.minimum(part.code, last_fact)],
                )
            )
        columns = {
            name: np.concatenate(
                [np.zeros(0, ROWS.field(name).type.to_pandas_dtype())] + [getattr(part, name) for _, part in parts]
            )
            for name in COLUMNS
            if name != "code"
        }
        columns["code"] = np.concatenate([np.zeros(0, np.uint16), *codes])
        columns["source"] = np.repeat(
            np.array([number for number, _ in parts], np.uint16), [len(part.offset) for _, part in parts]
        )
        return columns, list(arms), list(facts)
