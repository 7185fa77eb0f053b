"""Lanes: what goes where and when, by records alone."""

import msgspec
import pytest

from evaluation.catalog.history import History
from pipeline.notifications.attempts import FIRST_PAUSE, LONGEST_PAUSE, PATIENCE, Attempt, pause
from pipeline.notifications.lanes import LATEST, Errand, Lanes
from schemas.catalog import Document
from schemas.duration import HOUR_MS
from schemas.notification import HandedOver, Notification, NotificationRule, Place, Trigger, Webhook
from schemas.written import Hours
from tests.evaluation.catalogs import in_force

NOW, HOUR = 1_767_225_600_000, 3_600_000
REFUSED = Attempt(error="it answers 500")


def rule(*places: str, enabled: bool = True, hours: Hours | None = None) -> NotificationRule:
    to = tuple(Place(name=name, webhook=Webhook(url="https://example.org")) for name in places)
    return NotificationRule(
        key="leads", owner="team", when=(Trigger(event="verdict changed"),), to=to, enabled=enabled, hours=hours
    )


def catalog(*versions: NotificationRule) -> History:
    return in_force([("notification", "leads", number, each) for number, each in enumerate(versions, 1)])


def word(identity: str, subject: str = "flag/a") -> Notification:
    return Notification(
        id=identity, rule="leads", event="verdict changed", subject=subject, time=NOW, sentence="it wins"
    )


def lanes(history: History, *words: Notification) -> Lanes:
    made = Lanes()
    for each in words:
        made.read(each, NOW)
    made.line_up(history, NOW)
    return made


def due(of: Lanes, history: History, now: int = NOW) -> dict[tuple[str, str], Errand]:
    """By place and subject."""
    found = {(lane.place, lane.subject): of.errand(lane, history, now) for lane in of.busy()}
    return {place: errand for place, errand in found.items() if errand}


def try_it(of: Lanes, errand: Errand, attempt: Attempt, now: int = NOW) -> HandedOver:
    outcome = of.outcome(errand, attempt, now)
    of.learn(outcome)
    return outcome


def test_a_place_hears_of_one_subject_in_order_and_others_are_not_held_up() -> None:
    history = catalog(rule("hook", "chat"))
    made = lanes(history, word("1"), word("2"), word("3", "flag/b"))

    try_it(made, due(made, history)["hook", "flag/a"], REFUSED)

    assert {place: errand.notification.id for place, errand in due(made, history).items()} == {
        ("chat", "flag/a"): "1",
        ("hook", "flag/b"): "3",
        ("chat", "flag/b"): "3",
    }
    later = NOW + pause("1", 1)
    assert try_it(made, due(made, history, later)["hook", "flag/a"], Attempt(), later).attempts == 2
    assert due(made, history, later)["hook", "flag/a"].notification.id == "2"


def test_what_was_handed_over_is_not_again_whoever_did_it_and_however_often_it_stands_there() -> None:
    history = catalog(rule("hook"))
    made = Lanes()
    made.learn(HandedOver(id="1", rule="leads", place="hook", outcome="delivered", attempts=1, time=NOW))
    for _ in range(2):
        made.read(word("1"), NOW)
        made.read(word("2"), NOW)

    assert made.line_up(history, NOW) == 1
    assert [errand.notification.id for errand in due(made, history).values()] == ["2"]
    made.learn(HandedOver(id="2", rule="leads", place="hook", outcome="given up", attempts=9, time=NOW))
    assert not made.busy()


def test_what_waits_behind_a_dead_place_has_no_day_of_its_own() -> None:
    history = catalog(rule("hook"))
    made = lanes(history, word("1"), word("2"))
    made.read(word("3"), NOW + PATIENCE)
    made.line_up(history, NOW + PATIENCE)

    tried = [
        try_it(made, due(made, history, NOW + PATIENCE)["hook", "flag/a"], REFUSED, NOW + PATIENCE) for _ in range(3)
    ]

    assert [(each.id, each.outcome) for each in tried] == [("1", "given up"), ("2", "given up"), ("3", "failed")]


def test_attempts_are_counted_on_after_a_restart_and_end_a_day_after_word_was_published() -> None:
    history = catalog(rule("hook"))
    made = lanes(history, word("1"))
    made.learn(HandedOver(id="1", rule="leads", place="hook", outcome="failed", attempts=1, time=NOW))
    made.learn(HandedOver(id="1", rule="leads", place="hook", outcome="failed", attempts=2, time=NOW + 5_000))

    assert not due(made, history, NOW + 5_000)
    outcome = try_it(made, due(made, history, NOW + PATIENCE)["hook", "flag/a"], REFUSED, NOW + PATIENCE)

    assert (outcome.outcome, outcome.attempts) == ("given up", 3)
    assert not made.busy()


def test_a_place_that_asks_for_it_is_left_alone_with_everything() -> None:
    history = catalog(rule("hook"))
    made = lanes(history, word("1"), word("2", "flag/b"))

    try_it(made, due(made, history)["hook", "flag/a"], Attempt(error="it answers 429", pause=60_000))

    assert not due(made, history, NOW + 59_999)
    assert len(due(made, history, NOW + 60_000)) == 2


def test_outside_of_its_hours_word_waits_until_they_begin() -> None:
    history = catalog(rule("hook", hours=Hours(between="09:00-17:00")))  # UTC; it is midnight
    made = lanes(history, word("1"))

    assert not due(made, history, NOW + 9 * HOUR - 1)
    assert due(made, history, NOW + 9 * HOUR)
    assert not due(made, history, NOW + 17 * HOUR)
    assert try_it(made, due(made, history, NOW + 33 * HOUR)["hook", "flag/a"], REFUSED).outcome == "failed"


def test_a_place_that_wants_no_more_is_not_asked_until_its_rule_has_another_version() -> None:
    history = catalog(rule("hook"))
    made = lanes(history, word("1"), word("2"))

    assert try_it(made, due(made, history)["hook", "flag/a"], Attempt(error="gone", is_last=True)).outcome == "given up"

    errand = due(made, history)["hook", "flag/a"]
    assert errand.refused is not None
    edited = catalog(rule("hook"), rule("hook", "chat"))
    assert due(made, edited)["hook", "flag/a"].refused is None
    outcome = try_it(made, errand, Attempt(error=errand.refused, is_last=True))
    assert (outcome.outcome, outcome.attempts) == ("given up", 0)


def test_word_goes_to_places_that_the_rule_had_when_it_was_found_and_still_has() -> None:
    before = catalog(rule("hook", "chat"))
    made = lanes(before, word("1"))

    assert {place for place, _ in due(made, catalog(rule("hook", "chat"), rule("chat", "mail")))} == {"chat"}
    assert not due(made, catalog(rule("hook", "chat"), rule("hook", "chat", enabled=False)))


def test_a_place_that_is_new_hears_nothing_of_before() -> None:
    history = catalog(rule("hook"))
    specs = rule("hook", "chat")
    document = Document(
        kind="notification",
        key="leads",
        version=2,
        base=1,
        author="a",
        reason="r",
        time=0,
        spec=msgspec.Raw(msgspec.json.encode(specs)),
    )
    history.append(1, NOW + 1, msgspec.json.encode(document))
    assert {place for place, _ in due(lanes(history, word("1")), history)} == {"hook"}


def test_what_is_older_than_what_the_topic_of_deliveries_keeps_is_sent_no_more() -> None:
    history = catalog(rule("hook"))
    made = Lanes()
    made.read(word("1"), NOW - LATEST - 1)
    assert made.line_up(history, NOW) == 0


@pytest.mark.parametrize("attempts", [1, 2, 5, 12, 40, 400])
def test_pauses_grow_to_an_hour_and_follow_from_the_id(attempts: int) -> None:
    longest = min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
    pauses = {pause(f"{number}", attempts) for number in range(100)}
    assert len(pauses) > 50
    assert all(longest / 2 <= each <= longest for each in pauses)
    assert pause("1", attempts) == pause("1", attempts)


def test_word_waits_for_the_hours_of_its_rule() -> None:
    history = catalog(msgspec.structs.replace(rule("hook"), hours=Hours(between="08:00-18:00")))
    made = lanes(history, word("1"))
    opening = NOW + 8 * HOUR_MS  # `NOW` is midnight

    assert not due(made, history, opening - 1)
    assert due(made, history, opening)["hook", "flag/a"].notification.id == "1"


def test_whoever_says_that_an_attempt_was_none_holds_up_nothing() -> None:
    history = catalog(rule("hook"))
    made = lanes(history, word("1"))
    made.learn(HandedOver(id="1", rule="leads", place="hook", outcome="failed", attempts=0, time=NOW, error="foreign"))
    assert not due(made, history)
    assert due(made, history, NOW + FIRST_PAUSE)
