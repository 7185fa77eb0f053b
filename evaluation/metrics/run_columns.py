"""Run columns: the metrics of a run as it reads them, and as tables for kernels."""

from collections.abc import Callable, Sequence
from itertools import chain

import msgspec
import numpy as np

from evaluation.catalog.in_force import PASTLESS, SETTLING, Catalog, RunInForce, Variable
from evaluation.metrics import measures as of
from evaluation.metrics.layouts import (
    BREAKDOWN,
    FEED,
    METRIC_COLUMN,
    VARIABLE,
    Breakdowns,
    Feeds,
    MetricColumns,
    Variables,
)
from evaluation.metrics.measures import BUCKETS, NO_CAP, NO_END, NO_FLOOR, NO_WINDOW, Measures
from schemas.catalog import Breakdown
from schemas.pair import Pair, loose

FactNumbers = Callable[[str], int]  # the partition's number of a fact, by its key

_KINDS = {
    "conversion": of.CONVERSION,
    "count": of.COUNT,
    "sum": of.SUM,
    "mean": of.MEAN,
    "funnel": of.FUNNEL,
    "retention": of.RETENTION,
    "values": of.LISTED,
    "distinct": of.DISTINCT,
}


class RunColumn(msgspec.Struct, frozen=True):
    """A metric as this run reads it; another version, or another beginning, is another column."""

    metric: str
    version: int
    since: int  # ms UTC: it covers entries from then on; 0: all of them
    window: int
    variables: tuple[Variable, ...]
    width: int  # ms, of a bucket of the past; 0: it has no covariates
    recorded: int  # ms UTC: buckets are whole from then on
    pair: Pair | None = None  # of which it counts loose events too
    percentile: float | None = None
    others: tuple[Variable, ...] = ()  # those of other metrics whose past explains a part of it

    @property
    def own(self) -> tuple[Variable, ...]:
        """Its variables whose past explains a part of it: what goes by the order of events has none."""
        return self.variables if self.width and not any(each.type in PASTLESS for each in self.variables) else ()

    @property
    def numbers(self) -> int:
        """How many numbers it has of a unit."""
        return len(self.variables) + len(self.own) + len(self.others)

    @property
    def words(self) -> int:
        """How many words of a member's row hold its totals."""
        return sum(map(_words, (*self.variables, *self.own, *self.others)))


def columns_of(run: RunInForce, horizon: int) -> list[RunColumn]:
    """What the run reads of its metrics.

    An event at or after `recorded` was appended when every stage knew that the past is kept: it lies at most a horizon
    ahead of its append time, which is `SETTLING` after the metric's version.
    """
    return [
        RunColumn(
            metric=key,
            version=metric.version,
            since=run.since[key] if run.since[key] > run.started else 0,
            window=NO_WINDOW if metric.window is None else metric.window,
            variables=metric.variables,
            width=0 if metric.lookback is None else _bucket_width(metric.lookback),
            recorded=0 if metric.lookback is None else metric.recorded + SETTLING + horizon,
            pair=run.pair,
            percentile=metric.definition.percentile,
            others=tuple(chain.from_iterable(metric.others_variables)),
        )
        for key, metric in run.metrics.items()
    ]


def looked_back_to(catalog: Catalog, fact_number: FactNumbers) -> set[tuple[int, int]]:
    """Every fact of a metric with a lookback, and the width of its buckets, whether or not a run reads it yet."""
    metrics = [metric for flag in catalog.flags.values() for run in flag.runs for metric in run.metrics.values()]
    pairs = catalog.pairs
    return {
        (fact_number(key), _bucket_width(metric.lookback))
        for metric in (*catalog.metrics.values(), *metrics)
        if metric.lookback is not None
        for fact in metric.past_facts
        for key in (fact.key, *(loose(fact.key, pair) for pair in pairs))
    }


def _bucket_width(lookback: int) -> int:
    """Milliseconds of a bucket."""
    return max(1, lookback // BUCKETS)


def _spread(column: RunColumn) -> int:
    if column.percentile is None:
        return of.UNSPREAD
    return of.OF_EVENTS if column.variables[0].type == "values" else of.OF_UNITS


def _kind(variable: Variable) -> int:
    if variable.type == "distinct" and variable.facts[0].property is None:
        return of.DAYS
    return of.FUNNELS if variable.type == "funnel" and variable.totals else _KINDS[variable.type]


def _words(variable: Variable) -> int:
    return of.WORDS[_kind(variable)]


def measures_of(
    columns: Sequence[RunColumn], breakdowns: Sequence[Breakdown], fact_number: FactNumbers, totals_at: int
) -> Measures:
    """The tables of these columns. Totals begin at the word `totals_at` of a row; cells are not placed yet."""
    feeds: list[tuple[int, int, int, bool, bool]] = []
    variables: list[tuple[int, ...]] = []
    table: list[tuple[int, ...]] = []
    at = totals_at
    for c, column in enumerate(columns):
        first, count = len(variables), len(column.variables)
        numbers = count, len(column.own), len(column.others), column.numbers
        table.append((column.since, column.window, first, *numbers, 0, column.width, column.recorded, _spread(column)))
        known: set[int] = set()
        covariate = at + sum(map(_words, column.variables))
        for v, variable in enumerate(column.variables, first):
            steps = _steps(variable, column.pair, fact_number)
            feeds += [(fact, v, bits, fact not in known, False) for fact, bits in steps.items()]
            known |= steps.keys()
            variables.append(_variable(variable, c, at, covariate if column.own else at))
            at, covariate = at + _words(variable), covariate + _words(variable)
        at = covariate if column.own else at
        for variable in column.others:
            steps = _steps(variable, column.pair, fact_number)
            feeds += [(fact, len(variables), bits, False, True) for fact, bits in steps.items()]
            variables.append(_variable(variable, c, at, at))
            at += _words(variable)
    return Measures(
        Feeds(np.array(feeds, FEED)),
        Variables(np.array(variables, VARIABLE)),
        MetricColumns(np.array(table, METRIC_COLUMN)),
        _breakdowns(breakdowns),
        NO_END,
    )


def _steps(variable: Variable, pair: Pair | None, fact_number: FactNumbers) -> dict[int, int]:
    """Which steps of a variable each fact is, as bits."""
    steps: dict[int, int] = {}
    for step, fact in enumerate(variable.facts):
        for key in (fact.key, loose(fact.key, pair)) if pair else (fact.key,):
            number = fact_number(key)
            steps[number] = steps.get(number, 0) | 1 << step
    return steps


def _variable(variable: Variable, c: int, at: int, covariate: int) -> tuple[int, ...]:
    """The row of a variable of column c, whose totals stand at those words."""
    log = (10 ** max(0, variable.facts[0].scale), 10**variable.places) if variable.log else (0, 0)
    kind = _kind(variable)
    cap = 1 if kind in of.YES_OR_NO else NO_CAP if variable.cap is None else variable.cap
    floor = NO_FLOOR if variable.lower_cap is None else variable.lower_cap
    return kind, c, at, covariate, cap, floor, *log, len(variable.facts), variable.begins, variable.ends


def _breakdowns(breakdowns: Sequence[Breakdown]) -> Breakdowns:
    """Without any there is one segment."""
    sizes = [len(each.values) + 1 for each in breakdowns] or [1]
    firsts = np.cumsum([0, *sizes[:-1]])
    return Breakdowns(np.array(list(zip(firsts, sizes, strict=True)), BREAKDOWN))
