"""`peekproof results`: the looks on the results topic."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import click
from msgspec import UNSET
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from evaluation.catalog.overview import without_look
from evaluation.plans.upstream import LATE_MS, Upstream
from evaluation.significance.best import told_best
from evaluation.significance.health import told_losses
from pipeline.catalog.topic import read_catalog
from pipeline.cli.looks import read_looks
from pipeline.cli.plot import draw_looks, plot_option
from pipeline.cli.terminal import Fitted, Terminal, TerminalColumn, harmless, told_utc
from pipeline.settings import Settings
from pipeline.stages import STAGES
from schemas.look import EVERYONE, Cell, Look, RunKey


@click.command()
@click.option("--follow", is_flag=True, help="Then go on with every look that is published, until interrupted.")
@plot_option
@click.option("--json", "as_json", is_flag=True, help="Every look as it was published, one per line.")
def results(follow: bool, plot: Path | None, as_json: bool) -> None:
    """Show the newest look of every run; with --json, every look."""
    if plot and follow:
        raise click.UsageError("--plot draws the newest looks that there are; leave out --follow")
    settings = Settings.read()
    looked: dict[RunKey, int] = {}
    newest: dict[RunKey, Look] = {}
    with _live() if follow and not as_json and sys.stdout.isatty() else nullcontext() as live:
        shown = _Shown(live, is_by_line=follow)

        def caught_up() -> None:
            shown.begin()
            if not (as_json and looked):  # else a program reads them, which has what it came for
                _tell_without(settings, looked, as_json)
            if not as_json:
                _tell_old(settings, shown.newest)

        try:
            for look, value in read_looks(settings, looked, follow=follow, caught_up=caught_up):
                if plot:
                    newest[look.experiment, look.run] = look
                if as_json:
                    click.echo(value)
                else:
                    shown.take(look)
        except KeyboardInterrupt:
            pass
    draw_looks([look for _, look in sorted(newest.items())], plot)


class _Shown:
    """The newest look of each run, once all that there is has been read; then each that follows."""

    def __init__(self, live: Live | None, *, is_by_line: bool) -> None:
        self._live, self._is_by_line = live, is_by_line
        self.newest: dict[RunKey, Look] = {}
        self._has_begun = False

    def begin(self) -> None:
        """Everything has been read."""
        self._has_begun = True
        if self.newest:
            self._show(sorted(self.newest.values(), key=lambda look: (look.experiment, look.run)))

    def take(self, look: Look) -> None:
        """One look more."""
        self.newest[look.experiment, look.run] = look
        if self._has_begun:
            self._show([look])

    def _show(self, looks: Iterable[Look]) -> None:
        if self._live:
            self._live.update(tables(self.newest.values()))
        elif self._is_by_line:
            for look in looks:
                title = f"{look.experiment}/{look.run} look {look.look}, {_as_of(look)}"
                click.echo(f"{title}: {look.verdict.decision}: {look.verdict.reason}")
        else:
            Terminal(200).print(tables(looks))


def _live() -> Live:
    return Live(console=Terminal(), refresh_per_second=4, vertical_overflow="visible")


def _as_of(look: Look) -> str:
    return f"as of {told_utc(look.time)} UTC" if look.time else "as of nothing yet"


def tables(looks: Iterable[Look]) -> Group:
    """A table of each look's cells under its verdict; intervals and p-values are those of all looks so far."""
    parts: list[RenderableType] = []
    for look in sorted(looks, key=lambda look: (look.experiment, look.run)):
        units = sum(arm.units for arm in look.health.arms)
        title = f"{look.experiment} {look.run}, look {look.look}, {units:,} units"
        parts.append(Text(f"{title}: {look.verdict.decision} ({_as_of(look)})"))
        parts.append(Text(look.verdict.reason, style="dim"))
        parts += map(Text, [*told_best(look), *told_losses(look.health)])
        if look.cells:
            parts.append(Fitted(_columns([cell.told() for cell in look.cells])))
        parts.append(Text())
    return Group(*parts)


def _columns(cells: Sequence[Cell]) -> list[TerminalColumn]:
    """One line a comparison; what all looks so far say stays where a terminal is narrow."""
    is_split = any(cell.segment != EVERYONE for cell in cells)
    texts: list[tuple[str, int, Callable[[Cell], str]]] = [
        ("metric", 0, lambda cell: cell.metric),
        ("variant", 1, lambda cell: cell.variant),
        ("reading", 5, lambda cell: cell.reading),
        ("segment", 2 if is_split else 13, lambda cell: cell.segment),
        ("method", 6, lambda cell: cell.method),
        ("status", 8 if all(cell.status == "ok" for cell in cells) else 2, lambda cell: cell.status),
        ("judgement", 7, lambda cell: cell.judgement or "-"),
    ]
    numbers: list[tuple[str, int, Callable[[Cell], str]]] = [
        ("units", 9, lambda cell: f"{cell.n:,}"),
        ("mean", 10, lambda cell: _number(cell.mean)),
        ("control", 11, lambda cell: _number(cell.control_mean)),
        ("estimate", 12, lambda cell: _number(cell.estimate)),
        ("interval", 14, lambda cell: _interval(cell.running_lower, cell.running_upper)),
        ("lift", 3, lambda cell: _interval(cell.running_relative_lower, cell.running_relative_upper)),
        ("p or chance", 4, lambda cell: _number(cell.running_p_value if cell.chance is None else cell.chance)),
        ("adjusted p", 15, lambda cell: _number(cell.adjusted_p_value)),
    ]
    if any(cell.adjusted is not UNSET for cell in cells):
        numbers.append(("the other way", 16, other_way))
    return [TerminalColumn(title, rank, [show(cell) for cell in cells]) for title, rank, show in texts] + [
        TerminalColumn(title, rank, [show(cell) for cell in cells], "right") for title, rank, show in numbers
    ]


def other_way(cell: Cell) -> str:
    """What decides nothing: the interval of the plain difference, or of that with CUPED."""
    if cell.adjusted is UNSET:
        return ""
    ends = (None if each is UNSET else each for each in (cell.other_running_lower, cell.other_running_upper))
    return f"{'with CUPED' if cell.adjusted == 'none' else 'plain'} {_interval(*ends)}"


def _interval(lower: float | None, upper: float | None) -> str:
    """An end that is not known, or that a one-sided test leaves open, is a dash."""
    return "-" if lower is None and upper is None else f"{_number(lower)} to {_number(upper)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _tell_old(settings: Settings, looks: Mapping[RunKey, Look]) -> None:
    """Say why the newest looks of runs that go on are old, where workers tell it."""
    old = [look for look in looks.values() if not look.final and time.time() * 1_000 - look.time > LATE_MS]
    if old:
        from pipeline.doctor.sight import Sight  # noqa: PLC0415 (slow to import)

        heard, upstream = Sight(settings).heard(), Upstream()
        for word in sorted(heard.newest.values(), key=lambda each: each.time):
            upstream.hear(word.time, word.health)
        if why := upstream.slow(heard.now):
            oldest = min(old, key=lambda look: look.time)
            click.echo(harmless(f"looks are {_as_of(oldest)}, and others wait: {why}"), err=True)


def _tell_without(settings: Settings, looked: Mapping[RunKey, int], is_aside: bool) -> None:
    """Say of every run that is open and has no look what it waits for; to standard error, if that is aside."""
    catalog = read_catalog(settings).newest
    open_runs = [
        flag
        for _, flag in sorted(catalog.flags.items())
        if flag.definition.metrics and flag.status == "running" and not flag.removed
    ]
    waiting = [flag for flag in open_runs if (flag.definition.key, flag.runs[-1].key) not in looked]
    if waiting:
        from pipeline.doctor.sight import Sight  # noqa: PLC0415 (slow to import)

        heard = Sight(settings).heard()
        working = [stage for stage in STAGES if heard.living(stage)]
        for flag in waiting:
            click.echo(harmless(without_look(flag, None, working)), err=is_aside)
    elif not looked:
        click.echo("there are none yet; `peekproof experiment start KEY` begins a run", err=is_aside)
