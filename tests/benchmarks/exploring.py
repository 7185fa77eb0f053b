"""Exploring: what a question to the archive costs, beside a query by hand in DuckDB that gives the same numbers.

Two days of events of 290 bytes, in files that are compacted as an installation's are: 45 % of them have the names that
the metrics read, and a quarter of the users are in the experiment, so one in nine is an event of the experiment. The
question is two metrics by country; another one is of a name that one event in twenty has, and one in eighty is of the
experiment. CPU seconds are of one process, on one thread each; peaks are those of processes of
their own, which need some 200 MB for themselves.
"""

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.exploring.question import ExploreQuestion
from pipeline.exploring.explore import explore
from pipeline.exploring.kernels import compile_kernels
from pipeline.storage.archive import Archive
from pipeline.storage.archived import chain, slices
from schemas.catalog import Flag, Variant
from schemas.duration import DAY_MS, HOUR_MS
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES

BLOCK = 200_000  # different events; they come again at other times
USERS, EXPOSED = 400_000, 100_000
START = 1_795_457_000_000  # ms UTC
HORIZON = HOUR_MS
NAMES = {"page_view": 0.40, "purchase": 0.05, "search": 0.2, "scroll": 0.2, "login": 0.05, "share": 0.1}
COUNTRIES = ("AT", "DE", "CH", "US", "FR")
QUESTION = ExploreQuestion(any_event=("page_view:count", "purchase:sum:price"), by=(("country",),))
RARE = ExploreQuestion(any_event=("login:count",), by=(("country",),))

BY_HAND = """
WITH members AS (
    SELECT m->>'user_id' AS unit, m->>'variant' AS variant, m->>'country' AS country, append_time AS entry
    FROM (SELECT decode(value)::JSON AS m, append_time FROM read_parquet($exposures))
), happened AS (
    SELECT m->>'event_type' AS name, m->>'user_id' AS unit, (m->>'$.event_properties.price')::DECIMAL(18, 6) AS price,
        append_time AS time
    FROM (
        SELECT decode(value)::JSON AS m, append_time FROM read_parquet($events)
        WHERE contains(decode(value), '"page_view"') OR contains(decode(value), '"purchase"')
    )
), numbers AS (
    SELECT unit, variant, country, count(*) FILTER (name = 'page_view' AND time >= entry) AS views,
        coalesce(sum(price) FILTER (name = 'purchase' AND time >= entry), 0) AS spent
    FROM members LEFT JOIN happened USING (unit) GROUP BY ALL
)
SELECT variant, country, count(*), sum(views)::BIGINT, (1000000 * sum(spent))::BIGINT FROM numbers GROUP BY ALL
"""


def measure(events: int) -> dict[str, dict[str, float]]:
    """CPU and wall seconds, and peak bytes: of reading alone, of the question, and of the query by hand."""
    directory = Path(tempfile.mkdtemp())
    try:
        _write(directory, events)
        measured = {}
        answers = {}
        for name, asked in (
            ("read alone", _read),
            ("explore", _explore),
            ("a rare name", partial(_explore, question=RARE)),
            ("DuckDB by hand", _by_hand),
        ):
            print(f"  {name} …", file=sys.stderr, flush=True)
            with ProcessPoolExecutor(1, get_context("forkserver")) as process:
                answers[name], measured[name] = process.submit(_figures, asked, directory).result()
        assert answers["explore"] == answers["DuckDB by hand"], "the numbers differ"
        size = sum(file.path.stat().st_size for file in chain(directory, EVENTS, 0))
        measured["archive"] = {"events": events, "bytes": size}
        return measured
    finally:
        shutil.rmtree(directory)


def show(measured: dict[str, dict[str, float]]) -> str:
    """A table of the figures, and what more events cost by them."""
    events, size = measured["archive"]["events"], measured["archive"]["bytes"]
    lines = [f"{events:,.0f} events, {size / events:.0f} bytes each in the archive"]
    lines.append(
        f"{'':16}{'CPU s':>9}{'wall s':>9}{'us CPU/event':>14}{'peak MB':>9}{'100 M events: CPU s':>21}{'1,000 M':>9}"
    )
    for name, its in measured.items():
        if name != "archive":
            each = its["cpu_seconds"] / events
            lines.append(
                f"{name:16}{its['cpu_seconds']:9.1f}{its['wall_seconds']:9.1f}{1e6 * each:14.2f}"
                f"{its['peak_bytes'] / 1e6:9,.0f}{1e8 * each:21,.0f}{1e9 * each:9,.0f}"
            )
    return "\n".join(lines)


def _figures(asked: Callable[[Path], Any], directory: Path) -> tuple[Any, dict[str, float]]:
    pa.set_cpu_count(1)
    compile_kernels()
    asked(directory / "small")  # loads kernels and libraries
    began = time.process_time(), time.monotonic()
    answer = asked(directory)
    return answer, {
        "cpu_seconds": time.process_time() - began[0],
        "wall_seconds": time.monotonic() - began[1],
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def _read(directory: Path) -> int:
    return sum(len(records) for records in slices(directory, EVENTS, 0))


def _explore(directory: Path, question: ExploreQuestion = QUESTION) -> dict[tuple[str, ...], tuple[int, ...]]:
    found = explore(directory, _history(), "button", None, question, HORIZON, HORIZON)
    told: dict[tuple[str, ...], list[int]] = {}
    for each in found.cells:
        if each.by:
            for variant, prefix in ((each.cell.variant, ""), (each.cell.control, "control_")):
                numbers = told.setdefault((variant, *each.slice), [getattr(each.cell, f"{prefix}n")])
                numbers.append(int(getattr(each.cell, f"{prefix}sum")))
    return {key: tuple(numbers) for key, numbers in told.items()}


def _by_hand(directory: Path) -> dict[tuple[str, ...], tuple[int, ...]]:
    files = {topic: [str(file.path) for file in chain(directory, topic, 0)] for topic in (EXPOSURES, EVENTS)}
    with duckdb.connect() as database:
        database.execute("SET threads = 1")
        rows = database.execute(BY_HAND, files).fetchall()
    return {row[:2]: row[2:] for row in rows}


def _history() -> History:
    variants = (Variant(key="control"), Variant(key="treatment"))
    draft = apply_definition(None, Flag(key="button", owner="shop", variants=variants), 1)
    history = History()
    history.suppose(draft, START - HOUR_MS)
    history.suppose(start(draft, 2, "salt"), START - HOUR_MS)
    return history


def _write(directory: Path, events: int) -> None:
    random = np.random.default_rng(1)
    block = _events(random)
    for place, number in ((directory / "small", BLOCK), (directory, events)):
        archive = Archive(place, DAY_MS // 24)
        exposures = [
            b'{"flag_key":"button","variant":"%s","user_id":"u%06d","country":"%s"}'
            % (b"treatment" if user % 2 else b"control", user, COUNTRIES[user % 5].encode())
            for user in range(EXPOSED)
        ]
        _append(archive, EXPOSURES, 0, exposures, START + np.arange(EXPOSED) * DAY_MS // EXPOSED)
        for begin in range(0, number, BLOCK):
            some = block[: min(BLOCK, number - begin)]
            times = START + (begin + np.arange(len(some))) * 2 * DAY_MS // number
            _append(archive, EVENTS, begin, some, times)
        for topic in (EXPOSURES, EVENTS):
            archive.advance(topic, 0, START + 9 * DAY_MS)
        archive.compact()


def _append(archive: Archive, topic: str, begin: int, values: list[bytes], times: Any) -> None:
    length = np.array([*map(len, values)], np.int64)
    offset = np.arange(begin, begin + len(values))
    data = memoryview(b"".join(values))
    start_of = np.cumsum(length) - length
    archive.append(Records(topic, 0, begin, begin + len(values), offset, times, start_of, length, data))


def _events(random: np.random.Generator) -> list[bytes]:
    name = random.choice([*map(str.encode, NAMES)], BLOCK, p=[*NAMES.values()])
    user, ids = random.integers(0, USERS, BLOCK), random.bytes(24 * BLOCK).hex().encode()
    cents, page = random.integers(100, 9_999, BLOCK), random.integers(0, 5_000, BLOCK)
    form = (
        b'{"event_type":"%s","user_id":"u%06d","device_id":"%s","insert_id":"%s","country":"%s","platform":"Web",'
        b'"library":"amplitude-ts/2.11.4","event_properties":{"price":%d.%02d,"page":"/products/%d"},'
        b'"user_properties":{"plan":"%s"}}'
    )
    made = []
    for i in range(BLOCK):
        its = ids[48 * i : 48 * i + 48]
        country, plan = COUNTRIES[user[i] % 5].encode(), b"pro" if user[i] % 7 == 0 else b"free"
        price = divmod(int(cents[i]), 100)
        made.append(form % (name[i], user[i], its[:16], its[16:], country, *price, page[i], plan))
    return made
