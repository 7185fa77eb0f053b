"""Finding: one thing that a look at an installation brought, and the command that goes on."""

import re
from typing import Literal

import msgspec

Status = Literal["ok", "warning", "wrong", "unknown"]


class Finding(msgspec.Struct, frozen=True):
    """`unknown`: it could not be seen, and `what` says why. `command` is what mends it, where a command does."""

    area: str
    status: Status
    what: str
    command: str | None = None


def command_in(sentence: str) -> str | None:
    """The first command that a sentence names."""
    named = re.search(r"`(peekproof [^`]+)`", sentence)
    return named[1] if named else None


def ago(seconds: float) -> str:
    """A time span in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def size(count: int) -> str:
    """Bytes in the largest unit."""
    number = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1_000:
            return f"{number:.{0 if unit == 'bytes' else 1}f} {unit}"
        number /= 1_000
    return f"{number:.1f} TB"


def several(texts: list[str], of: str) -> str:
    """The first of texts that say the same of several things, and how many more there are."""
    return texts[0] if len(texts) == 1 else f"{texts[0]} (and {len(texts) - 1} more {of})"
