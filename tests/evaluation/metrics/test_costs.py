"""What one unit, or one metric, may cost the others: CPU, compared with an even load of the same size."""

import time

import numpy as np
import pytest

from schemas.catalog import Breakdown, Cuped, Step

HOUR = 3_600_000
START = 10 * HOUR  # ms; every unit's first exposure
EVENTS = 20_000
UNITS = 1_000
HOT = 7  # a unit like `anonymous`
SAME = 99  # an insert id like `undefined`
FOLD = 5_000  # rows of a message

METRICS = {
    "conversion": {},
    "count": {},
    "sum": {},
    "mean": {},
    "funnel": {"steps": (Step(event="view"), Step(event="buy"))},
    "retention": {"start": Step(event="view"), "period": "30m"},
}


class Store:
    """A partition with one run, whose units have all entered."""

    def __init__(self, make, metrics, breakdowns=()):
        self.make = make
        metrics = [make.metric(key, version=1, **fields) for key, fields in metrics.items()]
        self.log = make.Log(make.catalog(1, [make.run("exp-1", metrics, breakdowns=breakdowns)], metrics), horizon=HOUR)

    def expose(self, moments, unit=None, segments=0):
        """CPU seconds of folding one message of exposures: of one unit, or of one unit after the other."""
        return self._fold(
            self.make.exposure(unit or 1 + i, int(moment), name=i, segments=segments)
            for i, moment in enumerate(moments)
        )

    def happen(self, moments, unit=None, name=None):
        """CPU seconds of folding these events, of one unit or spread, with one insert id or one each."""
        facts = len(self.log.facts)
        rows = [
            self.make.event(unit or 1 + i % UNITS, int(moment), value=i % 100, name=name or i, fact=i % facts)
            for i, moment in enumerate(moments)
        ]
        return sum(self._fold(rows[begin : begin + FOLD]) for begin in range(0, len(rows), FOLD))

    def tell(self):
        """CPU seconds of telling the sums."""
        begin = time.process_time()
        self.log.partition.aggregates()
        return time.process_time() - begin

    def _fold(self, rows):
        message = self.log.message(list(rows), catalog=1)
        begin = time.process_time()
        self.log.partition.fold(self.log.partition.offset, message, self.log.catalog_at)
        return time.process_time() - begin


@pytest.fixture
def store(make):
    def store(kind, **fields):
        return Store(make, {kind: METRICS[kind] | {"kind": kind, "window": "24h"} | fields})

    return store


def moments(begin=START, seconds=3_000):
    """Times in any order."""
    return begin + np.random.default_rng(1).integers(0, seconds * 1_000, EVENTS)


def is_below(limit, ratio):
    """Whether one of three measurements is: what else the machine does only adds to them."""
    return any(ratio() < limit for _ in range(3))


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("name", [None, SAME])
def test_a_unit_with_very_many_events_costs_as_much_as_many_units(store, kind, name):
    def ratio():
        even, hot = store(kind), store(kind)
        for each in (even, hot):
            each.expose(np.full(UNITS, START))
            each.happen(moments()[:10])
        spread, of_one = even.happen(moments()), hot.happen(moments(), unit=HOT, name=name)
        assert hot.log.health(kind).events > EVENTS / 2
        return of_one / spread

    assert is_below(8 if name else 5, ratio)  # of one id those of the same minute are looked at


@pytest.mark.parametrize("when", [START, START - HOUR + 1])
def test_a_covariate_costs_as_much_of_a_unit_with_very_many_events(store, when):
    def ratio():
        even, hot = (store("sum", cuped=Cuped(lookback="14h")) for _ in range(2))
        for each in (even, hot):
            each.expose(np.full(UNITS, START))
            each.happen(moments()[:10])
        spread = even.happen(moments(when))
        return hot.happen(moments(when), unit=HOT) / spread

    assert is_below(5, ratio)


@pytest.mark.parametrize("kind", ["count", "funnel"])
def test_exposures_that_come_backwards_have_the_events_of_a_unit_counted_again_once(store, kind):
    backwards = START + np.arange(UNITS)[::-1]

    def ratio():
        even, hot = store(kind), store(kind)
        for each in (even, hot):
            each.expose([START + HOUR], unit=HOT)
            each.happen(moments(), unit=HOT)
        once = even.expose([START + UNITS], unit=HOT) + even.expose(backwards)
        again = hot.expose(backwards, unit=HOT)
        assert hot.log.aggregate().arms[0].units == 1
        return again / once

    assert is_below(10, ratio)


def test_values_of_a_breakdown_that_no_unit_has_cost_nothing(make):
    def split(values):
        named = tuple(f"v{number}" for number in range(values))
        metrics = {f"m{number}": {"kind": "sum", "window": "24h"} for number in range(8)}
        return Store(make, metrics, tuple(Breakdown(property=f"p{number}", values=named) for number in range(10)))

    def ratio():
        few, many = split(1), split(50)
        for each in (few, many):
            each.expose(np.full(UNITS, START), segments=1)
            each.tell()
        counted, told = few.happen(moments()), few.tell()
        return max(many.happen(moments()) / counted, many.tell() / told)

    assert is_below(5, ratio)
