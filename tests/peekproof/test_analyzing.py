"""`pp.analyze`: what an analyst types comes to what `peekproof analyze` says of the same rows in files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import duckdb
import msgspec
import pandas as pd
import polars as pl
import pytest

import peekproof as pp
from peekproof import PeekproofError
from schemas.catalog import Metric
from tests.pipeline.analyzing import MINUTE, T, describe, history, ndjson, told


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)


FRAMES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "pandas": pd.DataFrame,
    "polars": frame,
    "arrow": lambda rows: frame(rows).to_arrow(),
    "duckdb": lambda rows: duckdb.connect().from_arrow(frame(rows).to_arrow()),
    "several": lambda rows: [frame(rows[:300]), frame(rows[300:]).to_pandas()],
}
SPENT = pp.Sum("spent", event="buy", property="price", cap=150, window="2h", cuped="1d")
VIEWS = pp.Count("views", event="view", window="none")
EXPENSIVE = ({"property": "event_properties.price", "op": "greater", "values": ["20"]},)
METRICS = [
    pp.Conversion("buyers", event="buy", window="2h", minimum_effect=0.1),
    SPENT,
    pp.Sum("big", event="buy", property="price", log=True, window="2h", where=EXPENSIVE, direction="decrease"),
    VIEWS,
    pp.Mean("price", event="buy", property="price", window="2h", role="guardrail", margin=0.2),
    pp.Ratio("per-view", numerator=SPENT, denominator=VIEWS, window="2h", cuped="6h"),
    pp.Funnel("funnel", steps=["view", {"event": "buy"}], counting="totals", window="2h"),
    pp.Retention("back", start="view", event="view", nth=1, period="10m", window="2h"),
    pp.Distinct("prices", event="buy", property="price", window="2h"),
    pp.Percentile("median", event="buy", property="price", percentile=50, of="units", window="2h"),
]
MEDIAN = (
    "{key: median, owner: shop, type: percentile, event: buy, property: price, percentile: 50, of: units, window: 2h}"
)
PRICES = "{key: prices, owner: shop, type: distinct, event: buy, property: price, window: 2h}"
BUTTON = """{key: button, owner: shop, variants: [{key: control}, {key: treatment, weight: 2}], analysis: {cuped: true},
breakdowns: [{property: platform, values: [iOS, web]}], metrics: [{metric: buyers, role: primary, minimum_effect: 0.1},
{metric: spent}, {metric: big, direction: decrease}, {metric: views}, {metric: price, role: guardrail, margin: 0.2},
{metric: per-view}, {metric: funnel}, {metric: back}, {metric: prices}, {metric: median}]}"""


@pytest.fixture(scope="module")
def sent() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return history()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, sent: Any) -> tuple[Path, Any]:
    """The documents, and what the command says of files."""
    directory = tmp_path_factory.mktemp("analyzing")
    catalog = describe(directory / "catalog")
    files = [ndjson(directory / f"{name}.ndjson", its) for name, its in zip(("x", "e"), sent, strict=True)]
    return catalog, told("--exposures", files[0], "--events", files[1], "--catalog", catalog)


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_say_what_files_say_to_the_last_byte(kind: str, sent: Any, expected: Any):
    catalog, document = expected

    result = pp.analyze(*map(FRAMES[kind], sent), catalog=catalog)

    found = json.loads(result.to_json())
    assert found["rows"] == document["rows"]
    assert found["experiments"] == document["experiments"]
    assert found["notes"] == document["notes"]


def test_metrics_that_are_typed_are_those_of_documents(tmp_path: Path, sent: Any, expected: Any):
    exposures = [each for each in sent[0] if each["flag_key"] == "button" and "variant" in each]
    shutil.copytree(expected[0] / "metrics", tmp_path / "metrics")
    (tmp_path / "metrics/median.yaml").write_text(MEDIAN)
    (tmp_path / "metrics/prices.yaml").write_text(PRICES)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/button.yaml").write_text(BUTTON)
    asked = {"breakdowns": {"platform": ["iOS", "web"]}, "weights": {"control": 1, "treatment": 2}, "cuped": True}

    result = pp.analyze(frame(exposures), frame(sent[1]), METRICS, **asked)

    documented = pp.analyze(frame(exposures), frame(sent[1]), catalog=tmp_path, experiment="button")
    # A catalog's offset counts documents, of which the directory has more.
    of_one = [msgspec.structs.replace(each.look, catalog_version=0) for each in (result, documented)]
    assert msgspec.json.encode(of_one[0]) == msgspec.json.encode(of_one[1])
    assert result.look.verdict.decision != "none"


def test_every_type_of_metric_can_be_typed():
    assert {metric.type for metric in METRICS} == {*get_args(get_type_hints(Metric)["type"])}


def test_every_experiment_that_exposures_name_has_the_metrics():
    exposures = frame([shown(flag, unit) for flag in ("button", "menu") for unit in range(400)])
    events = frame([bought(unit) for unit in range(0, 400, 3)])

    result = pp.analyze(exposures, events, METRICS[:1])

    assert [look.experiment for look in result.looks] == ["button", "menu"]
    assert result["menu"].look.health.arms[0].variant == "control"
    with pytest.raises(PeekproofError, match="there are 2 experiments: button, menu; name one"):
        result.look  # noqa: B018
    with pytest.raises(PeekproofError, match="'till' is no experiment of it; there are button, menu"):
        result["till"]
    alone = pp.analyze(exposures, events, METRICS[:1], experiment="menu")
    assert alone.look.cells == result["menu"].look.cells


def shown(flag: str, unit: int) -> dict[str, Any]:
    return {"flag_key": flag, "variant": ("control", "treatment")[unit % 2], "user_id": f"user-{unit}", "time": T}


def bought(unit: int) -> dict[str, Any]:
    return {"event_type": "buy", "user_id": f"user-{unit}", "time": T + MINUTE, "price": 10.0 + unit % 7}


def test_what_is_left_out_is_noted_and_shown():
    events = frame([bought(unit) for unit in range(400)] + [{"event_type": "buy", "user_id": "user-1", "time": 12}])

    result = pp.analyze(frame([shown("button", unit) for unit in range(400)]), events, [SPENT])

    assert any(note.startswith("events: 1 rows left out: time out of range") for note in result.notes)
    assert any("events:401: time is 12" in note for note in result.notes)
    assert "see .notes" in repr(result)
    assert "time is 12" in result._repr_html_()


@pytest.mark.parametrize(
    ("variants", "names"),
    [
        ([0, 1], ["0", "1"]),
        ([0, 1, None], ["0.0", "1.0"]),  # as pandas writes them beside empty cells, in CSV too
        ([False, True], ["false", "true"]),
    ],
)
def test_variants_that_are_numbers_are_named_by_them(variants: list[Any], names: list[str]):
    exposures = pd.DataFrame(
        [shown("button", unit) | {"variant": variants[unit % len(variants)]} for unit in range(600)]
    )
    events = frame([bought(unit) for unit in range(0, 600, 3)])

    result = pp.analyze(exposures, events, METRICS[:1], control=variants[1], weights={variants[0]: 1, variants[1]: 2})

    assert {arm.variant: arm.expected_share for arm in result.look.health.arms} == pytest.approx(
        {names[1]: 2 / 3, names[0]: 1 / 3}
    )
    assert result.to_pandas()["variant"].unique().tolist() == names[:1]
    assert pp.analyze(exposures, events, METRICS[:1], control=names[1]).look.health.arms[0].variant == names[1]


def test_exposures_alone_have_their_split_judged():
    exposures = frame([shown("button", unit) for unit in range(4_000) if unit % 4])

    result = pp.analyze(exposures)

    assert result.look.verdict.decision == "needs attention"
    assert result.look.health.srm_p_value < 1e-6
    assert result.to_pandas().empty


@pytest.mark.parametrize("events", [None, frame([{"event_type": "buy", "user_id": "ann", "time": T}])])
def test_exposures_without_rows_are_told_so(events: Any):
    with pytest.raises(PeekproofError, match=r"^'exposures': there are no rows, so there is nothing to analyse$"):
        pp.analyze(frame([shown("button", 1)]).head(0), events, METRICS[:1])


def test_units_that_left_are_in_no_arm_of_an_export():
    def exported(unit: int) -> dict[str, Any]:
        variant = {} if unit % 3 == 2 else {"[Experiment] Variant": ("control", "treatment")[unit % 3]}
        said = {"[Experiment] Flag Key": "button", **variant}
        return {"event_type": "[Experiment] Exposure", "user_id": f"user-{unit}", "time": T, "event_properties": said}

    result = pp.analyze(frame([exported(unit) for unit in range(300)]))

    assert {arm.variant: arm.units for arm in result.look.health.arms} == {"control": 100, "treatment": 100}
    assert result.notes[0] == "exposures: 100 rows left out: no variant"


@pytest.mark.parametrize("kind", ["frame", "file"])
def test_units_to_whom_no_exposure_gave_a_variant_are_in_no_arm(tmp_path: Path, kind: str):
    exposures = [
        shown("button", unit) | {"variant": ("control", "treatment", None, "")[unit % 4]} for unit in range(400)
    ]
    del exposures[2]["variant"]
    given = frame(exposures) if kind == "frame" else str(ndjson(tmp_path / "exposures.ndjson", exposures))

    result = pp.analyze(given, frame([bought(unit) for unit in range(400)]), METRICS[:1])

    assert {arm.variant: arm.units for arm in result.look.health.arms} == {"control": 100, "treatment": 100}
    name = "exposures" if kind == "frame" else given
    assert result.notes[0] == f"{name}: 200 rows left out: no variant"
    assert json.loads(result.to_json())["rows"]["exposures"] == 400


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "there is nothing to analyse: give exposures, events, or both"),
        (
            {"exposures": [shown("a", 1)], "metrics": METRICS[:1], "catalog": "configs"},
            "give either metrics, or `catalog`, the directory of documents that define them",
        ),
        (
            {"exposures": [shown("a", 1)], "events": "configs"},
            "events are for metrics: give these, or `catalog`, the directory of documents that define them",
        ),
        (
            {"exposures": [shown("a", 1)], "catalog": "configs", "control": 0},
            "control=0: with `catalog` its documents say that; leave it out",
        ),
        (
            {"exposures": [shown("a", 1) | {"time": T // 1_000}], "metrics": METRICS[:1]},
            "'exposures': none of its 1 rows can be used; line 1: time is 1764000000, which would be early in the 1970s"
            "; is it in seconds?",
        ),
        (
            {"exposures": [shown("a", 1) | {"flag_key": None}], "metrics": METRICS[:1]},
            "'exposures': none of its 1 rows can be used; line 1: Object missing required field `flag_key`",
        ),
        (
            {"exposures": [{"user": "ann", "time": T}], "metrics": METRICS[:1]},
            "'exposures' has no column `flag_key`, only user, time; name its columns so. An exposure says flag_key,",
        ),
        (
            {"exposures": [shown("a", 0)], "metrics": METRICS[:1]},
            "'a': its exposures name control, and two are compared; name the variants by `weights`",
        ),
        (
            {"exposures": [shown("a", 0), shown("a", 1)], "metrics": METRICS[:1], "control": "contrl"},
            "'contrl' is no variant of 'a'; did you mean 'control'?",
        ),
        (
            {"exposures": [shown("a", 0), shown("a", 1)], "metrics": METRICS[:1], "experiment": "b"},
            "no exposure is of 'b'; they are of a",
        ),
        (
            {
                "exposures": [shown("a", 0), shown("a", 1)],
                "metrics": [pp.Sum("x", event="buy", property="p", window="7")],
            },
            "'x': window: '7' ",
        ),
        (
            {"exposures": [shown("a", 0), shown("a", 1)], "metrics": [METRICS[0], METRICS[0]]},
            "'a': metrics[1]",
        ),
        (
            {"exposures": [shown("a", 0)], "metrics": METRICS[:1], "weights": {"control": 0, "treatment": 1}},
            "weights={'control': 0, 'treatment': 1}: 0 of 'control' is no weight; it is a whole number from 1 to",
        ),
        (
            {"exposures": [shown("a", 0)], "metrics": METRICS[:1], "weights": [1, 1]},
            "weights=[1, 1]: name each variant's: {'control': 1, 'treatment': 1}",
        ),
        (
            {"exposures": [shown("a", 0), shown("a", 1)], "metrics": METRICS[:1], "control": ["control"]},
            "['control'] is no name of a variant; write a text, a number, True or False",
        ),
        (
            {"exposures": [shown("a", 0), shown("a", 1)], "metrics": METRICS[:1], "breakdowns": {"platform": "iOS"}},
            "'a': breakdowns[0].values: 'iOS' is not allowed; it must be a list: write ['iOS']",
        ),
        (
            {"exposures": [shown("a", 0), shown("a", 1)], "metrics": METRICS[:1], "breakdowns": ["platform"]},
            "breakdowns=['platform']: name values by property: {'platform': ['iOS', 'web']}",
        ),
        (
            {
                "exposures": [shown("a", 0), shown("a", 1)],
                "metrics": [pp.Funnel("x", steps="buy", window="2h")],
            },
            "'x': steps: 'buy' is not allowed; it must be a list: write ['buy']",
        ),
        ({"exposures": [shown("a", 0)], "metrics": "buyers"}, "metrics='buyers': it is a list of metrics: [pp.Conv"),
        ({"exposures": [shown("a", 0)], "metrics": ["buyers"]}, "metrics=['buyers']: it is a list of metrics: [pp.C"),
        ({"exposures": [shown("a", 0)], "metrics": METRICS[0]}, "metrics=Conversion(key='buyers', window='2h', where"),
        (
            {"exposures": [shown("a", 0), shown("a", 1)], "metrics": METRICS[:1], "method": "z-test"},
            "'a': analysis.method: 'z-test' ",
        ),
    ],
)
def test_what_cannot_be_analysed_is_refused_with_the_way_out(asked: dict[str, Any], says: str):
    given = {name: frame(value) if name == "exposures" else value for name, value in asked.items()}

    with pytest.raises(PeekproofError) as error:
        pp.analyze(**given)

    assert str(error.value).startswith(says), error.value
