"""No input crashes the engine, or takes it more than linear time.

How it was tried. *Crashes*: arbitrary bytes, JSON and mutilated flags are read; what can be read is evaluated for
arbitrary users and contexts, half surrogate pairs, infinities, huge integers and deep nesting among them. *Time*: each
operator, bucket and reader is given texts that are known to make backtracking, quadratic or recursive programs slow, at
two sizes, one `GROWTH` times the other; the CPU time may grow by little more. Flags grow too: many values, conditions,
segments, shares, dependencies, colliding names. (Time is linear in the flags and in the context: n conditions on one
text of n dead letters read it n times.)
"""

import json
import sys
import time
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.columns.names import Names
from evaluation.columns.texts import Texts
from evaluation.flags.engine import Flags
from tests.evaluation.flags.amplitude import EVERY_OPERATOR, chances

P = ["context", "user", "p"]
GROWTH = 8
MOST = 5 * GROWTH  # quadratic would be GROWTH ** 2; the rest is for noise
ANY_TEXT = st.text(st.characters())  # half surrogate pairs too
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
)
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10).map(lambda ten: ten**5_000)
    | st.floats()
    | ANY_TEXT
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3) | st.tuples(inner),
)


@settings(max_examples=100, deadline=None)
@given(st.binary() | JSON.map(json.dumps) | st.lists(JSON).map(json.dumps))
def test_any_text_is_flags_or_refused(text):
    try:
        Flags.read(text).evaluate({})
    except ValueError as error:
        assert "JSON" in str(error)  # noqa: PT017 (most texts are refused)


@settings(max_examples=60, deadline=None)
@given(chances(), st.data())
def test_mutilated_flags_are_answered_or_told(chance, data):
    configs = chance.flags()
    text = json.dumps(configs)
    at = data.draw(st.integers(0, len(text) - 1))
    replaced = data.draw(st.sampled_from(["", "0", '"', "null", "[]", "{}", "]", "-1", "\\ud800", "[" * 2_000]))

    try:
        flags = Flags.read(text[:at] + replaced + text[at + data.draw(st.integers(1, 9)) :])
    except ValueError:
        return
    flags.evaluate_context(chance.context())


@settings(max_examples=60, deadline=None)
@given(chances(), ODD, ODD)
def test_any_user_and_context_is_answered(chance, one, other):
    flags = Flags.read(json.dumps([*chance.probes(), *chance.flags()]))
    fields = ("user_id", "cohort_ids", "country", "user_properties", "groups", "group_properties", "group_cohort_ids")

    for field in fields:
        flags.evaluate({field: one, "user_properties": {"p": other}})
        flags.evaluate({field: {"org": one}, "group_properties": {"org": {"acme": other}}})
    flags.evaluate_context({"user": one, "groups": other})
    flags.evaluate_context({"user": {"user_properties": {"p": one}, "user_id": other}})


def nested(depth, value, wrap):
    for _ in range(depth):
        value = wrap(value)
    return value


DEEP = 10 * sys.getrecursionlimit()


@pytest.mark.parametrize(
    "value",
    [
        *(nested(DEEP, 1, wrap) for wrap in (lambda x: [x], lambda x: {"a": x}, lambda x: (x,))),
        *("[" * DEEP + "]" * DEEP, '["' + "\\" * DEEP, '{"a":' * DEEP, "[" + "1," * DEEP),
        *(10**10_000, -(10**400), inf, -inf, nan, -0.0, "\ud800", b"\xff", {1: 2}, {None: None}, object),
        *("[1e999]", "[" + "9" * 10_000 + "]", '["\\ud800"]', "9" * 10_000, "1." + "0" * 10_000, f"{'1' * 10_000}.1.1"),
    ],
    ids=lambda value: str(type(value)) if not isinstance(value, str) else ascii(value[:8]),
)
def test_no_value_is_too_deep_too_large_or_too_strange_for_any_operator_or_bucket(value):
    for op in EVERY_OPERATOR:
        flag = asking(op, "1", "1.2.3", "true")
        flag["segments"].append({"bucket": bucket(), "variant": "off"})
        read = Flags.read(json.dumps([flag]))
        assert read.evaluate({"p": value}).keys() <= {"flag"}
        assert read.evaluate_context({"user": {"p": value}}).keys() <= {"flag"}


def asking(op, *values):
    condition = {"selector": P, "op": op, "values": [*values]}
    return {"key": "flag", "variants": {"on": {"key": "on"}, "off": {"key": "off"}}} | {
        "segments": [{"conditions": [[condition]], "variant": "on"}]
    }


def bucket(shares=((0, 42_949_673),)):
    distributions = [{"variant": "on", "range": [low, high]} for low, high in shares]
    return {"selector": P, "salt": "", "allocations": [{"range": [0, 100], "distributions": distributions}]}


def growth(make, use, size):
    """How much more CPU time the use of what is made takes at GROWTH times the size."""

    def seconds(n):
        made = make(n)
        best = inf
        for _ in range(3):
            began = time.process_time()
            use(made)
            best = min(best, time.process_time() - began)
        return max(best, 1e-4)

    return seconds(GROWTH * size) / seconds(size)


SLOW = {  # texts of about n letters
    "letters": lambda n: "a" * n,
    "almost": lambda n: "a" * n + "!",
    "dashes": lambda n: "1.2.3-" + "a-" * (n // 2) + "]",
    "dots": lambda n: "1.2.3-" + "a." * (n // 2),
    "digits": lambda n: "1" * n,
    "point": lambda n: "0." + "0" * n + "1",
    "parts": lambda n: "1." * (n // 2),
    "blanks": lambda n: " " * n + "x",
    "exponent": lambda n: "1e" + "0" * n,
    "brackets": lambda n: "[" * n,
    "array": lambda n: "[" + "1," * (n // 2) + "1]",
    "numbers": lambda n: "[" + ",".join(["9" * 30] * (n // 31)) + "]",
    "long number": lambda n: "[" + "9" * n + "]",
    "escapes": lambda n: '["' + "\\u00e9" * (n // 6) + '"]',
    "open": lambda n: '["' + "a" * n,
    "capitals": lambda n: "İ" * n,
}
PATTERNS = [
    *("(a*)*b", "(a|a)*b", "(a+)+$", "(.*a){10}x", "^(([a-z])+.)+[A-Z]$", "(?i)(a|b|ab)*c", "a{0,500}a{0,500}!")
]


@pytest.mark.parametrize("op", EVERY_OPERATOR)
def test_no_text_takes_an_operator_more_than_linear_time(op):
    values = PATTERNS if op.startswith("regex") else ["a" * 50 + "b", "1.2.3-a.b", "1e5", "true"]
    flags = Flags.read(json.dumps([asking(op, *values)]))

    growths = {name: growth(of, lambda text: flags.evaluate({"p": text}), 4_000) for name, of in SLOW.items()}

    assert max(growths.values()) < MOST, growths


def chain(n):
    return [
        {"key": f"f{i}", "variants": {}, "segments": [], "dependencies": [f"f{i + 1}", f"f{i // 2}"]} for i in range(n)
    ]


LARGE = {  # flags of about n parts
    "values": lambda n: [asking("set contains", *map(str, range(n)))],
    "patterns": lambda n: [asking("regex match", *(f"a{i}" for i in range(n)))],
    "alternatives": lambda n: [
        {
            **asking("is", "a"),
            "segments": [{"conditions": n * asking("is", "a")["segments"][0]["conditions"], "variant": "on"}],
        }
    ],
    "conditions": lambda n: [
        {
            **asking("is", "a"),
            "segments": [{"conditions": [n * asking("is not", "a")["segments"][0]["conditions"][0]], "variant": "on"}],
        }
    ],
    "segments": lambda n: [{**asking("is", "a"), "segments": n * asking("is", "a")["segments"]}],
    "shares": lambda n: [
        {**asking("is", "a"), "segments": [{"bucket": bucket([(i, i + 1) for i in range(n)]), "variant": "off"}]}
    ],
    "flags": lambda n: [{**asking("is", "a"), "key": f"f{i}"} for i in range(n)],
    "dependencies": lambda n: [
        {**asking("is", "a"), "key": "all", "dependencies": [f"f{i}" for i in range(n)]},
        *chain(n),
    ],
    "cycles": chain,
}


@pytest.mark.parametrize("name", LARGE)
def test_flags_take_time_in_proportion_to_their_size(name):
    assert growth(lambda n: json.dumps(LARGE[name](n)), lambda text: Flags.read(text).evaluate({"p": "b"}), 200) < MOST


def test_a_users_properties_take_time_in_proportion_to_their_size():
    flags = Flags.read(json.dumps([asking(op, "a") for op in EVERY_OPERATOR]))
    values = {
        "many": lambda n: ["a"] * n,
        "objects": lambda n: [{"a": [1]}] * n,
        "names": lambda n: {str(i): i for i in range(n)},
        "numbers": lambda n: [10**300] * n,
    }

    growths = {name: growth(of, lambda value: flags.evaluate({"p": value}), 1_000) for name, of in values.items()}

    assert max(growths.values()) < MOST, growths


def test_names_that_collide_without_a_seed_are_found_as_fast_as_others():
    size, prime, basis = 8_000, 0x100000001B3, 0xCBF29CE484222325 ^ 16  # FNV-1a of texts with 16 bytes
    first = np.random.default_rng(1).integers(32, 127, (512 * size, 8), np.uint8).view(np.uint64).ravel()
    second = ((np.uint64(basis) ^ first) * np.uint64(prime)) ^ np.uint64(0x7061737477697264)
    ascii_only = (second & np.uint64(0x8080808080808080)) == 0
    colliding = np.column_stack([first, second])[ascii_only][:size]  # by words FNV-1a is the same of all
    names = tuple({row.tobytes().decode() for row in colliding})
    assert len(names) > size / 2

    def seconds(names):
        best, texts = inf, Texts.of([*names])
        for _ in range(3):
            listed = Names(names)
            began = time.process_time()
            assert (listed.codes(texts) == np.arange(len(names))).all()
            best = min(best, time.process_time() - began)
        return best

    assert seconds(names) < GROWTH * seconds(tuple(f"{i:016}" for i in range(len(names))))
