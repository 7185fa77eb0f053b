"""The timeline of a plan: what was taken, what is in force, and when the rest comes at the earliest."""

import msgspec
import pytest

from evaluation.catalog import lifecycle
from evaluation.plans.acts import TakeStep
from evaluation.plans.preview import Preview, preview
from tests.evaluation.plans.conftest import at

HOUR, DAY = 3_600_000, 86_400_000
BEGAN = at("2026-03-02T08:00")
PLAN = {
    "start": "2026-03-02T09:00",
    "timezone": "Europe/Berlin",
    "steps": [
        {"rollout": 1, "for": "1h"},
        {"rollout": 10, "segments": {"beta": 100}, "for": "24h", "until": {"units": 50}},
        {"rollout": 50, "segments": {"beta": 100}, "for": "7d"},
        {"rollout": 100, "at": "2026-03-30"},
    ],
    "end": "2026-03-20",
    "hours": {"days": ["mon", "tue", "wed", "thu", "fri"], "between": "09:00-17:00"},
    "on_harm": "roll back",
}


def test_a_timeline_begins_where_the_plan_stands(staged, look_of):
    stage = staged(PLAN).start(BEGAN).do(lifecycle.take_step, BEGAN + 2 * HOUR, 2)
    time = BEGAN + 3 * HOUR

    shown = preview(stage.flag, look_of(units=20), time)

    assert [(each.step, each.rollout, each.segments["beta"], each.state) for each in shown.steps] == [
        (1, 1, 1, "taken"),
        (2, 10, 100, "in force"),
        (3, 50, 100, "ahead"),
        (4, 100, 100, "ahead"),
    ]
    assert shown.steps[1].since == BEGAN + 2 * HOUR
    third, fourth = shown.steps[2:]
    assert third.earliest == BEGAN + DAY + 2 * HOUR
    assert [(each.text, each.holds) for each in third.awaits] == [
        ("step 2 in force for 24h, since 2026-03-02 11:00:00+01:00", False),
        ("20 of 50 units", False),
        ("within hours Mon to Fri 09:00-17:00 Europe/Berlin", False),
    ]
    assert fourth.earliest is None
    assert fourth.awaits[-1].text == "before its end 2026-03-20 00:00:00+01:00"
    assert shown.end.earliest == at("2026-03-20T09:00+01:00")
    assert (shown.run, shown.look, shown.version, shown.on_harm) == ("exp-1", 7, 3, "roll back")
    assert shown.now.next == "step 3 of 4 (50 %, beta 100 %)"


def test_a_draft_is_told_as_if_it_began_at_its_start(staged):
    shown = preview(staged(PLAN).flag, None, BEGAN - 30 * DAY)

    assert [each.earliest for each in shown.steps] == [BEGAN, BEGAN + HOUR, BEGAN + DAY + HOUR, None]
    assert shown.steps[1].awaits[0].text == "step 1 in force for 1h"
    assert shown.status == "draft"


def test_what_a_plan_says_itself_comes_when_its_timeline_says(staged, look_of):
    stage = staged(PLAN | {"end": None}).start(BEGAN)
    for number in (2, 3, 4):
        comes = preview(stage.flag, look_of(units=50), stage.flag.plan.taken).steps[number - 1].earliest
        assert preview(stage.flag, look_of(units=50), comes - 1).now.act is None
        assert preview(stage.flag, look_of(units=50), comes).now.act == TakeStep(number)
        stage.do(lifecycle.take_step, comes, number)

    assert preview(stage.flag, None, comes).end.awaits == ()


def test_of_a_flag_that_is_over_nothing_is_ahead(staged):
    flag = staged(PLAN).start(BEGAN).do(lifecycle.roll_back, BEGAN).flag

    shown = preview(flag, None, BEGAN)

    assert [each.state for each in shown.steps] == ["taken", "never", "never", "never"]
    assert shown.end.earliest is None


def test_a_time_zone_that_is_not_known_here_has_no_timeline(staged):
    with pytest.raises(ValueError, match="is no time zone"):
        preview(staged(PLAN | {"timezone": "Mars/Olympus"}).flag, None, BEGAN)


@pytest.mark.parametrize("plan", [{}, {"start": "0001-01-01", "end": "9999-12-31T23:59:59-23:59"}])
def test_what_is_beyond_the_calendar_comes_never_and_is_told_all_the_same(staged, plan):
    steps = [{"rollout": 1, "for": "999999999d"}, {"rollout": 10, "for": "1h"}, {"rollout": 50}]
    flag = staged({"steps": steps} | plan).start(BEGAN).flag

    shown = preview(flag, None, BEGAN + HOUR)

    assert [each.earliest for each in (*shown.steps, shown.end)] == [None] * 4
    assert msgspec.json.decode(msgspec.json.encode(shown), type=Preview) == shown
