"""Arms: the arms of one run, each known by its number in the order in which they were met."""

import numpy as np

from evaluation.metrics.kernels.expose import ArmTables

ARM_BITS = 64


class Arms:
    """Allocations and variants by number, and what kernels ask of them."""

    def __init__(self) -> None:
        self.names: list[tuple[int, str]] = []  # allocation, variant
        self.tables = self._tables()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def words(self) -> int:
        """How many words have a bit for each arm."""
        return max(1, -(-len(self.names) // ARM_BITS))

    def add(self, names: list[tuple[int, str]]) -> None:
        """More arms."""
        self.names += names
        self.tables = self._tables()

    def in_order(self) -> list[int]:
        """The numbers by allocation and variant."""
        return sorted(range(len(self.names)), key=self.names.__getitem__)

    def _tables(self) -> ArmTables:
        mates = np.zeros((max(1, len(self.names)), self.words), np.uint64)
        for one, (allocation, _) in enumerate(self.names):
            for other, (same, _) in enumerate(self.names):
                if same == allocation:
                    mates[one, other // ARM_BITS] |= np.uint64(1 << other % ARM_BITS)
        variants = [variant for _, variant in self.names]
        return ArmTables(
            mates=mates.view(np.int64),
            allocations=np.array([allocation for allocation, _ in self.names], np.int64),
            variants=np.array([variants.index(variant) for variant in variants], np.int64),
        )
