"""Planning: how many units and days an experiment takes, before it starts."""

from collections.abc import Sequence
from math import isfinite
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import msgspec

from evaluation.significance.sample_size import (
    POWER,
    PowerCurve,
    SampleSize,
    Supply,
    baseline_fault,
    power_curves,
    sample_sizes,
)
from peekproof.plots import chart
from peekproof.tabled import Tabled
from pipeline.errors import PeekproofError
from pipeline.offline.planning import PLAIN, plain
from pipeline.pictures.drawing import percent
from pipeline.pictures.powers import powers
from schemas.catalog import Baseline

if TYPE_CHECKING:
    import pyarrow
    from altair import TopLevelMixin


def plan(
    *,
    baseline: float,
    effect: float,
    deviation: float | None = None,
    daily_units: float | None = None,
    units: int | None = None,
    power: float = POWER,
    arms: int = 2,
) -> "PlannedSample":
    """How many units it takes to see an `effect`, which is relative: 0.05 is five per cent of the baseline.

    `baseline` is the mean of a unit of control: 0.115 of a conversion; of anything else with its standard `deviation`.
    `daily_units` meet the experiment each day, for days; `units` are at hand, for what they can show. `arms` are
    variants of equal weight, control among them. Raises PeekproofError for what cannot be planned.

    >>> import peekproof as pp
    >>> pp.plan(baseline=0.115, effect=0.05, daily_units=20_000)
    to see +5.0% of 0.115 with a power of 80%:
      98,730 units, 4.9 days, by a t-test that is read once
      163,645 units, 8.2 days, watched all the time
    >>> planned = pp.plan(baseline=40, deviation=90, effect=0.03, units=100_000)
    >>> planned.to_pandas()[["test", "units", "power_at_hand"]].round(2)
             test   units  power_at_hand
    0      t-test  176602           0.56
    1  sequential  292714           0.21
    """
    said = {"baseline": baseline, "effect": effect, "deviation": deviation, "daily_units": daily_units}
    for name, value in (said | {"units": units, "power": power, "arms": arms}).items():
        _refuse_unlike(name, value)
    if not 0.05 <= power <= 0.999:
        raise PeekproofError(f"power={power:g}: it is a chance, from 0.05 to 0.999")
    if abs(effect) >= 1.0:
        raise PeekproofError(
            f"effect={effect:g} is {effect:+.0%}; write {effect / 100:g} for {effect:g} %. What more than doubles "
            "takes no more units than 0.99"
        )
    if arms < 2:
        raise PeekproofError(f"arms={arms}: there are at least two, control among them")
    flag, metrics = plain(effect, arms, is_conversion=deviation is None)
    given = Baseline(mean=baseline, deviation=deviation)
    if fault := baseline_fault(metrics[PLAIN].definition, given):
        raise PeekproofError(f"{fault}; of what is no conversion give its deviation")
    if deviation is None and not 0.0 < baseline * (1.0 + effect) < 1.0:
        raise PeekproofError(
            f"a rate of {baseline:g} cannot change by {effect:+.0%}: effects are relative to the baseline"
        )
    flag = msgspec.structs.replace(flag, analysis=msgspec.structs.replace(flag.analysis, baseline=given))
    sizes = [*sample_sizes(flag, metrics, {PLAIN: given}, power, Supply(daily_units, units))]
    return PlannedSample(sizes, [*power_curves(flag, metrics, {PLAIN: given}, power)])


def _refuse_unlike(name: str, value: object) -> None:
    """Raise PeekproofError where an argument is no number, or of units none that there can be."""
    if value is None and name in _OPTIONAL:
        return
    kind, told = (Integral, "a whole number") if name in {"units", "arms"} else (Real, "a number")
    if not isinstance(value, kind) or not isfinite(float(value)):
        raise PeekproofError(f"{name}={value!r}: it is {told}, such as {_SUCH[name]}")
    if name in _OF_UNITS and value <= 0:
        raise PeekproofError(f"{name}={value!r}: it is above 0, such as {_SUCH[name]}; leave it out if unknown")


_SUCH = {
    "baseline": "0.115",
    "effect": "0.05",
    "deviation": "90",
    "daily_units": "20_000",
    "units": "100_000",
    "power": "0.8",
    "arms": "2",
}
_OPTIONAL = ("deviation", "daily_units", "units")
_OF_UNITS = ("daily_units", "units")


class PlannedSample(Tabled):
    """What a comparison takes: `comparisons`, one for each treatment, each by a t-test and watched all the time."""

    def __init__(self, comparisons: Sequence[SampleSize], curves: Sequence[PowerCurve]) -> None:
        self.comparisons = tuple(comparisons)
        self._curves = tuple(curves)

    def to_arrow(self) -> "pyarrow.Table":
        """A row for each treatment and test: units of all variants, days until the last one's window has closed, and
        what the units at hand show: the power, and the smallest effect that is seen.
        """
        import pyarrow as pa  # noqa: PLC0415 (a plan is told without)

        return pa.Table.from_pylist([row for each in self.comparisons for row in _rows(each)])

    def plot(self) -> "TopLevelMixin":
        """Power against units, as a chart of Altair. Wants the extra `peekproof[plot]`."""
        return chart(powers(self.comparisons[:1], self._curves[:1]))  # arms of equal weight are alike

    def __repr__(self) -> str:
        first = self.comparisons[0]
        lines = [f"to see {percent(first.effect)} of {first.mean:g} with a power of {first.target:.0%}:"]
        for needs, how in ((first.fixed, "by a t-test that is read once"), (first.sequential, "watched all the time")):
            lines.append(f"  {needs.total:,} units, {'' if needs.days is None else f'{needs.days:,.1f} days, '}{how}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        found = [row for each in self.comparisons for row in _rows(each)]
        names = [name for name in found[0] if any(row[name] is not None for row in found)]
        body = "".join(f"<tr>{''.join(f'<td>{_cell(row[name])}</td>' for name in names)}</tr>" for row in found)
        head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in names)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _rows(size: SampleSize) -> list[dict[str, Any]]:
    return [
        {
            "treatment": size.treatment,
            "test": test,
            "control_units": needs.control,
            "treatment_units": needs.treatment,
            "units": needs.total,
            "days": needs.days,
            "power_at_hand": needs.power,
            "smallest_effect_at_hand": needs.minimum_effect,
        }
        for test, needs in (("t-test", size.fixed), ("sequential", size.sequential))
    ]


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:,.3g}"
        case int():
            return f"{value:,}"
    return str(value)
