"""Analysis: files in, looks out: the pure stages over exposures and events from files, without a broker.

Every flag of the documents counts as running (see running.py). Each file is a source partition of its own (see
fold.py), numbered by name, so that the order in which files are given means nothing. An exposure that names no variant
asks for one, and is bucketed with the flag's key as salt; where no document defines the flag nobody answered, and it is
left out.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.assignment.dead_letters import shown
from evaluation.assignment.plan import event_plan, exposure_plan
from evaluation.assignment.routing import Assigned
from evaluation.catalog.in_force import Catalog, RunInForce
from evaluation.catalog.references import OFF
from evaluation.catalog.rules import did_you_mean
from evaluation.columns.scanning import Type, Wanted, scan
from evaluation.flags.paths import Path as FieldPath
from evaluation.flags.values import read_json, select
from evaluation.significance.look import look
from evaluation.significance.verdict import says_split
from pipeline.catalog.documents import Documents, remarks
from pipeline.errors import PeekproofError
from pipeline.files.formats import pieces
from pipeline.files.frames import Input, resolved, size
from pipeline.files.left_out import NO_NUMBER, BadRow, LeftOut
from pipeline.files.sightings import Sightings
from pipeline.files.titles import OfMessages, listed
from pipeline.offline.fold import Fold
from pipeline.offline.messages import Messages, Translation
from pipeline.offline.running import running
from schemas.aggregate import Aggregate
from schemas.look import Look, Verdict
from schemas.topics import EVENTS, EXPOSURES, SourcePartition
from schemas.units import RowKind

SHAPELESS = ("not json", "not csv", "wrong type", "time out of range")  # reasons that lie in how a file was written

_ASKED = Wanted({("flag_key",): Type.TEXT, ("variant",): Type.TEXT}, None)
_EXPORTED = (
    "; in an Amplitude export it is the event property `[Experiment] Flag Key`, and the variant `[Experiment] Variant`"
)
_NUMBER = "a plain number counts: 1234.5"


class FileAnalysis:
    """One analysis. Iterate over it to read the files: it gives the share that has been read; then ask for the looks.

    `left_out` tells of rows that were of no use, and of the events that metrics leave out, as a property of theirs is
    missing or no number. `rows` is the number of messages by topic; `exposures` are those of each flag, `asking` those
    that were given a variant by its definition. `translation` knows what else of the files a reader should.
    """

    def __init__(
        self,
        documents: Documents,
        exposures: Sequence[Input],
        events: Sequence[Input],
        experiment: str | None = None,
        *,
        is_documented: bool = True,
    ) -> None:
        if experiment is not None and experiment not in documents.flags:
            raise PeekproofError(f"'{experiment}' is no experiment; {did_you_mean(experiment, documents.flags)}")
        self.left_out = LeftOut()
        self.rows: Counter[str] = Counter()
        self.exposures: Counter[str] = Counter()
        self.asking: Counter[str] = Counter()
        self.remarks = [str(each) for each in remarks(documents)]
        self._empty: list[str] = []  # files without rows
        self._useless: Counter[str] = Counter()  # exposures, by reason
        self._first_useless: dict[str, BadRow] = {}
        self._experiment = experiment
        self._is_documented = is_documented
        history = running(documents, experiment)
        self._catalog = history.newest
        self.events = Sightings(event_plan(self._catalog, 0).events.names)
        read = read_by(self._catalog)
        self.translation = Translation(read, self.left_out, self.events)
        self._headers = {topic: OfMessages(topic, read) for topic in (EXPOSURES, EVENTS)}
        topics = {EXPOSURES: exposures, EVENTS: events}
        # By what they are, lest one that two patterns name count twice; called as they were given.
        files = {(topic, resolved(path)): (topic, path) for topic, paths in topics.items() for path in paths}
        self._files = [files[key] for key in sorted(files)]
        self._fold = Fold(history, [(topic, number) for topic in topics for number in range(len(self._files))])

    def __iter__(self) -> Iterator[float]:
        ends = np.cumsum([size(path) for _, path in self._files])
        for number, ((topic, path), end) in enumerate(zip(self._files, ends.tolist(), strict=True)):
            taken: Counter[str] = Counter()
            for piece in pieces(path, self._headers[topic]):
                for name, messages in self.translation.messages(piece, topic):
                    self._take(messages, (name, number), piece.file)
                taken[piece.file] += len(piece.length) + len(piece.bad)
                yield (end - (1 - piece.read) * size(path)) / max(1, ends[-1])
            if topic == EVENTS:
                self.events.take_unread(self._headers[topic].unread)
            if not taken.total():
                self._empty.append(f"'{path}'")
            for file, rows in taken.items():
                self._refuse_useless(file, rows)
        if len(self._empty) == len(self._files):
            raise PeekproofError(f"{listed(self._empty)}: there are no rows, so there is nothing to analyse")
        self._refuse_useless_exposures()
        self._fold.end()

    def aggregates(self) -> list[Aggregate]:
        """What every run comes to, by flag."""
        return self._fold.partition.aggregates()

    def looks(self) -> list[Look]:
        """The look at every experiment, by key."""
        flags = self._catalog.flags
        wanted = [key for key, flag in flags.items() if flag.definition.metrics or not self._is_documented]
        if self._experiment is not None:
            wanted = [self._experiment]
        return [self._look(flags[each.flag].runs[-1], each) for each in self.aggregates() if each.flag in wanted]

    def _look(self, run: RunInForce, sums: Aggregate) -> Look:
        """From the run's first entry on: the pace of entries since then says how long it may still take."""
        first = self._fold.partition.began(run.flag, run.key)
        run = run if first is None else replace(run, started=first)
        if self.has_events:
            return look(run, [sums], None, of_files=True)
        # Metrics of events that nobody gave would all be zero.
        found = look(replace(run, metrics={}), [sums], None)
        if found.verdict.decision == "needs attention":
            return found
        if broken := says_split(found.health):  # of a flag without metrics
            return msgspec.structs.replace(found, verdict=Verdict("needs attention", f"{broken}."))
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
                facts = self._catalog.metrics[each.metric].facts
                its = [fact for fact in facts if not each.events or fact.event not in self.events]
                if why := "; ".join(dict.fromkeys(self.events.why_none(fact, run, each) for fact in its)):
                    found.append((run.flag, each.metric, why))
        return found

    def _take(self, messages: Messages, source: SourcePartition, file: str) -> None:
        topic, _ = source
        self.rows[topic] += len(messages.length)
        if topic == EVENTS:
            self.events.take(messages.values)
        else:
            messages = self._answered(messages, file)
        messages = self._fold.in_order(messages)
        begin = self._fold.reached[source]
        for assigned in self._fold.take(messages, source):
            self._tell_unusable(assigned, messages, begin, file)
            for dead_letter in assigned.rejects:
                row = BadRow(
                    file, int(messages.line[dead_letter.offset - begin]), dead_letter.reason, dead_letter.detail
                )
                if topic == EXPOSURES:
                    if "`flag_key`" in row.detail:
                        row = replace(row, detail=row.detail + _EXPORTED)
                    self._reject_exposure(row)
                else:
                    self.left_out.reject(row)

    def _answered(self, exposures: Messages, file: str) -> Messages:
        """The exposures of units that have a variant, or get one of a document."""
        values = exposures.values
        found = scan(values.data, values.start, values.length, _ASKED)
        flags = found.texts(("flag_key",)).arrow().view(pa.large_string())
        length = found.texts(("variant",)).length
        asks = (length < 0) & ~found.odd
        asked = flags.filter(pa.array(asks & self._is_documented))
        for counter, some in ((self.exposures, flags), (self.asking, asked)):
            counter.update({each["values"]: each["counts"] for each in pc.value_counts(some.drop_null()).to_pylist()})
        if self._is_documented:
            return exposures
        variants = found.texts(("variant",)).arrow().view(pa.large_string())
        asks |= (length == 0) | pc.equal(variants, OFF).fill_null(False).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(found.odd).tolist():
            said = read_json((values[row] or "").encode())
            asks[row] = isinstance(said, dict) and said.get("variant") in (None, "", OFF)
        for line in exposures.line[asks].tolist():
            self._reject_exposure(BadRow(file, line, "no variant", "variant is empty or off: the unit is in no arm"))
        return exposures.take(np.flatnonzero(~asks)) if asks.any() else exposures

    def _reject_exposure(self, row: BadRow) -> None:
        self._useless[row.reason] += 1
        self._first_useless.setdefault(row.reason, row)
        self.left_out.reject(row)

    def _tell_unusable(self, assigned: Assigned, messages: Messages, begin: int, file: str) -> None:
        """Tell of events without the number that some metric asks for: they don't say it, or it is none."""
        is_unusable = (assigned.kind & RowKind.UNUSABLE) != 0
        if not is_unusable.any():
            return
        properties = {fact.key: fact.property for fact in event_plan(self._catalog, 0).facts}
        names = [properties[fact] for fact in assigned.facts]
        for name in sorted({name for name in names if name}):
            codes = [code for code, each in enumerate(names) if each == name]
            its = np.unique(assigned.offset[is_unusable & np.isin(assigned.code, codes)]) - begin
            values, path = messages.values.take(its), ("event_properties", name)
            wanted = Wanted({path[:1]: Type.OBJECT, path: Type.VALUE}, None)
            found = scan(values.data, values.start, values.length, wanted)
            is_said = found.odd | (found.texts(path).length >= 0)
            called = ".".join(path)
            self.left_out.values[file, "no property", called] += int((~is_said).sum())
            for place in np.flatnonzero(is_said).tolist():
                value = select(read_json((values[place] or "").encode()), path)
                detail = f"{called} is {shown(value)}, which its metrics leave out; {_NUMBER}"
                row = BadRow(file, int(messages.line[its[place]]), NO_NUMBER, detail)
                self.left_out.reject_value(row, called)

    def _refuse_useless(self, file: str, rows: int) -> None:
        """Raise PeekproofError where none of a file's rows is what rows of its topic look like."""
        if rows and rows == sum(self.left_out.rows[file, reason] for reason in SHAPELESS):
            first = next(row for row in self.left_out.bad if row.file == file)
            raise PeekproofError(
                f"'{file}': none of its {rows:,} rows can be used; line {first.line}: {first.detail}. An event says "
                "event_type, time and user_id (or device_id), an exposure flag_key, variant, time and user_id"
            )

    def _refuse_useless_exposures(self) -> None:
        """Raise PeekproofError where there are exposures and none can be used, unless an event stands in for them."""
        exposures = self.rows[EXPOSURES]
        definitions = [flag.definition for flag in self._catalog.flags.values()]
        stands_in = any(each.metrics and each.exposure_event for each in definitions)
        if stands_in or not exposures or self._useless.total() < exposures:
            return
        reasons = "; ".join(
            f"{number:,} of them: {row.reason}, first '{row.file}', line {row.line}: {row.detail}"
            for number, row in ((self._useless[reason], row) for reason, row in self._first_useless.items())
        )
        raise PeekproofError(
            f"none of the {exposures:,} exposures can be used, so no unit is in any variant. {reasons}"
        )


def read_by(catalog: Catalog) -> set[FieldPath]:
    """The properties of messages that the catalog reads: those that metrics, filters and flags name."""
    fields = {**event_plan(catalog, 0).wanted.fields, **exposure_plan(catalog).wanted.fields}
    return {path for path in fields if len(path) == 2 and path != ("metadata", "flagVersion")}
