"""Pool: the pieces of a simulation on all processors. The same seed gives the same figures on however many."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.random import SeedSequence

from pipeline.simulation.protocols import PieceResult, pieces


def run(replications: int, seed: int) -> Iterator[PieceResult]:
    """What each piece has found, in the order of the pieces; each has random numbers of its own."""
    numbers = range(len(pieces()))
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_run, numbers, SeedSequence(seed).spawn(len(numbers)), [replications] * len(numbers))


def _run(number: int, seed: SeedSequence, replications: int) -> PieceResult:
    return pieces()[number](np.random.default_rng(seed), replications)
