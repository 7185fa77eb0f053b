"""Configurations: what documents say comes out as Amplitude's flags, and splits units as Amplitude does."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from amplitude_experiment.evaluation.engine import EvaluationEngine
from mmh3 import mmh3_32_uintdigest as murmur3

from evaluation.assignment.properties import PropertyColumn
from evaluation.assignment.slices import evaluate_columns
from evaluation.catalog.configs import flag_configs, flags_in_force, glob_pattern, shares
from evaluation.catalog.in_force import Catalog, FlagInForce, InForce, RunInForce
from evaluation.catalog.lifecycle import allocation_of
from evaluation.catalog.rules import flag_violations
from evaluation.columns.texts import Texts
from evaluation.flags.patterns import whole_text
from evaluation.flags.users import context_of
from schemas.catalog import (
    Allocation,
    Cohort,
    Condition,
    Exempt,
    Flag,
    Goal,
    Group,
    GroupSlot,
    Membership,
    Segment,
    Variant,
)
from tests.evaluation.flags.amplitude import sorted_flags

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "hashing.json").read_text())
USERS = 1 << 17
USER_ID = ("context", "user", "user_id")
AB = (Variant(key="control"), Variant(key="treatment", payload={"colour": "red"}))


def running(definition, salt="salt", completed=None, version=2):
    """A flag with one run."""
    run = RunInForce(
        flag=definition.key,
        key="exp-1",
        salt=salt,
        allocations=(allocation_of(definition, version),),
        started=0,
        completed=completed,
        since={},
        definition=definition,
        metrics={},
    )
    return FlagInForce(definition, "running" if completed is None else "complete", version, 0, (run,))


def flag(key="button", variants=AB, **settings):
    return Flag(key=key, owner="shop", variants=variants, **settings)


def catalog(*flags, groups=(), cohorts=()):
    return Catalog(
        flags={
            each.definition.key: each for each in (running(each) if isinstance(each, Flag) else each for each in flags)
        },
        groups={group.key: InForce(group, 1, 0) for group in groups},
        cohorts={cohort.key: InForce(cohort, 1, 0) for cohort in cohorts},
    )


def weighted(weights, **settings):
    return flag(variants=tuple(Variant(key=key, weight=weight) for key, weight in weights.items()), **settings)


def chosen(definition, ids, salt="salt"):
    """Each user's variant."""
    flags = flags_in_force(catalog(running(definition, salt)))
    answers = evaluate_columns(flags, {USER_ID: PropertyColumn.of_texts(Texts.of(ids))}, len(ids))[definition.key]
    return [each.key for each in (answers[i] for i in range(len(ids)))]


def amplitude(salt, value, rollout, ranges):
    """Amplitude's algorithm, step by step: the variant of the first range that holds the bucket."""
    h = murmur3(f"{salt}/{value}".encode())
    if not 0 <= h % 100 < rollout:
        return "off"
    return next((variant for variant, low, high in ranges if low <= h // 100 < high), "off")


@pytest.mark.parametrize(
    ("weights", "ranges"),
    [
        # Recorded configurations of Amplitude's holdout groups: 1 % and 99 %.
        ({"holdout": 1, "on": 99}, [("holdout", 0, 429_497), ("on", 429_496, 42_949_673)]),
        ({"holdout": 99, "on": 1}, [("holdout", 0, 42_520_177), ("on", 42_520_175, 42_949_673)]),
        ({"a": 0, "b": 1, "c": 0}, [("a", 0, 0), ("b", 0, 42_949_673), ("c", 42_949_672, 42_949_673)]),
        (
            {"a": 1, "b": 1, "c": 1},
            [("a", 0, 14_316_558), ("b", 14_316_557, 28_633_116), ("c", 28_633_114, 42_949_673)],
        ),
    ],
)
def test_weights_share_the_buckets_as_amplitudes_recorded_ranges_do(weights, ranges):
    ids = [f"user-{i}" for i in range(3_000)]

    assert chosen(weighted(weights, rollout=70), ids) == [amplitude("salt", each, 70, ranges) for each in ids]
    ends = [share.range for share in shares(weights)]
    assert ends[0][0] == 0
    assert ends[-1][1] == 42_949_673
    assert all(one[1] == next_[0] for one, next_ in itertools.pairwise(ends))


def test_the_recorded_users_get_the_recorded_buckets():
    for vector in VECTORS["murmur3_x86_32"]["vectors"]:
        if "allocation" in vector:
            for rollout, variant in ((vector["allocation"], "off"), (vector["allocation"] + 1, "on")):
                assert chosen(weighted({"on": 1, "other": 0}, rollout=rollout), [vector["value"]], vector["salt"]) == [
                    variant
                ]


def test_variants_get_their_shares():
    keys = chosen(weighted({"a": 1, "b": 2, "c": 7}, rollout=50), [f"u{i}" for i in range(USERS)])

    counts = np.array([keys.count(key) for key in ("off", "a", "b", "c")])
    expected = USERS * np.array([0.5, 0.05, 0.1, 0.35])
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_a_larger_rollout_moves_nobody_between_variants():
    ids = [f"u{i}" for i in range(20_000)]

    before, after = (chosen(weighted({"a": 1, "b": 1}, rollout=rollout), ids) for rollout in (20, 70))

    assert all(one in ("off", other) for one, other in zip(before, after, strict=True))
    assert after.count("off") < before.count("off") / 2


def test_another_salt_is_another_split():
    ids = [f"u{i}" for i in range(20_000)]

    one, other = (np.array(chosen(weighted({"a": 1, "b": 1}), ids, salt)) for salt in ("s1", "s2"))

    assert abs((one == other).mean() - 0.5) < 0.02


def test_nobody_is_allocated_without_an_id_a_rollout_or_weights():
    assert chosen(weighted({"a": 1, "b": 0}, rollout=99), [None, ""]) == ["off"] * 2
    assert chosen(weighted({"a": 1}, rollout=0), ["u"]) == ["off"]
    assert chosen(weighted({"a": 0, "b": 0}), ["u"]) == ["off"]


def test_allocations_compile_the_same_after_a_trip_over_the_wire():
    definition = weighted({"z": 3, "a": 1}, rollout=40)
    original = allocation_of(definition, 1)

    back = msgspec.json.decode(msgspec.json.encode(original), type=Allocation)

    one, other = (
        flag_configs(
            catalog(replace(running(definition), runs=(replace(running(definition).runs[0], allocations=(each,)),)))
        )
        for each in (original, back)
    )
    assert one == other


def said(catalog, user):
    return {key: (answer.key, answer.reason) for key, answer in flags_in_force(catalog).evaluate(user).items()}


def test_an_inclusion_wins_over_the_split_and_the_first_variant_that_lists_a_unit_wins():
    cohort = Cohort(key="staff", owner="shop", ids=("boss", "carl"))
    variants = (
        Variant(key="control", users=("ann",)),
        Variant(key="treatment", users=("ann", "bob"), devices=("phone",), cohorts=("staff",)),
    )
    documents = catalog(flag(variants=variants, rollout=0), cohorts=[cohort])

    answers = [
        said(documents, user)["button"]
        for user in (
            {"user_id": "ann", "device_id": "phone"},
            {"user_id": "bob"},
            {"device_id": "phone"},
            {"user_id": "carl"},
            {"user_id": "eve", "device_id": "desk"},
        )
    ]

    assert answers == [
        ("control", "inclusion"),
        ("treatment", "inclusion"),
        ("treatment", "inclusion"),
        ("treatment", "inclusion"),
        ("off", "not allocated"),
    ]


def test_a_flag_that_does_not_run_is_inactive_and_one_that_is_rolled_out_gives_its_variant_to_all():
    complete = running(flag(), completed=5)
    listing = (Variant(key="control"), Variant(key="treatment", users=("tester",)))
    draft = FlagInForce(flag("draft", listing), "draft", 1, 0, ())
    gone = FlagInForce(flag("gone", listing), "draft", 1, 0, (), removed="archived")
    over = running(flag("over", listing), completed=5)
    winner = msgspec.structs.replace(allocation_of(flag("won"), 3), weights={"control": 0, "treatment": 100})
    won = FlagInForce(flag("won"), "rolled out", 3, 0, (), rolled_out=winner)
    archived = FlagInForce(flag("gone"), "complete", 3, 0, (), removed="archived")

    assert said(catalog(complete, draft, won, archived), {"user_id": "u"}) == {
        "button": ("off", "inactive"),
        "draft": ("off", "inactive"),
        "won": ("treatment", "segment"),
    }
    assert said(catalog(draft, over, gone), {"user_id": "tester"}) == {
        "draft": ("treatment", "inclusion"),
        "over": ("off", "inactive"),
    }


def test_the_first_segment_of_the_audience_that_matches_decides():
    segments = (
        Segment(
            name="none of ours",
            conditions=(Condition(property="cohort", op="set contains any", values=("staff",)),),
            rollout=0,
        ),
        Segment(
            name="Chile",
            conditions=(
                Condition(property="country", op="is", values=("Chile",)),
                Condition(property="user_properties.plan", op="glob match", values=("pro*",)),
            ),
            weights={"treatment": 1},
        ),
        Segment(
            name="large",
            conditions=(Condition(property="groups.org.group_properties.seats", op="greater", values=("9",)),),
            weights={"control": 1},
        ),
    )
    staff = Cohort(key="staff", owner="shop", ids=("ann",))
    documents = catalog(flag(segments=segments, rollout=0), cohorts=[staff])
    user = {"user_id": "bob", "country": "Chile", "user_properties": {"plan": "pro+"}}

    assert said(documents, user | {"user_id": "ann"})["button"] == ("off", "not allocated")
    assert said(documents, user)["button"] == ("treatment", "segment")
    assert flags_in_force(documents).evaluate(user)["button"].metadata["segmentName"] == "Chile"
    assert said(documents, user | {"country": "Peru"})["button"] == ("off", "not allocated")
    acme = {"groups": {"org": ["acme"]}, "group_properties": {"org": {"acme": {"seats": 10}}}}
    assert said(documents, acme)["button"] == ("control", "segment")


def test_a_cohort_of_a_group_is_one_of_its_names():
    condition = Condition(property="groups.org.cohort", op="set contains any", values=("large",))
    documents = catalog(
        flag(segments=(Segment(name="large", conditions=(condition,), weights={"control": 1}),), rollout=0),
        cohorts=[Cohort(key="large", owner="shop", unit="groups.org", ids=("acme",))],
    )

    assert said(documents, {"user_id": "acme"})["button"] == ("off", "not allocated")
    assert said(documents, {"groups": {"org": ["acme"]}})["button"] == ("control", "segment")


def test_a_unit_needs_a_variant_of_each_prerequisite():
    parent = weighted({"on": 1}, key="parent", rollout=100)
    child = flag("child", prerequisites={"parent": ("on",)})
    spoilt = flag("spoilt", prerequisites={"parent": ("off",)})

    answers = said(catalog(child, spoilt, parent), {"user_id": "u-1"})

    assert answers["child"][1] == "segment"
    assert answers["spoilt"] == ("off", "dependency")


def test_a_unit_is_in_one_slot_at_most_and_meets_the_flags_of_that_slot_only():
    group = Group(
        key="checkout",
        owner="shop",
        type="mutual-exclusion",
        slots=(GroupSlot(percentage=30), GroupSlot(percentage=50, users=("ann",))),
    )
    one, two = (
        flag(key, groups=(Membership(group="checkout", slots=(slot,)),)) for key, slot in (("one", 1), ("two", 2))
    )
    documents = catalog(one, two, groups=[group])

    flags = flags_in_force(documents)
    met = [
        tuple(key for key in ("one", "two") if answers[key].key != "off")
        for answers in (flags.evaluate({"user_id": f"u-{i}"}) for i in range(4_000))
    ]

    shares_met = {each: met.count(each) / 4_000 for each in set(met)}
    assert set(shares_met) == {(), ("one",), ("two",)}
    assert abs(shares_met["one",] - 0.3) < 0.04
    assert abs(shares_met["two",] - 0.5) < 0.04
    assert said(documents, {"user_id": "ann"})["checkout"] == ("slot-2", "inclusion")
    assert said(documents, {}) == dict.fromkeys(("checkout", "one", "two"), ("off", "no unit"))


def test_units_that_are_held_out_meet_no_flag_of_the_group():
    group = Group(key="holdout", owner="shop", type="holdout", slots=(GroupSlot(percentage=10, users=("ann",)),))
    documents = catalog(flag(groups=(Membership(group="holdout"),)), groups=[group])
    flags = flags_in_force(documents)

    answers = [flags.evaluate({"user_id": f"u-{i}"}) for i in range(4_000)]

    held = [each["holdout"].key == "holdout" for each in answers]
    assert abs(sum(held) / 4_000 - 0.1) < 0.02
    assert [each["button"].reason == "dependency" for each in answers] == held
    assert said(documents, {"user_id": "ann"})["button"] == ("off", "dependency")


def test_who_is_exempt_is_never_held_out_unless_the_slot_lists_it():
    slot = GroupSlot(percentage=99, users=("ann",))
    group = Group(
        key="holdout",
        owner="shop",
        type="holdout",
        slots=(slot,),
        exempt=Exempt(users=("ann", "bob"), cohorts=("staff",)),
    )
    staff = Cohort(key="staff", owner="shop", ids=("carl",))
    documents = catalog(flag(groups=(Membership(group="holdout"),)), groups=[group], cohorts=[staff])

    said_of = {user: said(documents, {"user_id": user})["holdout"] for user in ("ann", "bob", "carl")}

    assert said_of == {"ann": ("holdout", "inclusion"), "bob": ("on", "inclusion"), "carl": ("on", "inclusion")}


def test_a_sticky_flag_keeps_a_unit_in_the_variant_it_had():
    definition = weighted({"control": 1, "treatment": 0}, sticky=True)
    had = {"user_id": "u", "user_properties": {"[Experiment] button": "treatment"}}

    assert said(catalog(definition), had)["button"] == ("treatment", "sticky")


def test_the_declared_unit_is_bucketed():
    by_group = flags_in_force(catalog(flag(unit="groups.org")))

    alike = {by_group.evaluate({"user_id": f"u-{i}", "groups": {"org": ["acme"]}})["button"].key for i in range(50)}

    assert len(alike) == 1
    assert by_group.evaluate({"user_id": "u-1"})["button"].key == "off"


@pytest.mark.parametrize("rollout", [1, 50, 99, 99.5])
def test_f08_who_lacks_the_unit_is_told_so(rollout):
    documents = catalog(flag(rollout=rollout), flag("team", unit="groups.org", rollout=rollout))

    assert said(documents, {"device_id": "phone"}) == {"button": ("off", "no unit"), "team": ("off", "no unit")}
    of_column = evaluate_columns(flags_in_force(documents), {}, 1)
    assert {key: (each[0].key, each[0].reason) for key, each in of_column.items()} == said(documents, {})
    everybody = catalog(weighted({"on": 1}, key="everybody"))
    assert said(everybody, {"device_id": "phone"}) == {"everybody": ("on", "segment")}


def test_f08_a_flag_says_so_where_one_that_it_depends_on_lacks_its_unit():
    held = Group(key="held", owner="shop", type="holdout", unit="groups.org", slots=(GroupSlot(percentage=1),))
    child = weighted({"on": 1}, key="child", groups=(Membership(group="held"),))
    documents = catalog(child, groups=[held])

    answers = evaluate_columns(flags_in_force(documents), {}, 2)

    assert said(documents, {"user_id": "ann"})["child"] == ("off", "no unit")
    assert [answers["child"][i].reason for i in (0, 1)] == ["no unit"] * 2


def test_f08_a_number_is_the_name_of_a_group():
    documents = catalog(flag("team", unit="groups.org"))
    flags = flags_in_force(documents)

    for number in range(20):
        text = flags.evaluate({"groups": {"org": [str(number)]}})["team"]
        assert flags.evaluate({"groups": {"org": number}})["team"] is text
        assert flags.evaluate({"groups": {"org": [number]}})["team"] is text


def test_a_configuration_says_of_a_flag_what_amplitudes_sdks_expect():
    definition = flag(
        metrics=(Goal(metric="purchase"),), deployments=("web",), prerequisites={"parent": ("on",)}, rollout=50
    )

    configs = {config.key: config for config in flag_configs(catalog(definition, weighted({"on": 1}, key="parent")))}

    assert msgspec.to_builtins(configs["button"]) == {
        "key": "button",
        "dependencies": ("parent",),
        "metadata": {
            "deployed": True,
            "evaluationMode": "local",
            "flagType": "experiment",
            "flagVersion": 2,
            "experimentKey": "exp-1",
            "deployments": ["web"],
        },
        "variants": {
            "control": {"key": "control", "value": "control"},
            "treatment": {"key": "treatment", "value": "treatment", "payload": {"colour": "red"}},
            "off": {"key": "off", "metadata": {"default": True}},
        },
        "segments": (
            {
                "conditions": (({"selector": ("result", "parent", "key"), "op": "is not", "values": ("on",)},),),
                "variant": "off",
                "metadata": {"segmentName": "flag-dependencies"},
            },
            {
                "bucket": {
                    "selector": USER_ID,
                    "salt": "salt",
                    "allocations": (
                        {
                            "range": (0, 50),
                            "distributions": (
                                {"variant": "control", "range": (0, 21_474_837)},
                                {"variant": "treatment", "range": (21_474_837, 42_949_673)},
                            ),
                        },
                    ),
                },
                "variant": "off",
                "metadata": {"segmentName": "All Other Users"},
            },
        ),
    }


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("pro*", ["pro", "pro\nfessional"], ["a pro", ""]),
        ("a?c", ["abc", "a.c"], ["ac", "abbc"]),
        ("1.2.(3)$*", ["1.2.(3)$", "1.2.(3)$x"], ["1x2.(3)$"]),
        ("[x]^{1}|+\\", ["[x]^{1}|+\\"], ["x"]),
    ],
)
def test_a_glob_stands_for_whole_texts(glob, yes, no):
    condition = Condition(property="country", op="glob match", values=(glob,))
    documents = catalog(flag(segments=(Segment(name="s", conditions=(condition,), weights={"control": 1}),), rollout=0))
    flags = flags_in_force(documents)

    for text in [*yes, *no]:
        assert (flags.evaluate({"country": text})["button"].key == "control") == (text in yes), text
    assert glob_pattern("a*") == r"^a[\s\S]*$"


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("pro", ["pro"], ["a pro", "professional"]),
        ("a|b", ["a", "b"], ["ab", "xa", "bx"]),
        ("^a|b$", ["a", "b"], ["ax", "xb"]),
        (r"^cost: \$", ["cost: $"], ["cost: $5"]),
        ("(?i)pro|max", ["PRO", "Max"], ["a PRO", "Maximum"]),
        (r"\w+", ["juergen_1"], ["jürgen"]),
        (r"[\w-]+\s\d+", ["a-b 3"], ["a-b ٣", "ä-b 3", "a-b\u00a03"]),
        (r"\W\D[\S_]", ["üüü"], ["u33"]),
        ("", [""], ["a"]),
    ],
)
def test_f03_every_engine_compares_a_regular_expression_with_the_whole_text(pattern, yes, no):
    condition = Condition(property="country", op="regex match", values=(pattern,))
    segment = Segment(name="s", conditions=(condition,), weights={"control": 1})
    flags = flags_in_force(catalog(flag(segments=(segment,), rollout=0)))
    served = sorted_flags(json.loads(flags.write()))

    for text in [*yes, *no]:
        user = {"country": text}
        assert (flags.evaluate(user)["button"].key == "control") == (text in yes), text
        if text:  # which Python takes for missing where it is empty
            answers = EvaluationEngine().evaluate(context_of(user), served)  # which searches
            assert (answers["button"].key == "control") == (text in yes), text


def test_what_re2_refuses_is_served_as_it_stands():
    assert [whole_text(pattern) for pattern in ("a)(b", "(?=x)", "a\\Q", "^a$")] == ["a)(b", "(?=x)", "a\\Q", "^a$"]


def test_f12_a_rollout_may_have_hundredths_and_more_of_it_moves_nobody():
    three = {"a": 1, "b": 1, "c": 1}
    users = [f"user-{i}" for i in range(20_000)]

    def given(rollout):
        flags = flags_in_force(catalog(weighted(three, rollout=rollout)))
        assert not flag_violations_of(weighted(three, rollout=rollout))
        served = sorted_flags(json.loads(flags.write()))
        theirs = [EvaluationEngine().evaluate(context_of({"user_id": user}), served) for user in users[:500]]
        ours = [flags.evaluate({"user_id": user})["button"].key for user in users]
        assert ours[:500] == [each["button"].key for each in theirs]
        return ours

    steps = [given(rollout) for rollout in (0, 0.5, 0.75, 1, 12, 12.34, 12.99, 13)]
    for before, after in itertools.pairwise(steps):
        assert all(former in {"off", now} for former, now in zip(before, after, strict=True))
    shares_of = [sum(each != "off" for each in step) / len(users) for step in steps]
    assert shares_of == pytest.approx([0, 0.005, 0.0075, 0.01, 0.12, 0.1234, 0.1299, 0.13], rel=0.2)
    assert [steps[5].count(each) / len(users) for each in "abc"] == pytest.approx([0.1234 / 3] * 3, rel=0.1)


def test_a_slot_may_have_hundredths_too():
    holdout = Group(key="held", owner="shop", type="holdout", slots=(GroupSlot(percentage=0.5),))
    whole = Group(key="held", owner="shop", type="holdout", slots=(GroupSlot(percentage=2),))

    def ranges(group):
        (config,) = flag_configs(catalog(groups=(group,)))
        (allocation,) = config.segments[-1].bucket.allocations
        return [each.range for each in allocation.distributions]

    assert ranges(holdout) == [(0, 214_749), (214_749, 42_949_673)]
    assert ranges(whole) == [each.range for each in shares({"holdout": 2, "on": 98})]


@pytest.mark.parametrize(
    ("rollout", "message"),
    [(0.005, "0.005 is not allowed; the smallest step is 0.01"), (50.0, "50.0 is not allowed; write 50")],
)
def test_a_rollout_is_written_in_one_way(rollout, message):
    segments = (Segment(name="s", rollout=rollout),)
    assert flag_violations_of(flag(rollout=rollout, segments=segments)) == [
        f"rollout: {message}",
        f"segments[0].rollout: {message}",
    ]


def flag_violations_of(definition):
    return [str(each) for each in flag_violations(definition, {})]


def test_an_experiment_that_measures_a_holdout_gives_every_unit_what_the_group_gives():
    slot = GroupSlot(percentage=7.5, users=("listed",))
    group = InForce(
        Group(key="out", owner="shop", type="holdout", slots=(slot,), exempt=Exempt(users=("spared",))), 1, 0
    )
    arms = (Variant(key="holdout", weight=75), Variant(key="on", weight=925))
    catalog = Catalog(flags={"measured": running(flag("measured", arms, holdout="out"))}, groups={"out": group})

    flags = flags_in_force(catalog)
    found = [flags.evaluate({"user_id": user}) for user in ("listed", "spared", *map(str, range(2_000)))]

    assert {each["measured"].key == each["out"].key for each in found} == {True}
    assert {found[place]["measured"].reason for place in (0, 1)} == {"inclusion"}
    assert 100 < sum(each["measured"].key == "holdout" for each in found) < 200
