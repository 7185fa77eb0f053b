"""Contribution: what one partition contributes to a run, as it travels."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from evaluation.catalog.in_force import Variable
from evaluation.columns.arrays import Words
from evaluation.metrics import sums
from evaluation.metrics.kernels import spread
from evaluation.metrics.kernels.members import LIVE, SETTLED
from evaluation.metrics.layouts import TALLY
from evaluation.metrics.measures import NO_WINDOW
from evaluation.metrics.member_store import MemberStore
from evaluation.metrics.run import RunMembers
from evaluation.metrics.run_columns import RunColumn
from schemas.aggregate import Aggregate, ArmCount, ArmPart, MetricHealth, Part, Spread, Sums
from schemas.numbers import exact
from schemas.units import Example

OTHER = "(other)"


def contribution(  # noqa: PLR0917
    run: RunMembers, partition: int, offset: int, watermark: int, catalog: int, examples: list[Example]
) -> Aggregate:
    """The run's sums as they stand, or its last word. Call `Run.settle` before."""
    if run.final:
        return run.final
    order = run.arms.in_order()
    columns = sorted(enumerate(run.store.columns), key=lambda each: each[1].metric)
    cells = run.store.cells_of_columns()
    shown, counts = run.exposures[0], run.store.counts[0]
    return Aggregate(
        flag=run.flag,
        run=run.key,
        partition=partition,
        offset=offset,
        watermark=watermark,
        catalog=catalog,
        arms=[ArmCount(*run.arms.names[arm], int(run.store.arm_units[arm])) for arm in order],
        sums=[each for c, column in columns for each in _sums(run, c, cells[c], order)],
        metrics=[_health(run, c, column, examples, order) for c, column in columns],
        exposures=int(shown.accepted),
        late=int(shown.late),
        inactive=int(shown.inactive),
        forced=int(shown.forced),
        jumpers=int(counts.jumpers),
        reassigned=int(counts.reassigned),
        duplicate_ids=int(counts.same_ids),
        strays=[run.strays[name] for name in sorted(run.strays)],
    )


def _health(run: RunMembers, c: int, column: RunColumn, examples: list[Example], order: list[int]) -> MetricHealth:
    """What became of a column's events."""
    counts = dict(zip(TALLY.names or (), run.store.tallies[c].tolist(), strict=True))
    told = _newest(column.variables, examples, run)
    first = int(run.store.measures.columns["first"][c])
    parts = [_part(run, v, variable, examples, order) for v, variable in enumerate(column.variables, first)]
    return MetricHealth(
        column.metric,
        **counts,
        example=told.get("unusable") if counts["unusable"] else None,
        rounded=told.get("rounded") if counts["events"] else None,
        parts=parts if any(map(_reads_values, column.variables)) else [],
    )


def _part(run: RunMembers, v: int, variable: Variable, examples: list[Example], order: list[int]) -> Part:
    """What became of the values of variable v, if it has any."""
    if not _reads_values(variable):
        return Part([])
    told = _newest((variable,), examples, run)
    its = [(arm, int(run.store.parts[v, arm].kept), int(run.store.parts[v, arm].lost)) for arm in order]
    arms = [ArmPart(*run.arms.names[arm], kept, lost) for arm, kept, lost in its if kept or lost]
    is_losing = any(lost for _, _, lost in its)
    is_kept = any(kept for _, kept, _ in its)
    return Part(arms, told.get("unusable") if is_losing else None, told.get("rounded") if is_kept else None)


def _reads_values(variable: Variable) -> bool:
    return variable.facts[0].property is not None


def _newest(variables: Iterable[Variable], examples: list[Example], run: RunMembers) -> dict[str, str]:
    """Of each kind the newest example of what the variables read, of the run's own time."""
    facts = {fact.key for variable in variables for fact in variable.facts}
    its = [each for each in examples if each.fact in facts and run.started <= each.time < run.ends]
    return {each.what: each.text for each in sorted(its, key=lambda each: (each.time, each.text))}


def _sums(run: RunMembers, c: int, cells: Words, order: list[int]) -> Iterator[Sums]:
    """The sums of column c by reading, arm and segment: of segments where nobody is, none."""
    column = run.store.columns[c]
    names = [f"{each.property}={value}" for each in run.breakdowns for value in (OTHER, *each.values)]
    everyone = range(int(run.store.measures.breakdowns["segments"][0]))  # each unit is in one segment of a breakdown
    places = np.nonzero(cells[..., sums.N])
    inhabited: dict[tuple[int, int], list[tuple[int, sums.SumCell]]] = defaultdict(list)
    found = sums.read(cells[places], column.numbers)
    for (reading, arm, segment), cell in zip(np.transpose(places).tolist(), found, strict=True):
        inhabited[reading, arm].append((segment, cell))
    spreads = None if column.percentile is None else _Spreads(run.store, c)
    for reading, name in ((LIVE, "live"), (SETTLED, "settled")):
        if reading == SETTLED and column.window == NO_WINDOW:
            continue
        for arm in order:
            place = (column.metric, column.version, name, *run.arms.names[arm])
            its = inhabited[reading, arm]
            whole = _added([cell for segment, cell in its if segment in everyone], column.numbers)
            yield _told(place, "all", whole, spreads.of(reading, arm, *everyone) if spreads else None)
            if names:
                for segment, cell in its:
                    yield _told(place, names[segment], cell, spreads.of(reading, arm, segment) if spreads else None)


def _told(place: tuple[str, int, str, int, str], segment: str, cell: sums.SumCell, its: Spread | None) -> Sums:
    """The sums of a segment of one metric, reading and arm, as they travel."""
    n, nonzero, first, second = cell
    return Sums(*place, segment, n, nonzero, [exact(each) for each in first], [exact(each) for each in second], its)


class _Spreads:
    """How the values of a column are spread, by reading, arm and segment."""

    def __init__(self, store: MemberStore, c: int) -> None:
        bins = store.bins[(store.bins["word"] != 0) & (store.bins["unit"] >> spread.COLUMN == c)]
        self._bins = bins[np.argsort(bins["word"], kind="stable")]
        self._cells = self._bins["unit"] & ((1 << spread.COLUMN) - 1)

    def of(self, reading: int, arm: int, *segments: int) -> Spread:
        """Of some segments together."""
        bins = self._bins[np.isin(self._cells, [(arm << spread.ARM) | segment for segment in segments])]
        name = "settled" if reading == SETTLED else "live"
        buckets, at = np.unique(bins["word"] - spread.ABOVE_0, return_inverse=True)
        table = np.zeros((len(buckets), 3), np.int64)
        np.add.at(table, at, np.column_stack([bins[name], bins[f"{name}_squares"], bins[f"{name}_products"]]))
        is_there = table[:, 0] != 0
        values, squares, products = table[is_there].T.tolist() if is_there.any() else ([], [], [])
        steps = np.diff(buckets[is_there], prepend=0).tolist()
        return Spread(steps, values, squares, products) if any(squares) else Spread(steps, values)


def _added(cells: list[sums.SumCell], k: int) -> sums.SumCell:
    """The sums of several cells of k numbers together."""
    if len(cells) == 1:
        return cells[0]
    total = 0, 0, [0] * k, [0] * (k * (k + 1) // 2)
    for n, nonzero, first, second in cells:
        total = (
            total[0] + n,
            total[1] + nonzero,
            [a + b for a, b in zip(total[2], first, strict=True)],
            [a + b for a, b in zip(total[3], second, strict=True)],
        )
    return total
