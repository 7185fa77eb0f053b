"""Question: what is asked of a table: which columns hold the variant and the metrics, and how they are compared."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import PeekproofError

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
    planned to be equal.
    """

    variant: str
    metrics: tuple[Measured, ...]
    covariates: tuple[str, ...] = ()
    control: str | None = None
    weights: Mapping[str, int] | None = None
    method: Method = "sequential"
    strata: str | None = None
    cluster: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that it reads, each once."""
        others = [each for each in (*self.covariates, self.strata, self.cluster) if each is not None]
        return tuple(dict.fromkeys([self.variant, *(each.column for each in self.metrics), *others]))
