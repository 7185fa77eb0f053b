"""Asked: experiments that exposures and some metrics describe, without a document: what an analyst types.

Every experiment that exposures name gets the same metrics. Its variants are those that were met, or those of the
weights; `control` is one of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from evaluation.catalog.metric_rules import metric_violations
from evaluation.catalog.references import OFF
from evaluation.catalog.rules import Violation, did_you_mean, flag_violations
from evaluation.columns.scanning import Type, Wanted, scan
from pipeline.catalog.documents import Documents, FileDefinition
from pipeline.catalog.types import type_violations
from pipeline.catalog.yaml_file import YamlFile
from pipeline.errors import PeekproofError
from pipeline.files.formats import pieces
from pipeline.files.frames import Input
from pipeline.files.left_out import LeftOut
from pipeline.files.sightings import Sightings
from pipeline.files.titles import OfMessages, listed
from pipeline.offline.arms import ArmName, arm_named, weights_of
from pipeline.offline.messages import Translation
from schemas.catalog import Definition, Flag, Metric
from schemas.topics import EVENTS, EXPOSURES

Written = TypeVar("Written", bound=Definition)

OWNER = "-"  # of what nobody wrote down
_FIELDS = ("flag_key", "variant")
_WANTED = Wanted({(field,): Type.TEXT for field in _FIELDS}, None)


def documents_of(
    metrics: Sequence[Mapping[str, Any]], goals: Sequence[Mapping[str, Any]], flags: Iterable[Mapping[str, Any]]
) -> Documents:
    """Documents of these metrics and of flags that have these goals. Raises PeekproofError with every fault."""
    found = {each["key"]: _checked({"owner": OWNER, **each}, Metric, lambda _: ()) for each in metrics}
    if len(found) < len(metrics):
        twice = [key for key, times in Counter(each["key"] for each in metrics).items() if times > 1]
        raise PeekproofError(f"'{twice[0]}' is the key of two metrics; call one of them otherwise")
    for metric in found.values():
        _refuse(metric.key, metric_violations(metric, found))
    made = [
        _checked({"owner": OWNER, "metrics": goals, **each}, Flag, lambda flag: flag_violations(flag, found))
        for each in flags
    ]
    of_metrics = {key: _alone(each) for key, each in found.items()}
    return Documents(of_metrics, {each.key: _alone(each) for each in made}, {}, {}, {}, {}, {}, {}, {})


def variants_met(exposures: Sequence[Input], events: Sequence[Input]) -> dict[str, list[str]]:
    """By experiment the variants that exposures name, by name; events may hold them too, as an export's do.

    Beside two others `off` is none of them, as an export calls what units have no more. Raises PeekproofError where
    nothing is read.
    """
    translation = Translation((), LeftOut(), Sightings(()))
    topic, given = (EXPOSURES, exposures) if exposures else (EVENTS, events)
    header = OfMessages(topic, ())
    met: dict[str, dict[str, None]] = {}
    for piece in chain.from_iterable(pieces(each, header) for each in given):
        for name, messages in translation.messages(piece, topic):
            if name == EXPOSURES:
                values = messages.values
                said = scan(values.data, values.start, values.length, _WANTED)
                columns = {field: said.texts((field,)).arrow().view(pa.large_string()) for field in _FIELDS}
                for pair in pa.table(columns).group_by([*_FIELDS]).aggregate([]).to_pylist():
                    if pair["flag_key"]:
                        met.setdefault(pair["flag_key"], {})
                        if pair["variant"]:
                            met[pair["flag_key"]][pair["variant"]] = None
    for variants in met.values():
        if len(variants) > 2:
            variants.pop(OFF, None)
    return {flag: sorted(variants) for flag, variants in sorted(met.items())}


def flag_of(
    key: str,
    variants: Sequence[str],
    weights: Mapping[ArmName, int] | Mapping[str, int] | None,
    control: ArmName | None,
) -> dict[str, Any]:
    """A flag of these variants; without weights of equal ones. Raises PeekproofError where nothing is compared."""
    weighted = dict.fromkeys(variants, 1) if weights is None else weights_of(weights, variants)
    if len(weighted) < 2:
        raise PeekproofError(
            f"'{key}': its exposures name {listed(variants) if variants else 'no variant'}, and two are compared; "
            "name the variants by `weights`"
        )
    if control is None:
        control = next((each for each in weighted if each.lower() == "control"), next(iter(weighted)))
    control = arm_named(control, weighted)
    if control not in weighted:
        raise PeekproofError(f"'{control}' is no variant of '{key}'; {did_you_mean(control, weighted)}")
    ordered = [control, *(each for each in weighted if each != control)]
    return {"key": key, "variants": [{"key": each, "weight": weighted[each]} for each in ordered], "control": control}


def _checked(value: Mapping[str, Any], kind: type[Written], rules: Callable[[Written], Iterable[Violation]]) -> Written:
    _refuse(str(value["key"]), type_violations(value, kind))
    definition = msgspec.convert(value, kind)
    _refuse(definition.key, rules(definition))
    return definition


def _refuse(key: str, violations: Iterable[Violation]) -> None:
    if found := [f"'{key}': {each}" for each in violations]:
        raise PeekproofError("\n".join(found))


def _alone(definition: Written) -> FileDefinition[Written]:
    """As if it stood in a file."""
    return FileDefinition(definition, YamlFile(f"'{definition.key}'", {(): 1}))
