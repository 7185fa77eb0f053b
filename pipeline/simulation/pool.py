"""Pool: the pieces of a simulation on all processors. The same seed gives the same figures on however many."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.random import SeedSequence

from pipeline.simulation.protocols import Part, pieces
from pipeline.simulation.rows import PieceResult


def numbers_of(only: Part | None) -> list[int]:
    """The pieces of one part, or all."""
    return [number for number, (part, _) in enumerate(pieces()) if only in (None, part)]


def run(replications: int, seed: int, only: Part | None = None) -> Iterator[PieceResult]:
    """What each piece of a part has found, in the order of the pieces; each has random numbers of its own."""
    numbers = numbers_of(only)
    seeds = SeedSequence(seed).spawn(len(pieces()))
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_run, numbers, [seeds[number] for number in numbers], [replications] * len(numbers))


def _run(number: int, seed: SeedSequence, replications: int) -> PieceResult:
    _, piece = pieces()[number]
    return piece(np.random.default_rng(seed), replications)
