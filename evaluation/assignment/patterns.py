"""Patterns: regular expressions as they are served, to engines that search for them in a text and to those that don't.

Ours and Kotlin's compare the whole text. So does every other one with an anchored pattern; but for Python's, where a
text may also end with a line feed.
"""

import re
from functools import lru_cache

from evaluation.assignment.conditions import ConditionError, compile_condition

_FLAGS = re.compile(r"(?:\(\?[a-zA-Z]+\))?")  # some engines take them at the beginning only
_PLAIN = re.compile(r"\^[^|\\]*\$")


@lru_cache
def whole_text(pattern: str) -> str:
    """The pattern, anchored. One that RE2 refuses stays as it is."""
    if _PLAIN.fullmatch(pattern) or not _is_pattern(pattern):
        return pattern
    flags = _FLAGS.match(pattern)[0]  # type: ignore[index]  # it matches every text
    anchored = f"{flags}^(?:{pattern.removeprefix(flags)})$"
    return anchored if _is_pattern(anchored) else pattern  # `\\Q` may reach to the end


def _is_pattern(text: str) -> bool:
    try:
        compile_condition("regex match", [text])
    except ConditionError:
        return False
    return True
