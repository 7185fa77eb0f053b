"""Recounts: how far a recount's reader is, as it stands in a file that the archive's worker tells people of.

    DATA/recounts/GENERATION.json

A reader that begins again goes on there, if it is the same log of `units` that it told. The file is in no backup:
without it everything is told once more, and skipped where it has been told.
"""

from pathlib import Path

import msgspec

from pipeline.durable import writing
from schemas.numbers import Count


class ToldSoFar(msgspec.Struct, frozen=True, kw_only=True):
    """`offsets` of each source (`topic/partition`) up to which brokers have acknowledged what was told; `units` is the
    id of that log. `done` of `size` records, `records_per_second` while it reads.
    """

    units: str
    offsets: dict[str, Count] = {}
    done: Count = 0
    size: Count = 0
    records_per_second: Count = 0


def _path(data: Path, generation: int) -> Path:
    return data / "recounts" / f"{generation}.json"


def read_progress(data: Path, generation: int) -> ToldSoFar | None:
    """What stands there; None: nothing yet."""
    try:
        return msgspec.json.decode(_path(data, generation).read_bytes(), type=ToldSoFar)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write_progress(data: Path, generation: int, progress: ToldSoFar) -> None:
    """Put it there."""
    path = _path(data, generation)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as temporary:
        temporary.write_bytes(msgspec.json.encode(progress))


def forget_progress(data: Path, standing: set[int]) -> None:
    """Leave only what is told of generations that are coming."""
    for path in (data / "recounts").glob("*.json"):
        if path.stem.isdecimal() and int(path.stem) not in standing:
            path.unlink(missing_ok=True)
