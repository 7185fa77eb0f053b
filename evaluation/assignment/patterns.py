"""Patterns: regular expressions as they are served, to engines that search for them in a text and to those that don't.

Ours and Kotlin's compare the whole text. So does every other one with an anchored pattern; but for Python's, where a
text may also end with a line feed.
"""

import re
from functools import lru_cache

from evaluation.assignment.conditions import condition_fault

_FLAGS = re.compile(r"(?:\(\?[a-zA-Z]+\))?")  # some engines take them at the beginning only
# Everything that is escaped, and groups and classes that RE2 knows and others don't.
_NOTABLE = re.compile(r"\\x\{|\\.|\(\?[^:]?[^)>:]*[)>:]|\[\[:|\[\^?\]|\{,[0-9]+\}", re.DOTALL)
_FINE = {"(?:", *(f"\\{chr(code)}" for code in range(1, 128) if chr(code) not in "AzQECpPa")}
_PLAIN = re.compile(r"\^[^|\\]*\$")


@lru_cache
def whole_text(pattern: str) -> str:
    """The pattern, anchored. One that RE2 refuses stays as it is."""
    if _PLAIN.fullmatch(pattern) or not _is_pattern(pattern):
        return pattern
    flags = _FLAGS.match(pattern)[0]  # type: ignore[index]  # it matches every text
    anchored = f"{flags}^(?:{pattern.removeprefix(flags)})$"
    return anchored if _is_pattern(anchored) else pattern  # `\\Q` may reach to the end


def not_everywhere(pattern: str) -> str | None:
    """What of a pattern engines of other languages refuse, or read otherwise; None: nothing."""
    return next((each[0] for each in _NOTABLE.finditer(pattern) if each[0] not in _FINE), None)


def may_be_a_part(pattern: str) -> bool:
    """Whether its author may think that it is searched for: nothing says where the text begins or ends."""
    return not (pattern.startswith(("^", ".*")) or pattern.endswith(("$", ".*")))


def _is_pattern(text: str) -> bool:
    return condition_fault("regex match", (text,)) is None
