"""Pictures: what they tell, and that each is one that Vega-Lite draws."""

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import altair
import msgspec
import numpy as np
import pytest

from evaluation.significance.sample_size import Supply, power_curves, sample_sizes
from peekproof.plots import chart
from pipeline.errors import PeekproofError
from pipeline.offline.planning import PLAIN, plain
from pipeline.pictures.course import course
from pipeline.pictures.drawing import KINDS, Picture, write
from pipeline.pictures.effects import effects, effects_of
from pipeline.pictures.errors import Erring, errors
from pipeline.pictures.powers import powers
from schemas.catalog import Baseline
from schemas.look import Cell, Look
from tests.pipeline.conftest import look

LOOK = msgspec.json.decode(look(3), type=Look)
KNOWN = {"relative_estimate": 0.05, "running_relative_lower": 0.01, "running_relative_upper": 0.09, "n": 150}


def cell(**fields: Any) -> Cell:
    return msgspec.structs.replace(LOOK.cells[0], **KNOWN | fields)


def rows(picture: Picture) -> dict[str, dict[str, Any]]:
    """What an effects picture tells, by its labels."""
    return {row["label"]: row for row in picture["data"]["values"]}


def texts(picture: Picture, path: Path) -> list[str]:
    """What stands in it, drawn."""
    write(picture, path)
    return [text for each in ElementTree.fromstring(path.read_text()).iter() if (text := each.text or "").strip()]


def test_an_effect_has_its_interval_and_its_judgement(tmp_path: Path):
    picture = effects([cell(judgement="better"), cell(metric="other", status="gated")], "checkout", "ship it")

    told = rows(picture)
    assert told["metric-0"]["told"] == "+5.0%  [+1.0%, +9.0%]  better"
    assert (told["metric-0"]["lower"], told["metric-0"]["upper"]) == (0.01, 0.09)
    assert told["other"]["told"] == "too few units yet"
    drawn = texts(picture, tmp_path / "effects.svg")
    assert {"checkout", "ship it", "metric-0", "other", "lift over control"} <= {*drawn}


def test_an_end_that_is_open_or_far_beyond_the_others_is_an_arrow():
    cells = [cell(metric=f"m{number}") for number in range(5)]
    open_end = cell(metric="open", running_relative_upper=None)
    far = cell(metric="far", running_relative_upper=40.0)

    told = rows(effects([*cells, open_end, far], "checkout"))

    assert told["open"]["told"] == "+5.0%  [+1.0%, open]"
    assert told["far"]["upper"] < 1.0
    assert [name for name, row in told.items() if row["goes_on_above"]] == ["open", "far"]
    assert not any(row["goes_on_below"] for row in told.values())


def test_labels_say_what_sets_cells_apart():
    cells = [cell(), cell(segment="platform=web"), cell(reading="settled"), cell(variant="other")]

    assert [*rows(effects(cells, "checkout"))] == [
        "metric-0 · treatment · live",
        "metric-0 · treatment · platform=web · live",
        "metric-0 · treatment · settled",
        "metric-0 · other · live",
    ]


def test_several_looks_stand_one_below_the_other():
    picture = effects_of([LOOK, msgspec.structs.replace(LOOK, experiment="menu")])

    assert [each["title"]["text"] for each in picture["vconcat"]] == ["checkout", "menu"]
    assert picture["vconcat"][0]["title"]["subtitle"] == ["Keep running: it's early"]


def test_the_course_of_an_effect_begins_where_its_interval_does():
    times = [
        {"time": 1_764_000_000_000 + at * 60_000, "units": at, "lift": 0.1, "lower": None, "upper": None}
        for at in range(3)
    ]
    closed = {**times[-1], "lower": 0.02, "upper": 0.2}

    values = course([*times, closed], "checkout: purchase")["data"]["values"]

    assert (values[-1]["low"], values[-1]["high"]) == (0.02, 0.2)
    assert values[0]["low"] < 0.0 < values[0]["high"]


def test_power_grows_through_the_units_that_have_it():
    flag, metrics = plain(0.05, 3, is_conversion=True)
    asked = (flag, metrics, {PLAIN: Baseline(mean=0.115)}, 0.8)
    sizes, curves = [*sample_sizes(*asked, Supply(20_000, None))], [*power_curves(*asked)]

    for size, curve in zip(sizes, curves, strict=True):
        for needs, its in ((size.fixed, curve.fixed), (size.sequential, curve.sequential)):
            assert its == sorted(its)
            # Of conversions the number is by a variance that is pooled, the curve by one that is not.
            assert np.interp(needs.total, curve.units, its) == pytest.approx(0.8, abs=0.002)
    assert len(powers(sizes, curves)["vconcat"]) == 2


def test_errors_are_shares_of_experiments():
    never = np.full(4, np.inf)
    never[0] = 500.0
    panel = Erring("False positives", "of 4", {"test": never}, 1_000, ("alpha", 0.05))

    values = errors([panel])["data"]["values"]

    assert [row["share"] for row in values if row["units"] in (495.0, 500.0)] == [0.0, 0.25]


@pytest.mark.parametrize(
    "picture",
    [
        effects_of([LOOK, LOOK]),
        course([{"time": 0, "units": 1, "lift": None, "lower": None, "upper": None}], "nothing yet"),
        errors([Erring("a", "b", {"test": np.ones(1), "other": np.ones(1)}, 10, ("alpha", 0.05))] * 2),
    ],
    ids=["effects", "course", "errors"],
)
def test_pictures_keep_to_the_schema_of_vega_lite(picture: Picture):
    altair.Chart.from_dict(picture).to_dict()


def test_every_kind_of_file_is_written(tmp_path: Path):
    picture = effects_of([LOOK])

    for kind in KINDS:
        write(picture, tmp_path / f"effects{kind}")

    assert (tmp_path / "effects.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((tmp_path / "effects.json").read_text()) == picture
    page = (tmp_path / "effects.html").read_text()
    assert "metric-0" in page
    assert "<script src" not in page  # it asks no other host


def test_another_ending_is_refused(tmp_path: Path):
    with pytest.raises(PeekproofError, match=r"'.*effects.pdf' is no picture; name it .svg, .png, .html or .json"):
        write({}, tmp_path / "effects.pdf")


def test_without_the_extra_it_is_told_how_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("vl_convert", "altair"):
        monkeypatch.setitem(sys.modules, name, None)
    picture = effects_of([LOOK])

    write(picture, tmp_path / "effects.json")

    with pytest.raises(PeekproofError, match=r"'.*effects.svg' cannot be drawn here; install what draws: pip install"):
        write(picture, tmp_path / "effects.svg")
    with pytest.raises(PeekproofError, match=r"plots want Altair; install what draws: pip install 'peekproof\[plot\]'"):
        chart(picture)
