"""Rows: what was measured, what was promised, and whether the one keeps to the other.

A limit is broken by a share of replications that lies more than three standard errors above it. A reference is missed
by three standard errors of the difference. References are figures of a simulation of the same designs that shares no
code with this one: R = 1,000, with the boundaries of GrowthBook (N* 5,000) and of Eppo (N* 10,000), Lindon and
Malek's test of the split, and z-tests.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from evaluation.columns.arrays import Floats

REFERENCE_REPLICATIONS = 1_000
LEAST_P = 0.001  # of a test of what is known to be true


class Characteristic(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `naive` is the same of a test that is made for one look, made at every look.

    `peer` is the same of GrowthBook's safe rollouts, as they were published.
    """

    protocol: str
    cell: str
    measured: float
    standard_error: float | None
    expected: str
    naive: float | None = None
    peer: float | None = None
    verdict: Literal["pass", "fail", "outside the claim"]


class PieceResult(msgspec.Struct, frozen=True):
    """What a piece has found. `curves` are for the picture: units in at a rejection, of every replication."""

    rows: list[Characteristic]
    curves: Mapping[str, Floats] = {}


PieceOfWork = Callable[[Generator, int], PieceResult]


def share(
    protocol: str,
    cell: str,
    happened: NDArray[Any],
    *,
    limit: float | None = None,
    reference: float | None = None,
    naive: NDArray[Any] | None = None,
    peer: NDArray[Any] | None = None,
    is_claimed: bool = True,
) -> Characteristic:
    """The share of the replications in which it happened, or the mean of what happened in each, from 0 to 1."""
    n = happened.size
    measured = float(happened.mean())
    error = _error((happened.sum() + 1.0) / (n + 2.0), n)  # of a share that is neither 0 nor 1
    passes = limit is None or measured <= limit + 3.0 * _error(limit, n)
    passes = passes and (reference is None or _is_near(measured, reference, error, n))
    return Characteristic(
        protocol=protocol,
        cell=cell,
        measured=measured,
        standard_error=error,
        expected=_expected(limit, reference),
        naive=None if naive is None else float(naive.mean()),
        peer=None if peer is None else float(peer.mean()),
        verdict="outside the claim" if not is_claimed else "pass" if passes else "fail",
    )


def quantile(
    protocol: str,
    cell: str,
    values: NDArray[Any],
    order: float,
    *,
    reference: float | None = None,
    naive: NDArray[Any] | None = None,
    peer: NDArray[Any] | None = None,
) -> Characteristic:
    """A quantile of the replications' values. Its error comes from those of the ranks beside it."""
    n = values.size
    rank = _error(order, n)
    low, measured, high = np.quantile(values, [max(0.0, order - rank), order, min(1.0, order + rank)], method="nearest")
    error = float(high - low) / 2.0
    is_near = reference is None or _is_near(float(measured), reference, error, n)
    return Characteristic(
        protocol=protocol,
        cell=cell,
        measured=float(measured),
        standard_error=error,
        expected=_expected(None, reference),
        naive=None if naive is None else float(np.quantile(naive, order, method="nearest")),
        peer=None if peer is None else float(np.quantile(peer, order, method="nearest")),
        verdict="pass" if is_near else "fail",
    )


def truth(protocol: str, cell: str, p_value: float) -> Characteristic:
    """The p-value of a hypothesis that holds."""
    return Characteristic(
        protocol=protocol,
        cell=cell,
        measured=p_value,
        standard_error=None,
        expected=f"≥ {LEAST_P:g}",
        verdict="pass" if p_value >= LEAST_P else "fail",
    )


def _error(probability: float, replications: int) -> float:
    return float(np.sqrt(probability * (1.0 - probability) / replications))


def _is_near(measured: float, reference: float, error: float, replications: int) -> bool:
    return abs(measured - reference) <= 3.0 * error * np.sqrt(1.0 + replications / REFERENCE_REPLICATIONS)


def _expected(limit: float | None, reference: float | None) -> str:
    told = [f"≤ {limit:g}"] if limit is not None else []
    return ", ".join(told + ([f"≈ {reference:,g}"] if reference is not None else []))
