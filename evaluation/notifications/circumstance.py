"""Circumstance: something that stands now, and how it would be said, whoever the rules tell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from schemas.catalog import Definition, Flag
from schemas.notification import Occurrence


class Wording(NamedTuple):
    """A sentence for people, and what of it programs may want."""

    sentence: str
    numbers: Mapping[str, Any] = MappingProxyType({})
    run: str | None = None
    look: int | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Circumstance:
    """One thing that stands, of a part of a subject, in a state.

    It was so `at` that moment (ms UTC): rules that came later don't tell it. It has `lasted` so many ms. In a state
    that `is_first` a part begins, so it is told only after another. Trouble that comes and goes is told by when it
    `began`, not by its state. `say` is called once it is due.
    """

    event: Occurrence
    subject: str
    at: int
    say: Callable[[], Wording] = field(compare=False)
    part: str = ""
    state: str = ""
    lasted: int = 0
    document: Definition | None = None  # whose owner, tags and key rules may ask for
    is_first: bool = False
    began: int | None = None


def link_to(flag: Flag, run: str | None = None, look: int | None = None) -> str:
    """The flag's page in the console, at the look that shows it."""
    page = f"#/{'experiments' if flag.metrics else 'flags'}/{flag.key}"
    return page if run is None or look is None else f"{page}/{run}/{look}"
