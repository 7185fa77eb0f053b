"""Nesting: how deep JSON goes, found out before a recursive reader or writer does."""

from numba import njit

from evaluation.texts import as_bytes

DEEPEST = 64  # levels of nesting


def json_depth(value: bytes) -> int:
    """An upper bound of how many objects and arrays are open at once; exact where it is more than `DEEPEST`."""
    opened = value.count(b"{") + value.count(b"[")
    return opened if opened <= DEEPEST else int(_deepest(as_bytes(value)))


def is_too_deep(value: object) -> bool:
    """Whether a JSON value in Python's types is nested more than `DEEPEST` levels deep."""
    level = [value]
    for _ in range(DEEPEST + 1):
        containers = {id(each): each for each in level if isinstance(each, dict | list | tuple)}
        if not containers:
            return False
        level = [item for each in containers.values() for item in (each.values() if isinstance(each, dict) else each)]
    return True


@njit(cache=True)
def _deepest(b):  # type: ignore[no-untyped-def]
    """How many objects and arrays are open at once, at most, in JSON or what pretends to be it."""
    deepest = 0
    depth = 0
    inside = False
    i = 0
    while i < b.size:
        c = b[i]
        if inside:
            if c == 92:
                i += 1
            elif c == 34:
                inside = False
        elif c == 34:
            inside = True
        elif c == 123 or c == 91:  # noqa: PLR1714
            depth += 1
            deepest = max(deepest, depth)
        elif c == 125 or c == 93:  # noqa: PLR1714
            depth -= 1
        i += 1
    return deepest
