"""Terminal: where tables and sentences go. What others wrote is shown as it is, and rules nobody's terminal."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def told_utc(milliseconds: int) -> str:
    """A moment (ms UTC) as lists tell it."""
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Terminal(Console):
    """A console on which text is text: brackets are no markup, and control characters show as escapes.

    `width`: columns where standard output is no terminal.
    """

    def __init__(self, width: int | None = None) -> None:
        width = None if sys.stdout.isatty() else width
        super().__init__(width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich makes the cells of its tables by this."""
        return super().render_str(harmless(text), **options)


@dataclass(frozen=True, slots=True)
class TerminalColumn:
    """A column of a table: its cells, and its rank: where not all fit, that of the highest goes first."""

    title: str
    rank: int
    cells: Sequence[str]
    justify: Literal["left", "right"] = "left"

    @property
    def width(self) -> int:
        return max(cell_len(harmless(each)) for each in (self.title, *self.cells))

    @property
    def is_empty(self) -> bool:
        return all(cell in {"", "-"} for cell in self.cells)


_GAP = 2  # between columns


@dataclass(frozen=True, slots=True)
class Fitted:
    """A table of one line a row, however narrow the terminal: what says nothing, or would not fit, is left out."""

    columns: Sequence[TerminalColumn]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """By the width that there is; what is left out is named."""
        kept = [column for column in self.columns if not column.is_empty]
        left_out: list[TerminalColumn] = []
        while len(kept) > 1 and sum(column.width + _GAP for column in kept) - _GAP > options.max_width:
            left_out.append(max(kept, key=lambda column: column.rank))
            kept.remove(left_out[-1])
        table = Table(box=None, pad_edge=False)
        for column in kept:
            table.add_column(column.title, justify=column.justify, no_wrap=True)
        for row in zip(*(column.cells for column in kept), strict=True):
            table.add_row(*row)
        yield table
        if left_out:
            names = ", ".join(column.title for column in reversed(left_out))
            yield Text(f"in a wider terminal, or with --json: {names}", style="dim")


def harmless(text: str) -> str:
    """The text with its control characters as escapes, so that a terminal shows them instead of obeying."""
    return text.translate(_CONTROLS)
