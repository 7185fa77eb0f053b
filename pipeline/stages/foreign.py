"""Foreign topics: which of the sources' topics a worker reads, and why it doesn't read the others.

One is read once there is such a topic, we may read it, and the catalog has noted which log it is (the worker that has
the first partition of `exposures` notes that): so its offsets are known as of that log, like those of our own topics.
One whose log no longer holds what comes next, or that was made anew, is left alone, and the clock waits for it, until
somebody accepts what is lost, or pauses its sources. The other topics go on meanwhile.
"""

import logging

from evaluation.catalog.reading import Reading
from pipeline.kafka.logs import GO_ON, ClusterTopics
from pipeline.settings import Settings
from pipeline.stages.stage import Stage
from schemas.topics import MARK, SourcePartition

UNNOTED = "the assignment stage notes in a moment which log it is"

_log = logging.getLogger(__name__)


class ForeignTopics:
    """What one worker reads beside our own topics: `read`; `waiting`: what not, and why, unless it is paused: for that
    nobody waits.

    `ids`: the logs of those that it reads, or has read: by these its offsets are committed when it leaves them.

    `left`: partitions whose log doesn't hold what comes next, at which offset, and why not.
    """

    def __init__(self, stage: Stage, settings: Settings) -> None:
        self._stage = stage
        self._settings = settings
        self._wanted: dict[str, Reading] = {}
        self._notes = False  # whether the log of one is noted in a moment
        self.doubted: set[str] = set()  # those of which a log seems not to hold what comes next
        self.read: dict[str, Reading] = {}
        self.ids: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        self.left: dict[SourcePartition, tuple[int, str]] = {}

    def asks(self, wanted: dict[str, Reading]) -> bool:
        """Whether it may be that others are to be read, so that somebody should look."""
        left = any(topic in self.read for topic, _ in self.left)
        return wanted != self._wanted or self._notes or bool(self.doubted) or left

    def doubt(self, topic: str) -> bool:
        """A log seems not to hold what comes next: whether it is not ours, and the worker goes on.

        Then its partitions are begun anew, where it is known which log it is, and where that begins and ends.
        """
        if topic in self.read:  # else it is left in a moment
            self.doubted.add(topic)
        return topic.startswith(MARK)

    def leave(self, source: SourcePartition, position: int, why: str) -> None:
        """A partition's log doesn't hold what comes next."""
        self.left[source] = position, why

    def take_up(self, wanted: dict[str, Reading], found: ClusterTopics, faults: dict[str, str]) -> bool:
        """Read what can be read of these from now on; whether that is something else than before, or begun anew."""
        logs = self._stage.logs
        self.left = {
            place: (position, why)
            for place, (position, why) in self.left.items()
            if not (logs and logs.gap_at(self._stage.name, *place, position))
        }
        unread = {topic: fault for topic in wanted if (fault := faults.get(topic) or self._fault(topic, found))}
        waiting = {topic: why for topic, why in unread.items() if wanted[topic].until is None}
        for topic, why in waiting.items():
            if why not in {self.waiting.get(topic), UNNOTED}:
                _log.warning("%s: topic %s is not read: %s", self._stage.name, self._settings.topic(topic), why)
        self._notes = any(topic in found.topics and not self._knows(topic) for topic in wanted)
        former = self._reading()
        is_doubted, self.doubted = bool(self.doubted), set()
        self._wanted, self.waiting = wanted, waiting
        self.read = {topic: reading for topic, reading in wanted.items() if topic not in unread}
        self.ids |= {topic: found.topics[topic] for topic in self.read}
        return is_doubted or self._reading() != former

    def _reading(self) -> tuple[frozenset[str], dict[str, str]]:
        return self.keyed, {topic: self.ids[topic] for topic in self.read}

    @property
    def keyed(self) -> frozenset[str]:
        """Those of whose records the keys are read too."""
        return frozenset(topic for topic, reading in self.read.items() if reading.has_keys)

    def _knows(self, topic: str) -> bool:
        logs = self._stage.logs
        return logs is not None and topic in logs.definition.topics

    def _fault(self, topic: str, found: ClusterTopics) -> str | None:
        """Why a topic that could be read is not."""
        logs = self._stage.logs
        if logs is None or topic not in logs.definition.topics:
            return UNNOTED
        log = logs.definition.topics[topic].id
        if log not in {"", found.topics[topic]}:
            return f"it was made anew: offsets belong to its log {log}, here is log {found.topics[topic]}. {GO_ON}"
        return next((why for (name, _), (_, why) in self.left.items() if name == topic), None)
