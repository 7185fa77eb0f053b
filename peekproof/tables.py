"""Tables: a table with a row for each unit, its variant in one column, its metrics in others."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from peekproof.results import Result
from pipeline.errors import PeekproofError
from pipeline.files.frames import inputs
from pipeline.offline.arms import ArmName
from pipeline.offline.question import Direction, Measured, MeasuredAs, Method, TableQuestion
from pipeline.offline.table import TableAnalysis
from pipeline.offline.telling import report, told_left_out


class ColumnMetric(NamedTuple):
    """How a column of a table is a metric: `mean()`, `conversion()`."""

    type: MeasuredAs
    direction: Direction


def mean(*, direction: Direction = "increase") -> ColumnMetric:
    """The mean of a column's numbers; better when it is more, unless the `direction` says `decrease`."""
    return ColumnMetric("sum", direction)


def conversion(*, direction: Direction = "increase") -> ColumnMetric:
    """The share of a column that is 1 or true, and not 0 or false."""
    return ColumnMetric("conversion", direction)


def analyze_table(
    table: Any,
    *,
    variant: str,
    metrics: Mapping[str, ColumnMetric] | Sequence[str],
    covariates: Sequence[str] = (),
    strata: str | None = None,
    clusters: str | None = None,
    control: ArmName | None = None,
    weights: Mapping[ArmName, int] | Mapping[str, int] | None = None,
    method: Method = "sequential",
) -> Result:
    """Results of a table with a row for each unit: a data frame, a table of Arrow, a relation of DuckDB, or files.

    `metrics` says by column what it is; of columns alone, those of 0 and 1 are conversions. The first one decides.
    `covariates` are columns of what was known before, which explain a part of every metric (CUPED); units are compared
    within the values of the column `strata`; `clusters` is the column of what was randomised, where a row is a part of
    it. `control` is the variant of that name, else the first, `weights` say how the split was planned, if not equally.
    A `t-test` is read once; of a table that grows only `sequential`, the default, keeps its promise. A row without a
    number is left out of that metric, and told. Raises PeekproofError for what cannot be used.

    >>> import pandas as pd
    >>> import peekproof as pp
    >>> before = [float(unit % 89) for unit in range(3_000)]
    >>> users = pd.DataFrame({
    ...     "group": ["mail" if unit % 2 else "control" for unit in range(3_000)],
    ...     "before": before,
    ...     "spend": [20.0 + spent + 4.0 * (unit % 2) + unit % 11 for unit, spent in enumerate(before)],
    ...     "visit": [unit % 5 < 1 + unit % 2 for unit in range(3_000)],
    ... })
    >>> result = pp.analyze_table(
    ...     users,
    ...     variant="group",
    ...     metrics={"spend": pp.mean(), "visit": pp.conversion()},
    ...     covariates=["before"],
    ...     control="control",
    ...     weights={"control": 1, "mail": 1},
    ... )
    >>> result
    table: ship: mail improves spend: +5.8% [+5.3%, +6.4%], p < 0.0001.
    >>> result.to_pandas()[["metric", "variant", "n", "estimate", "lower", "upper"]].round(2)
      metric variant     n  estimate  lower  upper
    0  spend    mail  1500       4.0   3.63   4.37
    1  visit    mail  1500       0.2   0.15   0.25
    """
    if isinstance(covariates, str) or not isinstance(covariates, Iterable):
        raise PeekproofError(f"covariates={covariates!r}: it is a list of columns: ['spend_before']")
    question = TableQuestion(
        variant,
        tuple(_measured(metrics)),
        tuple(covariates),
        control,
        weights,
        method,
        strata,
        clusters,
    )
    analysis = TableAnalysis(question, inputs("table", table))
    for _ in analysis:
        pass
    looks = [analysis.look()]
    notes = [*analysis.notes]
    return Result(looks, [*notes, *told_left_out(analysis.left_out)], report(analysis, looks, notes))


def _measured(metrics: Mapping[str, ColumnMetric] | Sequence[str]) -> list[Measured]:
    if not metrics or isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise PeekproofError(f"metrics={metrics!r}: name columns: {{'spend': pp.mean(), 'visit': pp.conversion()}}")
    if isinstance(metrics, Mapping):
        for column, each in metrics.items():
            if not isinstance(each, ColumnMetric):
                raise PeekproofError(
                    f"'{column}': {each!r} is no metric of a table; write pp.mean() or pp.conversion()"
                )
        return [Measured(column, each.type, each.direction) for column, each in metrics.items()]
    return [Measured(column) for column in metrics]
