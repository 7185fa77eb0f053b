"""Terminal: where tables and sentences go. What others wrote is shown as it is, and rules nobody's terminal."""

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


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


def harmless(text: str) -> str:
    """The text with its control characters as escapes, so that a terminal shows them instead of obeying."""
    return text.translate(_CONTROLS)
