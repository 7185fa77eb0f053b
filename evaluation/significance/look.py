"""Look: everything that the sums of a run say at one moment. The significance stage's question.

A look is a function of the newest aggregate of each units partition, of the catalog that the newest of them used and of
the run's last published look, from which the running values go on. Nothing else: no clock, no order of partitions.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import UNSET

from evaluation.catalog.in_force import MetricInForce, RunInForce
from evaluation.catalog.logs import LogsInForce
from evaluation.significance.best import contenders
from evaluation.significance.cells import RULES_OF_OTHERS, ArmKey, Lost, cell_key, cells
from evaluation.significance.data import data_faults
from evaluation.significance.health import health
from evaluation.significance.moments import ArmMoments
from evaluation.significance.verdict import decide
from schemas.aggregate import Aggregate
from schemas.decoding import decode
from schemas.look import RULES, Cell, Look, Origin
from schemas.topics import UNITS

GROWTH = 0.001  # of an arm's units or of the counted events: news that does not wait


def look(
    run: RunInForce,
    aggregates: Sequence[Aggregate],
    previous: Look | None,
    logs: LogsInForce | None = None,
    *,
    of_files: bool = False,
    rules: int = RULES,
) -> Look:
    """The run's next look.

    `aggregates` holds the newest of each units partition that has one, at least one; `run` is the run as of the largest
    `catalog` among them (History.at_offset); `previous` is the run's last published look; `logs` those in force there,
    which a first look names; `of_files` says that nobody knows of the looks before. By `rules` of an earlier version it
    says what that one said, as far as this one knows.
    A metric of which some partition still adds up another version is left out until all have come along.
    """
    _check(run, aggregates)
    behind = _behind(run.metrics, aggregates)
    metrics = {key: metric for key, metric in run.metrics.items() if key not in behind}
    is_recounted = previous is not None and (previous.generation or 0) != run.generation
    before = {cell_key(cell): cell for cell in previous.cells} if previous else {}
    if is_recounted:  # what has covered the same units goes on
        before = {key: cell for key, cell in before.items() if cell.since == _since(run, cell.metric)}
    is_judged_anew = previous is not None and not previous.analysis.judges_as(run.definition.analysis)
    believed = health(run, aggregates, previous)
    if not of_files and (faults := data_faults(run, aggregates, believed)):
        believed = msgspec.structs.replace(believed, data=faults)
    arms, lost = _arms(metrics, aggregates), Lost(_withheld(aggregates), believed.losses or ())
    made, is_restarted = cells(run, metrics, arms, lost, {} if is_judged_anew else before, rules=rules)
    standing = {(cell.metric, cell.metric_version) for cell in before.values()}
    known = {
        (each.metric, each.variant): each
        for each in (previous and not is_judged_anew and previous.best) or ()
        if each.metric in metrics and (each.metric, metrics[each.metric].version) in standing
    }
    is_restated = is_recounted or is_judged_anew or is_restarted or _is_redefined(run, before.values())
    final = all(aggregate.final for aggregate in aggregates)
    time = min(aggregate.watermark for aggregate in aggregates)
    return Look(
        experiment=run.flag,
        run=run.key,
        look=previous.look + 1 if previous else 1,
        revision=previous.revision + is_restated if previous else 0,
        rules=rules,
        time=time,
        catalog_version=max(aggregate.catalog for aggregate in aggregates),
        offsets={str(each.partition): each.offset for each in sorted(aggregates, key=lambda each: each.partition)},
        logs=_origin(logs) if logs and not previous else UNSET,
        health=believed,
        analysis=run.definition.analysis,
        verdict=decide(
            run,
            metrics,
            made,
            believed,
            time=time,
            final=final,
            before=previous.verdict if previous and not is_restated else None,
            of_files=of_files,
        ),
        final=final,
        cells=made,
        best=contenders(run, metrics, arms, lost, known) if rules >= RULES_OF_OTHERS else UNSET,
        generation=run.generation or UNSET,
    )


def _since(run: RunInForce, metric: str) -> int | None:
    """From when on (ms UTC) entries are covered; None: all are."""
    since = run.since.get(metric, run.started)
    return since if since > run.started else None


def _origin(logs: LogsInForce) -> Origin:
    units = logs.definition.topics.get(UNITS)
    return Origin(logs.definition.cluster, units.id if units else "")


def has_news(current: Look, last: Look | None, silent: bool) -> bool:
    """Whether to publish `current` after `last`; `silent` says that two seconds have passed without a look.

    At once when a cell's status or the decision changes, an arm's units or the counted events grow by 0.1 %, or the run
    becomes final; whatever else differs waits for the silence to be long.
    """
    if last is None:
        return True
    return _news(current) != _news(last) and (silent or _is_urgent(current, last))


def encode_look(value: Look) -> bytes:
    """The record's value: fields in the order of the schema, offsets in that of the partitions."""
    return msgspec.json.encode(value)


def decode_look(value: bytes | None) -> Look:
    """The look that a record holds. Raises NoMessageError."""
    return decode(value, Look)


def _check(run: RunInForce, aggregates: Sequence[Aggregate]) -> None:
    if not aggregates:
        raise ValueError(f"a look at {run.flag}/{run.key} needs an aggregate; there is none yet")
    partitions = set()
    for each in aggregates:
        if each.generation != run.generation:
            raise ValueError(
                f"an aggregate of generation {each.generation} of {run.flag}/{run.key} is no part of a look at "
                f"generation {run.generation}; wait until all partitions have come along"
            )
        if (each.flag, each.run) != (run.flag, run.key):
            raise ValueError(
                f"an aggregate of {each.flag}/{each.run} is no part of a look at {run.flag}/{run.key}; group by run"
            )
        if each.partition in partitions:
            raise ValueError(
                f"two aggregates of {run.flag}/{run.key} cover units partition {each.partition}; pass the newest only"
            )
        partitions.add(each.partition)


def _behind(metrics: Mapping[str, MetricInForce], aggregates: Iterable[Aggregate]) -> set[str]:
    """Metrics of which some partition adds up other versions than the one in force."""
    behind = set()
    for aggregate in aggregates:
        versions: dict[str, set[int]] = defaultdict(set)
        for sums in aggregate.sums:
            versions[sums.metric].add(sums.version)
        behind |= {key for key, found in versions.items() if key in metrics and metrics[key].version not in found}
    return behind


def _arms(metrics: Mapping[str, MetricInForce], aggregates: Iterable[Aggregate]) -> dict[ArmKey, ArmMoments]:
    """The sums of each arm over all partitions."""
    versions = {key: metric.version for key, metric in metrics.items()}
    arms: dict[ArmKey, ArmMoments] = {}
    for aggregate in aggregates:
        for sums in aggregate.sums:
            if versions.get(sums.metric) == sums.version:
                key = sums.metric, sums.reading, sums.segment, sums.allocation, sums.variant
                arm = ArmMoments(
                    sums.n,
                    sums.nonzero,
                    tuple(map(int, sums.first)),
                    tuple(map(int, sums.second)),
                    (sums.spread,) if sums.spread and sums.spread.steps else (),
                )
                known = arms.get(key)
                arms[key] = arm if known is None else known + arm
    return arms


def _withheld(aggregates: Iterable[Aggregate]) -> dict[str, int]:
    withheld: dict[str, int] = defaultdict(int)
    for aggregate in aggregates:
        for metric in aggregate.metrics:
            withheld[metric.metric] += metric.withheld
    return withheld


def _is_redefined(run: RunInForce, before: Iterable[Cell]) -> bool:
    """Whether some metric was: its running values start again, even if its numbers are not there yet."""
    measured = {(cell.metric, cell.metric_version) for cell in before}
    return any(metric in run.metrics and run.metrics[metric].version != version for metric, version in measured)


def _news(value: Look) -> tuple[object, ...]:
    return value.cells, value.health, value.verdict.decision, value.final, value.generation


def _is_urgent(current: Look, last: Look) -> bool:
    def sizes(value: Look) -> list[int]:
        return [value.health.counted_events, *(arm.units for arm in value.health.arms)]

    def states(value: Look) -> tuple[object, ...]:
        statuses = {cell_key(cell): cell.status for cell in value.cells}
        return statuses, value.verdict.decision, value.final, len(value.health.arms), value.generation

    return states(current) != states(last) or any(
        abs(now - then) > GROWTH * then for now, then in zip(sizes(current), sizes(last), strict=True)
    )
