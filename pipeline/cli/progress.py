"""Progress: how far a long command is, as a bar on the terminal's standard error; nothing elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def progress(doing: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar for as long as the block runs. Call what it gives with how much of `total` is done."""
    bar = Progress(
        TextColumn(doing),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)
