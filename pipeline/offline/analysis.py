"""Analysis: files in, looks out: the pure stages over exposures and events from files, without a broker.

Every flag of the documents counts as running, from its start date until its end date where it has them. In files append
time is event time and the horizon 0. The clock stands still until everything has been read, in whatever order, and then
goes to the last time in the files. Each file is a source partition of its own, numbered by name, so that the order in
which files are given means nothing. An exposure that asks for a variant is bucketed with the flag's key as salt.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evaluation.assignment.dead_letters import shown
from evaluation.assignment.plan import event_plan, exposure_plan
from evaluation.assignment.routing import Assigned, assign
from evaluation.catalog.history import History
from evaluation.catalog.in_force import SETTLING, Catalog, RunInForce
from evaluation.catalog.lifecycle import complete, start
from evaluation.catalog.rules import did_you_mean, parse_date
from evaluation.columns.names import Names
from evaluation.columns.scanning import MISSING, Type, Wanted, scan
from evaluation.columns.texts import Texts, as_bytes
from evaluation.flags.paths import Path as FieldPath
from evaluation.flags.values import read_json, select
from evaluation.metrics.partition import Partition
from evaluation.significance.look import look
from pipeline.catalog.documents import Documents, remarks
from pipeline.catalog.editing import changes
from pipeline.errors import PeekproofError
from pipeline.files.aliases import Aliases, renamed
from pipeline.files.export_columns import translate
from pipeline.files.exports import EXPOSURE_EVENTS, UNLIKE_ID, RowError, says_no_time, to_message
from pipeline.files.formats import NO_NUMBER, BadRow, Piece, keep, pieces
from pipeline.files.sightings import Sightings
from pipeline.files.titles import OfMessages, listed
from pipeline.stages.gathering import Gathering
from schemas import catalog
from schemas.aggregate import Aggregate
from schemas.catalog import KINDS, Document, FlagState, Spec
from schemas.look import Look, Verdict
from schemas.numbers import LATEST, is_in_seconds
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES
from schemas.units import Kind

MOST_ROWS = 200_000  # gathered before they are folded
SHAPELESS = ("not json", "not csv", "wrong type", "time out of range")  # reasons that lie in how a file was written

# What shows that a row is a message of its topic already; `aliases` and `exports` make the others one.
_COMMON: dict[FieldPath, Type] = {
    ("time",): Type.INTEGER,
    ("user_id",): Type.TEXT,
    ("device_id",): Type.TEXT,
    ("insert_id",): Type.TEXT,
    ("$insert_id",): Type.TEXT,
}
_WANTED = {
    EVENTS: Wanted({("event_type",): Type.TEXT, **_COMMON}, ("event_type",)),
    EXPOSURES: Wanted(
        {
            ("flag_key",): Type.TEXT,
            **_COMMON,
            ("experiment_key",): Type.TEXT,
            ("metadata",): Type.OBJECT,
            ("metadata", "flagVersion"): Type.INTEGER,
        },
        ("flag_key",),
    ),
}
_EXPOSURE_EVENTS = Names(EXPOSURE_EVENTS)
_IDS = ("user_id", "device_id", "insert_id")
_ASKED = Wanted({("flag_key",): Type.TEXT, ("variant",): Type.TEXT}, None)
_NUMBER = "a plain number counts: 1234.5"


@dataclass(frozen=True, slots=True)
class _Rows:
    """Messages of one topic: values that stand one after another, their times (ms UTC) and lines."""

    data: bytes
    length: NDArray[np.int64]
    time: NDArray[np.int64]
    line: NDArray[np.int64]

    @property
    def values(self) -> Texts:
        return Texts(as_bytes(self.data), np.cumsum(self.length) - self.length, self.length)

    def take(self, rows: NDArray[np.int64]) -> "_Rows":
        return _Rows.of(self.values.take(rows).arrow(), self.time[rows], self.line[rows])

    @classmethod
    def of(cls, values: pa.Array, time: NDArray[np.int64], line: NDArray[np.int64]) -> "_Rows":
        texts = Texts.of(values)
        begin = int(texts.start[0]) if len(texts) else 0
        return cls(texts.data[begin : begin + int(texts.length.sum())].tobytes(), texts.length, time, line)

    @classmethod
    def join(cls, parts: "list[_Rows]") -> "_Rows":
        """All rows, by line."""
        whole = _Rows(
            b"".join(part.data for part in parts),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("length", "time", "line")),
        )
        return whole.take(np.argsort(whole.line)) if len(parts) > 1 else whole


class Analysis:
    """One analysis. Iterate over it to read the files: it gives the share that has been read; then ask for the looks.

    `bad` holds examples of the rows that were of no use, `rejected` the number of all by file and reason, `rows` the
    number of messages by topic, `runs` how many exposures named a run, by flag and run. `unusable` counts the events
    that metrics leave out, as a property of theirs is missing or no number, by file, reason and property. `exposures`
    are those of each flag, `asking` those that name no variant. `floats` are ids that are taken for whole numbers, by
    file and field: one of them as it is written.
    """

    def __init__(
        self, documents: Documents, exposures: Sequence[Path], events: Sequence[Path], experiment: str | None = None
    ) -> None:
        if experiment is not None and experiment not in documents.flags:
            raise PeekproofError(f"'{experiment}' is no experiment; {did_you_mean(experiment, documents.flags)}")
        self.bad: list[BadRow] = []
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.rows: Counter[str] = Counter()
        self.runs: Counter[tuple[str, str]] = Counter()
        self.unusable: Counter[tuple[str, str, str]] = Counter()
        self.exposures: Counter[str] = Counter()
        self.asking: Counter[str] = Counter()
        self.remarks = [str(each) for each in remarks(documents)]
        self.floats: dict[tuple[str, str], str] = {}
        self._empty: list[str] = []  # files without rows
        self.clock = 0
        self._experiment = experiment
        self._history = running(documents, experiment)
        self.events = Sightings(event_plan(self._history.newest, 0).events.names)
        read = read_by(self._history.newest)
        self._aliases = Aliases(read)
        self._headers = {topic: OfMessages(topic, read) for topic in (EXPOSURES, EVENTS)}
        topics = {EXPOSURES: exposures, EVENTS: events}
        # By what they are, lest one that two patterns name count twice; called as they were given.
        files = {(topic, path.resolve()): (topic, path) for topic, paths in topics.items() for path in paths}
        self._files = [files[key] for key in sorted(files)]
        self._next = {(topic, number): 0 for topic in topics for number in range(len(self._files))}
        self._partition = Partition(0, horizon=0)
        self._gathering = Gathering(partitions=1, horizon=0, expected=len(self._next))
        for source in self._next:
            self._gathering.begin(source, 0)

    def __iter__(self) -> Iterator[float]:
        ends = np.cumsum([path.stat().st_size for _, path in self._files])
        for number, ((topic, path), end) in enumerate(zip(self._files, ends.tolist(), strict=True)):
            taken: Counter[str] = Counter()
            for piece in pieces(path, self._headers[topic]):
                self._take(piece, topic, number)
                taken[piece.file] += len(piece.length) + len(piece.bad)
                yield (end - (1 - piece.read) * path.stat().st_size) / max(1, ends[-1])
            if topic == EVENTS:
                self.events.take_unread(self._headers[topic].unread)
            if not taken.total():
                self._empty.append(f"'{path}'")
            for file, rows in taken.items():
                self._refuse_useless(file, rows)
        if len(self._empty) == len(self._files):
            raise PeekproofError(f"{listed(self._empty)}: there are no rows, so there is nothing to analyse")
        for source in self._next:
            self._gathering.reach(source, self.clock, self._history.newest.offset)
        self._fold()

    def aggregates(self) -> list[Aggregate]:
        """What every run comes to, by flag."""
        return self._partition.aggregates()

    def looks(self) -> list[Look]:
        """The look at every experiment, by key."""
        flags = self._history.newest.flags
        return [
            self._look(flags[each.flag].runs[-1], each)
            for each in self.aggregates()
            if (flags[each.flag].definition.metrics if self._experiment is None else each.flag == self._experiment)
        ]

    def _look(self, run: RunInForce, sums: Aggregate) -> Look:
        """From the run's first entry on: the pace of entries since then says how long it may still take."""
        first = self._partition.began(run.flag, run.key)
        run = run if first is None else replace(run, started=first)
        if self.has_events:
            return look(run, [sums], None, of_files=True)
        # Metrics of events that nobody gave would all be zero.
        found = look(replace(run, metrics={}), [sums], None)
        if found.verdict.decision == "needs attention":
            return found
        split = f"nothing speaks against the promised split (p = {found.health.srm_p_value:.2g})"
        return msgspec.structs.replace(
            found, verdict=Verdict("none", f"Only exposures were given, so no metric is compared; {split}.")
        )

    @property
    def notes(self) -> list[str]:
        """Which files have no rows, and what in others was not read, as something else there says it."""
        found = [f"{file} has no rows" for file in self._empty]
        found += [note for header in self._headers.values() for note in header.notes]
        return found + [
            f"`{name}` is not read in lines that have `{other}`, which holds it"
            for name, other in sorted(self.events.twice)
        ]

    @property
    def has_events(self) -> bool:
        """Whether files of events were given, or had events among the exposures."""
        return self.rows[EVENTS] > 0 or any(topic == EVENTS for topic, _ in self._files)

    def unfed(self) -> list[tuple[str, str, str]]:
        """The metrics for which no event counts, or that read one which is not there: flag, metric, and why."""
        found = []
        for run in self.aggregates():
            for each in run.metrics:
                facts = self._history.newest.metrics[each.metric].facts
                its = [fact for fact in facts if not each.events or fact.event not in self.events]
                if why := "; ".join(dict.fromkeys(self.events.why_none(fact, run, each) for fact in its)):
                    found.append((run.flag, each.metric, why))
        return found

    def _take(self, piece: Piece, topic: str, number: int) -> None:
        for row in piece.bad:
            self._reject(row)
        self.floats.update({(piece.file, name): written for name, written in piece.floats})
        file, rows = piece.file, _Rows(piece.data, piece.length, np.zeros_like(piece.line), piece.line)
        aliases = {} if piece.is_titled else self._aliases.of(piece.data)
        wanted = _with_names(topic, tuple(aliases))
        values = rows.values
        if not piece.is_titled:
            self.events.take_names(values, aliases)
        scanned = scan(values.data, values.start, values.length, wanted)
        is_renamed = scanned.odd.copy()  # may say anything
        for alias in aliases:
            is_renamed |= scanned.length[wanted.position[alias,]] >= 0
        if aliases and is_renamed.any():
            at = np.flatnonzero(is_renamed)
            made = _Rows.of(renamed(values.take(at), aliases), rows.time[at], rows.line[at])
            rows = _Rows.join([rows.take(np.flatnonzero(~is_renamed)), made])
            values = rows.values
            scanned = scan(values.data, values.start, values.length, wanted)
        time = scanned.start[wanted.position["time",]]
        foreign = scanned.odd | (time == MISSING) | (scanned.texts(("$insert_id",)).length >= 0)
        for name in _IDS:
            foreign |= _unlike_ids(scanned.texts((name,)))
        if topic == EVENTS:
            foreign |= _EXPOSURE_EVENTS.codes(scanned.texts(("event_type",))) >= 0
        else:
            foreign |= scanned.texts(("experiment_key",)).length >= 0
            foreign |= scanned.start[wanted.position["metadata", "flagVersion"]] != MISSING
        rows = replace(rows, time=time)
        parts = {topic: [rows]}
        if foreign.any():
            parts = self._translate(rows.take(np.flatnonzero(foreign)), topic, file)
            parts[topic].append(rows.take(np.flatnonzero(~foreign)))
        for name, its in parts.items():
            whole = self._without_seconds(_Rows.join(its), file)
            if len(whole.length):
                self._route(whole, name, number, file)

    def _without_seconds(self, rows: _Rows, file: str) -> _Rows:
        """Without those whose time must be meant in seconds."""
        found = is_in_seconds(rows.time)
        if not found.any():
            return rows
        for line, time in zip(rows.line[found].tolist(), rows.time[found].tolist(), strict=True):
            detail = f"time is {time}, which would be early in the 1970s; is it in seconds? Write milliseconds"
            self._reject(BadRow(file, line, "time out of range", detail))
        return rows.take(np.flatnonzero(~found))

    def _translate(self, rows: _Rows, topic: str, file: str) -> dict[str, list[_Rows]]:
        """The messages that rows make which are none yet, by topic: most of them by columns, the others one by one."""
        found = translate(rows.values, topic)
        self.runs.update(found.runs)
        line = rows.line[found.row]
        parts: dict[str, list[_Rows]] = {}
        for name, its in ((EXPOSURES, found.is_exposure), (EVENTS, ~found.is_exposure)):
            parts[name] = [_Rows.of(found.message.filter(pa.array(its)), found.time[its], line[its])]

        made: dict[str, list[tuple[bytes, int, int]]] = {EXPOSURES: [], EVENTS: []}
        left = np.ones(len(rows.line), np.bool_)
        left[found.row] = False
        ends = np.cumsum(rows.length)
        for i in np.flatnonzero(left).tolist():
            row, number = rows.data[ends[i] - rows.length[i] : ends[i]], int(rows.line[i])
            try:
                message = to_message(row, topic)
            except RowError as error:
                self._reject(BadRow(file, number, "wrong type", str(error)))
                continue
            if message is None:
                self._reject(BadRow(file, number, "time out of range", says_no_time(row)))
            elif isinstance(message.time, str):
                detail = f"time is {shown(message.time)}; write ms since 1970, or ISO 8601: 2026-01-31T12:00:00Z"
                self._reject(BadRow(file, number, "wrong type", detail))
            else:
                self.runs.update([message.run] if message.run else [])
                # Where the time is something else, the message is rejected, at whatever time.
                made[message.topic].append((message.value, message.time or 0, number))
        for name, messages in made.items():
            values, times, lines = zip(*messages, strict=True) if messages else ((), (), ())
            array = pa.array(values, pa.large_binary())
            parts[name].append(_Rows.of(array, np.array(times, np.int64), np.array(lines, np.int64)))
        return parts

    def _route(self, rows: _Rows, topic: str, number: int, file: str) -> None:
        states = np.searchsorted(self._history.boundaries, rows.time, side="right")
        if (np.diff(states) < 0).any():
            rows = rows.take(np.argsort(states, kind="stable"))
        source, n = (topic, number), len(rows.length)
        begin = self._next[source]
        self._next[source] = begin + n
        records = Records(
            topic=topic,
            partition=number,
            begin=begin,
            end=begin + n,
            offset=np.arange(begin, begin + n),
            append_time=rows.time,
            start=np.cumsum(rows.length) - rows.length,
            length=rows.length,
            data=memoryview(rows.data),
        )
        for assigned in assign(records, self._history, horizon=0, tolerance=0):
            self._gathering.add(source, replace(assigned, clock=0))
            self._tell_unusable(assigned, rows, begin, file)
            for letter in assigned.rejects:
                line = int(rows.line[letter.offset - begin])
                self._reject(BadRow(file, line, letter.reason, letter.detail))
        self.rows[topic] += n
        if topic == EVENTS:
            self.events.take(rows.values)
        else:
            self._count_asking(rows.values)
        self.clock = max(self.clock, int(rows.time[rows.time <= LATEST].max(initial=0)))
        if self._gathering.rows >= MOST_ROWS:
            self._fold()

    def _count_asking(self, exposures: Texts) -> None:
        found = scan(exposures.data, exposures.start, exposures.length, _ASKED)
        flags = found.texts(("flag_key",)).arrow().view(pa.large_string())
        asks = pa.array((found.texts(("variant",)).length <= 0) & ~found.odd)
        for counter, some in ((self.exposures, flags), (self.asking, flags.filter(asks))):
            counter.update({each["values"]: each["counts"] for each in pc.value_counts(some.drop_null()).to_pylist()})

    def _tell_unusable(self, assigned: Assigned, rows: _Rows, begin: int, file: str) -> None:
        """Tell of events without the number that some metric asks for: they don't say it, or it is none."""
        is_unusable = (assigned.kind & Kind.UNUSABLE) != 0
        if not is_unusable.any():
            return
        properties = {fact.key: fact.property for fact in event_plan(self._history.newest, 0).facts}
        names = [properties[fact] for fact in assigned.facts]
        for name in sorted({name for name in names if name}):
            codes = [code for code, each in enumerate(names) if each == name]
            its = np.unique(assigned.offset[is_unusable & np.isin(assigned.code, codes)]) - begin
            values, path = rows.values.take(its), ("event_properties", name)
            wanted = Wanted({path[:1]: Type.OBJECT, path: Type.VALUE}, None)
            found = scan(values.data, values.start, values.length, wanted)
            is_said = found.odd | (found.texts(path).length >= 0)
            called = ".".join(path)
            self.unusable[file, "no property", called] += int((~is_said).sum())
            for place in np.flatnonzero(is_said).tolist():
                value = select(read_json((values[place] or "").encode()), path)
                detail = f"{called} is {shown(value)}, which its metrics leave out; {_NUMBER}"
                row = BadRow(file, int(rows.line[its[place]]), NO_NUMBER, detail)
                keep(self.bad, row, self.unusable, (file, NO_NUMBER, called))

    def _fold(self) -> None:
        for message in self._gathering.cut()[1]:
            self._partition.fold(self._partition.offset, message, self._history.at_offset)

    def _refuse_useless(self, file: str, rows: int) -> None:
        """Raise PeekproofError where none of a file's rows is what rows of its topic look like."""
        if rows and rows == sum(self.rejected[file, reason] for reason in SHAPELESS):
            first = next(row for row in self.bad if row.file == file)
            raise PeekproofError(
                f"'{file}': none of its {rows:,} rows can be used; line {first.line}: {first.detail}. An event says "
                "event_type, time and user_id (or device_id), an exposure flag_key, variant, time and user_id"
            )

    def _reject(self, row: BadRow) -> None:
        keep(self.bad, row, self.rejected, (row.file, row.reason))


def read_by(catalog: Catalog) -> set[FieldPath]:
    """The properties of messages that the catalog reads: those that metrics, filters and flags name."""
    fields = {**event_plan(catalog, 0).wanted.fields, **exposure_plan(catalog).wanted.fields}
    return {path for path in fields if len(path) == 2 and path != ("metadata", "flagVersion")}


@lru_cache(maxsize=16)
def _with_names(topic: str, names: tuple[str, ...]) -> Wanted:
    """What is wanted of a topic's rows, and these names at their top."""
    return Wanted({**{(name,): Type.VALUE for name in names}, **_WANTED[topic].fields}, _WANTED[topic].required)


def _unlike_ids(ids: Texts) -> NDArray[np.bool_]:
    """Which texts stand for another id, or for none."""
    found = pc.match_substring_regex(ids.arrow().view(pa.large_string()), f"^(?:{UNLIKE_ID})$")
    return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False))


def running(documents: Documents, experiment: str | None = None) -> History:
    """The documents as a catalog in which every flag runs, from its start until its end.

    With `experiment` the others have no metrics.
    """
    history = History()

    def append(spec: Spec, key: str, version: int, time: int) -> None:
        document = Document(
            kind=KINDS[type(spec)],
            key=key,
            version=version,
            base=version - 1,
            author="-",
            time=0,
            reason="-",
            spec=msgspec.Raw(msgspec.json.encode(spec)),
        )
        history.append(len(history.states) - 1, time - SETTLING, msgspec.json.encode(document))
        if history.rejected:
            raise PeekproofError(f"version {version} of '{key}' is no document: {history.rejected[0].reason}")

    steps: list[tuple[int, str, int, FlagState]] = []
    for change in changes(documents, history):
        spec = change.spec
        if isinstance(spec, FlagState):
            if experiment not in {None, change.key}:
                definition = msgspec.structs.replace(spec.definition, metrics=(), analysis=catalog.Analysis())
                spec = msgspec.structs.replace(spec, definition=definition)
            started = start(spec, 2, salt=change.key)
            steps.append((_moment(spec.definition.start), change.key, 2, started))
            if spec.definition.end:
                steps.append((_moment(spec.definition.end), change.key, 3, complete(started, 3)))
        append(spec, change.key, 1, 0)
    for time, key, version, state in sorted(steps, key=lambda each: each[:3]):
        append(state, key, version, time)
    return history


def _moment(date: str | None) -> int:
    return int(parse_date(date).timestamp() * 1000) if date else 0
