"""Leaving out: A/A tests watched all the time, of numbers from which past and strata are taken anew at every look."""

from itertools import combinations_with_replacement

import numpy as np
from numpy.random import Generator

from evaluation.columns.arrays import Floats, Words
from evaluation.significance import mixture
from evaluation.significance.comparison import Form, Pairs, Sample, adjustment, differences
from evaluation.significance.gates import EXPOSURES
from evaluation.significance.moments import ArmMoments
from pipeline.simulation.rows import PieceResult, share
from pipeline.simulation.watching import ALPHA

UNITS, LOOKS = 10_000, 50
SHARES = (0.6, 0.3, 0.1)  # of the strata
FORM = Form("mean", ((1,), (2,)))  # y, and two numbers from before the entry
SCALES = (2, 2, 0)
PAIRS = {  # how many strata there are, and which arms are compared: of each control first
    "two covariates": (1, Pairs([[(1, 0)]])),
    "two covariates, three strata": (3, Pairs([[(1, 0), (3, 2), (5, 4)]], [[0, 0, 0]])),
}


def false_positives_left_out(way: str, split: float, random: Generator, replications: int) -> PieceResult:
    """P1: does an A/A test reject at some look, by the product's own differences?"""
    strata, pairs = PAIRS[way]
    rejects = np.zeros(replications, np.bool_)
    for replication in range(replications):
        samples = [_sample(arms, strata) for arms in _looks(random, strata, split)]
        found = differences(samples, pairs)
        ratio = mixture.mixing_ratio(found.units, mixture.PLANNED_UNITS, ALPHA)
        said = mixture.evidence(found.difference, found.variance, ratio, ALPHA)
        rejects[replication] = bool((said.p_value < ALPHA).any())
    cell = f"{way}, {100 * (1 - split):g}/{100 * split:g}, {LOOKS} looks"
    return PieceResult([share("P1 any look rejects", cell, rejects, limit=ALPHA)])


def _sample(arms: list[ArmMoments], strata: int) -> Sample:
    groups = [arms[2 * number : 2 * number + 2] for number in range(strata)]
    return Sample(arms, SCALES, FORM, adjustment(groups, FORM, SCALES))


def _looks(random: Generator, strata: int, split: float) -> list[list[ArmMoments]]:
    """The arms at each look: of every stratum control and treatment. The first looks are left out, as gates do."""
    stratum = random.choice(len(SHARES), UNITS, p=SHARES)
    before, visits = random.standard_gamma(2.0, UNITS), random.poisson(3.0 + stratum)
    y = 2.0 * stratum + before + 0.5 * visits + random.standard_normal(UNITS)
    values = [np.rint(100.0 * y).astype(np.int64), np.rint(100.0 * before).astype(np.int64), visits.astype(np.int64)]
    is_treated = random.random(UNITS) < split
    place = 2 * (stratum if strata > 1 else np.zeros_like(stratum)) + is_treated
    columns = [np.ones(UNITS, np.int64), *values, *(a * b for a, b in combinations_with_replacement(values, 2))]
    so_far = [[_cumulated(column, place == arm) for column in columns] for arm in range(2 * strata)]
    smallest: Floats = np.min([its[0] for its in so_far], axis=0)
    return [
        [_moments([int(column[look]) for column in its]) for its in so_far]
        for look in np.flatnonzero(smallest >= EXPOSURES // strata).tolist()
    ]


def _cumulated(column: Words, is_of_arm: Words) -> Words:
    return np.cumsum((column * is_of_arm).reshape(LOOKS, -1).sum(axis=1))


def _moments(sums: list[int]) -> ArmMoments:
    """Units, of which none has a 0, the sums of three numbers, and those of their products."""
    return ArmMoments(sums[0], sums[0], tuple(sums[1:4]), tuple(sums[4:]))
