"""Protocols: the operating characteristics that the product is held to, as pieces of work.

A piece takes a generator and a number of replications. Pieces know nothing of one another, so that they may run in any
order and in any process.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import stats

from evaluation.columns.arrays import Floats, Mask
from evaluation.significance import conversions, fixed, gates, mixture, multiplicity, power, srm
from pipeline.simulation.leaving_out import PAIRS, false_positives_left_out
from pipeline.simulation.populations import NORMAL, POPULATIONS, Population
from pipeline.simulation.rows import Characteristic, PieceOfWork, PieceResult, quantile, share, truth
from pipeline.simulation.stopping import IN_VAIN, kills, kills_from_events, stops, stops_from_events
from pipeline.simulation.stream import Trial, play, running, treated
from pipeline.simulation.watching import ALPHA, LOOKS, ArmSums, Scenario, ever, watch
from schemas.look import SPLIT_ALPHA, Look

Part = Literal["inference", "plans"]

SPLITS = {"50/50": 0.5, "90/10": 0.1}
GROWTHBOOK = 5_000  # N*
EFFECT = 0.1  # relative; of the normal population, a tenth of its standard deviation
LONG = 20_000  # units until everyone has found it
FALSE_POSITIVES, DECISIONS = "false positives", "decisions"  # curves
NAIVE = ", naive"
NEEDED = round(2.0 * float(power.fixed_units(EFFECT, (1.0, 1.0), 1.0, ALPHA, 0.8)))  # by a single t-test
METRICS, REAL = 20, 4  # of a family, and how many have an effect

# By (population, split, looks): share of A/A tests that any look rejects, N* 10,000.
REFERENCES = {
    ("normal", "50/50", LOOKS): 0.010,
    ("conversion 10%", "50/50", LOOKS): 0.011,
    ("lognormal 1.5", "50/50", LOOKS): 0.011,
}


def pieces() -> list[tuple[Part, PieceOfWork]]:
    """Everything that is measured, in the order of the table, and of what part it is."""
    return [*(("inference", piece) for piece in _inference()), *(("plans", piece) for piece in _plans())]


def _inference() -> list[PieceOfWork]:
    grid = [(population, split) for population in POPULATIONS for split in SPLITS]
    return [
        *(partial(false_positives, *each, LOOKS) for each in grid),
        *(partial(false_positives, population, split, population.units) for population, split in grid),
        as_growthbook,
        *(partial(false_positives_left_out, way, share) for way in PAIRS for share in SPLITS.values()),
        *(partial(rare_conversions, split) for split in SPLITS),
        *(partial(whole_pipeline, split) for split in SPLITS),
        *(partial(coverage, *each) for each in grid),
        partial(time_to_decision, mixture.PLANNED_UNITS, (0.434, 0.875), (3_440, None, 6_680)),
        partial(time_to_decision, GROWTHBOOK, (0.499, 0.882), (3_160, 5_275, 6_600)),
        *(partial(split_as_promised, weights) for weights in ((1, 1), (9, 1), (1, 1, 1))),
        split_broken,
        several_metrics,
        *(partial(rehashed, split) for split in SPLITS),
    ]


def _plans() -> list[PieceOfWork]:
    return [
        kills_from_events,
        stops_from_events,
        *(partial(kills, name) for name in IN_VAIN),
        stops,
    ]


def false_positives(
    population: Population, split: str, looks: int, random: Generator, replications: int
) -> PieceResult:
    """P1: does an A/A test that is watched all the time reject?"""
    watched = watch(random, Scenario(population, SPLITS[split], units=population.units, looks=looks), replications)
    row = share(
        "P1 any look rejects",
        f"{population.name}, {split}, {_pace(looks, population.units)}",
        np.isfinite(watched.rejected_at),
        limit=ALPHA,
        reference=REFERENCES.get((population.name, split, looks)),
        naive=np.isfinite(watched.fixed_rejected_at),
        is_claimed=_is_claimed(population, split),
    )
    is_drawn = population is NORMAL and split == "50/50" and looks == LOOKS
    curves = {FALSE_POSITIVES: watched.rejected_at, FALSE_POSITIVES + NAIVE: watched.fixed_rejected_at}
    return PieceResult([row], curves if is_drawn else {})


def as_growthbook(random: Generator, replications: int) -> PieceResult:
    """P1 with another tuning."""
    rejects = np.isfinite(watch(random, Scenario(NORMAL, planned=GROWTHBOOK), replications).rejected_at)
    cell = f"normal, 50/50, {LOOKS} looks, N* {GROWTHBOOK:,}"
    return PieceResult([share("P1 any look rejects", cell, rejects, limit=ALPHA, reference=0.020)])


def pooled(rows: Iterable[Characteristic]) -> Iterator[Characteristic]:
    """P1 over all cells that are within the claim: below alpha with nothing added. None, if there are none."""
    shares = [row.measured for row in rows if row.protocol.startswith("P1 ") and row.verdict != "outside the claim"]
    if not shares:
        return
    mean = float(np.mean(shares))
    yield Characteristic(
        protocol="P1 mean of all cells within the claim",
        cell="any look rejects",
        measured=mean,
        standard_error=None,
        expected=f"≤ {ALPHA:g}",
        verdict="pass" if mean <= ALPHA else "fail",
    )


def rare_conversions(split: str, random: Generator, replications: int) -> PieceResult:
    """P1, P3 of the exact process, that reads every conversion as it comes: most windows are open still."""
    units, rate, probability = LONG, 0.01, SPLITS[split]

    def watched(lift: float) -> tuple[Mask, Mask]:
        """Whether any conversion rejects, and whether any leaves out the true risk ratio."""
        x, y, length = [], [], []
        for _ in range(replications):
            is_treated = random.random(units) < probability
            converts = random.random(units) < rate * np.where(is_treated, lift, 1.0)
            time = random.random(units) + random.exponential(0.5, units)  # entries end at 1, as does the experiment
            counted = np.flatnonzero(converts & (time <= 1.0))
            of_treatment = is_treated[counted[np.argsort(time[counted])]]
            x.append(np.cumsum(of_treatment))
            y.append(np.cumsum(~of_treatment))
            length.append(len(counted))
        said = conversions.exact_evidence(np.concatenate(x), np.concatenate(y), probability, ALPHA)
        starts = np.cumsum([0, *length[:-1]])
        rejects, misses = said.p_value < ALPHA, (said.lower > lift) | (said.upper < lift)
        return np.logical_or.reduceat(rejects, starts), np.logical_or.reduceat(misses, starts)

    cell = f"conversion 1%, {split}, exact, every conversion, windows open"
    rejects, _ = watched(1.0)
    _, misses = watched(1.3)
    return PieceResult(
        [
            share("P1 any look rejects", cell, rejects, limit=ALPHA),
            share("P3 any look misses the risk ratio", cell, misses, limit=ALPHA),
        ]
    )


def whole_pipeline(split: str, random: Generator, replications: int) -> PieceResult:
    """P2: P1 from events to looks. A replication costs more, so there is a quarter of them."""
    trial = Trial(max(1, replications // 4), visitors=3_000, looks=40, share=SPLITS[split])
    looks = list(play(random, trial))
    rows = []
    for i, cell in enumerate(looks[-1][0].cells):
        if cell.reading == "settled" or cell.metric == "error":
            p_values = [look.cells[i].running_p_value for look in looks[-1]]
            rejects = np.array([p is not None and p < ALPHA for p in p_values])
            rows.append(
                share(
                    "P2 any look rejects",
                    f"{cell.metric}, {cell.reading}, {split}, from events on",
                    rejects,
                    limit=ALPHA,
                )
            )
    shipped = ever(np.array([[look.verdict.decision == "ship" for look in made] for made in looks]).T)
    rows.append(share("P2 any look says ship", f"{split}, from events on", shipped, limit=ALPHA))
    for reading, windows in (("live", "windows open"), ("settled", "windows closed")):
        harmed = ever(np.array([[_is_harmed(look, reading) for look in made] for made in looks]).T)
        name = f"error, {reading}, {split}, {windows}, from events on"
        rows.append(share("P2 any look says a guardrail is harmed", name, harmed, limit=ALPHA))
    return PieceResult(rows)


def coverage(population: Population, split: str, random: Generator, replications: int) -> PieceResult:
    """P3: do the intervals of all looks hold the true effect?"""
    is_anchored = population is NORMAL and split == "50/50"
    units = LONG if is_anchored else population.units
    watched = watch(random, Scenario(population, SPLITS[split], EFFECT, units), replications)
    cell = f"{population.name} +10%, {split}"
    is_claimed = _is_claimed(population, split)
    return PieceResult(
        [
            share(
                "P3 any look misses the difference",
                cell,
                ~watched.covers,
                limit=ALPHA,
                reference=0.023 if is_anchored else None,
                is_claimed=is_claimed,
            ),
            share(
                "P3 any look misses the lift",
                cell,
                ~watched.covers_relative,
                limit=ALPHA,
                is_claimed=is_claimed,
            ),
        ]
    )


def time_to_decision(
    planned: int,
    powers: tuple[float, float],
    units: tuple[float, float | None, float],
    random: Generator,
    replications: int,
) -> PieceResult:
    """P4: how soon is a real effect seen? `powers`, at the fixed test's units and twice them, and `units` are known."""
    watched = watch(random, Scenario(NORMAL, effect=EFFECT, units=LONG, planned=planned), replications)
    cell = f"normal, effect 0.1 sd, N* {planned:,}"
    rows = [
        share(
            "P4 share that has decided",
            f"{cell}, {times * NEEDED:,.0f} units in",
            watched.rejected_at <= times * NEEDED,
            reference=reference,
            naive=watched.fixed_rejected_at <= times * NEEDED,
        )
        for times, reference in zip((1, 2), powers, strict=True)
    ] + [
        quantile(
            "P4 units in at a decision",
            f"{cell}, {order:.0%} of experiments",
            watched.rejected_at,
            order,
            reference=reference,
            naive=watched.fixed_rejected_at,
        )
        for order, reference in zip((0.5, 0.8, 0.9), units, strict=True)
    ]
    curves = {DECISIONS: watched.rejected_at, DECISIONS + NAIVE: watched.fixed_rejected_at}
    return PieceResult(rows, curves if planned == mixture.PLANNED_UNITS else {})


def split_as_promised(weights: tuple[int, ...], random: Generator, replications: int) -> PieceResult:
    """P5: is a split that is as promised called broken?"""
    counts = _counts(random, replications, 100, 1_000, np.array(weights) / sum(weights))
    alarms = srm.p_value(srm.log_bayes_factor(counts, weights)) < SPLIT_ALPHA
    naive = srm.chi_squared(counts, weights)[1] < SPLIT_ALPHA
    cell = f"weights {':'.join(map(str, weights))}, every 100 of 100,000 units"
    row = share("P5 any look calls the split broken", cell, ever(alarms), limit=SPLIT_ALPHA, naive=ever(naive))
    return PieceResult([row])


def split_broken(random: Generator, replications: int) -> PieceResult:
    """P5: how soon is a broken split seen?"""
    counts = _counts(random, replications, 100, 1_500, np.array([0.51, 0.49]))
    alarms = srm.p_value(srm.log_bayes_factor(counts, (1, 1))) < SPLIT_ALPHA
    units = np.where(ever(alarms), (alarms.argmax(1) + 1.0) * 100, np.inf)
    cell = "51/49 for 50/50, every 100 units"
    return PieceResult([quantile("P5 units in when half are called broken", cell, units, 0.5, reference=29_000)])


def several_metrics(random: Generator, replications: int) -> PieceResult:
    """P6: four of twenty metrics have an effect, and whoever sees any stops. How much of what is seen then is wrong?"""
    adjust = {
        "alpha divided": lambda p: p,
        "Bonferroni": multiplicity.bonferroni,
        "Holm": multiplicity.holm,
        "Benjamini-Hochberg": multiplicity.benjamini_hochberg,
    }
    parts: dict[str, list[Floats]] = {method: [] for method in (*adjust, NAIVE)}
    for done in range(0, replications, 20):
        shape = (min(20, replications - done), LOOKS, METRICS)
        sums = _normal_sums(random, shape, np.where(np.arange(METRICS) < REAL, EFFECT, 0.0))
        divided = _running_p(*sums, ALPHA / METRICS) * METRICS
        whole = _running_p(*sums, ALPHA)
        n, difference, variance = sums
        t = fixed.t_test(difference, variance, 2.0 * n - 2.0, ALPHA).p_value
        for method, function in adjust.items():
            parts[method].append(_share_wrong(function(divided if method == "alpha divided" else whole)))
        parts[NAIVE].append(_share_wrong(multiplicity.benjamini_hochberg(np.where(n >= gates.EXPOSURES, t, 1.0))))
    wrong = {method: np.concatenate(each) for method, each in parts.items()}
    return PieceResult(
        [
            share(
                "P6 of what the first findings say, share that is wrong",
                f"{METRICS} metrics, {REAL} with an effect, {method}",
                wrong[method],
                limit=ALPHA,
                naive=wrong[NAIVE] if method == "Benjamini-Hochberg" else None,
            )
            for method in adjust
        ]
    )


def rehashed(split: str, random: Generator, replications: int) -> PieceResult:
    """P9: the same units, split anew by the product's buckets; is the fixed test's p-value uniform?"""
    units = 10_000
    _, is_treated = treated(random, running(replications, SPLITS[split]).newest, units)
    rows = []
    for population in POPULATIONS[:2]:
        x = population.draw(random, np.ones(units))
        values = np.column_stack([np.ones(units), x != 0.0, x, x * x])
        treatment = ArmSums(*(is_treated.astype(np.float64) @ values).T)
        control = ArmSums(*values.sum(0)[:, None]) - treatment
        v, control_v = treatment.variance, control.variance
        freedom = fixed.welch_freedom(v, treatment.n, control_v, control.n)
        p = fixed.t_test(treatment.mean - control.mean, v + control_v, freedom, ALPHA).p_value
        cell = f"{population.name}, {split}, units hashed anew"
        rows += [
            truth("P9 p-values are uniform", f"{cell}, Kolmogorov-Smirnov", float(stats.kstest(p, "uniform").pvalue)),
            truth("P9 p-values are uniform", f"{cell}, chi-squared of 20 bins", _chi_squared(p)),
        ]
    return PieceResult(rows)


def _is_harmed(look: Look, reading: str) -> bool:
    return any(cell.judgement == "harmed" for cell in look.cells if cell.reading == reading)


def _is_claimed(population: Population, split: str) -> bool:
    return population.is_claimed or SPLITS[split] == 0.5


def _pace(looks: int, units: int) -> str:
    return "every event" if looks == units else f"{looks} looks"


def _counts(random: Generator, replications: int, step: int, looks: int, shares: Floats) -> NDArray[np.int64]:
    """Units per arm at each look: (replications, looks, arms)."""
    return np.cumsum(random.multinomial(step, shares, (replications, looks)), axis=1)


def _normal_sums(random: Generator, shape: tuple[int, int, int], effects: Floats) -> tuple[Floats, Floats, Floats]:
    """Units per arm, differences and their variances, of normal values: drawn as what they add up to by look."""
    step = LONG // LOOKS // 2
    n = np.arange(1, LOOKS + 1)[:, None] * np.float64(step)

    def arm(mean: Floats) -> ArmSums:
        total = step * mean + np.sqrt(step) * random.standard_normal(shape)
        squares = random.chisquare(step - 1, shape) + np.square(total) / step
        return ArmSums(n, n, total.cumsum(1), squares.cumsum(1))

    treatment, control = arm(effects), arm(np.zeros(METRICS))
    return n, treatment.mean - control.mean, treatment.variance + control.variance


def _running_p(n: Floats, difference: Floats, variance: Floats, alpha: float) -> Floats:
    """What all looks so far say together, gated ones apart."""
    ratio = mixture.mixing_ratio(2.0 * n, mixture.PLANNED_UNITS, alpha)
    p = mixture.evidence(difference, variance, ratio, alpha).p_value
    return np.minimum.accumulate(np.where(n >= gates.EXPOSURES, p, 1.0), axis=1)


def _share_wrong(adjusted: Floats) -> Floats:
    """Of the metrics that the first look which finds any has found, those without an effect; 0 where none does."""
    found = adjusted < ALPHA
    at = found.any(-1).argmax(1)
    first = np.take_along_axis(found, at[:, None, None], 1)[:, 0]
    return first[:, REAL:].sum(-1) / np.maximum(1, first.sum(-1))


def _chi_squared(p_values: Floats) -> float:
    return float(stats.chisquare(np.histogram(p_values, 20, (0.0, 1.0))[0]).pvalue)
