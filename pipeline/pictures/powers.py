"""Powers: the chance to see an effect, against units: read once, and watched all the time."""

from collections.abc import Sequence

from evaluation.significance.sample_size import PowerCurve, SampleSize
from pipeline.pictures.drawing import INK, QUIET, TONES, Picture, drawn, percent, stacked

WIDTH, HEIGHT = 560, 300  # pixels
WATCHED, ONCE = "watched all the time", "t-test, read once"


def powers(sizes: Sequence[SampleSize], curves: Sequence[PowerCurve], title: str = "Power") -> Picture:
    """Of each comparison, with its curve, either test's, the power that is wanted, and how many units have it."""
    return stacked(title, [_power(*each) for each in zip(sizes, curves, strict=True)])


def _power(size: SampleSize, curve: PowerCurve) -> Picture:
    rows = [
        {"test": test, "units": units, "power": power}
        for test, its in ((WATCHED, curve.sequential), (ONCE, curve.fixed))
        for units, power in zip(curve.units, its, strict=True)
    ]
    marks = [
        {"units": each.total, "power": size.target, "told": f"{each.total:,}{_days(each.days)}"}
        for each in (size.fixed, size.sequential)
    ]
    what = "to rule out a harm of" if size.role == "guardrail" else "to see"
    subtitle = f"the chance {what} {percent(size.effect)} of {size.mean:g} in {size.treatment}; units of all variants"
    x = {"type": "quantitative", "title": "units", "axis": {"format": "~s", "grid": False}}
    y = {"type": "quantitative", "title": "power", "scale": {"domain": [0, 1]}, "axis": {"format": ".0%"}}
    dash = {
        "field": "test",
        "type": "nominal",
        "title": None,
        "scale": {"domain": [WATCHED, ONCE], "range": [[], [7, 5]]},
    }
    tooltip = [{"field": "test"}, *({"field": name, "type": "quantitative"} for name in ("units", "power"))]
    layers = [
        {
            "mark": {"type": "line", "strokeWidth": 2.5, "color": TONES["open"]},
            "encoding": {
                "x": {"field": "units", **x},
                "y": {"field": "power", **y},
                "strokeDash": dash,
                "tooltip": tooltip,
            },
        },
        {
            "data": {"values": [{}]},
            "mark": {"type": "rule", "color": QUIET, "strokeDash": [2, 4]},
            "encoding": {"y": {"datum": size.target}},
        },
        {
            "data": {"values": marks},
            "layer": [
                {"mark": {"type": "point", "filled": True, "size": 90, "color": INK, "opacity": 1}},
                {
                    "mark": {"type": "text", "align": "left", "dx": 9, "dy": 14, "color": INK},
                    "encoding": {"text": {"field": "told"}},
                },
            ],
            "encoding": {"x": {"field": "units", **x}, "y": {"field": "power", **y}},
        },
    ]
    return drawn(size.metric, subtitle, rows, width=WIDTH, height=HEIGHT, layer=layers)


def _days(days: float | None) -> str:
    return "" if days is None else f", {days:,.1f} days"
