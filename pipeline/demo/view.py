"""View: how a watch reads on a terminal, and in plain lines where there is none."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evaluation.catalog.in_force import FlagInForce
from pipeline.demo.session import DemoMoment, DemoOutcome
from pipeline.demo.shop import SOURCE
from pipeline.demo.watch import DemoWatch
from pipeline.vocabulary import DECISIONS, GOAL_ROLES, JUDGEMENTS, STATUSES, Tone
from schemas.catalog import Goal
from schemas.look import EVERYONE, UNTESTED, Cell, Look

ALWAYS_VALID = (
    "Intervals are always valid: watch all the time and act when one excludes 0; without a true effect, that ever "
    "happens in at most 5 % of experiments."
)
LEGEND = (
    "● lift of the treatment within its interval ━, 0 in the middle. ★ primary metric, ▲ guardrail. "
    "settled: units whose window is over, who decide; live: everyone so far, to watch."
)
SCALES = (0.1, 0.25, 0.5, 1.0)  # relative lifts at the ends of the bars
SHORT = 40  # lines of a terminal below which the sentences are left out
NARROW = 104  # columns of a terminal below which the units are left out
COLOURS: dict[Tone, str] = {"good": "green", "bad": "red", "warn": "yellow", "open": "cyan", "idle": "dim"}


class DemoView:
    """The whole picture, as wide as the terminal is and shorter where it is low."""

    def __init__(self, watch: DemoWatch, moment: DemoMoment) -> None:
        self._watch = watch
        self._moment = moment

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich asks for it."""
        short = console.height < SHORT
        gap = [] if short else [Text()]
        yield _title(self._moment)
        yield Text(f"console: {self._moment.console}", style="bold cyan")
        yield Text(_traffic(self._watch))
        yield Text(_aside(self._watch), style="dim")
        if self._watch.orders:
            yield Text(_orders(self._watch), style="dim")
        yield from gap
        yield Text(ALWAYS_VALID, style="italic")
        for key, flag in self._watch.flags.items():
            yield from gap
            if flag.definition.metrics:
                yield _experiment(flag, self._watch.looks.get(key), options.max_width, short)
            else:
                yield _plain_flag(flag, self._watch)
        yield from gap
        if not short:
            yield Text(LEGEND, style="dim")


def lines(watch: DemoWatch, moment: DemoMoment) -> Iterator[str]:
    """The same in short, a line for each experiment."""
    yield f"{_clock(moment.elapsed)} {moment.phase}: {_traffic(watch)} · {_aside(watch)} · console {moment.console}"
    if watch.orders:
        yield f"  {_orders(watch)}"
    for key, flag in watch.flags.items():
        look = watch.looks.get(key)
        if not flag.definition.metrics:
            yield f"  {_plain_flag(flag, watch).plain}"
        elif look is None:
            yield f"  {key}: no look yet"
        else:
            cells = [_cell_line(cell, flag) for cell in _shown(look, flag)]
            yield f"  {key}: {look.verdict.decision} · " + " · ".join(cells)


def summary(outcome: DemoOutcome, here: Path) -> Group:
    """What the demo came to, and how to look further; paths are shown as seen from the directory `here`."""
    snapshot = Path(outcome.snapshot)
    shown = snapshot.relative_to(here) if snapshot.is_relative_to(here) else snapshot
    freshness = outcome.freshness
    head = (
        f"{outcome.produced:,} events in {outcome.seconds:.0f} s ({outcome.events_per_second:,.0f} a second), "
        f"{outcome.counted:,} counted, {outcome.dead_letters:,} of them dead letters"
    )
    fresh = (
        f"from event to result: half within {freshness.p50:.2f} s, 99 % within {freshness.p99:.2f} s"
        if freshness
        else "no result arrived"
    )
    used = (
        f"{len(outcome.processes)} processes: {outcome.cpu_seconds:.0f} s of CPU, "
        f"{outcome.peak_memory / 2**20:,.0f} MiB of memory at their peaks"
    )
    return Group(
        Text(),
        Text(head, style="bold"),
        Text(f"{fresh} · {used}", style="dim"),
        *_histories(outcome),
        Text(),
        Text("Query it all yourself:"),
        Text(f"  duckdb -readonly {shown}", style="bold cyan"),
        Text("  SELECT * FROM results;", style="cyan"),
        Text("Compute every look again from the archived log:"),
        Text(f"  PEEKPROOF_DATA={shown.parent} peekproof replay", style="bold cyan"),
    )


def _histories(outcome: DemoOutcome) -> Iterator[Text]:
    """What became of the flags that did not stay as they were: as `peekproof flag history` tells it."""
    for key, versions in outcome.history.items():
        steps = [f"{each.version} {', '.join(each.changed)} ({each.reason})" for each in versions]
        yield Text(f"history of {key}: {' · '.join(steps)}", style="dim")


def _title(moment: DemoMoment) -> Text:
    clock = f"{_clock(moment.elapsed)} of {_clock(moment.seconds)}"
    return Text.assemble(("Peekproof", "bold"), "  ", (moment.phase, "cyan"), "  ", (clock, "dim"))


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _traffic(watch: DemoWatch) -> str:
    freshness = watch.freshness()
    fresh = f"{freshness.p50:.1f} s (99 %: {freshness.p99:.1f} s)" if freshness else "–"
    return (
        f"{watch.events_per_second:,.0f} events/s · {watch.counted:,} counted · lag {watch.lag:,} · "
        f"from event to result {fresh}"
    )


def _aside(watch: DemoWatch) -> str:
    return (
        f"left out: {watch.duplicates:,} duplicates · {watch.late:,} late · {watch.dead_letters.total():,} dead letters"
    )


def _orders(watch: DemoWatch) -> str:
    """What the source makes of the topic that is not ours."""
    ordered = watch.ordered
    return (
        f"source {SOURCE}, a topic of the shop's own shape: {ordered['taken']:,} paid orders are purchases · "
        f"{ordered['excluded']:,} are not paid yet · {ordered['dead letters']:,} dead letters"
    )


def _experiment(flag: FlagInForce, look: Look | None, width: int, short: bool) -> Group:
    definition = flag.definition
    decision = look.verdict.decision if look else "none"
    sign, colour = DECISIONS[decision].sign, COLOURS[DECISIONS[decision].tone]
    verdict = f"{sign} {decision}" if look and decision != "none" else "no difference shown" if look else "waiting"
    heading = Table.grid(expand=True)
    heading.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    heading.add_column(justify="right", no_wrap=True)
    heading.add_row(
        Text.assemble((definition.key, "bold"), ("  " + (definition.name or ""), "dim")),
        Text(verdict, style=f"bold {colour}"),
    )
    parts: list[Group | Table | Text | Padding] = [heading]
    if definition.hypothesis and not short:
        parts.append(Padding(Text(definition.hypothesis.prediction, style="italic dim"), (0, 0, 0, 2)))
    if look is None:
        return Group(*parts)
    parts.append(Padding(_cells(flag, look, width), (0, 0, 0, 2)))
    if not short:
        parts.append(Padding(Text(look.verdict.reason, style=colour), (0, 0, 0, 2)))
    return Group(*parts)


def _cells(flag: FlagInForce, look: Look, width: int) -> Table:
    cells = _shown(look, flag)
    ends = [
        abs(end)
        for cell in cells
        for end in (cell.running_relative_lower, cell.running_relative_upper)
        if end is not None
    ]
    scale = next((scale for scale in SCALES if scale >= max(ends, default=1.0)), SCALES[-1])
    columns = (max(12, min(42, width - (84 if width >= NARROW else 69))) - 1) // 2 * 2 + 1
    several = len(flag.definition.variants) > 2
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    table.add_column("metric", no_wrap=True, min_width=12)
    if several:
        table.add_column("variant", no_wrap=True)
    table.add_column(flag.control, justify="right", no_wrap=True, min_width=8)
    table.add_column("variant" if several else _treatment(flag), justify="right", no_wrap=True, min_width=9)
    end = f"{scale:.0%}"
    table.add_column(Text("−" + end + "0".center(columns - 2 * len(end) - 2) + "+" + end), no_wrap=True)
    table.add_column("lift", justify="right", no_wrap=True, min_width=7)
    table.add_column("interval", justify="right", no_wrap=True, min_width=17)
    table.add_column("p", justify="right", no_wrap=True, min_width=7)
    if width >= NARROW:
        table.add_column("units", justify="right", no_wrap=True, min_width=14)
    for cell in cells:
        colour = COLOURS[JUDGEMENTS[cell.judgement or "open"].tone]
        style = "" if cell.reading == "settled" else "dim"
        table.add_row(
            Text(_mark(flag, cell.metric) + cell.metric),
            *([cell.variant] if several else []),
            _mean(cell.control_mean, cell, flag),
            _mean(cell.mean, cell, flag),
            _bar(cell, scale, columns, colour),
            _percent(cell.relative_estimate),
            Text(_interval(cell), style=colour if cell.status == "ok" else ""),
            _p(cell.running_p_value),
            *([f"{cell.n + cell.control_n:,} {cell.reading}"] if width >= NARROW else []),
            style=style,
        )
    return table


def _bar(cell: Cell, scale: float, columns: int, colour: str) -> Text:
    """The interval on a line from −scale to +scale; beyond its ends it goes on as an arrow."""
    zero = columns // 2
    line = ["·"] * columns
    line[zero] = "│"
    bar = Text("".join(line), style="dim")
    if cell.relative_estimate is None or cell.running_relative_lower is None or cell.running_relative_upper is None:
        return bar

    def place(lift: float) -> int:
        return max(0, min(columns - 1, zero + round(lift / scale * zero)))

    first, last = place(cell.running_relative_lower), place(cell.running_relative_upper)
    line[first : last + 1] = ["━"] * (last - first + 1)
    if first <= zero <= last:
        line[zero] = "┿"
    line[place(cell.relative_estimate)] = "●"
    if cell.running_relative_lower < -scale:
        line[0] = "◀"
    if cell.running_relative_upper > scale:
        line[-1] = "▶"
    bar = Text("".join(line), style="dim")
    bar.stylize(f"not dim {colour}", first, last + 1)
    return bar


def _shown(look: Look, flag: FlagInForce) -> list[Cell]:
    """One cell for each metric and variant: the settled reading once it can be tested, before that the live one."""
    shown: dict[tuple[str, str], Cell] = {}
    for cell in look.cells:
        key = (cell.metric, cell.variant)
        if cell.segment == EVERYONE and (key not in shown or cell.reading == _preferred(shown[key], cell)):
            shown[key] = cell
    order = [goal.metric for goal in flag.definition.metrics]
    return sorted(shown.values(), key=lambda cell: order.index(cell.metric) if cell.metric in order else len(order))


def _preferred(one: Cell, other: Cell) -> str:
    settled = one if one.reading == "settled" else other
    return "settled" if settled.status not in UNTESTED else "live"


def _cell_line(cell: Cell, flag: FlagInForce) -> str:
    means = f"{_mean(cell.control_mean, cell, flag)} → {_mean(cell.mean, cell, flag)}"
    judged = f"{_percent(cell.relative_estimate)} {_interval(cell)}"
    return f"{cell.metric} {means} {judged} p {_p(cell.running_p_value)} ({cell.reading} {cell.n + cell.control_n:,})"


def _plain_flag(flag: FlagInForce, watch: DemoWatch) -> Text:
    key = flag.definition.key
    answers = watch.answers.get(key)
    counts = [f"{variant} {number:,}" for variant, number in sorted(answers.items())] if answers else []
    versions = watch.history.get(key, [])
    now = (
        f"  {', '.join(versions[-1].changed)} in version {versions[-1].version}: {versions[-1].reason}"
        if versions
        else ""
    )
    return Text.assemble(
        (key, "bold"), ("  a plain feature flag, answered: ", "dim"), " · ".join(counts) or "waiting", (now, "cyan")
    )


def _goal(flag: FlagInForce, metric: str) -> Goal | None:
    return next((goal for goal in flag.definition.metrics if goal.metric == metric), None)


def _mark(flag: FlagInForce, metric: str) -> str:
    goal = _goal(flag, metric)
    return f"{GOAL_ROLES[goal.role].sign if goal else '':1} "


def _treatment(flag: FlagInForce) -> str:
    return next(variant.key for variant in flag.definition.variants if variant.key != flag.control)


def _mean(mean: float | None, cell: Cell, flag: FlagInForce) -> str:
    """A share in percent for a conversion, else the mean of units."""
    if mean is None:
        return "–"
    metric = flag.runs[-1].metrics[cell.metric].definition
    return f"{mean * 100:.2f} %" if metric.is_conversion else f"{mean:,.2f}"


def _percent(lift: float | None) -> str:
    return "–" if lift is None else f"{lift:+.1%}"


def _interval(cell: Cell) -> str:
    if cell.status != "ok":
        return STATUSES[cell.status]
    if cell.running_relative_lower is None or cell.running_relative_upper is None:
        return "too wide yet"
    return f"[{cell.running_relative_lower:+.1%}, {cell.running_relative_upper:+.1%}]"


def _p(p_value: float | None) -> str:
    return "–" if p_value is None else "<0.0001" if p_value < 0.0001 else f"{p_value:.4f}"
