"""Question: what is asked of a table: which columns hold the variant and the metrics, and how they are compared."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.catalog.types import type_violations
from pipeline.errors import PeekproofError
from pipeline.offline.arms import ArmName
from schemas.catalog import Analysis, Goal

Method = Literal["sequential", "t-test", "bayesian"]
MeasuredAs = Literal["conversion", "sum"]
Direction = Literal["increase", "decrease"]

_KINDS = re.compile(r"(?P<column>.+?)(?::(?P<type>conversion|sum))?(?::(?P<direction>increase|decrease))?")


@dataclass(frozen=True, slots=True)
class Measured:
    """A column as a metric. `type` is None where its values decide: 0 and 1 alone make a conversion."""

    column: str
    type: MeasuredAs | None = None
    direction: Direction = "increase"

    @classmethod
    def of(cls, text: str) -> "Measured":
        """COLUMN[:conversion|:sum][:increase|:decrease]."""
        found = _KINDS.fullmatch(text)
        if found is None:
            raise PeekproofError(f"--metric '{text}' names no column; write COLUMN, or COLUMN:conversion")
        return cls(found["column"], found["type"], found["direction"] or "increase")  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class TableQuestion:
    """What is asked of a table. The first metric is the primary one; the covariates explain a part of all of them.

    `cluster` is the column of what was randomised, of which several rows may be; units are compared within the values
    of the column `strata`. Unsaid, the control is the variant of that name, else the first by name, and the split was
    planned to be equal. Raises PeekproofError for columns that are no texts or are named twice, and for what a document
    could not say.
    """

    variant: str
    metrics: tuple[Measured, ...]
    covariates: tuple[str, ...] = ()
    control: ArmName | None = None
    weights: Mapping[ArmName, int] | Mapping[str, int] | None = None
    method: Method = "sequential"
    strata: str | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        for column in self.columns:
            if not isinstance(column, str):
                raise PeekproofError(f"{column!r} is no name of a column; write a text")
        if twice := [column for column, times in Counter(self.columns).items() if times > 1]:
            raise PeekproofError(f"'{twice[0]}' is named twice; a column is one thing to all rows")
        if self.strata is not None and self.cluster is not None:
            raise PeekproofError(
                f"strata '{self.strata}' and clusters '{self.cluster}': clusters are compared by ratios, which have no "
                "strata; name the clusters alone, or the strata of rows that were randomised one by one"
            )
        for violation in type_violations({"method": self.method}, Analysis):
            raise PeekproofError(str(violation))
        for each in self.metrics:
            for violation in type_violations({"metric": "any", "direction": each.direction}, Goal):
                raise PeekproofError(f"'{each.column}': {violation}")

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that it reads."""
        others = [each for each in (self.strata, self.cluster) if each is not None]
        return (self.variant, *(each.column for each in self.metrics), *self.covariates, *others)
