"""Checklist: whether an experiment is ready to start, and in its first hour whether it works, with what to do."""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from evaluation.arrivals.overview import events_here, flag_arriving
from evaluation.arrivals.recent import HOURS, Recent
from evaluation.catalog.in_force import Catalog, FlagInForce
from evaluation.catalog.near import near
from evaluation.catalog.references import OFF
from schemas.duration import MINUTE_MS
from schemas.look import SPLIT_ALPHA, Look

CheckedState = Literal["done", "missing", "wrong", "unknown"]
IN_USE_MS = 10 * MINUTE_MS  # since a key was used last
HEARING_MS = MINUTE_MS  # that a server must have run before it says that no key is in use


class KeyUse(NamedTuple):
    """When a key of a deployment was used last (ms UTC), and by which library."""

    deployment: str
    last: int
    library: str


class KeysHeard(NamedTuple):
    """The uses of keys that a server has heard of since some time (ms UTC)."""

    since: int
    uses: Sequence[KeyUse]


class ChecklistItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing: `unknown` is what nobody can tell yet. `todo` is what to do about it; null where there is nothing."""

    item: str
    state: CheckedState
    says: str
    todo: str | None = None


class Checklist(msgspec.Struct, frozen=True, kw_only=True):
    """The items of a flag, at `time` (ms UTC). `started` is when its newest run began; null: it never did."""

    key: str
    status: str
    run: str | None
    started: int | None
    time: int
    items: list[ChecklistItem]


def checklist(
    flag: FlagInForce, catalog: Catalog, recent: Recent, keys: KeysHeard, look: Look | None, *, now: int
) -> Checklist:
    """What is there of a flag, by what came in the last hours and the newest look of its newest run."""
    run = flag.runs[-1] if flag.runs else None
    return Checklist(
        key=flag.definition.key,
        status=flag.removed or flag.status,
        run=run.key if run else None,
        started=run.started if run else None,
        time=now,
        items=[
            _key_in_use(flag, catalog, keys, now),
            *_exposures(flag, catalog, recent, now),
            *_events(flag, catalog, events_here(recent, now)),
            _split(flag, look),
            *_goals(flag),
        ],
    )


def _key_in_use(flag: FlagInForce, catalog: Catalog, keys: KeysHeard, now: int) -> ChecklistItem:
    item = "A key is in use"
    serving = [*(flag.definition.deployments or catalog.deployments)]
    if not serving:
        says = "There is no deployment, so no SDK can ask for the flag."
        todo = "Make a deployment and a key of it; none is needed where exposures come over Kafka."
        return ChecklistItem(item=item, state="missing", says=says, todo=todo)
    uses = sorted((each for each in keys.uses if each.deployment in serving), key=lambda each: -each.last)
    if uses and now - uses[0].last < IN_USE_MS:
        newest = uses[0]
        says = f"'{newest.library}' asked with a key of '{newest.deployment}' {_ago(now - newest.last)} ago."
        return ChecklistItem(item=item, state="done", says=says)
    names = ", ".join(f"'{each}'" for each in serving[:5])
    todo = f"Give your program a key of {names}; the deployment's page has a snippet for each SDK."
    if now - keys.since < HEARING_MS:
        says = f"This server hears of keys since {_ago(now - keys.since)} only."
        return ChecklistItem(item=item, state="unknown", says=says, todo="Look again in a minute.")
    heard = f"the last use was {_ago(now - uses[0].last)} ago" if uses else f"none in {_ago(now - keys.since)}"
    return ChecklistItem(item=item, state="missing", says=f"No key of {names} is in use: {heard}.", todo=todo)


def _exposures(flag: FlagInForce, catalog: Catalog, recent: Recent, now: int) -> Iterator[ChecklistItem]:
    step = flag.definition.exposure_event
    if step is not None:
        here = events_here(recent, now)
        yield _came(f"The exposure event '{step.event}' comes", step.event, here, "units enter by it")
        return
    found = flag_arriving(recent, catalog, flag.definition.key, now)
    others = [each for each in (found.seen.runs if found.seen else ()) if each.name and each.hour]
    others = [each for each in others if found.seen and each.name != found.seen.newest_run]
    item, arms = "An exposure was seen", _arms(flag)
    if found.exposures:
        yield ChecklistItem(item=item, state="done", says=f"{found.exposures:,} in the last hour.")
    elif others and found.seen and found.seen.newest_run:
        says = f"Exposures of the last hour name run '{others[0].name}'; the newest is '{found.seen.newest_run}'."
        todo = "Have your program fetch its flags again, and send the run that the answer names."
        yield ChecklistItem(item=item, state="wrong", says=says, todo=todo)
    elif flag.status != "running":
        says = "None in the last hour: until it starts, only users who are listed get a variant."
        todo = "List yourself as a user of a variant, and open the page that asks for the flag."
        yield ChecklistItem(item=item, state="missing", says=says, todo=todo)
    else:
        todo = "See whether the SDK tracks exposures where the variant is shown, and what Arriving says."
        yield ChecklistItem(item=item, state="missing", says="None in the last hour.", todo=todo)

    strange = sorted(found.shares.keys() - {each.key for each in flag.definition.variants} - {OFF})
    unseen = [each for each in arms if each not in found.shares]
    item = "Each variant was seen"
    if strange:
        says = f"Exposures name {_list(strange)}, which the flag does not have."
        todo = f"Send one of {_list([each.key for each in flag.definition.variants])}."
        yield ChecklistItem(item=item, state="wrong", says=says, todo=todo)
    elif not unseen:
        told = ", ".join(f"{each} {found.shares[each]:.0%}" for each in arms)
        yield ChecklistItem(item=item, state="done", says=f"In the last hour: {told}.")
    elif found.exposures:
        says = f"{_list(unseen)} not in the last hour."
        todo = "See whether the program can show it, and tracks it as the others."
        yield ChecklistItem(item=item, state="missing", says=says, todo=todo)
    else:
        yield ChecklistItem(item=item, state="unknown", says="No exposure was seen.")


def _arms(flag: FlagInForce) -> list[str]:
    """The variants that units get."""
    weights = flag.runs[-1].allocations[-1].weights if flag.status == "running" and flag.runs else None
    if weights is not None:
        return [key for key, weight in weights.items() if weight > 0]
    return [each.key for each in flag.definition.variants if each.weight > 0]


def _events(flag: FlagInForce, catalog: Catalog, here: Collection[str]) -> Iterator[ChecklistItem]:
    metrics = {goal.metric: catalog.metrics.get(goal.metric) for goal in flag.definition.metrics}
    for key, metric in metrics.items():
        events = dict.fromkeys(fact.event for fact in metric.facts) if metric else {}
        missing = [event for event in events if event not in here]
        if missing:
            for event in missing:
                yield _came(f"Metric '{key}' has events", event, here, "the metric counts it")
        else:
            yield ChecklistItem(item=f"Metric '{key}' has events", state="done", says=f"{_list([*events])} came.")


def _came(item: str, event: str, here: Collection[str], why: str) -> ChecklistItem:
    if event in here:
        return ChecklistItem(item=item, state="done", says=f"'{event}' came.")
    says = f"'{event}' did not come in the last {HOURS} hours, and {why}."
    alike = near(event, here)
    if alike:
        todo = f"Is {_list(alike)} meant, which does come? Name it in the document, or send '{event}'."
        return ChecklistItem(item=item, state="wrong", says=says, todo=todo)
    return ChecklistItem(item=item, state="missing", says=says, todo=f"Send '{event}', with the id of the unit.")


def _split(flag: FlagInForce, look: Look | None) -> ChecklistItem:
    item = "The split is as promised"
    p = look.health.srm_running_p_value if look else None
    if look is None or p is None or flag.status != "running" or not sum(arm.units for arm in look.health.arms):
        return ChecklistItem(item=item, state="unknown", says="Not before units of a run were counted.")
    if p < SPLIT_ALPHA:
        todo = "Trust no number of this run: find why units of one variant are lost, mend it, and start anew."
        return ChecklistItem(item=item, state="wrong", says=f"Arms differ from their weights (p = {p:.1g}).", todo=todo)
    return ChecklistItem(item=item, state="done", says=f"Nothing speaks against it (p = {p:.2g}).")


def _goals(flag: FlagInForce) -> Iterator[ChecklistItem]:
    goals = flag.definition.metrics
    primary = [goal for goal in goals if goal.role == "primary"]
    item = "A prediction is written down"
    if not primary:
        todo = "Give one metric the role `primary`: the verdict is about it."
        yield ChecklistItem(item=item, state="missing", says="No metric is primary.", todo=todo)
    elif any(goal.minimum_effect is None for goal in primary):
        todo = "Say the smallest lift that matters as its `minimum_effect`: it plans the sample."
        says = f"'{primary[0].metric}' has no `minimum_effect`."
        yield ChecklistItem(item=item, state="missing", says=says, todo=todo)
    else:
        effect = primary[0].minimum_effect or 0.0
        says = f"'{primary[0].metric}' is to {primary[0].direction} by {effect:.1%} at least."
        yield ChecklistItem(item=item, state="done", says=says)
    guardrails = [goal for goal in goals if goal.role == "guardrail"]
    bare = [goal.metric for goal in guardrails if goal.margin is None]
    item = "Guardrails have a margin"
    if bare:
        says = f"{_list(bare)} has none: harm stops the experiment, but nothing proves that it does no harm."
        todo = "Say as `margin` which loss is acceptable: a treatment ships once it is proved to lose no more."
        yield ChecklistItem(item=item, state="missing", says=says, todo=todo)
    elif guardrails:
        yield ChecklistItem(item=item, state="done", says=f"{_list([goal.metric for goal in guardrails])}.")


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{each}'" for each in names)


def _ago(ms: int) -> str:
    seconds = max(0, ms // 1_000)
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7_200 else f"{seconds // 3_600} h"
