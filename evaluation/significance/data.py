"""Data: what a look should rest on and does not come: exposures, and events of its metrics.

A function of append times, which heartbeats carry on when nothing comes; no clock is asked. What is told is of a run
that takes entries, and of its own time.

That something stopped is judged by its own rate, in minutes in which it came (see evaluation.metrics.silences), with
`NEEDED` beginnings to be expected in the silence, of which there was none. Were the silence no other than the time it
is compared with, all of 20 beginnings would fall into that one once in 2^20, a million. It is compared

- within hours with the last hour before, as if what comes grew less by a factor of e every hour: an evening is no
  fault; what comes seldom (less than every third minute) is never told so early;
- with the same time of the days before, as far as they are known, and once a week is, of the same weekday: a night is
  no fault from the second day on, and a weekend none from the second week on;
- after a day with those days alone; before a week is known after three days, for the first weekend's sake.

So on its first evening a run may be said to have stopped where what comes breaks off within minutes, as at the closing
of an office; from the second day on it may not. Of a holiday nothing is known. Simulated, at 0.05 to 200 exposures a
minute, even, in sessions, by day and night, with weekends of which nothing comes: but for that evening no silence was
told in 280 runs of 28 days, nor in 840 of three. A stop at noon is told after 25 minutes where every minute brings
something (on the first day 45), after an hour or two where every second does, and else after a day, in the first week
three. Events are judged likewise.
"""

from collections.abc import Container, Iterator, Sequence
from math import exp

from evaluation.catalog.in_force import Fact, MetricInForce, RunInForce
from schemas.aggregate import Aggregate, Silence, Stray
from schemas.catalog import Allocation, Goal
from schemas.duration import DAY_MS, MINUTE_MS, in_words, parse_duration
from schemas.look import DataFault, Health

NEEDED = 20  # beginnings to be expected in a silence
NEEDED_AT_FIRST = 30  # of the first day, of which no other is known
DAYS = 7  # that are compared with, at most
FEW = 100  # units, of which none may have sent an event by chance
FEW_STRAYS, SHARE_OF_STRAYS = 10, 0.01  # exposures that name an older run, and their share, up to which nobody minds
SETTLED_MS = 10 * MINUTE_MS  # after a restart, until when producers may not know of it


def data_faults(run: RunInForce, aggregates: Sequence[Aggregate], health: Health) -> list[DataFault]:
    """What does not come to the run, by the newest aggregates."""
    if run.completed is not None or not run.definition.metrics:
        return []
    told = next((each for each in aggregates if each.listened), None)
    now = told.watermark if told else min(each.watermark for each in aggregates)
    if now <= run.started:
        return []
    units = sum(arm.units for arm in health.arms)
    exposures = max(health.exposures, units)
    silence = next((each for each in told.silences if not each.fact), None) if told else None
    found = [*_of_exposures(run, exposures, silence, now), *_of_older_runs(run, aggregates, exposures, now)]
    counted = {each.metric for aggregate in aggregates for each in aggregate.metrics if each.events}
    return [*found, *_of_events(run, told, counted, units)] if told else found


def has_stopped(silence: Silence, now: int) -> bool:
    """Whether a silence is so long that chance, an evening or a night don't explain it."""
    minutes = (now - silence.last) // MINUTE_MS - 1  # the last minute may not be over
    fading = silence.hourly * (1.0 - exp(-minutes / 60.0))
    if fading >= (NEEDED if silence.days else NEEDED_AT_FIRST) and (not silence.days or silence.daily >= NEEDED):
        return True
    days = 1 if silence.days >= DAYS else 3
    daily = silence.daily if silence.days else 24 * silence.hourly
    return minutes * MINUTE_MS >= days * DAY_MS and daily >= NEEDED


def _of_exposures(run: RunInForce, exposures: int, silence: Silence | None, now: int) -> Iterator[DataFault]:
    if not all(map(_gives, (run.allocations[0], run.allocations[-1]))):
        return
    entry = run.definition.exposure_event
    what = f"'{entry.event}', by which units enter," if entry else "exposure"
    near = _nearness(silence.near) if silence and entry and not silence.is_named else ""
    if not exposures:
        lasted = now - run.started
        if lasted >= parse_duration(run.definition.analysis.patience):
            yield DataFault(
                kind="no exposures",
                says=f"no {what} has come since the start, {_lasting(lasted)} ago{near}",
                run=run.key,
                count=0,
                near=silence.near if near and silence else [],
            )
    elif silence and silence.last and has_stopped(silence, now):
        yield DataFault(
            kind="exposures stopped",
            says=f"no {what} has come for {_lasting(now - silence.last)}, {exposures:,} before{near}",
            run=run.key,
            since=silence.last,
            near=silence.near if near else [],
        )


def _of_older_runs(run: RunInForce, aggregates: Sequence[Aggregate], exposures: int, now: int) -> Iterator[DataFault]:
    """Runs that exposures still name, when every producer could know that they are over."""
    by_run: dict[str, Stray] = {}
    for stray in (stray for aggregate in aggregates for stray in aggregate.strays):
        known = by_run.get(stray.run, Stray(stray.run, 0, 0))
        by_run[stray.run] = Stray(stray.run, known.exposures + stray.exposures, max(known.last, stray.last))
    for key, stray in sorted(by_run.items()):
        is_some = stray.exposures >= FEW_STRAYS and stray.exposures > SHARE_OF_STRAYS * (exposures + stray.exposures)
        is_old = stray.last >= run.started + SETTLED_MS and stray.last >= now - DAY_MS
        if not exposures or (is_some and is_old):
            number = f"{stray.exposures:,} exposures name" if stray.exposures > 1 else "an exposure names"
            yield DataFault(
                kind="older run",
                says=(
                    f"{number} {key}, which is over, and not {run.key}, which began {_lasting(now - run.started)} ago: "
                    "they are in no number; let their producers load the flag anew"
                ),
                run=key,
                since=stray.last,
                count=stray.exposures,
            )


def _of_events(run: RunInForce, told: Aggregate, counted: Container[str], units: int) -> Iterator[DataFault]:
    """The metrics' events, in the order of the goals; `counted` are the metrics of which some event counts."""
    now = told.watermark
    silences = {each.fact: each for each in told.silences}
    patience = parse_duration(run.definition.analysis.patience)
    for goal in run.definition.metrics:
        metric = run.metrics.get(goal.metric)
        begun = max(run.started, run.since.get(goal.metric, 0))
        for fact in metric.facts if metric else ():
            silence = silences.get(fact.key)
            if metric is None or silence is None or not _is_missed(goal, silence):
                continue
            if silence.last:
                if has_stopped(silence, now):
                    yield _stopped(goal, fact, silence, now)
            elif units >= FEW and (told.listened <= begun or goal.metric not in counted):  # else it may have come
                lasted = now - max(begun, told.listened) - _begins(metric, fact)
                if lasted >= patience:
                    yield _never(goal, fact, silence, lasted, units)


def _is_missed(goal: Goal, silence: Silence) -> bool:
    """Whether events were hoped for: of what should grow less, none is good news, unless others are called alike."""
    return goal.direction == "increase" or (not silence.last and bool(silence.near) and not silence.is_named)


def _begins(metric: MetricInForce, fact: Fact) -> int:
    """How long after its entry (ms) a unit can send it first, to be counted."""
    return min(each.begins if fact == each.facts[-1] else 0 for each in metric.variables if fact in each.facts)


def _stopped(goal: Goal, fact: Fact, silence: Silence, now: int) -> DataFault:
    says = f"no '{fact.event}' has come for {_lasting(now - silence.last)}, so {goal.metric} stands still"
    return DataFault(
        kind="event stopped",
        says=f"{says}{_nearness(silence.near)}",
        metric=goal.metric,
        event=fact.event,
        since=silence.last,
        near=silence.near,
    )


def _never(goal: Goal, fact: Fact, silence: Silence, lasted: int, units: int) -> DataFault:
    says = (
        f"'{fact.event}' does come, but for {_lasting(lasted)} none that {goal.metric} counts: see its `where`, and by "
        "which unit events say who it was"
    )
    if not silence.is_named:
        says = f"no '{fact.event}' has come for {_lasting(lasted)}, so {goal.metric} counts none of {units:,} units"
        says += _nearness(silence.near)
    return DataFault(
        kind="event never came",
        says=says,
        metric=goal.metric,
        event=fact.event,
        count=units,
        near=[] if silence.is_named else silence.near,
    )


def _nearness(near: Sequence[str]) -> str:
    """Names that may have been meant."""
    names = " and ".join(f"'{name}'" for name in near)
    return f", while {names} {'do' if len(near) > 1 else 'does'}" if near else ""


def _gives(allocation: Allocation) -> bool:
    """Whether it gives somebody a variant."""
    return bool(allocation.rollout or any(each.rollout for each in allocation.segments))


def _lasting(ms: int) -> str:
    """A length of time, in steps, lest there is a look every minute to say another one."""
    step = 10 * MINUTE_MS if ms >= 10 * MINUTE_MS else MINUTE_MS if ms >= MINUTE_MS else 1_000
    return in_words(ms - ms % step)
