"""Identities: who is behind which unit, in one partition of `identities`, a fold over its messages."""

from collections.abc import Callable

from evaluation.catalog.in_force import Catalog
from evaluation.identity.attributions import Attributions
from evaluation.metrics.sources import Sources


class Identities:
    """The state of one partition of `identities` after every record before `offset`."""

    def __init__(self, partition: int, horizon: int) -> None:
        self.partition = partition
        self.horizon = horizon
        self.offset = 0
        self.catalog = 0
        self._sources = Sources()

    @property
    def watermark(self) -> int:
        """What it tells aggregation (ms UTC): its own clock less a horizon, for joins may still come; 0: unknown."""
        return max(0, self._sources.watermark - self.horizon)

    @property
    def sources(self) -> dict[tuple[str, int], int]:
        """The next offset of each source partition."""
        return self._sources.offsets

    def fold(
        self, offset: int, message: bytes | memoryview, catalog_at: Callable[[int], Catalog]
    ) -> Attributions | None:
        """Fold one message of the partition's log, and tell what follows from it: the same whoever folds it.

        None: it lies before `self.offset`. `catalog_at` and what is raised are as in `Partition.fold`.
        """
        raise NotImplementedError

    def save(self) -> bytes:
        """The state as a checkpoint."""
        raise NotImplementedError

    @classmethod
    def load(cls, data: bytes) -> "Identities":
        """The state that `save` saved. Raises ValueError for one that another version saved."""
        raise NotImplementedError
