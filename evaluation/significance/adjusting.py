"""Adjusting: what is left out of units' numbers before arms are compared: in the numbers that decide, and beside them.

What a document asks for decides. Beside it stand the plain numbers, or where they decide, those with CUPED.
"""

from typing import NamedTuple

from evaluation.catalog.in_force import MetricInForce
from schemas.catalog import Analysis
from schemas.look import Adjusted


class Adjusting(NamedTuple):
    """Whether the past is left out, and what segments explain."""

    cuped: bool = False
    strata: bool = False

    @property
    def name(self) -> Adjusted:
        """As cells tell it."""
        if self.cuped:
            return "CUPED and strata" if self.strata else "CUPED"
        return "strata" if self.strata else "none"


def deciding(analysis: Analysis, metric: MetricInForce) -> Adjusting:
    """What the numbers leave out that decide. Ratios and percentiles are those of all units: they have no strata."""
    is_mean = not metric.parts and metric.definition.percentile is None
    return Adjusting(analysis.cuped and metric.lookback is not None, analysis.strata is not None and is_mean)


def beside(analysis: Analysis, metric: MetricInForce) -> Adjusting | None:
    """What the numbers beside these leave out; None: there are no others."""
    if any(deciding(analysis, metric)):
        return Adjusting()
    return None if metric.lookback is None else Adjusting(cuped=True)
