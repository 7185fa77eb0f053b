"""What people are told about flags."""

from collections.abc import Callable

import msgspec
import pytest

from evaluation.catalog.history import History
from evaluation.catalog.in_force import FlagInForce
from evaluation.catalog.lifecycle import (
    apply_definition,
    archive,
    complete,
    delete,
    pause,
    roll_back,
    roll_out,
    start,
    take_step,
)
from evaluation.catalog.overview import PlanStanding, differences, overdue, stale, summaries, told
from schemas.catalog import (
    KINDS,
    Document,
    Flag,
    FlagState,
    Goal,
    Group,
    GroupSlot,
    Membership,
    Metric,
    Segment,
    Variant,
)
from schemas.duration import DAY_MS
from schemas.plan import Plan, PlanStep

PURCHASE = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="10s")
PLAIN = Flag(key="button", owner="shop", variants=(Variant(key="control"), Variant(key="treatment")), rollout=50)
EXPERIMENT = msgspec.structs.replace(PLAIN, key="test", metrics=(Goal(metric="purchase"),))

LISTING = (Variant(key="control", users=("ann",)), Variant(key="treatment"))

Step = Callable[[FlagState, int], FlagState]


class Shop:
    """A catalog whose versions are appended at the day that was set."""

    def __init__(self) -> None:
        self.history = History()
        self.day = 0
        self.publish(PURCHASE)
        self.publish(Group(key="holdout", owner="shop", type="holdout", slots=(GroupSlot(percentage=2),)))

    def publish(self, spec: Metric | Group | FlagState) -> None:
        newest = self.history.newest
        kind, key = KINDS[type(spec)], (spec.definition if isinstance(spec, FlagState) else spec).key
        base = newest.version_of(kind, key)
        document = Document(
            kind=kind,
            key=key,
            version=base + 1,
            base=base,
            author="ann",
            time=5,
            reason="why",
            spec=msgspec.Raw(msgspec.json.encode(spec)),
        )
        self.history.append(newest.offset, self.day * DAY_MS, msgspec.json.encode(document))
        assert not self.history.rejected

    def take(self, key: str, *steps: Step) -> None:
        for step in steps:
            state = self.history.state_of(key)
            assert state is not None
            self.publish(step(state, self.history.newest.version_of("flag", key) + 1))

    def stale(self, day: int, seen: dict[bytes, int] | None = None) -> list[tuple[str, int, str]]:
        found = stale(self.history.newest, seen or {}, day * DAY_MS, 30)
        return [(each.key, each.since // DAY_MS, each.reason) for each in found]


def begin(state: FlagState, version: int) -> FlagState:
    return start(state, version, "s1")


def edit(**fields: object) -> Step:
    return lambda state, version: apply_definition(state, msgspec.structs.replace(state.definition, **fields), version)


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.publish(FlagState(definition=PLAIN))
    shop.publish(FlagState(definition=EXPERIMENT))
    return shop


def test_a_history_tells_every_version_with_its_author_reason_and_what_changed(shop: Shop):
    shop.take("button", begin, edit(rollout=80, name="B"), lambda state, version: roll_out(state, version, "treatment"))
    shop.take("button", roll_back, lambda state, _: archive(state, ()))

    found = told(shop.history, "button")

    assert [each.version for each in found] == [1, 2, 3, 4, 5, 6]
    assert {(each.author, each.reason, each.time) for each in found} == {("ann", "why", 5)}
    assert [each.changed for each in found] == [
        ("created",),
        ("exp-1 is running",),
        ("name", "rollout"),
        ("exp-1 is complete", "treatment is rolled out"),
        ("rolled back",),
        ("archived",),
    ]


def test_a_difference_names_the_place_and_both_values(shop: Shop):
    third = Variant(key="third", payload={"a": [1, {"b": 2}]})
    shop.take("button", edit(rollout=80, variants=(*PLAIN.variants, third)))
    shop.take("button", begin, lambda state, version: roll_out(state, version, "third"))

    def found(*versions: int) -> dict[str, tuple[object, object]]:
        return {each.path: (each.before, each.after) for each in differences(shop.history, "button", *versions)}

    assert found(1, 2) == {
        "rollout": (50, 80),
        "variants[2]": (None, {"key": "third", "payload": {"a": [1, {"b": 2}]}}),
    }
    assert found() == {"status": ("running", "rolled out"), "rolled_out": (None, "third")}
    assert found(4, 3) == {"status": ("rolled out", "running"), "rolled_out": ("third", None)}
    assert found(0, 1)["key"] == (None, "button")
    with pytest.raises(ValueError, match="'button' has no version 9; it has 1 to 4"):
        found(9)


def test_summaries_leave_out_deleted_flags_and_tell_archived_ones(shop: Shop):
    shop.take("button", lambda state, _: archive(state, ()))
    shop.take("test", begin)
    assert [(each.key, each.status, each.run) for each in summaries(shop.history.newest, 0)] == [
        ("button", "archived", None),
        ("test", "running", "exp-1"),
    ]

    shop.take("button", lambda state, _: delete(state, ()))
    assert [each.key for each in summaries(shop.history.newest, 0)] == ["test"]


def test_nobody_gets_a_roll_out_that_is_archived(shop: Shop):
    told = []
    for step in (lambda state, version: roll_out(state, version, "control"), lambda state, _: archive(state, ())):
        shop.take("button", step)
        told += [(each.status, each.rolled_out) for each in summaries(shop.history.newest, 0) if each.key == "button"]

    assert told == [("rolled out", "control"), ("archived", None)]


def test_experiments_alone_are_flags_with_metrics(shop: Shop):
    assert [each.key for each in summaries(shop.history.newest, 0, experiments_only=True)] == ["test"]


def test_a_date_that_has_passed_is_told_until_its_command_is_given(shop: Shop):
    shop.take("button", edit(start="1970-01-03", end="1970-01-05"))

    def late(day: int) -> str | None:
        return overdue(shop.history.newest.flags["button"], day * DAY_MS)

    assert (late(1), late(2)) == (None, "start date 1970-01-03 has passed")
    shop.take("button", begin)
    assert (late(2), late(4)) == (None, "end date 1970-01-05 has passed")
    shop.take("button", complete)
    assert late(4) is None


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([], "everybody gets 'off' (draft)"),
        ([begin, complete], "everybody gets 'off' (complete)"),
        ([begin, roll_back], "everybody gets 'off' (rolled back)"),
        ([lambda state, version: roll_out(state, version, "control")], "everybody gets 'control'"),
        ([edit(variants=LISTING)], "everybody but those listed gets 'off' (draft)"),
        ([edit(variants=LISTING), begin, complete], "everybody gets 'off' (complete)"),
        (
            [edit(variants=LISTING), lambda state, version: roll_out(state, version, "treatment")],
            "everybody but those listed gets 'treatment'",
        ),
        (
            [
                edit(variants=LISTING, groups=(Membership(group="holdout"),)),
                lambda state, version: roll_out(state, version, "treatment"),
            ],
            "everybody but those listed or held out gets 'treatment'",
        ),
        (
            [
                edit(groups=(Membership(group="holdout"),)),
                lambda state, version: roll_out(state, version, "treatment"),
            ],
            "everybody but those held out gets 'treatment'",
        ),
        ([edit(rollout=0), begin], "stands at 0 %"),
        ([edit(rollout=100), begin], "stands at 100 %"),
        ([edit(rollout=100, segments=(Segment(name="s", rollout=100),)), begin], "stands at 100 %"),
    ],
)
def test_a_flag_that_has_stood_still_for_thirty_days_is_stale(shop: Shop, steps: list[Step], reason: str):
    shop.take("test", lambda state, _: archive(state, ()))
    shop.day = 10
    shop.take("button", edit(name="Button"), *steps)

    assert shop.stale(39) == []
    assert shop.stale(40) == [("button", 10, reason)]


@pytest.mark.parametrize(
    "steps",
    [
        [begin],
        [edit(rollout=100, segments=(Segment(name="s", rollout=0),)), begin],
        [edit(tags=("permanent",))],
        [lambda state, _: archive(state, ())],
    ],
    ids=["some", "all but a segment", "permanent", "archived"],
)
def test_a_flag_that_still_splits_or_is_meant_to_stand_is_not_stale(shop: Shop, steps: list[Step]):
    shop.take("test", lambda state, _: archive(state, ()))
    shop.take("button", *steps)

    assert shop.stale(400) == []


def test_an_experiment_is_stale_when_its_traffic_has_ended(shop: Shop):
    shop.take("button", lambda state, _: archive(state, ()))
    shop.take("test", begin)

    assert shop.stale(29) == []
    assert shop.stale(30) == [("test", 0, "no traffic")]
    assert shop.stale(30, {b"test/exp-1": 20 * DAY_MS}) == []
    assert shop.stale(50, {b"test/exp-1": 20 * DAY_MS}) == [("test", 20, "no traffic")]


def test_a_plain_flag_is_stale_when_the_exposures_that_it_had_have_ended(shop: Shop):
    shop.take("test", lambda state, _: archive(state, ()))
    shop.take("button", begin)

    assert shop.stale(400) == []
    assert shop.stale(49, {b"button/exp-1": 20 * DAY_MS}) == []
    assert shop.stale(50, {b"button/exp-1": 20 * DAY_MS}) == [("button", 20, "no traffic")]


def test_a_flag_with_a_plan_tells_the_step_that_is_in_force_and_what_it_gives(shop: Shop):
    planned = Plan(steps=(PlanStep(rollout=1, lasts="1h"), PlanStep(rollout=10, segments={"pros": 60})))
    shop.take("button", edit(plan=planned, rollout=100, segments=(Segment(name="pros"),)))

    def found() -> tuple[float, tuple[float, ...], PlanStanding | None]:
        (each,) = [each for each in summaries(shop.history.newest, 0) if each.key == "button"]
        return each.rollout, each.of_segments, each.plan

    assert found() == (1, (1,), None)
    shop.day = 1
    shop.take("button", begin)
    standing = PlanStanding(step=1, steps=2, taken=DAY_MS, paused=None, why=None, holds=False)
    assert found() == (1, (1,), standing)
    shop.day = 2
    shop.take("button", lambda state, version: take_step(state, version, 2))
    standing = msgspec.structs.replace(standing, step=2, taken=2 * DAY_MS)
    assert found() == (10, (60,), standing)
    shop.day = 3
    shop.take("button", edit(sticky=True), pause)
    standing = msgspec.structs.replace(standing, paused=3 * DAY_MS, why="asked", holds=True)
    assert found() == (0, (0,), standing)
    assert shop.stale(33) == [("button", 3, "its plan is paused (asked)"), ("test", 0, "everybody gets 'off' (draft)")]
    assert [each.changed for each in told(shop.history, "button")][2:] == [
        ("exp-1 is running", "step 1 of 2 is in force"),
        ("step 2 of 2 is in force",),
        ("sticky", "the plan is paused (edited)"),
        ("the plan is paused (asked)",),
    ]
    shop.take("button", complete)
    assert found() == (1, (1,), None)


def test_the_last_step_of_a_plan_stands_where_it_stands_and_an_earlier_one_too(shop: Shop):
    shop.take("button", edit(plan=Plan(steps=(PlanStep(rollout=0, lasts="1h"), PlanStep(rollout=100))), rollout=100))
    shop.take("button", begin)
    assert shop.stale(31)[0] == ("button", 0, "stands at 0 %")

    shop.take("button", lambda state, version: take_step(state, version, 2))

    assert shop.stale(31)[0] == ("button", 0, "stands at 100 %")


def test_dates_of_a_plan_are_its_time_zones():
    def late(timezone: str) -> str | None:
        plan = Plan(start="1970-01-03", end="1970-01-05T00:00", steps=(PlanStep(rollout=1),), timezone=timezone)
        definition = msgspec.structs.replace(PLAIN, rollout=100, plan=plan)
        return overdue(FlagInForce(definition, "draft", 1, 0, ()), 2 * DAY_MS - 1)

    assert late("UTC") is None
    assert late("Asia/Tokyo") == "start date 1970-01-03 has passed"
    assert late("Mars/Olympus") == (
        "start date 1970-01-03 cannot be told: 'Mars/Olympus' is no time zone; write its IANA name, for example "
        "Europe/Berlin, or UTC"
    )
