"""Table: one row a unit, its variant in one column, its metrics in others: what a warehouse, R or a data frame gives.

No document says what it is about: columns are named, and the look is made as of any experiment, from the exact sums of
each arm. What a unit is worth is final, so its readings are settled. A row without a variant is left out; so is, of a
metric, one whose cell is empty, no plain number or beyond 2^62: nothing is read as zero, but what is next to nothing
beside the column's largest number, and that is told.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.catalog.in_force import RunInForce
from evaluation.catalog.rules import did_you_mean
from evaluation.significance.gates import CLUSTERS, EXPOSURES, are_few_clusters
from evaluation.significance.look import look
from pipeline.errors import PeekproofError
from pipeline.files.formats import pieces
from pipeline.files.frames import Input, resolved, size
from pipeline.files.left_out import BadRow, LeftOut
from pipeline.files.titles import OfTable, listed
from pipeline.offline.arms import arm_named, weights_of
from pipeline.offline.cells import Cells, mask
from pipeline.offline.measuring import Codes, Covariate, Explained, MetricColumn, measure
from pipeline.offline.question import TableQuestion
from schemas.aggregate import Aggregate, ArmCount
from schemas.catalog import Allocation, Analysis, Breakdown, Flag, Goal, Variant
from schemas.look import EVERYONE, Look

MOST_VARIANTS = 50
MOST_STRATA = 50
NO_STRATUM = "(other)"
UNITS = ("user_id", "device_id")  # columns that would tell that a unit has several rows


class TableAnalysis:
    """Files of one table. Iterate over it to read them: it gives the share that has been read; then ask for the look.

    `left_out` tells of rows that were left out, and of cells; `notes` what else a reader should know.
    """

    def __init__(self, question: TableQuestion, paths: Sequence[Input]) -> None:
        self.left_out = LeftOut()
        self.notes: list[str] = []
        self.rows: Counter[str] = Counter()
        self._question = question
        self._paths = list({resolved(path): path for path in paths}.values())
        self._cells = Cells([*question.columns, *UNITS], self.left_out)

    def __iter__(self) -> Iterator[float]:
        header = OfTable(self._question.columns, UNITS)
        ends = np.cumsum([size(path) for path in self._paths]).tolist()
        for path, end in zip(self._paths, ends, strict=True):
            rows = 0
            for piece in pieces(path, header):
                self._cells.take(piece)
                rows += len(piece.line) + len(piece.bad)
                yield (end - (1 - piece.read) * size(path)) / max(1, ends[-1])
            if not rows:
                self.notes.append(f"'{path}' has no rows")

    def look(self) -> Look:
        """The look at the table, of which each row is a unit. Raises PeekproofError where it cannot be analysed."""
        question = self._question
        cells = self._cells
        cells.join(question.columns, self._paths)
        assigned = cells.columns[question.variant]
        has_variant = mask(pc.is_valid(assigned))
        for row in np.flatnonzero(~has_variant).tolist():
            detail = f"{question.variant} is empty: the unit is in no arm"
            self.left_out.reject(BadRow(*cells.place(row), "no variant", detail))
        self._tell_repeats()
        coded = assigned.dictionary_encode()
        variants = self._variants(coded.dictionary.to_pylist())
        code = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        names = coded.dictionary.to_pylist()
        by = Explained(
            [Covariate(name, cells.numbers(name, has_variant)) for name in question.covariates],
            self._strata(),
            self._clusters(code, names),
        )
        is_told = np.ones(len(code), np.bool_) if by.clusters is None else by.clusters.of_row >= 0
        arms = [(code == names.index(variant)) & is_told for variant in variants]
        self.rows["units"] = sum(int(arm.sum()) for arm in arms)
        units = [int(arm.sum()) for arm in arms]
        if by.clusters is not None:
            units = [len(np.unique(by.clusters.of_row[arm])) for arm in arms]
            self.rows["clusters"] = sum(units)
            self._tell_few(variants, [np.unique(by.clusters.of_row[arm], return_counts=True)[1] for arm in arms])
        arm_of = dict(zip(variants, arms, strict=True))
        columns = [measure(each, cells, arm_of, by, self.notes) for each in question.metrics]
        run = self._run(dict(zip(variants, self._weights(variants), strict=True)), columns)
        aggregate = Aggregate(
            flag=run.flag,
            run=run.key,
            partition=0,
            offset=0,
            watermark=0,
            catalog=0,
            arms=[ArmCount(0, *each) for each in zip(variants, units, strict=True)],
            sums=[each for column in columns for arm, name in enumerate(variants) for each in column.sums(name, arm)],
            metrics=[column.health for column in columns if column.lost],
            exposures=self.rows["units"],
            final=question.method == "t-test",  # which is read once
        )
        found = look(run, [aggregate], None)
        its = [cell for cell in found.cells if cell.reading == "settled" and cell.segment == EVERYONE]
        return msgspec.structs.replace(found, cells=its)

    def _strata(self) -> Codes | None:
        """The strata by the names that segments have: rows without one are a stratum of their own."""
        name = self._question.strata
        if name is None:
            return None
        found = self._cells.columns[name].dictionary_encode()
        values = found.dictionary.to_pylist()
        if len(values) > MOST_STRATA:
            raise PeekproofError(
                f"'{name}' has {len(values):,} different values; strata are at most {MOST_STRATA}, of which each has "
                "units of every variant; a number is a covariate"
            )
        codes = found.indices.fill_null(len(values)).to_numpy(zero_copy_only=False).astype(np.int64)
        return Codes([f"{name}={value}" for value in (*values, NO_STRATUM)], codes)

    def _clusters(self, arm: NDArray[np.int64], variants: Sequence[str]) -> Codes | None:
        """The clusters of the rows; each is in one arm."""
        name = self._question.cluster
        if name is None:
            return None
        found = self._cells.columns[name].dictionary_encode()
        names = found.dictionary.to_pylist()
        codes = found.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        for row in np.flatnonzero((codes < 0) & (arm >= 0)).tolist():
            self.left_out.reject(
                BadRow(*self._cells.place(row), "no cluster", f"{name} is empty: nobody knows what was randomised")
            )
        pairs = np.unique(np.stack([codes, arm])[:, (codes >= 0) & (arm >= 0)], axis=1)
        mixed = np.flatnonzero(np.diff(pairs[0]) == 0)
        if mixed.size:
            cluster, (one, other) = names[pairs[0, mixed[0]]], pairs[1, mixed[0] : mixed[0] + 2]
            raise PeekproofError(
                f"'{name}' {cluster} has rows of '{variants[one]}' and '{variants[other]}', so it was not randomised "
                "as a whole: name what was; what holds units of several variants may be their strata"
            )
        return Codes(names, codes)

    def _run(self, weights: dict[str, int], columns: Sequence[MetricColumn]) -> RunInForce:
        """The experiment that the question describes."""
        question = self._question
        smallest = min(len(a[0]) + len(column.arms[0][0]) for column in columns for a in column.arms[1:])
        analysis = Analysis(
            method=question.method,
            cuped=bool(question.covariates),
            strata=question.strata,
            # Of a table that is read once, whatever it has was planned.
            planned_units=smallest if question.method == "t-test" else None,
        )
        # A segment is named after each value, and the last one after what is none of them.
        breakdowns: tuple[Breakdown, ...] = ()
        if question.strata is not None:
            values = tuple(each.partition("=")[2] for each in columns[0].segments[:-1])
            breakdowns = (Breakdown(property=question.strata, values=values),)
        definition = Flag(
            key=self._paths[0].name,
            owner="-",
            unit="user_id" if question.cluster is None else f"groups.{question.cluster}",
            breakdowns=breakdowns,
            variants=tuple(Variant(key=variant, weight=weight) for variant, weight in weights.items()),
            control=next(iter(weights)),
            metrics=tuple(
                Goal(metric=each.column, role="secondary" if number else "primary", direction=each.direction)
                for number, each in enumerate(question.metrics)
            ),
            analysis=analysis,
        )
        return RunInForce(
            flag=definition.key,
            key="table",
            salt="",
            allocations=(Allocation(flag_version=1, rollout=100, weights=weights),),
            started=0,
            completed=None,
            since={column.key: 0 for column in columns},
            definition=definition,
            metrics={column.key: column.metric for column in columns},
        )

    def _variants(self, names: list[str]) -> list[str]:
        """Control first, then the others by name."""
        column, control = self._question.variant, self._question.control
        if not 1 < len(names) <= MOST_VARIANTS:
            raise PeekproofError(
                f"'{column}' has {len(names):,} different values, {listed(sorted(names), 5)}; name the column of the "
                f"variants, of which there are 2 to {MOST_VARIANTS}"
            )
        if control is None:
            control = next((name for name in sorted(names) if name.lower() == "control"), min(names))
            self.notes.append(f"'{control}' is taken for the control; name another if it is not")
        control = arm_named(control, names)
        if control not in names:
            raise PeekproofError(f"'{control}' is no value of '{column}'; {did_you_mean(control, names)}")
        return [control, *sorted(name for name in names if name != control)]

    def _weights(self, variants: Sequence[str]) -> list[int]:
        if self._question.weights is None:
            self.notes.append("the split is taken as planned to be equal; give its weights if it was not")
            return [1] * len(variants)
        weights = weights_of(self._question.weights, variants)
        if weights.keys() != set(variants):
            raise PeekproofError(f"weights are given of {listed([*weights])}; the variants are {listed(variants)}")
        return [weights[variant] for variant in variants]

    def _tell_few(self, variants: Sequence[str], sizes: Sequence[NDArray[np.int64]]) -> None:
        """Tell of clusters that are too few, or of which a few hold most rows."""
        if not any(are_few_clusters(each.sum(), (each * each).sum()) for each in sizes):
            return
        worth = [
            f"{variant}: {len(each):,} clusters"
            + f", worth {each.sum() ** 2 / (each * each).sum():,.0f} of one size" * bool(each.max() > each.min())
            for variant, each in zip(variants, sizes, strict=True)
        ]
        self.notes.append(
            f"{', '.join(worth)}; a t-test wants {CLUSTERS} of one size, or what is worth as many, in each arm, and a "
            f"sequential test {EXPOSURES}: with fewer they find effects that there are not"
        )

    def _tell_repeats(self) -> None:
        for name in UNITS:
            there = self._cells.columns[name].drop_null()
            repeats = len(there) - pc.count_distinct(there).as_py()
            if repeats and name not in self._question.columns:
                self.notes.append(
                    f"`{name}` repeats in {repeats:,} rows, and each row counts as a unit: make it one row a unit, "
                    f"name {name} as what was randomised (the cluster), or give exposures and events"
                )
