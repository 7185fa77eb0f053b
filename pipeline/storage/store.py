"""Store: the private DuckDB file of the storage stage. Rows and the Kafka offsets that they reach are one transaction.

One process owns it, and one connection; analysts read the snapshots that `pipeline.storage.snapshot` publishes from
it. Records are buffered by `add_*` and written by `flush`, which may run in a thread of its own. A crash loses what was
not yet flushed: `offsets` says from where to read again, and a record below them is skipped.

    DIRECTORY/private.duckdb      and its .wal
    DIRECTORY/history/*.parquet   rows of `results_history` that are older than those of table `results_recent`
"""

import re
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import UNSET

from evaluation.catalog.history import History
from pipeline import durable
from pipeline.errors import PeekproofError
from pipeline.kafka.set_aside import SetAside
from pipeline.owner import OwnerError, own
from pipeline.storage import tables
from pipeline.storage.tables import CELL, CELL_KEY, DEAD_LETTER_TOTALS, DEAD_LETTERS
from schemas import topics
from schemas.dead_letter import from_record
from schemas.decoding import NoMessageError, decode
from schemas.health import WorkerHealth
from schemas.look import Cell, Look
from schemas.records import Headers

Record = tuple[int, int, int, bytes | None]  # partition, offset, append time (ms UTC), value
LetterRecord = tuple[int, int, int, Headers, bytes | None]

RESULTS, RESULTS_RECENT = tables.RESULTS.stored, tables.RESULTS_RECENT.stored
FILE = "private.duckdb"
EMPTY = "_schema.parquet"
RECENT_ROWS = 2_000  # of the history, copied into every snapshot
FILE_ROWS = 500_000  # of the history in one Parquet file
REPLACED_KEPT = 600.0  # seconds, for sessions that hold an older snapshot
LETTERS_KEPT = 10_000
VALUE_KEPT = 500  # bytes of a dead letter
SILENT_MS = 3_600_000  # after which a worker is forgotten

# What DuckDB says of a file that it cannot open, though nothing is wrong with what is in it.
_NO_DAMAGE = re.compile(r"Could not set lock|we can only read version|Permission denied|Read-only file|Too many open")

Run = tuple[str, str]  # experiment, run


class StoreError(PeekproofError):
    """The store cannot be used now."""


class DamageError(StoreError):
    """The store is not as it was left. Its text says how, and is the first half of a sentence."""


class UnfinishedError(DamageError):
    """The store was being made anew when its process ended. The text says why it was."""


@dataclass(frozen=True, slots=True)
class PublishedLook:
    """A look and when it was appended to the results topic (ms UTC)."""

    look: Look
    append_time: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker said of itself, and when (ms UTC)."""

    health: WorkerHealth
    append_time: int
    value: bytes


@dataclass(slots=True)
class _Pending:
    """What `flush` has to write."""

    looks: list[PublishedLook] = field(default_factory=list)
    catalog: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    letters: list[dict[str, Any]] = field(default_factory=list)
    beats: dict[tuple[str, str], Beat] = field(default_factory=dict)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    ignored: int = 0


def offsets_of(directory: Path) -> dict[tuple[str, int], int]:
    """The next offsets to read of a store that no process owns now, by topic and partition; none where one does."""
    try:
        return stored_offsets(directory)
    except (OwnerError, duckdb.Error):
        return {}


class Store:
    """The state behind the snapshot. Closed by `close`, or by leaving its `with` block.

    `looks` (newest per run), `catalog`, `beats` (newest per worker) and `ignored_looks` are as of the last flush.
    `restored` says what became of a store that was damaged; None where none was.

    Raises OwnerError where another process has it, DamageError where it is not as it was left
    (`pipeline.storage.restoring` makes it anew), and StoreError where it cannot be opened for another reason.
    """

    def __init__(self, directory: Path | str, aside: SetAside | None = None) -> None:
        self._aside = aside or SetAside()
        self.directory = Path(directory).absolute()
        self._lock = own(self.directory)
        try:
            self.connection = self._connect()
        except BaseException:
            self._lock.close()
            raise
        self._pending = _Pending()
        self._adding = threading.Lock()
        self.looks: dict[Run, PublishedLook] = {}
        self.catalog = History()
        self.documents: list[tuple[int, int, bytes | None]] = []
        self.beats: dict[tuple[str, str], Beat] = {}
        self.ignored_looks = 0
        self.restored: str | None = None
        self.archived: dict[int, range] = {}
        try:
            with self._sound():
                self._create()
                self._check()
                self._load()
        except BaseException:
            self.close()
            raise
        self._next = self.offsets()
        self._last = {run: published.look.look for run, published in self.looks.items()}

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process own the store. What was not flushed is dropped."""
        self.connection.close()
        self._lock.close()

    def offsets(self) -> dict[tuple[str, int], int]:
        """By topic (without prefix) and partition: the next offset to read."""
        return _offsets(self.connection)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Around what works with the store: DuckDB's errors become sentences. Raises StoreError, DiskFullError."""
        with durable.room_for(self.directory):
            try:
                yield
            except duckdb.Error as error:
                raise StoreError(
                    f"the store in {self.directory} fails ({first_line(error)}); when its worker starts again, it "
                    "reads all of it, and makes it anew where it is damaged"
                ) from error

    def add_looks(self, records: Iterable[Record]) -> None:
        """Records of `results`. One that is not newer than the last look of its run is ignored and counted.

        Of a store that was made anew, those that it has from the archive come a second time, behind older ones.
        """
        with self._adding:
            for partition, offset, append_time, value in records:
                if not self._is_new(topics.RESULTS, partition, offset):
                    continue
                archived = self.archived.get(partition, range(0))
                if offset in archived:
                    continue
                with self._aside.unless_ours(topics.RESULTS, partition, offset):
                    look = decode(value, Look)
                    run = (look.experiment, look.run)
                    if look.look <= self._last.get(run, 0):
                        self._pending.ignored += offset >= archived.stop
                    else:
                        self._last[run] = look.look
                        self._pending.looks.append(PublishedLook(look, append_time, value or b""))

    def add_catalog(self, records: Iterable[Record]) -> None:
        """Records of `catalog`."""
        with self._adding:
            for partition, offset, append_time, value in records:
                if self._is_new(topics.CATALOG, partition, offset):
                    self._pending.catalog.append((offset, append_time, value))

    def add_dead_letters(self, records: Iterable[LetterRecord]) -> None:
        """Records of `dead-letters`; one letter per origin is kept."""
        with self._adding:
            for partition, offset, append_time, headers, value in records:
                if self._is_new(topics.DEAD_LETTERS, partition, offset):
                    try:
                        letter = from_record(headers, value)
                    except NoMessageError as error:  # a letter about itself
                        self._aside.add(topics.DEAD_LETTERS, partition, offset, str(error))
                        row = _letter_row(topics.DEAD_LETTERS, partition, offset, None, append_time, value)
                        row |= {"reason": "foreign record", "detail": str(error)}
                    else:
                        row = _letter_row(
                            letter.topic,
                            letter.partition,
                            letter.offset,
                            letter.index,
                            letter.append_time,
                            letter.value,
                        )
                        row |= {"reason": letter.reason, "detail": letter.detail}
                    self._pending.letters.append(row | {"rejected": append_time})

    def add_health(self, records: Iterable[Record]) -> None:
        """Records of `health`; the newest of each worker is kept."""
        with self._adding:
            for partition, offset, append_time, value in records:
                if self._is_new(topics.HEALTH, partition, offset):
                    with self._aside.unless_ours(topics.HEALTH, partition, offset):
                        health = decode(value, WorkerHealth)
                        self._pending.beats[health.stage, health.worker] = Beat(health, append_time, value or b"")

    def flush(self) -> None:
        """Write everything that was added, with its offsets, in one transaction."""
        with self._adding:
            pending, self._pending = self._pending, _Pending()
        if not pending.offsets:
            return
        newest = max((beat.append_time for beat in pending.beats.values()), default=0)
        silent = [key for key, beat in self.beats.items() if beat.append_time < newest - SILENT_MS]
        self.connection.execute("BEGIN")
        try:
            self._write_looks(pending)
            self._write_catalog(pending)
            self._write_letters(pending)
            self._write_beats(pending, silent)
            offsets = [(*place, next_offset) for place, next_offset in pending.offsets.items()]
            self._replace("kafka_offsets", ("topic", "partition"), _rows(OFFSETS, offsets))
            self.connection.execute("UPDATE ignored SET looks = looks + ?", [pending.ignored])
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # of an error before, which tells more
                self.connection.execute("ROLLBACK")
            raise
        for published in pending.looks:
            self.looks[published.look.experiment, published.look.run] = published
        for document in pending.catalog:
            self._take_document(*document)
        for key in silent:
            del self.beats[key]
        self.beats |= pending.beats
        self.ignored_looks += pending.ignored
        self._move_history()

    def read_again(self, topic: str, partition: int, archived: range) -> None:
        """Have a partition of looks read from its start: those at the offsets `archived` are here, but none before."""
        self.connection.execute("DELETE FROM kafka_offsets WHERE topic = ? AND partition = ?", [topic, partition])
        self.connection.execute("INSERT INTO archived VALUES (?, ?, ?)", [partition, archived.start, archived.stop])
        del self._next[topic, partition]
        self.archived[partition] = archived

    def history_files(self) -> list[Path]:
        """The Parquet files that hold the history before table `results_recent`, oldest first, behind an empty one."""
        rows = self.connection.execute("SELECT name FROM history_files ORDER BY number").fetchall()
        return [self.directory / "history" / name for name in (EMPTY, *(name for (name,) in rows))]

    def _is_new(self, topic: str, partition: int, offset: int) -> bool:
        if offset < self._next.get((topic, partition), 0):
            return False
        self._next[topic, partition] = self._pending.offsets[topic, partition] = offset + 1
        return True

    def _connect(self) -> duckdb.DuckDBPyConnection:
        file = self.directory / "private.duckdb"
        is_new = not file.exists()
        if is_new and (left := next((path for path in parts(self.directory) if path.exists()), None)):
            raise DamageError(f"{file} is gone, while {left} is there")
        with self._sound():
            try:
                connection = duckdb.connect(str(file), config={"threads": 1, "memory_limit": "512MB"})
            except BaseException:
                if is_new:  # nothing but what this very try began
                    for path in parts(self.directory):
                        path.unlink(missing_ok=True)
                raise
            file.chmod(0o600)  # whoever else opens it, if only to read, keeps us out
            return connection

    @contextmanager
    def _sound(self) -> Iterator[None]:
        """Around what opens the store: tells damage from what else may be the matter."""
        with durable.room_for(self.directory):
            try:
                yield
            except (duckdb.Error, NoMessageError) as error:
                if durable.is_full(error):
                    raise
                what = f"the store in {self.directory}"
                if isinstance(error, duckdb.OutOfMemoryException) or _NO_DAMAGE.search(str(error)):
                    raise StoreError(
                        f"{what} cannot be opened ({first_line(error)}): mend that; or move the directory away, and it "
                        "is made anew from the archive and the topics"
                    ) from error
                raise DamageError(f"{what} is damaged ({first_line(error)})") from error

    def _check(self) -> None:
        """Read all of it, for DuckDB meets damage only where it reads. Of the history's files read what they say."""
        run = self.connection.execute
        for (table,) in run("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall():
            run(f"SELECT max(hash(everything)) FROM {table} AS everything").fetchall()
        for why, is_done in run("SELECT told, is_done FROM restored").fetchall():
            if not is_done:
                raise UnfinishedError(why)
        for name, rows in run("SELECT name, rows FROM history_files").fetchall():
            path = self.directory / "history" / name
            try:
                found = pq.read_metadata(path).num_rows
            except (OSError, pa.ArrowException) as error:
                raise DamageError(f"{path} is gone or damaged ({first_line(error)})") from error
            if found != rows:
                raise DamageError(f"{path} is damaged (it has {found:,} rows, not {rows:,})")

    def _create(self) -> None:
        run = self.connection.execute
        for table in (RESULTS, RESULTS_RECENT, DEAD_LETTERS, DEAD_LETTER_TOTALS):
            run(f"CREATE TABLE IF NOT EXISTS {table.name} ({table.ddl})")
            for column in table.columns:
                run(f'ALTER TABLE {table.name} ADD COLUMN IF NOT EXISTS "{column.name}" {column.type}')
        run("CREATE TABLE IF NOT EXISTS looks (experiment VARCHAR, run VARCHAR, append_time BIGINT, value BLOB)")
        run('CREATE TABLE IF NOT EXISTS documents ("offset" BIGINT, append_time BIGINT, value BLOB)')
        run("CREATE TABLE IF NOT EXISTS health (stage VARCHAR, worker VARCHAR, append_time BIGINT, value BLOB)")
        run("CREATE TABLE IF NOT EXISTS kafka_offsets (topic VARCHAR, partition INTEGER, next_offset BIGINT)")
        run("CREATE TABLE IF NOT EXISTS history_files (number BIGINT, name VARCHAR, rows BIGINT)")
        run("CREATE TABLE IF NOT EXISTS ignored AS SELECT 0::BIGINT AS looks")
        run("CREATE TABLE IF NOT EXISTS restored (told VARCHAR, is_done BOOLEAN)")
        run('CREATE TABLE IF NOT EXISTS archived (partition INTEGER, "begin" BIGINT, "end" BIGINT)')
        self._write_history(f"SELECT {EXACT} FROM results_recent LIMIT 0", EMPTY)

    def _load(self) -> None:
        run = self.connection.execute
        for append_time, value in run("SELECT append_time, value FROM looks").fetchall():
            look = decode(value, Look)
            self.looks[look.experiment, look.run] = PublishedLook(look, append_time, value)
        for row in run('SELECT "offset", append_time, value FROM documents ORDER BY 1').fetchall():
            self._take_document(*row)
        for append_time, value in run("SELECT append_time, value FROM health").fetchall():
            health = decode(value, WorkerHealth)
            self.beats[health.stage, health.worker] = Beat(health, append_time, value)
        ((self.ignored_looks,),) = run("SELECT looks FROM ignored").fetchall()
        self.restored = next((told for (told,) in run("SELECT told FROM restored").fetchall()), None)
        self.archived = {number: range(*ends) for number, *ends in run("FROM archived").fetchall()}

    def _take_document(self, offset: int, append_time: int, value: bytes | None) -> None:
        self.catalog.append(offset, append_time, value)
        self.documents.append((offset, append_time, value))

    def _write_looks(self, pending: _Pending) -> None:
        if not pending.looks:
            return
        rows = [row for published in pending.looks for row in _result_rows(published)]
        newest = {tuple(row[name] for name in CELL_KEY): row for row in rows}
        self._insert(RESULTS_RECENT.name, RESULTS_RECENT.arrow(rows))
        self._replace(RESULTS.name, CELL_KEY, RESULTS.arrow(newest.values()))
        runs = {(published.look.experiment, published.look.run): published for published in pending.looks}
        looks = [(*run, published.append_time, published.value) for run, published in runs.items()]
        self._replace("looks", ("experiment", "run"), _rows(LOOKS, looks))

    def _write_catalog(self, pending: _Pending) -> None:
        if pending.catalog:
            self._insert("documents", _rows(DOCUMENTS, pending.catalog))

    def _write_letters(self, pending: _Pending) -> None:
        if not pending.letters:
            return
        run = self.connection.execute
        origin = '"topic", "partition", "offset", "index"'
        self.connection.register("arriving", DEAD_LETTERS.arrow(pending.letters))
        run(
            f"CREATE TEMP TABLE new_letters AS SELECT DISTINCT ON ({origin}) * FROM arriving a "
            "WHERE NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.topic = a.topic AND d.partition = a.partition "
            'AND d."offset" = a."offset" AND d."index" IS NOT DISTINCT FROM a."index") ORDER BY rejected'
        )
        run("INSERT INTO dead_letters BY NAME FROM new_letters")
        run(
            "CREATE TEMP TABLE totals AS SELECT reason, sum(letters)::BIGINT AS letters, max(newest) AS newest FROM "
            "(SELECT reason, letters, newest FROM dead_letter_totals UNION ALL BY NAME "
            "SELECT reason, 1 AS letters, rejected AS newest FROM new_letters) GROUP BY reason"
        )
        run("DELETE FROM dead_letter_totals")
        run("INSERT INTO dead_letter_totals BY NAME FROM totals")
        ((letters,),) = run("SELECT count(*) FROM dead_letters").fetchall()
        if letters > LETTERS_KEPT:
            oldest = f"SELECT rowid FROM dead_letters ORDER BY rowid LIMIT {letters - LETTERS_KEPT}"
            run(f"DELETE FROM dead_letters WHERE rowid IN ({oldest})")
        run("DROP TABLE new_letters")
        run("DROP TABLE totals")
        self.connection.unregister("arriving")

    def _write_beats(self, pending: _Pending, silent: list[tuple[str, str]]) -> None:
        for key in silent:
            self.connection.execute("DELETE FROM health WHERE stage = ? AND worker = ?", list(key))
        if pending.beats:
            beats = [(*key, beat.append_time, beat.value) for key, beat in pending.beats.items()]
            self._replace("health", ("stage", "worker"), _rows(BEATS, beats))

    def _insert(self, table: str, rows: pa.Table) -> None:
        self.connection.register("arriving", rows)
        self.connection.execute(f"INSERT INTO {table} BY NAME FROM arriving")
        self.connection.unregister("arriving")

    def _replace(self, table: str, key: Iterable[str], rows: pa.Table) -> None:
        self.connection.register("arriving", rows)
        same = " AND ".join(f'{table}."{name}" = arriving."{name}"' for name in key)
        self.connection.execute(f"DELETE FROM {table} USING arriving WHERE {same}")
        self.connection.execute(f"INSERT INTO {table} BY NAME FROM arriving")
        self.connection.unregister("arriving")

    def _move_history(self) -> None:
        """Move a full `results_recent` into a Parquet file, joined with the newest ones that are no larger.

        So files double: they stay few, and a row is written again a logarithmic number of times.
        """
        run = self.connection.execute
        ((rows,),) = run("SELECT count(*) FROM results_recent").fetchall()
        if rows < RECENT_ROWS:
            return
        directory = self.directory / "history"
        files = run("SELECT number, name, rows FROM history_files ORDER BY number DESC").fetchall()
        place = files[0][0] + 1 if files else 1
        source = f"SELECT {EXACT} FROM results_recent"
        joined = []
        for number, name, size in files:
            if size > rows or size + rows > FILE_ROWS:
                break
            place, rows = number, rows + size
            joined.append(directory / name)
        if joined:
            names = ", ".join(literal(path) for path in reversed(joined))
            source = f"FROM read_parquet([{names}], union_by_name = true) UNION ALL BY NAME {source}"
        name = f"{uuid.uuid4().hex}.parquet"
        self._write_history(source, name)
        run("BEGIN")
        run("DELETE FROM history_files WHERE number >= ?", [place])
        run("INSERT INTO history_files VALUES (?, ?, ?)", [place, name, rows])
        run("DELETE FROM results_recent")
        run("COMMIT")
        for path in joined:
            path.touch()  # replaced now
        listed = {path.name for path in self.history_files()}
        for path in directory.iterdir():
            if path.name not in listed and time.time() - path.stat().st_mtime > REPLACED_KEPT:
                path.unlink()

    def _write_history(self, source: str, name: str) -> None:
        path = self.directory / "history" / name
        path.parent.mkdir(exist_ok=True)
        with durable.writing(path) as temporary:
            self.connection.execute(f"COPY ({source}) TO {literal(temporary)} (FORMAT parquet, COMPRESSION zstd)")


def parts(directory: Path) -> list[Path]:
    """The files that a store in this directory consists of."""
    history = [path for path in (directory / "history").glob("*.parquet") if path.name != EMPTY]
    return [directory / "private.duckdb", directory / "private.duckdb.wal", *history]


def first_line(error: BaseException) -> str:
    """What a library says went wrong, without what it adds below."""
    return str(error).strip().partition("\n")[0]


def stored_offsets(directory: Path) -> dict[tuple[str, int], int]:
    """What `offsets` of the store in that directory would say, without owning it.

    Raises OwnerError while somebody does, duckdb's errors for a file that it cannot read.
    """
    if not (directory / FILE).exists():
        return {}
    with own(directory), duckdb.connect(str(directory / FILE), read_only=True) as connection:
        return _offsets(connection)


def _offsets(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, int], int]:
    rows = connection.execute("SELECT topic, partition, next_offset FROM kafka_offsets").fetchall()
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}


def literal(path: Path) -> str:
    """The path as a string of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


# The history's columns as they stand in Parquet, where DuckDB would write a HUGEINT as a float.
EXACT = ", ".join(
    f'"{name}"::DECIMAL(38, 0) AS "{name}"' if kind == "HUGEINT" else f'"{name}"'
    for name, kind, _ in RESULTS_RECENT.columns
)
LOOKS = pa.schema(
    [("experiment", pa.string()), ("run", pa.string()), ("append_time", pa.int64()), ("value", pa.binary())]
)
DOCUMENTS = pa.schema([("offset", pa.int64()), ("append_time", pa.int64()), ("value", pa.binary())])
BEATS = pa.schema(
    [("stage", pa.string()), ("worker", pa.string()), ("append_time", pa.int64()), ("value", pa.binary())]
)
OFFSETS = pa.schema([("topic", pa.string()), ("partition", pa.int32()), ("next_offset", pa.int64())])


def _rows(schema: pa.Schema, rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)


def _result_rows(published: PublishedLook) -> list[dict[str, Any]]:
    look = published.look
    common = {
        "experiment": look.experiment,
        "run": look.run,
        "look": look.look,
        "revision": look.revision,
        "time": look.time,
        "published": published.append_time,
        "final": look.final,
        "verdict": look.verdict.decision,
        "verdict_reason": look.verdict.reason,
        "catalog_version": look.catalog_version,
    }
    exact = ("sum", "sum_squares", "denominator_sum")

    def row(cell: Cell) -> dict[str, Any]:
        told = cell.told()
        values: dict[str, Any] = {name: getattr(told, name) for name in CELL.values()}
        values |= {name: None for name, value in values.items() if value is UNSET}
        sums = [name for each in exact for name in (each, f"control_{each}") if values[name] is not None]
        return common | values | {name: _held(int(values[name])) for name in sums}

    return [row(cell) for cell in look.cells]


def _held(number: int) -> int | None:
    """The number, where a column holds it."""
    return number if abs(number) < 10**38 else None


def _letter_row(  # noqa: PLR0917
    topic: str, partition: int, offset: int, index: int | None, append_time: int, value: bytes | None
) -> dict[str, Any]:
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "index": index,
        "appended": append_time,
        "value": None if value is None else value[:VALUE_KEPT].decode("utf-8", "backslashreplace"),
        "bytes": None if value is None else len(value),
    }
