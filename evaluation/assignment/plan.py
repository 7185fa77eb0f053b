"""Plan: what one state of the catalog asks of exposures and events, compiled into tables for columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from operator import is_

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.catalog.configs import cohorts_of, flag_config, flag_configs, inclusions_config, selectors_of
from evaluation.catalog.in_force import SETTLING, WHICH, Catalog, Fact, FlagInForce, RunInForce
from evaluation.catalog.references import OFF
from evaluation.columns.names import Names
from evaluation.columns.scanning import Type, Wanted
from evaluation.flags.cohorts import Cohorts
from evaluation.flags.conditions import CompiledCondition, compile_condition
from evaluation.flags.engine import Flags
from evaluation.flags.graph import needed_for
from evaluation.flags.paths import Path, message_path, property_path, unit_path
from schemas import catalog as schemas
from schemas.dead_letter import Reason
from schemas.flag_config import FlagConfig
from schemas.pair import Pair

OPEN = np.iinfo(np.int64).max  # the end of what has no end yet
COMMON: dict[Path, Type] = {
    ("time",): Type.INTEGER,
    ("user_id",): Type.TEXT,
    ("device_id",): Type.TEXT,
    ("insert_id",): Type.TEXT,
    ("library",): Type.VALUE,  # it is told of what came, and refused for nothing
}
# What an exposure says beside: told of what came, and refused for nothing.
SEGMENT = ("metadata", "segmentName")
RUN_OF_ANSWER = ("metadata", "experimentKey")  # the same as its flagVersion, by which it is counted
MOST_RESOLVED = 10_000  # questions of which the resolution is remembered
Filter = tuple[tuple[Path, CompiledCondition], ...]
IDS = ("user_id", "device_id")  # the unit types that every message is asked for


def _fields(paths: Iterable[Path]) -> dict[Path, Type]:
    """What is compared or bucketed by: any value; ids, which stand in `COMMON`, and groups' names are texts."""
    fields: dict[Path, Type] = {}
    for path in paths:
        if path not in COMMON:
            if len(path) == 2:
                fields[path[:1]] = Type.OBJECT
            fields[path] = Type.FIRST if path[0] == "groups" else Type.VALUE
    return fields


def events_until(run: RunInForce, horizon: int) -> int:
    """The last append time (ms UTC) at which an event may still count for the run.

    Entries end `SETTLING` after the version that completed it, their event times at most a horizon later; the longest
    window may follow (where a metric has none, it ends with the longest), and an event may be a horizon late.
    """
    if run.completed is None:
        return OPEN
    longest = max((metric.window or 0 for metric in run.metrics.values()), default=0)
    return run.completed + SETTLING + longest + 2 * horizon


def _filter(where: Iterable[schemas.Condition]) -> Filter:
    return tuple((property_path(each.property), compile_condition(each.op, each.values)) for each in where)


def _slots(catalog: Catalog, horizon: int) -> dict[tuple[Fact, str | Pair], int]:
    """Until when (append time, ms UTC) something counts a fact of a unit type, or of a pair's loose events.

    The past is kept of the units that some flag, were it a draft, buckets by; of users while there is no flag.
    """
    until: dict[tuple[Fact, str | Pair], int] = {}
    units: list[str | Pair] = [*({flag.definition.unit for flag in catalog.flags.values()} or {IDS[0]}), *catalog.pairs]
    for metric in catalog.metrics.values():
        if metric.lookback is not None:
            until |= {(fact, unit): OPEN for fact in metric.past_facts for unit in units}
    for flag in catalog.flags.values():
        for run in flag.runs:
            for each in run.generations:
                read = [fact for metric in each.metrics.values() for fact in metric.facts]
                if each.generation:  # what its covariates need is told to it alone
                    read += [fact for metric in each.metrics.values() for fact in metric.past_facts]
                for fact in read:
                    told = msgspec.structs.replace(fact, generation=each.generation) if each.generation else fact
                    its: list[str | Pair] = [run.definition.unit, *([run.pair] if run.pair else [])]
                    for unit in its:
                        until[told, unit] = max(until.get((told, unit), 0), events_until(each, horizon))
    return until


def _types(pairs: Iterable[Pair]) -> list[str]:
    return [each for pair in pairs for each in (pair.unit, pair.identity)]


def _places(pairs: Iterable[Pair], types: Sequence[str]) -> tuple[tuple[int, int], ...]:
    return tuple((types.index(pair.unit), types.index(pair.identity)) for pair in pairs)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that stands in for the exposures of a run: who sends it meets the variant that the unit gets then."""

    event: int  # code of the plan
    unit_type: int
    where: Filter
    run: RunInForce
    flags: Flags


@dataclass(frozen=True)
class EventPlan:
    """Slots are (unit type, fact); those of one kind of event stand together. Pairs of types stand behind the types."""

    unit_types: tuple[str, ...]  # user_id and device_id come first
    needed: frozenset[str]  # those that some run or flag buckets by, or joins
    pairs: tuple[Pair, ...]
    pair_types: tuple[tuple[int, int], ...]  # of each pair the unit's and the identity's place among the types
    facts: tuple[Fact, ...]
    events: Names
    first_slot: NDArray[np.int64]  # (events + 2,) the two last, of unknown and missing names, have no slots
    slots: NDArray[np.int64]  # (events + 2,) how many
    slot_unit: NDArray[np.int64]  # (slots,)
    slot_fact: NDArray[np.int64]
    slot_until: NDArray[np.int64]  # (slots,) the last append time (ms UTC) at which some run may count it
    fact_property: NDArray[np.int64]  # (facts,) index into `properties`, -1: the fact is 1
    fact_factor: NDArray[np.float64]  # (facts,) 10^scale
    fact_is_which: NDArray[np.bool_]  # (facts,) it is the hash of its property's value
    properties: tuple[Path, ...]
    filters: dict[int, Filter]  # by fact: what an event must satisfy to feed it
    entries: tuple[Entry, ...]
    cohorts: Cohorts
    wanted: Wanted

    @classmethod
    def of(cls, catalog: Catalog, horizon: int) -> "EventPlan":
        """Everything that some run of the catalog reads, or once read, and what may be looked back at one day."""
        until = _slots(catalog, horizon)
        slots = sorted(until, key=lambda slot: (slot[0].event, slot[0].property or "", slot[0].key, str(slot[1])))
        facts = tuple(dict.fromkeys(fact for fact, _ in slots))
        open_runs = [run for flag in catalog.flags.values() for run in flag.runs if run.completed is None]
        open_runs = [each for run in open_runs for each in run.generations]
        entered = [(run, run.definition.exposure_event) for run in open_runs if run.definition.exposure_event]
        pairs = catalog.pairs
        units = [unit for _, unit in slots if isinstance(unit, str)]
        needed = frozenset([*units, *(run.definition.unit for run, _ in entered), *_types(pairs)])
        unit_types = tuple(dict.fromkeys([*IDS, *sorted(needed)]))
        types: list[str | Pair] = [*unit_types, *pairs]
        events = tuple(dict.fromkeys([*(fact.event for fact in facts), *(step.event for _, step in entered)]))
        in_force = {config.key: config for config in flag_configs(catalog)} if entered else {}
        entries = tuple(
            Entry(
                event=events.index(step.event),
                unit_type=unit_types.index(run.definition.unit),
                where=_filter(step.where),
                run=run,
                flags=_linked(flag_config(catalog.flags[run.flag], run, run.allocations[-1], catalog), in_force),
            )
            for run, step in entered
        )
        names = [fact.event for fact, _ in slots]
        properties = tuple(dict.fromkeys(("event_properties", fact.property) for fact in facts if fact.property))
        filters = {index: _filter(fact.where) for index, fact in enumerate(facts) if fact.where}
        conditions = [*filters.values(), *(entry.where for entry in entries)]
        breakdowns = [each for run, _ in entered for each in run.definition.breakdowns]
        compared = [path for each in conditions for path, _ in each]
        compared += [property_path(each.property) for each in breakdowns]
        compared += _asked_by(catalog) if entered else []
        fields = {("event_type",): Type.TEXT} | COMMON
        if properties:
            fields |= {("event_properties",): Type.OBJECT} | dict.fromkeys(properties, Type.NUMBER)
            told_apart = {
                ("event_properties", fact.property) for fact in facts if fact.property and fact.scale == WHICH
            }
            fields |= dict.fromkeys(told_apart, Type.VALUE)
        fields |= _fields([*compared, *map(unit_path, unit_types)])
        return cls(
            unit_types=unit_types,
            needed=needed,
            pairs=pairs,
            pair_types=_places(pairs, unit_types),
            facts=facts,
            events=Names(events),
            first_slot=np.array([*(names.index(each) if each in names else 0 for each in events), 0, 0], np.int64),
            slots=np.array([*map(names.count, events), 0, 0], np.int64),
            slot_unit=np.array([types.index(unit) for _, unit in slots], np.int64),
            slot_fact=np.array([facts.index(fact) for fact, _ in slots], np.int64),
            slot_until=np.array([until[slot] for slot in slots], np.int64),
            fact_property=np.array(
                [properties.index(("event_properties", fact.property)) if fact.property else -1 for fact in facts],
                np.int64,
            ),
            fact_factor=np.array([10.0 ** max(0, fact.scale) for fact in facts]),
            fact_is_which=np.array([fact.scale == WHICH for fact in facts], np.bool_),
            properties=properties,
            filters=filters,
            entries=entries,
            cohorts=cohorts_of(catalog),
            wanted=Wanted(fields, ("event_type",)),
        )


def _asked_by(catalog: Catalog) -> list[Path]:
    """What of a message flags ask."""
    selectors = selectors_of(catalog)
    selectors |= {(*selector[:3], "group_name") for selector in selectors if selector[1] == "groups"}
    return [*map(message_path, sorted(selectors))]


def _linked(config: FlagConfig, in_force: Mapping[str, FlagConfig]) -> Flags:
    """The flag, with all that it depends on as it is in force."""
    configs = {**in_force, config.key: config}
    needed = needed_for([config.key], {each.key: each.dependencies or () for each in configs.values()})
    return Flags(configs[each] for each in configs if each in needed)


@dataclass(frozen=True, slots=True)
class Question:
    """What a kind of exposures says: names as codes of the plan (-2: not said, -1: unknown), the flag's version."""

    flag: int
    variant: int
    run: int
    version: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """What becomes of a kind of exposures. With a `reason` they are rejected, without a run only counted."""

    reason: Reason | None = None
    detail: str = ""  # a sentence with {value} in it
    flag: FlagInForce | None = None
    run: RunInForce | None = None
    allocation: int = 0
    variant: str | None = None  # None: it asks
    names_run: bool = False  # by experiment_key or flagVersion

    @property
    def begins(self) -> int:
        """The first event time (ms UTC) of the run's exposures; of one that names its run, or asks for it, any."""
        return 0 if self.run is None or self.names_run or self.asks else self.run.started

    @property
    def asks(self) -> bool:
        """Whether it wants an answer."""
        return self.reason is None and self.variant is None

    @property
    def open_run(self) -> RunInForce | None:
        """The run, if it takes entries."""
        return self.run if self.run and self.run.completed is None else None

    @property
    def enters(self) -> bool:
        """Whether the run's units enter by exposures, and not by an event of its own."""
        return self.run is None or self.run.definition.exposure_event is None

    @property
    def is_only_counted(self) -> bool:
        """Whether it met a variant of a flag that no run had."""
        return self.run is None and self.variant not in {None, OFF}

    @property
    def wants_unit(self) -> bool:
        """Whether it makes a row or an answer."""
        return self.asks or (self.run is not None and self.variant not in {None, OFF})

    @property
    def unit_type(self) -> str:
        """What the run buckets by; the flag where there is none, or its answer no longer the run's."""
        source = (self.open_run if self.asks else self.run) or self.flag
        return source.definition.unit if source else IDS[0]


@dataclass(frozen=True)
class ExposurePlan:
    """Names and compiled flags of the catalog."""

    catalog: Catalog
    unit_types: tuple[str, ...]  # user_id and device_id come first
    needed: frozenset[str]  # those that some run or flag buckets by, or joins
    pairs: tuple[Pair, ...]
    pair_types: tuple[tuple[int, int], ...]  # of each pair the unit's and the identity's place among the types
    flags: Names
    variants: Names
    runs: Names
    newest_version: int
    cohorts: Cohorts
    wanted: Wanted
    _flags: dict[tuple[str, str | None, int], Flags] = field(default_factory=dict)
    _inclusions: dict[tuple[str, str, int], Flags] = field(default_factory=dict)
    _resolved: dict[Question, Resolved] = field(default_factory=dict)

    @classmethod
    def of(cls, catalog: Catalog) -> "ExposurePlan":
        """Every flag of the catalog."""
        flags = catalog.flags.values()
        runs = [run for flag in flags for run in flag.runs]
        defined = [variant.key for flag in flags for variant in flag.definition.variants]
        allocated = [key for run in runs for allocation in run.allocations for key in allocation.weights]
        units = {flag.definition.unit for flag in flags} | {run.definition.unit for run in runs}
        units.update(_types(catalog.pairs))
        unit_types = tuple(dict.fromkeys([*IDS, *sorted(units)]))
        fields: dict[Path, Type] = {("flag_key",): Type.TEXT, ("variant",): Type.TEXT, ("experiment_key",): Type.TEXT}
        generations = [each for run in runs for each in run.generations]
        broken_down = [property_path(each.property) for run in generations for each in run.definition.breakdowns]
        fields |= COMMON | _fields([*broken_down, *_asked_by(catalog), *map(unit_path, unit_types)])
        fields |= {("metadata",): Type.OBJECT, ("metadata", "flagVersion"): Type.INTEGER}
        fields |= {SEGMENT: Type.VALUE, RUN_OF_ANSWER: Type.VALUE}
        return cls(
            catalog=catalog,
            unit_types=unit_types,
            needed=frozenset(units),
            pairs=catalog.pairs,
            pair_types=_places(catalog.pairs, unit_types),
            flags=Names(tuple(catalog.flags)),
            variants=Names(tuple(dict.fromkeys([OFF, *defined, *allocated]))),
            runs=Names(tuple(dict.fromkeys(run.key for run in runs))),
            newest_version=max((flag.version for flag in flags), default=0),
            cohorts=cohorts_of(catalog),
            wanted=Wanted(fields, ("flag_key",)),
        )

    @cached_property
    def _in_force(self) -> dict[str, FlagConfig]:
        return {config.key: config for config in flag_configs(self.catalog)}

    def flags_for(self, resolved: Resolved) -> Flags:
        """The flag by the allocation that an exposure asks for, with all that it depends on as it is in force.

        Where no run takes entries, it is as in force too.
        """
        flag, run = resolved.flag, resolved.open_run
        assert flag
        key = flag.definition.key, run.key if run else None, resolved.allocation if run else 0
        if key not in self._flags:
            if run is None:
                config = self._in_force.get(flag.definition.key) or flag_config(flag, None, None, self.catalog)
            else:
                config = flag_config(flag, run, run.allocations[resolved.allocation], self.catalog)
            self._flags[key] = _linked(config, self._in_force)
        return self._flags[key]

    def inclusions(self, run: RunInForce, allocation: int) -> Flags | None:
        """A flag that gives variants to those alone whom the allocation lists; None: it lists nobody."""
        if not run.allocations[allocation].inclusions:
            return None
        key = run.flag, run.key, allocation
        if key not in self._inclusions:
            config = inclusions_config(run.flag, run.allocations[allocation], self.catalog)
            self._inclusions[key] = Flags([config])
        return self._inclusions[key]

    def resolve(self, question: Question) -> Resolved:
        """An exposure belongs to the run and allocation that it names, else to those in force."""
        if question not in self._resolved:
            if len(self._resolved) == MOST_RESOLVED:
                self._resolved.clear()
            self._resolved[question] = self._resolve(question)
        return self._resolved[question]

    def _resolve(self, question: Question) -> Resolved:
        if question.flag < 0:
            return Resolved("unknown flag", "flag_key is {flag_key}; no flag of this key was applied: apply it, resend")
        flag = self.catalog.flags[self.flags.names[question.flag]]
        found = self._run(flag, question)
        if isinstance(found, Resolved):
            return found
        run, allocation = found
        if question.variant == -2:
            return Resolved(flag=flag, run=run, allocation=allocation)
        variant = self.variants.names[question.variant] if question.variant >= 0 else None
        keys = [each.key for each in (run.definition if run else flag.definition).variants]
        known = {OFF, *keys, *(run.allocations[allocation].weights if run else ())}
        if variant is None or variant not in known:
            has = ", ".join(keys)[:200]
            return Resolved(
                "unknown variant",
                f"variant is {{variant}}, but flag '{flag.definition.key}' has {has}; send one of them",
            )
        names_run = question.run != -2 or question.version >= 0
        return Resolved(flag=flag, run=run, allocation=allocation, variant=variant, names_run=names_run)

    def _run(self, flag: FlagInForce, question: Question) -> tuple[RunInForce | None, int] | Resolved:
        """The run that takes the exposure, and the index of its allocation."""
        name = f"flag '{flag.definition.key}'"
        if question.version > flag.version:
            return Resolved(
                "unknown version",
                f"metadata.flagVersion is {{version}}, but version {flag.version} of {name} is in force; resend later",
            )
        run = flag.runs[-1] if flag.runs else None
        if question.run != -2:
            key = self.runs.names[question.run] if question.run >= 0 else None
            run = next((each for each in flag.runs if each.key == key), None)
            if run is None:
                have = ", ".join(each.key for each in flag.runs)[-200:]
                mends = f"has {have}; send one of them" if have else "has no run yet; start it"
                return Resolved("unknown run", f"experiment_key is {{experiment_key}}, but {name} {mends}")
        if question.version < 0 or run is None:
            return run, len(run.allocations) - 1 if run else 0
        of_version = [each for each in flag.runs if each.allocations[0].flag_version <= question.version]
        if question.run == -2:
            run = of_version[-1] if of_version else None
        elif not of_version or of_version[-1] is not run:
            return Resolved(
                "unknown version",
                f"metadata.flagVersion is {{version}}: not of run '{run.key}' of {name}; send its own",
            )
        if run is None:  # the flag was a draft
            return None, 0
        began = [each.flag_version <= question.version for each in run.allocations]
        return run, sum(began) - 1


class _Read:
    """What plans read of a catalog; a state in which something else is new, such as a comment, is read as the same."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._parts = (catalog.flags, catalog.metrics, catalog.groups, catalog.cohorts, catalog.deployments)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Read) and all(map(is_, self._parts, other._parts))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self._parts)))


def event_plan(catalog: Catalog, horizon: int) -> EventPlan:
    """The plan of a state; states are few, so the last ones are kept."""
    return _event_plan(_Read(catalog), horizon)


def exposure_plan(catalog: Catalog) -> ExposurePlan:
    """The plan of a state; states are few, so the last ones are kept."""
    return _exposure_plan(_Read(catalog))


@lru_cache(maxsize=8)
def _event_plan(read: _Read, horizon: int) -> EventPlan:
    return EventPlan.of(read.catalog, horizon)


@lru_cache(maxsize=8)
def _exposure_plan(read: _Read) -> ExposurePlan:
    return ExposurePlan.of(read.catalog)
