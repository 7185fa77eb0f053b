"""Runs: what is known of each run by its looks, and since when it has been so.

A fold over looks: those that were taken already, or are older, change nothing, and some may be skipped. Of a run of
which the newest look alone is known, everything has been as it is since that look was published, as far as anybody can
say.
"""

import msgspec

from schemas.look import EVERYONE, Cell, Look, Verdict

Numbers = tuple[tuple[object, ...], ...]  # of a metric, by variant: what changes with every event that counts


class MetricSeen(msgspec.Struct, frozen=True):
    """A metric's numbers, since when they are so, and how many units the run had then."""

    numbers: Numbers
    since: int
    units: int


class RunSeen(msgspec.Struct, frozen=True, kw_only=True):
    """The newest look, of whose cells those of all units are kept, and since when it has been so.

    Times are append times of looks (ms UTC): of the newest; of the first with this decision; of the one in which
    exposures grew last. `strays` is when exposures of a run that takes none grew last, as far as that was seen.
    """

    look: Look
    time: int
    decided: int
    exposed: int
    strays: int | None
    metrics: dict[str, MetricSeen]

    @property
    def units(self) -> int:
        """Units in the run."""
        return sum(arm.units for arm in self.look.health.arms)


def seen(before: RunSeen | None, look: Look, append_time: int) -> RunSeen:
    """What is known of a run after one more of its looks (of all runs: see `Look` for which counts)."""
    if before is not None and look.look <= before.look.look:
        return before
    kept = msgspec.structs.replace(look, cells=[cell for cell in look.cells if cell.segment == EVERYONE])
    after = RunSeen(look=kept, time=append_time, decided=append_time, exposed=append_time, strays=None, metrics={})
    units = after.units
    numbers = {metric: _numbers(kept, metric) for metric in dict.fromkeys(cell.metric for cell in kept.cells)}
    metrics = {metric: MetricSeen(found, append_time, units) for metric, found in numbers.items()}
    if before is None:
        return msgspec.structs.replace(after, metrics=metrics)
    last = before.look
    for metric, known in before.metrics.items():
        if metric in metrics and known.numbers == metrics[metric].numbers:
            metrics[metric] = known
    return msgspec.structs.replace(
        after,
        decided=before.decided if decision_of(last.verdict) == decision_of(look.verdict) else append_time,
        exposed=before.exposed if last.health.exposures == look.health.exposures else append_time,
        strays=append_time if look.health.inactive > last.health.inactive else before.strays,
        metrics=metrics,
    )


def decision_of(verdict: Verdict) -> str:
    """What the verdict says should be done: `ship`; of several treatments `keep running; drop b`."""
    arms = verdict.arms or []
    of_arms = [f"{arm.decision} {arm.variant}" for arm in arms if arm.decision not in {"keep running", "none"}]
    return "; ".join([verdict.decision, *of_arms])


def _numbers(look: Look, metric: str) -> Numbers:
    return tuple(_sums(cell) for cell in look.cells if (cell.metric, cell.reading) == (metric, "live"))


def _sums(cell: Cell) -> tuple[object, ...]:
    of_variant = cell.sum, cell.sum_squares, cell.denominator_sum
    return cell.variant, *of_variant, cell.control_sum, cell.control_sum_squares, cell.control_denominator_sum
