"""Tally: what one worker of the assignment stage tells of what came, minute by minute."""

from collections.abc import Iterator, Mapping
from itertools import chain
from types import MappingProxyType

import msgspec
import numpy as np

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.plan import RUN_OF_ANSWER, SEGMENT
from evaluation.assignment.routing import Assigned
from evaluation.columns.arrays import Words
from evaluation.columns.kinds import KindCount, Kinds, name_of
from evaluation.flags.paths import Path
from schemas.arrivals import (
    LARGEST_SAMPLE,
    Arrivals,
    ArrivedSample,
    DeadLettersArrived,
    EventsArrived,
    ExposuresArrived,
    MoreArrived,
    SourceReached,
)
from schemas.dead_letter import DeadLetter
from schemas.duration import MINUTE_MS
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES, SourcePartition

FIELDS: dict[str, tuple[Path, ...]] = {
    EVENTS: (("event_type",), ("library",)),
    EXPOSURES: (("flag_key",), ("variant",), ("experiment_key",), RUN_OF_ANSWER, SEGMENT, ("library",)),
}
MOST_SAMPLES = 300  # of a minute, and of a slice


class _OpenMinute:
    """What is told of a minute besides kinds, and the number of its part."""

    def __init__(self, part: int) -> None:
        self.part = part
        self.told = 0  # how many messages and dead letters
        self.sampled = 0  # how many samples had been told
        self.withholds = False  # whether the newest word says nothing of samples that there are
        self.samples: dict[tuple[str, str], ArrivedSample] = {}
        self.dead_letters: dict[tuple[str, str], DeadLettersArrived] = {}


class Tally:
    """Counts the messages of slices, and tells what is new.

    The newest minute and the one before are open: they are told as a whole whenever they have grown, but samples, which
    are most of it, only when one is new, and at last. What comes for an older one, of a source that lags behind, makes
    another part of it.
    """

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._kinds = {topic: Kinds(len(fields)) for topic, fields in FIELDS.items()}
        self._open: dict[int, _OpenMinute] = {}  # by minute
        self._parts = 0
        self._closed: list[Arrivals] = []

    def add(self, records: Records, assigned: Assigned) -> None:
        """Count what the records of a stretch held; one that was sent again has come again."""
        for topic, pieces in assigned.messages.items():
            for columns in pieces:
                self._count(records, topic, columns, assigned)
        for dead_letter, time in zip(assigned.rejects, assigned.rejected, strict=True):
            self._reject(records.topic, dead_letter, time)

    def tell(
        self, reached: Mapping[SourcePartition, int], logs: Mapping[str, str] = MappingProxyType({})
    ) -> list[Arrivals]:
        """What is new since it was told last; `reached`: before which offset all is counted, `logs`: topics' ids."""
        told, self._closed = self._closed, []
        minutes = sorted(self._open)
        for minute in minutes:
            if minute < minutes[-1] - MINUTE_MS:
                told += self._close(minute)
            else:
                told += self._news(minute)
        if told:
            places = [
                SourceReached(*source, offset, logs.get(source[0], "")) for source, offset in sorted(reached.items())
            ]
            told[-1] = msgspec.structs.replace(told[-1], reached=places)
        return told

    def _count(self, records: Records, topic: str, columns: MessageColumns, assigned: Assigned) -> None:
        kinds = self._kinds[topic]
        texts = [columns.texts[path] for path in FIELDS[topic]]
        times = records.append_time[columns.row]
        end = 0
        while end < len(columns):
            end, new = kinds.add(texts, times, end)
            self._sample(topic, columns, new, times)
            if end < len(columns):
                older = kinds.minutes[:-1]
                for minute in older:
                    self._closed += self._close(minute)
                if not older:
                    kinds.thin(assigned.known[topic])

    def _sample(self, topic: str, columns: MessageColumns, new: Words, times: Words) -> None:
        """Open the minutes of the first messages of kinds, and keep one of each name."""
        if not len(new):
            return
        for minute in np.unique(times[new] // MINUTE_MS).tolist():
            self._minute(minute * MINUTE_MS)
        new = new[:MOST_SAMPLES]
        names = columns.texts[FIELDS[topic][0]].take(new).strings()
        for i, whole in zip(new.tolist(), names, strict=True):
            text = (whole or "").encode()
            name = name_of(text, len(text))
            kept = self._minute(int(times[i])).samples
            if len(kept) < MOST_SAMPLES and (topic, name) not in kept:
                value, is_cut = _shown(columns.readable(i))
                time = int(times[i])
                kept[topic, name] = ArrivedSample(topic=topic, name=name, time=time, value=value, is_cut=is_cut)

    def _reject(self, topic: str, dead_letter: DeadLetter, time: int) -> None:
        kept = self._minute(time).dead_letters
        before = kept.get((topic, dead_letter.reason))
        value, is_cut = _shown(dead_letter.value)
        kept[topic, dead_letter.reason] = DeadLettersArrived(
            topic=topic,
            reason=dead_letter.reason,
            count=(before.count if before else 0) + dead_letter.messages,
            last=max(time, before.last if before else 0),
            detail=dead_letter.detail,
            origin=dead_letter.origin,
            value=value,
            is_cut=is_cut,
        )

    def _minute(self, time: int) -> _OpenMinute:
        minute = time - time % MINUTE_MS
        if minute not in self._open:
            self._open[minute] = _OpenMinute(self._parts)
            self._parts += 1
        return self._open[minute]

    def _news(self, minute: int, *, closes: bool = False) -> Iterator[Arrivals]:
        """The minute as it stands, if it has grown; with all samples where it `closes`."""
        kept = self._open[minute]
        counts = {topic: list(kinds.of(minute)) for topic, kinds in self._kinds.items()}
        rests = {topic: kinds.rest(minute) for topic, kinds in self._kinds.items()}
        more = [MoreArrived(topic=topic, kinds=kinds, count=count) for topic, (kinds, count) in rests.items() if kinds]
        number = sum(each.messages for each in chain(*counts.values()))
        number += sum(each.count for each in more) + sum(each.count for each in kept.dead_letters.values())
        if number == kept.told and not (closes and kept.withholds):
            return
        samples = [*kept.samples.values()] if closes or len(kept.samples) > kept.sampled else []
        kept.told, kept.sampled = number, len(kept.samples)
        kept.withholds = len(samples) < kept.sampled
        yield Arrivals(
            worker=self._worker,
            part=kept.part,
            minute=minute,
            events=[*map(_events, counts[EVENTS])],
            exposures=[*map(_exposures, counts[EXPOSURES])],
            dead_letters=[*kept.dead_letters.values()],
            samples=samples,
            more=more,
        )

    def _close(self, minute: int) -> list[Arrivals]:
        told = [*self._news(minute, closes=True)]
        for kinds in self._kinds.values():
            kinds.forget(minute)
        del self._open[minute]
        return told


def _events(kind: KindCount) -> EventsArrived:
    name, library = kind.texts
    return EventsArrived(name=name or "", library=_said(library), count=kind.messages, last=kind.last)


def _exposures(kind: KindCount) -> ExposuresArrived:
    flag, variant, run, of_answer, segment, library = kind.texts
    return ExposuresArrived(
        flag=flag or "",
        variant=variant,
        run=_said(of_answer) if run is None else run,
        segment=_said(segment),
        library=_said(library),
        count=kind.messages,
        last=kind.last,
    )


def _said(text: str | None) -> str | None:
    """What a JSON value says, if it is a text."""
    if not text or text[0] != '"':
        return None
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.MsgspecError:  # it is cut
        return text[1:]


def _shown(value: bytes | None) -> tuple[str, bool]:
    """A message's beginning as text, and whether there is more."""
    value = value or b""
    return value[:LARGEST_SAMPLE].decode("utf-8", "replace"), len(value) > LARGEST_SAMPLE
