"""Time left: how long a comparison may still be open, as it looks now and if the prediction is true; what is excluded.

By the pace of entries since the run's start, and by the look's time (ms UTC), not by the wall's. A sequential test is
expected to find an effect at one of the looks to come, with a power of 80 %. As it looks now that is the effect that is
estimated, of which the units that it takes go by the square: near zero they change a lot by a little. So what is said
goes on from the last look, and comes nearer to what this one finds by a third at most. If the prediction is true it is
the goal's minimum effect, which does not move.
"""

from typing import NamedTuple

from evaluation.catalog.in_force import RunInForce
from evaluation.significance import power
from evaluation.significance.sample_size import POWER
from schemas.catalog import Goal
from schemas.duration import DAY_MS
from schemas.look import FIXED, WITHOUT_ENTRIES, Cell, Health

MOST_DAYS = 40  # beyond which an estimate means nothing; Amplitude's bound
LEAST_DAYS = 1.0 / 1440.0  # a minute: less is not told apart
MOST_CHANGE = 1.0 / 3.0  # of what the last look said


class TimeLeft(NamedTuple):
    """Days that a decision may still take, `MOST_DAYS` or less; None: nobody can say.

    `is_due`: an effect as large as predicted would have been found by now. `excluded` is the relative effect, up or
    down, of which it is known already that there is none; None while that is not both ways.
    """

    days: float | None = None
    predicted: float | None = None
    is_due: bool = False
    excluded: float | None = None


NO_TIME = TimeLeft()


class Pace(NamedTuple):
    """How fast units enter a run, by a look's `time` (ms UTC); `days_left` is what the last look said, if any did."""

    run: RunInForce
    health: Health
    time: int
    days_left: float | None


def time_left(cell: Cell, goal: Goal, by: Pace) -> TimeLeft:
    """Of the comparison that is nearest to a decision.

    A fixed-horizon test takes until its planned units are in. A Bayesian reading plans nothing. Nobody can say it while
    no exposures come, or none of the metric's events.
    """
    elapsed = by.time - by.run.started
    entered = sum(arm.units for arm in by.health.arms if arm.variant in (cell.variant, cell.control))
    stands = any(fault.kind in WITHOUT_ENTRIES or fault.metric == cell.metric for fault in by.health.data or ())
    if by.run.completed is not None or stands or elapsed <= 0 or not entered or cell.planned_units is None:
        return TimeLeft(excluded=_excluded(cell))
    pace = entered / (elapsed / DAY_MS)
    if cell.method in FIXED:
        left = float(cell.planned_units - cell.n - cell.control_n)
        return TimeLeft(min(float(MOST_DAYS), max(0.0, left) / pace))
    predicted = _predicted(cell, goal)
    growth = None if predicted is None else _growth(cell, predicted)
    return TimeLeft(
        days=_as_it_looks(cell, pace, by.days_left),
        predicted=None if growth is None else _days(cell, growth, pace),
        is_due=growth == 1.0,
        excluded=_excluded(cell),
    )


def _as_it_looks(cell: Cell, pace: float, last: float | None) -> float | None:
    if cell.method != "sequential" or cell.estimate is None or cell.p_value is None:
        return None
    growth = _growth(cell, cell.estimate) if _holds(cell, cell.estimate) else None
    if growth is None:
        return last  # the effect has moved: its size says little about what comes
    found = _days(cell, growth, pace)
    return found if last is None else min(max(found, last * (1.0 - MOST_CHANGE)), last * (1.0 + MOST_CHANGE))


def _predicted(cell: Cell, goal: Goal) -> float | None:
    """The goal's minimum effect, as a difference of means."""
    if goal.minimum_effect is None or not cell.control_mean:
        return None
    return abs(cell.control_mean) * goal.minimum_effect * (1.0 if goal.direction == "increase" else -1.0)


def _growth(cell: Cell, effect: float) -> float | None:
    """By which factor the units must grow to find the effect; None: nobody can say."""
    if cell.method != "sequential" or not cell.standard_error or cell.p_value is None or not cell.planned_units:
        return None
    alpha = cell.alpha if cell.alternative == "two-sided" else 2.0 * cell.alpha
    units, variance = cell.n + cell.control_n, cell.standard_error**2
    return float(power.sequential_growth(effect, variance, units, cell.planned_units, alpha, power=POWER))


def _days(cell: Cell, growth: float, pace: float) -> float:
    units = cell.n + cell.control_n
    needed = (growth - 1.0) * float(power.earlier(growth * units, cell.planned_units or 0)) * units
    return min(float(MOST_DAYS), max(LEAST_DAYS, needed / pace))


def _holds(cell: Cell, effect: float) -> bool:
    """Whether the running interval holds the effect."""
    lower, upper = cell.running_lower, cell.running_upper
    return (lower is None or lower <= effect) and (upper is None or effect <= upper)


def _excluded(cell: Cell) -> float | None:
    lower, upper = cell.running_relative_lower, cell.running_relative_upper
    return None if lower is None or upper is None or not lower < 0.0 < upper else max(-lower, upper)
