"""Supposed: a history in which a run has read other metrics from its start, and nothing else is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from evaluation.catalog.history import History
from evaluation.catalog.in_force import Catalog, FlagInForce, MetricInForce, RunInForce
from schemas.catalog import Breakdown


def supposed(
    history: History, run: RunInForce, metrics: Mapping[str, MetricInForce], properties: Sequence[str]
) -> History:
    """For the assignment stage: the run reads these metrics, and exposures are asked for these properties.

    Who gets which variant stays as it was at every time: flags, groups and cohorts are those of the history. Other runs
    keep their identities where this one has one: who was joined by then stays joined. Nothing was ever recounted.
    """
    asked = tuple(Breakdown(property=each, values=("-",)) for each in properties)
    known: dict[int, tuple[FlagInForce, FlagInForce]] = {}
    before: tuple[Catalog, Catalog] | None = None

    def of_run(each: RunInForce) -> RunInForce:
        each = replace(each, generation=0, coming=None)
        if (each.flag, each.key) != (run.flag, run.key):
            plain = msgspec.structs.replace(each.definition, breakdowns=(), exposure_event=None)
            if run.pair is None:
                plain = msgspec.structs.replace(plain, identity=None)
            return replace(each, metrics={}, since={}, definition=plain)
        definition = msgspec.structs.replace(each.definition, breakdowns=asked)
        return replace(each, metrics=dict(metrics), since=dict.fromkeys(metrics, each.started), definition=definition)

    def of_flag(flag: FlagInForce) -> FlagInForce:
        if id(flag) not in known:
            known[id(flag)] = flag, replace(flag, runs=tuple(map(of_run, flag.runs)))
        return known[id(flag)][1]

    def changed(catalog: Catalog) -> Catalog:
        nonlocal before
        if before is None or before[0].flags is not catalog.flags:
            flags = {key: of_flag(flag) for key, flag in catalog.flags.items()}
            before = catalog, replace(catalog, metrics={}, flags=flags)
        before = catalog, replace(catalog, metrics=before[1].metrics, flags=before[1].flags)
        return before[1]

    return history.changed(changed)


def needed(history: History) -> History:
    """What of a history questions ask, for a process of their own: not what people wrote beside it."""
    other = history.changed(lambda each: replace(each, notifications={}, templates={}, briefs={}, comments={}))
    other.versions = []
    return other
