"""`peekproof analyze`: results of exposures and events in files, without a broker."""

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from pathlib import Path

import click
from msgspec import UNSET
from rich.text import Text

from evaluation.significance.best import told_best
from evaluation.significance.health import told_losses
from pipeline.catalog.documents import read_documents
from pipeline.cli.plot import draw_looks, plot_option
from pipeline.cli.progress import progress
from pipeline.cli.results import other_way
from pipeline.cli.terminal import Fitted, Terminal, TerminalColumn, harmless
from pipeline.errors import PeekproofError
from pipeline.offline.analysis import FileAnalysis
from pipeline.offline.question import Measured, Method, TableQuestion
from pipeline.offline.table import TableAnalysis
from pipeline.offline.telling import report, told_left_out, told_notes
from schemas.look import Cell, Look
from schemas.numbers import Exact

DIGITS = 100  # of exact sums, more than they have


class _Command(click.Command):
    """Takes several files after one option, as a shell makes them of `events/*.parquet`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        option = ""
        for arg in args:
            if arg.startswith("--"):
                option = arg if arg in {"--exposures", "--events", "--table"} else ""
            elif option and spread[-1] != option:
                spread.append(option)
            spread.append(arg)
        return super().parse_args(ctx, spread)


_files = click.Path(exists=True, path_type=Path)


@click.command(cls=_Command)
@click.option("--exposures", multiple=True, type=_files, metavar="FILE…", help="Exposures.")
@click.option(
    "--events", multiple=True, type=_files, metavar="FILE…", help="Events; without them only the split is judged."
)
@click.option(
    "--catalog", type=click.Path(path_type=Path), default=Path("configs"), metavar="DIR", help="Default: configs."
)
@click.option("--experiment", metavar="KEY", help="This one only.")
@click.option("--table", multiple=True, type=_files, metavar="FILE…", help="Instead of these: a row for each unit.")
@click.option("--variant", metavar="COLUMN", help="Of a table: which variant the unit met.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="COLUMN[:TYPE][:decrease]",
    help="Of a table: a number of the unit; TYPE is conversion or sum, by default what its numbers are; with decrease "
    "less is better. The first one decides.",
)
@click.option(
    "--covariate",
    "covariates",
    multiple=True,
    metavar="COLUMN",
    help="Of a table: a number known before, which explains a part (CUPED). Several may be named.",
)
@click.option("--strata", metavar="COLUMN", help="Of a table: what the unit was before; compared is within its values.")
@click.option("--cluster", metavar="COLUMN", help="Of a table: what was randomised, if a row is but a part of it.")
@click.option("--control", metavar="VARIANT", help="Of a table. Default: control, else the first by name.")
@click.option("--weights", metavar="VARIANT=N,…", help="Of a table: the planned split. Default: equal.")
@click.option(
    "--method",
    type=click.Choice(["sequential", "t-test", "bayesian"]),
    help="Of a table. Default: sequential; a t-test is read once.",
)
@plot_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with every number.")
def analyze(
    *,
    exposures: tuple[Path, ...],
    events: tuple[Path, ...],
    catalog: Path,
    experiment: str | None,
    table: tuple[Path, ...],
    variant: str | None,
    metrics: tuple[str, ...],
    covariates: tuple[str, ...],
    strata: str | None,
    cluster: str | None,
    control: str | None,
    weights: str | None,
    method: Method | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Results of exposures and events in NDJSON, CSV or Parquet files, by the experiments and metrics of DIR.

    The fields are those of the topics; an Amplitude export may be given as --events, its exposures included. Every
    experiment counts as running, from its `start` to its `end` if it has them, and the watermark ends at the last
    time in the files. Rows that are of no use are reported with file, line and reason.

    Or of a table with a row for each unit, without any document:
    peekproof analyze --table users.csv --variant group --metric spend --metric visit:conversion
    """
    of_table = {
        "--variant": variant,
        "--metric": metrics,
        "--covariate": covariates,
        "--strata": strata,
        "--cluster": cluster,
        "--control": control,
        "--weights": weights,
        "--method": method,
    }
    if table:
        if exposures or events or experiment:
            raise click.UsageError("--table stands alone: it holds exposures and metrics")
        if variant is None or not metrics:
            raise click.UsageError("a table wants --variant COLUMN and --metric COLUMN")
        question = TableQuestion(
            variant,
            tuple(map(Measured.of, metrics)),
            covariates,
            control,
            _weights(weights) if weights else None,
            method or "sequential",
            strata,
            cluster,
        )
        whole = TableAnalysis(question, table)
        _read(whole)
        looks, notes = [whole.look()], whole.notes
        draw_looks(looks, plot)
        _report(whole, looks, notes, as_json)
        return
    if alone := next((option for option, value in of_table.items() if value), None):
        raise click.UsageError(f"{alone} is of a table; name its file: --table FILE")
    if not (exposures or events):
        raise click.UsageError("name files: --exposures, --events, or both; or --table")
    analysis = FileAnalysis(read_documents(catalog), exposures, events, experiment)
    _read(analysis)
    looks = analysis.looks()
    draw_looks(looks, plot)
    _report(analysis, looks, told_notes(analysis), as_json)


def _weights(text: str) -> dict[str, int]:
    weights = {}
    for each in text.split(","):
        name, _, number = each.rpartition("=")
        if not (name and number.isascii() and number.isdigit() and int(number)):
            raise PeekproofError(
                f"--weights '{text}': '{each}' is no weight; write VARIANT=N,… with whole numbers from 1"
            )
        weights[name] = int(number)
    return weights


def _report(analysis: FileAnalysis | TableAnalysis, looks: list[Look], notes: list[str], as_json: bool) -> None:
    if as_json:
        click.echo(report(analysis, looks, notes))
        return
    console = Terminal(200)
    for look in looks:
        _show(look, console)
    of = ("units", "clusters") if isinstance(analysis, TableAnalysis) else ("exposures", "events")
    read = [f"{analysis.rows[name]:,} {name}" for name in of if name != "clusters" or name in analysis.rows]
    console.print(", ".join(read))
    for note in notes:
        click.echo(harmless(note), err=True)
    for line in told_left_out(analysis.left_out):
        click.echo(harmless(line), err=True)


def _read(analysis: FileAnalysis | TableAnalysis) -> None:
    with progress("reading", total=1.0) as tell:
        for share in analysis:
            tell(share)


EXACT = (
    "exact: the interval is of the relative effect, and both are by conversions alone, as the planned split has them; "
    "the difference is of the means"
)


def _show(look: Look, console: Terminal) -> None:
    """The verdict, the health and a table with a row for each arm."""
    health = look.health
    srm = "-" if health.srm_p_value is None else f"{health.srm_p_value:.4g}"
    split = " · ".join(f"{arm.variant} {arm.units:,} ({arm.expected_share:.1%} expected)" for arm in health.arms)
    console.print(Text(f"{look.experiment}: {look.verdict.decision}", style="bold"))
    console.print(Text(look.verdict.reason))
    counts = {
        "jumpers": health.jumpers,
        "inactive": health.inactive,
        "forced": health.forced,
        "repeated events (told for each metric)": health.duplicate_events,
        "unusable values": health.unusable_events,
        "withheld units": health.withheld_units,
        "units with more events in an hour than a funnel or retention reads": health.crowded_units or 0,
    }
    told = [f"{count:,} {what}" for what, count in counts.items() if count or what == "jumpers"]
    console.print(" · ".join([split, f"SRM p {srm}", *told]))
    for sentence in (*told_best(look), *told_losses(health)):
        console.print(Text(sentence))
    if look.cells:
        cells = [cell.told() for cell in look.cells]
        console.print(Fitted(list(_columns(cells))))
        for cell in cells:
            if cell.adjusted is not UNSET and cell.status == "ok":
                console.print(Text(_both_ways(cell), style="dim"))
    if any(cell.method == "exact" and cell.relative_estimate is not None for cell in look.cells):
        console.print(Text(EXACT, style="dim"))
    console.print()


def _both_ways(cell: Cell) -> str:
    """The numbers that decide, and those beside them."""
    decides = "plain" if cell.adjusted == "none" else f"with {cell.adjusted}"
    left = "" if cell.variance_left in (UNSET, None) else f"; {cell.variance_left:.1%} of the variance is left"
    where = f"{cell.metric}, {cell.variant}, {cell.reading}"
    told = f"{other_way(cell)} (estimate {_number(cell.other_estimate or None)})"
    return f"{where}: {decides} decides; {told}{left}"


def _columns(cells: Sequence[Cell]) -> Iterator[TerminalColumn]:
    """Of each comparison's two rows, control's first; control has one for all that it is compared with."""
    rows: list[tuple[list[str], list[str]]] = []
    control: tuple[str, str, str] | None = None
    for cell in cells:
        if control != (cell.metric, cell.reading, cell.segment):
            control = cell.metric, cell.reading, cell.segment
            rows.append(([*control, "", "", cell.control], [*_sums(cell, "control_"), *[""] * 4]))
        rows.append(([*control, cell.method, cell.status, cell.variant], [*_sums(cell, ""), *_compared(cell)]))
    texts, numbers = zip(*rows, strict=True)
    is_ok = all(cell.status == "ok" for cell in cells)
    for number, (title, rank) in enumerate(_TEXTS.items()):
        yield TerminalColumn(title, rank if is_ok or title != "status" else 1, [row[number] for row in texts])
    for number, (title, rank) in enumerate(_NUMBERS.items()):
        yield TerminalColumn(title, rank, [row[number] for row in numbers], "right")


# By their ranks: what goes last where a terminal is narrow.
_TEXTS = {"metric": 0, "reading": 5, "segment": 9, "method": 6, "status": 10, "variant": 1}
_NUMBERS = {
    "n": 7,
    "sum": 12,
    "sum of squares": 13,
    "denominator": 11,
    "mean": 8,
    "difference": 2,
    "interval": 3,
    "relative": 14,
    "p or chance": 4,
}


def _sums(cell: Cell, of: str) -> list[str]:
    """The exact sums of the variant, or of control; a ratio's `sum` is that of its numerator."""
    found = {name: getattr(cell, of + name) for name in ("n", "sum", "sum_squares", "denominator_sum", "mean")}
    shown = [f"{found['n']:,}", _exact(found["sum"], cell.scale), _exact(found["sum_squares"], 2 * cell.scale)]
    return [*shown, _exact(found["denominator_sum"], cell.denominator_scale or 0), _number(found["mean"])]


def _exact(number: Exact | None, places: int) -> str:
    if number is None:
        return ""
    with localcontext(prec=DIGITS):
        text = f"{Decimal(number).scaleb(-places):f}"
    return text.rstrip("0").rstrip(".") if places else text


def _compared(cell: Cell) -> list[str]:
    ends, write = (cell.running_lower, cell.running_upper), _number
    if cell.method == "exact":
        ends, write = (cell.running_relative_lower, cell.running_relative_upper), _lift
    return [
        _number(cell.estimate),
        "-" if ends == (None, None) else " to ".join(map(write, ends)),
        _lift(cell.relative_estimate),
        _number(cell.running_p_value if cell.chance is None else cell.chance),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _lift(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2%}"
