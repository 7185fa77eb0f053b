"""The catalog as a fold over its topic."""

import msgspec
import pytest

from evaluation.catalog.history import History
from evaluation.catalog.in_force import SETTLING, PlanInForce
from evaluation.catalog.lifecycle import (
    apply_definition,
    archive,
    complete,
    pause,
    resume,
    roll_back,
    roll_out,
    start,
    take_step,
)
from schemas.catalog import (
    Allocation,
    Breakdown,
    Cohort,
    Cuped,
    Deployment,
    Document,
    Flag,
    FlagState,
    Goal,
    Group,
    GroupSlot,
    Membership,
    Metric,
    Spec,
    Variant,
)
from schemas.plan import Evidence, Pause, Plan, PlanStep, Progress

PURCHASE = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="10s")
REVENUE = Metric(key="revenue", owner="shop", type="sum", event="purchase", property="price", window="none", scale=3)
BUTTON = Flag(
    key="button",
    owner="shop",
    variants=(Variant(key="control"), Variant(key="treatment")),
    metrics=(Goal(metric="purchase"),),
)


class Topic:
    """A catalog topic and its reader; each record is appended ten seconds after the last."""

    def __init__(self) -> None:
        self.history = History()
        self.time = 0

    def append(self, value: bytes | None) -> int:
        self.time += 10_000
        self.history.append(self.history.newest.offset, self.time, value)
        return self.time

    def publish(self, kind: str, spec: Spec, version: int, base: int | None = None, key: str = "") -> int:
        key = key or (spec.definition if isinstance(spec, FlagState) else spec).key
        document = Document(
            kind=kind,
            key=key,
            version=version,
            base=version - 1 if base is None else base,
            author="ann",
            time=0,
            reason="test",
            spec=msgspec.Raw(msgspec.json.encode(spec)),
        )
        return self.append(msgspec.json.encode(document))


@pytest.fixture
def topic() -> Topic:
    topic = Topic()
    topic.publish("metric", PURCHASE, 1)
    topic.publish("metric", REVENUE, 1)
    return topic


def with_goals(state: FlagState, *metrics: str, version: int) -> FlagState:
    goals = tuple(Goal(metric=metric) for metric in metrics)
    return apply_definition(state, msgspec.structs.replace(state.definition, metrics=goals), version)


def test_an_edit_of_a_stale_version_is_ignored_and_reported(topic: Topic):
    topic.publish("metric", msgspec.structs.replace(PURCHASE, window="20s"), 2)

    topic.publish("metric", msgspec.structs.replace(PURCHASE, window="30s"), 2)

    assert topic.history.newest.metrics["purchase"].definition.window == "20s"
    assert topic.history.newest.metrics["purchase"].version == 2
    (rejected,) = topic.history.rejected
    assert rejected.offset == 3
    assert "version 2 of metric 'purchase' edits version 1, but version 2 stands" in rejected.reason


@pytest.mark.parametrize(("version", "base"), [(3, 1), (3, 2), (1, 0), (1, 1)])
def test_only_the_successor_of_the_standing_version_counts(topic: Topic, version: int, base: int):
    topic.publish("metric", PURCHASE, version, base)

    assert topic.history.newest.metrics["purchase"].version == 1
    assert len(topic.history.rejected) == 1


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"kind":"flag","key":"A","version":1}'],
    ids=["null", "empty", "truncated", "array", "no fields", "not UTF-8", "nested", "bad key"],
)
def test_a_record_that_is_no_document_is_reported_and_the_next_one_counts(topic: Topic, value: bytes | None):
    before = topic.history.newest

    topic.append(value)
    topic.publish("metric", PURCHASE, 2)

    assert [rejected.offset for rejected in topic.history.rejected] == [2]
    assert topic.history.states[-2].metrics == before.metrics
    assert topic.history.newest.version_of("metric", "purchase") == 2
    assert topic.history.newest.offset == 4


@pytest.mark.parametrize(
    ("kind", "spec", "key", "reason"),
    [
        ("metric", msgspec.structs.replace(REVENUE, key="total", property=None), "", "a sum adds up a property"),
        ("metric", PURCHASE, "other", "holds the spec of 'purchase'"),
        ("metric", FlagState(definition=BUTTON), "", "spec of metric 'button'"),
        ("flag", FlagState(definition=msgspec.structs.replace(BUTTON, metrics=(Goal(metric="x"),))), "", "no metric"),
        ("flag", FlagState(definition=BUTTON, status="running"), "", "a running flag needs an open run"),
    ],
)
def test_a_document_that_breaks_a_rule_is_ignored_and_reported(
    topic: Topic, kind: str, spec: Metric | FlagState, key: str, reason: str
):
    topic.publish(kind, spec, 1, key=key)

    (rejected,) = topic.history.rejected
    assert reason in rejected.reason
    assert not topic.history.newest.flags
    assert set(topic.history.newest.metrics) == {"purchase", "revenue"}


def test_a_version_applies_to_input_appended_a_second_after_it():
    topic = Topic()
    appended = topic.publish("metric", PURCHASE, 1)

    assert topic.history.index_at(-1) == 0
    assert topic.history.index_at(0) == 0
    assert topic.history.index_at(appended + SETTLING - 1) == 0
    assert topic.history.index_at(appended + SETTLING) == 1
    assert topic.history.boundaries == [0, appended + SETTLING]


def test_of_versions_appended_within_one_millisecond_the_last_applies():
    history = History()
    history.append(0, 5_000, b"")
    history.append(1, 5_000, b"")

    assert history.index_at(5_000 + SETTLING) == 2


def test_a_broker_clock_that_steps_back_does_not_reorder_versions():
    history = History()
    history.append(0, 9_000, b"")
    history.append(1, 4_000, b"")

    assert history.index_at(4_000 + SETTLING) == 0
    assert history.index_at(9_000 + SETTLING) == 2


def test_at_offset_gives_the_state_after_every_record_before_it(topic: Topic):
    assert topic.history.at_offset(0) is topic.history.states[0]
    assert set(topic.history.at_offset(1).metrics) == {"purchase"}
    assert set(topic.history.at_offset(2).metrics) == {"purchase", "revenue"}
    assert topic.history.at_offset(99) is topic.history.newest


def test_a_run_starts_and_completes_at_the_append_times_of_its_versions(topic: Topic):
    draft = apply_definition(None, BUTTON, 1)
    topic.publish("flag", draft, 1)
    running = start(draft, 2, "s1")
    started = topic.publish("flag", running, 2)
    topic.publish("flag", apply_definition(running, msgspec.structs.replace(BUTTON, name="B"), 3), 3)
    completed = topic.publish("flag", complete(topic.history.state_of("button"), 4), 4)
    topic.publish("flag", start(topic.history.state_of("button"), 5, "s2"), 5)

    first, second = topic.history.newest.flags["button"].runs
    assert (first.key, first.started, first.completed) == ("exp-1", started, completed)
    assert (second.key, second.started, second.completed) == ("exp-2", topic.time, None)
    assert not topic.history.rejected


def test_a_metric_covers_entries_since_the_start_or_since_its_addition_or_change_applied(topic: Topic):
    running = start(apply_definition(None, BUTTON, 1), 1, "s1")
    started = topic.publish("flag", running, 1)
    assert topic.history.newest.flags["button"].runs[0].since == {"purchase": started}

    both = with_goals(running, "purchase", "revenue", version=2)
    added = topic.publish("flag", both, 2) + SETTLING
    assert topic.history.newest.flags["button"].runs[0].since == {"purchase": started, "revenue": added}

    changed = topic.publish("metric", msgspec.structs.replace(PURCHASE, window="20s"), 2) + SETTLING
    (run,) = topic.history.newest.flags["button"].runs
    assert run.since == {"purchase": changed, "revenue": added}
    assert run.metrics["purchase"].version == 2

    topic.publish("flag", with_goals(both, "revenue", version=3), 3)
    again = topic.publish("flag", with_goals(both, "revenue", "purchase", version=4), 4) + SETTLING
    assert topic.history.newest.flags["button"].runs[0].since == {"revenue": added, "purchase": again}


def test_another_description_or_owner_of_a_metric_or_of_a_part_measures_on(topic: Topic):
    ratio = Metric(key="each", owner="x", type="ratio", numerator="revenue", denominator="purchase", window="none")
    topic.publish("metric", ratio, 1)
    flag = msgspec.structs.replace(BUTTON, metrics=(Goal(metric="purchase"), Goal(metric="each")))
    topic.publish("flag", start(apply_definition(None, flag, 1), 1, "s1"), 1)
    other = msgspec.structs.replace(BUTTON, key="other", metrics=(Goal(metric="revenue"),))
    topic.publish("flag", start(apply_definition(None, other, 1), 1, "s2"), 1)
    before = topic.history.newest

    topic.publish("metric", msgspec.structs.replace(PURCHASE, owner="ann", description="who buys"), 2)

    after = topic.history.newest
    run, run_before = after.flags["button"].runs[0], before.flags["button"].runs[0]
    assert run.since == run_before.since
    assert {key: metric.version for key, metric in run.metrics.items()} == {"purchase": 1, "each": 1}
    assert run.metrics["purchase"].definition.owner == run.metrics["each"].parts[1].owner == "ann"
    assert [after.version_of("metric", key) for key in ("purchase", "each")] == [2, 1]
    assert after.flags["other"] is before.flags["other"]


def test_a_completed_run_keeps_the_definitions_of_its_time(topic: Topic):
    running = start(apply_definition(None, BUTTON, 1), 1, "s1")
    started = topic.publish("flag", running, 1)
    topic.publish("flag", complete(running, 2), 2)

    topic.publish("metric", msgspec.structs.replace(PURCHASE, event="other"), 2)
    by_device = msgspec.structs.replace(BUTTON, unit="device_id", metrics=(Goal(metric="revenue"),))
    topic.publish("flag", apply_definition(topic.history.state_of("button"), by_device, 3), 3)

    flag = topic.history.newest.flags["button"]
    (run,) = flag.runs
    assert flag.definition.unit == "device_id"
    assert run.definition == BUTTON
    assert run.since == {"purchase": started}
    assert (run.metrics["purchase"].version, run.metrics["purchase"].definition.event) == (1, "purchase")


@pytest.mark.parametrize("change", ["salt", "lost", "allocation", "reopened"])
def test_a_record_that_rewrites_the_past_of_a_run_is_ignored(topic: Topic, change: str):
    draft = apply_definition(None, BUTTON, 1)
    ended = complete(start(draft, 1, "s1"), 1)
    topic.publish("flag", ended, 1)
    (run,) = ended.runs
    allocation = msgspec.structs.replace(run.allocations[0], rollout=1)
    forged = {
        "salt": msgspec.structs.replace(ended, runs=(msgspec.structs.replace(run, salt="s2"),)),
        "lost": draft,
        "allocation": msgspec.structs.replace(ended, runs=(msgspec.structs.replace(run, allocations=(allocation,)),)),
        "reopened": start(draft, 1, "s1"),
    }

    topic.publish("flag", forged[change], 2)

    assert len(topic.history.rejected) == 1
    assert topic.history.newest.flags["button"].version == 1


def test_versions_and_the_editable_state_of_a_document_are_kept(topic: Topic):
    draft = apply_definition(None, BUTTON, 1)
    topic.publish("flag", draft, 1)
    topic.publish("flag", draft, 1)  # stale
    topic.publish("flag", start(draft, 2, "s1"), 2)

    assert [each.document.version for each in topic.history.versions_of("flag", "button")] == [1, 2]
    assert topic.history.state_of("button") == start(draft, 2, "s1")
    assert topic.history.state_of("nothing") is None


def test_versions_of_a_cohort_share_its_ids_and_keep_no_bytes(topic: Topic):
    for version, ids in enumerate([("ann", "bob"), ("carl", "bob")], 1):
        topic.publish("cohort", Cohort(key="beta", owner="shop", ids=ids), version)

    first, second = (state.cohorts["beta"].definition.ids for state in topic.history.states[-2:])
    assert (first, second) == (("ann", "bob"), ("carl", "bob"))
    assert first[1] is second[1]
    assert [bytes(each.document.spec) for each in topic.history.versions_of("cohort", "beta")] == [b"", b""]


def test_n05_a_stored_metric_that_says_no_scale_keeps_what_it_was_measured_with():
    topic = Topic()
    old = msgspec.structs.replace(REVENUE, scale=None)
    count = Metric(key="buys", owner="shop", type="count", event="purchase", window="none")

    topic.publish("metric", old, 1)
    topic.publish("metric", count, 1)
    topic.publish("metric", msgspec.structs.replace(old, scale=2), 2)
    revenue = topic.history.newest.metrics["revenue"]

    assert (revenue.version, revenue.facts[0].scale, revenue.document_version) == (1, 2, 2)
    assert topic.history.newest.metrics["buys"].definition == count
    assert old.decimals == 6


def test_a_ratio_reads_both_its_parts_and_is_another_definition_when_one_of_them_is(topic: Topic):
    ratio = Metric(key="each", owner="x", type="ratio", numerator="revenue", denominator="purchase", window="7d")
    topic.publish("metric", ratio, 1)
    newest = topic.history.newest.metrics
    assert newest["each"].facts == (*newest["revenue"].facts, *newest["purchase"].facts)

    topic.publish("metric", msgspec.structs.replace(REVENUE, cap=100.0), 2)
    topic.publish("metric", msgspec.structs.replace(ratio, window="9d"), 2)

    newest = topic.history.newest
    assert newest.metrics["each"].variables[0].cap == 100_000
    assert (newest.metrics["each"].version, newest.version_of("metric", "each")) == (3, 2)
    assert not topic.history.rejected


def test_a_metric_cannot_become_what_a_ratio_of_it_cannot_read(topic: Topic):
    ratio = Metric(key="each", owner="x", type="ratio", numerator="revenue", denominator="purchase", window="7d")
    topic.publish("metric", ratio, 1)

    topic.publish("metric", msgspec.structs.replace(ratio, key="revenue"), 2)

    assert "is a ratio itself" in topic.history.rejected[0].reason


def test_a_lookback_goes_on_where_an_edit_changes_nothing_that_is_read(topic: Topic):
    with_past = msgspec.structs.replace(REVENUE, cuped=Cuped(lookback="14d"))
    changes = [with_past, {"window": "3d"}, {"cuped": Cuped(lookback="7d")}]
    recorded = []
    for version, change in enumerate(changes, 2):
        metric = change if isinstance(change, Metric) else msgspec.structs.replace(with_past, **change)
        topic.publish("metric", metric, version)
        recorded.append(topic.history.newest.metrics["revenue"].recorded)

    assert recorded[0] == recorded[1] < recorded[2]


def test_the_breakdowns_of_an_open_run_stay(topic: Topic):
    running = start(apply_definition(None, BUTTON, 1), 1, "s1")
    topic.publish("flag", running, 1)
    breakdowns = (Breakdown(property="platform", values=("ios",)),)
    definition = msgspec.structs.replace(running.definition, breakdowns=breakdowns)

    topic.publish("flag", msgspec.structs.replace(running, definition=definition), 2)

    flag = topic.history.newest.flags["button"]
    assert (flag.definition.breakdowns, flag.runs[-1].definition.breakdowns) == (breakdowns, ())


PARENT = Flag(key="parent", owner="shop", variants=(Variant(key="on"),))
CHILD = msgspec.structs.replace(PARENT, key="child", prerequisites={"parent": ("on",)})
SLOTS = Group(key="slots", owner="shop", type="mutual-exclusion", slots=(GroupSlot(percentage=60),))


def test_every_kind_of_document_is_kept_with_its_version(topic: Topic):
    topic.publish("group", SLOTS, 1)
    topic.publish("cohort", Cohort(key="beta", owner="shop", ids=("ann",)), 1)
    topic.publish("deployment", Deployment(key="web", owner="shop", type="client"), 1)
    appended = topic.publish("cohort", Cohort(key="beta", owner="shop", ids=("ann", "bob")), 2)

    newest = topic.history.newest
    assert not topic.history.rejected
    assert newest.groups["slots"].definition == SLOTS
    assert (newest.cohorts["beta"].definition.ids, newest.cohorts["beta"].version) == (("ann", "bob"), 2)
    assert newest.cohorts["beta"].append_time == appended
    assert newest.deployments["web"].definition.type == "client"
    assert [newest.version_of(kind, key) for kind, key in (("cohort", "beta"), ("group", "none"))] == [2, 0]


def test_a_flag_that_names_what_is_not_there_is_ignored(topic: Topic):
    topic.publish("flag", FlagState(definition=CHILD), 1)

    assert "prerequisites.parent: 'parent' is no flag" in topic.history.rejected[0].reason


def test_a_flag_that_another_needs_cannot_be_removed_by_any_writer(topic: Topic):
    topic.publish("flag", FlagState(definition=PARENT), 1)
    topic.publish("flag", FlagState(definition=CHILD), 1)

    topic.publish("flag", FlagState(definition=PARENT, removed="archived"), 2)

    assert "flag 'parent' is archived, but child needs it" in topic.history.rejected[0].reason
    topic.publish("flag", FlagState(definition=CHILD, removed="archived"), 2)
    topic.publish("flag", FlagState(definition=PARENT, removed="archived"), 2)
    assert topic.history.newest.flags["parent"].removed == "archived"
    topic.publish("flag", FlagState(definition=CHILD), 3)
    assert "'parent' is no flag" in topic.history.rejected[1].reason, "what comes back needs what it needed"


def test_a_step_is_never_ignored_because_of_another_document(topic: Topic):
    topic.publish("flag", FlagState(definition=PARENT), 1)
    running = start(FlagState(definition=CHILD), 1, "s1")
    topic.publish("flag", running, 1)
    renamed = msgspec.structs.replace(PARENT, variants=(Variant(key="other"),))
    topic.publish("flag", FlagState(definition=renamed), 2)

    topic.publish("flag", roll_back(running, 2), 2)

    assert not topic.history.rejected
    assert topic.history.newest.flags["child"].status == "rolled back"


def test_nothing_follows_a_deletion(topic: Topic):
    topic.publish("flag", FlagState(definition=PARENT, removed="deleted"), 1)

    topic.publish("flag", FlagState(definition=PARENT), 2)

    assert "flag 'parent' was deleted for ever in version 1" in topic.history.rejected[0].reason


def test_slots_of_a_group_stay_while_a_flag_of_it_runs(topic: Topic):
    topic.publish("group", SLOTS, 1)
    member = msgspec.structs.replace(PARENT, groups=(Membership(group="slots", slots=(1,)),))
    running = start(FlagState(definition=member), 1, "s1")
    topic.publish("flag", running, 1)
    smaller = msgspec.structs.replace(SLOTS, slots=(GroupSlot(percentage=50),))

    topic.publish("group", smaller, 2)
    assert "would change from 60 % to 50 % while parent runs" in topic.history.rejected[0].reason

    topic.publish("flag", complete(running, 2), 2)
    topic.publish("group", smaller, 2)
    assert topic.history.newest.groups["slots"].version == 2


def test_what_is_in_force_is_the_open_run_or_the_roll_out_or_nothing(topic: Topic):
    draft = FlagState(definition=PARENT)
    running = start(draft, 2, "s1")
    out = roll_out(running, 3, "on")

    def in_force() -> Allocation | None:
        return topic.history.newest.flags["parent"].allocation

    topic.publish("flag", draft, 1)
    assert in_force() is None
    topic.publish("flag", running, 2)
    assert in_force() == running.runs[0].allocations[0]
    topic.publish("flag", out, 3)
    assert in_force() == out.rolled_out
    topic.publish("flag", archive(out, ()), 4)
    assert in_force() is None


PLANNED = msgspec.structs.replace(
    BUTTON, plan=Plan(steps=(PlanStep(rollout=1, lasts="1h"), PlanStep(rollout=10, lasts="1h"), PlanStep(rollout=50)))
)


def test_since_when_a_plan_is_where_it_is_is_told_by_append_times_however_the_log_is_read(topic: Topic):
    draft = apply_definition(None, PLANNED, 1)
    topic.publish("flag", draft, 1)
    state = start(draft, 2, "s1")
    started = topic.publish("flag", state, 2)
    assert topic.history.newest.flags["button"].plan == PlanInForce(Progress(step=1, taken=2), started, None)

    state = take_step(state, 3, 2, Evidence(version=3, time=5))
    taken = topic.publish("flag", state, 3)
    state = apply_definition(state, msgspec.structs.replace(PLANNED, tags=("x",)), 4)
    topic.publish("flag", state, 4)
    state = pause(state, 5, "harm", ("split",))
    paused = topic.publish("flag", state, 5)
    state = apply_definition(state, msgspec.structs.replace(PLANNED, variants=BUTTON.variants[::-1]), 6)
    topic.publish("flag", state, 6)

    plan = topic.history.newest.flags["button"].plan
    assert plan is not None
    assert (plan.progress, plan.taken, plan.paused) == (state.progress, taken, paused)
    topic.publish("flag", resume(state, 7), 7)
    plan = topic.history.newest.flags["button"].plan
    assert plan is not None
    assert (plan.progress.overruled, plan.taken, plan.paused) == (("split",), taken, None)
    topic.publish("flag", roll_back(resume(state, 7), 8), 8)
    assert topic.history.newest.flags["button"].plan == plan
    assert not topic.history.rejected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"taken": 1}, "progress.taken: 1 is before version 2, which started 'exp-1'"),
        ({"taken": 4}, "flag 'button' rewrites how its plan came so far, by what version 4 is said to have done"),
        ({"paused": Pause(version=2, why="asked")}, "by what version 2 is said to have done; say what version 3 does"),
        ({"evidence": Evidence(version=2, time=0)}, "by what version 2 is said to have done"),
        ({"step": 2}, "'exp-1' gives 1 %; step 2 of the plan gives 10 %"),
    ],
)
def test_nobody_can_say_afterwards_that_a_plan_came_another_way(topic: Topic, change: dict, reason: str):
    draft = apply_definition(None, PLANNED, 1)
    topic.publish("flag", draft, 1)
    state = start(draft, 2, "s1")
    topic.publish("flag", state, 2)

    topic.publish("flag", msgspec.structs.replace(state, progress=msgspec.structs.replace(state.progress, **change)), 3)

    (rejected,) = topic.history.rejected
    assert reason in rejected.reason


def test_a_plan_that_cannot_be_kept_is_no_version(topic: Topic):
    topic.publish("flag", apply_definition(None, msgspec.structs.replace(PLANNED, rollout=5), 1), 1)

    (rejected,) = topic.history.rejected
    assert "flag 'button': rollout: 5 would be ignored: the steps of the plan say" in rejected.reason
