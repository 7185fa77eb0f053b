"""Stopping: P10, how often a plan stops a rollout in which nothing is wrong, and how soon one that harms.

From events on, through all that is pure, with looks some seconds apart; and over hours with a look every second, of the
guardrail alone and on counts. That both find the same at the same look is a row of its own.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from evaluation.columns.arrays import Floats, Mask
from evaluation.plans.acts import PausePlan, RollBack
from pipeline.simulation.harm import ArmCounts, Ramp, draw, is_harmed, naive, peer
from pipeline.simulation.rollouts import PLAN, Followed, Ramps, follow
from pipeline.simulation.rows import PieceResult, quantile, share
from pipeline.simulation.stream import VARIANTS
from pipeline.simulation.watching import ALPHA
from schemas.look import EVERYONE, SPLIT_ALPHA, Reading

GUARDRAIL = "error"
LOOKS = {"every second": 1, "every 10 minutes": 600, "every hour": 3_600, "every 6 hours": 21_600}
FOLLOWED, DRAWN = 100, 10  # rollouts at once, for the memory's sake
TWO_SIDED = 1.96  # standard errors of a test for one look

HARMS = (0.1, 0.2, 0.5)
MEDIANS = {
    "second": "P10 seconds until stopped, in half of the rollouts",
    "units": "P10 units in when stopped, in half of the rollouts",
    "treated": "P10 treated until stopped, in half of the rollouts",
}

IN_VAIN = {
    "ramp 1, 10, 50%": Ramp(),
    "ramp 1, 10, 50%, a rate that doubles": Ramp(later=2.0),
    "50% at once": Ramp(steps=((0, 50.0),)),
}


def kills_from_events(random: Generator, replications: int) -> PieceResult:
    """Of rollouts in which nothing is wrong, how many does the plan roll back, or pause?"""
    seen = [_seen(its) for its in _followed(random, replications)]
    guardrail, primary, pauses, of_guardrail, of_primary, failing = np.array(seen).T
    protocol, ramp = "P10 nothing is wrong, and a plan rolls back", "ramp 1, 10, 50%, from events on"
    return PieceResult(
        [
            share(
                protocol,
                f"guardrail or primary, {ramp}",
                guardrail | primary,
                limit=ALPHA,
                naive=of_guardrail | of_primary,
            ),
            share(protocol, f"guardrail, {ramp}", guardrail, limit=ALPHA, naive=of_guardrail, peer=failing),
            share(protocol, f"primary, {ramp}", primary, limit=ALPHA, naive=of_primary),
            share("P10 nothing is wrong, and a plan pauses", f"split, {ramp}", pauses, limit=SPLIT_ALPHA),
        ]
    )


def _seen(its: Sequence[Followed]) -> tuple[bool, ...]:
    """Whether the plan rolls back for the guardrail, and for the primary; pauses; and what others would have seen."""
    said = its[-1].said
    kills = {alarm.name.split("/")[0] for alarm in said.alarms if isinstance(said.act, RollBack)}
    live = counts(its, "live")
    return (
        GUARDRAIL in kills,
        "purchase" in kills,
        any(isinstance(each.said.act, PausePlan) for each in its),
        bool(naive(live).any()),
        any(_looks_worse(each) for each in its),
        bool(peer(live).any()),
    )


def _looks_worse(followed: Followed) -> bool:
    """Whether the primary does by a test for one look."""
    (cell,) = (each for each in followed.look.cells if (each.metric, each.reading) == ("purchase", "settled"))
    if cell.status != "ok" or cell.estimate is None or cell.standard_error is None:
        return False
    return cell.estimate < -TWO_SIDED * cell.standard_error


def stops_from_events(random: Generator, replications: int) -> PieceResult:
    """Of rollouts that harm, how many does the plan roll back? And do counts alone say the same? There are fewer."""
    differs, never = [], []
    for its in _followed(random, max(2, replications // 10), harm=0.5):
        alarms = [any(alarm.name.startswith(GUARDRAIL) for alarm in each.said.alarms) for each in its]
        by_counts = is_harmed(counts(its, "live"), counts(its, "settled"))[0]
        differs.append(bool(np.any(by_counts != alarms)))
        never.append(not isinstance(its[-1].said.act, RollBack))
    cell = "error +50%, ramp 1, 10, 50%, from events on"
    return PieceResult(
        [
            share("P10 a plan never stops what harms", cell, np.array(never)),
            share("P10 a look says otherwise than its counts", cell, np.array(differs), limit=0.0),
        ]
    )


def _followed(random: Generator, rollouts: int, harm: float = 0.0) -> Iterator[list[Followed]]:
    """Of each rollout its looks, until its plan ends it."""
    for done in range(0, rollouts, FOLLOWED):
        looks = defaultdict(list)
        for moment in follow(random, Ramps(min(FOLLOWED, rollouts - done), harm=harm)):
            for key, followed in moment.items():
                looks[key].append(followed)
        yield from looks.values()


def counts(its: Sequence[Followed], reading: Reading) -> ArmCounts:
    """What a rollout's looks know of the guardrail."""
    found = np.zeros((2, 2, len(PLAN.steps), 1, len(its)), np.int64)
    for number, each in enumerate(its):
        for sums in (sums for aggregate in each.aggregates for sums in aggregate.sums):
            if (sums.metric, sums.reading, sums.segment) == (GUARDRAIL, reading, EVERYONE):
                arm = VARIANTS.index(sums.variant) ^ 1  # the treatment first
                found[:, arm, sums.allocation, 0, number] += sums.n, sums.nonzero
    return ArmCounts(*found)


def kills(name: str, random: Generator, replications: int) -> PieceResult:
    """On counts: of rollouts in which nothing is wrong, how often is the guardrail called harmed?"""
    watched = _watched(random, IN_VAIN[name], replications)
    rows = []
    for looks, stops_of in watched.items():
        ours, by_t_test, by_peer = (np.isfinite(each.second) for each in stops_of)
        rows.append(
            share(
                "P10 nothing is wrong, and a guardrail is called harmed",
                f"{name}, {looks}",
                ours,
                limit=ALPHA,
                naive=by_t_test,
                peer=by_peer,
            )
        )
    return PieceResult(rows)


def stops(random: Generator, replications: int) -> PieceResult:
    """On counts: how soon is a rollout stopped that harms, and how many has it treated until then?"""
    rows = []
    for harm in HARMS:
        for looks, stops_of in _watched(random, Ramp(harm=harm), replications).items():
            cell = f"error +{harm:.0%}, ramp 1, 10, 50%, {looks}"
            never, others, peers = (~np.isfinite(each.second) for each in stops_of)
            rows.append(share("P10 never stopped", cell, never, naive=others, peer=peers))
            for name, protocol in MEDIANS.items():
                ours, by_t_test, by_peer = (getattr(each, name) for each in stops_of)
                rows.append(quantile(protocol, cell, ours, 0.5, naive=by_t_test, peer=by_peer))
    return PieceResult(sorted(rows, key=lambda row: row.protocol))


@dataclass(frozen=True)
class Stops:
    """Arrays, one value per rollout: the second at which it is stopped, infinite: never; and who came until then."""

    second: Floats
    units: Floats
    treated: Floats


def _watched(random: Generator, ramp: Ramp, rollouts: int) -> dict[str, list[Stops]]:
    """By how often one looks, when rollouts are stopped by a plan, by a t-test and by the peer."""
    parts: dict[str, list[list[Stops]]] = {looks: [] for looks in LOOKS}
    for done in range(0, rollouts, DRAWN):
        live, settled = draw(random, ramp, min(DRAWN, rollouts - done))
        of_arms = live.units.sum(1)
        for looks, every in LOOKS.items():
            seen = live.every(every)
            says = (is_harmed(seen, settled.every(every)), naive(seen), peer(seen))
            parts[looks].append([_stops(each, every, of_arms) for each in says])
    return {looks: [_joined(its) for its in zip(*of_looks, strict=True)] for looks, of_looks in parts.items()}


def _stops(says: Mask, every: int, units: NDArray[np.int64]) -> Stops:
    """By whoever says so first; `units` of each arm, at the end of every second."""
    second = np.where(says.any(-1), (says.argmax(-1) + 1.0) * every, np.inf)
    last = np.minimum(second, units.shape[-1]).astype(np.int64) - 1
    treated, untreated = units[:, np.arange(len(last)), last]
    return Stops(second, np.where(np.isfinite(second), treated + untreated, np.inf), treated.astype(np.float64))


def _joined(parts: Sequence[Stops]) -> Stops:
    return Stops(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Stops)))
