"""Nesting: how deep JSON goes, found out before a recursive reader or writer does."""

DEEPEST = 64  # levels of nesting

_STEPS = bytes.maketrans(b'{[}]"', b"\x01\x01\xff\xff\x00")  # what a byte outside of strings opens and closes, as int8
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
    import numpy as np  # noqa: PLC0415 (to load it takes as long as all the rest of an evaluation, and few are so deep)

    bare = value.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHERS).replace(b'""', b"")
    marks = np.frombuffer(bare, np.uint8)
    is_inside = np.cumsum(marks == ord('"'), dtype=np.uint8) & 1  # wraps around, evenly
    steps = np.frombuffer(bare.translate(_STEPS), np.int8)
    return int(np.cumsum(steps * (1 - is_inside), dtype=np.int32).max(initial=0))
