"""Looking: the messages of records of whichever topic, for those who look things up rather than count."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.dead_letters import DeadLetters, origins_of
from evaluation.assignment.decoding import decode
from evaluation.assignment.foreign import foreign_columns
from evaluation.assignment.messages import Stretch
from evaluation.assignment.tasks import TOPICS, Task, foreign_rows, sent_again
from evaluation.catalog.sources import ReadSource
from evaluation.columns.hashing import text_hashes
from evaluation.columns.scanning import Type, Wanted
from evaluation.columns.texts import Texts
from evaluation.sources.mapping import whole
from schemas.records import Records
from schemas.source import ForeignSource
from schemas.topics import MARK
from schemas.writer_schema import Schemas

IDS = ("user_id", "device_id", "groups")


def messages_of(
    records: Records, wanted: Mapping[str, Wanted], sources: Iterable[ReadSource], schemas: Schemas
) -> Iterator[tuple[str, MessageColumns]]:
    """The messages that can be read, in pieces, each with the topic of ours whose messages they are, or are like.

    `wanted` is by such topic, and what is like another one is left out. What is of another shape is read by the sources
    that read it when it came, by the `schemas` that it names; dead letters of it that were sent again by the newest.
    """
    nobody, times = DeadLetters(records), records.append_time
    if records.topic.startswith(MARK):
        reads = [each for each in sources if MARK + each.source.topic == records.topic]
        tasks = [Task(each.source, np.flatnonzero((each.begin <= times) & (times < each.end))) for each in reads]
    else:
        whole_slice = range(len(records))
        stretch = Stretch(records, whole_slice, records.append_time, 0, 0, nobody, schemas, origins_of(records))
        tasks = sent_again(stretch, {each.source.key: each.source for each in sources})
        for columns in decode(records, whole_slice, wanted[records.topic], nobody, but=foreign_rows(stretch)):
            yield records.topic, columns
    for task in tasks:
        topic = TOPICS[task.source.makes]
        if topic in wanted and len(task.rows):
            read = task.rows, task.source, wanted[topic], nobody, Counter[str](), task.given, schemas
            yield from ((topic, columns) for columns in foreign_columns(records, *read))


def carrying(
    records: Records, sources: Iterable[ForeignSource], unit: str, schemas: Schemas
) -> Iterator[tuple[int, bytes]]:
    """The messages that these sources make and that carry the unit as an id of theirs: each in words, and its row."""
    its = text_hashes(Texts.of([unit]))[0]
    for source in sources:
        ids = Wanted({path: kind for path, kind in whole(source).fields.items() if path[0] in IDS}, None)
        for _, columns in messages_of(records, dict.fromkeys(TOPICS.values(), ids), [ReadSource(source)], schemas):
            are = np.zeros(len(columns), np.bool_)
            for path, kind in ids.fields.items():
                if kind in {Type.TEXT, Type.FIRST}:
                    are |= text_hashes(columns.texts[path]) == its
                elif kind == Type.VALUE:  # all groups, of whichever types
                    named = columns.texts[path]
                    are |= [unit in _names(value) for value in named.strings()]
            yield from ((int(columns.row[i]), columns.readable(i) or b"") for i in np.flatnonzero(are).tolist())


def _names(groups: str | None) -> set[Any]:
    """The names in what `groups` says."""
    said = msgspec.json.decode(groups) if groups else None
    values = said.values() if isinstance(said, dict) else ()
    return {name for each in values for name in (each if isinstance(each, list) else [each]) if isinstance(name, str)}


def topics_of(sources: Iterable[ReadSource]) -> tuple[str, ...]:
    """The topics (with `@`) that they read."""
    return tuple(sorted({MARK + each.source.topic for each in sources}))
