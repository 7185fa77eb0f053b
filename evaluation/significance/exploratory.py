"""Exploratory: what of a look was chosen after the run's start, and yet is counted from its start on, by a recount.

Whoever chooses among numbers that are there finds some that seem to show something. So these decide nothing, unless a
version of the document before the start had listed them: then they were not chosen for what they show.
"""

from evaluation.catalog.in_force import RunInForce
from schemas.look import EVERYONE


def planned_by(run: RunInForce, metric: str, segment: str) -> int | None:
    """By which version of the flag what a cell is about was planned; 0: by none. None: it did not come by a recount."""
    names = [metric] if run.since[metric] <= run.started else []
    if segment != EVERYONE:
        names += [each for each in run.exploratory if segment.startswith(f"{each}=")]
    return min((run.exploratory[name] for name in names if name in run.exploratory), default=None)
