"""Topics: their names, partitions and settings. What an installation's cluster must look like."""

import msgspec

from schemas.duration import DAY_MS, MINUTE_MS

MAX_MESSAGE_BYTES = 16_000_000

EXPOSURES = "exposures"
EVENTS = "events"
UNITS = "units"
ASSIGNMENTS = "assignments"
AGGREGATES = "aggregates"
RESULTS = "results"
CATALOG = "catalog"
DEAD_LETTERS = "dead-letters"
HEALTH = "health"
NOTIFICATIONS = "notifications"
DELIVERIES = "deliveries"
ARRIVALS = "arrivals"
IDENTITIES = "identities"

MARK = "@"  # before the name of a topic that is not ours, wherever topics are told apart: no name in Kafka has it

SourcePartition = tuple[str, int]  # topic (without the installation's prefix) and partition

SOURCES = (EXPOSURES, EVENTS)
# That others read: gzip, which every client knows; else LZ4.
OPEN = (ASSIGNMENTS, RESULTS, CATALOG, DEAD_LETTERS, NOTIFICATIONS, DELIVERIES, ARRIVALS)


class Topic(msgspec.Struct, frozen=True):
    """One topic as an installation needs it. `name` is without the installation's prefix."""

    name: str
    partitions: int
    config: dict[str, str]


def topics(units_partitions: int) -> tuple[Topic, ...]:
    """Every topic, in the order data flows."""
    large = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    append_time = {"message.timestamp.type": "LogAppendTime"}

    def kept(days: float) -> dict[str, str]:
        return {"cleanup.policy": "delete", "retention.ms": str(int(days * DAY_MS))}

    # The segment that is written to is never compacted, and readers begin with all of it: 1 GB or a week, by default.
    compact = {"cleanup.policy": "compact", "segment.bytes": str(1 << 26), "segment.ms": str(DAY_MS)}
    return (
        Topic(EXPOSURES, 8, kept(7) | append_time),
        Topic(EVENTS, 8, kept(7) | append_time),
        Topic(UNITS, units_partitions, kept(7) | large | append_time),
        Topic(IDENTITIES, units_partitions, kept(7) | large | append_time),
        Topic(ASSIGNMENTS, 8, kept(7)),
        Topic(AGGREGATES, 8, compact | large),
        Topic(RESULTS, 4, compact | large | append_time | {"min.compaction.lag.ms": str(7 * DAY_MS)}),
        Topic(CATALOG, 1, {"cleanup.policy": "delete", "retention.ms": "-1"} | large | append_time),
        Topic(DEAD_LETTERS, 4, kept(30) | large),  # what came compressed better than we do needs more room here
        # One record per worker and second: its health, and by its append time the broker's clock (see `units`).
        Topic(HEALTH, 1, kept(1) | append_time),
        # The newest of each key for ever, lest it is told again; the others for thirty days at least.
        Topic(NOTIFICATIONS, 4, compact | append_time | {"min.compaction.lag.ms": str(30 * DAY_MS)}),
        Topic(DELIVERIES, 4, kept(30) | append_time),
        # A minute is told again each second: the newest of each key stays, for three days.
        Topic(
            ARRIVALS,
            1,
            kept(3)
            | append_time
            | large
            | {"cleanup.policy": "compact,delete", "segment.bytes": str(1 << 24), "segment.ms": str(10 * MINUTE_MS)},
        ),
    )
