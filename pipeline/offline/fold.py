"""Fold: assignment, identity and aggregation over messages of files, each file a source partition of its own.

In files append time is event time and the horizon 0. The watermark stands still until everything has been read, in
whatever order, and then goes to the last time in the files. So an event that names a person and no unit counts for the
unit that the person was first seen with, if that was not later than the event.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from evaluation.assignment.routing import Assigned, assign
from evaluation.catalog.history import History
from evaluation.identity.identities import Identities
from evaluation.metrics.partition import Partition
from pipeline.offline.messages import Messages
from pipeline.stages.gathering import Gathering
from schemas.numbers import LATEST
from schemas.records import Records
from schemas.topics import IDENTITIES, SourcePartition

MOST_ROWS = 200_000  # gathered before they are folded
_PEOPLE = (IDENTITIES, 0)


class Fold:
    """The pure stages up to aggregation, with one partition of units, and of identities where a run asks for them.

    `reached` is the next offset by source.
    """

    def __init__(self, history: History, sources: list[SourcePartition]) -> None:
        self.watermark = 0
        self.partition = Partition(0, horizon=0)
        self.reached = dict.fromkeys(sources, 0)
        self._history = history
        self._gathering = Gathering(partitions=1, horizon=0, expected=len(sources))
        for source in sources:
            self._gathering.begin(source, 0)
        self._people = Identities(0, horizon=0) if any(state.pairs for state in history.states) else None
        self._telling = Gathering(partitions=1, horizon=0, expected=1)
        self._telling.begin(_PEOPLE, 0)

    def in_order(self, messages: Messages) -> Messages:
        """The messages in the order of the catalog's states that apply to them."""
        states = np.searchsorted(self._history.boundaries, messages.time, side="right")
        return messages.take(np.argsort(states, kind="stable")) if (np.diff(states) < 0).any() else messages

    def take(self, messages: Messages, source: SourcePartition) -> Iterator[Assigned]:
        """Take some more of a source, in order: what becomes of them. Iterate to the end."""
        topic, number = source
        begin, n = self.reached[source], len(messages.length)
        self.reached[source] = begin + n
        records = Records(
            topic=topic,
            partition=number,
            begin=begin,
            end=begin + n,
            offset=np.arange(begin, begin + n),
            append_time=messages.time,
            start=np.cumsum(messages.length) - messages.length,
            length=messages.length,
            data=memoryview(messages.data),
        )
        for assigned in assign(records, self._history, horizon=0, tolerance=0):
            self._gathering.add(source, replace(assigned, watermark=0))
            yield assigned
        self.watermark = max(self.watermark, int(messages.time[messages.time <= LATEST].max(initial=0)))
        if self._gathering.rows >= MOST_ROWS:
            self._cut()

    def end(self) -> None:
        """There is no more: the watermark goes on to the last time, and what waits for a join waits no longer."""
        self._reach(self.watermark)
        self._cut()
        if self._people:
            while self._people.watermark < self.watermark:  # it tells so many rows at a time
                self._tell(self._people)
            self._reach(self.watermark + 1)
            self._tell(self._people)

    def _reach(self, time: int) -> None:
        for source in self.reached:
            self._gathering.reach(source, time, self._history.newest.offset)

    def _cut(self) -> None:
        self._fold(self._gathering.cut()[1])
        if self._people:
            self._tell(self._people)

    def _tell(self, people: Identities) -> None:
        """What people were gathered, and what follows from it for units."""
        for message in self._gathering.cut_identities():
            if said := people.fold(people.offset, message, self._history.at_offset):
                self._telling.add(_PEOPLE, said)
        self._fold(self._telling.cut()[1])

    def _fold(self, messages: Iterable[bytes]) -> None:
        for message in messages:
            self.partition.fold(self.partition.offset, message, self._history.at_offset)
