"""Unit log: some rows of the archived `units`, folded as the aggregation stage folds them all.

Beginning where a run begins is as good as beginning with the log: nothing before the start may enter, and of events
before an entry only covariates are made, which questions leave out.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluation.catalog.in_force import SETTLING, Catalog, FlagInForce, RunInForce
from evaluation.catalog.logs import LogsInForce
from evaluation.metrics.partition import Partition
from pipeline.questions.identity_log import LooseRow
from pipeline.questions.reading import TimeBound
from pipeline.storage.archived import offset_at, slices
from schemas.decoding import NoMessageError
from schemas.pair import Pair, event_of, pair_of
from schemas.recount import marked
from schemas.topics import UNITS, SourcePartition
from schemas.units import Header, RowKind, decode_units

EVER = 1 << 61  # beyond every offset of the catalog


class UnitLog:
    """One partition of `units` from a time on, of which only the rows of some runs are folded, or of one unit.

    `runs` are as they stand now, and count as having stood so from their start. `reached` is the append time (ms UTC)
    up to which every source was folded, `is_whole` whether that is all that is archived.
    """

    def __init__(self, directory: Path, number: int, catalog: Catalog, since: int, unit: int | None = None) -> None:
        self._directory, self._number, self._since, self._unit = directory, number, since, unit
        self._catalog = catalog
        runs = [run for flag in catalog.flags.values() for run in flag.runs]
        self._runs = {(run.flag, run.told) for run in runs}
        self._facts = {marked(key, run.generation) for run in runs for key in run.facts}
        self.partition: Partition | None = None
        self._loose: dict[Pair, dict[int, LooseRow]] = {}  # by insert ids
        self.is_whole = False

    @property
    def reached(self) -> int:
        """The append time that every source has reached (ms UTC); 0: nothing was read."""
        return 0 if self.partition is None else self.partition.watermark

    def loose(self, pair: Pair) -> list[LooseRow]:
        """The loose events of a pair that count for the unit, each once: those that were withdrawn are left out."""
        return [*self._loose.get(pair, {}).values()]

    def fold(self, bound: TimeBound) -> None:
        """Fold what is archived, as far as time allows."""
        begin = offset_at(self._directory, UNITS, self._number, self._since - SETTLING)
        for records in slices(self._directory, UNITS, self._number, begin=begin):
            for row in range(len(records)):
                if bound.is_over:
                    return
                try:
                    batch, header = decode_units(records.value(row) or b"")
                except NoMessageError:  # the stage has told of it
                    continue
                self._take(int(records.offset[row]), batch, header)
        if self.partition is not None:
            self.partition.complete()
        self.is_whole = True

    def _take(self, offset: int, batch: pa.RecordBatch, header: Header) -> None:
        if self.partition is None:
            self.partition = Partition(self._number, header.horizon, keeps=True)
        kept = self._kept(batch, header)
        known = self.partition.sources
        header = msgspec.structs.replace(
            header,
            catalog=self._catalog.offset,
            sources=[
                msgspec.structs.replace(
                    each, begin=min(each.begin, known.get((each.topic, each.partition), each.begin))
                )
                for each in header.sources
            ],
        )
        if not kept.all():
            batch = batch.filter(pa.array(kept))
        if self._unit is not None and any(map(pair_of, header.facts)):
            self._attribute(batch, header, known)
        self.partition.take(offset, batch, header, lambda _: self._catalog)

    def _attribute(self, batch: pa.RecordBatch, header: Header, known: Mapping[SourcePartition, int]) -> None:
        floors = [known.get((each.topic, each.partition), 0) for each in header.sources]
        for row in batch.to_pylist():
            if row["kind"] & (RowKind.EXPOSURE | RowKind.LATE) or row["offset"] < floors[row["source"]]:
                continue
            fact = header.facts[row["code"]]
            if (pair := pair_of(fact)) is None:
                continue
            if row["kind"] & RowKind.WITHDRAWN:
                self._loose.get(pair, {}).pop(row["id"], None)
            else:
                its = self._loose.setdefault(pair, {})
                its.setdefault(row["id"], LooseRow(event_of(fact), row["time"], is_late=False))

    def _kept(self, batch: pa.RecordBatch, header: Header) -> NDArray[np.bool_]:
        kind, code = batch.column("kind").to_numpy(), batch.column("code").to_numpy()
        of_arm = _chosen(code, [(arm.flag, arm.run) in self._runs for arm in header.arms])
        of_fact = _chosen(code, [fact in self._facts for fact in header.facts])
        kept = np.where(kind & RowKind.EXPOSURE, of_arm, of_fact)
        return kept if self._unit is None else kept & (batch.column("unit").to_numpy() == np.uint64(self._unit))


def _chosen(code: NDArray[np.uint16], of_codes: Collection[bool]) -> NDArray[np.bool_]:
    return np.array([*of_codes, False])[np.minimum(code, len(of_codes))]


def of_runs(runs: Iterable[RunInForce], logs: LogsInForce | None) -> Catalog:
    """A catalog that knows these runs alone, as if they had ever stood so, without covariates, and what was lost of the
    logs.
    """
    flags: dict[str, FlagInForce] = {}
    for run in runs:
        metrics = {
            key: replace(metric, definition=msgspec.structs.replace(metric.definition, cuped=None))
            for key, metric in run.metrics.items()
        }
        known = flags.get(run.flag, FlagInForce(run.definition, "running", 1, 0, ()))
        flags[run.flag] = replace(known, runs=(*known.runs, replace(run, metrics=metrics, coming=None)))
    return Catalog(offset=EVER, flags=flags, logs=logs)
