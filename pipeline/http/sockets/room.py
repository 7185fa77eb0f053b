"""Room: so much of something for all. Who holds some may hold no more than is left, so that others find some."""

from collections import Counter


class Room:
    """`most` of it. Alone a holder has half of it, the next a quarter; of several who want all, each gets the same."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: Counter[str] = Counter()
        self.taken = 0

    def has(self, holder: str, amount: int = 1) -> bool:
        """Whether the holder may take so much more. Whoever has nothing yet may take all that there is."""
        left = self._most - self.taken - amount
        return left >= self._held[holder] + amount * (holder in self._held)

    def take(self, holder: str, amount: int = 1) -> bool:
        """Take so much more. False: there is no room for it, and nothing is taken."""
        if not self.has(holder, amount):
            return False
        self._held[holder] += amount
        self.taken += amount
        return True

    def give(self, holder: str, amount: int = 1) -> None:
        """Give it back."""
        self.taken -= amount
        self._held[holder] -= amount
        if not self._held[holder]:  # nothing was taken, or all is given back
            del self._held[holder]
