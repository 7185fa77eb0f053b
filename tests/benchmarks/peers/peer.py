"""What the peers compute, in plain Python: units' variants by first exposure, and sums of their events by variant."""

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

    def sums(self) -> dict[str, list[float]]:
        return {"/".join(key): value for key, value in sorted(self.by_variant.items())}
