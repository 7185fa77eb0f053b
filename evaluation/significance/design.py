"""Design: a comparison before its start: how many units an effect takes to be seen, and what is seen with so many.

By a single look, as a t-test is read, and by the sequential test, which is watched all the time: it crosses in some
experiments before the units are in that its last look alone would need (`power.earlier`).
"""

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.columns.arrays import Floats
from evaluation.significance import gates, power
from evaluation.significance.bisection import edge

FEW = 25.0  # expected conversions of an arm, up to which a power by the normal distribution is beside the test's own
MOST_ENUMERATED = 10_000  # units of an arm


class Design(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of control per unit: its `mean` and `deviation`; of a conversion its rate, and None.

    `ratio` is the treated units per unit of control, `alpha` that of the two-sided test which is as sharp, `planned`
    the N* that tunes the sequential test. Effects are relative to the mean's size (a mean of refunds is below 0), above
    0, and upwards unless it `is_loss`. Units are those of treatment and control together.
    """

    mean: float
    deviation: float | None = None
    is_loss: bool = False
    ratio: float = 1.0
    alpha: float
    planned: float

    def units(self, effect: float, target: float, *, watched: bool) -> float:
        """How many it takes to see the effect with the power `target`."""
        difference = self._difference(effect)
        if not watched:
            control, treated = self._variances(effect)
            units = (
                power.fixed_units(difference, (control, treated), self.ratio, self.alpha, target)
                if self.deviation is None
                else power.t_units(difference, control, self.ratio, self.alpha, target)
            )
            return float(units) * (1.0 + self.ratio)
        alone = power.sequential_growth(difference, self._variance(effect), 1.0, self.planned, self.alpha, power=target)
        return max(self._gate(), float(alone * power.earlier(alone, self.planned)))

    def exact_power(self, effect: float, control: int, treated: int) -> float | None:
        """The chance that Boschloo's test sees the effect; None where as many convert, and don't, as the normal
        distribution wants, where it takes too long to enumerate, and of what is no conversion.
        """
        if self.deviation is not None:
            return None
        rate = self.mean + float(self._difference(effect))
        fewest = min(min(share, 1.0 - share) * units for share, units in ((self.mean, control), (rate, treated)))
        if not 0.0 < rate < 1.0 or fewest > FEW or max(control, treated) > MOST_ENUMERATED:
            return None
        return power.boschloo_power(rate, treated, self.mean, control, self.alpha)

    def power(self, effect: ArrayLike, units: float, *, watched: bool) -> Floats:
        """The chance that the effect has been seen when so many units are in."""
        difference, variance = self._difference(effect), self._variance(effect)
        if not watched:
            freedom = np.inf if self.deviation is None else max(1.0, units - 2.0)
            return power.fixed_power(difference, variance / units, self.alpha, freedom)
        alone = power.as_single_look(units, self.planned)
        seen = power.sequential_power(difference, variance / alone, alone, self.planned, self.alpha)
        return np.where(units >= self._gate(), seen, 0.0)

    def effect(self, units: float, target: float, *, watched: bool) -> float | None:
        """The smallest effect that is seen with the power `target` when so many units are in; None: there is none."""

        def suffices(effect: Floats) -> NDArray[np.bool_]:
            return np.asarray(self.power(effect, units, watched=watched) >= target)

        most = np.array(self._most(units))
        return float(edge(np.zeros(()), most, suffices)) if suffices(most) else None

    def _difference(self, effect: ArrayLike) -> Floats:
        return abs(self.mean) * np.asarray(effect, np.float64) * (-1.0 if self.is_loss else 1.0)

    def _variances(self, effect: ArrayLike) -> tuple[Floats, Floats]:
        """Of one unit of control, and of one that is treated."""
        if self.deviation is not None:
            return np.square(self.deviation), np.square(self.deviation)
        rate = self.mean + self._difference(effect)
        return np.asarray(self.mean * (1.0 - self.mean)), np.maximum(0.0, rate * (1.0 - rate))

    def _variance(self, effect: ArrayLike) -> Floats:
        """Of the difference, when one unit is in: that of N units is an N-th of it."""
        control, treated = self._variances(effect)
        return (1.0 + self.ratio) * (control + treated / self.ratio)

    def _most(self, units: float) -> float:
        """The largest effect in question."""
        if self.deviation is None:
            return 1.0 if self.is_loss else 1.0 / self.mean - 1.0
        return float(power.BEYOND_ANY * np.sqrt(self._variance(0.0) / units)) / abs(self.mean)

    def _gate(self) -> float:
        """Units that open the gates; of a value that is no conversion nobody said how often it is 0."""
        smaller = min(1.0, self.ratio) / (1.0 + self.ratio)
        converted = gates.CONVERTED / self.mean if self.deviation is None else 0.0
        return max(gates.EXPOSURES, converted) / smaller
