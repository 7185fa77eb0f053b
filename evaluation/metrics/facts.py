"""Facts: a partition's own number of each fact, in the order in which it met them."""

from collections.abc import Iterable

from evaluation.metrics.kernels.recent import FACTS


class Facts:
    """Numbers of facts by their keys. `place` is the partition's, for messages to people."""

    def __init__(self, place: str, keys: Iterable[str] = ()) -> None:
        self._place = place
        self._numbers = {key: number for number, key in enumerate(keys)}

    def number(self, key: str) -> int:
        """The number of a fact."""
        number = self._numbers.setdefault(key, len(self._numbers))
        if number >= FACTS:
            raise ValueError(
                f"{self._place}: {key} is fact number {number}, a state knows {FACTS}; begin anew under another prefix"
            )
        return number

    def keys(self) -> list[str]:
        """The keys by number."""
        return list(self._numbers)
