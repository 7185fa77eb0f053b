"""Recount: a run that is counted again from its start, by what its documents say now. And the marks that tell it apart.

The document of kind `recount` has a flag's key. A version that is `begun` begins a new generation of the flag's newest
run, whose number is the catalog offset of that record; one that is `complete` puts it in the place of the former one;
`stopped` leaves that as it was. On `units` everything that is told of a generation has its number as a mark before its
name: the run of an arm, a fact, and a source that tells what the archive holds.
"""

from typing import Annotated, Literal

import msgspec

from schemas.fields import says
from schemas.numbers import Count
from schemas.written import Key, Strict

RecountState = Literal["begun", "complete", "stopped"]


class Recount(Strict, frozen=True, kw_only=True):
    """That a run of the flag with this key is counted again. `why` it was stopped, where nobody asked for that."""

    key: Key
    run: Key
    state: RecountState
    why: str | None = None


class RecountHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How far the archive's worker is with a recount."""

    flag: Annotated[str, says("flag", "none", "The flag whose run is counted again.")]
    run: Annotated[str, says("run", "none", "The run.")]
    generation: Annotated[Count, says("generation", "none", "The number of what comes of it.")]
    done: Annotated[Count, says("done", "none", "Archived records that were read and told.")] = 0
    size: Annotated[Count, says("size", "none", "Archived records that are to be read, about.")] = 0
    records_per_second: Annotated[
        Count, says("speed", "none", "Records that it reads in a second, while it works.")
    ] = 0
    waiting: Annotated[str | None, says("waiting", "none", "For what it waits; null where it goes on.")] = None


def marked(name: str, generation: int) -> str:
    """A run, fact or topic as it is told of a generation; of the first one, 0, it has no mark."""
    return f"{generation}~{name}" if generation else name


def unmarked(name: str) -> tuple[int, str]:
    """The generation of which a run, a fact or a topic is told, and its name."""
    mark, separator, rest = name.partition("~")
    return (int(mark), rest) if separator and mark.isdecimal() else (0, name)
