"""Bucketing: which variant a unit gets, compatible bucket for bucket with Amplitude's engines.

With h = murmur3_x86_32(`salt/id`): the unit is allocated if h % 100 lies below the rollout, and its variant is the one
whose share of [0, 42949673) holds h // 100. Individual inclusions come first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evaluation.catalog import FlagInForce, RunInForce
from evaluation.hashing import bucket_hashes
from evaluation.texts import Names, Texts
from schemas.catalog import Allocation, Inclusion

SHARES = 42_949_673  # values of h // 100, h unsigned with 32 bits
OFF = "off"  # every flag's silent variant
NOBODY = -1  # the index of no variant

Reason = Literal["split", "inclusion", "not allocated", "inactive"]


@dataclass(frozen=True)
class Bucketing:
    """One allocation of one run, compiled. `ends` are the variants' upper bounds of h // 100, in order."""

    salt: str
    rollout: int
    variants: tuple[str, ...]
    ends: NDArray[np.int64]
    users: dict[str, int]  # user_id -> index of the variant that an inclusion gives
    devices: dict[str, int]

    @cached_property
    def _included(self) -> list[tuple[Names, NDArray[np.int16]]]:
        lists = (self.users, self.devices)
        return [(Names(tuple(each)), np.array([*each.values(), NOBODY, NOBODY], np.int16)) for each in lists]

    def included(self, users: Texts, devices: Texts) -> NDArray[np.int16]:
        """The variant's index that an inclusion gives to each (user, device); -1: none does. Users come first."""
        (user_names, of_user), (device_names, of_device) = self._included
        by_user = of_user[user_names.codes(users)]  # codes -1 and -2 meet the two last
        return by_user if not self.devices else np.where(by_user >= 0, by_user, of_device[device_names.codes(devices)])


@dataclass(frozen=True, slots=True)
class Choice:
    """What a unit gets, and why. `run` and `allocation` (its index there) where a run decided."""

    variant: str
    reason: Reason
    run: RunInForce | None = None
    allocation: int = 0


def compile_allocation(allocation: Allocation, salt: str, variants: tuple[str, ...]) -> Bucketing:
    """The allocation as one value. The order of the variants matters: it is that of their shares.

    Amplitude gives variant i the range [floor(c·42949672), ceil(c'·42949673)) between the cumulative shares c and c'.
    Its first match wins, so the upper bounds alone decide; in whole numbers, they are the same everywhere.
    """
    weights = [allocation.weights.get(variant, 0) for variant in variants]
    total = sum(weights)
    ends = [-(-sum(weights[: i + 1]) * SHARES // total) if total else 0 for i in range(len(weights))]
    users: dict[str, int] = {}
    devices: dict[str, int] = {}
    for i, variant in enumerate(variants):
        listed = allocation.inclusions.get(variant, Inclusion())
        users |= {user: i for user in listed.users if user not in users}
        devices |= {device: i for device in listed.devices if device not in devices}
    return Bucketing(salt, allocation.rollout, variants, np.array(ends, np.int64), users, devices)


def choose(bucketing: Bucketing, ids: pa.Array | Texts) -> NDArray[np.int16]:
    """The index of each unit's variant by the split alone; -1: not allocated, or no id."""
    texts = ids if isinstance(ids, Texts) else Texts.of(ids)
    share, percent = np.divmod(bucket_hashes(bucketing.salt, texts).astype(np.int64), 100)
    index = np.searchsorted(bucketing.ends, share, side="right")
    allocated = (percent < bucketing.rollout) & (index < len(bucketing.variants)) & (texts.length > 0)
    return np.where(allocated, index, NOBODY).astype(np.int16)


def choose_variant(flag: FlagInForce, ids: Mapping[str, str]) -> Choice:
    """What one unit gets under the newest allocation; `ids` by unit type: user_id, device_id, groups.TYPE, …"""
    run = flag.runs[-1] if flag.runs else None
    if run is None or run.completed is not None:
        return Choice(OFF, "inactive", run)
    last = len(run.allocations) - 1
    bucketing = compile_allocation(run.allocations[last], run.salt, tuple(run.allocations[last].weights))
    users, devices, unit = (Texts.of([ids.get(each)]) for each in ("user_id", "device_id", run.definition.unit))
    forced = int(bucketing.included(users, devices)[0])
    if forced >= 0:
        return Choice(bucketing.variants[forced], "inclusion", run, last)
    chosen = int(choose(bucketing, unit)[0])
    if chosen >= 0:
        return Choice(bucketing.variants[chosen], "split", run, last)
    return Choice(OFF, "not allocated", run, last)
