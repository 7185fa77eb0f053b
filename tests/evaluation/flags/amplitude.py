"""Amplitude's Python engine, flags and contexts at random, and where its answers may differ from ours.

The engine decides everything itself. It is told no more than how the Kotlin engine writes booleans, objects and arrays,
and that 0, false and {} are values. Where a condition meets another line of the table in conditions.py, the answer, and
that of every flag that reads it, is not compared. Each of those lines has a test of its own in test_differences.py.
"""

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise, product
from math import copysign, isnan
from random import Random
from typing import Any

from amplitude_experiment.evaluation.engine import EvaluationEngine
from amplitude_experiment.evaluation.select import select
from amplitude_experiment.evaluation.semantic_version import SemanticVersion
from amplitude_experiment.evaluation.topological_sort import topological_sort
from amplitude_experiment.evaluation.types import EvaluationFlag
from hypothesis import strategies as st

from evaluation.flags.conditions import OPERATORS

EVERY_OPERATOR = [*OPERATORS, "unknown"]
SHARES = 42_949_673


def sorted_flags(configs: list[dict[str, Any]], keys: list[str] | None = None) -> list[EvaluationFlag]:
    """Flags as Amplitude's engine wants them."""
    return topological_sort({config["key"]: EvaluationFlag.from_dict(config) for config in configs}, keys)


class Reference(EvaluationEngine):
    """Amplitude's engine. `unlike` are the flags whose answers may differ from ours, `differences` why.

    `reached` is what led to the other answers: of each condition its operator, kind of value and result; of each bucket
    the kind of its unit, and whether that got a share.
    """

    def __init__(self) -> None:
        self.unlike: set[str] = set()
        self.differences: Counter[str] = Counter()
        self.reached: Counter[tuple[Any, ...]] = Counter()
        self._difference: str | None = None
        self._steps: list[tuple[Any, ...]] = []

    def evaluate(self, context, flags):
        """The variant of each flag."""
        self.unlike.clear()
        return super().evaluate(context, flags)

    def evaluate_flag(self, target, flag):
        """What the flag yields."""
        self._difference, self._steps = None, []
        variant = super().evaluate_flag(target, flag)
        if self._difference:
            self.differences[self._difference] += 1
            self.unlike.add(flag.key)
        else:
            self.reached.update(self._steps)
        return variant

    def match_condition(self, target, condition):
        """Whether the condition is satisfied, by a value that isn't taken for missing when it is 0, false or {}."""
        value = self._select(target, condition.selector)
        self._difference = self._difference or self._listed(condition.op, value, condition.values)
        shown = self.coerce_string(value) if value is False or value in (0, {}) else value
        matched = super().match_condition({"value": shown}, replace(condition, selector=["value"]))
        self._steps.append((condition.op, kind_of(value), matched))
        return matched

    def bucket(self, target, segment):
        """The key of the segment's variant."""
        key = super().bucket(target, segment)
        if segment.bucket:
            unit = self._select(target, segment.bucket.selector)
            self._steps.append(("bucket", kind_of(unit), key != segment.variant))
        return key

    def _select(self, target, selector):
        if selector[0] == "result" and selector[1] in self.unlike:
            self._difference = "another flag's"
        self._steps.append(("selector", selector[0], selector[min(2, len(selector) - 1)]))
        return select(target, selector)

    def coerce_string(self, value):
        """Booleans, objects and arrays as the Kotlin engine writes them."""
        if isinstance(value, bool | dict | list):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return super().coerce_string(value)

    def _note_result(self, selector):
        if selector[0] == "result" and selector[1] in self.unlike:
            self._difference = "of another flag"

    def _listed(self, op, value, values):
        """The line of the table that the condition meets; None where it meets none."""
        if value is None:
            return "missing" if op in ("set is not", "regex does not match") else None
        many = self.coerce_string_array(value)
        texts = [self.coerce_string(value)] if many is None else many
        lines = {
            "empty": value in ("", []) or (many == [] and self.is_set_operator(op)),
            "NaN in an array": many is not None and re.search("NaN|Infinity", str(value)),
            "repeated values": op in ("set contains", "set does not contain") and has_repeated(texts, values),
            "regular expressions": op.startswith("regex") and any(map(is_matched_otherwise, texts)),
            "numbers": op in COMPARISONS and any(map(is_another_number, [*texts, *values])),
            "versions": op.startswith("version") and any(map(is_another_version, [*texts, *values])),
            "order of texts": any(
                (one < other) != (utf_16(one) < utf_16(other)) for one, other in product(texts, values)
            ),
        }
        return next((line for line, is_met in lines.items() if is_met), None)


KINDS = ("NoneType", "str", "int", "float", "bool", "list", "dict", "array in a text")


def kind_of(value):
    """What a condition is asked about."""
    return "array in a text" if isinstance(value, str) and value.startswith("[") else type(value).__name__


def has_repeated(*lists):
    """Whether some value stands twice in a list."""
    return any(len(set(values)) < len(values) for values in lists)


def is_matched_otherwise(text):
    """Whether a pattern of ours may find something else in it: a last line, or a blank that RE2 doesn't know as one."""
    return any(dead_letter == "\n" or (dead_letter.isspace() and dead_letter not in " \t\f\r") for dead_letter in text)


COMPARISONS = ("less", "less or equal", "greater", "greater or equal")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def is_another_number(text):
    """Whether Python reads a number where a JVM doesn't, or the other way; NaN and -0.0 are compared differently."""
    try:
        number = float(text)
    except ValueError:
        number = None
    if number is not None and (isnan(number) or (number == 0 and copysign(1, number) < 0)):
        return True
    return (number is not None) != bool(NUMBER.fullmatch(text.strip("".join(map(chr, range(33))))))


VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}(\.[0-9]{1,9}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?)?")


def is_another_version(text):
    """Whether it is a version of one engine alone, or with a part that may be too large."""
    return not VERSION.fullmatch(text) and (SemanticVersion.parse(text) is not None or "+" in text)


def utf_16(text):
    """What the order of texts is by UTF-16 units."""
    return text.encode("utf-16-be")


WORDS = [
    *("", "a", "A", "b", "ab", "Ab\n", "c", "(none)", "null", "true", "True", "FALSE", "false", "0", "1", "2", "10"),
    *("1.0", "-1", "1e2", " 7 ", "1e400", "-0.0", "1_000", "inf", "NaN", "Infinity", "١٢", "0x1", "1f", "\u00a01"),
    *(
        "1.2",
        "1.2.3",
        "1.2.10",
        "1.10.0",
        "01.2.3",
        "2.0.0-beta",
        "2.0.0-alpha.1",
        "2.0.0-",
        "1.2.3+b",
        "1.2.3.4",
        "v1",
    ),
    *("straße", "STRASSE", "é", "e\u0301", "🚀", "\uffff", "吉星", "İ", "\x00", "\\", '"'),
    *(" [1]", '{"a":1}', "a,b", "on", "off", "control"),
]
ARRAYS = ["[]", "[null]", '["a","b"]', '["a",true,1,null]', '[{"a":1.5},[2]]', "[1, 2", "[1.5]", "[NaN]", '["1.2.3"]']
PATTERNS = [
    *(
        "^a$",
        "^(a|b)+$",
        "^.*$",
        "^[^a]*$",
        "^$",
        r"^\S+$",
        r"^1\.[0-9]+.*$",
        "^(true|false)$",
        "^(?i:AB?)$",
        "^é{1,3}$",
    ),
    *("^(on|off|control)$", "^🚀?$", r"^\[.*\]$", "^(a*)*$"),
]
NUMBERS = [0, 1, 2, 10, -1, 0.0, 1.0, 1.5, -2.5, 1e22, 1e-7, 5e-324, 10**18, -(2**63)]
NESTED = [{}, {"a": 1, "b": [True, None]}, {"é": {"a": ""}}, [[1, 2], ["a"]], [{"a": "b"}], [], [None], ["a", 0, False]]

USER, ORG = ("context", "user"), ("context", "groups", "org")
PROPERTIES = ("p", "q", "plan", "")
SELECTORS = [
    *((*USER, name) for name in ("user_id", "device_id", "country", "version", "cohort_ids", "user_properties")),
    *((*USER, "user_properties", name) for name in PROPERTIES[:3]),
    *((*USER, "user_properties", "p", name) for name in "ab"),
    *((*ORG, name) for name in ("group_name", "cohort_ids")),
    *((*ORG, "group_properties", name) for name in PROPERTIES[:3]),
    *(("context", "groups", "team", "group_name"), ("context", "page", "url"), ("context",), ("nowhere", "at all")),
]
COHORTS = [(*USER, "cohort_ids"), (*ORG, "cohort_ids")]
UNITS = [(*USER, "user_id"), (*USER, "device_id"), (*ORG, "group_name"), (*USER, "user_properties", "p")]
VARIANTS = ("on", "off", "control", "treatment")

SCALARS = st.one_of(st.text(max_size=6), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
DRAWN = st.lists(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    min_size=4,
    max_size=4,
)


class Chance:
    """Flags, users and contexts, from words and values that are apt to collide, and others drawn by hypothesis."""

    def __init__(self, random: Random, drawn: list[Any]) -> None:
        self._random = random
        self._one = random.choice
        self._texts = random.sample(WORDS, 5) + [each for each in drawn if isinstance(each, str)]
        self._lists = [self._some(self.text, 3) for _ in range(3)]
        self._values = [*self._texts, *random.sample(NUMBERS, 5), *drawn]

    def _some(self, make, most, least=0):
        return [make() for _ in range(self._random.randint(least, most))]

    def _maybe(self, value):
        return value if self._random.random() < 0.7 else None

    def text(self):
        """Any text."""
        return self._one(self._texts)

    def odd(self):
        """Any value of JSON."""
        kinds = [None, self._one([True, False]), self._one(NESTED), self._one(ARRAYS), self._one(self._lists)]
        kinds += [self._some(self.scalar, 3), *(self._one(self._values) for _ in range(6))]
        return self._one(kinds)

    def scalar(self):
        """A text or a number, a boolean, null."""
        return self.text() if self._random.randrange(3) else self._one([*NUMBERS, True, False, None])

    def properties(self):
        """Properties of a user or group."""
        return {name: self.odd() for name in PROPERTIES if self._random.randrange(4)}

    def user(self):
        """A user by Amplitude's fields, any of which may be missing."""
        names = ("acme", "a", "")
        fields = {
            **{name: self.text() for name in ("user_id", "device_id", "country", "version")},
            "user_properties": self.properties(),
            "cohort_ids": self._one(self._lists),
            "groups": {kind: self._some(lambda: self._one(names), 2) for kind in ("org", "team")},
            "group_properties": {"org": {name: self.properties() for name in names[:2]}},
            "group_cohort_ids": {"org": {name: self._some(self.text, 3, 1) for name in names[:2]}},
        }
        return {name: value for name, value in fields.items() if self._random.randrange(6)}

    def context(self):
        """An evaluation context, whose parts may be of any shape."""
        user = {name: self.odd() for name in ("user_id", "device_id", "country", "version", "cohort_ids")}
        org = {"group_name": self.odd(), "group_properties": self.properties(), "cohort_ids": self.odd()}
        odd = self._random.randrange(8)
        return {
            "user": self.odd()
            if odd == 0
            else user | {"user_properties": self.odd() if odd == 1 else self.properties()},
            "groups": self.odd() if odd == 2 else {"org": self.odd() if odd == 3 else org},
            "page": {"url": self.odd()},
        }

    def condition(self, op, parents=()):
        """A condition on a property, or on what another flag yields."""
        of_set = op.startswith("set") and self._random.randrange(2)
        selector = self._one(COHORTS if of_set else SELECTORS)
        if parents and not self._random.randrange(3):
            selector = (
                "result",
                self._one(parents),
                *self._one([("key",), ("value",), ("payload",), ("metadata", "m")]),
            )
        value = (lambda: self._one(PATTERNS)) if op.startswith("regex") else self.text
        values = self._one(self._lists) if of_set else self._some(value, 4)
        return {"selector": [*selector], "op": op, "values": values}

    def bucket(self):
        """A bucket whose allocations may overlap, leave gaps, or name variants that the flag doesn't have."""
        cuts = [0, *sorted(self._random.randrange(SHARES) for _ in range(3)), SHARES]
        shares = [{"variant": self._one(VARIANTS), "range": [*each]} for each in pairwise(cuts)]
        wide = {"variant": "treatment", "range": [cuts[1], SHARES]}
        bounds = sorted(self._random.randrange(101) for _ in range(2))
        return {
            "selector": [*self._one(UNITS)],
            "salt": self._one(["", "salt", "é"]),
            "allocations": [
                {"range": bounds, "distributions": shares[: self._random.randint(0, 4)]},
                {"range": [0, 100], "distributions": [wide]},
            ][: self._random.randint(1, 2)],
        }

    def segment(self, parents):
        """A segment; `conditions: []` is a line of the table."""
        return {
            "bucket": self._maybe(self.bucket()),
            "variant": self._one([*VARIANTS, None, "gone"]),
            "metadata": self._maybe({"m": self.scalar()}),
            "conditions": self._some(
                lambda: self._some(lambda: self.condition(self._one(EVERY_OPERATOR), parents), 2), 2
            )
            or None,
        }

    def probes(self):
        """For each operator a flag that says no more than whether its one condition is satisfied."""
        variants = {"on": {"key": "on"}}
        return [
            {"key": op, "variants": variants, "segments": [{"conditions": [[self.condition(op)]], "variant": "on"}]}
            for op in EVERY_OPERATOR
        ]

    def flags(self):
        """Flags that depend on each other without a cycle, in any order."""
        keys = [f"f{i}" for i in range(self._random.randint(1, 6))]
        made = []
        for i, key in enumerate(keys):
            parents = self._some(lambda i=i: self._one([*keys[:i], "unknown"]), 2)
            variants = {
                name: {"key": name, "value": self.scalar(), "payload": self.odd(), "metadata": {"m": self.scalar()}}
                for name in VARIANTS[: self._random.randint(2, 4)]
            }
            segments = self._some(lambda parents=parents: self.segment(parents or keys[:1]), 4, 1)
            made.append({"key": key, "variants": variants, "segments": segments, "dependencies": parents or None})
        self._random.shuffle(made)
        return made


@st.composite
def chances(draw):
    """What flags and contexts are made with."""
    return Chance(draw(st.randoms(use_true_random=True)), draw(DRAWN))
