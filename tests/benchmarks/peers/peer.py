"""What the peers compute, in plain Python: units' variants by first exposure, and sums of their events by variant."""

import json
import os
import time
from collections import Counter

import msgspec


class Exposure(msgspec.Struct):
    flag_key: str
    user_id: str
    variant: str | None = None


class Properties(msgspec.Struct):
    revenue: float = 0.0


class Event(msgspec.Struct):
    event_type: str
    user_id: str
    event_properties: Properties | None = None


class State:
    """Units by flag, and running sums by flag and variant; dictionaries all the way."""

    def __init__(self) -> None:
        self.taken = 0
        self.variant: dict[str, dict[str, str]] = {}
        self.total: dict[str, float] = {}
        self.count: dict[str, int] = {}
        self.by_variant: dict[tuple[str, str], list[float]] = {}

    def expose(self, exposure: Exposure) -> None:
        if exposure.variant is None:
            return
        self.variant.setdefault(exposure.user_id, {}).setdefault(exposure.flag_key, exposure.variant)

    def add(self, event: Event) -> None:
        user = event.user_id
        value = event.event_properties.revenue if event.event_properties else 0.0
        before = self.total.get(user, 0.0)
        after = before + value
        self.total[user] = after
        self.count[user] = self.count.get(user, 0) + 1
        for flag, variant in self.variant.get(user, {}).items():
            sums = self.by_variant.setdefault((flag, variant), [0, 0.0, 0.0])
            sums[0] += 1
            sums[1] += value
            sums[2] += after * after - before * before

    def answers(self) -> dict[str, int]:
        """What does not depend on which of two topics is ahead: units by flag and variant, events, cents."""
        arms = Counter(f"{flag}/{variant}" for flags in self.variant.values() for flag, variant in flags.items())
        cents = sum(round(100 * total) for total in self.total.values())
        return dict(sorted(arms.items())) | {"events": sum(self.count.values()), "cents": cents}


class Clock:
    """Begins with the first record, and tells what it took."""

    def __init__(self) -> None:
        self.began: tuple[float, float] | None = None

    def begin(self) -> None:
        if self.began is None:
            self.began = time.process_time(), time.monotonic()

    def tell(self, state: State) -> None:
        """On standard output itself: who runs us may have an idea of their own of it."""
        assert self.began is not None
        figures = {
            "records": state.taken,
            "cpu_seconds": time.process_time() - self.began[0],
            "wall_seconds": time.monotonic() - self.began[1],
            "answers": state.answers(),
        }
        os.write(1, f"\n{json.dumps(figures)}\n".encode())
