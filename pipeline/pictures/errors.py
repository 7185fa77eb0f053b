"""Errors: how often a test has erred, or found what is there, by so many units of a simulated experiment."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evaluation.columns.arrays import Floats
from pipeline.pictures.drawing import QUIET, TONES, Picture, drawn, stacked

WIDTH, HEIGHT, POINTS = 520, 260, 200  # pixels, and of a curve
SIMULATED = "Simulated experiments, watched all the time"


class Erring(NamedTuple):
    """One panel: of each test the units in at its first rejection, infinite where it never came to that.

    `level` is a share to compare with, and what it is.
    """

    title: str
    subtitle: str
    tests: dict[str, Floats]
    units: int
    level: tuple[str, float]


def errors(panels: Sequence[Erring]) -> Picture:
    """Each panel's shares of experiments against units."""
    return stacked(SIMULATED, [_panel(each) for each in panels])


def _panel(erring: Erring) -> Picture:
    units = np.linspace(0.0, erring.units, POINTS + 1)
    rows = [
        {"test": test, "units": at, "share": share}
        for test, rejected_at in erring.tests.items()
        for at, share in zip(
            units.tolist(),
            (np.searchsorted(np.sort(rejected_at), units, side="right") / len(rejected_at)).tolist(),
            strict=True,
        )
    ]
    dashes = [[], [7, 5], [2, 4]]
    tests = [*erring.tests]
    what, level = erring.level
    x = {"field": "units", "type": "quantitative", "title": "units in the experiment", "axis": {"grid": False}}
    y = {"type": "quantitative", "title": "share of experiments", "axis": {"format": ".0%"}}
    layers = [
        {
            "mark": {"type": "line", "strokeWidth": 2.5, "color": TONES["open"], "interpolate": "step-after"},
            "encoding": {
                "x": x,
                "y": {"field": "share", **y},
                "strokeDash": {
                    "field": "test",
                    "type": "nominal",
                    "title": None,
                    "scale": {"domain": tests, "range": dashes[: len(tests)]},
                },
                "tooltip": [
                    {"field": "test"},
                    {"field": "units", "type": "quantitative"},
                    {"field": "share", "type": "quantitative"},
                ],
            },
        },
        {
            "data": {"values": [{"told": what}]},
            "layer": [
                {"mark": {"type": "rule", "color": QUIET, "strokeDash": [2, 4]}},
                {
                    "mark": {"type": "text", "align": "left", "dx": 6, "color": QUIET},
                    "encoding": {"x": {"value": WIDTH}, "text": {"field": "told"}},
                },
            ],
            "encoding": {"y": {"datum": level, **y}},
        },
    ]
    return drawn(erring.title, erring.subtitle, rows, width=WIDTH, height=HEIGHT, layer=layers)
