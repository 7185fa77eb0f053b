"""What is told of what came, beside a count in plain Python, however the records are cut into slices."""

import json
from collections import Counter
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.arrivals.tally import Tally
from evaluation.assignment.routing import assign
from evaluation.columns import kinds
from schemas.topics import MAX_MESSAGE_BYTES
from tests.evaluation.assignment.routed import BUTTON, HORIZON, NDJSON, NOW, TOLERANCE, shop

MINUTE = 60_000
START = NOW - NOW % MINUTE


@pytest.fixture(scope="module")
def history():
    return shop().run(BUTTON).history


def told_of(records_of, history, slices, *, topic="events"):
    """The newest record of each key, telling after every slice; and all that were told."""
    tally, told = Tally("host/1"), []
    for rows in slices:
        records = records_of(rows, topic=topic)
        for assigned in assign(records, history, HORIZON, TOLERANCE):
            tally.add(records, assigned)
        told += tally.tell({(topic, 0): records.end})
    return {each.key: each for each in told}.values(), told


def by_minute(newest, kind, *names):
    counts = Counter()
    for each in newest:
        for one in getattr(each, kind):
            counts[each.minute, *(getattr(one, name) for name in names)] += one.count
    return counts


EVENTS = st.fixed_dictionaries(
    {"event_type": st.sampled_from(["purchase", "view", "naïve", "", 'say "hi"', "é" * 400, 7])},
    optional={
        "library": st.sampled_from(["amplitude-ts/2.1", "ünï/1", 'a"b', 4, None, {"name": "x"}]),
        "user_id": st.sampled_from(["a", "b", 3]),
    },
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_counts_are_those_of_plain_python_in_whatever_slices_records_come(records_of, history, data):
    events = data.draw(st.lists(st.lists(EVENTS, min_size=1, max_size=3), min_size=1, max_size=12))
    times = sorted(data.draw(st.lists(st.integers(0, 200_000), min_size=len(events), max_size=len(events))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(events)), max_size=4)) | {0, len(events)})
    rows = [
        (10 + i, START + at, b"\n".join(json.dumps(each).encode() for each in group), NDJSON)
        for i, (at, group) in enumerate(zip(times, events, strict=True))
    ]

    newest, told = told_of(records_of, history, [rows[low:high] for low, high in pairwise(cuts)])

    expected, refused = Counter(), Counter()
    for at, group in zip(times, events, strict=True):
        minute = START + at - at % MINUTE
        for event in group:
            name, library = event["event_type"], event.get("library")
            if isinstance(name, int) or isinstance(event.get("user_id"), int):
                refused[minute, "wrong type"] += 1
                continue
            name = name if len(name.encode()) <= 256 else f"{name[:128]}…"
            expected[minute, name, library if isinstance(library, str) else None] += 1
            refused[minute, "no unit"] += "user_id" not in event
    assert by_minute(newest, "events", "name", "library") == expected
    assert by_minute(newest, "dead_letters", "reason") == +refused
    assert all(sample.name in {name for _, name, _ in expected} for each in newest for sample in each.samples)
    assert [each.reached[0].offset for each in told if each.reached][-1:] == [rows[-1][0] + 1]


def test_exposures_are_told_by_flag_variant_run_segment_and_library(records_of, history):
    def exposure(**fields):
        return json.dumps({"flag_key": "button", "user_id": "u", **fields}).encode()

    rows = [
        exposure(variant="control", experiment_key="exp-1", library="js/1"),
        exposure(variant="control", experiment_key="exp-1", library="js/1"),
        exposure(variant="control", experiment_key="exp-0", metadata={"segmentName": 'the "best"'}),
        exposure(metadata={"segmentName": 7, "experimentKey": 7}),
        exposure(variant="treatment", metadata={"flagVersion": 2, "experimentKey": "exp-1"}),
        exposure(flag_key="unheard of", variant="x"),
    ]

    newest, _ = told_of(records_of, history, [[(i, START, row, ()) for i, row in enumerate(rows)]], topic="exposures")

    (told,) = newest
    assert [(each.flag, each.variant, each.run, each.library, each.count) for each in told.exposures][:1] == [
        ("button", "control", "exp-1", "js/1", 2)
    ]
    assert {(each.flag, each.variant, each.run, each.segment) for each in told.exposures} == {
        ("button", "control", "exp-1", None),
        ("button", "control", "exp-0", 'the "best"'),
        ("button", None, None, None),
        ("button", "treatment", "exp-1", None),
        ("unheard of", "x", None, None),
    }
    assert {(each.reason, each.count) for each in told.dead_letters} == {("unknown run", 1), ("unknown flag", 1)}
    assert told.samples[0].name == "button"
    assert json.loads(told.samples[0].value)["library"] == "js/1"


def test_ids_as_names_grow_nothing_and_what_is_counted_by_metrics_is_kept(records_of, history):
    names = [f"id-{i}" for i in range(3 * kinds.MOST_KINDS)]
    names[17:17] = ["purchase"]  # a metric counts it
    names += ["frequent"] * 50
    rows = [(i, START, json.dumps({"event_type": name, "user_id": "u"}).encode(), ()) for i, name in enumerate(names)]

    newest, _ = told_of(records_of, history, [rows[:5_000], rows[5_000:]])

    (told,) = newest
    counts = {each.name: each.count for each in told.events}
    assert counts["purchase"] == 1
    assert counts["frequent"] == 50
    assert len(counts) <= kinds.MOST_KINDS
    assert len(told.samples) <= 300
    (more,) = told.more
    assert sum(counts.values()) + more.count == len(names)
    assert more.kinds >= len(set(names)) - len(counts)


@pytest.mark.parametrize("topic", ["events", "exposures"])
def test_the_longest_names_are_told_in_one_record_whatever_they_are_of(records_of, history, topic):
    def message(i):
        name = f"{i:05}" + "\x01" * 1_000
        said = {"event_type": name} if topic == "events" else {"flag_key": name, "variant": name}
        said |= {
            "metadata": {"segmentName": '"' * 300, "experimentKey": '"' * 300},
            "experiment_key": name,
            "library": '"' * 300,
        }
        return json.dumps({**said, "user_id": "u"}).encode()

    rows = [(i, START, message(i), ()) for i in range(kinds.MOST_KINDS + 500)]

    newest, _ = told_of(records_of, history, [rows[: kinds.MOST_KINDS], rows[kinds.MOST_KINDS :]], topic=topic)

    (told,) = newest
    count = sum(each.count for each in (told.events or told.exposures))
    assert count + sum(each.count for each in told.more) == len(rows)
    assert len(msgspec.json.encode(told)) < MAX_MESSAGE_BYTES // 2  # of two topics


def test_a_minute_is_told_again_only_when_it_has_grown_and_a_late_source_makes_another_part(records_of, history):
    def event(at):
        return (at, START + at, b'{"event_type":"view","user_id":"u"}', ())

    newest, told = told_of(
        records_of, history, [[event(1)], [event(2)], [], [event(2 * MINUTE)], [event(3)], [event(2 * MINUTE + 1)]]
    )

    assert [(each.part, (each.minute - START) // MINUTE, each.events[0].count) for each in told] == [
        (0, 0, 1),
        (0, 0, 2),
        (0, 0, 2),  # it is over: with its sample
        (1, 2, 1),
        (2, 0, 1),
        (1, 2, 2),
    ]
    assert [len(each.samples) for each in told] == [1, 0, 1, 1, 1, 0]
    assert by_minute(newest, "events", "name") == {(START, "view"): 3, (START + 2 * MINUTE, "view"): 2}
