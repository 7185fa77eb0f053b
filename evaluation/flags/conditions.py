"""Conditions: Amplitude's operators, compiled to functions of what they look at in a subject (see values.py).

Where Amplitude's engines disagree, this one does as the Kotlin engine, which its servers run:

    =============================================  =====================  ==============================
    question                                       here and Kotlin        Python engine (JavaScript's: *)
    =============================================  =====================  ==============================
    missing: `set is not`, `regex does not match`  true                   false *
    0, false, "", [] and {} are missing            no                     yes
    `set` operators on an empty array              compared, as empty     false
    `conditions: []` (see engine.py)               match nobody           match everybody
    an empty name in a selector                    a name like others     leads nowhere
    repeated values of `set contains`              count once             count each time *
    regular expressions                            match the whole text   are searched for *
    `\\d`, `\\s`, `\\w` in them                       of ASCII               of all scripts
    what a boolean is written as                   true                   True
    what an infinite number is written as          Infinity               inf
    blanks in the text of an object or array       none                   after , and :
    letters beyond ASCII there                     as they are            as escapes
    NaN, in an array within a text                 makes it a plain text  is read
    1_000, inf, nan, infinity, ١٢ as numbers       no                     yes
    what may stand around a number                 U+0000 to U+0020       any blanks
    NaN compared                                   greatest, equals NaN   never true *
    -0.0 less than 0                               yes                    no *
    order of texts                                 by UTF-16 unit         by code point (JavaScript's: none is true)
    1.2.3+build as a version                       1.2.3                  no version *
    1.2.3-a_b, 1.2.3-a., 1.2.3-, ١.٢ as versions   no                     yes
    a major or minor version from 2^31 on          no version             as large as it is
    a patch from 2^31 on                           0                      as large as it is
    half a surrogate pair, when bucketed           as a question mark     raises an error
    a cycle of dependencies                        its flags give nothing raises an error *
    =============================================  =====================  ==============================

The last line is ours: one cycle must not silence the other flags. Four more are ours where Kotlin's answer depends on
what it runs on, or on its reader's leniency: a number is written with Python's digits (10000000.0, where a JVM writes
1.0E7), hexadecimal digits and a final `f` or `d` make no number, a text is an array only if it is strict JSON, and what
is nested more than 64 levels deep is missing.

Documents' own expressions are served so that all match the same by them (see patterns.py).

Everything takes time linear in the text. Regular expressions are RE2's (https://github.com/google/re2/wiki/Syntax): no
look-around, no references back, repetitions up to 1000; what else a pattern holds is refused when the flag is read.
"""

import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from math import copysign, isnan
from typing import Any

import re2

from evaluation.columns.names import Names
from evaluation.flags.values import Subject

Viewed = Any  # None: missing; a list: of many texts, each on its own; else of one text
View = Callable[[Subject], Viewed]
Matcher = Callable[[Viewed], bool]
Scalar = Callable[[Any], bool]
NONE = "(none)"  # the value that stands for a missing property
GLOBS = {"glob match": "regex match", "glob does not match": "regex does not match"}
REGEXES = tuple(GLOBS.values())
PATTERNS = (*REGEXES, *GLOBS)
ANY = r"[\s\S]"
BOOLEANS = frozenset({"true", "false"})


class ConditionError(ValueError):
    """A condition that cannot be compiled."""


@dataclass(frozen=True, slots=True)
class CompiledCondition:
    """An operator with its values: `view` is what it looks at, the same function for all that look at the same.

    Where it asks no more than whether a text is listed, `listed` are the values.
    """

    view: View
    meets: Matcher
    listed: Names | None = None
    negated: bool = False

    def matches(self, subject: Subject) -> bool:
        """Whether the subject satisfies it."""
        return self.meets(self.view(subject))


def compile_condition(op: str, values: Collection[str]) -> CompiledCondition:
    """Whether a subject satisfies the operator. Raises ConditionError for a pattern that RE2 refuses.

    Globs, which documents have, are taken too. An operator that nobody knows is satisfied by nothing.
    """
    if op in GLOBS:
        return compile_condition(GLOBS[op], [*map(glob_pattern, values)])
    if op not in OPERATORS:
        return CompiledCondition(_texts, lambda _: False)
    make, view, negated = OPERATORS[op]
    distinct = frozenset(values)
    only_lists = make is _is and not BOOLEANS.intersection(map(str.lower, distinct))
    listed = Names(tuple(distinct)) if only_lists else None
    return CompiledCondition(view, _matcher(make(distinct), negated, _of_missing(op, distinct)), listed, negated)


@lru_cache(maxsize=10_000)
def condition_fault(op: str, values: tuple[str, ...]) -> str | None:
    """Why a condition cannot be compiled; None: it can."""
    try:
        compile_condition(op, values)
    except ConditionError as error:
        return str(error)
    return None


def glob_pattern(glob: str) -> str:
    """A glob as a regular expression of any engine: `*` stands for any characters, `?` for one."""
    escaped = re.sub(r"[\\.+()|\[\]{}^$]", r"\\\g<0>", glob)
    return f"^{escaped.replace('*', ANY + '*').replace('?', ANY)}$"


def _of_missing(op: str, values: frozenset[str]) -> bool:
    """What the operator says of a property that is missing."""
    if op in {"set is not", "regex does not match"}:
        return True
    if op == "regex match":
        return False
    return (NONE in values) != (op in NEGATIONS)


def _matcher(one: Scalar, negated: bool, of_missing: bool) -> Matcher:
    def meets(viewed: Viewed) -> bool:
        if viewed is None:
            return of_missing
        if viewed.__class__ is list:
            return any(one(each) is not negated for each in viewed)  # of many, one is enough: negations too
        return one(viewed) is not negated

    return meets


def _view(of_text: Callable[[str], Any]) -> View:
    def view(subject: Subject) -> Viewed:
        if subject.__class__ is str:
            return of_text(subject)
        return None if subject is None else [*map(of_text, subject)]

    return view


def _set(subject: Subject) -> Viewed:
    """All texts together; one text is no set, and satisfies nothing."""
    return [] if subject.__class__ is str else None if subject is None else frozenset(subject)


def _is(values: frozenset[str]) -> Scalar:
    booleans = BOOLEANS.intersection(map(str.lower, values))
    if not booleans:
        return values.__contains__

    def matches(text: str) -> bool:
        lower = text.lower()
        return lower in booleans if lower in BOOLEANS else text in values

    return matches


def _contains(values: frozenset[str]) -> Scalar:
    parts = [value.lower() for value in values]

    return lambda lower: any(part in lower for part in parts)


_NUMBER = re.compile(
    r"[\x00-\x20]*([+-]?(?:NaN|Infinity|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?))[\x00-\x20]*"
)


InOrder = tuple[tuple[Any, ...] | None, str]  # in the order of all numbers or versions, if it is one; and the text


def _number(text: str) -> InOrder:
    """A number's place in the order of all: -0.0 comes before 0, NaN last."""
    found = _NUMBER.fullmatch(text)
    if not found:
        return None, text
    number = float(found[1])
    return (1,) if isnan(number) else (0, number, copysign(1, number)), text


_VERSION = re.compile(
    r"([0-9]+)\.([0-9]+)(?:\.([0-9]+)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?)?"
)
_LARGEST = (1 << 31) - 1


def _version(text: str) -> InOrder:
    """A version's place in the order of all: one with a prerelease comes before the one without."""
    found = _VERSION.fullmatch(text)
    if not found:
        return None, text
    major, minor, patch, prerelease = found.groups("")
    numbers = _version_number(major), _version_number(minor)
    if None in numbers:
        return None, text
    return (*numbers, _version_number(patch) or 0, (0, prerelease) if prerelease else (1,)), text


def _version_number(digits: str) -> int | None:
    digits = digits.lstrip("0")
    number = int(digits or "0") if len(digits) <= 10 else _LARGEST + 1
    return number if number <= _LARGEST else None


def _text_order(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def _comparing(
    of_text: Callable[[str], InOrder], compare: Callable[[Any, Any], bool], bound: Callable[[Any], Any]
) -> Callable[[frozenset[str]], Scalar]:
    """Compare with any of the values that have a place; as texts where none has, or the subject hasn't."""

    def make(values: frozenset[str]) -> Scalar:
        if not values:
            return lambda _: False
        places = [place for place, _ in map(of_text, values) if place is not None]
        bound_of_places = bound(places) if places else None
        bound_of_texts = bound(map(_text_order, values))

        def matches(compared: InOrder) -> bool:
            place, text = compared
            if place is None or bound_of_places is None:
                return compare(_text_order(text), bound_of_texts)
            return compare(place, bound_of_places)

        return matches

    return make


def _regex(values: frozenset[str]) -> Scalar:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    patterns = []
    for value in sorted(values):
        try:
            patterns.append(re2.compile(_utf8(value), options))
        except re2.error as error:
            (message,) = error.args
            raise ConditionError(
                f"'{value[:100]}' is no regular expression of RE2 ({message.decode(errors='replace')[:100]}); "
                "write it without look-around and references back"
            ) from None
    return lambda encoded: any(pattern.fullmatch(encoded) is not None for pattern in patterns)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _set_is(values: frozenset[str]) -> Callable[[frozenset[str]], bool]:
    return values.__eq__


def _set_contains(values: frozenset[str]) -> Callable[[frozenset[str]], bool]:
    def matches(texts: frozenset[str]) -> bool:
        return len(texts) >= len(values) and all(map(_is(texts), values))

    return matches


def _set_contains_any(values: frozenset[str]) -> Callable[[frozenset[str]], bool]:
    booleans = BOOLEANS.intersection(map(str.lower, values))

    def matches(texts: frozenset[str]) -> bool:
        if booleans:
            return any(map(_is(texts), values))
        return not values.isdisjoint(texts)

    return matches


_texts, _lower, _encoded = _view(str), _view(str.lower), _view(_utf8)
_numbers, _versions = _view(_number), _view(_version)

OPERATORS: dict[str, tuple[Callable[[frozenset[str]], Scalar], View, bool]] = {  # and whether they are negations
    "is": (_is, _texts, False),
    "is not": (_is, _texts, True),
    "contains": (_contains, _lower, False),
    "does not contain": (_contains, _lower, True),
    "less": (_comparing(_number, operator.lt, max), _numbers, False),
    "less or equal": (_comparing(_number, operator.le, max), _numbers, False),
    "greater": (_comparing(_number, operator.gt, min), _numbers, False),
    "greater or equal": (_comparing(_number, operator.ge, min), _numbers, False),
    "version less": (_comparing(_version, operator.lt, max), _versions, False),
    "version less or equal": (_comparing(_version, operator.le, max), _versions, False),
    "version greater": (_comparing(_version, operator.gt, min), _versions, False),
    "version greater or equal": (_comparing(_version, operator.ge, min), _versions, False),
    "regex match": (_regex, _encoded, False),
    "regex does not match": (_regex, _encoded, True),
    "set is": (_set_is, _set, False),
    "set is not": (_set_is, _set, True),
    "set contains": (_set_contains, _set, False),
    "set does not contain": (_set_contains, _set, True),
    "set contains any": (_set_contains_any, _set, False),
    "set does not contain any": (_set_contains_any, _set, True),
}
NEGATIONS = {op for op, (_, _, negated) in OPERATORS.items() if negated}
