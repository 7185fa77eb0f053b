"""Plot: the option by which commands draw what they tell."""

from collections.abc import Sequence
from pathlib import Path

import click

from pipeline.pictures.drawing import drawable, write
from pipeline.pictures.effects import effects_of
from schemas.look import Look


def _checked(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Before the work begins."""
    return path and drawable(path)


plot_option = click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_checked,
    metavar="FILE",
    help="Draw it too: .svg, .png, .html, or .json (Vega-Lite).",
)


def draw_looks(looks: Sequence[Look], plot: Path | None) -> None:
    """Draw their effects, if that is asked; without looks say that nothing is drawn."""
    if plot and looks:
        write(effects_of(looks), plot)
    elif plot:
        click.echo(f"'{plot}' is not written: there is no look to draw", err=True)
