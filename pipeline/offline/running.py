"""Running: documents as a catalog in which every flag runs, from its start until its end where it says them."""

import msgspec

from evaluation.catalog.history import History
from evaluation.catalog.hours import moment_of
from evaluation.catalog.in_force import SETTLING
from evaluation.catalog.lifecycle import complete, start
from evaluation.catalog.overview import planned_dates
from evaluation.catalog.ramps import without_plan
from pipeline.catalog.documents import Documents
from pipeline.catalog.editing import changes
from pipeline.errors import PeekproofError
from schemas.catalog import Analysis, FlagState, Spec


def running(documents: Documents, experiment: str | None = None) -> History:
    """The documents as a catalog in which every flag runs, from its start until its end.

    With `experiment` the others have no metrics. When the steps of a plan were taken no document says: its last one
    counts from the start, as exposures tell who had a variant.
    """
    history = History()

    def append(spec: Spec, time: int) -> None:
        try:
            history.suppose(spec, time - SETTLING)
        except ValueError as error:
            raise PeekproofError(str(error)) from None

    steps: list[tuple[int, str, int, FlagState]] = []
    for change in changes(documents, history):
        spec = change.spec
        if isinstance(spec, FlagState):
            if experiment not in {None, change.key}:
                definition = msgspec.structs.replace(spec.definition, metrics=(), analysis=Analysis())
                spec = msgspec.structs.replace(spec, definition=definition)
            begins, ends = (_moment(*date) for date in planned_dates(spec.definition).values())
            spec = msgspec.structs.replace(spec, definition=without_plan(spec.definition))
            started = start(spec, 2, salt=change.key)
            steps.append((begins or 0, change.key, 2, started))
            if ends is not None:
                steps.append((ends, change.key, 3, complete(started, 3)))
        append(spec, 0)
    for time, _, _, state in sorted(steps, key=lambda each: each[:3]):
        append(state, time)
    return history


def _moment(date: str | None, timezone: str) -> int | None:
    return moment_of(date, timezone) if date else None
