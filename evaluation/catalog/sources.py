"""Sources: from when on what is not ours is read."""

from evaluation.catalog.hours import moment_of
from evaluation.catalog.in_force import InForce
from schemas.source import ForeignSource


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
