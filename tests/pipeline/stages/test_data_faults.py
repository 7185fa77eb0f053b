"""What does not come, from records to verdicts: the pure stages over a log of a few hours."""

import json
from dataclasses import dataclass, field

import pytest

from evaluation.assignment.routing import assign
from evaluation.metrics.partition import Partition
from evaluation.significance.look import decode_look, encode_look, look
from pipeline.stages.gathering import Gathering
from schemas.catalog import Analysis, Flag, Goal, Metric, Variant
from schemas.look import Look
from schemas.topics import EVENTS, EXPOSURES
from tests.evaluation.assignment.routed import Topic
from tests.pipeline.slices import records

MINUTE, HOUR = 60_000, 3_600_000
PARTITIONS = 2
PURCHASE = Metric(key="purchases", owner="shop", type="conversion", event="purchase", window="none")
RETURNS = Metric(key="returns", owner="shop", type="conversion", event="return", window="none")
CHECKOUT = Flag(
    key="checkout",
    owner="shop",
    variants=(Variant(key="control"), Variant(key="treatment")),
    metrics=(Goal(metric="purchases", role="primary"), Goal(metric="returns", role="guardrail", direction="decrease")),
    analysis=Analysis(patience="30m"),
)


@dataclass
class Shop:
    """Minutes go by, in which something comes or nothing."""

    topic: Topic = field(default_factory=Topic)
    partitions: list[Partition] = field(default_factory=lambda: [Partition(n, HOUR) for n in range(PARTITIONS)])
    looks: list[Look] = field(default_factory=list)
    units: int = 0

    def __post_init__(self) -> None:
        for metric in (PURCHASE, RETURNS):
            self.topic.metric(metric)
        self.topic.apply(CHECKOUT)
        self.topic.start("checkout")
        self.time = self.began = self.topic.time + 2_000
        self.offsets = dict.fromkeys((EXPOSURES, EVENTS), 0)
        self.gathering = Gathering(PARTITIONS, HOUR, expected=2)
        for topic in self.offsets:
            self.gathering.begin((topic, 0), 0)

    def minute(self, exposures: int = 0, *events: str, run: str | None = None) -> None:
        """So many units meet a variant, and events are sent by the newest of them; then everything is folded."""
        self.time += MINUTE
        shown = []
        for _ in range(exposures):
            self.units += 1
            variant = ("control", "treatment")[self.units % 2]
            shown.append({"flag_key": "checkout", "variant": variant, "user_id": f"u{self.units}"})
            if run:
                shown[-1]["experiment_key"] = run
        done = [{"event_type": event, "user_id": f"u{self.units}"} for event in events]
        for topic, messages in ((EXPOSURES, shown), (EVENTS, done)):
            values = [json.dumps(message).encode() for message in messages]
            slice_ = records(topic, 0, self.offsets[topic], values, self.time)
            self.offsets[topic] += len(values)
            for assigned in assign(slice_, self.topic.history, HOUR, 5_000):
                self.gathering.add((topic, 0), assigned)
            self.gathering.reach((topic, 0), self.time, self.topic.history.newest.offset)
        for partition, message in zip(self.partitions, self.gathering.cut()[1], strict=True):
            partition.fold(partition.offset, message, self.topic.history.at_offset)

    def minutes(self, number: int, exposures: int = 0, *events: str, run: str | None = None) -> None:
        for _ in range(number):
            self.minute(exposures, *events, run=run)

    def look(self) -> Look:
        """The next look, by states that were saved and loaded, as a reader decodes it."""
        self.partitions = [Partition.load(partition.save()) for partition in self.partitions]
        run = self.topic.history.newest.flags["checkout"].runs[-1]
        its = [each for part in self.partitions for each in part.aggregates() if each.run == run.key]
        last = self.looks[-1] if self.looks and self.looks[-1].run == run.key else None
        self.looks.append(decode_look(encode_look(look(run, its, last))))
        return self.looks[-1]

    def faults(self) -> list[tuple[str, str | None]]:
        return [(each.kind, each.event or each.run or None) for each in self.look().health.data or ()]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_a_run_without_any_exposure_is_told_after_its_patience_and_no_more_once_one_came(shop: Shop) -> None:
    shop.minutes(29)
    assert shop.faults() == []
    assert shop.looks[-1].verdict.decision == "keep running"

    shop.minutes(2)
    assert shop.faults() == [("no exposures", "exp-1")]
    verdict = shop.looks[-1].verdict
    assert verdict.decision == "needs attention"
    assert verdict.reason == "No exposure has come since the start, 30 minutes ago; see what arrives."

    shop.minute(1)
    assert shop.faults() == []
    assert shop.looks[-1].verdict.decision == "keep running"


def test_exposures_and_events_that_stop_are_told_by_their_own_rate(shop: Shop) -> None:
    shop.minutes(90, 2, "purchase", "return")
    shop.minutes(30)
    assert shop.faults() == []

    shop.minutes(30)
    # Of returns there should be fewer: none is good news.
    assert shop.faults() == [("exposures stopped", "exp-1"), ("event stopped", "purchase")]
    found = shop.looks[-1]
    stopped, _ = found.health.data or ()
    assert stopped.since == (shop.time - 60 * MINUTE) // MINUTE * MINUTE
    assert found.verdict.decision == "needs attention"
    assert found.verdict.reason.startswith(
        "No exposure has come for 60 minutes, 180 before; no 'purchase' has come for 60 minutes, so purchases stands "
        "still; see what arrives; purchases has 90 units"
    )

    shop.minute(2, "purchase")
    assert shop.faults() == []


@pytest.mark.parametrize("comes", [(0,), (0, "purchase"), (3,)])
def test_nobody_says_how_long_it_takes_while_what_it_takes_does_not_come(
    shop: Shop, comes: tuple[int, *tuple[str, ...]]
) -> None:
    shop.minutes(90, 3, "purchase")
    assert "at this pace" in shop.look().verdict.reason

    shop.minutes(60, *comes)
    verdict = shop.look().verdict
    assert verdict.decision == "needs attention"
    assert verdict.days_left is None
    assert "at this pace" not in verdict.reason


def test_an_event_that_never_came_is_told_with_names_that_are_near(shop: Shop) -> None:
    shop.minutes(40, 2, "purchased", "view")
    assert shop.looks == []
    assert shop.faults() == []  # of 80 units

    shop.minutes(20, 2, "purchased", "returned")
    assert shop.faults() == [("event never came", "purchase"), ("event never came", "return")]
    purchase, _ = shop.looks[-1].health.data or ()
    assert (purchase.metric, purchase.near, purchase.count) == ("purchases", ["purchased"], 120)
    verdict = shop.looks[-1].verdict
    assert verdict.decision == "needs attention"
    assert verdict.reason.startswith(
        "No 'purchase' has come for 60 minutes, so purchases counts none of 120 units, while 'purchased' does; no 'ret"
    )


def test_an_event_that_comes_without_the_flags_unit_is_told_apart(shop: Shop) -> None:
    shop.minutes(59, 2)
    shop.minute(2)
    value = json.dumps({"event_type": "purchase", "device_id": "d"}).encode()
    for assigned in assign(
        records(EVENTS, 0, shop.offsets[EVENTS], [value], shop.time), shop.topic.history, HOUR, 5_000
    ):
        shop.gathering.add((EVENTS, 0), assigned)
    shop.offsets[EVENTS] += 1
    shop.minute()

    assert shop.faults() == [("event never came", "purchase")]
    (fault,) = shop.looks[-1].health.data or ()
    assert fault.says.startswith("'purchase' does come, but for 60 minutes none that purchases counts")
    assert fault.near == []


def test_exposures_that_name_an_older_run_are_counted_for_the_one_that_is_open(shop: Shop) -> None:
    shop.minutes(2, 10, run="exp-1")
    shop.topic.time = shop.time
    shop.topic.complete("checkout")
    shop.topic.start("checkout")
    shop.time = shop.topic.time
    shop.minutes(5, 4, run="exp-1")
    assert shop.faults() == [("older run", "exp-1")]  # nothing else comes

    shop.minutes(5, 4, "purchase", "return", run="exp-2")
    assert shop.faults() == []  # producers may not know of it yet

    shop.minutes(2, 4, run="exp-1")
    assert shop.faults() == [("older run", "exp-1")]
    (fault,) = shop.looks[-1].health.data or ()
    assert fault.count == 28
    assert fault.says.startswith("28 exposures name exp-1, which is over, and not exp-2, which began 10 minutes ago")
    assert shop.looks[-1].verdict.decision == "keep running"
    assert fault.says in shop.looks[-1].verdict.reason


def test_a_run_that_is_over_is_blamed_for_nothing_and_advises_nothing(shop: Shop) -> None:
    shop.minutes(30, 2)
    shop.topic.time = shop.time
    shop.topic.complete("checkout")
    shop.time = shop.topic.time
    for _ in range(8):
        shop.time += HOUR
        shop.minute()

    assert shop.faults() == []
    found = shop.looks[-1]
    assert found.final
    assert found.verdict.decision == "none"
