"""Messages: what a person reads, in plain text, and when it is sent."""

from datetime import UTC, datetime

import pytest

from evaluation.notifications.message import is_sendable, message
from schemas.notification import Notification, NotificationRule, Trigger
from schemas.written import Hours

WORD = Notification(
    id="1f",
    rule="shop",
    event="verdict changed",
    subject="flag/checkout",
    part="exp-1",
    state="ship",
    time=1_772_438_400_000,
    sentence="treatment improves purchase: +16.2% [+10.6%, +22.0%], p < 0.0001.",
    experiment="checkout",
    run="exp-1",
    look=7,
    version=2,
    numbers={
        "decision": "ship",
        "units": 117_277,
        "relative_estimate": 0.162,
        "running_relative_lower": 0.106,
        "running_p_value": 0.00001,
        "chance": 0.991,
        "estimate": 0.0181,
        "dead_letters": 3,
    },
    link="#/experiments/checkout",
)


def rule_with(**fields: object) -> NotificationRule:
    return NotificationRule(**{"key": "shop", "owner": "shop", "when": (Trigger(event="lag"),)} | fields)


@pytest.mark.parametrize("base_url", ["https://flags.example.com", "https://flags.example.com/"])
def test_without_a_template_it_is_the_sentence_the_numbers_and_the_link(base_url: str):
    title, body = message(WORD, rule_with(), base_url)

    assert title == "checkout: ship"
    assert body.split("\n") == [
        "treatment improves purchase: +16.2% [+10.6%, +22.0%], p < 0.0001.",
        "decision ship, units 117,277, lift +16.2%, lower end of the lift +10.6%, p < 0.0001, chance 99.1%, "
        "difference 0.0181, dead letters 3",
        "https://flags.example.com/#/experiments/checkout",
    ]


def test_of_what_is_about_no_flag_it_is_the_sentence():
    word = Notification(id="2", rule="ops", event="lag", subject="stage/storage", time=0, sentence="They wait.")

    assert message(word, None, "https://flags.example.com") == ("storage: lag", "They wait.")


def test_a_template_has_every_field_by_its_name():
    template = "{title} of {rule} at {time}: {sentence} {{{experiment}/{run}}} {numbers} {link} {part} {state} {look}"
    rule = rule_with(template=template, timezone="Europe/Berlin")

    body = message(WORD, rule, "https://x.example").body

    assert body.startswith("checkout: ship of shop at 2026-03-02 09:00:00+01:00: treatment improves purchase: +16.2%")
    assert "{checkout/exp-1} decision ship, units 117,277" in body
    assert body.endswith("https://x.example/#/experiments/checkout exp-1 ship 7")


def test_what_a_notification_lacks_is_left_empty():
    word = Notification(id="2", rule="ops", event="lag", subject="stage/storage", time=0, sentence="They wait.")

    assert (
        message(word, rule_with(template="[{experiment}{run}{look}{link}{numbers}]"), "https://x.example").body == "[]"
    )


def test_it_is_sent_within_the_hours_of_the_rules_time_zone():
    rule = rule_with(timezone="Europe/Berlin", hours=Hours(days=("mon",), between="09:00-17:00"))

    def moment(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)

    times = ("2026-03-02T08:00", "2026-03-02T15:59", "2026-03-02T16:00", "2026-03-09T07:59", "2026-03-09T08:00")
    assert [is_sendable(rule, moment(each)) for each in times] == [True, True, False, False, True]
    assert is_sendable(rule_with(), 5)


def test_a_time_zone_that_this_machine_does_not_know_holds_up_nothing():
    rule = rule_with(timezone="Europe/Atlantis", hours=Hours(between="00:00-00:01"), template="{time}")

    assert is_sendable(rule, WORD.time)
    assert message(WORD, rule, "").body == "2026-03-02 08:00:00+00:00"
