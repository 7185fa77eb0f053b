"""Bucketing compatible with Amplitude's."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from evaluation.assignment.bucketing import NOBODY, OFF, choose, choose_variant, compile_allocation
from evaluation.catalog import FlagInForce, RunInForce
from evaluation.hashing import murmur3
from evaluation.texts import Texts
from schemas.catalog import Allocation, Flag, Inclusion, Variant

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "hashing.json").read_text())
USERS = 1 << 17


def allocation(weights, rollout=100, inclusions=None):
    listed = {key: Inclusion(users=users, devices=devices) for key, (users, devices) in (inclusions or {}).items()}
    return Allocation(flag_version=1, rollout=rollout, weights=weights, inclusions=listed)


def bucketing(weights, salt="salt", **settings):
    return compile_allocation(allocation(weights, **settings), salt, tuple(weights))


def flag(unit="user_id", completed=None, salt="salt", **settings):
    weights = settings.pop("weights", {"control": 1, "treatment": 1})
    definition = Flag(key="button", owner="shop", unit=unit, variants=tuple(Variant(key=key) for key in weights))
    run = RunInForce(
        flag="button",
        key="exp-1",
        salt=salt,
        allocations=(allocation(weights, **settings),),
        started=0,
        completed=completed,
        since={},
        definition=definition,
        metrics={},
    )
    return FlagInForce(definition, "running", 1, 0, (run,))


def amplitude(salt, value, rollout, ranges):
    """Amplitude's algorithm, step by step: the variant of the first range that holds the bucket."""
    h = murmur3(f"{salt}/{value}".encode())
    if not 0 <= h % 100 < rollout:
        return NOBODY
    return next((i for i, (low, high) in enumerate(ranges) if low <= h // 100 < high), NOBODY)


@pytest.mark.parametrize(
    ("weights", "ranges"),
    [
        # Recorded configurations of Amplitude's holdout groups: 1 % and 99 %.
        ({"holdout": 1, "on": 99}, [(0, 429_497), (429_496, 42_949_673)]),
        ({"holdout": 99, "on": 1}, [(0, 42_520_177), (42_520_175, 42_949_673)]),
        ({"a": 0, "b": 1, "c": 0}, [(0, 0), (0, 42_949_673), (42_949_672, 42_949_673)]),
        ({"a": 1, "b": 1, "c": 1}, [(0, 14_316_558), (14_316_557, 28_633_116), (28_633_114, 42_949_673)]),
    ],
)
def test_weights_share_the_buckets_as_amplitudes_recorded_ranges_do(weights, ranges):
    ids = [f"user-{i}" for i in range(3_000)]

    chosen = choose(bucketing(weights, rollout=70), pa.array(ids)).tolist()

    assert chosen == [amplitude("salt", each, 70, ranges) for each in ids]
    assert bucketing(weights).ends.tolist()[-1] == 42_949_673


def test_the_recorded_users_get_the_recorded_buckets():
    for vector in VECTORS["murmur3_x86_32"]["vectors"]:
        if "allocation" in vector:
            low, high = vector["allocation"], vector["allocation"] + 1
            ids = pa.array([vector["value"]])
            assert choose(bucketing({"on": 1}, salt=vector["salt"], rollout=low), ids).tolist() == [NOBODY]
            assert choose(bucketing({"on": 1}, salt=vector["salt"], rollout=high), ids).tolist() == [0]


def test_one_unit_at_a_time_and_a_column_agree_for_every_user():
    ids = pa.array([f"user-{i}" for i in range(USERS)])
    compiled = bucketing({"control": 2, "treatment": 1}, rollout=60)

    column = choose(compiled, ids)

    in_force = flag(weights={"control": 2, "treatment": 1}, rollout=60)
    names = [*compiled.variants, OFF]
    for i in range(0, USERS, 131):
        assert choose_variant(in_force, {"user_id": f"user-{i}"}).variant == names[column[i]]
    ends = compiled.ends.tolist()
    ranges = [(0, ends[0]), (ends[0], ends[1])]
    assert column[::17].tolist() == [amplitude("salt", f"user-{i}", 60, ranges) for i in range(0, USERS, 17)]


def test_variants_get_their_shares():
    chosen = choose(bucketing({"a": 1, "b": 2, "c": 7}, rollout=50), pa.array([f"u{i}" for i in range(USERS)]))

    counts = np.bincount(chosen + 1, minlength=4)
    expected = USERS * np.array([0.5, 0.05, 0.1, 0.35])
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_a_larger_rollout_moves_nobody_between_variants():
    ids = pa.array([f"u{i}" for i in range(20_000)])

    before, after = (choose(bucketing({"a": 1, "b": 1}, rollout=rollout), ids) for rollout in (20, 70))

    assert (after[before >= 0] == before[before >= 0]).all()
    assert (after >= 0).sum() > 3 * (before >= 0).sum()


def test_another_salt_is_another_split():
    ids = pa.array([f"u{i}" for i in range(20_000)])

    one, other = (choose(bucketing({"a": 1, "b": 1}, salt=salt), ids) for salt in ("s1", "s2"))

    assert abs((one == other).mean() - 0.5) < 0.02


def test_nobody_is_allocated_without_an_id_a_rollout_or_weights():
    ids = pa.array(["u", None, ""])

    assert choose(bucketing({"a": 1}), ids).tolist() == [0, NOBODY, NOBODY]
    assert choose(bucketing({"a": 1}, rollout=0), ids).tolist() == [NOBODY] * 3
    assert choose(bucketing({"a": 0, "b": 0}), ids).tolist() == [NOBODY] * 3


def test_an_inclusion_wins_over_the_split_and_users_over_devices():
    in_force = flag(rollout=0, inclusions={"control": (("ann",), ()), "treatment": (("ann", "bob"), ("phone",))})

    answers = [
        (choice.variant, choice.reason)
        for choice in (
            choose_variant(in_force, {"user_id": "ann", "device_id": "phone"}),
            choose_variant(in_force, {"user_id": "bob"}),
            choose_variant(in_force, {"device_id": "phone"}),
            choose_variant(in_force, {"user_id": "eve", "device_id": "desk"}),
        )
    ]

    assert answers == [
        ("control", "inclusion"),
        ("treatment", "inclusion"),
        ("treatment", "inclusion"),
        (OFF, "not allocated"),
    ]


def test_a_choice_says_its_reason_run_and_allocation():
    running, complete = flag(), flag(completed=5)
    draft = FlagInForce(running.definition, "draft", 1, 0, ())

    choice = choose_variant(running, {"user_id": "u-1"})

    assert (choice.reason, choice.run, choice.allocation) == ("split", running.runs[0], 0)
    assert choice.variant in {"control", "treatment"}
    for stopped in (complete, draft):
        assert (choose_variant(stopped, {"user_id": "u-1"}).variant, choose_variant(stopped, {}).reason) == (
            OFF,
            "inactive",
        )


def test_the_declared_unit_is_bucketed():
    by_group = flag(unit="groups.org")

    alike = {choose_variant(by_group, {"user_id": f"u-{i}", "groups.org": "acme"}).variant for i in range(50)}

    assert len(alike) == 1
    assert choose_variant(by_group, {"user_id": "u-1"}).variant == OFF


def test_inclusions_as_a_column_equal_those_one_by_one():
    compiled = bucketing({"a": 1, "b": 1}, inclusions={"a": (("ann",), ("phone",)), "b": (("bob",), ("desk",))})
    users, devices = ["ann", "bob", None, "eve", None, "bob"], ["desk", None, "phone", "desk", "tv", "phone"]

    included = compiled.included(Texts.of(users), Texts.of(devices)).tolist()

    assert included == [0, 1, 0, 1, NOBODY, 1]


def test_allocations_compile_the_same_after_a_trip_over_the_wire():
    original = allocation({"z": 3, "a": 1}, rollout=40, inclusions={"a": (("ann",), ())})

    back = msgspec.json.decode(msgspec.json.encode(original), type=Allocation)

    ids = pa.array([f"u{i}" for i in range(1_000)])
    one, other = (choose(compile_allocation(each, "s", tuple(each.weights)), ids) for each in (original, back))
    assert one.tolist() == other.tolist()
