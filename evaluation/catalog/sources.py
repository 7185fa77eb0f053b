"""Sources: from when on what is not ours is read, and by which version of a document."""

from dataclasses import dataclass

from evaluation.catalog.history import History
from evaluation.catalog.hours import moment_of
from evaluation.catalog.in_force import InForce
from schemas.source import ForeignSource

EVER = 1 << 62  # ms UTC


@dataclass(frozen=True, slots=True)
class ReadSource:
    """A version of a source, which reads what is appended to its topic in [begin, end) (ms UTC)."""

    source: ForeignSource
    begin: int = 0
    end: int = EVER


def read_sources(history: History, horizon: int) -> list[ReadSource]:
    """What each source reads by which version, in the order of versions: as the assignment stage does."""
    found: list[ReadSource] = []
    for key, first in history.first_sources.items():
        begin, standing = begins(first, horizon), first
        for state, applies_from in zip(history.states, history.boundaries, strict=True):
            version = state.sources.get(key)
            if version is first:
                begin = min(begin, applies_from)
            elif version is not None and version is not standing:
                found.append(ReadSource(standing.definition, begin, applies_from))
                begin, standing = applies_from, version
        found.append(ReadSource(standing.definition, begin))
    return [each for each in found if not each.source.paused and each.begin < each.end]


def begins(first: InForce[ForeignSource], horizon: int) -> int:
    """From which append time on (ms UTC) a source's topic is read, by its first version.

    Nothing is read from further back than a horizon (ms) before that.
    """
    match first.definition.since:
        case "now":
            return first.append_time
        case "beginning":
            return first.append_time - horizon
        case moment:
            return max(moment_of(moment, "UTC"), first.append_time - horizon)
