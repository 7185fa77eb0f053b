"""Checkpoint: what is saved of a partition's state, as one Arrow IPC stream: arrays, and this as its metadata."""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.packing import pack, read_metadata, unpack
from evaluation.metrics.run import RunState
from evaluation.metrics.silences import SilencesState
from evaluation.metrics.sources import SourcesState
from schemas.units import Example, Joining

FORMAT = 11
READ = (10, FORMAT)  # those of 10 know no percentiles, and no covariates of other metrics

_METADATA = b"peekproof"


class Heading(msgspec.Struct, frozen=True):
    """What every version of a checkpoint says; the first ones said no format."""

    format: int = 1
    horizon: int = 0


class PartitionState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a checkpoint says of a partition, beside its arrays."""

    format: int
    partition: int
    horizon: int
    offset: int
    catalog: int
    sources: SourcesState
    facts: list[str]
    runs: list[RunState]
    lookbacks: list[tuple[int, int]]  # fact, width
    examples: list[Example]
    silences: SilencesState
    joining: list[Joining]
    generation: int = 0
    recounts: list["PartitionState"] = []  # of other generations of runs, whose arrays stand behind theirs


def write(state: PartitionState, arrays: Mapping[str, NDArray[np.int64]]) -> bytes:
    """A checkpoint."""
    return pack(arrays, {_METADATA: msgspec.json.encode(state)})


def read(data: bytes) -> tuple[PartitionState, dict[str, NDArray[np.int64]]]:
    """What a checkpoint holds; the arrays are flat. Raises ValueError for one that another version wrote."""
    arrays, metadata = unpack(data)
    require_format(msgspec.json.decode(metadata[_METADATA], type=Heading))
    return msgspec.json.decode(metadata[_METADATA], type=PartitionState), arrays


def heading(data: bytes) -> Heading:
    """What a checkpoint says, without reading it."""
    return msgspec.json.decode(read_metadata(data)[_METADATA], type=Heading)


def require_format(found: Heading) -> None:
    """Raises ValueError for a checkpoint that another version wrote."""
    if found.format not in READ:
        raise ValueError(
            f"the checkpoint has format {found.format}, this version reads format {FORMAT}: `peekproof recover "
            "rebuild` makes it anew from the archive"
        )
