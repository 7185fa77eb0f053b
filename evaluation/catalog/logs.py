"""Logs in force: whether an offset means the same record to a state and to a log, and which gaps were accepted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.logs import Gap, Log, Logs
from schemas.topics import MARK


@dataclass(frozen=True, slots=True)
class LogsInForce:
    """The newest version of the document, and what all of them say together.

    `ids` are those that each topic has had, the one in force included; `gaps` all that were accepted.
    """

    definition: Logs
    version: int
    append_time: int
    ids: Mapping[str, frozenset[str]] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()

    def base(self, topic: str, partition: int) -> int:
        """What is added to Kafka's offsets of a partition."""
        log = self.definition.topics.get(topic)
        return log.bases.get(partition, 0) if log else 0

    @property
    def foreign(self) -> tuple[str, ...]:
        """The topics that are not ours and that were read once."""
        return tuple(topic for topic in self.definition.topics if topic.startswith(MARK))

    def knows(self, topic: str, log: str) -> bool:
        """Whether offsets of that log are offsets of ours."""
        return log in self.ids.get(topic, ())

    def gap(self, stage: str, topic: str, partition: int, begin: int, end: int) -> Gap | None:
        """The accepted gap of a stage that covers these offsets."""
        of_partition = (gap for gap in self.gaps if (gap.stage, gap.topic, gap.partition) == (stage, topic, partition))
        return next((gap for gap in of_partition if gap.begin <= begin and end <= gap.end), None)

    def gap_at(self, stage: str, topic: str, partition: int, offset: int) -> Gap | None:
        """The accepted gap of a stage in which the offset lies."""
        return self.gap(stage, topic, partition, offset, offset + 1)


def logs_after(standing: LogsInForce | None, logs: Logs, append_time: int) -> LogsInForce:
    """What is in force after another version. Raises ValueError for one that loses a topic or lowers a base."""
    before: Mapping[str, Log] = standing.definition.topics if standing else {}
    known: Mapping[str, frozenset[str]] = standing.ids if standing else {}
    for topic, log in before.items():
        after = logs.topics.get(topic)
        if after is None:
            raise ValueError(f"logs '{logs.key}' loses the topic '{topic}'; what was once a log of ours stays one")
        lowered = [each for each, base in log.bases.items() if after.bases.get(each, 0) < base]
        if lowered:
            raise ValueError(f"logs '{logs.key}' lowers the base of {topic}/{lowered[0]}; offsets never come again")
    return LogsInForce(
        logs,
        standing.version + 1 if standing else 1,
        append_time,
        {topic: known.get(topic, frozenset()) | {log.id} for topic, log in logs.topics.items()},
        (*(standing.gaps if standing else ()), *logs.gaps),
    )
