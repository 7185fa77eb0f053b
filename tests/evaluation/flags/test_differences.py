"""Each line of the table in conditions.py: where Amplitude's Python engine says something else, and what each says."""

import json
import re

import pytest
from amplitude_experiment.evaluation.engine import EvaluationEngine
from amplitude_experiment.evaluation.topological_sort import CycleException

from evaluation.flags import conditions
from evaluation.flags.engine import Flags
from tests.evaluation.flags.amplitude import sorted_flags

P = ["context", "p"]


def flag(condition=None, key="flag", **fields):
    """A flag that is `on` for those who satisfy the condition, else `off`."""
    first = {"conditions": None if condition is None else [[condition]], "variant": "on"} | fields
    variants = {"on": {"key": "on"}, "off": {"key": "off"}}
    return {"key": key, "variants": variants, "segments": [first, {"variant": "off"}]}


def asking(op, *values, selector=P):
    return flag({"selector": selector, "op": op, "values": [*values]})


def bucketed(salt="", share=42_949_673 // 2):
    shares = [{"variant": "on", "range": [0, share]}, {"variant": "off", "range": [share, 42_949_673]}]
    allocations = [{"range": [0, 100], "distributions": shares}]
    return flag(bucket={"selector": P, "salt": salt, "allocations": allocations})


NEGATED_OF_MISSING = [(asking(op, "a"), None, True) for op in ("set is not", "regex does not match")]
VALUES_OF_NO_USE = [(asking("is not", "(none)"), value, True) for value in (0, False, "", {})]
LINES = {  # (flag, what stands at p, whether it is on here and in Kotlin): in Python it is the other way
    "missing: `set is not`, `regex does not match`": NEGATED_OF_MISSING,
    '0, false, "", [] and {} are missing': [*VALUES_OF_NO_USE, (asking("set is not", "a"), [], True)],
    "`set` operators on an empty array": [(asking("set is"), "[]", True), (asking("set is not", "a"), [None], True)],
    "`conditions: []` (see engine.py)": [(flag(conditions=[]), None, False)],
    "an empty name in a selector": [(asking("is", "a", selector=[*P, ""]), {"": "a"}, True)],
    "repeated values of `set contains`": [
        (asking("set contains", "a", "a"), ["a"], True),
        (asking("set contains", "true", "TRUE"), ["true", "true"], False),
        (asking("set does not contain", "a", "a"), ["a"], False),
    ],
    "regular expressions": [
        (asking("regex match", "a"), "bab", False),
        (asking("regex does not match", "^a"), "ab", True),
        (asking("regex match", "^a$"), "a\n", False),
    ],
    "`\\d`, `\\s`, `\\w` in them": [
        *((asking("regex match", pattern), text, False) for pattern, text in ((r"^\d$", "١"), (r"^\w$", "é"))),
        (asking("regex match", r"^\S$"), "\u00a0", True),
    ],
    "what a boolean is written as": [(asking("regex match", "^true$"), True, True), (asking("less", "a"), True, False)],
    "what an infinite number is written as": [(asking("is", "Infinity"), float("inf"), True)],
    "blanks in the text of an object or array": [(asking("is", '{"a":1}'), {"a": 1}, True)],
    "letters beyond ASCII there": [(asking("contains", "é"), {"a": "é"}, True)],
    "NaN, in an array within a text": [(asking("is", "nan"), "[NaN]", False), (asking("is", "[NaN]"), "[NaN]", True)],
    "1_000, inf, nan, infinity, ١٢ as numbers": [
        (asking("greater", "2"), "1_000", False),
        (asking("less", "20"), "١٢", False),
        *((asking("greater", "-5"), text, True) for text in ("-inf", "-infinity")),
        (asking("greater", "5"), "nan", True),
    ],
    "what may stand around a number": [(asking("greater", "5"), text, True) for text in ("\x0012", "\x1f12")],
    "NaN compared": [(asking("greater", "5"), "NaN", True), (asking("less or equal", "NaN"), "NaN", True)],
    "-0.0 less than 0": [(asking("less", "0"), "-0.0", True), (asking("greater", "-0.0"), "0", True)],
    "order of texts": [(asking("less", "\uffff"), "🚀", True)],
    "1.2.3+build as a version": [(asking("version less or equal", "1.2.3"), "1.2.3+build", True)],
    "1.2.3-a_b, 1.2.3-a., 1.2.3-, ١.٢ as versions": [
        *((asking("version less", "1.2.3"), text, False) for text in ("1.2.3-a_b", "1.2.3-a.")),
        (asking("version less", "1.10.0"), "1.2.3-", False),
        (asking("version less", "2.0"), "١.٢", False),
    ],
    "a major or minor version from 2^31 on": [(asking("version less", "3000000000.0"), "9.0", False)],
    "a patch from 2^31 on": [(asking("version less", "1.2.1"), "1.2.3000000000", True)],
}


def on_in_amplitudes(config, value):
    return EvaluationEngine().evaluate({"p": value}, sorted_flags([config]))["flag"].key == "on"


@pytest.mark.parametrize("line", LINES)
def test_python_says_the_opposite_of_what_is_said_here_and_in_kotlin(line):
    for config, value, is_on in LINES[line]:
        ours = Flags.read(json.dumps([config])).evaluate_context({"p": value})["flag"].key == "on"
        assert (ours, on_in_amplitudes(config, value)) == (is_on, not is_on), (config["segments"][0], value)


def test_half_a_surrogate_pair_is_bucketed_as_a_question_mark_where_python_raises_an_error():
    half, mark = "\ud83d", "?"
    salts = [str(number) for number in range(20)]

    read = [Flags.read(json.dumps([bucketed(salt)])) for salt in salts]

    keys = [[each.evaluate_context({"p": text})["flag"].key for each in read] for text in (half, mark)]
    assert keys[0] == keys[1]
    assert {*keys[0]} == {"on", "off"}
    with pytest.raises(UnicodeEncodeError):
        on_in_amplitudes(bucketed(), half)


def test_a_cycle_of_dependencies_silences_its_own_flags_where_python_raises_an_error():
    configs = [{**flag(key="a"), "dependencies": ["b"]}, {**flag(key="b"), "dependencies": ["a"]}, flag(key="c")]

    assert [*Flags.read(json.dumps(configs)).evaluate({})] == ["c"]
    with pytest.raises(CycleException):
        sorted_flags(configs)


def test_every_line_of_the_table_has_a_test():
    (rows,) = re.findall(r"=+ +=+ +=+\n +question .*\n +=[ =]+\n(.*?)\n +=+", conditions.__doc__, re.DOTALL)
    questions = [re.split(r" {2,}", row.strip())[0] for row in rows.splitlines()]

    assert questions == [*LINES, "half a surrogate pair, when bucketed", "a cycle of dependencies"]
