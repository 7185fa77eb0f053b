"""Snapshot: the read-only DuckDB file that analysts open, published whole by renaming it over the one before.

A reader sees one snapshot for as long as it holds it open, never blocks the store, and never finds half a file. Small
tables are copied; events, exposures and the older history are views over immutable Parquet files, named one by one,
which stay for ten minutes after they were replaced. Nobody may write the file, because a session that opens it for
writing would lock out the others.

The Parquet files lie below the snapshot's directory. DuckDB looks for relative names in the working directory of the
session, not beside the database, so the views ask for it (`_place`): the variable `peekproof_data` where a session has
set it; else the directory of the file that the session opened, where that has the snapshot's name (DuckDB's setting
temp_directory tells: it is the opened file's name with `.tmp` behind it); else the directory that we wrote it in.

The file is written in the storage format of DuckDB 1.0, and its views want no more than 1.1 has, but for `TRY`, which
is of 1.3, and without which one record that is no UTF-8 would fail a whole query. Where an older client meets it, the
session ends with an internal error; so `events` and `exposures` refuse it before that, in a sentence (`NEWER`).
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import msgspec

from evaluation.catalog.in_force import Catalog, FlagInForce
from evaluation.catalog.overview import planned_dates
from pipeline import durable
from pipeline.settings import Settings
from pipeline.storage import archive, archived, tables
from pipeline.storage.arriving import Beat, PublishedLook
from pipeline.storage.history import literal
from pipeline.storage.soundness import EMPTY
from pipeline.storage.store import Store
from pipeline.storage.tables import Table
from schemas.catalog import Document
from schemas.dead_letter import APPEND_TIME
from schemas.decoding import NoMessageError, decode
from schemas.look import Look, RunKey
from schemas.numbers import LATEST
from schemas.topics import EVENTS, EXPOSURES

_DEFAULTS = Settings()


def publish(
    store: Store,
    path: Path,
    archive_directory: Path,
    archive_keep: int | None = None,
    *,
    horizon: int = _DEFAULTS.horizon,
    tolerance: int = _DEFAULTS.tolerance,
) -> None:
    """Publish what the store has flushed, and the archive's closed files, but those older than so many ms, as `path`.

    `horizon` and `tolerance` (ms) are those by which a record is late, or too far in the future.
    Replaces the file that is there. Call it in the thread that calls `flush`, or while that one waits.
    """
    path, archive_directory = path.absolute(), archive_directory.absolute()
    catalog, looks = store.catalog.newest, store.looks
    computed = {
        tables.EXPERIMENTS: experiment_rows(catalog, looks),
        tables.VARIANTS: variant_rows(catalog, looks),
        tables.METRICS: metric_rows(catalog),
        tables.CATALOG: catalog_rows(store),
        tables.PIPELINE_HEALTH: health_rows(store.beats.values()),
        tables.ABOUT: about_rows(store, path.name),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")  # ours alone: a store has one owner
    _remove(temporary)  # of one who was killed
    try:
        with durable.room_for(path):
            temporary.write_bytes(_template(path, archive_directory, store.directory))
            macros = _macros(path, _closed(archive_directory, archive_keep), store.history_files())
            macros += _limits(horizon, tolerance)
            _fill(temporary, store, computed, macros)
            temporary.chmod(temporary.stat().st_mode & 0o444)
            _log_of(path).unlink(missing_ok=True)  # of a session that wrote: it does not fit this file
            os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def _fill(file: Path, store: Store, computed: dict[Table, list[dict[str, Any]]], macros: list[str]) -> None:
    """Put the store's tables, the computed ones and the macros into a snapshot that is empty."""
    run = store.connection.execute
    run(f"ATTACH {literal(file)} AS snapshot ({STORAGE})")
    try:
        run("BEGIN")
        for table in COPIED:
            run(f"INSERT INTO snapshot.{table.name} SELECT {_columns(table)} FROM {table.name}")
        for table, rows in computed.items():
            if rows:
                store.connection.register("arriving", table.arrow(rows))
                run(f"INSERT INTO snapshot.{table.name} BY NAME FROM arriving")
                store.connection.unregister("arriving")
        for macro in macros:
            run(f"CREATE OR REPLACE MACRO snapshot.{macro}")
        run("COMMIT")
        run("CHECKPOINT snapshot")  # DETACH does it too, but says nothing where it fails
        run("DETACH snapshot")
    except BaseException:
        for undo in ("ROLLBACK", "DETACH snapshot"):
            with suppress(duckdb.Error):  # of an error before, which tells more
                run(undo)
        raise


def _remove(file: Path) -> None:
    for path in (file, _log_of(file)):
        path.unlink(missing_ok=True)


def _log_of(path: Path) -> Path:
    """Where DuckDB writes ahead what belongs into the file."""
    return path.with_name(f"{path.name}.wal")


def experiment_rows(catalog: Catalog, looks: dict[RunKey, PublishedLook]) -> list[dict[str, Any]]:
    """The rows of `experiments`."""
    return [_experiment(key, flag, _newest(flag, key, looks)) for key, flag in sorted(catalog.flags.items())]


def variant_rows(catalog: Catalog, looks: dict[RunKey, PublishedLook]) -> list[dict[str, Any]]:
    """The rows of `variants`."""
    rows = []
    for key, flag in sorted(catalog.flags.items()):
        published = _newest(flag, key, looks)
        arms = {arm.variant: arm for arm in published.look.health.arms} if published else {}
        total = sum(arm.units for arm in arms.values())
        verdicts = _of_arms(published.look, flag) if published else {}
        for variant in flag.definition.variants:
            arm = arms.get(variant.key)
            rows.append(
                {
                    "experiment": key,
                    "run": flag.runs[-1].key if flag.runs else None,
                    "variant": variant.key,
                    "name": variant.name,
                    "description": variant.description,
                    "is_control": variant.key == flag.control,
                    "weight": variant.weight,
                    "units": arm.units if arm else None,
                    "share": arm.units / total if arm and total else None,
                    "expected_share": arm.expected_share if arm else None,
                    **verdicts.get(variant.key, {}),
                }
            )
    return rows


def _of_arms(look: Look, flag: FlagInForce) -> dict[str, dict[str, str]]:
    """What the verdict says of each treatment."""
    if not isinstance(look.verdict.arms, msgspec.UnsetType):
        return {arm.variant: {"verdict": arm.decision, "verdict_reason": arm.reason} for arm in look.verdict.arms}
    decision = {"ship": "ship", "roll back": "drop", "keep running": "keep running", "none": "none"}.get(
        look.verdict.decision
    )
    treatments = {variant.key for variant in flag.definition.variants} - {flag.control}
    if decision is None or len(treatments) != 1:
        return {}
    return {variant: {"verdict": decision, "verdict_reason": look.verdict.reason} for variant in treatments}


def metric_rows(catalog: Catalog) -> list[dict[str, Any]]:
    """The rows of `metrics`."""
    readers: dict[str, list[str]] = {}
    for key, flag in sorted(catalog.flags.items()):
        for goal in flag.definition.metrics:
            readers.setdefault(goal.metric, []).append(key)
    names = ("name", "description", "owner", "type", "event", "property")
    return [
        {name: getattr(metric.definition, name) for name in names}
        | {
            "key": key,
            "scale": metric.definition.decimals if metric.definition.keeps_decimals else None,
            "window_ms": metric.window,
            "version": metric.document_version,
            "changed": metric.append_time,
            "experiments": readers.get(key, []),
        }
        for key, metric in sorted(catalog.metrics.items())
    ]


def catalog_rows(store: Store) -> list[dict[str, Any]]:
    """The rows of `catalog`."""
    ignored = {rejected.offset: rejected.reason for rejected in store.catalog.rejected}
    return [
        {"offset": offset, "appended": append_time, "ignored": ignored.get(offset)} | _document(value)
        for offset, append_time, value in store.documents
    ]


def health_rows(beats: Iterable[Beat]) -> list[dict[str, Any]]:
    """The rows of `pipeline_health`."""
    rows = []
    for beat in beats:
        health = beat.health
        worker = {
            "stage": health.stage,
            "worker": health.worker,
            "time": beat.append_time,
            "started": health.started,
            "cpu_seconds": health.cpu_seconds,
            "peak_memory": health.peak_memory,
            "counts": list(health.counts.items()),
        }
        for partition in health.partitions:
            watermark = partition.watermark or None
            rows.append(
                worker
                | {name: getattr(partition, name) for name in ("topic", "partition", "position", "lag")}
                | {
                    "clock": watermark,
                    "freshness_seconds": (beat.append_time - watermark) / 1_000 if watermark else None,
                }
            )
        if not health.partitions:
            rows.append(worker)
    return rows


def about_rows(store: Store, name: str) -> list[dict[str, Any]]:
    """The row of `about`."""
    return [
        {
            "product": "Peekproof",
            "schema_version": tables.SCHEMA_VERSION,
            "published": time.time_ns() // 1_000_000,
            "ignored_looks": store.ignored_looks,
            "open_with": f"duckdb -readonly {name}; in Python duckdb.connect('{name}', read_only=True). {LEAST_CLIENT}",
            "refresh_with": f"open it again; where it is attached: DETACH peekproof; ATTACH '{name}' (READ_ONLY)",
            "move_with": MOVING,
            "restored": store.restored,
        }
    ]


def _newest(flag: FlagInForce, key: str, looks: dict[RunKey, PublishedLook]) -> PublishedLook | None:
    return looks.get((key, flag.runs[-1].key)) if flag.runs else None


def _experiment(key: str, flag: FlagInForce, published: PublishedLook | None) -> dict[str, Any]:
    definition, planned = flag.definition, planned_dates(flag.definition)
    row: dict[str, Any] = {
        "key": key,
        "status": flag.removed or flag.status,
        "metrics": [goal.metric for goal in definition.metrics],
        "tags": list(definition.tags),
        "control": flag.control,
        "planned_start": planned["start"][0],
        "planned_end": planned["end"][0],
        "rollout": flag.percentages[0],
        "version": flag.version,
        "changed": flag.append_time,
    }
    row |= {name: getattr(definition, name) for name in ("name", "description", "owner", "unit")}
    row |= {"method": definition.analysis.method, "planned_units": definition.analysis.planned_units}
    if definition.hypothesis:
        row |= msgspec.structs.asdict(definition.hypothesis)
    if flag.runs:
        run = flag.runs[-1]
        row |= {"run": run.key, "started": run.started, "completed": run.completed}
    if published:
        row |= _of_look(published.look) | {"published": published.append_time}
    return row


def _of_look(look: Look) -> dict[str, Any]:
    health = msgspec.to_builtins(look.health)
    arms = health.pop("arms")
    return health | {
        "look": look.look,
        "time": look.time or None,
        "final": look.final,
        "verdict": look.verdict.decision,
        "verdict_reason": look.verdict.reason,
        "verdict_prediction": look.verdict.prediction,
        "days_left": look.verdict.days_left,
        "days_if_predicted": look.verdict.days_if_predicted or None,
        "excluded": look.verdict.excluded or None,
        "data_faults": [fault.says for fault in look.health.data or ()] or None,
        "units": sum(arm["units"] for arm in arms),
    }


def _document(value: bytes | None) -> dict[str, Any]:
    try:
        document = decode(value, Document)
    except NoMessageError:
        return {}
    return {name: getattr(document, name) for name in ("kind", "key", "version", "author", "reason")}


@cache
def _template(path: Path, archive_directory: Path, store_directory: Path) -> bytes:
    """A snapshot without rows. (Its 250 comments take 0.1 s: more than all the rest of publishing.)

    The views read the archive through macros, so that another list of files leaves them and their comments alone.
    """
    history = store_directory / "history" / EMPTY
    with TemporaryDirectory() as directory, duckdb.connect() as connection:
        file = Path(directory) / "template.duckdb"
        run = connection.execute
        run(f"ATTACH {literal(file)} AS template ({STORAGE})")
        run("USE template")  # so that the views' names hold under any name that an analyst gives the file
        for table in (*COPIED, *COMPUTED):
            run(f"CREATE TABLE {table.name} ({table.ddl})")
        run("CREATE MACRO utf8(value) AS TRY(decode(value))")
        empty = {topic: [archive.write_empty(archive_directory)] for topic in SENT}
        for macro in (*_macros(path, empty, [history]), *_limits(0, 0)):
            run(f"CREATE MACRO {macro}")
        for table, query in VIEWS.items():
            run(f"CREATE VIEW {table.name} AS {query}")
        for table in (*COPIED, *COMPUTED, *VIEWS):
            run(f"COMMENT ON {'VIEW' if table in VIEWS else 'TABLE'} {table.name} IS {_text(table.comment)}")
            for column in table.columns:
                run(f'COMMENT ON COLUMN {table.name}."{column.name}" IS {_text(column.comment)}')
        run("USE memory")
        run("DETACH template")
        return file.read_bytes()


def _closed(directory: Path, keep: int | None) -> dict[str, list[Path]]:
    """By topic, the files that its view covers. The first has no rows and gives the columns, so that no other is opened
    before it is read."""
    files = {topic: [archive.write_empty(directory)] for topic in SENT}
    oldest = 0 if keep is None else time.time_ns() // 1_000_000 - keep
    for topic, paths in files.items():
        for partition in archived.partitions(directory, topic):
            found = archived.standing(directory, topic, partition)
            paths += [file.path for file in found if file.interval >= oldest]
    return files


def _macros(path: Path, archived: dict[str, list[Path]], history: list[Path]) -> list[str]:
    """Table macros over named files: `archived_events`, `archived_exposures` and `older_results`."""

    def located(files: Iterable[Path]) -> str:
        names = ", ".join(_text(os.path.relpath(file, path.parent)) for file in files)
        return f"[{_place(path)} || file FOR file IN [{names}]]"

    return [
        *(
            f"archived_{topic}() AS TABLE SELECT found.* FROM query({NEWER}), "
            f"read_parquet({located(files)}, filename = true) AS found"
            for topic, files in archived.items()
        ),
        f"older_results() AS TABLE FROM read_parquet({located(history)}, union_by_name = true)",
    ]


def _limits(horizon: int, tolerance: int) -> list[str]:
    """Macros: what is late, and what lies too far in the future (ms)."""
    return [f"late_after() AS {horizon}", f"ahead_by() AS {tolerance}"]


def _place(path: Path) -> str:
    """The SQL of the directory below which the archive and the history lie; it ends in a slash or is empty."""
    opened = "current_setting('temp_directory')"
    return rf"""coalesce(
        getvariable('peekproof_data')::VARCHAR || '/',
        CASE WHEN regexp_replace({opened}, '^.*[/\\]', '') = {_text(path.name + ".tmp")}
        THEN regexp_replace({opened}, '[^/\\]*$', '') END,
        {_text(f"{path.parent}/")}
    )"""


def _sent(topic: str, view: Table) -> str:
    """The query of the view of one topic: its records, and the events within them."""
    place = ("outcome", "appended", "kafka_partition", "kafka_offset", "record_index")
    fields = [column for column in view.columns if column.name not in place]
    structure = msgspec.json.encode(
        {column.name: "BIGINT" if column.name == "time" else column.type for column in fields}
    ).decode()
    shown = ", ".join(
        f'CASE WHEN said."time" BETWEEN {_FIRST_MS} AND {_LAST_MS} THEN epoch_ms(said."time") '
        'ELSE sent.appended END AS "time"'
        if column.name == "time"
        else f'said."{column.name}" AS "{column.name}"'
        for column in fields
    )
    return f"""
        SELECT {shown}, CASE
            WHEN letter.reason IS NOT NULL THEN 'dead letter: ' || letter.reason
            WHEN whole.reason IS NOT NULL THEN 'dead letter: ' || whole.reason
            WHEN said."time" NOT BETWEEN 0 AND {LATEST} THEN 'dead letter: time out of range'
            WHEN said."time" > judged + ahead_by() THEN 'dead letter: future'
            WHEN judged - said."time" > late_after() THEN 'late'
            WHEN sent.appended > (
                SELECT CASE WHEN count(*) < (SELECT sum(letters) FROM dead_letter_totals)
                THEN min(rejected) ELSE '-infinity' END FROM dead_letters
            ) THEN 'counted' END AS outcome,
            sent.appended, kafka_partition, kafka_offset, record_index
        FROM (
            SELECT *, from_json(
                CASE WHEN json_valid(line) AND starts_with(ltrim(line, {_SPACE}), '{{') THEN line END, '{structure}'
            ) AS said FROM (
                SELECT appended, judged, kafka_partition, kafka_offset,
                    unnest(lines) AS line, generate_subscripts(lines, 1)::BIGINT - 1 AS record_index
                FROM (
                    SELECT appended, judged, kafka_partition, kafka_offset,
                        CASE WHEN content_type = 'application/x-ndjson'
                        THEN [line FOR line IN string_split(text, chr(10)) IF line NOT IN ('', chr(13))]
                        ELSE [text] END AS lines
                    FROM (
                        SELECT epoch_ms(append_time) AS appended,
                            coalesce(TRY_CAST(utf8(
                                [header.value FOR header IN headers IF header.key = '{APPEND_TIME}'][1]
                            ) AS BIGINT), append_time) AS judged,
                            TRY_CAST(string_split(filename, '/')[-2] AS INTEGER) AS kafka_partition,
                            "offset" AS kafka_offset, utf8(value) AS text,
                            lower(trim(string_split(utf8(
                                [header.value FOR header IN headers IF lower(header.key) = 'content-type'][1]
                            ), ';')[1])) AS content_type
                        FROM archived_{topic}()
                    )
                )
            )
        ) AS sent
        LEFT JOIN ({_letters(topic)}) AS letter ON letter."partition" = kafka_partition
            AND letter."offset" = kafka_offset AND letter."index" = record_index
        LEFT JOIN ({_letters(topic)}) AS whole ON whole."partition" = kafka_partition
            AND whole."offset" = kafka_offset AND whole."index" IS NULL
        WHERE said IS NOT NULL"""


def _letters(topic: str) -> str:
    """Of each message of a topic that has dead letters, or whole record, why it had the first."""
    return f"""
        SELECT "partition", "offset", "index", arg_min(reason, rejected) AS reason
        FROM dead_letters WHERE topic = '{topic}' GROUP BY ALL
    """


def _columns(table: Table) -> str:
    """The table's columns, of those that the store keeps."""
    both = zip(table.stored.columns, table.columns, strict=True)
    return ", ".join(f'"{stored.name}"::{shown.type} AS "{shown.name}"' for stored, shown in both)


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


STORAGE = "STORAGE_VERSION 'v1.0.0'"
NEWER = r"""CASE WHEN regexp_matches(version(), '^v(0|1[.][0-2])[.]')
    THEN error('events and exposures want DuckDB 1.3 or later, and this is ' || version()) ELSE 'SELECT NULL' END"""
LEAST_CLIENT = "DuckDB 1.3 or later reads all of it, 1.1 and 1.2 all but the views events and exposures"
MOVING = (
    "With the directories archive and store/history beside it, it can be read from anywhere, also a copy. Where it has "
    "another name, or is attached in a session that opened another file, tell its views their directory: "
    "SET VARIABLE peekproof_data = '/directory'"
)
_FIRST_MS, _LAST_MS = -9_223_372_022_400_000, 9_223_372_036_854_775  # of a TIMESTAMP
_SPACE = "chr(9) || chr(10) || chr(13) || chr(32)"  # of JSON
_OLDER = _columns(tables.RESULTS_HISTORY)
SENT = (EVENTS, EXPOSURES)
COPIED = (
    tables.RESULTS,
    tables.RESULTS_RECENT,
    tables.DEAD_LETTERS,
    tables.DEAD_LETTER_TOTALS,
    tables.NOTIFICATIONS,
    tables.DELIVERIES,
)
COMPUTED = (
    tables.EXPERIMENTS,
    tables.VARIANTS,
    tables.METRICS,
    tables.CATALOG,
    tables.PIPELINE_HEALTH,
    tables.ABOUT,
)
VIEWS = {
    tables.RESULTS_HISTORY: f"SELECT {_OLDER} FROM older_results() UNION ALL BY NAME FROM results_recent",
    tables.EVENTS: _sent(EVENTS, tables.EVENTS),
    tables.EXPOSURES: _sent(EXPOSURES, tables.EXPOSURES),
}
