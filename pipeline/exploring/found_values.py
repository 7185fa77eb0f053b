"""Found values: what exposures and events of the archive tell, for questions that name no values."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from evaluation.assignment.columns import MessageColumns
from evaluation.assignment.looking import messages_of, topics_of
from evaluation.catalog.sources import ReadSource
from evaluation.columns.scanning import Type, Wanted
from evaluation.exploring.prefilter import Prefilter
from evaluation.flags.conditions import NONE
from evaluation.flags.paths import property_path
from evaluation.flags.values import read_json, text_of
from pipeline.questions.reading import TimeBound
from pipeline.registry.kept import KeptSchemas, schemas_of
from pipeline.storage.archived import excerpts, offset_at, partitions
from schemas.topics import EVENTS, EXPOSURES
from schemas.written import Property

MOST_SAMPLED = 20_000  # exposures, whose properties are told
OF_SLICE = 200
MOST_FOUND = 500_000  # events, whose values are counted
MOST_PROPERTIES = 20
_IDS = {"user_id", "device_id", "ip_address", "cohort"}


class FoundValues:
    """Reads the archive between two append times (ms UTC) for its values, as far as time allows."""

    def __init__(  # noqa: PLR0917
        self,
        directory: Path,
        since: int,
        until: int,
        sources: Sequence[ReadSource],
        kept: KeptSchemas | None,
        bound: TimeBound,
    ) -> None:
        self._directory, self._since, self._until = directory, since, until
        self._sources, self._kept, self._bound = sources, kept, bound
        self.is_cut = False  # not all events were counted

    def properties(self, flag: str) -> list[str]:
        """The properties that a sample of a flag's exposures tells, those in most of them first; ids are none."""
        seen: Counter[str] = Counter()
        sampled = 0
        for columns in self._messages(EXPOSURES, [flag], Wanted({("flag_key",): Type.TEXT}, ("flag_key",))):
            its = [i for i in range(min(len(columns), OF_SLICE)) if columns.texts["flag_key",][i] == flag]
            for i in its:
                value = read_json(columns.ours(i) or b"")
                seen.update(_told(value) if isinstance(value, dict) else ())
            sampled += len(its)
            if sampled >= MOST_SAMPLED:
                break
        return [name for name, _ in sorted(seen.items(), key=lambda each: (-each[1], each[0]))][:MOST_PROPERTIES]

    def events(self) -> list[str]:
        """The names in a sample of events, those of most of them first."""
        counts: Counter[str] = Counter()
        for columns in self._messages(EVENTS, None, Wanted({("event_type",): Type.TEXT}, ("event_type",))):
            for each in columns.texts["event_type",].arrow().value_counts().to_pylist():
                counts[each["values"].decode(errors="replace")] += each["counts"]
            if counts.total() >= MOST_SAMPLED:
                break
        return [name for name, _ in counts.most_common()]

    def values(self, events: Collection[str], name: str) -> list[str]:
        """The values of a property in these events, the most frequent ones first."""
        path = property_path(name)
        of_parent = {path[:1]: Type.OBJECT} if len(path) > 1 else {}
        wanted = Wanted({("event_type",): Type.TEXT, **of_parent, path: Type.VALUE}, ("event_type",))
        counts: Counter[str] = Counter()
        for columns in self._messages(EVENTS, events, wanted):
            named = columns.texts["event_type",].arrow().dictionary_encode()
            are = np.isin(
                named.indices.to_numpy(),
                [i for i, e in enumerate(named.dictionary.to_pylist()) if e.decode() in events],
            )
            said = columns.texts[path].take(np.flatnonzero(are)).arrow().fill_null(b"null").value_counts().to_pylist()
            for each in said:
                value = read_json(each["values"])
                counts[NONE if value is None else text_of(value) or ""] += each["counts"]
            if counts.total() >= MOST_FOUND:
                self.is_cut = True
                break
        return [value for value, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]

    def _messages(self, topic: str, names: Collection[str] | None, wanted: Wanted) -> Iterator[MessageColumns]:
        """Messages that may have one of these names, or any."""
        prefilter = None if names is None else Prefilter(sorted(names))
        for each in (topic, *topics_of(self._sources)):
            for number in partitions(self._directory, each):
                begin = offset_at(self._directory, each, number, self._since)
                its = names if each == EVENTS else None
                for excerpt in excerpts(self._directory, each, number, begin=begin, names=its):
                    if self._bound.is_over:
                        self.is_cut = True
                        return
                    records = excerpt.records
                    if not len(records):
                        continue
                    if int(records.append_time[0]) > self._until:
                        break
                    some = prefilter.of(records) if prefilter else records
                    schemas = schemas_of(some, self._sources, self._kept)
                    for _, columns in messages_of(some, {topic: wanted}, self._sources, schemas):
                        yield columns


def _told(message: dict[str, object]) -> Iterator[str]:
    inner = message.get("user_properties")
    names = [name for name, value in message.items() if value is not None and name not in _IDS]
    if isinstance(inner, dict):
        names += [f"user_properties.{name}" for name, value in inner.items() if value is not None]
    for name in names:
        try:
            yield msgspec.convert(name, Property)
        except msgspec.ValidationError:
            continue
