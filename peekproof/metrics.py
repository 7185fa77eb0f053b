"""Metrics: how a unit's events become one number, and what is wanted of it: the types of the page Metrics.

The first metric of an analysis is its primary one, the others are secondary, unless they say their `role`. Their fields
are those of a metric's document, and of an experiment's goal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Literal

Where = Sequence[Mapping[str, Any]]
"""Conditions on an event: `[{"property": "event_properties.plan", "op": "is", "values": ["pro"]}]`."""

_GOAL = ("role", "direction", "minimum_effect", "margin", "exact")


@dataclass(frozen=True)
class EventMetric:
    """What all types have. `window` is counted from a unit's first exposure; `none` gives a live reading only.

    `minimum_effect` is the smallest relative lift that matters, `margin` the relative loss that a guardrail accepts.
    `cuped` is how far the unit's own past explains it: `"14d"`.
    """

    key: str
    _: KW_ONLY
    window: str
    where: Where = ()
    cuped: str | None = None
    role: Literal["primary", "secondary", "guardrail"] | None = None
    direction: Literal["increase", "decrease"] = "increase"
    minimum_effect: float | None = None
    margin: float | None = None
    exact: bool | None = None
    type: ClassVar[str] = ""

    @property
    def parts(self) -> "list[EventMetric]":
        """The metrics that it is made of, where they were given as such."""
        return [each for each in vars(self).values() if isinstance(each, EventMetric)]

    def definition(self) -> dict[str, Any]:
        """As in its document."""
        said = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _GOAL}
        said |= {name: value.key for name, value in said.items() if isinstance(value, EventMetric)}
        said["cuped"] = self.cuped and {"lookback": self.cuped}
        return {"type": self.type} | {
            name: as_list(value) if name == "where" else value for name, value in said.items() if value is not None
        }

    def goal(self, *, is_first: bool) -> dict[str, Any]:
        """As among the metrics of an experiment's document."""
        said = {name: getattr(self, name) for name in _GOAL}
        said["role"] = self.role or ("primary" if is_first else "secondary")
        return {"metric": self.key} | {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Conversion(EventMetric):
    """Did the unit send the event?"""

    event: str
    type: ClassVar[str] = "conversion"


@dataclass(frozen=True, kw_only=True)
class Count(EventMetric):
    """How often did it?"""

    event: str
    cap: float | None = None
    lower_cap: float | None = None
    log: bool = False
    type: ClassVar[str] = "count"


@dataclass(frozen=True, kw_only=True)
class Sum(EventMetric):
    """The total of a property of the event; `cap` is the most that one unit counts for."""

    event: str
    property: str
    scale: int | None = None
    cap: float | None = None
    lower_cap: float | None = None
    log: bool = False
    type: ClassVar[str] = "sum"


@dataclass(frozen=True, kw_only=True)
class Mean(Sum):
    """The property's average over the unit's events."""

    type: ClassVar[str] = "mean"


@dataclass(frozen=True, kw_only=True)
class Ratio(EventMetric):
    """The total of one metric over all units by that of another: metrics, or keys of others of the analysis."""

    numerator: EventMetric | str
    denominator: EventMetric | str
    type: ClassVar[str] = "ratio"


@dataclass(frozen=True, kw_only=True)
class Funnel(EventMetric):
    """Did the unit send the events of the `steps` in this order (`uniques`), or how many times over (`totals`)?

    A step is an event's name, or `{"event": …, "where": …}`.
    """

    steps: Sequence[str | Mapping[str, Any]]
    counting: Literal["uniques", "totals"] = "uniques"
    type: ClassVar[str] = "funnel"

    def definition(self) -> dict[str, Any]:
        """As in its document."""
        steps = as_list(self.steps)
        return super().definition() | {"steps": [*map(_step, steps)] if isinstance(steps, list) else steps}


@dataclass(frozen=True, kw_only=True)
class Retention(EventMetric):
    """Did the unit send the event in the `nth` period after its first `start`?"""

    start: str | Mapping[str, Any]
    event: str
    nth: int = 1
    period: str = "24h"
    type: ClassVar[str] = "retention"

    def definition(self) -> dict[str, Any]:
        """As in its document."""
        return super().definition() | {"start": _step(self.start)}


@dataclass(frozen=True, kw_only=True)
class Percentile(EventMetric):
    """The value up to which so many percent of a property's values lie, of all `events` or of the totals of `units`."""

    event: str
    property: str
    percentile: float
    of: Literal["events", "units"] = "events"
    type: ClassVar[str] = "percentile"


@dataclass(frozen=True, kw_only=True)
class Distinct(EventMetric):
    """How many different values of a property its events have; without one, on how many days (UTC) it sent them."""

    event: str
    property: str | None = None
    cap: float | None = None
    log: bool = False
    type: ClassVar[str] = "distinct"


def as_list(said: Any) -> Any:
    """What is given as a list, such as a tuple or a column; a text or a group of fields is none, and stays as it is."""
    return said if isinstance(said, (str, Mapping)) or not isinstance(said, Iterable) else [*said]


def _step(said: Any) -> Any:
    return {"event": said} if isinstance(said, str) else dict(said) if isinstance(said, Mapping) else said
