"""Course: an effect over time, with the confidence sequence that closes around it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.pictures.drawing import INK, TONES, Picture, drawn

WIDTH, HEIGHT = 560, 300  # pixels
Rows = Sequence[Mapping[str, Any]]


def course(rows: Rows, title: str, subtitle: str = "") -> Picture:
    """The lift of one comparison at each look: by that look alone, and between the ends that all looks so far leave.

    Rows tell `time` (ms UTC), `units`, `lift`, `lower` and `upper` (of all looks so far); null where nothing is known.
    An end that is open is drawn at the edge.
    """
    known = [row[name] for row in rows for name in ("lift", "lower", "upper") if row[name] is not None]
    closed = [row[name] for row in rows for name in ("lower", "upper") if row[name] is not None]
    y = {"type": "quantitative", "scale": {"domain": _domain(rows, known, closed), "clamp": True, "nice": False}}
    x = {"field": "time", "type": "temporal", "scale": {"type": "utc"}, "axis": {"title": "time (UTC)", "grid": False}}
    names = ("lift", "lower", "upper", "units")
    tooltip = [
        {"field": "time", "type": "temporal", "timeUnit": "utcyearmonthdatehoursminutes"},
        *({"field": name, "type": "quantitative"} for name in names),
    ]
    axis = {"title": "lift over control", "format": "+.1%"}
    layers = [
        {
            "transform": [{"filter": "isValid(datum.lower) || isValid(datum.upper)"}],
            "mark": {"type": "area", "color": TONES["open"], "opacity": 0.22, "interpolate": "step-after"},
            "encoding": {"x": x, "y": {"field": "low", **y, "axis": axis}, "y2": {"field": "high"}},
        },
        {"data": {"values": [{}]}, "mark": {"type": "rule", "color": INK}, "encoding": {"y": {"datum": 0.0, **y}}},
        {
            "transform": [{"filter": "isValid(datum.lift)"}],
            "mark": {"type": "line", "color": TONES["open"], "strokeWidth": 2, "point": len(rows) < 60},
            "encoding": {"x": x, "y": {"field": "lift", **y}, "tooltip": tooltip},
        },
    ]
    low, high = y["scale"]["domain"]  # type: ignore[index]
    filled = [
        {
            **row,
            "low": low if row["lower"] is None else row["lower"],
            "high": high if row["upper"] is None else row["upper"],
        }
        for row in rows
    ]
    return drawn(title, subtitle, filled, width=WIDTH, height=HEIGHT, layer=layers)


def _domain(rows: Rows, known: Sequence[float], closed: Sequence[float]) -> list[float]:
    """Around zero and the last interval, so that the first ones, of few units, don't make it a line."""
    last = next((row for row in reversed(rows) if row["lower"] is not None and row["upper"] is not None), None)
    if last is None:
        reach = 1.1 * max(map(abs, known), default=0.1) or 0.1
        return [-reach, reach]
    width = last["upper"] - last["lower"] or 0.01
    low, high = min(0.0, last["lower"]) - 2.0 * width, max(0.0, last["upper"]) + 2.0 * width
    return [max(low, min(0.0, *closed) - 0.05 * width), min(high, max(0.0, *closed) + 0.05 * width)]
