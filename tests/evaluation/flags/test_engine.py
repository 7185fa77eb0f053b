"""The engine: segments, buckets, dependencies, problems, and reading and writing Amplitude's JSON."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from evaluation.flags.engine import Flags

OFF = {"off": {"key": "off", "metadata": {"default": True}}}
ON = {"on": {"key": "on", "value": "on", "payload": {"colour": "red"}}} | OFF
USER_ID = ["context", "user", "user_id"]


def one(*segments, key="flag", variants=ON, **fields):
    return {"key": key, "variants": variants, "segments": list(segments), **fields}


def named(name, variant, *conditions, **fields):
    return {"metadata": {"segmentName": name}, "variant": variant, **fields} | (
        {"conditions": [[dict(zip(("selector", "op", "values"), each, strict=True)) for each in conditions]]}
        if conditions
        else {}
    )


def split(salt, *shares, rollout=100):
    distributions = [{"variant": variant, "range": [low, high]} for variant, low, high in shares]
    return {
        "selector": USER_ID,
        "salt": salt,
        "allocations": [{"range": [0, rollout], "distributions": distributions}],
    }


def flags(*configs):
    return Flags.read(json.dumps(configs))


def said(answers):
    return {key: (answer.key, answer.reason) for key, answer in answers.items()}


HALF = split("salt", ("on", 0, 42_949_673), rollout=50)
RELEASE = flags(
    one(
        named("individual-inclusions", "on", (USER_ID, "is", ["ann"])),
        named("flag-dependencies", "off", (["result", "holdout", "key"], "is not", ["on"])),
        named("sticky-bucketing", "on", (["context", "user", "user_properties", "[Experiment] flag"], "is", ["on"])),
        named("Segment 1", "off", (["context", "user", "country"], "is", ["Chile"]), bucket=HALF),
        named("All Other Users", "off"),
        dependencies=["holdout"],
        metadata={"flagVersion": 3},
    ),
    one(named("All Other Users", "on", (USER_ID, "is not", ["held"])), key="holdout"),
)


@pytest.mark.parametrize(
    ("user", "variant", "reason"),
    [
        ({"user_id": "ann"}, "on", "inclusion"),
        ({"user_id": "held"}, "off", "dependency"),
        ({"user_id": "u", "user_properties": {"[Experiment] flag": "on"}}, "on", "sticky"),
        ({"user_id": "u-1", "country": "Chile"}, "on", "segment"),
        ({"user_id": "u-2", "country": "Chile"}, "off", "not allocated"),
        ({"country": "Chile"}, "off", "no unit"),
        ({"user_id": "u-1"}, "off", "not allocated"),
    ],
)
def test_an_answer_carries_its_reason(user, variant, reason):
    assert said(RELEASE.evaluate(user))["flag"] == (variant, reason)


def test_an_inactive_flag_says_so():
    assert said(flags(one(named("default", "off"))).evaluate({}))["flag"] == ("off", "inactive")


def test_an_answer_has_its_payload_and_the_metadata_of_flag_segment_and_variant():
    config = one(
        named("Segment 1", "on"), metadata={"a": 1, "b": 1}, variants={"on": {"key": "on", "metadata": {"b": 2}}}
    )

    answer = flags(config).evaluate({})["flag"]

    assert answer.metadata == {"a": 1, "b": 2, "segmentName": "Segment 1"}
    assert RELEASE.evaluate({"user_id": "ann"})["flag"].payload == {"colour": "red"}


def test_a_segment_that_yields_no_variant_hands_on_to_the_next():
    unknown = split("salt", ("gone", 0, 42_949_673))

    answers = flags(one({"bucket": unknown, "variant": "on"}, {}, named("last", "off"))).evaluate({"user_id": "u"})

    assert answers["flag"].metadata["segmentName"] == "last"


def test_a_flag_without_a_matching_segment_is_absent():
    assert flags(one(named("Segment 1", "on", (USER_ID, "is", ["ann"])))).evaluate({"user_id": "bob"}) == {}


def test_flags_on_a_cycle_are_named_and_yield_nothing_while_all_others_are_answered():
    read = flags(
        one(named("x", "on"), key="a", dependencies=["b"]),
        one(named("x", "on"), key="b", dependencies=["c"]),
        one(named("x", "on"), key="c", dependencies=["a"]),
        one(named("x", "on"), key="self", dependencies=["self"]),
        one(named("x", "off", (["result", "a", "key"], "is", ["(none)"])), key="below", dependencies=["a", "unknown"]),
        one(named("x", "on"), key="beside"),
    )

    assert said(read.evaluate({})) == {"below": ("off", "not allocated"), "beside": ("on", "segment")}
    assert sorted(str(problem) for problem in read.problems) == [
        "flag 'a': lies on a cycle of dependencies (a → b → c → a); break it",
        "flag 'b': lies on a cycle of dependencies (a → b → c → a); break it",
        "flag 'c': lies on a cycle of dependencies (a → b → c → a); break it",
        "flag 'self': lies on a cycle of dependencies (self → self); break it",
    ]


def test_a_chain_of_dependencies_may_be_long():
    chain = [
        one(
            named("x", "on", (["result", f"f{i + 1}", "key"], "is", ["on", "(none)"])),
            key=f"f{i}",
            dependencies=[f"f{i + 1}"],
        )
        for i in range(5_000)
    ]

    assert len(flags(*chain).evaluate({})) == 5_000


def test_a_flag_that_cannot_be_read_is_a_problem_of_its_own():
    look_behind = one(named("x", "on", (USER_ID, "regex match", ["(?<=a)b"])), key="pattern")
    twice = one(named("x", "off"), key="good")
    configs = [one(named("x", "on"), key="good"), {"key": "half"}, 7, look_behind, twice]

    read = flags(*configs)

    assert said(read.evaluate({})) == {"good": ("on", "segment")}
    assert [(problem.flag, problem.reason) for problem in read.problems] == [
        ("half", "cannot be read: Object missing required field `variants`"),
        ("[2]", "cannot be read: Expected `object`, got `int`"),
        (
            "pattern",
            "'(?<=a)b' is no regular expression of RE2 (invalid perl operator: (?<=); "
            "write it without look-around and references back",
        ),
        ("good", "stands here twice, and the first is used; keep one of them"),
    ]


@pytest.mark.parametrize(
    ("flag", "name"), [(b'{"key":"bad","variants":{"\xff":{}},"segments":[]}', "bad"), (b'{"key":"\xff"}', "[1]")]
)
def test_a_flag_that_is_not_utf_8_is_named_and_the_others_are_answered(flag, name):
    good = json.dumps(one(named("x", "on"), key="good")).encode()

    read = Flags.read(b"[" + good + b"," + flag + b"]")

    assert said(read.evaluate({})) == {"good": ("on", "segment")}
    assert [problem.flag for problem in read.problems] == [name]


@pytest.mark.parametrize("text", ["{}", "nothing", "[" * 100_000, b"\xff"])
def test_what_is_no_array_of_flags_is_refused(text):
    with pytest.raises(ValueError, match=r"JSON array|nested too deeply"):
        Flags.read(text)


def test_only_the_flags_asked_for_are_answered_and_what_they_depend_on_is_evaluated():
    assert said(RELEASE.evaluate({"user_id": "held"}, ["flag", "unknown"])) == {"flag": ("off", "dependency")}


def test_flags_are_written_as_they_were_read_without_fields_of_ours():
    config = one(named("x", "on"), metadata={"flagVersion": 1}, name="unknown to every engine", dependencies=None)

    (written,) = json.loads(flags(config).write())

    assert written == one(named("x", "on"), metadata={"flagVersion": 1})


def test_threads_share_flags():
    """From the first evaluation on, which is when they are written out as functions."""
    config = one({"bucket": split("salt", ("on", 0, 42949673)), "variant": "off"})
    users = [{"user_id": f"user-{i}"} for i in range(2_000)]
    alone = [*map(flags(config).evaluate, users)]

    with ThreadPoolExecutor(8) as threads:
        assert [*threads.map(flags(config).evaluate, users)] == alone
