"""History: the published results that are older than those in table `results_recent`, as Parquet files."""

import time
import uuid
from pathlib import Path

import duckdb

from pipeline import durable
from pipeline.storage import tables
from pipeline.storage.soundness import EMPTY

RECENT_ROWS = 2_000  # of the history, copied into every snapshot
FILE_ROWS = 500_000  # of the history in one Parquet file
REPLACED_KEPT = 600.0  # seconds, for sessions that hold an older snapshot

RESULTS_RECENT = tables.RESULTS_RECENT.stored
# The history's columns as they stand in Parquet, where DuckDB would write a HUGEINT as a float.
EXACT_COLUMNS = ", ".join(
    f'"{name}"::DECIMAL(38, 0) AS "{name}"' if kind == "HUGEINT" else f'"{name}"'
    for name, kind, _ in RESULTS_RECENT.columns
)


class HistoryFiles:
    """Those of one store: which there are stands in its table `history_files`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, directory: Path) -> None:
        self._connection = connection
        self._directory = directory / "history"

    def paths(self) -> list[Path]:
        """The oldest first, behind an empty one."""
        rows = self._connection.execute("SELECT name FROM history_files ORDER BY number").fetchall()
        return [self._directory / name for name in (EMPTY, *(name for (name,) in rows))]

    def begin(self) -> None:
        """Write the empty one, which has the columns."""
        self._write(f"SELECT {EXACT_COLUMNS} FROM {RESULTS_RECENT.name} LIMIT 0", EMPTY)

    def move(self) -> None:
        """Move a full `results_recent` into a Parquet file, joined with the newest ones that are no larger.

        So files double: they stay few, and a row is written again a logarithmic number of times.
        """
        run = self._connection.execute
        ((rows,),) = run("SELECT count(*) FROM results_recent").fetchall()
        if rows < RECENT_ROWS:
            return
        files = run("SELECT number, name, rows FROM history_files ORDER BY number DESC").fetchall()
        place = files[0][0] + 1 if files else 1
        source = f"SELECT {EXACT_COLUMNS} FROM results_recent"
        joined = []
        for number, name, size in files:
            if size > rows or size + rows > FILE_ROWS:
                break
            place, rows = number, rows + size
            joined.append(self._directory / name)
        if joined:
            names = ", ".join(literal(path) for path in reversed(joined))
            source = f"FROM read_parquet([{names}], union_by_name = true) UNION ALL BY NAME {source}"
        name = f"{uuid.uuid4().hex}.parquet"
        self._write(source, name)
        run("BEGIN")
        run("DELETE FROM history_files WHERE number >= ?", [place])
        run("INSERT INTO history_files VALUES (?, ?, ?)", [place, name, rows])
        run("DELETE FROM results_recent")
        run("COMMIT")
        for path in joined:
            path.touch()  # replaced now
        listed = {path.name for path in self.paths()}
        for path in self._directory.iterdir():
            if path.name not in listed and time.time() - path.stat().st_mtime > REPLACED_KEPT:
                path.unlink()

    def _write(self, source: str, name: str) -> None:
        path = self._directory / name
        path.parent.mkdir(exist_ok=True)
        with durable.writing(path) as temporary:
            self._connection.execute(f"COPY ({source}) TO {literal(temporary)} (FORMAT parquet, COMPRESSION zstd)")


def literal(path: Path) -> str:
    """The path as a string of SQL."""
    return "'" + str(path).replace("'", "''") + "'"
