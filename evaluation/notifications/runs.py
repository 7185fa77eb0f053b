"""Runs: what is known of each run by its looks, and since when it has been so.

A fold over looks: those that were taken already, or are older, change nothing, and some may be skipped. Of a run of
which the newest look alone is known, everything has been as it is since that look was published, as far as anybody can
say.
"""

from hashlib import blake2b

import msgspec

from schemas.look import EVERYONE, Cell, DataFault, Look, Verdict


class MetricSeen(msgspec.Struct, frozen=True):
    """A digest of what its events add up to, since when it is so, and how many units the run had then."""

    digest: str
    since: int
    units: int


class RunSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The newest look, of whose cells those of all units are kept, and since when it has been so.

    Times are append times of looks (ms UTC): of the newest; of the first with this decision; of the one in which
    exposures grew last. `strays` is when exposures of a run that takes none grew last, as far as that was seen;
    `faults` is when each fault of the data was told first, that is told still.
    """

    look: Look
    time: int
    decided: int
    exposed: int
    strays: int | None
    metrics: dict[str, MetricSeen]
    faults: dict[str, int]

    @property
    def units(self) -> int:
        """Units in the run."""
        return sum(arm.units for arm in self.look.health.arms)


def seen(before: RunSeen | None, look: Look, append_time: int) -> RunSeen:
    """What is known of a run after one more of its looks (of all runs: see `Look` for which counts)."""
    if before is not None and look.look <= before.look.look:
        return before
    kept = msgspec.structs.replace(look, cells=[cell for cell in look.cells if cell.segment == EVERYONE])
    told = before.faults if before else {}
    faults = {name_of(fault): told.get(name_of(fault), append_time) for fault in look.health.data or ()}
    after = RunSeen(
        look=kept,
        time=append_time,
        decided=append_time,
        exposed=append_time,
        strays=None,
        metrics={},
        faults=faults,
    )
    units = after.units
    keys = dict.fromkeys(cell.metric for cell in kept.cells)
    metrics = {metric: MetricSeen(_digest(kept, metric), append_time, units) for metric in keys}
    if before is None:
        return msgspec.structs.replace(after, metrics=metrics)
    last = before.look
    for metric, known in before.metrics.items():
        if metric in metrics and known.digest == metrics[metric].digest:
            metrics[metric] = known
    return msgspec.structs.replace(
        after,
        decided=before.decided if decision_of(last.verdict) == decision_of(look.verdict) else append_time,
        exposed=before.exposed if last.health.exposures == look.health.exposures else append_time,
        strays=append_time if look.health.inactive > last.health.inactive else before.strays,
        metrics=metrics,
    )


def name_of(fault: DataFault) -> str:
    """What tells it from other faults of the run."""
    return "/".join(part for part in (fault.kind, fault.metric, fault.event, fault.run) if part)


def decision_of(verdict: Verdict) -> str:
    """What the verdict says should be done: `ship`; of several treatments `keep running; drop b`."""
    arms = verdict.arms or []
    of_arms = [f"{arm.decision} {arm.variant}" for arm in arms if arm.decision not in {"keep running", "none"}]
    return "; ".join([verdict.decision, *of_arms])


def live_cells(look: Look, metric: str) -> list[Cell]:
    """What a metric's events add up to so far, of all units."""
    return [cell for cell in look.cells if (cell.metric, cell.reading, cell.segment) == (metric, "live", EVERYONE)]


def _digest(look: Look, metric: str) -> str:
    sums = [
        (
            *(cell.variant, cell.sum, cell.sum_squares, cell.denominator_sum),
            *(cell.control_sum, cell.control_sum_squares, cell.control_denominator_sum),
        )
        for cell in live_cells(look, metric)
    ]
    return blake2b(msgspec.json.encode(sums), digest_size=8).hexdigest()
