"""Patterns: regular expressions as they are served, to engines that search for them in a text and to those that don't.

Ours and Kotlin's compare the whole text. So does every other one with an anchored pattern; but for Python's, where a
text may also end with a line feed.

What a digit, a letter or a blank is they disagree on: `\\w` is served as `[0-9A-Za-z_]`, as RE2 takes it.
"""

import re
from functools import lru_cache

import re2

from evaluation.flags.conditions import condition_fault

_FLAGS = re.compile(r"(?:\(\?[a-zA-Z]+\))?")  # some engines take them at the beginning only
# Everything that is escaped, and groups and classes that RE2 knows and others don't.
_NOTABLE = re.compile(r"\\x\{|\\.|\(\?[^:]?[^)>:]*[)>:]|\[\[:|\[:\^?[a-z]+:\]|\[\^?\]|\{,[0-9]+\}", re.DOTALL)
_FINE = {"(?:", *(f"\\{chr(code)}" for code in range(1, 128) if chr(code) not in "AzQECpPa0123456789")}
_PLAIN = re.compile(r"\^[^|\\.\[]*\$")
_SHORT = {"d": "0-9", "s": r"\t\n\f\r ", "w": "0-9A-Za-z_"}  # of RE2
_PARTS = re.compile(r"\[(\^?)(\]?(?:\\.|[^\]\\])*)\]|\\(.)|(\.)", re.DOTALL)  # a class, an escape, any character
_ONE = r"\\x[0-9A-Fa-f]{2}|\\.|."
_ITEMS = re.compile(rf"(?P<short>\\[dswDSW])|(?P<one>{_ONE})(?:-(?P<last>{_ONE}))?", re.DOTALL)


@lru_cache
def whole_text(pattern: str) -> str:
    """The pattern, anchored. One that RE2 refuses stays as it is."""
    if _PLAIN.fullmatch(pattern) or not _is_pattern(pattern):
        return pattern
    flags = _FLAGS.match(pattern)[0]  # type: ignore[index]  # it matches every text
    anchored = f"{flags}^(?:{written_out(pattern).removeprefix(flags)})$"
    return anchored if _is_pattern(anchored) else pattern  # `\\Q` may reach to the end


def written_out(pattern: str) -> str:
    """The pattern with what engines read differently in words that they share; RE2 matches the same by it.

    `\\b` and `\\B` have no such words. What RE2 refuses, and what nobody may write any more (see
    `not_everywhere`), stays as it is.
    """
    if not _is_pattern(pattern) or not_everywhere(pattern):
        return pattern
    out = _PARTS.sub(_part_written_out, pattern)
    return out if _is_pattern(out) else pattern


def _part_written_out(found: re.Match[str]) -> str:
    negation, items, escaped, _ = found.groups()
    if items is not None:
        return _class_written_out(found[0], negation, items)
    match escaped:
        case None:
            return r"[^\n]"
        case "v":
            return r"\x0B"
        case "d" | "s" | "w":
            return f"[{_SHORT[escaped]}]"
        case "D" | "S" | "W":
            return f"[^{_SHORT[escaped.lower()]}]"
        case _:
            return found[0]


def _class_written_out(text: str, negation: str, items: str) -> str:
    """A class; of one that has `\\W` or its like, the ASCII characters that it takes, or those that it doesn't."""
    shorts = re.findall(r"\\(.)", items, re.DOTALL)
    if not re.search(r"\[|&", items) and not {*"dswDSWv"}.intersection(shorts):
        return text
    if {*"DSW"}.intersection(shorts):
        # What is not ASCII is in it, or in none of it. One class, for alternatives that overlap take time without end.
        wanted = [code for code in range(128) if (re2.fullmatch(text, chr(code)) is None) != bool(negation)]
        firsts = [code for code in wanted if code - 1 not in wanted]
        lasts = [code for code in wanted if code + 1 not in wanted]
        codes = "".join(f"\\x{first:02X}-\\x{last:02X}" for first, last in zip(firsts, lasts, strict=True))
        return f"[{'' if negation else '^'}{codes}]" if codes else (r"[^\s\S]" if negation else r"[\s\S]")
    made = ""
    for item in _ITEMS.finditer(items):
        if item["short"]:
            made += _SHORT[item["short"][1]]
        else:
            made += _of_class(item["one"]) + (f"-{_of_class(item['last'])}" if item["last"] else "")
    return f"[{negation}{made}]"


def _of_class(character: str) -> str:
    """A character of a class, so that no engine takes it for a part of its syntax."""
    if character == r"\v":
        return r"\x0B"
    return f"\\{character}" if character in tuple("[]&-^") else character


def words_end(pattern: str) -> str | None:
    """What of a pattern asks where a word ends, in which engines differ; None: nothing."""
    return next((each[0] for each in _PARTS.finditer(pattern) if each[3] in ("b", "B")), None)


def not_everywhere(pattern: str) -> str | None:
    """What of a pattern engines of other languages refuse, or read otherwise; None: nothing."""
    return next((each[0] for each in _NOTABLE.finditer(pattern) if each[0] not in _FINE), None)


def may_be_a_part(pattern: str) -> bool:
    """Whether its author may think that it is searched for: nothing says where the text begins or ends."""
    return not (pattern.startswith(("^", ".*")) or pattern.endswith(("$", ".*")))


def _is_pattern(text: str) -> bool:
    return condition_fault("regex match", (text,)) is None
