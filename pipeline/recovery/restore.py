"""Restore: an installation from a backup, on the cluster that it had or on another one.

In this order, so that whatever is refused is refused before anything is changed, and what was broken off can be done
again:

1. every file of the backup is what was kept; the settings fit; the cluster's catalog is ours, or empty;
2. files go into an empty data directory;
3. each state is folded up to the end of the archived `units`; those of `identities` as far as all of these were told;
4. an empty catalog gets its records back, with their offsets and append times, by which they apply to input;
5. where logs were made anew, the next version of `logs` says so, and `results` gets each run's last look.

A data directory is restored from itself: where only the catalog is gone, its archive has it.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from evaluation.catalog.history import History
from evaluation.identity.identities import Identities
from evaluation.metrics.partition import Partition
from pipeline.catalog.topic import CatalogWriter, key_of
from pipeline.errors import PeekproofError
from pipeline.kafka import topics
from pipeline.kafka.connection import answering
from pipeline.kafka.logs import FOLDS
from pipeline.kafka.producer import producing
from pipeline.kafka.reading import read_topic
from pipeline.owner import own
from pipeline.recovery.folding import Folding, State
from pipeline.recovery.gaps import Missing, accept, missing
from pipeline.recovery.manifest import (
    ARCHIVE_NOTE,
    FIXED,
    MANIFEST,
    PRIVATE,
    UNFINISHED,
    Manifest,
    Tell,
    copy,
    damaged,
    read_manifest,
    told,
)
from pipeline.recovery.rebuild import NEVER, asks_for_people, told_of
from pipeline.settings import Settings
from pipeline.storage.archived import EMPTY, EXPIRED, ArchiveGapError, chain, partitions, read, source_topics
from pipeline.storage.checkpoints import Checkpoint, Checkpoints
from schemas.catalog import Document
from schemas.topics import CATALOG, IDENTITIES, RESULTS, SOURCES, UNITS

RESTORING = "restoring.json"  # beside what is restored, until it is whole: the manifest that it is of
NAMED = 5  # of many
_KEPT = ("archive", "checkpoints", "store", *PRIVATE)
_NOTHING = ("lock", EMPTY)  # what lies about where nothing is kept yet

CatalogRecord = tuple[int, int, bytes | None]  # offset, append time (ms UTC), value


class Restored(msgspec.Struct, frozen=True):
    """What was done. `catalog` records were published again, `folded` messages were folded into states."""

    time: int | None  # of the backup
    files: int
    folded: int
    catalog: int
    made_anew: list[str]
    missing: int  # gaps that nobody accepted yet
    waiting: int
    differences: list[str]


class Restore:
    """One restore from a directory: `size` bytes to be read and put back.

    Raises PeekproofError for what is no backup, or one that was not finished, and where settings do not fit.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory.absolute()
        self._is_in_place = self._directory == settings.data.absolute()
        self.manifest = read_manifest(self._directory)
        if self.manifest is None:
            _require_layout(self._directory)
        self._differences = _differences(self.manifest, settings) if self.manifest else []
        units = partitions(self._directory / "archive", UNITS)
        if not self.manifest and units and units[-1] + 1 != settings.units_partitions:
            raise PeekproofError(
                f"units_partitions is {settings.units_partitions}, but {self._directory} has {units[-1] + 1}: set "
                f"PEEKPROOF_UNITS_PARTITIONS={units[-1] + 1}"
            )
        self.size = 2 * sum(path.stat().st_size for path in self._paths() if path.is_file())

    def run(self, author: str, tell: Tell) -> Restored:
        """Do it. Raises PeekproofError for what is damaged, and where an installation's state is in the way."""
        directory, settings = self._directory, self._settings
        if self.manifest and (found := damaged(directory, self.manifest, tell)):
            raise PeekproofError(f"the backup is damaged: {_named(found, '; ')}. Nothing was restored")
        ours = list(_catalog(directory / "archive"))
        if self._is_in_place:
            ours += _stored(settings, ours)
        _require_whole(ours, directory)
        topics.create(settings)
        left = self._left(ours)
        if not self._is_in_place:
            self._require_empty()
        with own(settings.data / "archive"):
            if not self._is_in_place:
                self._put_files(tell)
            history = History()
            for record in ours:
                history.append(*record)
            states = _States(settings, history)
            topics.grow(settings, states.partitions)
            _publish(settings, ours, left)
            lost = asyncio.run(self._go_on(author))
            (settings.data / RESTORING).unlink(missing_ok=True)
        return Restored(
            time=self.manifest.time if self.manifest else None,
            files=0 if self._is_in_place else len(list(self._paths())),
            folded=states.folded,
            catalog=left,
            made_anew=lost.made_anew if lost else [],
            missing=len(lost.gaps) if lost and not lost.made_anew else 0,
            waiting=self.manifest.waiting if self.manifest else 0,
            differences=self._differences,
        )

    def _paths(self) -> Iterator[Path]:
        """The files to put back."""
        if self.manifest:
            yield from (self._directory / file.path for file in self.manifest.files)
            return
        archive = self._directory / "archive"
        for topic in (*source_topics(archive), UNITS, IDENTITIES, CATALOG, RESULTS):
            for number in partitions(archive, topic):
                yield from (file.path for file in chain(archive, topic, number))
        yield from sorted((self._directory / "checkpoints").rglob("*.arrow"))
        yield from archive.glob(f"*/*/{EXPIRED}")
        yield from (path for path in (self._directory / name for name in (*PRIVATE, ARCHIVE_NOTE)) if path.exists())

    def _left(self, ours: list[CatalogRecord]) -> int:
        """How many of our catalog's records the cluster's lacks at its end. Raises PeekproofError for another one."""
        settings = self._settings
        theirs = [(record.offset, record.timestamp, record.value) for record in read_topic(settings, CATALOG)]
        for mine, other in zip(ours, theirs, strict=False):
            if mine != other:
                raise PeekproofError(
                    f"topic {settings.topic(CATALOG)} holds another catalog: its record {other[0]} is of "
                    f"{_time(other[1])}, that of {self._directory} of {_time(mine[1])}. Restore under another prefix; "
                    "or, where that one was begun after ours was lost, delete the topic, restore, and apply it again"
                )
        return max(0, len(ours) - len(theirs))

    def _require_empty(self) -> None:
        """Raises PeekproofError unless there is nothing yet, or a part of this very backup."""
        data = self._settings.data.absolute()
        marker = data / RESTORING
        state = (self._directory / MANIFEST).read_bytes() if self.manifest else str(self._directory).encode()
        if not (marker.exists() and marker.read_bytes() == state):
            there = [name for name in _KEPT if _holds(data / name)]
            if there:
                raise PeekproofError(
                    f"{data} holds the state of an installation already ({', '.join(there)}), this one's or "
                    "another's: move it away, or restore into another directory (PEEKPROOF_DATA)"
                )
            kept = any(self._checkpoints(str(self._directory / "checkpoints")))
            if kept and any(self._checkpoints(self._settings.checkpoint_location)):
                raise PeekproofError(
                    f"'{self._settings.checkpoint_location}' holds checkpoints already, this installation's or "
                    "another's: move them away, or name another place (PEEKPROOF_CHECKPOINTS)"
                )
            data.mkdir(parents=True, exist_ok=True)
            marker.write_bytes(state)

    def _put_files(self, tell: Tell) -> None:
        data = self._settings.data.absolute()
        for path in self._paths():  # the settings are this machine's own
            name = path.relative_to(self._directory)
            if name.parts[0] in {"archive", *PRIVATE} and not (data / name).exists():
                copy(path, data / name)
                if name.parts[0] in PRIVATE:
                    (data / name).chmod(0o600)
            tell(path.stat().st_size)
        target = self._settings.checkpoint_location
        for topic, number, kept in self._checkpoints(str(self._directory / "checkpoints")):
            Checkpoints(target, topic).write(number, kept.offset, kept.state, kept.cluster, kept.log)

    def _checkpoints(self, location: str) -> Iterator[tuple[str, int, Checkpoint]]:
        for topic in FOLDS:
            checkpoints = Checkpoints(location, topic)
            for number in range(self._settings.units_partitions):
                if newest := checkpoints.newest(number):
                    yield topic, number, newest

    async def _go_on(self, author: str) -> Missing | None:
        """Say which logs are in force, where some were made anew; what is missing otherwise is not decided here."""
        when = f" of {_time(self.manifest.time)}" if self.manifest else ""
        reason = "its catalog was brought back" if self._is_in_place else f"restored from a backup{when}"
        async with CatalogWriter(self._settings) as writer:
            logs = writer.history.newest.logs
            lost = await asyncio.to_thread(missing, self._settings, logs, is_catalog_ours=True)
            if lost and lost.made_anew:
                await accept(self._settings, writer, lost, author, reason)
            return lost


class _States:
    """Each state, folded up to the end of the archived `units`, or as far as all of these were told: `folded` messages
    in all.

    `partitions` are how many the sources had, by what states and archive know. Raises PeekproofError for states that
    do not fit the settings, or were made under documents that the catalog does not have.
    """

    def __init__(self, settings: Settings, history: History) -> None:
        self.folded = 0
        archive = settings.data / "archive"
        self.partitions = {topic: max(partitions(archive, topic), default=-1) + 1 for topic in SOURCES}
        self._settings, self._history, self._archive = settings, history, archive
        told = []
        for number in range(settings.units_partitions):
            state = self._fold(Partition, UNITS, number, NEVER)
            told.append(dict(state.sources))
            for topic, source in state.sources:
                if topic in self.partitions:
                    self.partitions[topic] = max(self.partitions[topic], source + 1)
        if asks_for_people(history):
            for number in range(settings.units_partitions):
                self._fold(Identities, IDENTITIES, number, told_of(number, told))

    def _fold(self, kind: type[State], topic: str, number: int, most: int) -> State:
        """The state of a partition, folded from the archive up to that offset, and kept."""
        settings, history = self._settings, self._history
        checkpoints = Checkpoints(settings.checkpoint_location, topic)
        newest = checkpoints.newest(number)
        try:
            state = kind.load(newest.state) if newest else kind(number, settings.horizon)
        except ValueError as error:
            raise PeekproofError(f"{topic}/{number}: {error}") from error
        _require_fit(settings, f"the state of {topic}/{number}", state, history)
        begin = state.offset
        try:
            folding = Folding(kind, self._archive, number, history, state=state)
            folding.fold(max(begin, min(folding.end, most)))
            state = folding.partition
        except ArchiveGapError:  # what lies between is told as missing
            pass
        folded, logs = state.offset - begin, history.newest.logs
        if folded and logs:
            log = newest.log if newest else logs.definition.topics[topic].id
            cluster = newest.cluster if newest else logs.definition.cluster
            checkpoints.write(number, state.offset, state.save(), cluster, log)
        self.folded += folded
        return state


def _require_fit(settings: Settings, place: str, state: Partition | Identities, history: History) -> None:
    if state.horizon != settings.horizon:
        raise PeekproofError(
            f"{place} has a horizon of {state.horizon} ms, the settings say {settings.horizon} ms, which is fixed for "
            f"the life of an installation: set PEEKPROOF_HORIZON={state.horizon}ms"
        )
    if state.catalog > history.newest.offset:
        raise PeekproofError(
            f"{place} was made under catalog offset {state.catalog}, but what is kept of the catalog ends at "
            f"{history.newest.offset}: restore from a backup, which holds both as they belong together"
        )


def _publish(settings: Settings, ours: list[CatalogRecord], left: int) -> None:
    """Append the last so many records of ours to the topic, and see that it then holds exactly ours."""
    if not left:
        return
    topics.take_times(settings, CATALOG, "CreateTime")
    asyncio.run(_send(settings, ours[-left:]))
    now = [(record.offset, record.timestamp, record.value) for record in read_topic(settings, CATALOG)]
    if now != ours:
        raise PeekproofError(f"topic {settings.topic(CATALOG)} does not hold what was sent to it: {_again(settings)}")
    topics.take_times(settings, CATALOG, "LogAppendTime")


async def _send(settings: Settings, records: list[CatalogRecord]) -> None:
    """The first one alone: where it is not as it should be, nothing follows."""
    with answering(settings):
        async with producing(settings) as producer:
            for offset, time, value in records:
                name = settings.topic(CATALOG)
                sent = await producer.send_and_wait(name, value, _key(value), partition=0, timestamp_ms=time)
                if (sent.offset, sent.timestamp) != (offset, time):
                    raise PeekproofError(
                        f"record {offset} of topic {name}, of {_time(time)}, became record {sent.offset} of "
                        f"{_time(sent.timestamp)}: {_again(settings)}"
                    )


def _again(settings: Settings) -> str:
    return f"see that nobody else writes there, delete topic {settings.topic(CATALOG)}, and restore again"


def _key(value: bytes | None) -> bytes:
    """The archive keeps no keys; a document's is made of it."""
    try:
        return key_of(msgspec.json.decode(value or b"", type=Document))
    except msgspec.MsgspecError:  # somebody else's; the client wants one where there is no value
        return b""


def _catalog(archive: Path) -> Iterator[CatalogRecord]:
    for record in read(archive, CATALOG, 0):
        yield record.offset, record.append_time, record.value


def _stored(settings: Settings, archived: list[CatalogRecord]) -> list[CatalogRecord]:
    """What the private store has of the catalog beyond the archive, which is written a little later."""
    import duckdb  # noqa: PLC0415 (slow to import)

    path = settings.data / "store" / "private.duckdb"
    if not path.exists():
        return []
    try:
        with duckdb.connect(str(path), read_only=True) as store:
            query = 'SELECT "offset", append_time, value FROM documents WHERE "offset" >= ? ORDER BY "offset"'
            found = store.execute(query, [max(0, len(archived) - 1)]).fetchall()
    except duckdb.Error as error:
        raise PeekproofError(
            f"{path}, which may know more of the catalog than the archive, cannot be read ({error}): stop the worker "
            "of storage, or move a damaged file away"
        ) from error
    if archived and found[:1] != archived[-1:]:
        return []
    return found[1:] if archived else found


def _require_whole(ours: list[CatalogRecord], directory: Path) -> None:
    for number, (offset, _, _) in enumerate(ours):
        if offset != number:
            raise PeekproofError(
                f"record {number} of the catalog is missing in {directory / 'archive' / CATALOG}, where {offset} comes "
                "next: bring its files back from a backup"
            )
    if not ours:
        raise PeekproofError(f"{directory / 'archive' / CATALOG} holds no record of the catalog: nothing to restore")


def _require_layout(directory: Path) -> None:
    if (directory / UNFINISHED).exists():
        raise PeekproofError(f"the backup in {directory} was not finished: take it again, and restore that")
    if not (directory / "archive").is_dir():
        raise PeekproofError(
            f"{directory} is neither a backup nor a data directory: it has no {MANIFEST} and no archive"
        )


def _differences(manifest: Manifest, settings: Settings) -> list[str]:
    """What is set otherwise than it was. Raises PeekproofError for what must be the same."""
    now = told(settings)
    for name in FIXED:
        if name in manifest.settings and now[name] != manifest.settings[name]:
            value = f"{manifest.settings[name]}{'ms' if name == 'horizon' else ''}"
            raise PeekproofError(
                f"{name} is {now[name]}, and was {manifest.settings[name]} where the backup was taken: it is fixed for "
                f"the life of an installation. Set PEEKPROOF_{name.upper()}={value}"
            )
    return [
        f"{name} is {now[name]!r}, and was {there!r} where the backup was taken"
        for name, there in manifest.settings.items()
        if name in now and now[name] != there
    ]


def _holds(path: Path) -> bool:
    return path.is_file() or any(found.is_file() and found.name not in _NOTHING for found in path.rglob("*"))


def _named(names: list[str], separator: str) -> str:
    more = f"{separator}and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return separator.join(names[:NAMED]) + more


def _time(time: int) -> str:
    return datetime.fromtimestamp(time / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
