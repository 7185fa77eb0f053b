"""Drawing: how every picture looks, and the files that are made of it.

A picture is plain JSON, so that whoever draws one needs nothing else; a file of it wants the extra `peekproof[plot]`.
Signs and words tell what colours tell.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap
from typing import Any

import msgspec

from pipeline.errors import PeekproofError

Picture = dict[str, Any]

KINDS = (".svg", ".png", ".html", ".json")
INK, QUIET, RULE = "#1c1e21", "#5a6068", "#dedbd2"
TONES = {"good": "#0b6b52", "bad": "#a8261d", "warn": "#855400", "open": "#1c6b8f", "idle": QUIET}
PLOT = "install what draws: pip install 'peekproof[plot]'"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
CHARACTERS = 110  # of a line below the title
_FONT = "Helvetica, Arial, sans-serif"
_CONFIG = {
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {"labelColor": INK, "titleColor": QUIET, "titleFontWeight": "normal", "gridColor": RULE, "labelLimit": 400},
    "title": {"anchor": "start", "fontSize": 15, "color": INK, "subtitleColor": QUIET, "offset": 14},
    "legend": {"symbolSize": 500, "symbolStrokeWidth": 2.5, "title": None, "orient": "top"},
    "header": {"labelColor": INK, "labelFontSize": 12, "title": None, "labelAnchor": "start"},
}


def drawn(title: str, subtitle: str, rows: Sequence[Mapping[str, Any]], **parts: Any) -> Picture:
    """A picture of these rows; `parts` are what else Vega-Lite has to know of it."""
    told = {"text": title, "subtitle": wrap(subtitle, CHARACTERS)}
    return {
        "$schema": _SCHEMA,
        "title": told,
        "background": "white",
        "padding": 12,
        "config": _CONFIG,
        "data": {"values": list(rows)},
        **parts,
    }


def stacked(title: str, pictures: Sequence[Picture]) -> Picture:
    """Several, one below the other; one alone as it is."""
    if len(pictures) == 1:
        return pictures[0]
    own = ("$schema", "background", "padding", "config")
    return {
        **{name: pictures[0][name] for name in own},
        "title": {"text": title, "fontSize": 17},
        "vconcat": [{name: part for name, part in each.items() if name not in own} for each in pictures],
        "spacing": 36,
        "resolve": {"scale": {"color": "independent"}},
    }


def write(picture: Picture, path: Path) -> None:
    """Write a picture as the file's ending says; the HTML holds all that it needs, and asks no other host.

    Raises PeekproofError where it cannot be written, and what `drawable` raises.
    """
    kind = drawable(path).suffix.lower()
    if kind == ".json":
        content = msgspec.json.format(msgspec.json.encode(picture), indent=1)
    else:
        import vl_convert  # noqa: PLC0415 (an extra)

        if kind == ".svg":
            content = vl_convert.vegalite_to_svg(picture).encode()
        elif kind == ".png":
            content = vl_convert.vegalite_to_png(picture, scale=2)
        else:
            content = vl_convert.vegalite_to_html(picture, bundle=True).encode()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise PeekproofError(f"'{path}' cannot be written: {error.strerror}") from None


def drawable(path: Path) -> Path:
    """A file that can be drawn. Raises PeekproofError for another ending, and without the extra."""
    if path.suffix.lower() not in KINDS:
        raise PeekproofError(f"'{path}' is no picture; name it {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if path.suffix.lower() != ".json" and find_spec("vl_convert") is None:
        raise PeekproofError(f"'{path}' cannot be drawn here; {PLOT}, or name a .json, which is Vega-Lite's own")
    return path


def percent(share: float) -> str:
    """A lift as people read it."""
    return f"{share:+.1%}" if abs(share) < 10.0 else f"{share:+,.0%}"
