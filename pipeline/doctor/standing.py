"""Standing: what a worker of aggregation would begin a units partition with. It sets aside what it finds damaged; a
look at it leaves everything as it is."""

from typing import NamedTuple

from evaluation.metrics.checkpoint import Heading, heading, require_format
from pipeline.errors import PeekproofError
from pipeline.settings import Settings
from pipeline.storage.checkpoints import Checkpoint, Checkpoints, Kept

READ_BYTES = 1 << 29  # of all partitions: in a second or two; what is beyond is taken for whole


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


def standings(settings: Settings) -> dict[int, Standing]:
    """By units partition. Raises PeekproofError, or what the file system does, where they cannot be seen."""
    checkpoints = Checkpoints(settings.checkpoint_location)
    left = READ_BYTES
    found = {}
    for number in range(settings.units_partitions):
        found[number] = _standing(checkpoints, number, left)
        newest = found[number].newest
        left -= newest.size if newest and found[number].read else 0
    return found


def _standing(checkpoints: Checkpoints, number: int, left: int) -> Standing:
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
            damaged.append(f"checkpoint {file.path} of units/{number} is damaged ({error})")
            continue
        except PeekproofError as error:
            return Standing(kept, file, None, None, damaged, str(error))
        said, refusal = heading(read.state), None
        try:
            require_format(said)
        except ValueError as error:
            refusal = f"units/{number}: {error}"
        return Standing(kept, file, read._replace(state=b""), said, damaged, refusal)
    return Standing(kept, None, None, None, damaged, None)
