"""Catalog: the documents in force, as a fold over the records of the topic, and as of any append time.

A record counts if its `base` is the version that stands; others are ignored and reported, so two editors cannot
overwrite each other unnoticed. A version applies to input appended at least `SETTLING` after it: by append time, not by
arrival, so that every reader agrees.
"""

from bisect import bisect_right
from dataclasses import dataclass, field, replace

import msgspec

from schemas.catalog import Allocation, Document, Flag, FlagState, Metric
from schemas.duration import parse_duration

SETTLING = 1_000  # ms between a version's append time and the input that it applies to


class Fact(msgspec.Struct, frozen=True, order=True):
    """What an event contributes: 1, or a property's value quantised to `scale` decimal places. Metrics share facts."""

    event: str
    property: str | None
    scale: int

    @property
    def key(self) -> str:
        """The fact's name in the header of `units` messages: a JSON array."""
        return msgspec.json.encode([self.event, self.property, self.scale]).decode()


@dataclass(frozen=True, slots=True)
class MetricInForce:
    """A metric's definition, the version of its document and when it was appended (ms UTC)."""

    definition: Metric
    version: int
    append_time: int

    @property
    def fact(self) -> Fact:
        """What this metric reads of an event."""
        is_sum = self.definition.type == "sum"
        return Fact(self.definition.event, self.definition.property, self.definition.scale if is_sum else 0)

    @property
    def window(self) -> int | None:
        """Milliseconds from a unit's entry within which its events count; None: without end."""
        return None if self.definition.window == "none" else parse_duration(self.definition.window)


@dataclass(frozen=True, slots=True)
class RunInForce:
    """A run with what its flag's document and its metrics say of it.

    `started` and `completed` are append times (ms UTC) of the versions that started and ended it. `since` gives, by
    metric key, the append time from which on the metric covers entries.
    """

    flag: str
    key: str
    salt: str
    allocations: tuple[Allocation, ...]
    started: int
    completed: int | None
    since: dict[str, int]


@dataclass(frozen=True, slots=True)
class FlagInForce:
    """A flag's document and its runs; `runs[-1]` is the newest."""

    definition: Flag
    status: str
    version: int
    append_time: int
    runs: tuple[RunInForce, ...]

    @property
    def control(self) -> str:
        """The variant that the others are compared with."""
        keys = [variant.key for variant in self.definition.variants]
        return self.definition.control or ("control" if "control" in keys else keys[0])


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record of the topic that is no version of any document, and why."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """The documents in force after every record of the topic before `offset`."""

    offset: int = 0
    append_time: int = 0
    flags: dict[str, FlagInForce] = field(default_factory=dict)
    metrics: dict[str, MetricInForce] = field(default_factory=dict)

    def after(self, offset: int, append_time: int, value: bytes | None) -> tuple["Catalog", Rejected | None]:
        """The catalog after one more record, and why the record was ignored, if it was."""
        unchanged = replace(self, offset=offset + 1, append_time=append_time)
        try:
            document = msgspec.json.decode(value or b"", type=Document)
            standing = (self.flags if document.kind == "flag" else self.metrics).get(document.key)
            if document.base != (standing.version if standing else 0) or document.version != document.base + 1:
                version = standing.version if standing else 0
                raise ValueError(
                    f"version {document.version} of {document.kind} '{document.key}' edits version {document.base}, "
                    f"but version {version} stands; read it again and apply the change to that one"
                )
            if document.kind == "metric":
                metric = MetricInForce(_decode(document.spec, Metric), document.version, append_time)
                catalog = replace(unchanged, metrics={**self.metrics, document.key: metric})
                # A changed metric is another column of every run that reads it, from now on.
                flags = {key: _with_metric(flag, document.key, append_time) for key, flag in self.flags.items()}
                return replace(catalog, flags=flags), None
            flag = _flag_after(self.flags.get(document.key), document, _decode(document.spec, FlagState), append_time)
            return replace(unchanged, flags={**self.flags, document.key: flag}), None
        except (msgspec.MsgspecError, ValueError) as error:
            return unchanged, Rejected(offset, str(error))


def _decode(raw: msgspec.Raw, kind: type) -> object:
    return msgspec.json.decode(raw, type=kind)


def _with_metric(flag: FlagInForce, metric: str, append_time: int) -> FlagInForce:
    def touched(run: RunInForce) -> RunInForce:
        if metric in run.since and run.completed is None:
            return replace(run, since={**run.since, metric: max(append_time, run.started)})
        return run

    return replace(flag, runs=tuple(touched(run) for run in flag.runs))


def _flag_after(standing: FlagInForce | None, document: Document, state: FlagState, append_time: int) -> FlagInForce:
    before = {run.key: run for run in standing.runs} if standing else {}
    metrics = [goal.metric for goal in state.definition.metrics]
    runs = []
    for run in state.runs:
        known = before.get(run.key)
        started = known.started if known else append_time
        completed = known.completed if known else None
        if completed is None and run.completed is not None:
            completed = append_time
        since = dict(known.since) if known else {}
        if completed is None:
            since = {metric: since.get(metric, append_time) for metric in metrics}
        runs.append(RunInForce(document.key, run.key, run.salt, run.allocations, started, completed, since))
    return FlagInForce(state.definition, state.status, document.version, append_time, tuple(runs))


class History:
    """The catalog as of any append time: every state that the topic's records made."""

    def __init__(self) -> None:
        self.states = [Catalog()]
        self._applies_from = [0]
        self.rejected: list[Rejected] = []

    @property
    def newest(self) -> Catalog:
        """The state after the last record that was read."""
        return self.states[-1]

    def append(self, offset: int, append_time: int, value: bytes | None) -> None:
        """Read one more record of the topic."""
        catalog, rejected = self.newest.after(offset, append_time, value)
        self.states.append(catalog)
        self._applies_from.append(max(self._applies_from[-1], append_time + SETTLING))
        if rejected:
            self.rejected.append(rejected)

    def index_at(self, append_time: int) -> int:
        """Which state applies to input appended at that time (ms UTC)."""
        return bisect_right(self._applies_from, append_time) - 1

    @property
    def boundaries(self) -> list[int]:
        """Append times (ms UTC, ascending) from which on each state applies."""
        return self._applies_from

    def at_offset(self, offset: int) -> Catalog:
        """The state after every record before `offset` of the topic."""
        index = bisect_right([state.offset for state in self.states], offset) - 1
        return self.states[index]
