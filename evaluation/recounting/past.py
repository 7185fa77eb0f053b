"""Past: what records say of a generation that is coming, which came before assignment knew of it.

Assignment tells it of every record from the version on that began it; `Past` says the same of the records before, by
the same code: each is judged by the catalog at its append time, in which the run had the breakdowns of now. What feeds
the metrics of now is told of all events, whether or not something read them then.
"""

from dataclasses import replace

import msgspec
import numpy as np

from evaluation.assignment.joins import IdentityRows
from evaluation.assignment.messages import UnitRows
from evaluation.assignment.plan import events_until
from evaluation.assignment.routing import Assigned, assign
from evaluation.catalog.history import History
from evaluation.catalog.in_force import Catalog, FlagInForce, RunInForce
from schemas.records import Records
from schemas.recount import marked
from schemas.source import ForeignSource
from schemas.units import RowKind
from schemas.writer_schema import NO_SCHEMAS, Schemas

LISTENER = "~"  # no flag's key: a run of it reads everything, at all times


class Past:
    """What came before a generation. Raises LookupError where the catalog has none of that number to come.

    What was appended before the `boundary` (ms UTC) is the past; by the offset `catalog` the generation is known.
    """

    def __init__(self, history: History, generation: int) -> None:
        self.catalog = generation + 1
        begun = history.at_offset(self.catalog)
        self.run = _coming(begun, generation)
        self.boundary = history.boundaries[history.states.index(begun)]
        self._flags: dict[int, dict[str, FlagInForce]] = {}
        self._kept: list[object] = []  # what is known by its identity
        # What their covariates need is told of every unit.
        self._metrics = {key: metric for key, metric in self.run.metrics.items() if metric.lookback is not None}
        self._history = history.changed(self._supposed)

    @property
    def registered(self) -> list[ForeignSource]:
        """Versions of sources whose records only a schema explains."""
        return self._history.registered

    def begins(self, tolerance: int) -> int:
        """What was appended before it (ms UTC) concerns the run no more: neither its units nor what they did before."""
        lookbacks = [
            max(metric.recorded, self.run.started - 2 * metric.lookback)
            for metric in self.run.metrics.values()
            if metric.lookback is not None
        ]
        return min([self.run.started, *lookbacks]) - tolerance

    def ends(self, horizon: int) -> int:
        """What was appended from it on (ms UTC) is told by assignment, or concerns the run no more."""
        return min(self.boundary, events_until(self.run, horizon) + 1)

    def told(self, records: Records, horizon: int, tolerance: int, schemas: Schemas = NO_SCHEMAS) -> list[Assigned]:
        """What the records say of the run, as `assign` has it, and nothing else."""
        return [self._told(each) for each in assign(records, self._history, horizon, tolerance, schemas)]

    def _told(self, said: Assigned) -> Assigned:
        is_own = [(arm.flag, arm.run) == (self.run.flag, self.run.key) for arm in said.arms]
        is_exposure = said.kind & np.uint8(RowKind.EXPOSURE) != 0
        arm = np.where(is_exposure, said.code, len(is_own)).astype(np.int64)
        kept = np.flatnonzero(np.array([*is_own, True])[arm])  # of events all: nothing else is measured
        nothing = UnitRows.join([])
        return replace(
            said,
            **{name: column[kept] for name, column in said.columns().items()},
            arms=[msgspec.structs.replace(arm, run=self.run.told) for arm in said.arms],
            facts=[marked(fact, self.run.generation) for fact in said.facts],
            examples=[
                msgspec.structs.replace(each, fact=marked(each.fact, self.run.generation)) for each in said.examples
            ],
            came=frozenset(),
            identities=IdentityRows(**nothing.columns(), pairs=[], facts=[]),
        )

    def _supposed(self, catalog: Catalog) -> Catalog:
        flags = self._flags.get(id(catalog.flags))
        if flags is None:
            flags = {key: self._of_flag(flag) for key, flag in catalog.flags.items()}
            listener = replace(self.run, flag=LISTENER, generation=0)
            # Of a flag without an event that stands in for exposures: nobody enters it.
            definition = msgspec.structs.replace(self.run.definition, key=LISTENER, exposure_event=None)
            listener = replace(listener, definition=definition)
            flags[LISTENER] = FlagInForce(definition, "complete", 1, 0, (listener,))
            self._flags[id(catalog.flags)] = flags
            self._kept.append(catalog.flags)
        return replace(catalog, flags=flags, metrics=self._metrics)

    def _of_flag(self, flag: FlagInForce) -> FlagInForce:
        """A flag whose runs measure nothing; the one that is recounted has its breakdowns of now."""
        return replace(flag, runs=tuple(map(self._of_run, flag.runs)))

    def _of_run(self, run: RunInForce) -> RunInForce:
        definition = run.definition
        if (run.flag, run.key) == (self.run.flag, self.run.key):
            definition = msgspec.structs.replace(definition, breakdowns=self.run.definition.breakdowns)
        return replace(run, definition=definition, metrics={}, since={}, generation=0, coming=None)


def _coming(catalog: Catalog, generation: int) -> RunInForce:
    for flag in catalog.flags.values():
        for run in flag.runs:
            if run.coming and run.coming.generation == generation:
                return run.coming
    raise LookupError(f"the catalog has no generation {generation} to come")
