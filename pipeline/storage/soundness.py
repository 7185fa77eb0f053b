"""Soundness: whether a store's files are as they were left, and which of DuckDB's errors say that they are not."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import durable
from pipeline.errors import PeekproofError
from schemas.decoding import NoMessageError

FILE = "private.duckdb"
EMPTY = "_schema.parquet"  # among those of the history: it has the columns

# What DuckDB says of a file that it cannot open, though nothing is wrong with what is in it.
_NO_DAMAGE = re.compile(r"Could not set lock|we can only read version|Permission denied|Read-only file|Too many open")


class StoreError(PeekproofError):
    """The store cannot be used now."""


class DamageError(StoreError):
    """The store is not as it was left. Its text says how, and is the first half of a sentence."""


class UnfinishedStoreError(DamageError):
    """The store was being made anew when its process ended. The text says why it was."""


def connect(directory: Path) -> duckdb.DuckDBPyConnection:
    """Open the file, or begin one where no part of a store is left."""
    file = directory / FILE
    is_new = not file.exists()
    if is_new and (left := next((path for path in parts(directory) if path.exists()), None)):
        raise DamageError(f"{file} is gone, while {left} is there")
    with sound(directory):
        try:
            connection = duckdb.connect(str(file), config={"threads": 1, "memory_limit": "512MB"})
        except BaseException:
            if is_new:  # nothing but what this very try began
                for path in parts(directory):
                    path.unlink(missing_ok=True)
            raise
        file.chmod(0o600)  # whoever else opens it, if only to read, keeps us out
        return connection


@contextmanager
def sound(directory: Path) -> Iterator[None]:
    """Around what opens the store: tells damage from what else may be the matter."""
    with durable.room_for(directory):
        try:
            yield
        except (duckdb.Error, NoMessageError) as error:
            if durable.is_full(error):
                raise
            what = f"the store in {directory}"
            if isinstance(error, duckdb.OutOfMemoryException) or _NO_DAMAGE.search(str(error)):
                raise StoreError(
                    f"{what} cannot be opened ({first_line(error)}): mend that; or move the directory away, and it "
                    "is made anew from the archive and the topics"
                ) from error
            raise DamageError(f"{what} is damaged ({first_line(error)})") from error


@contextmanager
def told(directory: Path) -> Iterator[None]:
    """Around what works with the store: DuckDB's errors become sentences. Raises StoreError, DiskFullError."""
    with durable.room_for(directory):
        try:
            yield
        except duckdb.Error as error:
            raise StoreError(
                f"the store in {directory} fails ({first_line(error)}); when its worker starts again, it "
                "reads all of it, and makes it anew where it is damaged"
            ) from error


def check(connection: duckdb.DuckDBPyConnection, directory: Path) -> None:
    """Read all of it, for DuckDB meets damage only where it reads. Of the history's files read what they say."""
    run = connection.execute
    for (table,) in run("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall():
        run(f"SELECT max(hash(everything)) FROM {table} AS everything").fetchall()
    for why, is_done in run("SELECT told, is_done FROM restored").fetchall():
        if not is_done:
            raise UnfinishedStoreError(why)
    for name, rows in run("SELECT name, rows FROM history_files").fetchall():
        path = directory / "history" / name
        try:
            found = pq.read_metadata(path).num_rows
        except (OSError, pa.ArrowException) as error:
            raise DamageError(f"{path} is gone or damaged ({first_line(error)})") from error
        if found != rows:
            raise DamageError(f"{path} is damaged (it has {found:,} rows, not {rows:,})")


def parts(directory: Path) -> list[Path]:
    """The files that a store in this directory consists of."""
    history = [path for path in (directory / "history").glob("*.parquet") if path.name != EMPTY]
    return [directory / FILE, directory / f"{FILE}.wal", *history]


def first_line(error: BaseException) -> str:
    """What a library says went wrong, without what it adds below."""
    return str(error).strip().partition("\n")[0]
