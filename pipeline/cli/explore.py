"""`peekproof explore`: ask a run anything, afterwards."""

import csv
import getpass
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
from rich.text import Text

from evaluation.catalog.hours import moment_of
from evaluation.exploring.answer import Exploration, ExploredCell
from evaluation.exploring.question import KEPT, ExploreQuestion, QuestionError, by_of
from pipeline.cli.plot import plot_option
from pipeline.cli.progress import progress
from pipeline.cli.terminal import Fitted, Terminal, TerminalColumn, harmless, told_utc
from pipeline.errors import PeekproofError
from pipeline.exploring.asked import AskedQuestions
from pipeline.exploring.explore import explore as answer_of
from pipeline.exploring.explore import run_of
from pipeline.pictures.drawing import write
from pipeline.pictures.slices import slices_picture
from pipeline.recovery.folding import archived_catalog
from pipeline.registry.kept import KeptSchemas
from pipeline.settings import Settings
from schemas.catalog import Metric

CSV_FIELDS = (
    "n",
    "mean",
    "control_n",
    "control_mean",
    "estimate",
    "standard_error",
    "lower",
    "upper",
    "relative_estimate",
    "relative_lower",
    "relative_upper",
    "p_value",
    "chance",
)


@click.command()
@click.argument("key")
@click.option("--run", metavar="RUN", help="Default: the newest.")
@click.option("--metric", "metrics", multiple=True, metavar="KEY|FILE", help="Of the catalog, or a metric's document.")
@click.option(
    "--any-event",
    multiple=True,
    metavar="EVENT:TYPE[:PROPERTY][@WINDOW]",
    help="Any event as a metric: page_view:count, purchase:sum:revenue@7d, 'view > buy:funnel', visit:retention:7d, "
    "or two with / between.",
)
@click.option(
    "--by", multiple=True, metavar="PROPERTY,…", help="Split units by a property, or several at once; day and hour too."
)
@click.option("--by-event", multiple=True, metavar="PROPERTY", help="Split metrics by a property of their events.")
@click.option("--where", multiple=True, metavar="CONDITION", help="'plan is pro': units; event_properties.…: events.")
@click.option("--from", "since", metavar="DATE", help="Units that entered from then on (UTC).")
@click.option("--to", "until", metavar="DATE", help="The run as it stood then.")
@click.option("--live", is_flag=True, help="Units whose window is still open too.")
@click.option("--most", type=int, default=KEPT, show_default=True, help="Slices that are kept; the rest is (other).")
@click.option("--split", is_flag=True, help="Which slice explains a broken split?")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with every number.")
@click.option("--csv", "as_csv", is_flag=True, help="A row for each slice, variant and metric.")
@plot_option
def explore(
    *,
    key: str,
    run: str | None,
    metrics: tuple[str, ...],
    any_event: tuple[str, ...],
    by: tuple[str, ...],
    by_event: tuple[str, ...],
    where: tuple[str, ...],
    since: str | None,
    until: str | None,
    live: bool,
    most: int,
    split: bool,
    as_json: bool,
    as_csv: bool,
    plot: Path | None,
) -> None:
    """Ask a run of the experiment KEY anything: of the archive, so that nothing need have been planned.

    peekproof explore checkout-button --by country,plan --where 'plan is pro' --any-event page_view:count
    """
    if as_json and as_csv:
        raise click.UsageError("--json or --csv, not both")
    try:
        question = ExploreQuestion(
            metrics=tuple(map(_metric, metrics)),
            any_event=any_event,
            by=tuple(map(by_of, by)),
            by_event=by_event,
            conditions=where,
            since=_moment(since, "--from"),
            until=_moment(until, "--to"),
            reading="live" if live else "deciding",
            most=most,
            split=split,
        ).checked()
    except QuestionError as error:
        raise PeekproofError(str(error)) from None
    settings = Settings.read()
    directory = settings.data / "archive"
    if not directory.is_dir():
        raise PeekproofError(f"there is no archive in '{directory}'; its worker begins one")
    history = archived_catalog(directory)
    asked_run = run_of(history, key, run)
    asked, who = AskedQuestions(settings.data, key, asked_run.key), _who()
    if warning := asked.before(who).warning:
        click.echo(warning, err=True)
    with progress("reading the archive", total=1.0) as tell:

        def told(reached: int, end: int) -> None:
            now = min(end, int(datetime.now(UTC).timestamp() * 1_000))
            tell(min(1.0, max(0.0, (reached - asked_run.started) / max(1, now - asked_run.started))))

        bounds = settings.horizon, settings.tolerance
        kept = KeptSchemas(settings)
        found = answer_of(directory, history, key, asked_run.key, question, *bounds, kept=kept, tell=told)
    asked.note(who, question, found.family.comparisons if found.family else 0)
    if plot:
        write(slices_picture(found), plot)
    if as_json:
        click.echo(msgspec.json.encode(found))
    elif as_csv:
        _write_csv(found)
    else:
        _show(found)


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def _metric(text: str) -> str | Metric:
    """The key, or the document in that file."""
    path = Path(text)
    if path.suffix not in {".yaml", ".yml", ".json"} or not path.is_file():
        return text
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Metric)  # JSON is YAML too
    except msgspec.MsgspecError as error:
        raise PeekproofError(f"'{text}' is no metric's document: {error}") from None


def _moment(date: str | None, option: str) -> int | None:
    if date is None:
        return None
    try:
        return moment_of(date, "UTC")
    except ValueError as error:
        raise click.UsageError(f"{option} '{date}': {error}") from None


def _show(found: Exploration) -> None:
    console = Terminal(200)
    console.print(Text(f"{found.experiment}/{found.run}", style="bold"))
    console.print(f"{found.units:,} units, {found.counted:,} events counted, up to {told_utc(found.as_of)} UTC")
    if found.family:
        shared = {"none": "without a correction"}.get(
            found.family.correction, f"corrected by {found.family.correction}"
        )
        console.print(
            f"{found.family.comparisons:,} comparisons were asked for, {shared}: each interval has a confidence of "
            f"{1 - found.family.level:.4%}"
        )
    if found.cells:
        console.print(Fitted([*_columns(found.cells)]))
    for each in found.differences:
        is_there = each.adjusted_p_value < found.analysis.alpha
        console.print(
            Text(
                f"{each.metric}, {each.variant}: by {', '.join(each.by)} the effect "
                f"{'differs' if is_there else 'does not differ more than by chance'} (Q = {each.statistic:.3g} over "
                f"{each.slices} slices, p = {each.adjusted_p_value:.2g})"
            )
        )
    if found.split:
        console.print(Text(f"split: {found.split.says}"))
    for note in found.notes:
        click.echo(harmless(note), err=True)


def _columns(cells: Sequence[ExploredCell]) -> Iterator[TerminalColumn]:
    rows = [[*_row(each)] for each in cells]
    is_ok = all(each.cell.status == "ok" for each in cells)
    ranks = {"slice": 0, "metric": 1, "variant": 2, "n": 7, "mean": 6, "control n": 9, "control": 8, "lift": 3}
    ranks |= {"interval": 4, "p": 5, "status": 10 if is_ok else 4}
    for number, (title, rank) in enumerate(ranks.items()):
        yield TerminalColumn(title, rank, [row[number] for row in rows], "left" if rank <= 2 else "right")


def _row(each: ExploredCell) -> Iterator[str]:
    cell = each.cell
    yield ", ".join(f"{name}={value}" for name, value in zip(each.by, each.slice, strict=True)) or "all"
    yield each.metric
    yield cell.variant
    yield f"{cell.n:,}"
    yield _number(cell.mean)
    yield f"{cell.control_n:,}"
    yield _number(cell.control_mean)
    yield "-" if cell.relative_estimate is None else f"{cell.relative_estimate:+.2%}"
    ends = cell.relative_lower, cell.relative_upper
    yield "-" if ends == (None, None) else " to ".join("-" if end is None else f"{end:+.2%}" for end in ends)
    yield _number(cell.chance if each.adjusted_p_value is None else each.adjusted_p_value)
    yield cell.status


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _write_csv(found: Exploration) -> None:
    """Slices have the form PROPERTY=VALUE, those of several properties with `;` between."""
    rows = csv.writer(sys.stdout)
    rows.writerow(["metric", "slice", "variant", "control", "reading", "status", *CSV_FIELDS, "adjusted_p_value"])
    for each in found.cells:
        cell = each.cell
        slice_ = ";".join(f"{name}={value}" for name, value in zip(each.by, each.slice, strict=True))
        head = [each.metric, slice_, cell.variant, cell.control, cell.reading, cell.status]
        rows.writerow([*head, *(getattr(cell, name) for name in CSV_FIELDS), each.adjusted_p_value])
