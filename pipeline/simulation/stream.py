"""Stream: visitors of many experiments at once, through the whole of the product that is pure.

Exposures and events as JSON on two sources → `assign` → messages on `units` → `Partition.fold` → `look`. What a broker
would do is left out, and nothing else: documents make the catalog, buckets give variants, windows close.

Every visitor meets every experiment, and each experiment splits the visitors by a salt of its own. So the experiments
are replications of one A/A test, on units hashed anew for each.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from evaluation.assignment.properties import PropertyColumn
from evaluation.assignment.routing import assign
from evaluation.assignment.slices import evaluate_columns
from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.history import History
from evaluation.catalog.in_force import SETTLING, Catalog
from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.columns.arrays import Mask
from evaluation.columns.texts import Texts
from evaluation.flags.paths import unit_selector
from evaluation.metrics.partition import Partition
from evaluation.significance.look import look
from pipeline.stages.gathering import Gathering
from schemas.aggregate import Aggregate
from schemas.catalog import Analysis, Flag, Goal, Metric, Variant
from schemas.look import Look
from schemas.records import Records
from schemas.topics import EVENTS, EXPOSURES

TOPICS = (EXPOSURES, EVENTS)
UNITS_PARTITIONS = 2
HORIZON, TOLERANCE = 5_000, 1_000  # ms
ENTRIES = 600_000  # ms over which visitors enter
WINDOW = 60_000  # ms, of every metric
STAY = 30_000  # ms, the mean time from a visitor's entry to an event: some come when the window has closed
START = 1_700_000_000_000  # ms UTC

PURCHASE, ERROR = 0.5, 0.05  # share of the visitors, had they stayed for ever
VIEWS, DISPERSION = 3.0, 1.5  # per visitor: mean, and shape of the gamma that mixes the rates

VARIANTS = CONTROL, TREATMENT = "control", "treatment"
METRICS = tuple(
    msgspec.convert({"owner": "simulation", "window": f"{WINDOW}ms", **spec}, Metric)
    for spec in (
        {"key": "purchase", "type": "conversion", "event": "purchase"},
        {"key": "revenue", "type": "sum", "event": "purchase", "property": "revenue"},
        {"key": "views", "type": "count", "event": "view"},
        {"key": "error", "type": "conversion", "event": "error"},
    )
)
GOALS = (
    Goal(metric="purchase", role="primary"),
    Goal(metric="revenue"),
    Goal(metric="views"),
    Goal(metric="error", role="guardrail", direction="decrease"),
)


@dataclass(frozen=True)
class Trial:
    """So many experiments, all alike, with the same visitors; `share` of these is treated.

    Whom the first experiment treats buys more often, by the relative `effect`.
    """

    experiments: int
    visitors: int
    looks: int
    share: float = 0.5
    effect: float = 0.0


def play(random: Generator, trial: Trial) -> Iterator[list[Look]]:
    """The looks at all experiments, in one order, at each of `trial.looks` moments; everyone is settled at the last."""
    history = running(trial.experiments, trial.share)
    runs = [flag.runs[-1] for _, flag in sorted(history.newest.flags.items())]
    sources = _sources(random, trial, history.newest)
    pipeline = PurePipeline(history)
    looks: list[Look | None] = [None] * len(runs)
    end = START + ENTRIES + WINDOW + HORIZON + 1
    for moment in np.linspace(START, end, trial.looks + 1)[1:].astype(int).tolist():
        of_runs = pipeline.until(moment, [source.until(moment) for source in sources])
        made = [look(*each) for each in zip(runs, of_runs, looks, strict=True)]
        looks[:] = made
        yield made


class PurePipeline:
    """What lies between two sources, each of one partition, and the looks: assignment and aggregation."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._gathering = Gathering(UNITS_PARTITIONS, HORIZON, expected=len(TOPICS))
        for topic in TOPICS:
            self._gathering.begin((topic, 0), 0)
        self._partitions = [Partition(number, HORIZON) for number in range(UNITS_PARTITIONS)]

    def until(self, moment: int, appended: Iterable[Records]) -> list[tuple[Aggregate, ...]]:
        """The aggregates of every run, by flag, once the sources have `appended` this much before `moment` (ms UTC)."""
        for records in appended:
            for assigned in assign(records, self._history, HORIZON, TOLERANCE):
                self._gathering.add((records.topic, 0), assigned)
        catalog = self._history.states[self._history.index_at(moment)].offset
        for topic in TOPICS:
            self._gathering.reach((topic, 0), moment, catalog)
        _, messages = self._gathering.cut()
        for partition, message in zip(self._partitions, messages, strict=True):
            partition.fold(partition.offset, message, self._history.at_offset)
        return list(zip(*(partition.aggregates() for partition in self._partitions), strict=True))


def records_of(topic: str, begin: int, time: NDArray[np.int64], values: Sequence[bytes]) -> Records:
    """What stands on a source from offset `begin` on, appended at those times (ms UTC, ascending)."""
    length = np.array([len(value) for value in values], np.int64)
    return Records(
        topic=topic,
        partition=0,
        begin=begin,
        end=begin + len(values),
        offset=np.arange(begin, begin + len(values)),
        append_time=time,
        start=np.cumsum(length) - length,
        length=length,
        data=memoryview(b"".join(values)),
    )


class _Source:
    """What one source partition will hold: values in the order of their times, appended as they happen."""

    def __init__(self, topic: str, time: NDArray[np.int64], values: Sequence[bytes]) -> None:
        self.topic = topic
        order = np.argsort(time, kind="stable")
        self._time = time[order]
        self._values = [values[i] for i in order.tolist()]
        self._position = 0

    def until(self, moment: int) -> Records:
        """The records appended before `moment` (ms UTC) that were not read yet."""
        begin, end = self._position, int(np.searchsorted(self._time, moment))
        self._position = end
        return records_of(self.topic, begin, self._time[begin:end], self._values[begin:end])


def treated(random: Generator, catalog: Catalog, visitors: int) -> tuple[NDArray[np.int64], Mask]:
    """New visitors' numbers, and whom each experiment treats: (experiments, visitors), by the flags' own evaluation."""
    numbers = random.integers(1, 1 << 40) + np.arange(visitors)
    ids = PropertyColumn.of_texts(Texts.of([f"u{number}" for number in numbers.tolist()]))
    answers = evaluate_columns(flags_in_force(catalog), {unit_selector("user_id"): ids}, visitors)
    of_flags = [answers[key] for key in sorted(catalog.flags)]
    return numbers, np.array(
        [np.array([each.key == TREATMENT for each in of_flag.outcomes])[of_flag.codes] for of_flag in of_flags]
    )


def _sources(random: Generator, trial: Trial, catalog: Catalog) -> tuple[_Source, _Source]:
    """What the visitors' devices send; they know their variants, as any SDK does."""
    n = trial.visitors
    visitors, is_treated = treated(random, catalog, n)
    entry = START + random.integers(0, ENTRIES, n)
    rate = PURCHASE * (1.0 + trial.effect * is_treated[0])

    def sent(who: NDArray[np.int64], event: str, properties: Sequence[str]) -> tuple[NDArray[np.int64], list[bytes]]:
        time = entry[who] + random.exponential(STAY, len(who)).astype(np.int64)
        rows = zip(visitors[who].tolist(), time.tolist(), properties, strict=True)
        return time, [
            f'{{"event_type":"{event}","user_id":"u{visitor}","time":{at},"insert_id":"{event}{i}"{more}}}'.encode()
            for i, (visitor, at, more) in enumerate(rows)
        ]

    buyers = np.flatnonzero(random.random(n) < rate)
    prices = [f',"event_properties":{{"revenue":{price:.2f}}}' for price in random.lognormal(3.0, 1.0, len(buyers))]
    views = np.repeat(np.arange(n), random.poisson(random.standard_gamma(DISPERSION, n) * (VIEWS / DISPERSION)))
    failing = np.flatnonzero(random.random(n) < ERROR)
    events = [
        sent(buyers, "purchase", prices),
        sent(views, "view", [""] * len(views)),
        sent(failing, "error", [""] * len(failing)),
    ]
    who = [f'"user_id":"u{visitor}","time":{at}' for visitor, at in zip(visitors.tolist(), entry.tolist(), strict=True)]
    exposures = [
        f'{{"flag_key":"{key}","variant":"{VARIANTS[index]}",{each}}}'.encode()
        for key, of_flag in zip(sorted(catalog.flags), is_treated.astype(int).tolist(), strict=True)
        for index, each in zip(of_flag, who, strict=True)
    ]
    return (
        _Source(EXPOSURES, np.tile(entry, trial.experiments), exposures),
        _Source(EVENTS, np.concatenate([time for time, _ in events]), [each for _, said in events for each in said]),
    )


def running(experiments: int, share: float) -> History:
    """A catalog of so many experiments, all alike and running, of which each treats `share` of the units."""
    history = History()
    weight = round(100 * share)
    variants = tuple(Variant(key=key, weight=each) for key, each in zip(VARIANTS, (100 - weight, weight), strict=True))
    for metric in METRICS:
        history.suppose(metric, START - 2 * SETTLING)
    for number in range(experiments):
        key = f"experiment-{number:05}"
        definition = Flag(
            key=key, owner="simulation", variants=variants, metrics=GOALS, analysis=Analysis(correction="none")
        )
        started = start(apply_definition(None, definition, 1), 1, salt=key)
        history.suppose(started, START - 2 * SETTLING)
    return history
