"""Patterns as they are served: RE2 matches by them what it matched before, and Python's engine matches the same."""

import re
import shutil
import subprocess

import msgspec
import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from evaluation.flags.patterns import not_everywhere, whole_text, words_end, written_out

TEXTS = [
    *"aZ09_-+.@ß\u0661é\xa0\u2028\u0130\u017f\u212a\t\n\r\f\v\u0085 &[]^\\",
    *("jürgen", "anna-maria", "a b", "a\u3000b", "١٢", "x&y", "[a]", "foo.bar", "a\rb", "", "日本", "ab", "a^b", "]"),
]
ITEMS = (
    r"\w",
    r"\d",
    r"\s",
    r"\W",
    r"\D",
    r"\S",
    r"\v",
    "a",
    "é",
    "-",
    r"\-",
    "0-5",
    "&&",
    "[",
    "^",
    r"\]",
    r"\x41",
    "_",
)
CLASSES = st.builds(
    lambda negation, items: f"[{negation}{''.join(items)}]",
    st.sampled_from(["", "^"]),
    st.lists(st.sampled_from(ITEMS), min_size=1, max_size=4),
)
PARTS = CLASSES | st.sampled_from(
    [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", ".", r"\.", r"\v", "a", "é", r"\\", "(?:a|b)"]
)
PATTERNS = st.lists(st.tuples(PARTS, st.sampled_from(["", "*", "+", "?", "{1,2}"])), min_size=1, max_size=4).map(
    lambda parts: "".join(part + often for part, often in parts)
)


def matches(pattern: str, text: str) -> bool | None:
    try:
        return re2.fullmatch(pattern, text) is not None
    except re2.error:
        return None


@example(r"[\v-\W]", "")  # none, by its class
@given(PATTERNS, st.text(alphabet="".join(each for each in TEXTS if len(each) == 1), max_size=3))
def test_what_is_served_matches_what_was_written_by_every_engine(pattern: str, more: str):
    served = written_out(pattern)
    if matches(pattern, "") is None or not_everywhere(pattern):
        assert served == pattern
        return
    searched = re.compile(f"^(?:{served})$(?!\n)")
    for text in [*TEXTS, more]:
        assert matches(served, text) is matches(pattern, text), (served, text)
        assert (searched.search(text) is not None) is matches(pattern, text), (served, text)


@pytest.mark.parametrize(
    ("pattern", "served"),
    [
        (r"\w+", "[0-9A-Za-z_]+"),
        (r"[\w-]+@\d", r"[0-9A-Za-z_\-]+@[0-9]"),
        (r"\W.\S", r"[^0-9A-Za-z_][^\n][^\t\n\f\r ]"),
        (r"[\W_]", r"[^\x30-\x39\x41-\x5A\x61-\x7A]"),
        (r"[\W\s]+", r"[^\x30-\x39\x41-\x5A\x5F-\x5F\x61-\x7A]+"),  # alternatives that overlap would take for ever
        (r"[^\D1-9]", r"[\x30-\x30]"),
        (r"[\s\S]*", r"[\s\S]*"),
        (r"[^\s@]+", r"[^\t\n\f\r @]+"),
        (r"\\w\.d\b", r"\\w\.d\b"),
        ("[a-z]+", "[a-z]+"),
        ("[a&&b]", r"[a\&\&b]"),
        (r"(?i)\w", r"(?i)\w"),
        ("[[:word:]]", "[[:word:]]"),
    ],
)
def test_a_pattern_is_written_out(pattern: str, served: str):
    assert written_out(pattern) == served


def test_what_cannot_be_written_out_is_known():
    assert (words_end(r"\ba"), words_end(r"a\\b"), words_end(r"a\B"), words_end(r"[\x41]b")) == (
        r"\b",
        None,
        r"\B",
        None,
    )
    assert not_everywhere(r"(a)\12") == r"\1"
    assert not_everywhere("[a[:alpha:]]") == "[:alpha:]"


@pytest.mark.skipif(shutil.which("node") is None, reason="wants Node")
def test_javascript_matches_the_same():
    patterns = [r"\w+", r"[\w-]+", r"\W", r"\s", r"[^\s@]+", r"[\W_]", ".", r"\d+", r"[^\W\d]", "[a&&b]", r"[\d[a]"]
    script = (
        "const [patterns, texts] = JSON.parse(require('fs').readFileSync(0)); "
        "console.log(JSON.stringify(patterns.map(p => texts.map(t => new RegExp(p).test(t)))))"
    )
    told = msgspec.json.encode([[whole_text(each) for each in patterns], TEXTS])

    answered = subprocess.run(["node", "-e", script], input=told, capture_output=True, check=True).stdout

    expected = [[matches(pattern, text) for text in TEXTS] for pattern in patterns]
    assert msgspec.json.decode(answered) == expected
