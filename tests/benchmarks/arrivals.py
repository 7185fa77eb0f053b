"""Arrivals: what counting them adds to the cost of assignment, per record, and what bounds it.

The demo's visitors, in slices as a busy stage and as a quiet one gets them. `assign` is what the stage does with a
slice between its fetch and its sending, which cost as much again: the stage's own share is smaller than what stands
here. `junk` gives every event a name of its own.
"""

import time
from collections.abc import Iterator

import numpy as np

from evaluation.arrivals.tally import Tally
from evaluation.assignment.routing import assign
from evaluation.catalog.history import History
from evaluation.catalog.lifecycle import apply_definition, start
from pipeline.catalog.documents import read_documents
from pipeline.demo.session import EXAMPLES, HORIZON_MS
from pipeline.demo.visitors import Shares, Visitors
from schemas.catalog import Spec
from schemas.records import Records
from schemas.topics import EVENTS

START = 1_795_457_000_000  # ms UTC
TOLERANCE = 60_000
RECORDS = 400_000
SLICES = {"busy": 4_000, "quiet": 25}  # records of a slice


def measure() -> dict[str, dict[str, float]]:
    """Nanoseconds of CPU per record of assignment and of the tally, by size of a slice."""
    history = _history()
    flags = {key: flag for key, flag in history.newest.flags.items() if flag.status == "running"}
    visitors = Visitors(
        flags, seed=1, start=START, records_per_second=20_000, horizon_ms=HORIZON_MS, shares=Shares(unusable=0, late=0)
    )
    values: list[bytes] = []
    for second in range(RECORDS // 20_000):
        for chunk in visitors.until(START + 1_000 * (second + 1)):
            if chunk.topic == EVENTS:
                values += [value for value in chunk.values if value]
    junk = [value.replace(b'"event_type":"', b'"event_type":"%d ' % i, 1) for i, value in enumerate(values)]
    measured = {name: _measured(values[: 1_000 * size], size, history) for name, size in SLICES.items()}
    return measured | {"junk": _measured(junk, SLICES["busy"], history)}


def show(measured: dict[str, dict[str, float]]) -> str:
    """A table of the figures."""
    lines = [f"{'':8}{'assign ns':>12}{'tally ns':>12}{'more':>8}{'tell ms':>10}"]
    for name, each in measured.items():
        share = each["tally"] / each["assign"]
        lines.append(f"{name:8}{each['assign']:12.0f}{each['tally']:12.1f}{share:8.1%}{each['tell'] * 1e3:10.2f}")
    return "\n".join(lines)


def _measured(values: list[bytes], size: int, history: History) -> dict[str, float]:
    taken = {"assign": 0.0, "tally": 0.0}
    for is_warm in (False, True):
        tally, spent, number = Tally("bench"), dict.fromkeys(taken, 0.0), 0
        for records in _slices(values, size):
            then = time.process_time()
            stretches = assign(records, history, HORIZON_MS, TOLERANCE)
            spent["assign"] += time.process_time() - then
            then = time.process_time()
            for stretch in stretches:
                tally.add(records, stretch)
            spent["tally"] += time.process_time() - then
            number += len(records)
        then = time.process_time()
        tally.tell({})
        if is_warm:
            taken = {name: seconds / number * 1e9 for name, seconds in spent.items()}
            taken["tell"] = time.process_time() - then
    return taken


def _slices(values: list[bytes], size: int) -> Iterator[Records]:
    for begin in range(0, len(values), size):
        some = values[begin : begin + size]
        length = np.array([*map(len, some)], np.int64)
        offset = np.arange(begin, begin + len(some))
        yield Records(
            topic=EVENTS,
            partition=0,
            begin=begin,
            end=begin + len(some),
            offset=offset,
            append_time=START + offset // 200,
            start=np.cumsum(length) - length,
            length=length,
            data=memoryview(b"".join(some)),
        )


def _history() -> History:
    """The demo's documents, whose flags run."""
    history, now, documents = History(), START - 1_000_000, read_documents(EXAMPLES)
    plain = (*documents.metrics.values(), *documents.cohorts.values(), *documents.groups.values())
    specs: list[Spec] = [each.definition for each in plain]
    for key, flag in documents.flags.items():
        applied = apply_definition(None, flag.definition, 1)
        specs += [applied, start(applied, 2, f"demo-{key}")]
    for number, spec in enumerate(specs, 1):
        history.suppose(spec, now + 1_000 * number)
    return history
