"""Left out: what of files was of no use, counted, with examples of each kind."""

from collections import Counter
from dataclasses import dataclass, field, replace

EXAMPLES = 100  # of each kind; all are counted
NO_NUMBER = "no number"  # a reason: what stands where a number must


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a file that is of no use, and why."""

    file: str
    line: int  # from 1; of a Parquet file the row
    reason: str
    detail: str
    rows: int = 1  # of the file that say the very same, of which this is the first


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows by file and reason, values by file, reason and what they are of; `bad` holds examples of both."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _first: dict[tuple[str, str, str], BadRow] = field(default_factory=dict)  # by file, reason and detail
    _same: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _kinds: Counter[tuple[str, ...]] = field(default_factory=Counter)  # how many different ones of each

    @property
    def bad(self) -> list[BadRow]:
        """Up to EXAMPLES of each kind, no two of which say the same."""
        return [replace(row, rows=self._same[said]) for said, row in self._first.items()]

    def reject(self, row: BadRow) -> None:
        """Count a row of which nothing is used."""
        self.rows[row.file, row.reason] += 1
        self._keep(row, row.file, row.reason)

    def reject_value(self, row: BadRow, name: str) -> None:
        """Count a value of a row that is used but for it."""
        self.values[row.file, row.reason, name] += 1
        self._keep(row, row.file, row.reason, name)

    def _keep(self, row: BadRow, *kind: str) -> None:
        said = row.file, row.reason, row.detail
        if said not in self._first:
            if self._kinds[kind] >= EXAMPLES:
                return
            self._kinds[kind] += 1
            self._first[said] = row
        self._same[said] += 1
