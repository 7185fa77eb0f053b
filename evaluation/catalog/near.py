"""Near: names that may have been meant by one that is not there."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

MOST_NEAR = 3
SHORTEST = 4  # letters of a name that is near to all that begin or end with it
ALIKE = 0.7  # share of letters in common, as difflib counts it: `checkout_done` is near to `checkout`, `search` is not


def near(name: str, names: Iterable[str]) -> list[str]:
    """At most `MOST_NEAR` of the names, the most alike first: `Order Placed` is near to `order_placed`.

    Neither case nor what separates words counts; a name that is the beginning or the end of the other is near too.
    """
    plain = _plain(name)
    others = {other: _plain(other) for other in dict.fromkeys(names) if other != name}
    close = {*get_close_matches(plain, set(others.values()), n=MOST_NEAR, cutoff=ALIKE)}
    found = [other for other, text in others.items() if text in close or _holds(plain, text)]
    return sorted(found, key=lambda other: (-SequenceMatcher(None, plain, others[other]).ratio(), other))[:MOST_NEAR]


def _holds(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= SHORTEST and (longer.startswith(shorter) or longer.endswith(shorter))


def _plain(name: str) -> str:
    return "".join(each for each in name.casefold() if each.isalnum())
