"""Checkpoint: what is saved of a partition of identities, in the form of a partition's of units."""

from collections.abc import Mapping

import msgspec

from evaluation.columns.arrays import Words
from evaluation.metrics.checkpoint import Heading
from evaluation.metrics.packing import pack, unpack
from evaluation.metrics.sources import SourcesState
from schemas.pair import Pair

FORMAT = 1

_METADATA = b"peekproof"


class IdentitiesState(msgspec.Struct, frozen=True):
    """What a checkpoint says of a partition of identities, beside its arrays."""

    format: int
    partition: int
    horizon: int
    offset: int
    told: int  # the watermark that was told
    catalog: int
    sources: SourcesState
    facts: list[str]
    pairs: list[Pair]
    unjoined: list[tuple[str, str, int]]  # flag, run, how many
    moved: list[tuple[str, str, int]]
    met: list[tuple[str, str]]


def write(state: IdentitiesState, arrays: Mapping[str, Words]) -> bytes:
    """A checkpoint."""
    return pack(arrays, {_METADATA: msgspec.json.encode(state)})


def read(data: bytes) -> tuple[IdentitiesState, dict[str, Words]]:
    """What a checkpoint holds; the arrays are flat. Raises ValueError for one that another version wrote."""
    arrays, metadata = unpack(data)
    require_format(msgspec.json.decode(metadata[_METADATA], type=Heading))
    return msgspec.json.decode(metadata[_METADATA], type=IdentitiesState), arrays


def require_format(found: Heading) -> None:
    """Raises ValueError for a checkpoint that another version wrote."""
    if found.format != FORMAT:
        raise ValueError(
            f"the checkpoint of identities has format {found.format}, this version reads format {FORMAT}: `peekproof "
            "recover rebuild` makes it anew from the archive"
        )
