"""What a document must satisfy beyond the types of its fields."""

from functools import reduce
from typing import get_args, get_type_hints

import msgspec
import pytest

from evaluation.catalog.rules import CELL_BYTES, flag_violations, state_violations
from schemas.catalog import (
    Allocation,
    Analysis,
    Baseline,
    Breakdown,
    Flag,
    FlagState,
    Goal,
    Metric,
    Run,
    Segment,
    Variant,
)
from schemas.look import Cell

METRICS = {
    "purchase": Metric(key="purchase", owner="shop", type="conversion", event="buy", window="7d"),
    "revenue": Metric(key="revenue", owner="shop", type="sum", event="buy", property="price", window="7d"),
}
FLAG = Flag(
    key="button",
    owner="shop",
    variants=(Variant(key="control"), Variant(key="treatment")),
    metrics=(Goal(metric="purchase", role="primary"),),
)


def two(**fields: object) -> tuple[Variant, ...]:
    return (Variant(key="control", **fields), Variant(key="treatment", **fields))


def planned(metric: str, **baseline: float) -> dict[str, object]:
    goal = Goal(metric=metric, role="primary", minimum_effect=0.05)
    return {"metrics": (goal,), "analysis": Analysis(baseline=Baseline(**baseline))}


def test_a_sound_definition_violates_nothing():
    assert not list(flag_violations(FLAG, METRICS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": ()}, "variants: there are none"),
        (
            {"variants": (Variant(key="control", payload=reduce(lambda inner, _: [inner], range(65), 1)), *two()[1:])},
            r"variants\[0\]\.payload: is nested more than 64 levels deep",
        ),
        ({"variants": (Variant(key="one"),)}, "variants: 'one' is the only one; an experiment compares at least two"),
        ({"variants": (*two(), Variant(key="off"))}, r"variants\[2\].key: 'off' is reserved"),
        ({"variants": (*two(), Variant(key="control"))}, r"variants\[2\].key: 'control' is the key of two variants"),
        ({"variants": two(weight=0)}, "variants: the weights of 'button' sum to 0; give one variant a share"),
        ({"control": "controll"}, "control: 'controll' is no variant; did you mean 'control'\\?"),
        ({"variants": two(users=("ann",))}, r"variants\[1\].users\[0\]: 'ann' is listed under 'control' and 'tre"),
        ({"variants": two(devices=("d1",))}, r"variants\[1\].devices\[0\]: 'd1' is listed under"),
        ({"metrics": (Goal(metric="purchse"),)}, r"metrics\[0\].metric: 'purchse' is no metric; did you mean 'purch"),
        ({"metrics": (Goal(metric="x"),)}, r"metrics\[0\].metric: 'x' is no metric; known: purchase, revenue"),
        ({"metrics": (Goal(metric="revenue"),) * 2}, r"metrics\[1\].metric: 'revenue' has two goals"),
        (
            {"metrics": (Goal(metric="purchase", role="primary"), Goal(metric="revenue", role="primary"))},
            r"metrics\[1\].role: 'purchase' and 'revenue' are both primary",
        ),
        ({"metrics": (Goal(metric="purchase", margin=0.1),)}, r"metrics\[0\].margin: 0.1 would be ignored"),
        ({"metrics": (Goal(metric="revenue", exact=True),)}, r"metrics\[0\].exact: 'revenue' is a sum, and the exact"),
        ({"analysis": Analysis(method="bayesian", sided="one")}, r"analysis.sided: one would be ignored"),
        ({"analysis": Analysis(method="bayesian", correction="holm")}, r"analysis.correction: holm would be ignored"),
        ({"analysis": Analysis(baseline=Baseline(mean=0.1))}, r"analysis.baseline: says nothing without an effect"),
        (planned("purchase", mean=12), r"analysis.baseline.mean: 12 is no rate of a conversion"),
        (planned("purchase", mean=0.1, deviation=1), r"analysis.baseline.deviation: 1 would be ignored"),
        (planned("revenue", mean=10), r"analysis.baseline: 'revenue' is a sum; give the standard deviation"),
        (
            {"segments": (Segment(name="Berlin"), Segment(name="individual-inclusions"))},
            r"segments\[1\].name: 'individual-inclusions' is what the engine calls",
        ),
        ({"identity": "user_id"}, "identity: 'user_id' is the unit itself; name another id"),
        ({"identity": "user_id", "unit": "user_properties.account"}, "identity: 'user_properties.account' cannot"),
        ({"identity": "device_id", "metrics": ()}, "identity: 'device_id' would be ignored: 'button' has no metrics"),
        ({"start": "next week"}, "start: 'next week' is no ISO 8601 date"),
        ({"start": "2026-03-02", "end": "2026-03-02"}, "end: '2026-03-02' is not after the start"),
        ({"start": "2026-03-01T23:00:00-02:00", "end": "2026-03-02"}, "end: '2026-03-02' is not after the start"),
    ],
)
def test_a_broken_rule_is_named_with_its_place(change: dict, message: str):
    (violation,) = flag_violations(msgspec.structs.replace(FLAG, **change), METRICS)

    with pytest.raises(ValueError, match=f"^{message}"):
        raise ValueError(str(violation))


def test_what_no_exposure_says_breaks_nothing_down():
    for name in ("cohort", "groups.org.cohort", "groups.org.group_properties.plan"):
        flag = msgspec.structs.replace(FLAG, breakdowns=(Breakdown(property=name, values=("a",)),))
        assert [violation.path for violation in flag_violations(flag, METRICS)] == [("breakdowns", 0, "property")]


def test_a_look_that_can_outgrow_a_message_is_refused():
    """Two metrics of two readings, three treatments, 10 breakdowns of 51 segments: 6,132 cells."""
    breakdowns = tuple(
        Breakdown(property=f"user_properties.p{number}", values=tuple(f"value-{value}" for value in range(50)))
        for number in range(10)
    )
    variants = tuple(Variant(key=key) for key in ("control", "a", "b", "c"))
    goals = (Goal(metric="purchase"), Goal(metric="revenue"))
    flag = msgspec.structs.replace(FLAG, variants=variants, metrics=goals, breakdowns=breakdowns)

    assert not list(flag_violations(flag, METRICS))
    more = {f"other-{number}": METRICS["revenue"] for number in range(1)}
    goals += tuple(Goal(metric=key) for key in more)
    (violation,) = flag_violations(msgspec.structs.replace(flag, metrics=goals), METRICS | more)
    assert "3 metrics, 3 treatments and 510 segments can make looks of 23 MB" in violation.message


def test_a_cell_with_the_longest_numbers_is_no_larger_than_assumed():
    fields = get_type_hints(Cell)
    longest = {float: -1.2345678901234567e-300, int: -(2**62), str: "x" * 100}
    cell = {}
    for name, kind in fields.items():
        kinds = get_args(kind) or (kind,)
        texts = [each for each in kinds if isinstance(each, str)]
        literals = texts or [text for each in kinds for text in get_args(each) if isinstance(text, str)]
        if literals:
            cell[name] = max(literals, key=len)
        elif set(kinds) == {int, str}:  # exact
            cell[name] = str(-(2**127))
        elif bool in kinds:
            cell[name] = False
        else:
            cell[name] = next(longest[each] for each in kinds if each in longest)
    names = sum(len(cell[name]) for name in ("metric", "variant", "control", "segment"))

    assert len(msgspec.json.encode(cell)) - names < CELL_BYTES


def test_one_unit_may_be_listed_as_a_user_and_as_a_device():
    variants = (Variant(key="control", users=("x",)), Variant(key="treatment", devices=("x",)))

    assert not list(flag_violations(msgspec.structs.replace(FLAG, variants=variants), METRICS))


def test_a_flag_without_metrics_may_have_one_variant_and_a_guardrail_needs_nothing_more():
    flag = msgspec.structs.replace(FLAG, metrics=(), variants=(Variant(key="on"),))
    guarded = msgspec.structs.replace(FLAG, metrics=(Goal(metric="purchase", role="guardrail"),))

    assert not list(flag_violations(flag, METRICS))
    assert not list(flag_violations(guarded, METRICS))


@pytest.mark.parametrize("change", [planned("purchase", mean=0.1), planned("revenue", mean=10, deviation=30)])
def test_a_baseline_and_a_minimum_effect_plan_the_sample(change: dict):
    assert not list(flag_violations(msgspec.structs.replace(FLAG, **change), METRICS))


def test_every_broken_rule_is_reported_at_once():
    flag = msgspec.structs.replace(FLAG, control="x", start="y", metrics=(Goal(metric="z"),))

    assert [violation.path[0] for violation in flag_violations(flag, METRICS)] == ["control", "metrics", "start"]


OPEN = Run(
    key="exp-1",
    salt="s",
    started=1,
    allocations=(Allocation(flag_version=1, rollout=100, weights={"control": 1, "treatment": 1}),),
)
ENDED = msgspec.structs.replace(OPEN, completed=2)


@pytest.mark.parametrize(
    ("status", "runs"),
    [
        ("running", ()),
        ("running", (ENDED,)),
        ("complete", (OPEN,)),
        ("draft", (OPEN,)),
        ("running", (OPEN, msgspec.structs.replace(OPEN, key="exp-2"))),
        ("running", (ENDED, OPEN)),  # two runs of one key
        ("running", (msgspec.structs.replace(OPEN, allocations=()),)),
        ("complete", (msgspec.structs.replace(ENDED, allocations=()),)),
    ],
)
def test_runs_that_no_command_makes_are_violations(status: str, runs: tuple[Run, ...]):
    assert list(state_violations(FlagState(definition=FLAG, status=status, runs=runs)))


def test_an_open_run_allocates_the_variants_of_its_definition():
    strange = Allocation(flag_version=1, rollout=100, weights={"control": 1, "other": 1})
    run = msgspec.structs.replace(OPEN, allocations=(strange,))

    (violation,) = state_violations(FlagState(definition=FLAG, status="running", runs=(run,)))

    assert "allocates control, other; the variants are control, treatment" in violation.message
