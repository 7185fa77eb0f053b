"""`pp.analyze_table` on published experiments, beside statsmodels' regressions."""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.api as sm

import peekproof as pp
from peekproof import PeekproofError
from schemas.look import Cell
from tests.pipeline.analyzing import told

DATA = Path(__file__).parents[2] / "examples/data"
NSW = pd.read_csv(DATA / "nsw.csv")
OF_NSW = {"variant": "group", "weights": {"control": 260, "training": 185}}
CLOSE = {"rel": 1e-9}


def regression(outcome: Any, is_treated: Any, errors: str) -> tuple[float, float]:
    """The effect of a treatment and its standard error, by least squares on an indicator."""
    fitted = sm.OLS(np.asarray(outcome, float), sm.add_constant(np.asarray(is_treated, float))).fit(cov_type=errors)
    return fitted.params[1], fitted.bse[1]


def cells(result: pp.Result) -> dict[tuple[str, str], Cell]:
    return {(cell.metric, cell.variant): cell for cell in result.look.cells}


def test_nsw_is_its_published_effect_with_the_error_of_a_regression():
    result = pp.analyze_table(NSW, metrics={"re78": pp.mean()}, method="t-test", **OF_NSW)

    (cell,) = result.look.cells
    assert (cell.estimate, cell.standard_error) == pytest.approx(
        regression(NSW.re78, NSW.group == "training", "HC2"), **CLOSE
    )
    assert round(cell.estimate) == 1_794  # Dehejia and Wahba 1999, table 3


@pytest.mark.parametrize("covariates", [["re75"], ["re74", "re75", "educ"]])
def test_nsw_is_adjusted_as_by_a_regression_on_the_past_of_all(covariates: list[str]):
    asked = {"metrics": {"re78": pp.mean()}, "covariates": covariates, "method": "t-test"}
    (cell,) = pp.analyze_table(NSW, **asked, **OF_NSW).look.cells

    slopes = sm.OLS(NSW.re78, sm.add_constant(NSW[covariates])).fit().params[covariates]
    expected = regression(NSW.re78 - NSW[covariates] @ slopes, NSW.group == "training", "HC2")
    assert (cell.estimate, cell.standard_error) == pytest.approx(expected, **CLOSE)


def test_clusters_are_compared_with_the_errors_of_a_regression_that_knows_them():
    schools = NSW.assign(school=[f"{group}-{row % 97}" for row, group in enumerate(NSW.group)])
    of_schools = {"variant": "group", "weights": {"control": 97, "training": 97}}

    (cell,) = pp.analyze_table(
        schools, metrics={"re78": pp.mean()}, clusters="school", method="t-test", **of_schools
    ).look.cells

    assert cell.estimate == pytest.approx(regression(NSW.re78, NSW.group == "training", "HC2")[0], **CLOSE)
    sizes = {group: rows.school.nunique() for group, rows in schools.groupby("group")}
    spread = 0.0  # of ratios of sums, with n/(n - 1) of each arm's clusters
    for group, rows in schools.groupby("group"):
        residuals = (rows.re78 - rows.re78.mean()).groupby(rows.school).sum()
        spread += (residuals**2).sum() / len(rows) ** 2 * sizes[group] / (sizes[group] - 1)
    assert cell.standard_error == pytest.approx(spread**0.5, **CLOSE)


def test_hillstroms_e_mails_are_compared_as_by_regressions():
    counts = pd.read_csv(DATA / "hillstrom.csv")
    customers = counts.loc[counts.index.repeat(counts.customers)]

    found = cells(pp.analyze_table(customers, variant="e_mail", metrics=["visited", "bought"], control="none"))

    assert len(customers) == 64_000
    for (metric, variant), cell in found.items():
        pair = customers[customers.e_mail.isin(["none", variant])]
        expected = regression(pair[metric], pair.e_mail == variant, "HC0")  # of a rate p, p (1 - p)/n
        assert (cell.estimate, cell.standard_error) == pytest.approx(expected, **CLOSE)
        assert cell.judgement == "better"


def test_thorntons_rewards_are_compared_once_those_of_whom_nothing_is_known_are_left_out():
    table = pd.read_csv(DATA / "thornton_hiv.csv")
    known = table.dropna(subset=["got_results"])
    asked = {"variant": "incentive", "metrics": {"got_results": pp.conversion()}, "control": "none"}

    unusable = pp.analyze_table(table, weights={"none": 679, "some": 2222}, **asked)
    (cell,) = pp.analyze_table(known, weights={"none": 623, "some": 2211}, **asked).look.cells

    assert unusable.look.verdict.decision == "needs attention"
    assert "none 56 of 679 (8.2%), some 11 of 2,222 (0.5%)" in unusable.notes[0]
    expected = regression(known.got_results, known.incentive == "some", "HC0")
    assert (cell.estimate, cell.standard_error) == pytest.approx(expected, **CLOSE)
    assert round(cell.estimate, 2) == 0.45


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "duckdb", "file"])
def test_a_frame_says_what_its_file_says_to_the_last_byte(kind: str):
    path = DATA / "nsw.csv"
    table = {
        "pandas": lambda: NSW,
        "polars": lambda: pl.read_csv(path),
        "arrow": lambda: pa.Table.from_pandas(NSW),
        "duckdb": lambda: duckdb.connect().read_csv(str(path)),
        "file": lambda: str(path),
    }[kind]()
    metrics = {"re78": pp.mean(), "nodegree": pp.conversion(direction="decrease")}

    before = {"covariates": ["re74", "re75"], "strata": "hisp"}
    result = pp.analyze_table(table, metrics=metrics, control="control", **before, **OF_NSW)

    options = ("--weights", "control=260,training=185", "--control", "control", "--covariate", "re74")
    options += ("--covariate", "re75", "--strata", "hisp")
    named = ("--variant", "group", "--metric", "re78:sum", "--metric", "nodegree:conversion:decrease")
    expected = told("--table", path, *named, *options)
    found = json.loads(result.to_json())
    found["experiments"][0]["experiment"] = path.name
    assert found == expected


@pytest.mark.parametrize("kind", ["int64", "float64", "bool", "str"])
def test_arms_of_a_column_of_numbers_are_named_by_them(kind: str):
    table = NSW.assign(group=(NSW.group == "training").astype("int64").astype(kind))
    treated = {"bool": True, "str": "1"}.get(kind, 1)
    control = type(treated)(0)
    metrics = {"re78": pp.mean()}

    result = pp.analyze_table(
        table, variant="group", metrics=metrics, control=control, weights={treated: 185, control: 260}
    )

    expected = pp.analyze_table(NSW, metrics=metrics, control="control", **OF_NSW)
    compared = ["n", "control_n", "estimate", "lower", "upper", "p_value"]
    assert result.to_pandas()[compared].equals(expected.to_pandas()[compared])
    assert result.to_arrow()["variant"].to_pylist() == [{"float64": "1.0", "bool": "true"}.get(kind, "1")]


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({"control": 0, "training": 1}, "0 of 'control' is no weight; it is a whole number from 1 to 1,000,000"),
        ({"control": -1, "training": 1}, "-1 of 'control' is no weight"),
        ({"control": 0.5, "training": 0.5}, "0.5 of 'control' is no weight"),
        ({"control": "1", "training": 1}, "'1' of 'control' is no weight"),
        ([260, 185], "name each variant's: {'control': 1, 'treatment': 1}"),
        ({"control": 1}, "weights are given of control; the variants are control, training"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Any, says: str):
    with pytest.raises(PeekproofError) as error:
        pp.analyze_table(NSW, variant="group", metrics=["re78"], weights=weights)

    assert says in str(error.value), error.value


def test_cells_of_no_use_leave_their_units_out_up_to_a_share_of_the_column():
    few = NSW.assign(re78=NSW.re78.astype(object).where(NSW.index % 150 > 0, "?"))
    many = NSW.assign(re78=NSW.re78.astype(object).where(NSW.index % 10 > 0, "?"))
    asked = {"metrics": {"re78": pp.mean()}, **OF_NSW}

    result = pp.analyze_table(few, **asked)

    (cell,) = result.look.cells
    assert cell.n + cell.control_n == (NSW.index % 150 > 0).sum()
    assert "table: 3 rows left out of metrics of re78: it is no plain number" in result.notes
    with pytest.raises(
        PeekproofError, match=r"Above 1% such cells .* name the column that is meant, write its numbers"
    ):
        pp.analyze_table(many, **asked)


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_floats_of_any_size_are_read(kind: str):
    table = NSW.assign(educ=NSW.educ.astype(kind))

    (cell,) = pp.analyze_table(table, metrics={"educ": pp.mean()}, **OF_NSW).look.cells

    assert cell == pp.analyze_table(NSW, metrics={"educ": pp.mean()}, **OF_NSW).look.cells[0]


def test_a_column_of_texts_and_numbers_is_read_as_in_csv(tmp_path: Path):
    mixed = [None if row % 7 == 0 else f"{value}" if row % 3 else value for row, value in enumerate(NSW.re78)]
    table = NSW.assign(re78=pd.Series(mixed, dtype=object))
    table.to_csv(tmp_path / "table.csv", index=False)
    asked = {"metrics": {"re78": pp.mean()}, **OF_NSW}

    result = pp.analyze_table(table, **asked)

    assert result.look.cells == pp.analyze_table(tmp_path / "table.csv", **asked).look.cells


def test_a_column_of_a_type_that_cannot_be_read_is_named_with_the_way_out():
    table = pa.Table.from_pandas(NSW).append_column("large", pa.array([1] * len(NSW), pa.decimal256(60)))

    with pytest.raises(PeekproofError, match=r"'table' cannot be read: column 'large' is of type decimal256\(60, 0\)"):
        pp.analyze_table(table, metrics=["re78"], **OF_NSW)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"metrics": {"re79": pp.mean()}}, "'table' has no column 're79'; did you mean 're78'"),
        ({"metrics": {"re78": "mean"}}, "'re78': 'mean' is no metric of a table; write pp.mean() or pp.conversion()"),
        ({"metrics": "re78"}, "metrics='re78': name columns: {'spend': pp.mean(), 'visit': pp.conversion()}"),
        ({"metrics": ["re78"], "covariates": "re74"}, "covariates='re74': it is a list of columns: ['spend_before']"),
        ({"metrics": ["re78"], "covariates": 74}, "covariates=74: it is a list of columns: ['spend_before']"),
        ({"metrics": ["re78"], "covariates": [74]}, "74 is no name of a column; write a text"),
        ({"metrics": 78}, "metrics=78: name columns: {'spend': pp.mean(), 'visit': pp.conversion()}"),
        ({"metrics": ["re78"], "covariates": ["re78"]}, "'re78' is named twice; a column is one thing to all rows"),
        ({"metrics": ["re78"], "covariates": ["re75", "re75"]}, "'re75' is named twice; a column is one thing to all"),
        ({"metrics": ["re78"], "covariates": ["hisp"], "strata": "hisp"}, "'hisp' is named twice; a column is one"),
        (
            {"metrics": ["re78"], "strata": "hisp", "clusters": "educ"},
            "strata 'hisp' and clusters 'educ': clusters are compared by ratios, which have no strata; name the",
        ),
        (
            {"metrics": ["re78"], "method": "ttest"},
            "method: 'ttest' is not allowed; it must be one of sequential, t-test, bayesian",
        ),
        (
            {"metrics": {"re78": pp.mean(direction="up")}},
            "'re78': direction: 'up' is not allowed; it must be one of increase, decrease",
        ),
        ({"metrics": {"re78": pp.conversion()}}, "'re78': 308 of its 445 cells cannot be used; table:1: re78 is"),
    ],
)
def test_what_cannot_be_analysed_is_refused_with_the_way_out(asked: dict[str, Any], says: str):
    with pytest.raises(PeekproofError) as error:
        pp.analyze_table(NSW, **OF_NSW, **asked)

    assert str(error.value).startswith(says), error.value
