"""Plan: how a flag is rolled out step by step, what is done where its numbers are bad, and after its end."""

from typing import Annotated, Literal

import msgspec

from schemas.numbers import Count, Time
from schemas.written import Duration, Hours, Key, Percentage, Strict, Text, Timezone

PlanDate = Annotated[
    str,
    msgspec.Meta(description="an ISO 8601 date, or date and time, in the plan's time zone unless it says its offset"),
]
OnAlarm = Literal["roll back", "pause", "tell"]
OnWin = Literal["roll out", "complete", "tell"]
OnNothing = Literal["roll back", "complete", "tell"]
PauseReason = Literal["asked", "edited", "harm", "broken split"]
ONLY_TOLD = " (told)"  # behind the name of an overruled alarm of which the plan only told
AUTHOR = "plan"  # of versions that the plan writes by itself: people may not sign so


class Until(Strict, frozen=True, kw_only=True):
    """What must hold before the next step: so many `units` in the run, and these guardrails proved safe.

    A guardrail is safe when every treatment's loss is sure to be within its margin.
    """

    units: Annotated[int, msgspec.Meta(ge=1, description="a whole number from 1: units in the run")] | None = None
    safe: tuple[Key, ...] = ()


class PlanStep(Strict, frozen=True, kw_only=True):
    """How many get a variant while the step is in force.

    `rollout` is the most that any part of the audience gets: all other units, and each segment, unless `segments` gives
    the percentage of one by its name. The step begins when the one before it has been in force `for` so long and what
    that says in `until` holds, but not before the date `at`; of a flag with metrics not before a look since the step
    before it, where that gives anybody a variant.
    """

    rollout: Percentage
    segments: dict[Text, Percentage] = {}
    at: PlanDate | None = None
    lasts: Duration | None = msgspec.field(default=None, name="for")
    until: Until | None = None


class Then(Strict, frozen=True, kw_only=True):
    """What is done after the plan's end: where a treatment has won, by the verdict, and where none has."""

    on_win: OnWin = "tell"
    on_nothing: OnNothing = "tell"


class Plan(Strict, frozen=True, kw_only=True):
    """How a flag is rolled out by itself: it starts at `start` (unsaid: by command), goes up the `steps`, and ends.

    It ends at the date `end`, or once what its last step says has been met; `then` says what is done. Steps are
    taken within `hours`; what protects is done at any time. `on_harm`: a guardrail is harmed, or the primary metric
    is worse, by readings that may be acted on whenever one looks. `on_broken_split`: arms have not the shares of
    units that were promised. `roll back` gives `off` to everybody. `pause` takes no further step and, where the
    flag is `sticky`, gives nobody a variant who has none yet; everybody keeps theirs. `tell` does nothing. An edit
    by a person pauses the steps of the plan, until somebody resumes it; alarms act all the same. Dates and hours
    are in the `timezone`, unless a date says its own.
    """

    start: PlanDate | None = None
    steps: Annotated[tuple[PlanStep, ...], msgspec.Meta(min_length=1, max_length=50)]
    end: PlanDate | None = None
    timezone: Timezone = "UTC"
    hours: Hours | None = None
    on_harm: OnAlarm = "tell"
    on_broken_split: OnAlarm = "tell"
    then: Then = Then()


class Evidence(Strict, frozen=True, kw_only=True):
    """What an act of the plan rests on: the brokers' `time` (ms UTC), the newest look then, and alarms if there are."""

    version: int  # of the document, which the plan wrote
    time: Time
    run: str | None = None
    look: Count | None = None
    alarms: tuple[str, ...] = ()


class Pause(Strict, frozen=True, kw_only=True):
    """That a plan takes no further step, since which version of the document, and why.

    `alarms` are those that made it: `split`, or `METRIC/VARIANT`.
    """

    version: int
    why: PauseReason
    alarms: tuple[str, ...] = ()


class Progress(Strict, frozen=True, kw_only=True):
    """How far a plan has come, as commands and the plan made it.

    `step` is in force, from 1, since the document's version `taken`. `overruled` are alarms after which a person went
    on: the plan does nothing more because of them. `NAME (told)` is one of which the plan only told then; once it acts
    by it, it does. Who changes what the plan does on alarms lets all of them count again.
    """

    step: int
    taken: int
    paused: Pause | None = None
    overruled: tuple[str, ...] = ()
    evidence: Evidence | None = None

    @property
    def heeds_alarms(self) -> bool:
        """Whether alarms act: an edit pauses steps alone."""
        return self.paused is None or self.paused.why == "edited"
