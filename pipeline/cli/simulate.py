"""`peekproof simulate`: does the inference keep what it promises?"""

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import get_args

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.plot import plot_option
from pipeline.cli.progress import progress
from pipeline.pictures.drawing import write
from pipeline.pictures.errors import errors
from pipeline.simulation.picture import panels, picture
from pipeline.simulation.pool import numbers_of, run
from pipeline.simulation.protocols import Part, pooled
from pipeline.simulation.rows import Characteristic, PieceResult

WIDTH = 120  # of the table where the terminal is narrower, or none
STYLES = {"pass": "green", "fail": "bold red", "outside the claim": "yellow"}


@click.command()
@click.option("--replications", type=click.IntRange(min=2), default=1_000, show_default=True, help="Of each cell.")
@click.option("--seed", type=click.IntRange(min=0), default=2_026, show_default=True, help="Of all random numbers.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="simulation.svg", show_default=True)
@plot_option
@click.option("--only", type=click.Choice(get_args(Part)), help="One part, with the figures of the whole.")
@click.option("--json", "as_json", is_flag=True, help="The table as one JSON document.")
def simulate(*, replications: int, seed: int, out: Path, plot: Path | None, only: Part | None, as_json: bool) -> None:
    """Watch thousands of simulated experiments all the time, and count how often the product's own code errs.

    Prints a table and writes a picture of the inference (SVG). A limit is broken by a share that lies more than three
    standard errors above it. Exit code 1 if one is; uncapped heavy tails on an unequal split are outside the claim.

    `--only plans`: how often a plan rolls back what does no harm, and how soon what harms is stopped; beside a t-test
    at every look (naive) and GrowthBook's safe rollouts as they are published (peer).
    """
    if plot and only == "plans":
        raise click.UsageError("--plot draws the inference; leave out --only plans")
    found = _run(replications, seed, only)
    rows = [row for each in found for row in each.rows]
    rows += pooled(rows)
    curves = {name: curve for each in found for name, curve in each.curves.items()}
    if curves:
        out.write_text(picture(curves), encoding="utf-8")
        if plot:
            write(errors(panels(curves)), plot)
    failed = sum(row.verdict == "fail" for row in rows)
    if as_json:
        drawn = {"picture": str(out)} if curves else {}
        click.echo(msgspec.json.encode({"replications": replications, "seed": seed, **drawn, "rows": rows}))
    else:
        console = Console()
        console.print(_table(rows), width=max(console.width, WIDTH), crop=False, soft_wrap=False)
        passed = sum(row.verdict == "pass" for row in rows)
        told = f"; see {out}" if curves else ""
        click.echo(f"{passed} passed, {failed} failed, {len(rows) - passed - failed} outside the claim{told}")
    if failed:
        sys.exit(1)


def _run(replications: int, seed: int, only: Part | None) -> list[PieceResult]:
    found = []
    with progress("simulating", total=len(numbers_of(only))) as tell:
        for each in run(replications, seed, only):
            found.append(each)
            tell(len(found))
    return found


def _table(rows: Sequence[Characteristic]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", min_width=62)
    for name in ("expected", "measured", "s.e.", "naive", "peer"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for protocol, its in groupby(rows, key=lambda row: row.protocol):
        table.add_row(Text(protocol, style="bold"))
        for row in its:
            numbers = (_number(each) for each in (row.measured, row.standard_error, row.naive, row.peer))
            table.add_row(f"  {row.cell}", row.expected, *numbers, Text(row.verdict, style=STYLES[row.verdict]))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if abs(value) < 2.0 else f"{value:,.0f}"
