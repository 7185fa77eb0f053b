"""Rules: what a unit's records come to."""

from dataclasses import replace
from fractions import Fraction
from itertools import permutations

import msgspec
import pytest

from evaluation.catalog.logs import logs_after
from evaluation.metrics.checkpoint import FORMAT
from evaluation.metrics.packing import pack, unpack
from evaluation.metrics.partition import Partition
from evaluation.metrics.sources import MissingError
from schemas.aggregate import ArmPart
from schemas.catalog import Cuped, Step
from schemas.decoding import NoMessageError
from schemas.logs import Gap, Log, Logs
from schemas.numbers import BEYOND
from schemas.pair import Pair, loose
from schemas.topics import IDENTITIES
from schemas.units import Example, RowKind

LARGEST = BEYOND - 1

# Arms: 0 and 1 are a and b of exp-1's first allocation, 2 and 3 those of its second, 4 and 5 those of exp-2.


@pytest.fixture
def log(make):
    """A run with one metric: purchases within 300 ms of the entry. The horizon is 100 ms."""
    return make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m")])]))


@pytest.fixture
def revenue(make):
    """A run with one metric: the sum of prices."""
    return make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m", "sum")])]))


def test_a_unit_without_events_counts_as_zero(log, make):
    log.send(make.exposure(1, 10))

    assert log.sums() == {(0, "a"): (1, 0, 0, 0)}


def test_an_event_counts_from_the_entry_until_before_the_window_ends(log, make):
    log.send(make.exposure(1, 10))
    log.send(*(make.event(1, time) for time in (9, 10, 309, 310)))

    assert log.sums() == {(0, "a"): (1, 1, 2, 4)}


def test_a_metric_without_window_counts_for_ever_and_never_settles(make):
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m", window="none")])]))
    log.send(make.exposure(1, 10)).send(make.event(1, 10**12), watermark=10**12)

    assert log.sums() == {(0, "a"): (1, 1, 1, 1)}
    assert not [each for each in log.aggregate().sums if each.reading == "settled"]


def test_a_conversion_is_one_however_often(make):
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m", "conversion")])]))
    log.send(make.exposure(1, 10), *(make.event(1, time) for time in (11, 12, 13)))

    assert log.sums() == {(0, "a"): (1, 1, 1, 1)}
    assert log.health().events == 3


def test_a_sum_adds_values_and_squares_the_unit_s_total(revenue, make):
    revenue.send(make.exposure(1, 10), make.event(1, 11, value=250), make.event(1, 12, value=-50))

    assert revenue.sums() == {(0, "a"): (1, 1, 200, 40_000)}


def test_events_before_their_exposure_are_claimed_by_it(log, make):
    log.send(make.event(1, 11)).send(make.event(1, 9)).send(make.exposure(1, 10))

    assert log.sums() == {(0, "a"): (1, 1, 1, 1)}


def test_an_earlier_exposure_moves_the_entry_and_the_events_with_it(log, make):
    log.send(make.exposure(1, 50)).send(make.event(1, 20), make.event(1, 60), make.event(1, 340))
    assert log.sums() == {(0, "a"): (1, 1, 2, 4)}

    log.send(make.exposure(1, 10))

    assert log.sums() == {(0, "a"): (1, 1, 2, 4)}
    assert log.health().events == 2


def test_of_exposures_at_one_time_the_smallest_id_is_the_entry(log, make):
    log.send(make.exposure(1, 10, arm=0, name=(1 << 64) - 1)).send(make.exposure(1, 10, arm=3, name=7))

    assert log.sums() == {(1, "b"): (1, 0, 0, 0)}


def test_one_exposure_answered_under_two_allocations_belongs_to_the_first_allocation(log, make):
    log.send(make.exposure(1, 10, arm=3, name=7)).send(make.exposure(1, 10, arm=0, name=7))

    assert log.sums() == {(0, "a"): (1, 0, 0, 0)}
    assert log.aggregate().reassigned == 1


def test_a_metric_that_came_with_the_start_covers_entries_from_before_it_too(make):
    metrics = [make.metric("first"), make.metric("later")]
    log = make.Log(make.catalog(5, [make.run("exp-1", metrics, started=100, since={"later": 150})]))

    log.send(make.exposure(1, 90), make.event(1, 95), make.exposure(2, 160))

    assert log.sums("first") == {(0, "a"): (2, 1, 1, 1)}
    assert log.sums("later") == {(0, "a"): (1, 0, 0, 0)}


def test_two_variants_under_one_allocation_withdraw_the_unit_for_ever(log, make):
    log.send(make.exposure(1, 10), make.event(1, 11)).send(make.exposure(1, 20, arm=1))
    log.send(make.exposure(1, 5), make.event(1, 30))

    assert log.sums() == {}
    assert log.aggregate().jumpers == 1
    assert sum(arm.units for arm in log.aggregate().arms) == 0
    assert log.health().events == 0


def test_two_variants_under_two_allocations_leave_the_unit_where_it_was_first(log, make):
    log.send(make.exposure(1, 20, arm=3)).send(make.exposure(1, 10, arm=0)).send(make.exposure(1, 30, arm=3))

    assert log.sums() == {(0, "a"): (1, 0, 0, 0)}
    assert (log.aggregate().reassigned, log.aggregate().jumpers) == (1, 0)


def test_a_unit_that_keeps_its_variant_under_another_allocation_is_not_reassigned(log, make):
    log.send(make.exposure(1, 20, arm=2), make.exposure(1, 10, arm=0), make.exposure(2, 10, arm=3))

    assert log.sums() == {(0, "a"): (1, 0, 0, 0), (1, "b"): (1, 0, 0, 0)}
    assert log.aggregate().reassigned == 0


def test_a_reassigned_unit_that_jumps_is_a_jumper_only(log, make):
    log.send(make.exposure(1, 10, arm=0), make.exposure(1, 20, arm=2), make.exposure(1, 30, arm=3))

    assert (log.aggregate().reassigned, log.aggregate().jumpers) == (0, 1)


def test_more_than_64_arms_are_told_apart(make):
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m")], allocations=80)]))
    many = [("exp-1", n, variant) for n in range(80) for variant in "ab"]
    log.arms = many
    log.send(*(make.exposure(1, 10 + arm, arm=arm) for arm in range(0, 160, 2)), make.event(1, 11))
    assert (log.aggregate().reassigned, log.sums()) == (0, {(0, "a"): (1, 1, 1, 1)})

    log.partition = Partition.load(log.partition.save())
    log.send(make.exposure(1, 200, arm=151))

    assert log.aggregate().jumpers == 1


def test_late_inactive_and_forced_exposures_are_counted_and_left_out(log, make):
    kinds = (RowKind.LATE, RowKind.INACTIVE, RowKind.INACTIVE | RowKind.LATE, RowKind.FORCED)
    log.send(*(make.exposure(unit, 10, kind=kind) for unit, kind in enumerate(kinds)))

    aggregate = log.aggregate()
    assert log.sums() == {}
    assert (aggregate.exposures, aggregate.late, aggregate.inactive, aggregate.forced) == (0, 1, 2, 1)


def test_late_and_unusable_events_are_counted_and_left_out(log, make):
    log.send(make.exposure(1, 10), make.event(1, 11, kind=RowKind.LATE), make.event(1, 12, kind=RowKind.UNUSABLE))

    assert log.sums() == {(0, "a"): (1, 0, 0, 0)}
    assert (log.health().late, log.health().unusable, log.health().events) == (1, 1, 0)


def test_the_same_unit_fact_id_and_time_is_one_event(log, make):
    log.send(make.exposure(1, 10), make.event(1, 11, name=7)).send(make.event(1, 11, name=7))

    assert log.sums() == {(0, "a"): (1, 1, 1, 1)}
    assert (log.health().duplicates, log.health().events) == (1, 1)


@pytest.mark.parametrize("order", permutations((1, 99, 1, 7)))
def test_of_several_values_of_one_event_the_largest_counts_in_any_order_and_it_is_told_once(make, order):
    metrics = [make.metric("m", "sum", cuped=Cuped(lookback="140ms")), make.metric("capped", "sum", cap=0.00005)]
    log = make.Log(make.catalog(5, [make.run("exp-1", metrics)]))
    log.send(make.exposure(1, 10), make.exposure(2, 10, arm=1))

    log.send(*(make.event(1, 11, value=value, name=7) for value in order[:2]))
    log.partition = Partition.load(log.partition.save())
    log.send(*(make.event(1, 11, value=value, name=7) for value in order[2:]))
    log.send(make.exposure(1, 9))  # all is counted anew

    assert log.sums("m")[0, "a"][:3] == (1, 1, 99)
    assert log.sums("capped")[0, "a"] == (1, 1, 50, 2500)
    assert (log.health().events, log.health().duplicates, log.aggregate().duplicate_ids) == (1, 3, 1)


def test_what_is_lost_is_told_by_part_and_arm(make):
    price, count = make.metric("revenue", "sum"), make.metric("orders", event="view")
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m", "ratio", parts=(price, count)), count])]))
    prices = next(code for code, fact in enumerate(log.facts) if "price" in fact)
    log.send(make.exposure(1, 10, arm=0), make.exposure(2, 10, arm=1), make.exposure(3, 10, arm=1))
    log.send(*(make.event(unit, 11, fact=prices, name=unit) for unit in (1, 2, 3)))
    log.send(*(make.event(unit, 12, fact=prices, kind=RowKind.UNUSABLE) for unit in (2, 2, 3)))
    log.send(make.event(3, 13, fact=prices, value=BEYOND), make.event(1, 11, fact=1 - prices))

    assert [part.arms for part in log.health().parts] == [[ArmPart(0, "a", 1, 0), ArmPart(0, "b", 2, 4)], []]
    assert log.health("orders").parts == []

    log.send(make.exposure(3, 9, arm=2))  # another allocation's, and earlier
    log.partition = Partition.load(log.partition.save())
    log.send(make.exposure(2, 12, arm=0))  # a jumper: what it lost stays where it entered

    (arms, _) = (part.arms for part in log.health().parts)
    assert arms == [ArmPart(0, "a", 1, 0), ArmPart(0, "b", 0, 2), ArmPart(1, "a", 1, 2)]


@pytest.mark.parametrize("first", [0, 1])
def test_what_a_jumper_lost_stays_with_the_arm_of_its_entry_whichever_came_first(revenue, make, first):
    exposures = [make.exposure(1, 10, arm=0, name=5), make.exposure(1, 10, arm=1, name=3)]
    revenue.send(exposures[first]).send(exposures[1 - first]).send(make.event(1, 20, kind=RowKind.UNUSABLE))

    assert revenue.health().parts[0].arms == [ArmPart(0, "b", 0, 1)]


def test_units_of_which_a_funnel_reads_not_all_events_are_told(make):
    steps = (Step(event="view"), Step(event="buy"))
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m", "funnel", steps=steps, window="1h")])]))
    buys, views = (next(code for code, fact in enumerate(log.facts) if name in fact) for name in ("buy", "view"))
    log.send(make.exposure(1, 10), make.exposure(2, 10, arm=1))
    log.send(*(make.event(1, 20, fact=views, name=name) for name in range(500)))
    log.send(*(make.event(2, 20, fact=views, name=name) for name in range(499)), make.event(2, 30, fact=buys))
    assert log.health().crowded == 0

    log.send(make.event(1, 30, fact=buys))
    log.partition = Partition.load(log.partition.save())

    assert (log.health().crowded, log.sums()[0, "a"][1], log.sums()[0, "b"][1]) == (1, 0, 1)
    log.send(make.event(2, 15, fact=views), make.exposure(1, 25))  # earlier than the others: the purchase leaves
    assert (log.health().crowded, log.sums()[0, "b"][1]) == (2, 0)
    log.send(make.exposure(1, 20, arm=1))
    assert (log.aggregate().jumpers, log.health().crowded) == (1, 1)


@pytest.mark.parametrize("other", [{"unit": 2, "time": 11, "name": 7}, {"unit": 1, "time": 11, "name": 8}])
def test_another_unit_or_another_id_is_another_event(log, make, other):
    log.send(make.exposure(1, 10), make.exposure(2, 10), make.event(1, 11, name=7), make.event(**other))

    assert log.health().events == 2
    assert (log.health().duplicates, log.aggregate().duplicate_ids) == (0, 0)


def test_one_event_feeds_two_facts(make):
    metrics = [make.metric("m"), make.metric("r", "sum")]
    log = make.Log(make.catalog(5, [make.run("exp-1", metrics)]))
    log.send(make.exposure(1, 10), make.event(1, 11, name=7, fact=0, value=250), make.event(1, 11, name=7, fact=1))

    assert (log.health("m").events, log.health("r").events) == (1, 1)
    assert (log.health("m").duplicates, log.health("r").duplicates) == (0, 0)


def test_the_same_id_with_another_time_is_another_event_and_told(log, make):
    log.send(make.exposure(1, 10), *(make.event(1, time, name=7) for time in (13, 11, 12)))

    assert log.sums() == {(0, "a"): (1, 1, 3, 9)}
    assert (log.aggregate().duplicate_ids, log.health().duplicates) == (2, 0)


def test_times_of_one_id_in_another_minute_are_not_told(log, make):
    assert log.horizon == 100  # which a minute is too, where the horizon is shorter than that

    log.send(make.exposure(1, 10), *(make.event(1, time, name=7) for time in (400, 11, 99, 101, 512)))

    assert log.aggregate().duplicate_ids == 1


@pytest.mark.parametrize("first", ["exposure", "events"])
def test_a_run_tells_what_concerns_its_own_units_events_and_no_others(make, first):
    """Two runs share a metric: unit 1 is in one, unit 2 in the other, unit 3 in none; a third run has no units."""
    runs = [make.run(key, [make.metric("m")]) for key in ("exp-1", "exp-2", "exp-3")]
    log = make.Log(make.catalog(5, runs))
    exposures = [make.exposure(1, 10, arm=0), make.exposure(2, 10, arm=4)]
    events = [
        event
        for unit in (1, 2, 3)
        for event in (
            make.event(unit, 20, name=7),
            make.event(unit, 20, name=7),
            make.event(unit, 21, name=7),
            make.event(unit, 22, kind=RowKind.LATE),
            make.event(unit, 23, kind=RowKind.UNUSABLE),
            make.event(unit, 9, kind=RowKind.UNUSABLE),  # before it entered
            make.event(unit, 310, kind=RowKind.UNUSABLE),  # after its window
        )
    ]
    log.send(*(exposures if first == "exposure" else events))

    log.partition = Partition.load(log.partition.save())
    log.send(*(events if first == "exposure" else exposures))

    for aggregate in log.partition.aggregates():
        (health,) = aggregate.metrics
        told = health.events, health.duplicates, health.late, health.unusable, aggregate.duplicate_ids
        assert told == ((0,) * 5 if aggregate.run == "exp-3" else (2, 1, 1, 1, 1))


def test_what_was_noted_moves_with_the_entry(log, make):
    notes = [make.event(1, time, kind=RowKind.UNUSABLE, name=time) for time in (5, 20, 305, 315)]
    log.send(*notes, make.exposure(1, 10))
    assert log.health().unusable == 2

    log.send(make.exposure(1, 4))
    assert log.health().unusable == 2

    log.send(make.exposure(1, 16, arm=1))  # a jumper
    log.send(make.exposure(1, 2), make.event(1, 3, kind=RowKind.UNUSABLE))
    assert log.aggregate().jumpers == 1
    assert log.health().unusable == 3


def test_n01_a_total_of_two_to_the_62_is_withheld_as_long_as_it_lasts(revenue, make):
    half = 1 << 61
    revenue.send(make.exposure(1, 10), make.exposure(2, 10), make.event(1, 11, value=half))
    revenue.send(make.event(1, 12, value=half))
    assert revenue.sums() == {(0, "a"): (1, 0, 0, 0)}
    assert revenue.health().withheld == 1

    revenue.send(make.event(1, 13, value=-1))

    assert revenue.sums() == {(0, "a"): (2, 1, 2 * half - 1, (2 * half - 1) ** 2)}
    assert revenue.health().withheld == 0


def test_n01_a_total_beyond_all_words_comes_back_exactly(revenue, make):
    revenue.send(make.exposure(1, 10), *(make.event(1, 11 + i, value=LARGEST) for i in range(9)))
    assert revenue.health().withheld == 1

    revenue.send(*(make.event(1, 31 + i, value=-LARGEST) for i in range(17)))
    revenue.send(*(make.event(1, 61 + i, value=LARGEST) for i in range(9)), make.event(1, 90, value=7))

    assert revenue.health().withheld == 1
    revenue.send(make.event(1, 91, value=-8))
    assert revenue.sums() == {(0, "a"): (1, 1, LARGEST - 1, (LARGEST - 1) ** 2)}


@pytest.mark.parametrize("sign", [1, -1])
def test_n01_a_mean_of_large_values_is_exact(make, sign):
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m", "mean")])]))
    values = [sign * (LARGEST - i) for i in range(6)]

    log.send(make.exposure(1, 10), *(make.event(1, 11 + i, value=value) for i, value in enumerate(values)))

    mean = round(Fraction(sum(values), 6))
    assert log.sums() == {(0, "a"): (1, 1, mean, mean**2)}


@pytest.mark.parametrize("sign", [1, -1])
def test_n01_n15_a_cap_holds_before_any_limit_at_both_ends(make, sign):
    capped = make.metric("capped", "sum", cap=500.0, lower_cap=-200.0)
    plain = make.metric("plain", "sum")
    log = make.Log(make.catalog(5, [make.run("exp-1", [capped, plain])]))

    log.send(make.exposure(1, 10), make.event(1, 11, value=sign * BEYOND), make.event(1, 12, value=3))

    most = 500_000_000 if sign == 1 else -200_000_000
    assert log.sums("capped") == {(0, "a"): (1, 1, most, most**2)}
    assert log.sums("plain") == {(0, "a"): (1, 1, 3, 9)}
    assert [(each.events, each.unusable, each.withheld) for each in map(log.health, ("capped", "plain"))] == [
        (2, 0, 0),
        (1, 1, 0),
    ]


def test_n15_refunds_are_capped_and_units_without_events_stay_zero(make):
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m", "sum", lower_cap=-5.0)])]))

    log.send(make.exposure(1, 10), make.exposure(2, 10), make.event(1, 11, value=-(10**12)))

    assert log.sums() == {(0, "a"): (2, 1, -5_000_000, 25 * 10**12)}


def test_n04_the_newest_example_since_the_start_is_told_in_any_order(make):
    def folded(*examples, cuts):
        catalog = make.catalog(5, [make.run("exp-1", [make.metric("m", "sum")], started=100)])
        log = make.Log(catalog)
        (fact,) = log.facts
        log.send(make.exposure(1, 110), make.event(1, 115), make.event(1, 120, kind=RowKind.UNUSABLE))
        for cut in cuts:
            log.send(examples=[Example(fact, *each) for each in examples[cut]])
            log.partition = Partition.load(log.partition.save())
        return log.health()

    said = (("unusable", 150, '"$7"'), ("unusable", 130, '"7 EUR"'), ("rounded", 140, "0.0000001"))
    before = (("unusable", 99, "true"), ("rounded", 99, "0.1234567"))

    for cuts in ([slice(0, 3)], [slice(2, 3), slice(0, 1), slice(1, 2)], [slice(0, 2), slice(0, 3)]):
        assert (folded(*said, cuts=cuts).example, folded(*said, cuts=cuts).rounded) == ('"$7"', "0.0000001")
    assert (folded(*before, cuts=[slice(0, 2)]).example, folded(*before, cuts=[slice(0, 2)]).rounded) == (None, None)


def test_a_unit_is_settled_when_the_watermark_has_passed_entry_window_and_horizon(log, make):
    log.send(make.exposure(1, 10), make.event(1, 11), watermark=410)
    assert log.sums(reading="settled") == {}

    log.send(watermark=411)

    assert log.sums(reading="settled") == log.sums() == {(0, "a"): (1, 1, 1, 1)}


def test_a_jumper_is_withdrawn_after_it_has_settled(log, make):
    log.send(make.exposure(1, 10), make.event(1, 11)).send(watermark=500)
    assert log.sums(reading="settled") == {(0, "a"): (1, 1, 1, 1)}

    log.send(make.exposure(1, 450, arm=1))

    assert log.sums(reading="settled") == log.sums() == {}


def test_a_jumper_does_not_settle(log, make):
    log.send(make.exposure(1, 10), make.exposure(1, 11, arm=1)).send(watermark=500)

    assert log.sums(reading="settled") == {}


def test_zero_sums_are_told_for_every_allocation_variant_metric_and_reading(make):
    metrics = [make.metric("m"), make.metric("k", window="none")]
    log = make.Log(make.catalog(5, [make.run("exp-1", metrics)])).send(watermark=1)

    told = [(each.metric, each.reading, each.allocation, each.variant) for each in log.aggregate().sums]

    arms = [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    readings = [("k", "live"), ("m", "live"), ("m", "settled")]
    assert told == [(*reading, *arm) for reading in readings for arm in arms]
    assert [(arm.allocation, arm.variant, arm.units) for arm in log.aggregate().arms] == [(*arm, 0) for arm in arms]


def test_a_metric_added_in_mid_run_covers_the_units_that_enter_after_it(make):
    first = make.catalog(5, [make.run("exp-1", [make.metric("m")])])
    second = make.catalog(6, [make.run("exp-1", [make.metric("m"), make.metric("new")], since={"new": 50})])
    log = make.Log(first, second)
    log.send(make.exposure(1, 49), make.exposure(2, 50), make.event(1, 60), make.event(2, 60), catalog=5)
    log.send(make.event(1, 70), make.event(2, 70), make.exposure(3, 80), watermark=90)

    assert log.sums("m") == {(0, "a"): (3, 2, 4, 8)}
    assert log.sums("new") == {(0, "a"): (2, 1, 2, 4)}


def test_another_version_of_a_metric_is_another_column(make):
    first = make.catalog(5, [make.run("exp-1", [make.metric("m")])])
    second = make.catalog(6, [make.run("exp-1", [make.metric("m", version=2, window="10ms")], since={"m": 50})])
    log = make.Log(first, second)
    log.send(make.exposure(1, 10), make.event(1, 11), catalog=5)
    assert {each.version for each in log.aggregate().sums} == {1}

    log.send(make.exposure(2, 60), make.event(2, 61), make.event(2, 70), make.event(1, 62))

    assert {each.version for each in log.aggregate().sums} == {2}
    assert log.sums() == {(0, "a"): (1, 1, 1, 1)}


def test_every_catalog_version_on_the_way_is_adopted(make):
    """A metric that left and came back begins anew, even for a partition that met neither version on its own."""
    stays = make.metric("stays")
    catalogs = [
        make.catalog(5, [make.run("exp-1", [make.metric("m"), stays])]),
        make.catalog(6, [make.run("exp-1", [stays])]),
        make.catalog(7, [make.run("exp-1", [make.metric("m"), stays])]),
    ]
    log = make.Log(*catalogs)
    log.send(make.exposure(1, 10), make.event(1, 11, kind=RowKind.LATE), catalog=5)
    log.send(watermark=500, catalog=5)  # until it is forgotten what the event was

    log.send(catalog=7)

    assert log.health("m").late == 0
    assert log.health("stays").late == 1


@pytest.mark.parametrize("number", [1, 2, 7])
def test_any_number_of_catalog_records_that_concern_no_run_may_lie_between_two_messages(make, number):
    first = make.catalog(5, [make.run("exp-1", [make.metric("m")])])
    others = [replace(first, offset=first.offset + each) for each in range(1, number + 1)]
    log = make.Log(first, *others)
    log.send(make.exposure(1, 10), catalog=5)

    log.send(make.event(1, 11))

    assert log.sums() == {(0, "a"): (1, 1, 1, 1)}
    assert log.partition.catalog == first.offset + number


def test_runs_do_not_mix(make):
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m")]), make.run("exp-2", [make.metric("m")])]))
    log.send(make.exposure(1, 10), make.exposure(1, 20, arm=5), make.event(1, 15))

    assert log.sums(run="exp-1") == {(0, "a"): (1, 1, 1, 1)}
    assert log.sums(run="exp-2") == {(0, "b"): (1, 0, 0, 0)}


def test_rows_that_were_folded_are_skipped(log, make):
    log.send(make.exposure(1, 10), make.event(1, 11, name=1), make.event(1, 12, name=2))

    log.send(make.event(1, 12, name=2), make.event(1, 13, name=3), begin=2)

    assert log.sums() == {(0, "a"): (1, 1, 3, 9)}
    assert log.health().duplicates == 0
    assert log.partition.sources == {("events", 0): 4}


def test_a_source_begins_where_it_was_first_seen(log, make):
    log.send(make.exposure(1, 10), begin=70)

    assert log.partition.sources == {("events", 0): 71}


def test_a_range_that_begins_beyond_the_next_offset_is_a_gap_and_changes_nothing(log, make):
    log.send(make.exposure(1, 10))
    before = log.bytes()

    with pytest.raises(
        MissingError, match=r"units/3 at offset 1: .* events/0 from offset 2, but 1 is the next .* 1 offsets"
    ):
        log.send(make.exposure(2, 10), begin=2)

    assert (log.partition.offset, log.bytes()) == (1, before)


def test_an_offset_that_was_folded_is_ignored(log, make):
    message = log.message([make.exposure(1, 10)])
    log.partition.fold(0, message, log.catalog_at)

    log.partition.fold(0, b"whatever", log.catalog_at)

    assert log.partition.offset == 1


def test_another_horizon_is_refused(log, make):
    with pytest.raises(ValueError, match="a horizon of 99 ms, this state by 100 ms"):
        log.send(make.exposure(1, 10), horizon=99)


def accepted(stage, topic, begin, end, until=None):
    """The logs in force after somebody accepted that a stage goes on at `end`."""
    partition = 3 if topic == "units" else 0
    gap = Gap(stage=stage, topic=topic, partition=partition, begin=begin, end=end, until=until, reason="retention")
    return logs_after(None, Logs(cluster="c", topics={topic: Log(id="l")}, gaps=(gap,)), 0)


def test_a_gap_of_a_source_that_was_accepted_stands_in_the_runs_that_it_concerns(make):
    runs = [make.run("exp-1", [make.metric("m")]), make.run("exp-2", [make.metric("m")], started=500)]
    log = make.Log(replace(make.catalog(5, runs), logs=accepted("assignment", "events", 1, 9, until=400)))
    log.send(make.exposure(1, 10)).send(make.exposure(2, 10), begin=7)

    assert log.sums() == {(0, "a"): (2, 0, 0, 0)}
    told = [(gap.topic, gap.begin, gap.end, gap.reason) for gap in log.aggregate().gaps]
    assert told == [("events", 1, 7, "retention")]
    assert log.aggregate("exp-2").gaps == []
    again = Partition.load(log.partition.save())
    assert again.gaps == log.partition.gaps


def test_a_gap_that_nobody_accepted_so_far_is_refused(make):
    log = make.Log(
        replace(make.catalog(5, [make.run("exp-1", [make.metric("m")])]), logs=accepted("assignment", "events", 1, 6))
    )
    log.send(make.exposure(1, 10))

    with pytest.raises(MissingError, match="`peekproof recover accept-gap`"):
        log.send(make.exposure(2, 10), begin=7)


def test_behind_a_gap_of_its_own_log_a_partition_takes_each_source_where_it_goes_on(make):
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m")])]))
    log.send(make.exposure(1, 10)).send(make.event(1, 11), topic="others")

    log.partition.skip(accepted("aggregation", "units", 2, 50).gaps[0], 50)
    log.partition = Partition.load(log.partition.save())
    log.send(make.exposure(2, 10), begin=30)

    assert (log.partition.offset, log.sums()) == (51, {(0, "a"): (2, 1, 1, 1)})
    assert [(gap.topic, gap.begin, gap.end) for gap in log.aggregate().gaps] == [("units", 2, 50)]
    with pytest.raises(MissingError, match="events/0 from offset 40, but 31 is the next"):
        log.send(make.exposure(3, 10), begin=40)
    log.send(make.event(2, 12), begin=20, topic="others")
    assert log.sums() == {(0, "a"): (2, 2, 2, 2)}


def test_a_catalog_that_was_not_read_far_enough_is_refused(log, make):
    with pytest.raises(ValueError, match="made under catalog offset 9, but the catalog was read only up to 5"):
        log.send(make.exposure(1, 10), catalog=9)


def test_an_exposure_that_counts_needs_a_run(log, make):
    log.send(make.exposure(1, 10, arm=4, kind=RowKind.INACTIVE))
    with pytest.raises(NoMessageError, match=r"row 0 .* the catalog in force has no such run; an assignment worker of"):
        log.send(make.exposure(1, 10, arm=4))
    with pytest.raises(MissingError, match="`peekproof recover accept-gap`"):
        log.send(make.exposure(1, 10))


def test_the_watermark_is_that_of_the_slowest_source_and_never_goes_back(log):
    log.send(watermark=500, topic="events")
    log.send(watermark=300, topic="exposures")
    assert log.partition.watermark == 500

    log.send(watermark=900, topic="events")
    assert log.partition.watermark == 500

    log.send(watermark=700, topic="exposures")
    assert log.partition.watermark == 700


def test_the_watermark_waits_for_a_source_that_has_none(log):
    log.send(watermark=0, topic="exposures").send(watermark=500, topic="events")

    assert log.partition.watermark == 0


def test_a_record_behind_the_watermark_is_late_whatever_it_says(log, make):
    log.send(make.exposure(3, 300), watermark=500)

    log.send(make.exposure(1, 399), make.exposure(2, 400), make.event(2, 400), make.event(3, 399))

    assert log.sums() == {(0, "a"): (2, 1, 1, 1)}
    assert (log.aggregate().late, log.health().late) == (1, 1)


def test_a_completed_run_is_final_a_horizon_after_its_last_event_and_then_stays_as_it_is(make):
    run = [make.metric("m"), make.metric("ever", window="none")]
    first = make.catalog(5, [make.run("exp-1", run)])
    second = make.catalog(6, [make.run("exp-1", run, completed=50)])
    log = make.Log(first, second)
    ends = 50 + 1000 + 300 + 100
    log.send(make.exposure(1, 40), make.event(1, 60), catalog=5)
    log.send(watermark=1000).send(make.event(1, ends - 1), make.event(1, ends), watermark=ends + 100)
    assert not log.aggregate().final

    log.send(watermark=ends + 101)
    last = log.aggregate()
    assert last.final
    assert log.sums("m", "settled") == {(0, "a"): (1, 1, 1, 1)}
    assert log.sums("ever") == {(0, "a"): (1, 1, 2, 4)}

    log.partition = Partition.load(log.partition.save())
    log.send(make.event(1, ends + 50), make.exposure(2, ends + 60, kind=RowKind.INACTIVE), watermark=ends + 200)
    assert log.aggregate() == last
    assert (last.offset, last.watermark) == (log.partition.offset - 1, ends + 101)
    assert len(log.partition.save()) < 5000


def test_a_broken_message_is_refused_with_what_it_is(log):
    with pytest.raises(ValueError, match="its 12 bytes are no Arrow stream"):
        log.partition.fold(0, b"no arrow at ", log.catalog_at)


def test_what_cannot_matter_any_more_is_forgotten(log, make):
    for second in range(200):
        log.send(*(make.event(unit, second * 1000) for unit in range(50)), watermark=second * 1000)

    assert len(log.partition.save()) < 20_000


@pytest.mark.parametrize("order", permutations(range(3)))
@pytest.mark.parametrize("names", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_n02_steps_of_one_time_stand_in_the_funnel_s_order(make, order, names):
    steps = tuple(Step(event=event) for event in ("view", "basket", "buy"))
    metrics = [
        make.metric("once", "funnel", steps=steps),
        make.metric("often", "funnel", steps=steps, counting="totals"),
    ]
    log = make.Log(make.catalog(5, [make.run("exp-1", metrics)]))
    rows = [log.happened(step.event, 1, 20, name=name) for step, name in zip(steps, names, strict=True)]

    log.send(make.exposure(1, 10)).send(*(row for i in order for row in rows[i]))
    for i in order:
        log.send(*log.happened(steps[i].event, 1, 30, name=10 + names[i]))

    assert log.sums("once") == {(0, "a"): (1, 1, 1, 1)}
    assert log.sums("often") == {(0, "a"): (1, 1, 2, 4)}
    log.send(watermark=500)
    assert log.sums("often", "settled") == {(0, "a"): (1, 1, 2, 4)}


@pytest.mark.parametrize("order", permutations(range(5)))
def test_n02_events_that_may_be_several_steps_are_those_that_take_the_unit_furthest(make, order):
    steps = tuple(Step(event=event) for event in "abc")
    log = make.Log(make.catalog(5, [make.run("exp-1", [make.metric("m", "funnel", steps=steps)])]))
    one, other, third = (("a", 1), ("b", 1)), (("a", 2), ("c", 2)), (("b", 3),)
    rows = [log.happened(event, 1, 20, name=name)[0] for event, name in (*one, *other, *third)]

    log.send(make.exposure(1, 10), *(rows[i] for i in order))

    assert log.sums() == {(0, "a"): (1, 1, 1, 1)}


@pytest.mark.parametrize("names", [(1, 2), (2, 1)])
@pytest.mark.parametrize(("event", "nth", "returned"), [("open", 0, 1), ("start", 0, 1), ("open", 1, 0), (None, 0, 0)])
def test_n02_a_return_at_the_time_of_the_start_is_one_of_the_first_period(make, names, event, nth, returned):
    metric = make.metric("m", "retention", event=event or "start", start=Step(event="start"), nth=nth, period="50ms")
    log = make.Log(make.catalog(5, [make.run("exp-1", [metric])]))
    rows = [*log.happened("start", 1, 20, name=names[0])]
    rows += log.happened(event, 1, 20, name=names[1]) if event else ()

    log.send(make.exposure(1, 10), *rows[::-1])
    log.send(*(log.happened("start", 2, 20, name=3) if event else ()))

    assert log.sums() == {(0, "a"): (1, returned, returned, returned)}


@pytest.mark.parametrize(("later", "returned"), [(49, 0), (50, 1), (99, 1), (100, 0)])
def test_a_return_counts_from_the_begin_of_its_period_on_and_no_more_at_its_end(make, later, returned):
    metric = make.metric("m", "retention", event="open", start=Step(event="start"), nth=1, period="50ms")
    log = make.Log(make.catalog(5, [make.run("exp-1", [metric])]))

    log.send(make.exposure(1, 10), *log.happened("start", 1, 20, name=1), *log.happened("open", 1, 20 + later, name=2))

    assert log.sums() == {(0, "a"): (1, returned, returned, returned)}


KINDS = ("conversion", "count", "sum", "mean", "funnel", "retention")


@pytest.fixture
def everything(make):
    """A run with a metric of each type, over events `buy` and `view`; one is looked back to."""
    buy = Step(event="buy")
    fields = {
        "sum": {"cuped": Cuped(lookback="1400ms")},
        "funnel": {"steps": (Step(event="view"), buy), "counting": "totals"},
        "retention": {"start": buy, "nth": 0, "period": "100ms"},
    }
    metrics = [make.metric(kind, kind, **fields.get(kind, {})) for kind in KINDS]
    metrics = [replace(each, recorded=-2000) for each in metrics]
    return make.Log(make.catalog(5, [make.run("exp-1", metrics)]))


def withdrawn(rows):
    """The rows that take these back."""
    return [(row[0] | RowKind.WITHDRAWN, *row[1:]) for row in rows]


@pytest.mark.parametrize("at_once", [False, True])
def test_an_event_that_is_taken_back_leaves_nothing(everything, make, at_once):
    log = everything.send(make.exposure(1, 120), *log_events(everything))
    before = log.bytes()
    rows = [
        *log.happened("buy", 1, 130, value=5, name=7),
        *log.happened("buy", 1, 130, value=9, name=7),  # told again, with another value
        *log.happened("buy", 1, 140, value=3, name=7),  # the same id within the minute
        *log.happened("view", 1, 125, name=8),
        *log.happened("buy", 1, 60, value=4, name=9),  # before the entry
        *[(row[0] | RowKind.LATE, *row[1:]) for row in log.happened("buy", 1, 131)],
        *[(row[0] | RowKind.UNUSABLE, *row[1:]) for row in log.happened("buy", 1, 131)],
        *log.happened("buy", 1, 150, value=BEYOND, name=10),
    ]

    log.send(*rows, *withdrawn(rows)) if at_once else log.send(*rows).send(*withdrawn(rows))

    assert log.bytes() == before
    log.send(*withdrawn(rows[:1]), make.exposure(1, 110))
    again = make.Log(*log.catalogs).send(make.exposure(1, 120), *log_events(log), make.exposure(1, 110))
    assert [run.sums for run in log.partition.aggregates()] == [run.sums for run in again.partition.aggregates()]


def log_events(log):
    """What the unit does that stays."""
    return [*log.happened("view", 1, 130, name=1), *log.happened("buy", 1, 135, value=2, name=2)]


def test_an_event_that_is_taken_back_counts_with_the_next_one_again(everything, make):
    rows = everything.happened("buy", 1, 130, value=5, name=7)
    everything.send(make.exposure(1, 120), *rows, *withdrawn(rows), *rows)

    assert everything.sums("count")[0, "a"][:3] == (1, 1, 1)
    assert everything.health("count").duplicates == 0


@pytest.mark.parametrize("gone", [0, 250, 498])
def test_where_one_of_the_events_that_are_read_of_an_hour_is_taken_back_the_next_is_read(make, gone):
    funnel = make.metric("funnel", "funnel", "2h", steps=(Step(event="view"), Step(event="buy")))
    log = make.Log(make.catalog(5, [make.run("exp-1", [funnel])]))
    views = [row for n in range(500) for row in log.happened("view", 1, 1000 + n, name=n)]
    log.send(make.exposure(1, 1000), *log.happened("buy", 1, 2000, name=1), *log.happened("buy", 1, 2001, name=1))
    log.send(*views)
    assert log.sums("funnel")[0, "a"][:2] == (1, 0)

    log.send(*withdrawn([views[gone]]))

    assert log.sums("funnel")[0, "a"][:2] == (1, 1)
    assert log.health("funnel").events == 501


def test_loose_events_are_judged_by_the_clock_of_their_own(make):
    run = make.run("exp-1", [make.metric("m")])
    asking = replace(run, definition=msgspec.structs.replace(run.definition, unit="device_id", identity="user_id"))
    catalog = make.catalog(5, [asking, make.run("exp-2", [make.metric("m")], allocations=1)])
    log = make.Log(catalog)
    key = loose(log.facts[0], Pair("device_id", "user_id"))
    log.send(make.exposure(1, 500), make.exposure(1, 500, arm=4), watermark=550)
    log.send(watermark=1_000)  # 500 is long complete, but loose events of it may still come

    row = (0, 0, 1, 510, 3, 1)
    log.send(row, topic=IDENTITIES, watermark=600, facts=[key])

    assert log.sums(run="exp-1")[0, "a"][:3] == (1, 1, 1)
    assert log.sums(run="exp-2")[0, "a"][:3] == (1, 0, 0)
    assert (log.sums(reading="settled", run="exp-1"), len(log.sums(reading="settled", run="exp-2"))) == ({}, 1)
    log.send(*withdrawn([row]), topic=IDENTITIES, watermark=901, facts=[key])
    assert log.sums(reading="settled", run="exp-1")[0, "a"][:3] == (1, 0, 0)


def test_days_are_counted_once_each_and_an_entry_that_moves_has_them_counted_anew(make):
    day, metrics = (
        86_400_000,
        [make.metric("days", "distinct", "none"), make.metric("two", "distinct", "none", cap=2.0)],
    )
    log = make.Log(make.catalog(5, [make.run("exp-1", metrics)]), horizon=9 * day)
    log.send(make.exposure(1, day + 5), make.exposure(2, 0, arm=1))
    log.send(
        *(make.event(1, time, name=time) for time in (4, day + 4, day + 5, 2 * day - 1, 2 * day, 4 * day, 4 * day + 1))
    )
    log.send(make.event(2, 7 * day, name=1), make.event(2, 7 * day, name=2))

    assert log.sums("days") == {(0, "a"): (1, 1, 3, 9), (0, "b"): (1, 1, 1, 1)}
    assert log.sums("two") == {(0, "a"): (1, 1, 2, 4), (0, "b"): (1, 1, 1, 1)}

    log.partition = Partition.load(log.partition.save())
    log.send(make.exposure(1, 2), make.event(2, 7 * day, name=3), make.event(2, 8 * day, name=4))

    assert log.sums("days") == {(0, "a"): (1, 1, 4, 16), (0, "b"): (1, 1, 2, 4)}


def test_a_checkpoint_of_the_format_before_is_read(make):
    metrics = [make.metric("m", "sum", cuped=Cuped(lookback="140ms")), make.metric("c")]
    log = make.Log(make.catalog(5, [make.run("exp-1", metrics)]))
    log.send(make.exposure(1, 10), make.exposure(2, 10, arm=1), make.event(1, 11, value=7), make.event(2, 5, value=3))
    arrays, metadata = unpack(log.partition.save())
    state = msgspec.json.decode(metadata[b"peekproof"])
    assert state.pop("format") == FORMAT
    for run in state["runs"]:
        for column in run["columns"]:
            del column["others"], column["percentile"]
    kept = {name: array for name, array in arrays.items() if not name.endswith(("/bins", "/lists"))}

    loaded = Partition.load(pack(kept, {b"peekproof": msgspec.json.encode({"format": 10, **state})}))

    assert loaded.aggregates() == log.partition.aggregates()
