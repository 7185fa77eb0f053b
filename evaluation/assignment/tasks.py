"""Tasks: which sources read which records of a stretch: those of a topic that is not ours, and dead letters of it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from evaluation.assignment.messages import Stretch
from evaluation.catalog.history import History
from evaluation.catalog.sources import begins
from evaluation.columns.arrays import Words
from schemas.dead_letter import SOURCE
from schemas.source import ForeignSource
from schemas.topics import EVENTS, EXPOSURES, MARK

TOPICS: dict[Literal["event", "exposure"], str] = {"event": EVENTS, "exposure": EXPOSURES}


@dataclass(frozen=True, slots=True)
class Task:
    """Rows of a slice that a source reads; `given` as in `foreign_columns`."""

    source: ForeignSource
    rows: Words
    given: dict[int, int] = field(default_factory=dict)


def tasks_of(stretch: Stretch, history: History, state: int) -> list[Task]:
    """What sources read of a stretch to which one state of the catalog applies.

    A source that there is by then reads all of its topic; of what was there before, its first version reads what came
    since it begins. One that is paused reads nothing. `read_sources` says the same to those who look back.

    A dead letter that was sent again is read by the source that read it first.
    """
    if stretch.records.topic.startswith(MARK):
        return _of_topic(stretch, history, state)
    # By the source as it is when they are sent again, so that a map that was mended is applied.
    standing = {key: source.definition for key, source in history.states[state].sources.items()}
    return sent_again(stretch, standing)


def foreign_rows(stretch: Stretch) -> list[int]:
    """The rows of dead letters of topics that are not ours."""
    return [row for row, origin in stretch.origins.items() if row in stretch.rows and origin.place[0].startswith(MARK)]


def _of_topic(stretch: Stretch, history: History, state: int) -> list[Task]:
    rows = np.arange(stretch.rows.start, stretch.rows.stop)
    standing = history.states[state].sources
    tasks = []
    for key, first in history.first_sources.items():
        if MARK + first.definition.topic != stretch.records.topic:
            continue
        if key in standing:
            if not standing[key].definition.paused:
                tasks.append(Task(standing[key].definition, rows))
        elif not first.definition.paused:
            its = rows[stretch.records.append_time[rows] >= begins(first, stretch.horizon)]
            tasks.append(Task(first.definition, its))
    return [task for task in tasks if len(task.rows)]


def sent_again(stretch: Stretch, sources: Mapping[str, ForeignSource]) -> list[Task]:
    """What these sources, by key, read of dead letters that were sent again; those of others are dead once more."""
    records = stretch.records
    rows: dict[str, list[int]] = defaultdict(list)
    for row in foreign_rows(stretch):
        named = dict(records.headers[row]).get(SOURCE)
        if named is None:
            detail = f"its header {SOURCE} is missing, so nobody knows which source is to read it; name one there"
            stretch.dead_letters.add(row, None, "unknown source", detail, records.value(row))
        else:
            rows[named.decode(errors="replace")].append(row)
    tasks = []
    for key, its in rows.items():
        source = sources.get(key)
        if source is None or TOPICS[source.makes] != records.topic:
            detail = f"it makes {source.makes}s; send them to {TOPICS[source.makes]}" if source else "apply it first"
            for row in its:
                stretch.dead_letters.add(row, None, "unknown source", detail, records.value(row), key)
            continue
        origins = {row: stretch.origins[row].place[3] for row in its}
        given = {row: index for row, index in origins.items() if index is not None}
        tasks.append(Task(source, np.array(its, np.int64), given))
    return tasks
