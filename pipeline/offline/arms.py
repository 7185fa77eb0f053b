"""Arms: the names and weights of variants as somebody gives them, in the texts that a table's cells become.

A column of numbers, or of true and false, is read as their texts; whoever names its variants may write either.
"""

from collections.abc import Collection, Mapping
from numbers import Integral
from typing import Any

from pipeline.errors import PeekproofError

ArmName = str | int | float
"""How a variant is named: by a text, a number, True or False."""

MOST_WEIGHT = 1_000_000  # as in a document


def arm_named(key: object, known: Collection[str]) -> str:
    """The text of a key, as those of `known` write it: of 0 it is `0`, or `0.0` in a column of floats."""
    if isinstance(key, str):
        return key
    value: Any = key.item() if hasattr(key, "item") else key  # of NumPy
    if not isinstance(value, (int, float)):  # True and False are numbers, too
        raise PeekproofError(f"{key!r} is no name of a variant; write a text, a number, True or False")
    text = str(value).lower()
    if text in known:
        return text
    is_same = str.__eq__ if isinstance(value, bool) else _reads_as
    return next((each for each in known if is_same(each.lower(), text)), text)


def _reads_as(text: str, number: str) -> bool:
    try:
        return float(text) == float(number)
    except ValueError:
        return False


def weights_of(weights: object, known: Collection[str]) -> dict[str, int]:
    """The weight of each variant. Raises PeekproofError for what is none."""
    if not isinstance(weights, Mapping) or not weights:
        raise PeekproofError(f"weights={weights!r}: name each variant's: {{'control': 1, 'treatment': 1}}")
    found: dict[str, int] = {}
    for key, weight in weights.items():
        name = arm_named(key, known)
        if name in found:
            raise PeekproofError(f"weights={weights!r}: '{name}' is named twice")
        if not (isinstance(weight, Integral) and 1 <= int(weight) <= MOST_WEIGHT):
            raise PeekproofError(
                f"weights={weights!r}: {weight!r} of '{name}' is no weight; it is a whole number from 1 to "
                f"{MOST_WEIGHT:,}, relative to the others: 9 and 1 are 90 % and 10 %. Leave out the rows of a variant "
                "that nobody was planned to meet"
            )
        found[name] = int(weight)
    return found
