"""Flag configuration: a flag as engines evaluate it, in Amplitude's JSON (version 2). `GET /sdk/v2/flags` is a list.

Readers ignore fields that they don't know; writers add none, since the Python SDK refuses them all together. What a
writer has to say besides goes into `metadata`.
"""

from typing import Annotated, Any

import msgspec

Metadata = dict[str, Any]
Range = tuple[int, int]  # from the first up to, not including, the second


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a configuration; `null` is the same as no field."""


class VariantConfig(_Part, frozen=True, kw_only=True):
    """What a unit gets. `off` has `metadata.default` and no value."""

    key: str
    value: Any = None
    payload: Any = None
    metadata: Metadata | None = None


class ConditionConfig(_Part, frozen=True, kw_only=True):
    """A property, found by walking from `context` or `result`, compared with values; numbers are values in digits."""

    selector: tuple[str, ...]
    op: str
    values: tuple[str, ...]


class Distribution(_Part, frozen=True, kw_only=True):
    """A variant's share of 0…42949672, the quotients of the hash by 100."""

    variant: str
    range: Range


class BucketAllocation(_Part, frozen=True, kw_only=True):
    """A share of 0…99, the remainders of the hash by 100, and how it is distributed."""

    range: Range
    distributions: tuple[Distribution, ...]


class Bucket(_Part, frozen=True, kw_only=True):
    """How the units of a segment are split: by a hash of `salt/value`, the value of the selected property."""

    selector: tuple[str, ...]
    salt: str
    allocations: tuple[BucketAllocation, ...]


class SegmentConfig(_Part, frozen=True, kw_only=True):
    """Units that satisfy all conditions of one of the inner lists; without conditions every unit.

    `variant` is for those whom the bucket gives none, and for all where there is no bucket.
    """

    bucket: Bucket | None = None
    conditions: tuple[tuple[ConditionConfig, ...], ...] | None = None
    variant: str | None = None
    metadata: Metadata | None = None  # segmentName


class FlagConfig(_Part, frozen=True, kw_only=True):
    """The first segment that yields a variant decides. `dependencies` are evaluated before."""

    key: Annotated[str, msgspec.Meta(min_length=1)]
    variants: dict[str, VariantConfig]
    segments: tuple[SegmentConfig, ...]
    dependencies: tuple[str, ...] | None = None
    metadata: Metadata | None = None  # flagVersion, experimentKey, flagType, deployed, evaluationMode, …
