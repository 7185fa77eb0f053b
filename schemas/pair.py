"""Pair: a unit type, and the type of the identity behind it, which an event may name instead."""

import msgspec


class Pair(msgspec.Struct, frozen=True, array_like=True):
    """The types of a unit and of an identity that are joined: `device_id`, `user_id`."""

    unit: str
    identity: str


def loose(fact: str, pair: Pair) -> str:
    """The key by which a fact goes where an event names the identity of a pair and no unit."""
    return f"{fact}~{pair.unit}~{pair.identity}"


def pair_of(fact: str) -> Pair | None:
    """The pair of a loose event's fact; None: it is one of a unit's own events."""
    _, *types = fact[fact.rfind("]") :].split("~")
    return Pair(*types) if types else None


def event_of(fact: str) -> str:
    """The event of a fact, loose or not, by its key."""
    name: str = msgspec.json.decode(fact[: fact.rfind("]") + 1])[0]
    return name
