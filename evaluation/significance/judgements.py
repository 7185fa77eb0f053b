"""Judgements: what the cells of a look mean, by the goals: better or worse than control, safe or harmed, or still open.

They rest on the running values alone, and on the readings that can bear it: settled ones; live ones of a metric without
a window; and the live reading of an exact test, which may show a guardrail's harm but not that it is safe, because
what comes late could still harm.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.catalog import MetricInForce
from evaluation.significance import multiplicity
from evaluation.significance.intervals import Intervals
from evaluation.significance.levels import family_size
from evaluation.significance.moments import Floats
from evaluation.significance.procedures import Procedures
from evaluation.significance.running import Running
from schemas.catalog import Flag, Goal
from schemas.look import EVERYONE, Reading

Mask = NDArray[np.bool_]


def decides(metric: MetricInForce, reading: Reading, segment: str) -> bool:
    """Whether a verdict rests on such a cell: it is of all units and, where units settle, of the settled ones."""
    return segment == EVERYONE and reading == ("live" if metric.window is None else "settled")


class Judgements:
    """Columns: adjusted running p-values, NaN where there is none; and judgements, None where nothing rests on a cell.

    A verdict rests on the cells that are `is_deciding`; those that are `is_alarm` show harm alone.
    """

    def __init__(
        self,
        flag: Flag,
        goals: Sequence[Goal],
        procedures: Procedures,
        said: Intervals,
        running: Running,
        *,
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
        is_gain = np.where(is_bayesian, said.chance > 0.5, (_side(said, running) > 0) == is_increase)
        success = np.where(~is_found, "open", np.where(is_gain, "better", "worse"))
        guarded = _guarded(running, is_increase, np.array([goal.margin or 0.0 for goal in goals]))

        judgement = np.where(procedures.is_guardrail, guarded, success).astype(object)
        judgement[running.is_empty] = "open"
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
        return np.minimum(1.0, p_values * flag.analysis.alpha / alpha)
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


def _side(said: Intervals, running: Running) -> Floats:
    """On which side of zero each effect is: 1 above, -1 below; by the interval where it excludes zero."""
    estimate = np.where(np.isnan(said.estimate), said.relative_estimate, said.estimate)
    return np.select(
        [running.lower > 0.0, running.upper < 0.0, running.relative_lower > 0.0, running.relative_upper < 0.0],
        [1.0, -1.0, 1.0, -1.0],
        np.sign(estimate),
    )
