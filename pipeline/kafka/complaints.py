"""Complaints: what the Kafka client says while brokers are away, over a hundred times a second."""

import logging
from collections.abc import Callable
from time import monotonic

AGAIN_SECONDS = 60.0
CLIENT = "aiokafka"


class Complaints(logging.Filter):
    """Lets each of the client's through once a minute, and whatever others say."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(CLIENT)
        self._clock = clock
        self._until: dict[str, float] = {}  # by message, without what it is about

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is logged."""
        if not super().filter(record):
            return True
        now, what = self._clock(), str(record.msg)
        if now < self._until.get(what, now):
            return False
        self._until[what] = now + AGAIN_SECONDS
        return True


class Plainly(logging.Filter):
    """Lets an error that `explain` knows a sentence for through once, as that sentence instead of its traceback.

    Behind it, that something crashed is no news.
    """

    def __init__(self, explain: Callable[[BaseException], str | None]) -> None:
        super().__init__()
        self._explain = explain
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is logged."""
        error = record.exc_info[1] if record.exc_info else None
        sentence = self._explain(error) if error else None
        if sentence is None:
            return not (self._said and "experienced a crash" in str(record.msg))
        record.msg, record.args, record.exc_info, record.exc_text = sentence, (), None, None
        is_new = sentence not in self._said
        self._said.add(sentence)
        return is_new


def log() -> None:
    """Log warnings and worse to standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(Complaints())
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", handlers=[handler])
