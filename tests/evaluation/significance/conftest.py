"""What the tests of the inference share: runs and aggregates, made by hand."""

import msgspec
import numpy as np
import pytest

from evaluation.catalog.in_force import MetricInForce, RunInForce
from schemas.aggregate import Aggregate, ArmCount, MetricHealth, Sums
from schemas.catalog import Allocation, Analysis, Flag, Goal, Metric, Variant
from schemas.numbers import exact


def make_run(goals, types=None, windows=None, weights=({"control": 1, "treatment": 1},), versions=None, **run):
    """A run whose metrics are those of the goals; `weights` of each allocation, `definitions`: fields of metrics."""
    types, windows, versions = types or {}, windows or {}, versions or {}
    definitions = run.pop("definitions", {})
    metrics = {
        goal.metric: MetricInForce(
            msgspec.convert(
                {
                    "key": goal.metric,
                    "owner": "shop",
                    "type": types.get(goal.metric, "conversion"),
                    "event": "order",
                    "property": "price" if types.get(goal.metric) == "sum" else None,
                    "window": windows.get(goal.metric, "10s"),
                    "scale": 2,
                    **definitions.get(goal.metric, {}),
                },
                Metric,
            ),
            versions.get(goal.metric, 1),
            0,
        )
        for goal in goals
    }
    variants = tuple(Variant(key=key) for key in dict.fromkeys(key for each in weights for key in each))
    analysis, breakdowns = msgspec.convert(run.pop("analysis", {}), Analysis), run.pop("breakdowns", ())
    return RunInForce(
        **{
            "flag": "checkout",
            "key": "exp-1",
            "salt": "s",
            "allocations": tuple(Allocation(flag_version=i + 1, rollout=100, weights=w) for i, w in enumerate(weights)),
            "started": 0,
            "completed": None,
            "since": dict.fromkeys(metrics, 0),
            "definition": Flag(
                key="checkout",
                owner="shop",
                variants=variants,
                metrics=tuple(goals),
                analysis=analysis,
                breakdowns=breakdowns,
            ),
            "metrics": metrics,
            **run,
        }
    )


def make_aggregate(sums, partition=0, units=None, **fields):
    """One partition's aggregate.

    `sums` maps (metric, reading, variant), with an allocation and a segment behind them if need be, to (n, nonzero,
    sum, squares), of several numbers per unit (n, nonzero, sums, products); `units` maps (allocation, variant) to
    units, by default the largest n of any metric; `spreads` the same of percentiles, by metric, reading and variant.
    """
    rows, counted = [], {}
    versions = fields.pop("versions", {})
    for (metric, reading, variant, *rest), (n, nonzero, total, squares) in sums.items():
        allocation, segment = (*rest, *(0, "all")[len(rest) :])
        first, second = (
            [exact(int(each)) for each in np.atleast_1d(np.array(values, object))] for values in (total, squares)
        )
        version = versions.get(metric, 1)
        rows.append(Sums(metric, version, reading, allocation, variant, segment, n, nonzero, first, second))
        counted[allocation, variant] = max(n, counted.get((allocation, variant), 0))
    spreads = fields.pop("spreads", {})
    rows = [msgspec.structs.replace(row, spread=spreads.get((row.metric, row.reading, row.variant))) for row in rows]
    withheld = fields.pop("withheld", {})
    return Aggregate(
        **{
            "flag": "checkout",
            "run": "exp-1",
            "partition": partition,
            "offset": 10,
            "watermark": 1_000,
            "catalog": 3,
            "arms": [ArmCount(*key, count) for key, count in (units or counted).items()],
            "sums": rows,
            "metrics": [MetricHealth(metric, 0, 0, 0, 0, count) for metric, count in withheld.items()],
            **fields,
        }
    )


def make_conversions(control, treatment, metric="orders", readings=("settled", "live")):
    """Sums of one conversion metric from (n, conversions) of each arm."""
    return {
        (metric, reading, variant): (n, x, x, x)
        for reading in readings
        for variant, (n, x) in (("control", control), ("treatment", treatment))
    }


@pytest.fixture(scope="session")
def run_of():
    """The function that makes a run."""
    return make_run


@pytest.fixture(scope="session")
def aggregate_of():
    """The function that makes an aggregate."""
    return make_aggregate


@pytest.fixture(scope="session")
def conversions():
    """The function that makes the sums of a conversion metric."""
    return make_conversions


@pytest.fixture(scope="session")
def primary():
    """The goal of the metric `orders`."""
    return Goal(metric="orders", role="primary")
