"""Quantities: a number and what there is so many of, in words."""


def quantity(number: int, one: str, many: str | None = None) -> str:
    """`1 metric`, `2 metrics`; `many` where it is no `s` that makes several of one."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
