"""Effects: a look's comparisons one below the other, each with its interval (a forest plot)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.pictures.drawing import INK, TONES, Picture, drawn, percent, stacked
from pipeline.vocabulary import CAVEATS, DECISIONS, JUDGEMENTS, STATUSES
from schemas.look import EVERYONE, Cell, Look

WIDTH, ROW = 420, 30  # pixels
FAR = 4.0  # times the median reach of all, beyond which an interval is cut off, lest the others vanish


def effects_of(looks: Sequence[Look]) -> Picture:
    """The settled reading of each look, or the live one where nothing is settled; its verdict below its name."""
    pictures = [effects(_shown(look), look.experiment, f"{_decision(look)}: {look.verdict.reason}") for look in looks]
    return stacked("Experiments", pictures)


def effects(cells: Sequence[Cell], title: str, subtitle: str = "") -> Picture:
    """The lift of each cell with its interval by all looks so far, and in words what is known of it.

    An end that is open, or lies far beyond those of the others, is an arrow.
    """
    told = [cell.told() for cell in cells]
    low, high = _reach(told)
    rows = [
        {
            "label": label,
            "lift": cell.relative_estimate,
            "lower": None if _is_empty(cell) else max(low, _or(cell.running_relative_lower, low)),
            "upper": None if _is_empty(cell) else min(high, _or(cell.running_relative_upper, high)),
            "goes_on_below": not _is_empty(cell) and _or(cell.running_relative_lower, -np.inf) < low,
            "goes_on_above": not _is_empty(cell) and _or(cell.running_relative_upper, np.inf) > high,
            "told": _told(cell),
            "tone": _tone(cell),
            "difference": cell.estimate,
            "from": cell.running_lower,
            "to": cell.running_upper,
            "p": cell.running_p_value,
            "units": cell.n + cell.control_n,
        }
        for cell, label in zip(told, _labels(told), strict=True)
    ]
    x = {"type": "quantitative", "scale": {"domain": [low, high], "nice": False}}
    y = {"field": "label", "type": "nominal", "sort": None, "axis": {"title": None, "domain": False, "ticks": False}}
    color = {
        "field": "tone",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": [*TONES], "range": [*TONES.values()]},
    }
    axis = {"title": "lift over control", "format": "+.0%" if high - low > 0.1 else "+.1%", "tickCount": 7}
    names = ("lift", "difference", "from", "to", "p", "units")
    tooltip = [{"field": "label", "title": "of"}, *({"field": name, "type": "quantitative"} for name in names)]
    arrows = [
        {
            "transform": [{"filter": f"datum.{side}"}],
            "mark": {"type": "point", "shape": f"triangle-{to}", "filled": True, "size": 70, "opacity": 1},
            "encoding": {"x": {"field": end, **x}, "y": y, "color": color},
        }
        for side, end, to in (("goes_on_below", "lower", "left"), ("goes_on_above", "upper", "right"))
    ]
    layers = [
        {"data": {"values": [{}]}, "mark": {"type": "rule", "color": INK}, "encoding": {"x": {"datum": 0.0, **x}}},
        {
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {
                "x": {"field": "lower", **x, "axis": axis},
                "x2": {"field": "upper"},
                "y": y,
                "color": color,
                "tooltip": tooltip,
            },
        },
        *arrows,
        {
            "transform": [{"filter": f"isValid(datum.lift) && datum.lift >= {low} && datum.lift <= {high}"}],
            "mark": {"type": "point", "shape": "diamond", "filled": True, "size": 110, "opacity": 1},
            "encoding": {"x": {"field": "lift", **x}, "y": y, "color": color, "tooltip": tooltip},
        },
        {
            "mark": {"type": "text", "align": "left", "color": INK},
            "encoding": {"x": {"value": WIDTH + 14}, "y": y, "text": {"field": "told"}},
        },
    ]
    return drawn(title, subtitle, rows, width=WIDTH, height={"step": ROW}, layer=layers)


def _shown(look: Look) -> list[Cell]:
    is_settled = any(cell.reading == "settled" and cell.n for cell in look.cells)
    return [cell for cell in look.cells if (cell.reading == "settled") == is_settled]


def _decision(look: Look) -> str:
    return DECISIONS[look.verdict.decision].says


def _is_empty(cell: Cell) -> bool:
    return cell.running_relative_lower is None and cell.running_relative_upper is None


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _reach(cells: Sequence[Cell]) -> tuple[float, float]:
    """The ends of the axis."""
    ends = [
        end
        for cell in cells
        for end in (cell.running_relative_lower, cell.running_relative_upper, cell.relative_estimate)
        if end is not None
    ]
    if not any(ends):
        return -0.1, 0.1
    most = FAR * float(np.median(np.abs([end for end in ends if end])))
    low, high = (min(most, max(0.0, *(sign * end for end in ends))) for sign in (-1.0, 1.0))
    room = 0.06 * (low + high)
    return -low - room, high + room


def _labels(cells: Sequence[Cell]) -> Iterator[str]:
    """What sets each apart from the others, and of which none is like another."""
    is_alone = len({(cell.variant, cell.control) for cell in cells}) == 1
    is_one_reading = len({cell.reading for cell in cells}) == 1
    for cell in cells:
        parts = [cell.metric, "" if is_alone else cell.variant, "" if cell.segment == EVERYONE else cell.segment]
        yield " · ".join(filter(None, [*parts, "" if is_one_reading else cell.reading]))


def _told(cell: Cell) -> str:
    """What is known, in words."""
    if _is_empty(cell):
        return STATUSES[cell.status] or "no interval"
    ends: list[Any] = [cell.running_relative_lower, cell.running_relative_upper]
    interval = f"[{', '.join('open' if end is None else percent(end) for end in ends)}]"
    lift = "" if cell.relative_estimate is None else percent(cell.relative_estimate)
    judged = "" if cell.judgement is None else JUDGEMENTS[cell.judgement].says
    chance = "" if cell.chance is None else f"chance {cell.chance:.1%}"
    caveat = "" if cell.caveat is None else f"({CAVEATS[cell.caveat].partition(':')[0]})"
    return "  ".join(filter(None, [lift, interval, judged, chance, caveat]))


def _tone(cell: Cell) -> str:
    return "idle" if cell.judgement is None else JUDGEMENTS[cell.judgement].tone
