"""The numbers that Amplitude's documentation works out by hand, metric by metric, through the pure stages.

Source: "Value calculation in Experiment Analysis charts", amplitude.com/docs. U1 to U4 are exposed, U5 is not.
"""

from fractions import Fraction

import pytest

from schemas.catalog import Step

DAY = 86_400_000
HOUR = 3_600_000
EXPOSED = (1, 2, 3, 4)


def per_unit(log, metric):
    """The mean over all exposed units, exactly."""
    (sums,) = [each for each in log.aggregate().sums if each.metric == metric and each.reading == "live" and each.n]
    (variable,) = log.catalogs[0].flags["flag"].runs[0].metrics[metric].variables
    return Fraction(int(sums.first[0]), sums.n * 10**variable.places)


def log_of(make, metrics, events):
    """A log of exposures at time 0, hour by hour the events (event type, unit, value)."""
    log = make.Log(make.catalog(5, [make.run("exp-1", metrics)]), horizon=HOUR)
    log.send(*(make.exposure(unit, 0) for unit in EXPOSED))
    for hour, (event, unit, value) in enumerate(events, 1):
        log.send(*log.happened(event, unit, hour * HOUR, value))
    return log


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("conversion", Fraction(2, 4)),
        ("count", Fraction(3, 4)),
        ("sum", Fraction(30, 4)),
        ("mean", (Fraction(15, 2) + 15) / 4),
    ],
)
def test_conversions_totals_sum_and_average_of_a_property(make, kind, expected):
    metric = make.metric("m", kind, "7d", event="ME", scale=2)
    purchases = [("ME", 1, 500), ("ME", 1, 1000), ("ME", 2, 1500), ("ME", 5, 2000)]

    log = log_of(make, [metric], purchases)

    assert per_unit(log, "m") == expected


@pytest.mark.parametrize(("counting", "expected"), [("uniques", Fraction(2, 4)), ("totals", Fraction(3, 4))])
def test_funnels_count_users_and_completed_sequences(make, counting, expected):
    steps = (Step(event="ME1"), Step(event="ME2"))
    metric = make.metric("m", "funnel", "7d", steps=steps, counting=counting)
    events = [
        *[("ME1", 1, 0), ("ME2", 1, 0), ("ME2", 1, 0)],  # the second ME2 follows no ME1 of its own
        *[("ME1", 2, 0), ("ME2", 2, 0), ("ME1", 2, 0), ("ME2", 2, 0)],
        *[("ME2", 3, 0), ("ME1", 3, 0)],  # in the wrong order
        *[("ME1", 5, 0), ("ME2", 5, 0)],  # not exposed
    ]

    log = log_of(make, [metric], events)

    assert per_unit(log, "m") == expected


def test_retention_counts_users_who_return_in_the_nth_day_after_their_start(make):
    metric = make.metric("m", "retention", "7d", event="return", start=Step(event="start"), nth=1)
    log = log_of(make, [metric], [])
    starts = {1: HOUR, 2: 2 * HOUR, 3: HOUR, 5: HOUR}
    returns = {1: HOUR + DAY, 2: 2 * HOUR + 2 * DAY - 1, 3: HOUR + 2 * DAY, 4: HOUR + DAY, 5: HOUR + DAY}
    for event, times in (("start", starts), ("return", returns)):
        for unit, time in times.items():
            log.send(*log.happened(event, unit, time))

    assert per_unit(log, "m") == Fraction(2, 4)
