"""Looking: the messages of records of whichever topic, for those who look things up rather than count."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.dead_letters import DeadLetters
from evaluation.assignment.decoding import decode
from evaluation.assignment.foreign import foreign_columns
from evaluation.assignment.tasks import TOPICS
from evaluation.columns.scanning import Wanted
from schemas.records import Records
from schemas.source import ForeignSource
from schemas.topics import MARK
from schemas.writer_schema import Schemas


def messages_of(
    records: Records, wanted: Mapping[str, Wanted], sources: Iterable[ForeignSource], schemas: Schemas
) -> Iterator[tuple[str, MessageColumns]]:
    """The messages that can be read, in pieces, each with the topic of ours whose messages they are, or are like.

    `wanted` is by such topic. What is of another shape is read as these sources say, whenever it came, by the `schemas`
    that it names.
    """
    nobody = DeadLetters(records)
    if not records.topic.startswith(MARK):
        for columns in decode(records, range(len(records)), wanted[records.topic], nobody):
            yield records.topic, columns
        return
    rows = np.arange(len(records))
    for source in sources:
        if MARK + source.topic == records.topic:
            topic = TOPICS[source.makes]
            for columns in foreign_columns(records, rows, source, wanted[topic], nobody, Counter(), schemas=schemas):
                yield topic, columns


def topics_of(sources: Iterable[ForeignSource]) -> tuple[str, ...]:
    """The topics (with `@`) that they read."""
    return tuple(sorted({MARK + source.topic for source in sources}))
