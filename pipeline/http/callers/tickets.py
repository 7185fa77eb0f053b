"""Tickets: what stands for a key in the address of a stream, where no header can be sent. Worthless after a restart."""

import secrets

PATH = "/ofrep/v1/stream"
MOST_TICKETS = 10_000  # keys


class Tickets:
    """One ticket for each key that asked for one."""

    def __init__(self) -> None:
        self._tickets: dict[str | None, str] = {}
        self._keys: dict[str, str | None] = {}

    def of(self, key: str | None) -> str:
        """The ticket of a key (its text)."""
        if key not in self._tickets:
            if len(self._tickets) >= MOST_TICKETS:
                del self._keys[self._tickets.pop(next(iter(self._tickets)))]
            ticket = secrets.token_urlsafe(24)
            self._tickets[key], self._keys[ticket] = ticket, key
        return self._tickets[key]

    def key(self, ticket: str) -> str | None:
        """The key that it stands for. Raises KeyError where it stands for none."""
        return self._keys[ticket]

    def find(self, ticket: str) -> str | None:
        """The key that it stands for, if it stands for one."""
        return self._keys.get(ticket)
