"""Adjusted numbers of tables, within 1e-6 of statsmodels' regressions (tests/vectors/regression.py made these)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import PeekproofError
from tests.pipeline.analyzing import call, told
from tests.vectors.companies import NAMES, companies

CASES = json.loads((Path(__file__).parents[2] / "vectors" / "regression.json").read_text())
CLOSE = {"rel": 1e-6}
NSW = CASES["nsw"]["rows"]
SPENT = ("--variant", "treat", "--control", "0", "--metric", "spent", "--method", "t-test")


def table(path: Path, columns: dict[str, Sequence[Any]]) -> Path:
    path.write_text("\n".join(",".join(map(str, row)) for row in [[*columns], *zip(*columns.values(), strict=True)]))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of companies."""
    columns = dict(zip(NAMES, zip(*companies(), strict=True), strict=True))
    return table(tmp_path_factory.mktemp("made") / "made.csv", columns)


def cell_of(found: Any) -> Any:
    ((cell,),) = (look["cells"] for look in found["experiments"])
    return cell


def is_close(cell: Any, expected: Any, mix: float = 0.0) -> bool:
    error = np.sqrt(expected["standard_error"] ** 2 + mix)
    return bool((cell["estimate"], cell["standard_error"]) == pytest.approx((expected["estimate"], error), **CLOSE))


@pytest.mark.parametrize(
    ("case", "covariates"), [("one", ["re75"]), ("several", ["re74", "re75", "age", "educ", "black"])]
)
def test_nsw_with_covariates_is_what_regression_makes_of_it(tmp_path: Path, case: str, covariates: list[str]) -> None:
    asked = [each for name in covariates for each in ("--covariate", name)]
    found = told(
        "--table",
        table(tmp_path / "nsw.csv", NSW),
        "--variant",
        "treat",
        "--control",
        "0",
        "--metric",
        "earned",
        *asked,
    )

    cell = cell_of(found)
    assert is_close(cell, CASES["nsw"][case])
    assert cell["adjusted"] == "CUPED"
    plain = CASES["nsw"]["plain"]
    beside = (cell["other_estimate"], cell["other_standard_error"])
    assert beside == pytest.approx((plain["estimate"], plain["standard_error"]), **CLOSE)
    assert cell["variance_left"] == pytest.approx((cell["standard_error"] / plain["standard_error"]) ** 2, **CLOSE)


def test_nsw_within_strata_is_lins_regression(tmp_path: Path) -> None:
    asked = ("--variant", "treat", "--control", "0", "--metric", "earned", "--strata", "nodegree")
    cell = cell_of(told("--table", table(tmp_path / "nsw.csv", NSW), *asked))

    assert is_close(cell, CASES["nsw"]["strata"], CASES["nsw"]["strata"]["mix"])
    assert cell["adjusted"] == "strata"


def test_simulated_users_are_what_regression_makes_of_them(made: Path) -> None:
    of = CASES["simulated"]
    past = ("--covariate", "before", "--covariate", "visits")

    assert is_close(cell_of(told("--table", made, *SPENT)), of["plain"])
    assert is_close(cell_of(told("--table", made, *SPENT, *past[:2])), of["one"])
    assert is_close(cell_of(told("--table", made, *SPENT, *past)), of["several"])
    assert is_close(cell_of(told("--table", made, *SPENT, "--strata", "plan")), of["strata"], of["strata"]["mix"])
    both = cell_of(told("--table", made, *SPENT, *past, "--strata", "plan"))
    assert both["adjusted"] == "CUPED and strata"
    assert both["standard_error"] < min(of["several"]["standard_error"], of["strata"]["standard_error"])


def test_users_under_randomised_companies_have_cluster_robust_errors(made: Path) -> None:
    found = told("--table", made, *SPENT, "--cluster", "company")

    cell = cell_of(found)
    assert is_close(cell, CASES["simulated"]["clusters"])
    assert (cell["n"], cell["control_n"], found["rows"]["clusters"]) == (120, 120, 240)
    explained = cell_of(
        told("--table", made, *SPENT, "--cluster", "company", "--covariate", "before", "--covariate", "visits")
    )
    assert explained["variance_left"] < 0.5
    assert explained["other_standard_error"] == pytest.approx(cell["standard_error"], rel=1e-12)
    assert explained["estimate"] == pytest.approx(1.0, abs=3 * explained["standard_error"])


def test_classes_of_star_have_cluster_robust_errors(tmp_path: Path) -> None:
    # Of each class one pupil has all the points: no other sums are kept, and no others matter.
    rows = [
        (number, treat, total if pupil == 0 else 0.0)
        for number, (treat, pupils, total) in enumerate(CASES["star"]["classes"])
        for pupil in range(pupils)
    ]
    columns = dict(zip(("class", "small", "math"), zip(*rows, strict=True), strict=True))
    asked = ("--variant", "small", "--control", "0", "--metric", "math:sum", "--cluster", "class", "--method", "t-test")

    cell = cell_of(told("--table", table(tmp_path / "star.csv", columns), *asked))

    assert is_close(cell, CASES["star"]["clusters"])
    assert cell["p_value"] < 0.05


def test_too_few_clusters_are_told_and_not_tested(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    columns = {
        "school": [school for school in range(24) for _ in range(30)],
        "group": ["ab"[school % 2] for school in range(24) for _ in range(30)],
        "points": chance.normal(50.0, 9.0, 720).round(2).tolist(),
    }
    file = table(tmp_path / "schools.csv", columns)
    asked = ("--variant", "group", "--metric", "points", "--cluster", "school", "--method", "t-test")

    found = told("--table", file, *asked)

    assert (cell_of(found)["status"], cell_of(found)["p_value"]) == ("gated", None)
    (note,) = (each for each in found["notes"] if "clusters" in each)
    assert note.startswith("a: 12 clusters, b: 12 clusters; a t-test wants 20 of one size, or what is worth as many")
    assert "720 units, 24 clusters" in call("--table", file, *asked).stdout


def test_a_cluster_in_two_arms_was_not_randomised_as_a_whole(made: Path) -> None:
    with pytest.raises(PeekproofError, match=r"'plan' p. has rows of '0' and '1', so it was not randomised as a whole"):
        told("--table", made, *SPENT, "--cluster", "plan")
