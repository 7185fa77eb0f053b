"""Planning: an experiment that has no document yet, of which somebody asks how many units it takes."""

import msgspec

from evaluation.catalog.in_force import MetricInForce
from pipeline.catalog.types import definition_of
from pipeline.errors import PeekproofError
from schemas.catalog import Flag, Metric

PLAIN = "metric"  # the name of its one metric


def plain(effect: float, arms: int, *, is_conversion: bool) -> tuple[Flag, dict[str, MetricInForce]]:
    """An experiment of one metric and variants of equal weight. Raises PeekproofError for an effect of 0."""
    kind = {"type": "conversion"} if is_conversion else {"type": "sum", "property": "value"}
    metric = definition_of({"key": PLAIN, "owner": "-", "event": "event", "window": "none", **kind}, Metric)
    definition = {
        "key": "plan",
        "owner": "-",
        "variants": [{"key": "control"}, *({"key": f"treatment-{number}"} for number in range(1, arms))],
        "metrics": [{"metric": PLAIN, "role": "primary", "direction": "increase" if effect > 0.0 else "decrease"}],
    }
    return with_effect(definition_of(definition, Flag), effect), {PLAIN: MetricInForce(metric, 1, 0)}


def with_effect(flag: Flag, effect: float) -> Flag:
    """The primary goal is to see this one. Raises PeekproofError for an effect of 0."""
    if not effect:
        raise PeekproofError(
            "an effect of 0: no number of units shows that there is no effect; give the smallest that matters"
        )
    goals = [
        msgspec.structs.replace(goal, minimum_effect=abs(effect)) if goal.role == "primary" else goal
        for goal in flag.metrics
    ]
    return msgspec.structs.replace(flag, metrics=tuple(goals))
