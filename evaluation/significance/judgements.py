"""Judgements: what the cells of a look mean, by the goals: better or worse than control, safe or harmed, or still open.

They rest on the running values alone, and on the readings that can bear it: settled ones; live ones of a metric without
a window; and the live reading of an exact test, which may show a guardrail's harm but not that it is safe, because
what comes late could still harm.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.catalog.in_force import MetricInForce
from evaluation.columns.arrays import Floats, Mask
from evaluation.significance import multiplicity
from evaluation.significance.intervals import Intervals
from evaluation.significance.levels import family_size
from evaluation.significance.procedures import Procedures
from evaluation.significance.running import Running
from schemas.catalog import Flag, Goal
from schemas.look import EVERYONE, Cell, Judgement, Reading

_GAINS: dict[Judgement | None, float] = {"better": 1.0, "worse": -1.0}


def decides(metric: MetricInForce, reading: Reading, segment: str) -> bool:
    """Whether a verdict rests on such a cell: it is of all units and, where units settle, of the settled ones."""
    return segment == EVERYONE and reading == ("live" if metric.window is None else "settled")


def is_deciding(cell: Cell, metrics: Mapping[str, MetricInForce]) -> bool:
    """Whether a verdict rests on the cell."""
    return cell.exploratory is not True and decides(metrics[cell.metric], cell.reading, cell.segment)


class Judgements:
    """Columns: adjusted running p-values, NaN where there is none; and judgements, None where nothing rests on a cell.

    A verdict rests on the cells that are `is_deciding`; those that are `is_alarm` show harm alone. `before` are the
    cells of the last look, None where running values start.
    """

    def __init__(
        self,
        flag: Flag,
        goals: Sequence[Goal],
        procedures: Procedures,
        said: Intervals,
        running: Running,
        *,
        before: Sequence[Cell | None],
        is_deciding: Mask,
        is_alarm: Mask,
    ) -> None:
        is_bayesian, is_increase = procedures.method == "bayesian", procedures.is_increase
        self.adjusted = np.full(len(goals), np.nan)
        roles = np.array([goal.role for goal in goals], dtype=object)
        for role in ("primary", "secondary", "guardrail"):
            family = np.flatnonzero(is_deciding & (roles == role))
            self.adjusted[family] = _adjusted(flag, role, running.p_value[family], procedures.alpha[family])

        tail = np.minimum(said.chance, 1.0 - said.chance)
        is_found = np.where(is_bayesian, tail <= flag.analysis.alpha / 2.0, self.adjusted < flag.analysis.alpha)
        was = np.array([_GAINS.get(each.judgement, 0.0) if each else 0.0 for each in before])
        direction = np.where(is_increase, 1.0, -1.0)
        read = np.array([each.estimate if each and each.is_read else None for each in before], np.float64)
        is_supported = ~np.isnan(read) | (said.p_value < flag.analysis.alpha)
        estimate = np.where(np.isnan(said.estimate), said.relative_estimate, said.estimate)
        estimate = np.where(np.isnan(read), estimate, read)
        side = direction * _side(procedures, estimate, running, direction * was, is_supported)
        gain = np.where(is_bayesian, said.chance - 0.5, side)
        success = np.select([is_found & (gain > 0.0), is_found & (gain < 0.0)], ["better", "worse"], "open")
        guarded = _guarded(running, is_increase, np.array([goal.margin or 0.0 for goal in goals]))

        judgement = np.where(procedures.is_guardrail, guarded, success).astype(object)
        judgement[running.is_empty | (said.status == "unusable")] = "open"
        judgement[is_alarm] = np.where(guarded[is_alarm] == "harmed", "harmed", "open")
        judgement[~is_deciding & ~is_alarm] = None
        self.judgement: NDArray[Any] = judgement


def _adjusted(flag: Flag, role: str, p_values: Floats, alpha: Floats) -> Floats:
    """Running p-values corrected within the family; a comparison without one counts in it all the same."""
    correction = flag.analysis.correction
    known = ~np.isnan(p_values)
    if role == "guardrail" or correction == "none" or not known.any():
        return p_values
    if correction == "bonferroni":
        # By the level that the cell's first look fixed: a metric that was added later has not moved it.
        return np.minimum(1.0, p_values * (flag.analysis.alpha / alpha))
    adjust = multiplicity.holm if correction == "holm" else multiplicity.benjamini_hochberg
    unknown = np.ones(family_size(flag, role) - int(known.sum()))
    adjusted = np.full(len(p_values), np.nan)
    adjusted[known] = adjust(np.concatenate([p_values[known], unknown]))[: known.sum()]
    return adjusted


def _guarded(running: Running, is_increase: Mask, margin: Floats) -> NDArray[np.str_]:
    """Safe: a loss beyond the margin is excluded (without a margin: any). Harmed: no loss is excluded."""
    worst = np.where(is_increase, running.lower, -running.upper)
    best = np.where(is_increase, running.upper, -running.lower)
    relative_worst = np.where(is_increase, running.relative_lower, -running.relative_upper)
    relative_best = np.where(is_increase, running.relative_upper, -running.relative_lower)
    is_safe = (worst > 0.0) | (relative_worst > -margin)
    is_harmed = (best < 0.0) | (relative_best < 0.0)
    return np.where(is_safe, "safe", np.where(is_harmed, "harmed", "open"))


def _side(procedures: Procedures, estimate: Floats, running: Running, was: Floats, is_supported: Mask) -> Floats:
    """On which side of zero each effect was found: 1 above, -1 below, 0 nobody can say.

    By the interval where it excludes zero. Holm and Benjamini-Hochberg find more than their intervals show: a one-sided
    test can only find a gain; a two-sided one keeps the side that it was found on, and that of the estimate is believed
    where the look supports it. An estimate that has come back to zero says nothing of what was found.
    """
    return np.select(
        [
            *(running.lower > 0.0, running.upper < 0.0, running.relative_lower > 0.0, running.relative_upper < 0.0),
            procedures.is_one_sided,
            was != 0.0,
            is_supported,
        ],
        [1.0, -1.0, 1.0, -1.0, procedures.sign, was, np.sign(estimate)],
        0.0,
    )
