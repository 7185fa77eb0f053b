"""Store: the private DuckDB file of the storage stage. Rows and the Kafka offsets that they reach are one transaction.

One process owns it, and one connection; analysts read the snapshots that `pipeline.storage.snapshot` publishes from
it. Records are buffered by `add_*` and written by `flush`, which may run in a thread of its own. A crash loses what was
not yet flushed: `offsets` says from where to read again, and a record below them is skipped.

    DIRECTORY/private.duckdb      and its .wal
    DIRECTORY/history/*.parquet   rows of `results_history` that are older than those of table `results_recent`
"""

from contextlib import AbstractContextManager
from pathlib import Path

import duckdb

from evaluation.catalog.history import History
from pipeline.kafka.set_aside import SetAside
from pipeline.owner import OwnerError, own
from pipeline.storage import rows
from pipeline.storage.arriving import Arriving, Beat, DocumentRecord, PublishedLook
from pipeline.storage.history import HistoryFiles
from pipeline.storage.soundness import FILE, check, connect, sound, told
from schemas.decoding import decode
from schemas.health import WorkerHealth
from schemas.look import Look, RunKey

SILENT_MS = 3_600_000  # after which a worker is forgotten


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
        self.directory = Path(directory).absolute()
        self._lock = own(self.directory)
        try:
            self.connection = connect(self.directory)
        except BaseException:
            self._lock.close()
            raise
        self._history = HistoryFiles(self.connection, self.directory)
        self.history_files = self._history.paths
        self.looks: dict[RunKey, PublishedLook] = {}
        self.catalog = History()
        self.documents: list[DocumentRecord] = []
        self.beats: dict[tuple[str, str], Beat] = {}
        self.ignored_looks = 0
        self.restored: str | None = None
        try:
            with sound(self.directory):
                rows.create(self.connection)
                self._history.begin()
                check(self.connection, self.directory)
                archived = self._load()
        except BaseException:
            self.close()
            raise
        numbers = {run: published.look.look for run, published in self.looks.items()}
        self._arriving = Arriving(self.offsets(), numbers, archived, aside or SetAside())
        # Records are added by these, in whatever thread.
        self.add_looks = self._arriving.add_looks
        self.add_catalog = self._arriving.add_catalog
        self.add_dead_letters = self._arriving.add_dead_letters
        self.add_health = self._arriving.add_health
        self.add_notifications = self._arriving.add_notifications
        self.add_deliveries = self._arriving.add_deliveries

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

    @property
    def has_news(self) -> bool:
        """Whether more was added since the last `flush` than how the workers are that there were."""
        return self._arriving.has_news(self.beats)

    def told(self) -> AbstractContextManager[None]:
        """Around what works with the store: DuckDB's errors become sentences. Raises StoreError, DiskFullError."""
        return told(self.directory)

    def flush(self) -> None:
        """Write everything that was added, with its offsets, in one transaction."""
        pending = self._arriving.take()
        if not pending.offsets:
            return
        newest = max((beat.append_time for beat in pending.beats.values()), default=0)
        silent = [key for key, beat in self.beats.items() if beat.append_time < newest - SILENT_MS]
        rows.write(self.connection, pending, silent)
        for published in pending.looks:
            self.looks[published.look.experiment, published.look.run] = published
        for document in pending.catalog:
            self._take_document(*document)
        for key in silent:
            del self.beats[key]
        self.beats |= pending.beats
        self.ignored_looks += pending.ignored
        self._history.move()

    def read_again(self, topic: str, partition: int, archived: range) -> None:
        """Have a partition of looks read from its start: those at the offsets `archived` are here, but none before."""
        self.connection.execute("DELETE FROM kafka_offsets WHERE topic = ? AND partition = ?", [topic, partition])
        self.connection.execute("INSERT INTO archived VALUES (?, ?, ?)", [partition, archived.start, archived.stop])
        self._arriving.read_again(topic, partition, archived)

    def _load(self) -> dict[int, range]:
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
        return {number: range(*ends) for number, *ends in run("FROM archived").fetchall()}

    def _take_document(self, offset: int, append_time: int, value: bytes | None) -> None:
        self.catalog.append(offset, append_time, value)
        self.documents.append((offset, append_time, value))


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
