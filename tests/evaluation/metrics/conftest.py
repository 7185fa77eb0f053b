"""Catalogs, messages and partitions made by hand."""

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from evaluation.catalog.in_force import Catalog, FlagInForce, MetricInForce, RunInForce
from evaluation.metrics.partition import Partition
from schemas.catalog import Allocation, Flag, Metric, Variant
from schemas.topics import IDENTITIES
from schemas.units import Arm, Header, RowKind, Source, encode_units

HORIZON = 100
ARMS = [("exp-1", n, variant) for n in (0, 1) for variant in "ab"] + [("exp-2", 0, "a"), ("exp-2", 0, "b")]


def make_metric(key, kind="count", window="300ms", event="buy", version=1, append_time=0, parts=(), **fields):  # noqa: PLR0917
    """A metric in force; `parts` are those of a ratio, in force too."""
    if kind in ("sum", "mean", "percentile"):
        fields.setdefault("property", "price")
    if kind in ("funnel", "ratio"):
        event = None
    if parts:
        fields |= {"numerator": parts[0].definition.key, "denominator": parts[1].definition.key}
    definition = Metric(key=key, owner="x", type=kind, event=event, window=window, **fields)
    return MetricInForce(definition, version, append_time, tuple(part.definition for part in parts))


def make_run(key, metrics, since=None, completed=None, started=0, allocations=2, breakdowns=()):  # noqa: PLR0917
    """A run of the flag `flag` with the variants a and b."""
    variants = (Variant(key="a"), Variant(key="b"))
    definition = Flag(key="flag", owner="x", variants=variants, breakdowns=breakdowns)
    return RunInForce(
        flag="flag",
        key=key,
        salt="s",
        allocations=tuple(
            Allocation(flag_version=n + 1, rollout=100, weights={"a": 1, "b": 1}) for n in range(allocations)
        ),
        started=started,
        completed=completed,
        since={m.definition.key: (since or {}).get(m.definition.key, started) for m in metrics},
        definition=definition,
        metrics={m.definition.key: m for m in metrics},
    )


def make_catalog(offset, runs, metrics=()):
    """A catalog that holds these runs, and metrics that they may read or not."""
    flag = FlagInForce(runs[0].definition, "running", 1, 0, tuple(runs))
    return Catalog(offset, 0, {"flag": flag}, {metric.definition.key: metric for metric in metrics})


class Log:
    """Rows on their way into a partition: one source unless told otherwise, each row a message of its own."""

    def __init__(self, *catalogs, horizon=HORIZON):
        self.catalogs = list(catalogs)
        self.partition = Partition(3, horizon)
        self.position = {}
        self.arms = ARMS
        self.horizon = horizon

    @property
    def facts(self):
        """The keys of everything that some metric reads, in order."""
        runs = [run for catalog in self.catalogs for run in catalog.flags["flag"].runs]
        metrics = [metric for run in runs for metric in run.metrics.values()]
        metrics += [metric for catalog in self.catalogs for metric in catalog.metrics.values()]
        return sorted({fact.key for metric in metrics for fact in (*metric.facts, *metric.past_facts)})

    def happened(self, event, unit, time, value=1, name=0):
        """The rows of an event: one for each fact that it feeds."""
        known = [msgspec.json.decode(fact) for fact in self.facts]
        its = [(code, fact) for code, fact in enumerate(known) if fact[0] == event]
        return [(0, code, unit, time, name, value if fact[1] else 1) for code, fact in its]

    def catalog_at(self, offset):
        """The newest catalog up to there."""
        return [catalog for catalog in self.catalogs if catalog.offset <= offset][-1]

    def message(  # noqa: PLR0917
        self,
        rows,
        watermark=0,
        catalog=None,
        begin=None,
        end=None,
        topic="events",
        horizon=None,
        examples=(),
        facts=None,
    ):
        """The bytes of a message with these rows, (kind, code, unit, time, id, value) each, on consecutive offsets."""
        expected = self.position.get(topic, 0)
        begin = expected if begin is None else begin
        end = begin + len(rows) if end is None else end
        self.position[topic] = max(expected, end)
        columns = list(zip(*rows, strict=True)) or [()] * 6
        kind, code, unit, time, name, value = (
            np.array(column, dtype) for column, dtype in zip(columns, ("u1", "u2", "u8", "i8", "u8", "i8"), strict=True)
        )
        table = {
            "source": np.zeros(len(rows), np.uint16),
            "offset": np.arange(begin, begin + len(rows)),
            "kind": kind,
            "code": code,
            "unit": unit,
            "time": time,
            "id": name,
            "value": value,
        }
        header = Header(
            catalog=self.catalogs[-1].offset if catalog is None else catalog,
            horizon=self.horizon if horizon is None else horizon,
            sources=[Source(topic, 0, begin, end, watermark)],
            arms=[Arm("flag", *arm) for arm in self.arms],
            facts=facts or self.facts,
            expected=int(topic == IDENTITIES),
            examples=list(examples),
        )
        return encode_units(table, header)

    def send(self, *rows, **options):
        """Fold these rows as one message; the log itself, to go on."""
        message = self.message(rows, **options)
        self.partition.fold(self.partition.offset, message, self.catalog_at)
        return self

    def aggregate(self, run="exp-1"):
        """What the run comes to."""
        return next(each for each in self.partition.aggregates() if each.run == run)

    def sums(self, metric="m", reading="live", run="exp-1", segment="all"):
        """(n, nonzero, sums of numbers, sums of their products) of the arms that have units."""
        return {
            (each.allocation, each.variant): (each.n, each.nonzero, *map(int, each.first + each.second))
            for each in self.aggregate(run).sums
            if (each.metric, each.reading, each.segment) == (metric, reading, segment) and each.n
        }

    def health(self, metric="m", run="exp-1"):
        """What became of the metric's events."""
        return next(each for each in self.aggregate(run).metrics if each.metric == metric)

    def bytes(self):
        """What is published, without the position in the log."""
        return msgspec.json.encode([msgspec.structs.replace(each, offset=0) for each in self.partition.aggregates()])


def exposure(unit, time, arm=0, name=0, kind=0, segments=0):  # noqa: PLR0917
    """A row: `arm` is an index into `ARMS`."""
    return (RowKind.EXPOSURE | kind, arm, unit, time, name, segments)


def event(unit, time, value=1, name=0, kind=0, fact=0):  # noqa: PLR0917
    """A row: `fact` is an index into the sorted facts of the catalogs."""
    return (kind, fact, unit, time, name, value)


@pytest.fixture
def make():
    """Everything above."""
    return SimpleNamespace(
        metric=make_metric, run=make_run, catalog=make_catalog, Log=Log, exposure=exposure, event=event, arms=ARMS
    )
