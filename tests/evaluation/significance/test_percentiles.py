"""Percentiles of two arms, by how their values are spread."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from evaluation.columns.buckets import bucket_of
from evaluation.significance import mixture
from evaluation.significance.look import look
from evaluation.significance.moments import ArmMoments
from evaluation.significance.percentiles import Compared
from schemas.aggregate import Spread
from schemas.catalog import Goal

BUCKETS = np.vectorize(bucket_of, otypes=[np.int64])


def arm_of(values, unit=None):
    """The sums of an arm: one value a unit, or those of the events of units 0, 1, 2, …"""
    buckets = BUCKETS(values)
    if unit is None:
        n = len(values)
        its = sorted(Counter(buckets.tolist()).items())
        return ArmMoments(n, n, (0,), (0,), (spread_of([(bucket, count, 0, 0) for bucket, count in its]),))
    events = np.bincount(unit)
    bins, rows = {}, sorted(zip(unit.tolist(), buckets.tolist(), strict=True))
    below, last = 0, -1
    for (of, bucket), c in sorted(Counter(rows).items()):
        below = below if of == last else 0
        known = bins.get(bucket, (0, 0, 0))
        bins[bucket] = known[0] + c, known[1] + c * (2 * below + c), known[2] + c * int(events[of])
        below, last = below + c, of
    its = spread_of([(bucket, *sums) for bucket, sums in sorted(bins.items())])
    return ArmMoments(len(events), int((events > 0).sum()), (int(events.sum()),), (int((events**2).sum()),), (its,))


def spread_of(rows):
    """From (bucket, values, squares, products)."""
    steps = [rows[0][0], *(after[0] - before[0] for before, after in pairwise(rows))]
    _, values, squares, products = (list(column) for column in zip(*rows, strict=True))
    return Spread(steps, values, squares, products) if any(squares) else Spread(steps, values)


def drawn(kind, rng, n):
    """Values of n units, and of events whose they are."""
    if kind == "visits":
        return rng.poisson(2.0, n), None
    if kind == "spending":
        return np.rint(1e6 * rng.lognormal(0.0, 1.0, n)).astype(np.int64), None
    unit = np.repeat(np.arange(n), rng.geometric(0.3, n))
    speed = rng.normal(0.0, 1.0, n)[unit]  # a device is slow or not
    return np.rint(1e6 * np.exp(speed + rng.normal(0.0, 0.4, len(unit)))).astype(np.int64), unit


@pytest.mark.parametrize(
    ("kind", "q", "effect"),
    [("spending", 0.9, 1.0), ("spending", 0.5, 1.3), ("visits", 0.5, 1.0), ("load times", 0.9, 1.0)],
)
def test_a_difference_that_is_watched_is_seldom_excluded(kind, q, effect):
    rng, experiments, excluded, spared = np.random.default_rng(7), 60, 0, 0
    truth = (effect - 1.0) * 1e6  # of the median of lognormal values
    for _ in range(experiments):
        arms = [drawn(kind, rng, 2000) for _ in range(2)]
        arms[0] = np.rint(arms[0][0] * effect).astype(np.int64), arms[0][1]
        is_excluded = is_naive = False
        for n in (250, 400, 650, 1000, 1500, 2000):
            its = [
                arm_of(values[:n]) if unit is None else arm_of(values[unit < n], unit[unit < n])
                for values, unit in arms
            ]
            compared = Compared([tuple(its)], q)
            ratio = float(mixture.mixing_ratio(compared.units, 4000, 0.05))
            said = compared.excess(ratio, 0.05, 1.0, one_sided=False)
            assert (said.log_e > -np.log(0.05)) == (said.lower > 0.0 or said.upper < 0.0)
            is_excluded |= said.lower > truth or said.upper < truth
            if kind == "load times":  # as if events were drawn one by one
                naive = Compared([tuple(arm_of(values[unit < n]) for values, unit in arms)], q)
                z = naive.treatment.at(q) - naive.control.at(q)
                is_naive |= z**2 > 1.96**2 * (naive.treatment.quantile.variance + naive.control.quantile.variance)
        excluded += is_excluded
        spared += is_naive
    assert excluded <= 0.05 * experiments + 3 * np.sqrt(0.05 * 0.95 * experiments)
    if kind == "load times":
        assert spared > 0.5 * experiments


def test_of_units_the_estimate_is_the_order_statistic_and_the_error_that_of_the_binomial():
    values = np.random.default_rng(1).permutation(np.arange(1, 501))  # each has a bucket of its own
    compared = Compared([(arm_of(values), arm_of(values))], 0.9)

    assert compared.treatment.at(0.9) == 450.0
    assert compared.treatment.variance == pytest.approx(0.9 * 0.1 / 500)
    assert compared.treatment.quantile.known == pytest.approx(50.0)


def test_events_of_one_unit_count_as_the_variance_of_a_ratio_says():
    rng = np.random.default_rng(3)
    values, unit = drawn("load times", rng, 800)
    compared = Compared([(arm_of(values, unit), arm_of(values, unit))], 0.75)

    threshold = compared.treatment.at(0.75)
    m = np.bincount(unit)
    k = np.bincount(unit, values <= threshold)
    F = k.sum() / m.sum()
    expected = np.var(k - F * m, ddof=1) * len(m) / m.sum() ** 2
    assert compared.treatment.variance == pytest.approx(expected * 0.75 * 0.25 / (F * (1 - F)), rel=0.01)


@pytest.mark.parametrize("method", ["sequential", "t-test", "bayesian"])
def test_a_percentile_in_a_look_is_told_in_its_own_unit_and_found(run_of, aggregate_of, method):
    rng = np.random.default_rng(5)
    goals = [
        Goal(metric="slow", role="primary", direction="decrease"),
        Goal(metric="median", role="guardrail", margin=0.5),
    ]
    definitions = {
        "slow": {"percentile": 90.0, "of": "units", "property": "ms"},
        "median": {"percentile": 50.0, "of": "units", "property": "ms", "scale": 6},
    }
    run = run_of(
        goals,
        dict.fromkeys(definitions, "percentile"),
        definitions=definitions,
        analysis={"method": method, "planned_units": 4000},
    )
    values = {arm: rng.lognormal(5.0, 0.5, 2000) * by for arm, by in (("control", 1.0), ("treatment", 0.7))}
    spreads = {
        (metric, reading, arm): arm_of(np.rint(each * 10**scale).astype(np.int64)).spreads[0]
        for metric, scale in (("slow", 2), ("median", 6))
        for reading in ("settled", "live")
        for arm, each in values.items()
    }
    sums = dict.fromkeys(spreads, (2000, 2000, 0, 0))

    cells = {
        cell.metric: cell
        for cell in look(run, [aggregate_of(sums, spreads=spreads)], None).cells
        if cell.reading == "settled"
    }

    slow = cells["slow"]
    assert slow.status == "ok"
    assert slow.control_mean == pytest.approx(np.quantile(values["control"], 0.9), rel=0.004)
    assert slow.lower < np.quantile(values["treatment"], 0.9) - np.quantile(values["control"], 0.9) < slow.upper < 0.0
    assert slow.relative_lower < -0.3 < slow.relative_upper < 0.0
    assert slow.judgement == "better"
    assert cells["median"].control_mean == pytest.approx(np.quantile(values["control"], 0.5), rel=0.004)
    assert cells["median"].judgement == "safe" or method == "bayesian"


def test_a_percentile_that_few_values_exceed_is_gated(run_of, aggregate_of):
    definitions = {"slow": {"percentile": 99.0, "of": "units", "property": "ms"}}
    run = run_of([Goal(metric="slow")], {"slow": "percentile"}, definitions=definitions)
    values = np.arange(1, 2001)
    spreads = {("slow", "settled", arm): arm_of(values).spreads[0] for arm in ("control", "treatment")}

    cells = look(run, [aggregate_of(dict.fromkeys(spreads, (2000, 2000, 0, 0)), spreads=spreads)], None).cells

    assert {cell.status for cell in cells if cell.reading == "settled"} == {"gated"}
    assert {cell.status for cell in cells if cell.reading == "live"} == {"no data"}
