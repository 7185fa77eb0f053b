"""Attempts: what became of one try to hand word over, and when the next one is."""

from hashlib import sha256

import msgspec

from schemas.duration import DAY_MS

FIRST_PAUSE, LONGEST_PAUSE = 2_000, 3_600_000  # ms from one attempt to the next; each is twice the one before it
PATIENCE = DAY_MS  # after word could be sent first, an attempt that fails is the last


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one try. `error` is None where it was handed over, and holds no secret.

    `pause`: how many ms the place asks to be left alone. `is_last`: it wants no more.
    """

    error: str | None = None
    pause: int = 0
    is_last: bool = False


def pause(notification: str, attempts: int) -> int:
    """How many ms pass from that attempt to the next: half of what is due, and a part of the other half by the id.

    So those that failed together do not come again together, and a restart changes no time.
    """
    due = min(FIRST_PAUSE << min(max(0, attempts - 1), 20), LONGEST_PAUSE)  # others may have said that there was none
    drawn = int.from_bytes(sha256(f"{notification}/{attempts}".encode()).digest()[:4]) / (1 << 32)
    return int(due * (1 + drawn) / 2)
