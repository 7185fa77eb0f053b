"""Rows: how what arrived is written into the private file, in one transaction with the offsets that it reaches."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa
from msgspec import UNSET

from pipeline.storage import tables
from pipeline.storage.arriving import Pending, PublishedLook
from pipeline.storage.tables import CELL, CELL_KEY, DEAD_LETTER_TOTALS, DEAD_LETTERS, DELIVERIES, NOTIFICATIONS
from schemas.look import Cell

RESULTS, RESULTS_RECENT = tables.RESULTS.stored, tables.RESULTS_RECENT.stored
SUMS = tuple(column.name for column in RESULTS.columns if column.type == "HUGEINT")
DEAD_LETTERS_KEPT = NOTIFICATIONS_KEPT = 10_000

LOOKS = pa.schema(
    [("experiment", pa.string()), ("run", pa.string()), ("append_time", pa.int64()), ("value", pa.binary())]
)
DOCUMENTS = pa.schema([("offset", pa.int64()), ("append_time", pa.int64()), ("value", pa.binary())])
BEATS = pa.schema(
    [("stage", pa.string()), ("worker", pa.string()), ("append_time", pa.int64()), ("value", pa.binary())]
)
OFFSETS = pa.schema([("topic", pa.string()), ("partition", pa.int32()), ("next_offset", pa.int64())])


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """The tables that are not there yet, and the columns that a former version did not have."""
    run = connection.execute
    for table in (RESULTS, RESULTS_RECENT, DEAD_LETTERS, DEAD_LETTER_TOTALS, NOTIFICATIONS, DELIVERIES):
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


def write(connection: duckdb.DuckDBPyConnection, pending: Pending, silent: list[tuple[str, str]]) -> None:
    """Write all of it, and forget the workers that are `silent`."""
    connection.execute("BEGIN")
    try:
        _write_looks(connection, pending)
        _write_catalog(connection, pending)
        _write_dead_letters(connection, pending)
        _write_beats(connection, pending, silent)
        _write_notifications(connection, pending)
        offsets = [(*place, next_offset) for place, next_offset in pending.offsets.items()]
        _replace(connection, "kafka_offsets", ("topic", "partition"), _rows(OFFSETS, offsets))
        connection.execute("UPDATE ignored SET looks = looks + ?", [pending.ignored])
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # of an error before, which tells more
            connection.execute("ROLLBACK")
        raise


def _write_looks(connection: duckdb.DuckDBPyConnection, pending: Pending) -> None:
    if not pending.looks:
        return
    rows = [row for published in pending.looks for row in _result_rows(published)]
    newest = {tuple(row[name] for name in CELL_KEY): row for row in rows}
    _insert(connection, RESULTS_RECENT.name, RESULTS_RECENT.arrow(rows))
    _replace(connection, RESULTS.name, CELL_KEY, RESULTS.arrow(newest.values()))
    runs = {(published.look.experiment, published.look.run): published for published in pending.looks}
    looks = [(*run, published.append_time, published.value) for run, published in runs.items()]
    _replace(connection, "looks", ("experiment", "run"), _rows(LOOKS, looks))


def _write_catalog(connection: duckdb.DuckDBPyConnection, pending: Pending) -> None:
    if pending.catalog:
        _insert(connection, "documents", _rows(DOCUMENTS, pending.catalog))


def _write_dead_letters(connection: duckdb.DuckDBPyConnection, pending: Pending) -> None:
    if not pending.dead_letters:
        return
    run = connection.execute
    itself = '"topic", "partition", "offset", "index", "source", "reason"'
    connection.register("arriving", DEAD_LETTERS.arrow(pending.dead_letters))
    run(
        f"CREATE TEMP TABLE new_letters AS SELECT DISTINCT ON ({itself}) * FROM arriving a "
        "WHERE NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.topic = a.topic AND d.partition = a.partition "
        'AND d."offset" = a."offset" AND d."index" IS NOT DISTINCT FROM a."index" '
        "AND d.source IS NOT DISTINCT FROM a.source AND d.reason = a.reason) ORDER BY rejected"
    )
    run("INSERT INTO dead_letters BY NAME FROM new_letters")
    run(
        "CREATE TEMP TABLE totals AS SELECT reason, sum(letters)::BIGINT AS letters, max(newest) AS newest FROM "
        "(SELECT reason, letters, newest FROM dead_letter_totals UNION ALL BY NAME "
        "SELECT reason, 1 AS letters, rejected AS newest FROM new_letters) GROUP BY reason"
    )
    run("DELETE FROM dead_letter_totals")
    run("INSERT INTO dead_letter_totals BY NAME FROM totals")
    _keep(connection, DEAD_LETTERS.name, DEAD_LETTERS_KEPT)
    run("DROP TABLE new_letters")
    run("DROP TABLE totals")
    connection.unregister("arriving")


def _write_beats(connection: duckdb.DuckDBPyConnection, pending: Pending, silent: list[tuple[str, str]]) -> None:
    for key in silent:
        connection.execute("DELETE FROM health WHERE stage = ? AND worker = ?", list(key))
    if pending.beats:
        beats = [(*key, beat.append_time, beat.value) for key, beat in pending.beats.items()]
        _replace(connection, "health", ("stage", "worker"), _rows(BEATS, beats))


def _write_notifications(connection: duckdb.DuckDBPyConnection, pending: Pending) -> None:
    if pending.notifications:
        connection.register("found", NOTIFICATIONS.arrow(pending.notifications.values()))
        told = "SELECT * FROM found WHERE id NOT IN (SELECT id FROM notifications) ORDER BY published"
        connection.execute(f"INSERT INTO notifications BY NAME {told}")
        connection.unregister("found")
    if pending.deliveries:
        _replace(connection, DELIVERIES.name, ("id", "place"), DELIVERIES.arrow(pending.deliveries.values()))
    for table in (NOTIFICATIONS, DELIVERIES):
        _keep(connection, table.name, NOTIFICATIONS_KEPT)


def _keep(connection: duckdb.DuckDBPyConnection, table: str, most: int) -> None:
    """The newest rows."""
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    if rows > most:
        oldest = f"SELECT rowid FROM {table} ORDER BY rowid LIMIT {rows - most}"
        connection.execute(f"DELETE FROM {table} WHERE rowid IN ({oldest})")


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    connection.register("arriving", rows)
    connection.execute(f"INSERT INTO {table} BY NAME FROM arriving")
    connection.unregister("arriving")


def _replace(connection: duckdb.DuckDBPyConnection, table: str, key: Iterable[str], rows: pa.Table) -> None:
    connection.register("arriving", rows)
    same = " AND ".join(f'{table}."{name}" = arriving."{name}"' for name in key)
    connection.execute(f"DELETE FROM {table} USING arriving WHERE {same}")
    connection.execute(f"INSERT INTO {table} BY NAME FROM arriving")
    connection.unregister("arriving")


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
        "time": look.time or None,
        "published": published.append_time,
        "final": look.final,
        "verdict": look.verdict.decision,
        "verdict_reason": look.verdict.reason,
        "catalog_version": look.catalog_version,
    }

    def row(cell: Cell) -> dict[str, Any]:
        told = cell.told()
        values: dict[str, Any] = {name: getattr(told, name) for name in CELL.values()}
        values |= {name: None for name, value in values.items() if value is UNSET}
        return common | values | {name: _held(int(values[name])) for name in SUMS if values[name] is not None}

    return [row(cell) for cell in look.cells]


def _held(number: int) -> int | None:
    """The number, where a column holds it."""
    return number if abs(number) < 10**38 else None
