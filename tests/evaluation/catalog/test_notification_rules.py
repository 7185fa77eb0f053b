"""Rules of notifications: what could not be kept is refused, with the place and the way out."""

from typing import Any

import pytest

from evaluation.catalog.history import edit_violations
from evaluation.catalog.in_force import Catalog
from evaluation.catalog.notification_rules import about_remarks, notification_violations
from evaluation.catalog.plan_rules import calendar_violations
from evaluation.catalog.rules import path_text
from schemas.notification import OCCURRENCES, About, NotificationRule, Place, SecretAt, Trigger, Webhook
from schemas.written import Hours
from tests.evaluation.catalogs import in_force

KEY = SecretAt(env="SHOP_KEY")


def found(**fields: Any) -> list[tuple[str, str]]:
    rule = NotificationRule(**{"key": "shop", "owner": "shop", "when": (Trigger(event="run final"),)} | fields)
    return [(path_text(each.path), each.message) for each in notification_violations(rule)]


def of_place(**fields: Any) -> list[tuple[str, str]]:
    return found(to=(Place(name="there", **fields),))


def test_every_event_may_be_told_with_what_it_takes():
    when = tuple(Trigger(event=event, lasts=told.lasts, above=told.above) for event, told in OCCURRENCES.items())

    assert found(when=when) == []


@pytest.mark.parametrize("event", [event for event, told in OCCURRENCES.items() if told.lasts is None])
def test_a_for_that_an_event_does_not_take_is_refused(event: Any):
    ((path, message),) = found(when=(Trigger(event=event, lasts="1h"),))

    assert path == "when[0].for"
    assert message.startswith(f"1h would be ignored: '{event}' takes none, ")


@pytest.mark.parametrize("event", [event for event, told in OCCURRENCES.items() if told.above is None])
def test_an_above_that_an_event_does_not_take_is_refused(event: Any):
    ((path, _),) = found(when=(Trigger(event=event, above=3),))

    assert path == "when[0].above"


@pytest.mark.parametrize("event", [event for event, told in OCCURRENCES.items() if not told.is_of_flag])
def test_what_is_about_no_flag_is_no_event_of_a_rule_that_is_about_some(event: Any):
    ((path, _),) = found(when=(Trigger(event=event),), about=About(keys=("checkout",)))

    assert path == "when[0].event"


def test_an_event_is_told_once_by_a_rule():
    assert found(when=(Trigger(event="lag", above=1), Trigger(event="lag"))) == [
        ("when[1]", "'lag' is there twice; keep one, or make another rule")
    ]


def test_workers_are_not_remembered_for_ever():
    assert [path for path, _ in found(when=(Trigger(event="lag", lasts="13h"),))] == ["when[0].for"]
    assert found(when=(Trigger(event="lag", lasts="12h"),)) == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "to[0]"),
        ({"webhook": Webhook(url=KEY), "people": KEY}, "to[0]"),
        ({"people": SecretAt()}, "to[0].people"),
        ({"people": SecretAt(env="A", file="b")}, "to[0].people"),
        ({"webhook": Webhook(url=SecretAt())}, "to[0].webhook.url"),
        ({"webhook": Webhook(url="flags.example.com/x")}, "to[0].webhook.url"),
        ({"webhook": Webhook(url="ftp://flags.example.com")}, "to[0].webhook.url"),
        ({"webhook": Webhook(url="https://ann:secret@flags.example.com")}, "to[0].webhook.url"),
        ({"webhook": Webhook(url="https://flags.example.com:99999")}, "to[0].webhook.url"),
        ({"webhook": Webhook(url="https://flags.example.com", secrets=(KEY, SecretAt()))}, "to[0].webhook.secrets[1]"),
    ],
)
def test_a_place_that_nobody_reaches_is_refused(fields: dict[str, Any], path: str):
    assert [each for each, _ in of_place(**fields)] == [path]


def test_places_that_can_be_reached_are_fine():
    assert of_place(people=SecretAt(file="/run/secrets/slack")) == []
    assert of_place(webhook=Webhook(url="http://127.0.0.1:8000/hook", secrets=(KEY, KEY))) == []


def test_two_places_have_two_names():
    places = (Place(name="there", people=KEY), Place(name="there", people=KEY))

    assert [path for path, _ in found(to=places)] == ["to[1].name"]


def test_hours_must_come_in_a_time_zone_that_there_is():
    assert [path for path, _ in found(hours=Hours(between="09:00-09:00"))] == ["hours.between"]
    rule = NotificationRule(key="shop", owner="shop", when=(Trigger(event="lag"),), timezone="Europe/Atlantis")
    assert [path_text(each.path) for each in calendar_violations(rule)] == ["timezone"]
    assert [each.path for each in edit_violations(rule, Catalog())] == [("timezone",)]
    assert in_force([("notification", "shop", 1, rule)]).newest.notifications["shop"].version == 1  # zones come and go


@pytest.mark.parametrize("template", ["{nobody}", "{0}", "{}", "{sentence!r}", "{look:>9}", "{numbers[p]}", "{", "}"])
def test_a_template_has_names_of_fields_alone(template: str):
    assert [path for path, _ in found(template=template)] == ["template"]


def test_a_template_may_say_braces():
    assert found(template='{{"text": "{title} {sentence}"}}') == []


def test_whom_nobody_has_is_noted():
    about = About(owners=("shop", "shpo"), tags=("web",), keys=("checkout",))
    known = {"keys": {"checkout"}, "owners": {"shop"}, "tags": set()}

    assert [(path_text(each.path), each.message) for each in about_remarks(about, known)] == [
        ("about.owners[1]", "no document has the owner 'shpo', so nothing is told; did you mean 'shop'?"),
        ("about.tags[0]", "no document has the tag 'web', so nothing is told; there are none"),
    ]
