"""Results: looks at experiments, as a table, a picture, a sentence in a terminal and a page in a notebook."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from evaluation.significance.best import told_best
from evaluation.significance.health import told_losses
from peekproof.plots import chart
from peekproof.tabled import Tabled
from pipeline.errors import PeekproofError
from pipeline.pictures.drawing import percent
from pipeline.pictures.effects import effects_of
from pipeline.storage.rows import SUMS
from pipeline.storage.tables import CELL, RESULTS, Table
from pipeline.vocabulary import CAVEATS, DECISIONS, JUDGEMENTS, STATUSES
from schemas.look import EVERYONE, Cell, Look

if TYPE_CHECKING:
    import pyarrow
    from altair import TopLevelMixin

MOST_DIGITS = 38  # of a number of a table
_ABOUT = ("experiment", "run", "look", "time")
_TABLE = Table("results", "", tuple(each for each in RESULTS.columns if each.name in (*_ABOUT, *CELL)))


class Result(Tabled):
    """What an analysis found: a look at each experiment.

    In a terminal it is a sentence for each, in a notebook a page. `looks` are the looks as they stand on the topic
    `results` (see the page Topics), `notes` what a reader should know beside them: rows that were left out, and why.
    """

    def __init__(self, looks: Sequence[Look], notes: Sequence[str] = (), report: bytes = b"") -> None:
        self.looks = tuple(looks)
        self.notes = tuple(notes)
        self._report = report

    @property
    def look(self) -> Look:
        """The look at the only experiment. Raises PeekproofError where there are several."""
        if len(self.looks) != 1:
            raise PeekproofError(
                f"there are {len(self.looks)} experiments: {self._keys()}; name one: result['KEY'].look"
            )
        return self.looks[0]

    def __getitem__(self, experiment: str) -> "Result":
        """What was found of one experiment."""
        its = [look for look in self.looks if look.experiment == experiment]
        if not its:
            raise PeekproofError(f"'{experiment}' is no experiment of it; there are {self._keys()}")
        return Result(its, self.notes, self._report)

    def to_arrow(self) -> "pyarrow.Table":
        """A row for each comparison, named and typed as in DuckDB's table `results`, where each column has a comment.

        `lower`, `upper` and `p_value` are what all looks so far say; what one says by itself is `look_lower`, ….
        """
        return _TABLE.arrow(row for look in self.looks for row in rows(look))

    def to_json(self) -> str:
        """Every number, as `peekproof analyze --json` prints it."""
        return self._report.decode()

    def plot(self) -> "TopLevelMixin":
        """The lifts with their intervals, as a chart of Altair. Wants the extra `peekproof[plot]`."""
        if not self.looks:
            raise PeekproofError("there is no look to draw")
        return chart(effects_of(self.looks))

    def __repr__(self) -> str:
        told = [f"{look.experiment}: {look.verdict.decision}: {look.verdict.reason}" for look in self.looks]
        if self.notes:
            told.append(f"({len(self.notes)} note{'s' * (len(self.notes) > 1)}: see .notes)")
        return "\n".join(told or ["no experiment was found"])

    def _repr_html_(self) -> str:
        return "".join([*map(_page, self.looks), *_listed(self.notes)])

    def _keys(self) -> str:
        return ", ".join(look.experiment for look in self.looks) or "none"


def rows(look: Look) -> Iterator[dict[str, Any]]:
    """A look's cells as rows of the table `results`."""
    about = {"experiment": look.experiment, "run": look.run, "look": look.look, "time": look.time or None}
    for cell in look.cells:
        told = cell.told()
        yield about | {column: _value(column, getattr(told, field)) for column, field in CELL.items()}


def _value(column: str, value: Any) -> Any:
    if value is msgspec.UNSET:
        return None
    if column in SUMS and isinstance(value, str):  # beyond 64 bits
        return int(value) if len(value.lstrip("-")) <= MOST_DIGITS else None
    return value


def _page(look: Look) -> str:
    health = look.health
    split = ", ".join(f"{arm.variant} {arm.units:,}" for arm in health.arms)
    srm = "" if health.srm_p_value is None else f"; SRM p {health.srm_p_value:.2g}"
    sentences = (f"{split}{srm}" if split else "", *told_best(look), *told_losses(health))
    told = [escape(each) for each in sentences if each]
    return (
        f"<p><b>{escape(look.experiment)}: {DECISIONS[look.verdict.decision].says}.</b> {escape(look.verdict.reason)}"
        f"{''.join(f'<br><small>{each}</small>' for each in told)}</p>{_table([cell.told() for cell in look.cells])}"
    )


def _table(cells: Sequence[Cell]) -> str:
    if not cells:
        return ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(each)}</td>' for each in row)}</tr>" for row in map(_row, cells))
    return (
        f"<table><thead><tr>{''.join(f'<th>{each}</th>' for each in _HEAD)}</tr></thead><tbody>{body}</tbody></table>"
    )


_HEAD = ("metric", "reading", "variant", "units", "mean", "control", "lift", "interval", "p or chance", "")


def _row(cell: Cell) -> tuple[str, ...]:
    segment = "" if cell.segment == EVERYONE else f" [{cell.segment}]"
    ends = [cell.running_relative_lower, cell.running_relative_upper]
    says = STATUSES[cell.status] or (JUDGEMENTS[cell.judgement].says if cell.judgement else "")
    return (
        f"{cell.metric}{segment}",
        cell.reading,
        cell.variant,
        f"{cell.n:,}",
        _number(cell.mean),
        _number(cell.control_mean),
        "" if cell.relative_estimate is None else percent(cell.relative_estimate),
        "" if ends == [None, None] else " to ".join("open" if end is None else percent(end) for end in ends),
        _number(cell.running_p_value if cell.chance is None else cell.chance),
        says if cell.caveat is None else f"{says} ({CAVEATS[cell.caveat]})",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _listed(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield f"<ul>{''.join(f'<li><small>{escape(each)}</small></li>' for each in notes)}</ul>"
