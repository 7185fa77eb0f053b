"""Editing: what applying documents to the catalog would change."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from evaluation.catalog import Catalog, History
from evaluation.lifecycle import LifecycleError, apply_definition
from pipeline.documents import DocumentError, Documents, Fault
from schemas.catalog import KINDS, FlagState, Kind, Spec


@dataclass(frozen=True, slots=True)
class Change:
    """A new version of one document: its spec, the fields of the definition that differ, and what follows from it."""

    kind: Kind
    key: str
    version: int
    spec: Spec
    fields: tuple[str, ...]  # none: the document is new
    effects: tuple[str, ...] = ()


def changes(documents: Documents, history: History) -> list[Change]:
    """What applying the documents changes, in an order in which it can be published.

    Raises DocumentError with every step that is refused.
    """
    found: list[Change] = []
    faults: list[Fault] = []
    catalog = history.newest
    parts_first = sorted(documents.metrics, key=lambda key: documents.metrics[key].definition.type == "ratio")
    plain = (
        (documents.cohorts, catalog.cohorts),
        (documents.deployments, catalog.deployments),
        (documents.groups, catalog.groups),
        ({key: documents.metrics[key] for key in parts_first}, catalog.metrics),
    )
    for sources, in_force in plain:
        for key, source in sources.items():
            standing = in_force.get(key)
            fields = differing(standing.definition if standing else None, source.definition)
            if standing is None or fields:
                kind = KINDS[type(source.definition)]
                effects = tuple(_effects_of_metric(catalog, key)) if kind == "metric" else ()
                found.append(Change(kind, key, catalog.version_of(kind, key) + 1, source.definition, fields, effects))
    for key, flag in documents.flags.items():
        version = catalog.version_of("flag", key) + 1
        before = history.state_of(key)
        try:
            after = apply_definition(before, flag.definition, version)
        except LifecycleError as error:
            faults.append(Fault(flag.file.name, flag.file.line(error.path), str(error)))
            continue
        if after is not before:
            fields = differing(before.definition if before else None, flag.definition)
            found.append(Change("flag", key, version, after, fields, tuple(_effects_of_flag(before, after))))
    if faults:
        raise DocumentError(faults)
    return found


def differing(before: msgspec.Struct | None, after: msgspec.Struct) -> tuple[str, ...]:
    """The fields that two definitions of one thing differ in; none for a new one."""
    if before is None:
        return ()
    encode = msgspec.json.encode  # in Python 1 and true are equal
    names = [field.name for field in msgspec.structs.fields(after)]
    return tuple(name for name in names if encode(getattr(before, name)) != encode(getattr(after, name)))


def _effects_of_metric(catalog: Catalog, metric: str) -> Iterator[str]:
    for key, flag in catalog.flags.items():
        if flag.status != "running":
            continue
        for name, measured in flag.runs[-1].metrics.items():
            if name == metric:
                yield f"{flag.runs[-1].key} of '{key}' measures it anew, on units that enter from now on"
            elif metric in (measured.definition.numerator, measured.definition.denominator):
                yield f"{flag.runs[-1].key} of '{key}' measures '{name}' anew, on units that enter from now on"


def _effects_of_flag(before: FlagState | None, after: FlagState) -> Iterator[str]:
    if before is None or after.status != "running":
        return
    run = after.runs[-1]
    if len(run.allocations) > len(before.runs[-1].allocations):
        allocation = run.allocations[-1]
        weights = ":".join(str(weight) for weight in allocation.weights.values())
        yield (
            f"{run.key} goes on with rollout {allocation.rollout} % and weights {weights}; units that have entered "
            "stay in the variant that they met first"
        )
    if fields := differing(before.definition.analysis, after.definition.analysis):
        yield (
            f"{run.key} is judged anew, by another {', '.join(fields)}: running values start again at the next look, "
            "and alpha no longer bounds the false discoveries of the whole run"
        )
    had = {goal.metric: goal for goal in before.definition.metrics}
    for goal in after.definition.metrics:
        if goal.metric not in had:
            yield f"{run.key} measures '{goal.metric}' on units that enter from now on"
        elif fields := differing(had[goal.metric], goal):
            yield (
                f"{run.key} judges '{goal.metric}' by another {', '.join(fields)} from the next look on; a goal that "
                "was chosen after looking at its numbers proves nothing by them"
            )
