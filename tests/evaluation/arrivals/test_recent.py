"""What is kept of what came, by minute and by hour, and what is told of it beside the catalog."""

import msgspec
import pytest

from evaluation.arrivals import recent as recent_module
from evaluation.arrivals.overview import arriving, flag_arriving
from evaluation.arrivals.properties import properties_of
from evaluation.arrivals.recent import Recent
from schemas.arrivals import Arrivals, ArrivedSample, DeadLettersArrived, EventsArrived, ExposuresArrived, MoreArrived
from schemas.catalog import Condition, Segment
from tests.evaluation.assignment.routed import BUTTON, DRAFT, NOW, shop

MINUTE = 60_000
START = NOW - NOW % MINUTE
MORE = MoreArrived(topic="events", kinds=1, count=1)


@pytest.fixture(scope="module")
def catalog():
    topic = shop().run(BUTTON)
    topic.apply(DRAFT)
    return topic.history.newest


def told(part, minute, *, worker="host/1", **kinds):
    return Arrivals(worker=worker, part=part, minute=START + minute * MINUTE, **kinds)


def event(name, count, library=None):
    return EventsArrived(name=name, library=library, count=count, last=START)


def exposure(count, variant, run="exp-1", flag="button", segment=None):
    return ExposuresArrived(flag=flag, variant=variant, run=run, segment=segment, count=count, last=START)


def test_a_part_that_is_told_again_counts_once_and_parts_of_a_minute_add_up(catalog):
    recent = Recent()
    for record in (
        told(0, 0, events=[event("purchase", 3), event("rare", 1)]),
        told(
            0,
            0,
            events=[event("purchase", 5, "js/1"), event("purchase", 2)],
            more=[MoreArrived(topic="events", kinds=1, count=1)],
        ),
        told(1, 0, events=[event("purchase", 10)]),
        told(0, 0, worker="host/2", events=[event("purchase", 100)]),
        told(2, -59, events=[event("purchase", 1_000)]),
        told(3, -70, events=[event("purchase", 10_000)]),
    ):
        recent.take(record)

    seen = arriving(recent, catalog, START + 30_000)

    (purchase,) = seen.events
    assert purchase.minutes == [1_000, *[0] * 58, 117]
    assert purchase.hour == 1_117
    assert sum(purchase.hours) == 11_117
    assert purchase.rate == round(117 / 90, 3)
    assert purchase.metrics == ["purchase", "revenue"]
    assert {each.name: each.hour for each in purchase.libraries} == {None: 1_112, "js/1": 5}
    assert [(each.topic, each.kinds, each.hour) for each in seen.more] == [("events", 1, 1)]


def test_an_event_that_a_metric_counts_and_that_never_came_is_told_with_names_near_to_it(catalog):
    recent = Recent()
    recent.take(told(0, 0, events=[event("Purchased", 1), event("search", 1)]))

    missing = {(each.metric, each.event): each for each in arriving(recent, catalog, START).never_came}

    assert missing["purchase", "purchase"].near == ["Purchased"]
    assert missing["purchase", "purchase"].flags == ["button"]
    assert missing["views", "view"].near == []


def test_a_flags_measured_share_is_that_of_its_newest_run(catalog):
    recent = Recent()
    exposures = [
        exposure(30, "control"),
        exposure(10, "treatment"),
        exposure(60, "off"),
        exposure(7, "control", "exp-0"),
    ]
    recent.take(told(0, 0, exposures=exposures))

    found = flag_arriving(recent, catalog, "button", START)

    assert (found.exposures, found.shares) == (40, {"control": 0.75, "treatment": 0.25})
    assert found.seen.newest_run == "exp-1"
    assert {each.name: each.hour for each in found.seen.runs} == {"exp-1": 100, "exp-0": 7}
    assert flag_arriving(recent, catalog, "draft", START).seen is None


def test_a_segments_measured_share_is_that_of_the_exposures_that_say_it():
    topic = shop()
    chile = Segment(name="Chile", rollout=50, conditions=(Condition(property="country", op="is", values=("Chile",)),))
    topic.run(msgspec.structs.replace(BUTTON, segments=(chile,)))
    said = {"Chile": (30, 10), "All Other Users": (5, 5), None: (2, 0), "individual-inclusions": (1, 0)}
    recent = Recent()
    exposures = [
        exposure(count, variant, segment=segment)
        for segment, counts in said.items()
        for variant, count in zip(("control", "treatment"), counts, strict=True)
    ]
    recent.take(told(0, 0, exposures=[*exposures, exposure(9, "control", "exp-0", segment="Chile")]))

    found = flag_arriving(recent, topic.history.newest, "button", START)

    assert msgspec.to_builtins(found.segments) == {
        "Chile": {"exposures": 40, "shares": {"control": 0.75, "treatment": 0.25}},
        "All Other Users": {"exposures": 10, "shares": {"control": 0.5, "treatment": 0.5}},
    }
    assert (found.exposures, found.unsaid) == (53, 2)


def test_the_newest_dead_letter_of_each_reason_is_kept(catalog):
    def dead(count, detail, last):
        return DeadLettersArrived(
            topic="events", reason="not json", count=count, last=last, detail=detail, origin="events/0/1", value="{"
        )

    recent = Recent()
    recent.take(told(0, 0, dead_letters=[dead(2, "newer", START + 5)]))
    recent.take(told(1, -1, dead_letters=[dead(1, "older", START - 5)]))

    (seen,) = arriving(recent, catalog, START).dead_letters

    assert (seen.detail, seen.hour, seen.meaning) == ("newer", 3, "A message is no JSON in UTF-8.")


def test_names_without_end_are_bounded_and_the_frequent_stay(catalog, monkeypatch):
    monkeypatch.setattr(recent_module, "MOST_SERIES", 50)
    recent = Recent(lambda: {"view"})
    recent.take(told(1_000, 0, events=[event("view", 1)]))
    for part in range(100):
        recent.take(told(part, 0, events=[event("purchase", 5), *(event(f"id-{part}-{i}", 1) for i in range(5))]))

    assert len(recent.series) <= 100 + 12
    assert [(each.name, each.hour) for each in arriving(recent, catalog, START).events if each.metrics] == [
        ("purchase", 500),
        ("view", 1),
    ]


def test_properties_are_told_of_samples_that_are_whole():
    def sample(value, *, is_cut=False):
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return ArrivedSample(topic="events", name="purchase", time=START, value=text, is_cut=is_cut)

    read, found = properties_of(
        [
            sample({"event_type": "purchase", "event_properties": {"price": 7, "tags": ["a"]}}),
            sample({"event_type": "purchase", "event_properties": {"price": "7.5", "gift": True}}),
            sample('{"event_type":', is_cut=True),
            sample("no JSON"),
        ]
    )

    kinds = {each.path: each.kinds for each in found}
    assert read == 2
    assert kinds["event_properties.price"] == {"whole number": 1, "text": 1}
    assert kinds["event_properties.tags"] == {"list": 1}
    assert kinds["event_properties.gift"] == {"true or false": 1}
    assert found[0].samples == 2
