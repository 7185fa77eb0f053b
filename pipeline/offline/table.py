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

from evaluation.catalog.in_force import MetricInForce, RunInForce
from evaluation.catalog.rules import did_you_mean
from evaluation.significance.look import look
from pipeline.errors import PeekproofError
from pipeline.files.formats import pieces
from pipeline.files.frames import Input, resolved, size
from pipeline.files.left_out import BadRow, LeftOut
from pipeline.files.titles import OfTable, listed
from pipeline.offline.cells import Cells, mask
from pipeline.offline.measuring import Covariate, MetricColumn, measure
from pipeline.offline.question import TableQuestion
from schemas.aggregate import Aggregate, ArmCount
from schemas.catalog import Allocation, Analysis, Flag, Goal, Variant
from schemas.look import Look

MOST_VARIANTS = 50
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
        used = Counter([question.variant, *(each.column for each in question.metrics)])
        if twice := [column for column, count in used.items() if count > 1]:
            raise PeekproofError(f"'{twice[0]}' is named twice; a column is the variant's, or that of one metric")

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
        arms = [code == names.index(variant) for variant in variants]
        self.rows["units"] = int(has_variant.sum())

        name = question.covariate
        covariate = None if name is None else Covariate(name, cells.numbers(name, has_variant))
        arm_of = dict(zip(variants, arms, strict=True))
        columns = [measure(each, cells, arm_of, covariate, self.notes) for each in question.metrics]
        run = self._run(dict(zip(variants, self._weights(variants), strict=True)), columns)
        aggregate = Aggregate(
            flag=run.flag,
            run=run.key,
            partition=0,
            offset=0,
            watermark=0,
            catalog=0,
            arms=[ArmCount(0, variant, int(arm.sum())) for variant, arm in zip(variants, arms, strict=True)],
            sums=[column.sums(variant, arm) for column in columns for arm, variant in enumerate(variants)],
            metrics=[column.health for column in columns if column.lost],
            exposures=self.rows["units"],
            final=question.method == "t-test",  # which is read once
        )
        found = look(run, [aggregate], None)
        return msgspec.structs.replace(found, cells=[cell for cell in found.cells if cell.reading == "settled"])

    def _run(self, weights: dict[str, int], columns: Sequence[MetricColumn]) -> RunInForce:
        """The experiment that the question describes."""
        question = self._question
        smallest = min(len(a[0]) + len(column.arms[0][0]) for column in columns for a in column.arms[1:])
        analysis = Analysis(
            method=question.method,
            cuped=question.covariate is not None,
            # Of a table that is read once, whatever it has was planned.
            planned_units=smallest if question.method == "t-test" else None,
        )
        definition = Flag(
            key=self._paths[0].name,
            owner="-",
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
            since={column.metric.key: 0 for column in columns},
            definition=definition,
            metrics={column.metric.key: MetricInForce(column.metric, 1, 0) for column in columns},
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
        if control not in names:
            raise PeekproofError(f"'{control}' is no value of '{column}'; {did_you_mean(control, names)}")
        return [control, *sorted(name for name in names if name != control)]

    def _weights(self, variants: Sequence[str]) -> list[int]:
        weights = self._question.weights
        if weights is None:
            self.notes.append("the split is taken as planned to be equal; give its weights if it was not")
            return [1] * len(variants)
        if weights.keys() != set(variants):
            raise PeekproofError(f"weights are given of {listed([*weights])}; the variants are {listed(variants)}")
        return [weights[variant] for variant in variants]

    def _tell_repeats(self) -> None:
        for name in UNITS:
            there = self._cells.columns[name].drop_null()
            repeats = len(there) - pc.count_distinct(there).as_py()
            if repeats and name not in self._question.columns:
                self.notes.append(
                    f"`{name}` repeats in {repeats:,} rows, and each row counts as a unit: make it one row a unit, or "
                    "give exposures and events"
                )
