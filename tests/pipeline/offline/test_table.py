"""`peekproof analyze --table`: one row a unit; numbers as scipy and numpy have them."""

import json
import re
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy import stats

from pipeline.errors import PeekproofError
from tests.pipeline.analyzing import call, told

T = 1_764_000_000_000
CLOSE = {"rel": 1e-9, "abs": 1e-12}
Row = dict[str, Any]


def cells(found: Any) -> dict[tuple[str, str], Any]:
    (look,) = found["experiments"]
    return {(cell["metric"], cell["variant"]): cell for cell in look["cells"]}


def as_csv(path: Path, rows: Sequence[Row]) -> Path:
    """As R writes it: with a nameless column of row names, texts in quotes, NA for what is missing."""

    def cell(value: object) -> str:
        return "NA" if value is None else f'"{value}"' if isinstance(value, str) else repr(value)

    lines = [",".join(['""', *(f'"{name}"' for name in rows[0])])]
    lines += [",".join([f'"{number}"', *map(cell, row.values())]) for number, row in enumerate(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def as_ndjson(path: Path, rows: Sequence[Row]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Three groups, the amounts of every kind: long floats, large and tiny ones."""
    chance = np.random.default_rng(16)
    before = chance.gamma(2.0, 30.0, 900)
    return [
        {
            "segment.of": ["Mens E-Mail", "No E-Mail", "Womens E-Mail"][i % 3],
            "age": int(chance.integers(18, 80)),
            "spend_before": float(before[i]),
            "spend": float(before[i] * 0.4 + chance.normal(10.0 + 3.0 * (i % 3 == 0), 7.0)),
            "rate": float(chance.normal(0.00031, 0.0001)),
            "bytes": int(chance.integers(10**11, 10**13)),
            "visit": bool(chance.random() < 0.3 + 0.1 * (i % 3 == 2)),
        }
        for i in range(900)
    ]


def of_group(rows: Sequence[Row], name: str, *columns: str) -> list[np.ndarray[Any, Any]]:
    return [np.array([float(row[column]) for row in rows if row["segment.of"] == name]) for column in columns]


ASKED = ("--variant", "segment.of", "--control", "No E-Mail", "--method", "t-test")


def test_n07_a_table_says_what_scipy_says_of_it(tmp_path: Path, rows: list[Row]) -> None:
    metrics = [argument for name in ("spend", "rate", "bytes") for argument in ("--metric", name)]

    found = told("--table", as_csv(tmp_path / "table.csv", rows), *ASKED, *metrics, "--metric", "visit:conversion")

    for name in ("spend", "rate", "bytes"):
        for variant in ("Mens E-Mail", "Womens E-Mail"):
            ((treated,), (control,)) = of_group(rows, variant, name), of_group(rows, "No E-Mail", name)
            expected = stats.ttest_ind(treated, control, equal_var=False)
            cell = cells(found)[name, variant]
            interval = expected.confidence_interval(1.0 - cell["alpha"])
            assert cell["n"] == cell["control_n"] == 300
            assert cell["mean"] == pytest.approx(treated.mean(), **CLOSE)
            assert cell["estimate"] == pytest.approx(treated.mean() - control.mean(), **CLOSE)
            error = np.sqrt(treated.var(ddof=1) / 300 + control.var(ddof=1) / 300)
            assert cell["standard_error"] == pytest.approx(error, **CLOSE)
            assert cell["p_value"] == pytest.approx(expected.pvalue, **CLOSE)
            assert [cell["lower"], cell["upper"]] == pytest.approx([interval.low, interval.high], **CLOSE)
    ((treated,), (control,)) = of_group(rows, "Womens E-Mail", "visit"), of_group(rows, "No E-Mail", "visit")
    cell = cells(found)["visit", "Womens E-Mail"]
    assert (cell["nonzero"], cell["sum"], cell["scale"]) == (treated.sum(), treated.sum(), 0)
    assert cell["estimate"] == pytest.approx(treated.mean() - control.mean(), **CLOSE)
    assert found["rejected"] == found["unusable"] == []
    assert "the split is taken as planned to be equal" in found["notes"][-1]


def test_a_covariate_takes_out_what_it_explains(tmp_path: Path, rows: list[Row]) -> None:
    table = as_csv(tmp_path / "table.csv", rows)

    found = cells(told("--table", table, *ASKED, "--metric", "spend", "--covariate", "spend_before"))

    y, x = (np.array([row[name] for row in rows]) for name in ("spend", "spend_before"))
    theta = np.cov(y, x)[0, 1] / x.var(ddof=1)
    for variant in ("Mens E-Mail", "Womens E-Mail"):
        (one, before), (other, its) = (of_group(rows, each, "spend", "spend_before") for each in (variant, "No E-Mail"))
        expected = stats.ttest_ind(one - theta * before, other - theta * its, equal_var=False)
        cell = found["spend", variant]
        assert cell["estimate"] == pytest.approx(np.mean(one - theta * before) - np.mean(other - theta * its), rel=1e-9)
        assert cell["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("kind", ["ndjson", "json", "parquet", "zip", "parts"])
def test_a_table_is_read_from_files_of_any_kind(tmp_path: Path, rows: list[Row], kind: str) -> None:
    asked = (*ASKED, "--metric", "spend", "--metric", "visit", "--covariate", "spend_before")
    table = as_csv(tmp_path / "table.csv", rows)
    expected = told("--table", table, *asked)
    files = [as_ndjson(tmp_path / "table.ndjson", rows)]
    if kind == "json":
        files = [tmp_path / "table.json"]
        files[0].write_text(json.dumps(rows))
    if kind == "parquet":
        with duckdb.connect() as database:
            database.execute(f"COPY (FROM read_json('{files[0]}')) TO '{tmp_path / 'table.parquet'}'")
        files = [tmp_path / "table.parquet"]
    if kind == "zip":
        files = [tmp_path / "table.zip"]
        with zipfile.ZipFile(files[0], "w") as archive:
            archive.write(table, "data/table.csv")
            archive.writestr("__MACOSX/data/._table.csv", b"\0")
    if kind == "parts":
        files = [as_csv(tmp_path / "one.csv", rows[:100]), as_ndjson(tmp_path / "two.jsonl", rows[100:])]

    found = told("--table", *files, *asked)

    assert cells(found) == cells(expected)
    assert found["rows"] == {"units": 900}


def test_a_table_and_its_events_give_the_same_answer(tmp_path: Path) -> None:
    chance = np.random.default_rng(7)
    documents = tmp_path / "catalog"
    for folder, text in (
        ("metrics", "{key: spend, owner: a, type: sum, event: buy, property: spend, window: 1d}"),
        (
            "experiments",
            "{key: mail, owner: a, variants: [{key: control}, {key: mail}], metrics: [{metric: spend, role: primary}]}",
        ),
    ):
        (documents / folder).mkdir(parents=True)
        (documents / folder / f"{'spend' if folder == 'metrics' else 'mail'}.yaml").write_text(text)
    rows = [
        {"group": ("control", "mail")[i % 2], "spend": round(float(chance.exponential(5.0 + i % 2)), 2)}
        for i in range(2_000)
    ]
    shown = [{"flag_key": "mail", "variant": row["group"], "user_id": f"u{i}", "time": T} for i, row in enumerate(rows)]
    bought = [
        {"event_type": "buy", "user_id": f"u{i}", "time": T + 1, "event_properties": {"spend": row["spend"]}}
        for i, row in enumerate(rows)
    ]
    later = {"event_type": "other", "user_id": "u", "time": T + 2 * 86_400_000}
    files = (
        *("--exposures", as_ndjson(tmp_path / "x.ndjson", shown)),
        *("--events", as_ndjson(tmp_path / "e.ndjson", [*bought, later])),
    )

    (streamed,) = told("--catalog", documents, *files)["experiments"]
    (tabled,) = told("--table", as_csv(tmp_path / "t.csv", rows), "--variant", "group", "--metric", "spend")[
        "experiments"
    ]

    (settled,) = [cell for cell in streamed["cells"] if cell["reading"] == "settled"]
    (cell,) = tabled["cells"]
    numbers = ["n", "mean", "control_mean", "estimate", "standard_error", "lower", "upper", "p_value", "judgement"]
    assert [cell[name] for name in numbers] == pytest.approx([settled[name] for name in numbers])
    assert (tabled["verdict"]["decision"], cell["method"]) == (streamed["verdict"]["decision"], "sequential")


def test_nothing_in_a_table_is_read_as_zero(tmp_path: Path) -> None:
    values: list[object] = [1.5, 2.5, None, 0.0] * 100
    rows: list[Row] = [{"group": "ab"[i % 2], "spend": value, "visit": i % 3} for i, value in enumerate(values)]
    rows[5]["spend"] = "$7.25"
    rows[9]["spend"] = " +7.25"  # a plain number all the same
    rows[8]["group"] = None
    table = as_csv(tmp_path / "table.csv", rows)

    found = told("--table", table, "--variant", "group", "--metric", "spend")
    said = call("--table", table, "--variant", "group", "--metric", "spend").stderr

    (cell,) = cells(found).values()
    assert (cell["control_n"], cell["n"]) == (99, 199)  # a: without NA and the row without a group; b: without $7.25
    assert found["bad_rows"] == [
        {
            "file": str(table),
            "line": line,
            "reason": reason,
            "detail": detail,
            "rows": 1,
        }
        for line, reason, detail in (
            (7, "no number", "spend is '$7.25'; what counts is a plain number: 1234.5"),
            (10, "no variant", "group is empty: the unit is in no arm"),
        )
    ]
    assert "101 units without spend" in said
    assert f"{table}:7: spend is '$7.25'" in said


HOSTILE = [
    "1e301",
    "-1e19",
    "4611686018427387904",
    "1e400",
    "inf",
    "-Infinity",
    "NaN",
    "1e-320",
    "-0.0",
    "5e-324",
    "1e-150",
]


@pytest.mark.parametrize("method", ["sequential", "t-test", "bayesian"])
@pytest.mark.parametrize("value", HOSTILE)
def test_no_number_of_a_table_is_too_large_or_too_small_to_be_told(tmp_path: Path, value: str, method: str) -> None:
    lines = [f"{'ab'[i % 2]},{value if i == 7 else i / 4},{i}" for i in range(200)]
    (tmp_path / "table.csv").write_text("\n".join(["group,spend,before", *lines]))
    asked = ("--table", tmp_path / "table.csv", "--variant", "group", "--metric", "spend", "--method", method)

    for more in ((), ("--covariate", "before")):
        found = told(*asked, *more)

        (cell,) = cells(found).values()
        is_zero = value in {"1e-320", "-0.0", "5e-324", "1e-150"}
        assert cell["n"] == 99 + is_zero
        assert [row["line"] for row in found["bad_rows"]] == [9] * (not is_zero and value != "NaN")
        assert any("1 values of spend are below" in note for note in found["notes"]) == (is_zero and value != "-0.0")
        beyond = "a number below 4.6e18, up or down"
        assert all((beyond in row["detail"]) == value[-1].isdigit() for row in found["bad_rows"])


@pytest.mark.parametrize("value", [value for value in HOSTILE if value != "NaN"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_such_numbers_alone_is_analysed_or_refused(tmp_path: Path, value: str, kind: str) -> None:
    table, numbers = tmp_path / f"table.{kind}", [value, "0", "-" + value.strip("-")]
    rows = ", ".join(f"('{'ab'[i % 2]}', '{numbers[i % 3]}'::DOUBLE)" for i in range(60)).replace("1e400", "1e308")
    duckdb.sql(f"COPY (FROM (VALUES {rows}) t(grp, spend)) TO '{table}'")

    asked = ("--table", table, "--variant", "grp", "--metric", "spend")
    if value in {"1e-320", "-0.0", "5e-324", "1e-150"}:
        assert told(*asked)["experiments"][0]["cells"]
    else:
        with pytest.raises(PeekproofError, match=r"of its 60 cells cannot be used"):
            call(*asked)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    for name, text in (
        ("header.csv", "group,spend\n"),
        ("empty.csv", ""),
        ("blank.ndjson", "\n \n"),
        ("empty.json", "[]"),
    ):
        (tmp_path / name).write_text(text)

        with pytest.raises(PeekproofError, match=f"{name}': there are no rows"):
            call("--table", tmp_path / name, "--variant", "group", "--metric", "spend")


def test_a_split_is_judged_by_the_weights_that_were_planned(tmp_path: Path) -> None:
    rows: list[Row] = [{"group": "ad" if i % 25 else "psa", "bought": i % 40 == 0} for i in range(10_000)]
    table = as_csv(tmp_path / "table.csv", rows)
    asked = ("--table", table, "--variant", "group", "--metric", "bought:conversion", "--control", "psa")

    equal, planned = told(*asked), told(*asked, "--weights", "ad=24,psa=1")

    assert equal["experiments"][0]["verdict"]["decision"] == "needs attention"
    assert any("give its weights" in note for note in equal["notes"])
    assert planned["experiments"][0]["verdict"]["decision"] != "needs attention"
    assert [arm["expected_share"] for arm in planned["experiments"][0]["health"]["arms"]] == [0.04, 0.96]


def test_a_table_that_is_read_once_is_finished(tmp_path: Path) -> None:
    units = [{"group": group, "bought": 0} for group in ("control", "mail") for _ in range(30)]

    found = told(
        "--table", as_csv(tmp_path / "a.csv", units), "--variant", "group", "--metric", "bought", "--method", "t-test"
    )

    assert found["experiments"][0]["verdict"] == {
        "decision": "none",
        "reason": "bought has 30 units of mail and 30 of control: zero variance; it has ended without a decision.",
        "prediction": None,
        "days_left": None,
    }


def test_one_metric_of_a_table_is_not_adjusted(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    units = [{"group": "ab"[i % 2], "rate": float(chance.normal(3e-9, 1e-9))} for i in range(60)]

    shown = call(
        "--table", as_csv(tmp_path / "a.csv", units), "--variant", "group", "--metric", "rate", "--method", "t-test"
    ).stdout

    assert "adjusted" not in shown


def test_a_table_is_drawn(tmp_path: Path, rows: list[Row]) -> None:
    table, picture = as_csv(tmp_path / "table.csv", rows), tmp_path / "effects.json"

    told("--table", table, *ASKED, "--metric", "spend", "--plot", picture)
    with pytest.raises(PeekproofError, match=r"is no picture; name it .svg, .png, .html or .json"):
        call("--table", table, *ASKED, "--metric", "spend", "--plot", tmp_path / "effects.pdf")

    assert json.loads(picture.read_text())["data"]["values"][0]["label"].startswith("spend · ")


def test_less_may_be_better(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    rows: list[Row] = [
        {"group": ("control", "new")[i % 2], "bounced": bool(chance.random() < 0.5 - 0.2 * (i % 2))}
        for i in range(4_000)
    ]
    table = as_csv(tmp_path / "table.csv", rows)

    (look,) = told("--table", table, "--variant", "group", "--metric", "bounced:decrease")["experiments"]

    assert look["verdict"]["decision"] == "ship"


def halves(chance: np.random.Generator, missing: Sequence[float], n: int = 4_000) -> list[Row]:
    """Nothing differs but the share of each arm's values that is missing: the small ones."""
    return [
        {
            "group": ("control", "treatment")[i % 2],
            "spend": None if (value := float(chance.normal(10.0, 3.0))) < missing[i % 2] else value,
            "visits": int(chance.poisson(3.0)),
        }
        for i in range(n)
    ]


def test_values_that_one_arm_lacks_give_no_verdict(tmp_path: Path) -> None:
    rows = halves(np.random.default_rng(5), (-99.0, 8.0))
    lost = sum(row["spend"] is None for row in rows)
    asked = ("--variant", "group", "--metric", "spend", "--metric", "visits")

    found = told("--table", as_csv(tmp_path / "table.csv", rows), *asked)

    (look,) = found["experiments"]
    spend, visits = look["cells"]
    assert (spend["status"], spend["p_value"], spend["judgement"]) == ("unusable", None, "open")
    assert (visits["status"], spend["unusable_share"]) == ("ok", lost / 2_000)
    assert look["verdict"]["decision"] == "needs attention"
    assert look["verdict"]["reason"] == (
        f"spend says nothing: {lost / 2_000:.1%} of treatment's units have no value, of control's 0.0%; fill in what a "
        "missing value means (0, where nothing happened), or leave such units out of the table."
    )
    by_arm = f"control 0 of 2,000 (0.0%), treatment {lost:,} of 2,000 ({lost / 2_000:.1%})"
    (note,) = (note for note in found["notes"] if "left out" in note)
    assert note.startswith(f"{lost:,} units without spend, or its covariate, are left out of it: {by_arm}; arms lose")
    assert f"spend: {lost:,} of 4,000 units have no value" in call("--table", tmp_path / "table.csv", *asked).stdout


def test_values_that_all_arms_lack_alike_are_told_and_the_others_compared(tmp_path: Path) -> None:
    table = as_csv(tmp_path / "table.csv", halves(np.random.default_rng(6), (8.0, 8.0)))

    found = told("--table", table, "--variant", "group", "--metric", "spend")

    (look,) = found["experiments"]
    assert (look["cells"][0]["status"], look["verdict"]["decision"]) == ("ok", "keep running")
    (note,) = (note for note in found["notes"] if "left out" in note)
    assert re.search(r"control \d+ of 2,000 .*, treatment \d+ of 2,000 .*; only units that have one are compared", note)


@pytest.mark.parametrize("places", [0, 3])
def test_large_numbers_of_a_table_keep_all_their_digits(tmp_path: Path, places: int) -> None:
    values = [99_999_999_999_999, 0.001 if places else 2]
    rows: list[Row] = [{"group": "ab"[i % 2], "bytes": values[i // 2 % 2]} for i in range(8)]

    (cell,) = told("--table", as_csv(tmp_path / "table.csv", rows), "--variant", "group", "--metric", "bytes")[
        "experiments"
    ][0]["cells"]

    assert cell["scale"] == places
    assert int(cell["sum"]) == 2 * sum(round(Decimal(repr(value)).scaleb(places)) for value in values)


REFUSED = {
    "--variant grp --metric spend": r"has no column 'grp'; did you mean 'group'\? it has group, spend, who$",
    "--variant group --metric xyzzy": "has no column 'xyzzy'; it has group, spend, who$",
    "--variant who --metric spend": "'who' has 200 different values, u0, .* and 195 more; name the column of the var",
    "--variant group --metric who": "'who': 200 of its 200 cells cannot be used; .*:2: who is 'u0'",
    "--variant group --metric spend:conversion": "what counts is 0, 1, true or false",
    "--variant group --metric spend --control c": "'c' is no value of 'group'",
    "--variant group --metric spend --weights a=1,c=2": "weights are given of a, c; the variants are a, b",
    "--variant group --metric spend --weights a=.5,b=.5": "'a=.5' is no weight; write VARIANT=N",
    "--variant group --metric spend --metric spend": "'spend' is named twice",
}


@pytest.mark.parametrize("asked", REFUSED)
def test_what_cannot_be_analysed_is_refused_with_the_way_out(tmp_path: Path, asked: str) -> None:
    rows: list[Row] = [{"group": "ab"[i % 2], "spend": i / 4, "who": f"u{i}"} for i in range(200)]
    for table in (as_csv(tmp_path / "table.csv", rows), as_ndjson(tmp_path / "table.ndjson", rows)):
        expected = REFUSED[asked]
        if table.suffix == ".ndjson":
            expected = re.sub(
                "has no column ('.*?'); (did you mean .*)?it has", r"\1 has no value .*; its first row has", expected
            )
            expected = expected.replace(":2:", ":1:")

        with pytest.raises(PeekproofError) as refused:
            call("--table", table, *asked.split())

        assert re.search(expected, str(refused.value)), refused.value


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("--table {0}", "a table wants --variant COLUMN and --metric COLUMN"),
        ("--table {0} --variant a --metric b --events {0}", "--table stands alone"),
        ("--events {0} --metric b", "--metric is of a table; name its file"),
    ],
)
def test_options_that_say_nothing_together_are_refused(tmp_path: Path, asked: str, reason: str) -> None:
    result = call(*asked.format(as_csv(tmp_path / "table.csv", [{"a": 1}])).split())

    assert result.exit_code == 2
    assert reason in result.stderr
