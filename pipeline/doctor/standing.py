"""Standing: what a worker of aggregation, or of identity, would begin a partition with. It sets aside what it finds
damaged; a look at it leaves everything as it is."""

from collections.abc import Callable
from typing import NamedTuple

from evaluation.identity import checkpoint as of_identities
from evaluation.metrics import checkpoint as of_units
from evaluation.metrics.checkpoint import Heading, heading
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from pipeline.storage.checkpoints import Checkpoint, Checkpoints, Kept
from schemas.topics import IDENTITIES, UNITS, SourcePartition

READ_BYTES = 1 << 29  # of all partitions: in a second or two; what is beyond is taken for whole
_REQUIRE: dict[str, Callable[[Heading], None]] = {
    IDENTITIES: of_identities.require_format,
    UNITS: of_units.require_format,
}


class Standing(NamedTuple):
    """The files of a partition, newest first; the one that counts, where its state was read; what is the matter.

    `damaged` are newer than the one that counts. `refusal`: no worker would begin with it, and this is why.
    """

    kept: list[Kept]
    newest: Kept | None
    read: Checkpoint | None
    heading: Heading | None
    damaged: list[str]
    refusal: str | None


def standings(settings: Settings) -> dict[SourcePartition, Standing]:
    """By partition of `units` and of `identities`. Raises PeekproofError, or what the file system does, where they
    cannot be seen."""
    left = READ_BYTES
    found = {}
    for topic in _REQUIRE:
        checkpoints = Checkpoints(settings.checkpoint_location, topic)
        for number in range(settings.units_partitions):
            each = found[topic, number] = _standing(checkpoints, topic, number, left)
            left -= each.newest.size if each.newest and each.read else 0
    return found


def _standing(checkpoints: Checkpoints, topic: str, number: int, left: int) -> Standing:
    kept = checkpoints.kept(number)
    damaged: list[str] = []
    for file in kept:
        if file.is_aside:
            continue
        if file.size > left:
            return Standing(kept, file, None, None, damaged, None)
        try:
            read = checkpoints.read(number, file.offset)
        except ValueError as error:
            damaged.append(f"checkpoint {file.path} of {topic}/{number} is damaged ({error})")
            continue
        except PeekproofError as error:
            return Standing(kept, file, None, None, damaged, str(error))
        said, refusal = heading(read.state), None
        try:
            _REQUIRE[topic](said)
        except ValueError as error:
            refusal = f"{topic}/{number}: {error}"
        return Standing(kept, file, read._replace(state=b""), said, damaged, refusal)
    return Standing(kept, None, None, None, damaged, None)
