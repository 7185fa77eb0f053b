"""Picture: two charts as SVG, of how often a test errs while it is watched, and of how soon it decides.

Lines differ by their dashes and are named beside them: no colour is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil

import numpy as np

from evaluation.columns.arrays import Floats
from pipeline.pictures.errors import Erring
from pipeline.simulation.protocols import DECISIONS, FALSE_POSITIVES, NAIVE, NEEDED
from pipeline.simulation.watching import ALPHA

WIDTH, HEIGHT = 560, 400  # of a chart, in pixels
LEFT, RIGHT, TOP, BOTTOM = 64, 96, 72, 56  # its margins
SOLID, DASHED, DOTTED = "", "8 5", "1.5 4"

END = 10_000  # units

Points = Sequence[tuple[float, float]]  # units, share


@dataclass(frozen=True)
class Line:
    """A label, which stands to the right of the point `at`, and the line."""

    label: str
    at: tuple[float, float]
    points: Points
    dashes: str = SOLID


@dataclass(frozen=True)
class Chart:
    """Shares of experiments, from 0 to `share`, against units, from 0 to `units`."""

    title: str
    subtitle: str
    units: int
    share: float
    lines: Sequence[Line]


def picture(curves: Mapping[str, Floats]) -> str:
    """The picture of a simulation's curves."""
    count = f"{curves[FALSE_POSITIVES].size:,}"
    soon, late = curves[DECISIONS + NAIVE], curves[DECISIONS]
    errs, holds = curves[FALSE_POSITIVES + NAIVE], curves[FALSE_POSITIVES]
    end = END
    once = f"t-test,\nonce at {NEEDED:,}"
    charts = [
        Chart(
            "False positives",
            f"Share of {count} A/A tests in which some look has seen a difference",
            end,
            _top(max(0.5, _share(errs, end))),
            [
                Line("t-test,\nevery look", (end, _share(errs, end)), _steps(errs, end), DASHED),
                Line("Peekproof", (end, _share(holds, end)), _steps(holds, end)),
                Line(f"alpha {ALPHA:.0%}", (end, 1.5 * ALPHA), [(0.0, ALPHA), (end, ALPHA)], DOTTED),
            ],
        ),
        Chart(
            "Time to decision",
            f"Share of {count} tests with an effect of 0.1 sd in which some look has seen it",
            end,
            1.0,
            [
                Line("t-test,\nevery look", (_when(soon, 0.5), 0.5), _steps(soon, end), DASHED),
                Line("Peekproof", (_when(late, 0.6), 0.6), _steps(late, end)),
                Line(once, (NEEDED, 0.12), [(0.0, 0.8), (NEEDED, 0.8), (NEEDED, 0.0)], DOTTED),
            ],
        ),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="13">\n'
        f'<rect width="{2 * WIDTH}" height="{HEIGHT}" fill="white"/>\n'
        + "\n".join(
            f'<g transform="translate({WIDTH * i} 0)">\n{_drawn(chart)}\n</g>' for i, chart in enumerate(charts)
        )
        + "\n</svg>\n"
    )


def panels(curves: Mapping[str, Floats]) -> list[Erring]:
    """The same charts, for whoever draws them otherwise."""
    soon, late = curves[DECISIONS + NAIVE], curves[DECISIONS]
    errs, holds = curves[FALSE_POSITIVES + NAIVE], curves[FALSE_POSITIVES]
    count = f"{holds.size:,}"
    wrong = f"share of {count} A/A tests in which some look has seen a difference"
    found = f"share of {count} tests with an effect of 0.1 sd in which some look has seen it"
    once = f"t-test, once at {NEEDED:,}", 0.8
    every = "t-test, every look"
    return [
        Erring("False positives", wrong, {"Peekproof": holds, every: errs}, END, (f"alpha {ALPHA:.0%}", ALPHA)),
        Erring("Time to decision", found, {"Peekproof": late, every: soon}, END, once),
    ]


def _share(rejected_at: Floats, units: float) -> float:
    return float(np.mean(rejected_at <= units))


def _top(share: float) -> float:
    """The first line of the grid that no curve passes."""
    step = _step(share)
    return step * ceil(share / step - 1e-9)


def _step(share: float) -> float:
    return 0.1 if share <= 0.6 else 0.2


def _when(rejected_at: Floats, share: float) -> float:
    return float(np.quantile(rejected_at, share, method="higher"))


def _steps(rejected_at: Floats, end: int) -> Points:
    """How the share of experiments that have rejected grows, a point per replication at most."""
    at, many = np.unique(rejected_at[rejected_at <= end], return_counts=True)
    shares = np.cumsum(many) / rejected_at.size
    corners = [(0.0, 0.0)]
    for x, y in zip(at.tolist(), shares.tolist(), strict=True):
        corners += [(x, corners[-1][1]), (x, y)]
    return [*corners, (float(end), corners[-1][1])]


def _drawn(chart: Chart) -> str:
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(point: tuple[float, float]) -> tuple[float, float]:
        units, share = point
        return LEFT + width * units / chart.units, TOP + height * (1.0 - share / chart.share)

    parts = [
        _text(LEFT, 28, chart.title, 'font-size="17" font-weight="bold"'),
        _text(LEFT, 50, chart.subtitle),
        _text(LEFT + width / 2, HEIGHT - 12, "units in the experiment", 'text-anchor="middle"'),
    ]
    for share in np.linspace(0.0, chart.share, round(chart.share / _step(chart.share)) + 1):
        x, y = place((0.0, share))
        parts.append(f'<path d="M{x:.1f} {y:.1f}h{width}" stroke="#ccc" stroke-width="0.7"/>')
        parts.append(_text(x - 8, y + 4, f"{share:.0%}", 'text-anchor="end"'))
    for units in np.linspace(0.0, chart.units, 5):
        x, y = place((units, 0.0))
        parts.append(f'<path d="M{x:.1f} {y:.1f}v5" stroke="black"/>')
        parts.append(_text(x, y + 20, f"{units:,.0f}", 'text-anchor="middle"'))
    for line in chart.lines:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in map(place, line.points))
        parts.append(
            f'<path d="M{path}" fill="none" stroke="black" stroke-width="1.8" stroke-dasharray="{line.dashes}"/>'
        )
        x, y = place(line.at)
        parts += [_text(x + 7, y + 4 + 15 * row, text) for row, text in enumerate(line.label.split("\n"))]
    return "\n".join(parts)


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    halo = 'stroke="white" stroke-width="4" paint-order="stroke"'  # readable where it crosses a line
    return f'<text x="{x:.1f}" y="{y:.1f}" {halo} {attributes}>{escape(text)}</text>'
