"""Matching: how many of the last days' units each segment matches, by the conditions of the engine itself.

A unit is known by the newest record that carries it, an event or an exposure; what that says of it is what conditions
are asked about. Where there are many units, those count whose hashes fall into a part of all, and are scaled up.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from evaluation.assignment.looking import messages_of, topics_of
from evaluation.catalog.configs import operation
from evaluation.catalog.sources import ReadSource
from evaluation.columns.hashing import unit_hashes
from evaluation.columns.scanning import Type, Wanted
from evaluation.flags.cohorts import Cohorts
from evaluation.flags.engine import Flags
from evaluation.flags.paths import property_selector, unit_path
from evaluation.flags.values import read_json
from pipeline.questions.reading import TimeBound, said
from pipeline.registry.kept import KeptSchemas, schemas_of
from pipeline.storage.archived import backwards
from schemas.catalog import Segment
from schemas.flag_config import ConditionConfig, FlagConfig, SegmentConfig, VariantConfig
from schemas.topics import EVENTS, EXPOSURES

MOST_UNITS, MOST_BYTES = 20_000, 100_000_000  # that are asked, and of their messages; beyond, it is a sample
_YES = {"on": VariantConfig(key="on")}


class SegmentCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many units meet a segment's conditions, and of how many it decides: the first one that matches does."""

    name: str
    matching: int
    decided: int


class SegmentCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Of the `units` since `since` (append time, ms UTC) those of each segment; `rest` meet none.

    `sampled` is the share of the units that was asked; numbers are scaled up by it. `as_of` is the newest append time.
    """

    unit: str
    since: int
    as_of: int
    units: int
    sampled: float
    segments: list[SegmentCount]
    rest: int
    notes: list[str]


def segment_counts(  # noqa: PLR0917
    directory: Path,
    segments: Sequence[Segment],
    unit: str,
    cohorts: Cohorts,
    since: int,
    seconds: float,
    sources: Sequence[ReadSource] = (),
    kept: KeptSchemas | None = None,
) -> SegmentCounts:
    """How many of the units since then each of the segments matches; read for at most so long.

    `cohorts` are those that the segments name, or more; `sources` those whose topics are read beside ours, by the
    schemas that are `kept`.
    """
    found = _NewestOfUnits(unit)
    bound = TimeBound(seconds)
    reached, newest, notes = since, 0, list[str]()
    wanted = dict.fromkeys((EVENTS, EXPOSURES), found.wanted)
    for records in backwards(directory, (EVENTS, EXPOSURES, *topics_of(sources)), since):
        last = int(records.append_time.max())
        newest = max(newest, last)
        if bound.is_over:
            reached = last
            notes.append(f"reading took more than {seconds:g} s, and was cut off: units since {said(reached)}")
            break
        schemas = schemas_of(records, sources, kept)
        for _, each in messages_of(records, wanted, sources, schemas):
            texts = each.texts[unit_path(unit)]
            found.take(unit_hashes(unit, texts), texts.length > 0, each.ours)
    flags = Flags([_asking(number, segment) for number, segment in enumerate(segments)], cohorts=cohorts)
    matching, decided = [0] * len(segments), [0] * len(segments)
    for value in found.values.values():
        user = read_json(value)
        answers = flags.evaluate(user) if isinstance(user, dict) else {}
        its = [int(key) for key in answers]
        for number in its:
            matching[number] += 1
        if its:
            decided[min(its)] += 1
    share = found.share
    asked = len(found.values)
    if share < 1:
        notes.append(f"a sample: {asked:,} units were asked, one in {round(1 / share)}, and numbers are scaled up")
    return SegmentCounts(
        unit=unit,
        since=reached,
        as_of=newest,
        units=round(asked / share),
        sampled=share,
        segments=[
            SegmentCount(name=segment.name, matching=round(m / share), decided=round(d / share))
            for segment, m, d in zip(segments, matching, decided, strict=True)
        ],
        rest=round((asked - sum(decided)) / share),
        notes=notes,
    )


class _NewestOfUnits:
    """What was said last of each unit, of those whose hash is a multiple: twice as high a one where they grow many."""

    def __init__(self, unit: str) -> None:
        path = unit_path(unit)
        of_parent: Mapping[tuple[str, ...], Type] = {path[:1]: Type.OBJECT} if len(path) > 1 else {}
        kind = Type.FIRST if path[0] == "groups" else Type.VALUE if len(path) > 1 else Type.TEXT
        self.wanted = Wanted({**of_parent, path: kind}, None)
        self.values: dict[int, bytes] = {}
        self._bytes = 0
        self._multiple = 1

    @property
    def share(self) -> float:
        """Of the units."""
        return 1 / self._multiple

    def take(self, hashes: Any, carried: Any, value: Any) -> None:
        """Take messages that came before those that were taken, in their order."""
        rows = np.flatnonzero(carried & (hashes % np.uint64(self._multiple) == 0))[::-1]
        units, first = np.unique(hashes[rows], return_index=True)
        for unit, i in zip(units.tolist(), rows[first].tolist(), strict=True):
            if unit not in self.values and unit % self._multiple == 0:
                self.values[unit] = value(i)
                self._bytes += len(self.values[unit])
                if len(self.values) > MOST_UNITS or self._bytes > MOST_BYTES:
                    self._multiple *= 2
                    self.values = {key: said for key, said in self.values.items() if key % self._multiple == 0}
                    self._bytes = sum(map(len, self.values.values()))


def _asking(number: int, segment: Segment) -> FlagConfig:
    """A flag that answers who meets the segment's conditions."""
    conditions = [
        ConditionConfig(selector=property_selector(each.property), op=op, values=tuple(values))
        for each in segment.conditions
        for op, values in [operation(each)]
    ]
    every = (tuple(conditions),) if conditions else None
    return FlagConfig(key=str(number), variants=_YES, segments=(SegmentConfig(conditions=every, variant="on"),))
