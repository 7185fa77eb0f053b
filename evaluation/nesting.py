"""Nesting: how deep JSON goes, found out before a recursive reader or writer does."""

import numpy as np

DEEPEST = 64  # levels of nesting

_STEPS = np.zeros(256, np.int8)  # what a byte outside of strings opens and closes
_STEPS[[*b"{["]] = 1
_STEPS[[*b"}]"]] = -1
_OTHERS = bytes({*range(256)} - {*b'{[}]"'})


def json_depth(value: bytes) -> int:
    """An upper bound of how many objects and arrays are open at once; exact where it is more than `DEEPEST`."""
    opened = value.count(b"{") + value.count(b"[")
    return opened if opened <= DEEPEST else _deepest(value)


def is_too_deep(value: object) -> bool:
    """Whether a JSON value in Python's types is nested more than `DEEPEST` levels deep."""
    level = [value]
    for _ in range(DEEPEST + 1):
        containers = {id(each): each for each in level if isinstance(each, dict | list | tuple)}
        if not containers:
            return False
        level = [item for each in containers.values() for item in (each.values() if isinstance(each, dict) else each)]
    return True


def _deepest(value: bytes) -> int:
    """How many objects and arrays are open at once, at most.

    Escapes count wherever they stand: one outside of a string ends all reading. Strings without a bracket go first.
    """
    bare = value.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHERS).replace(b'""', b"")
    marks = np.frombuffer(bare, np.uint8)
    is_inside = np.cumsum(marks == ord('"'), dtype=np.uint8) & 1  # wraps around, evenly
    return int(np.cumsum(_STEPS[marks] * (1 - is_inside), dtype=np.int32).max(initial=0))
