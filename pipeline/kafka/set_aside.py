"""Set aside: records of our topics that no reader can use. Nothing stops for one; it is told once, and counted."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas.decoding import NoMessageError

COUNTED_AS = "set aside: "  # and the topic
REMEMBERED = 10_000  # records that would not be told again

_log = logging.getLogger(__name__)


class SetAside:
    """What one process has set aside, by topic (without prefix).

    A record that is read again, as after a rebalance, is not told again. `tell` gets a sentence about each, `count` a
    name and 1.
    """

    def __init__(
        self,
        tell: Callable[[str], None] = _log.warning,
        count: Callable[[str, int], None] | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._tell = tell
        self._count = count
        self._told: dict[tuple[str, int, int], None] = {}

    @contextmanager
    def unless_ours(self, topic: str, partition: int, offset: int) -> Iterator[None]:
        """Set the record aside where what is done with it finds that it is no message of ours."""
        try:
            yield
        except NoMessageError as error:
            self.add(topic, partition, offset, str(error))

    def add(self, topic: str, partition: int, offset: int, reason: str) -> None:
        """Set one record aside."""
        place = (topic, partition, offset)
        if place in self._told:
            return
        self._told[place] = None
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        self.counts[topic] += 1
        if self._count is not None:
            self._count(f"{COUNTED_AS}{topic}", 1)
        self._tell(f"the record at offset {offset} of {topic}/{partition} is set aside: {reason}")
