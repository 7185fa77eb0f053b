"""Identity log: what the archived `identities` say of one identity: its first joins, and its loose events.

Joins are kept for ever, so the log is read from its first archived message on; those that don't name the identity are
passed over by their bytes.
"""

from collections import deque
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from evaluation.metrics.sources import Sources
from pipeline.questions.reading import TimeBound
from pipeline.storage.archived import slices
from schemas.decoding import NoMessageError
from schemas.pair import Pair, event_of, pair_of
from schemas.topics import IDENTITIES, SourcePartition
from schemas.units import Header, RowKind, decode_units

_NEWEST = 256  # messages, in which every assignment worker has told how far it is


class FirstJoin(NamedTuple):
    """With which unit, by its hash, an identity was seen first, when (ms UTC), and which record says so."""

    time: int
    unit: int
    source: SourcePartition
    offset: int


class LooseRow(NamedTuple):
    """A loose event: what it is called, its time (ms UTC), and whether it came later than the horizon allows."""

    name: str
    time: int
    is_late: bool


class IdentityLog:
    """One identity, by its hash, in one partition of `identities`. `horizon` in ms.

    `clock` is the append time (ms UTC) that every source has reached; 0: not known. `is_whole`: all that is archived
    was read.
    """

    def __init__(self, directory: Path, number: int, identity: int) -> None:
        self._directory, self._number, self._identity = directory, number, identity
        self.joins: dict[Pair, FirstJoin] = {}
        self._loose: dict[Pair, dict[int, LooseRow]] = {}
        self.clock = self.horizon = 0
        self.is_whole = False

    def loose(self, pair: Pair) -> list[LooseRow]:
        """Its loose events of a pair, each once."""
        return [*self._loose.get(pair, {}).values()]

    def fold(self, bound: TimeBound) -> None:
        """Read what is archived, as far as time allows."""
        its, newest = self._identity.to_bytes(8, "little"), deque[bytes](maxlen=_NEWEST)
        for records in slices(self._directory, IDENTITIES, self._number):
            for row in range(len(records)):
                message = bytes(records.value(row) or b"")
                newest.append(message)
                if its in message:
                    self._take(message)
            if bound.is_over:
                break
        else:
            self.is_whole = True
        sources = Sources()
        for message in newest:
            if (told := _decoded(message)) is not None:
                sources.advance(told[1])
                self.horizon = told[1].horizon
        self.clock = sources.watermark

    def _take(self, message: bytes) -> None:
        told = _decoded(message)
        if told is None:
            return
        batch, header = told
        pairs = [] if isinstance(header.pairs, msgspec.UnsetType) else header.pairs
        for row in batch.filter(pa.compute.field("unit") == pa.scalar(self._identity, pa.uint64())).to_pylist():
            is_late = bool(row["kind"] & RowKind.LATE)
            if row["kind"] & RowKind.JOIN:
                source = header.sources[row["source"]]
                unit = row["value"] % (1 << 64)
                join = FirstJoin(row["time"], unit, (source.topic, source.partition), row["offset"])
                known = self.joins.setdefault(pairs[row["code"]], join)
                self.joins[pairs[row["code"]]] = min(known, join)
            elif not row["kind"] & RowKind.EXPOSURE and (pair := pair_of(fact := header.facts[row["code"]])):
                of_pair = self._loose.setdefault(pair, {})
                of_pair.setdefault(row["id"], LooseRow(event_of(fact), row["time"], is_late))


def _decoded(message: bytes) -> tuple[pa.RecordBatch, Header] | None:
    try:
        return decode_units(message)
    except NoMessageError:  # the stage has told of it
        return None
