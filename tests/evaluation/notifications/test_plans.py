"""Plans: people are told of each step, and of what stands in the way."""

import msgspec
import pytest

from evaluation.catalog.lifecycle import take_step
from evaluation.notifications import plans
from schemas.notification import Notification, Trigger
from schemas.plan import Plan
from tests.evaluation.notifications.conftest import HOUR, MINUTE, PURCHASE, Shop

SECOND = 1_000
MORNINGS = {"between": "09:00-12:00"}
STEPS = [{"rollout": 1, "for": "1h", "until": {"units": 500}}, {"rollout": 10, "for": "1h"}, {"rollout": 50}]


def planned(**fields: object) -> Shop:
    shop = Shop(plan=msgspec.convert({"steps": STEPS} | fields, Plan), rollout=100)
    shop.rule(Trigger(event="plan step taken"), Trigger(event="plan blocked"))
    return shop


def told_after(shop: Shop, ms: int) -> list[Notification]:
    shop.tell()
    shop.work.now += ms
    return shop.tell()


def test_a_version_by_the_plan_is_told_with_its_reason():
    shop = planned()
    shop.edit(name="Checkout")
    assert shop.tell() == []
    shop.take(lambda state, version: take_step(state, version, 2), author="plan", reason="step 2: 500 of 500 units")

    (word,) = shop.tell()

    assert word.event == "plan step taken"
    assert word.sentence.startswith("The plan of checkout has acted, ")
    assert word.sentence.endswith(": step 2: 500 of 500 units")
    assert (word.version, word.run) == (4, "exp-1")


def test_each_act_of_a_plan_is_told_though_several_came_at_once_unless_a_week_has_passed():
    shop = planned()
    for step in (2, 3):
        shop.take(lambda state, version, step=step: take_step(state, version, step), author="plan")

    assert [(each.version, each.part) for each in shop.tell()] == [(3, "3"), (4, "4")]
    assert shop.tell() == []

    late = planned()
    late.take(lambda state, version: take_step(state, version, 2), author="plan")
    late.work.now += 7 * 24 * HOUR + MINUTE
    assert [each.event for each in late.tell() if each.event == "plan step taken"] == []


def test_a_step_whose_time_has_come_is_told_of_what_it_lacks():
    shop = planned()
    shop.look(units=400)
    shop.work.now += HOUR - SECOND
    assert told_after(shop, 0) == []
    shop.work.now += SECOND

    (word,) = told_after(shop, MINUTE)

    assert (word.event, word.state, word.part) == ("plan blocked", "step 1", "exp-1")
    assert "400 of 500 units" in word.sentence
    shop.look(units=450)
    assert told_after(shop, HOUR) == []


def test_an_act_that_nobody_does_is_told_once_it_is_due_for_settle():
    shop = planned()
    shop.work.now += HOUR
    shop.look(units=500)
    assert shop.tell() == []

    (word,) = told_after(shop, MINUTE)

    assert word.state == "would take step 2"


def test_an_act_that_is_done_at_once_is_told_as_a_step_alone():
    shop = planned()
    shop.look(units=500)
    shop.work.now += HOUR
    shop.tell()
    shop.work.now += SECOND
    shop.take(lambda state, version: take_step(state, version, 2), author="plan")

    assert [each.event for each in shop.tell()] == ["plan step taken"]
    assert told_after(shop, MINUTE) == []


def test_a_plan_that_is_paused_is_told_with_the_way_out():
    shop = planned()
    shop.edit(sticky=True)

    (word,) = told_after(shop, MINUTE)

    assert word.state == "paused by version 3"
    assert "'Resume' on its page, or `peekproof plan resume checkout`, goes on" in word.sentence


def test_the_end_of_a_plan_that_does_nothing_then_is_told():
    shop = planned(end="1970-02-12")

    (word,) = told_after(shop, 30 * 24 * HOUR) or told_after(shop, MINUTE)

    assert word.state == "at its end"


def test_a_document_of_another_kind_that_is_signed_so_is_no_step():
    shop = planned()
    shop.publish(msgspec.structs.replace(PURCHASE, description="whoever buys"), author="plan")

    assert shop.tell() == []


def test_a_plan_that_cannot_be_asked_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch):
    shop = planned()
    assert shop.tell() == []
    monkeypatch.setattr(plans, "ask", lambda *_: 1 // 0)

    assert told_after(shop, 0) == []
    (word,) = told_after(shop, MINUTE)

    assert word.state == "cannot be asked"
    assert word.sentence.endswith(": ZeroDivisionError.")


def test_a_date_on_which_a_plan_acts_within_its_hours_has_not_passed_before():
    shop = Shop(plan=msgspec.convert({"steps": STEPS, "end": "1970-02-12", "hours": MORNINGS}, Plan), rollout=100)
    shop.rule(Trigger(event="date passed"))
    shop.work.now += 8 * HOUR + MINUTE  # it is midnight
    assert shop.tell() == []
    shop.work.now += 9 * HOUR

    (word,) = shop.tell()

    assert (word.event, word.state) == ("date passed", "exp-1 1970-02-12")
