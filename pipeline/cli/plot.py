"""Plot: the option by which commands draw what they tell."""

from pathlib import Path

import click

from pipeline.pictures.drawing import drawable


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
