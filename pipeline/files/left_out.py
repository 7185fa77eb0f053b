"""Left out: what of files was of no use, counted, with examples of each kind."""

from collections import Counter
from dataclasses import dataclass, field

EXAMPLES = 100  # of each kind; all are counted
NO_NUMBER = "no number"  # a reason: what stands where a number must


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a file that is of no use, and why."""

    file: str
    line: int  # from 1; of a Parquet file the row
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows by file and reason, values by file, reason and what they are of; `bad` holds examples of both."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    bad: list[BadRow] = field(default_factory=list)

    def reject(self, row: BadRow) -> None:
        """Count a row of which nothing is used."""
        self.rows[row.file, row.reason] += 1
        if self.rows[row.file, row.reason] <= EXAMPLES:
            self.bad.append(row)

    def reject_value(self, row: BadRow, name: str) -> None:
        """Count a value of a row that is used but for it."""
        self.values[row.file, row.reason, name] += 1
        if self.values[row.file, row.reason, name] <= EXAMPLES:
            self.bad.append(row)
