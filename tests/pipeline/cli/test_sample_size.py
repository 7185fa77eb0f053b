"""`peekproof sample-size` as a person uses it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import command
from pipeline.cli.terminal import Terminal
from pipeline.errors import PeekproofError
from tests.pipeline.shop import Shop


def told(*arguments: str) -> list[dict]:
    result = CliRunner().invoke(command, ["sample-size", *arguments, "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


def test_an_idea_without_a_document_is_planned_by_its_baseline_and_effect():
    (plan,) = told("--baseline", "0.12", "--effect", "-0.05", "--traffic", "20000")

    assert plan["fixed"]["control"] == pytest.approx(44_773, rel=0.02)
    assert plan["fixed"]["days"] == pytest.approx(plan["fixed"]["total"] / 20_000)
    assert plan["planned_units"] == plan["recommended_units"]
    assert plan["sequential"]["total"] > 1.5 * plan["fixed"]["total"]


def test_a_plan_is_drawn(tmp_path: Path):
    picture = tmp_path / "power.svg"

    found = told("--baseline", "0.115", "--effect", "5%", "--traffic", "20000", "--plot", str(picture))

    assert f"{found[0]['sequential']['total']:,}, {found[0]['sequential']['days']:,.1f} days" in picture.read_text()


def test_more_arms_share_alpha():
    three = told("--baseline", "20", "--deviation", "50", "--effect", "0.05", "--arms", "3")

    assert [each["alpha"] for each in three] == [0.025, 0.025]
    assert three[0]["fixed"]["total"] == pytest.approx(3 * three[0]["fixed"]["control"], abs=3)


def test_days_say_with_which_step_of_a_plan_they_count(tmp_path: Path):
    shop = Shop(tmp_path / "configs")
    shop.rewrite("  - metric: purchase\n", "  - metric: purchase\n    role: primary\n    minimum_effect: 0.1\n")
    shop.rewrite("rollout: 50\n", "plan: { steps: [{ rollout: 1, for: 1h }, { rollout: 25 }] }\n")
    arguments = ["sample-size", "button", "--catalog", str(shop.directory), "--baseline", "0.1"]

    without, days = (
        CliRunner().invoke(command, [*arguments, *more], catch_exceptions=False).stdout
        for more in ([], ["--traffic", "9"])
    )

    assert "days count with a rollout of 25 %, as the last step of its plan gives" in days
    assert "days count" not in without


def test_a_document_is_planned_by_its_goals(tmp_path: Path):
    shop = Shop(tmp_path / "configs")
    shop.rewrite("  - metric: purchase\n", "  - metric: purchase\n    role: primary\n    minimum_effect: 0.1\n")
    catalog = ("--catalog", str(shop.directory))

    (plan,) = told("button", *catalog, "--baseline", "purchase=0.1", "--traffic", "1000")
    shown = shop.call("sample-size", "button", *catalog, "--baseline", "0.1", "--units", "20000").stdout

    assert plan["planned_units"] == 10_000
    assert plan["fixed"]["days"] == pytest.approx(plan["fixed"]["total"] / 500, abs=0.01)  # rollout: 50
    assert "purchase (primary): to see +0.1 x 0.1, power 80%, alpha 0.05, two-sided" in shown
    assert f"N* of treatment: 10,000; recommended {plan['recommended_units']:,}" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "0.1"], "--effect missing: an experiment without a document needs"),
        (["--effect", "0.1"], "--baseline missing"),
        (["--baseline", "40", "--effect", ".03"], "give its standard deviation too: --deviation metric=…"),
        (["--baseline", "40", "--effect", ".03", "--deviation", "0"], "a standard deviation is above 0"),
        (
            ["--baseline", "0", "--deviation", "9", "--effect", ".03"],
            "0 is no baseline of 'metric': effects are relative",
        ),
        (["--baseline", "0.1", "--effect", "0.1", "--power", "120%"], "it is a chance, from 0.05 to 0.999"),
        (
            ["--baseline", "0.1", "--effect", "0.1", "--traffic", "nan"],
            "--traffic nan: units per day are a number above 0",
        ),
        (["--baseline", "0.1", "--effect", "0"], "an effect of 0: no number of units shows"),
        (["--baseline", "12", "--effect", "0.1"], "12 is no baseline of 'metric'"),
        (["--baseline", "0.4", "--effect", "500%"], "a rate of 0.4 cannot change by +500%"),
        (["checkout-button", "--deviation", "revenue=30"], "--baseline revenue=…"),
        (["--baseline", "ten", "--effect", "0.1"], "'ten' is no number"),
        (["--baseline", "pages=3", "--effect", "0.1"], "no goal is of 'pages'"),
        (["checkout-buton"], "did you mean 'checkout-button'?"),
        (["checkout-button", "--arms", "3"], "says what its variants are"),
        (["ranking-aa"], "has no goal with both an effect to see and a baseline"),
        (["checkout-button", "--baseline", "revenue=4"], "give its standard deviation too: --deviation revenue=…"),
    ],
)
def test_what_cannot_be_planned_is_told_with_the_way_out(arguments: list[str], message: str):
    with pytest.raises(PeekproofError) as told:
        CliRunner().invoke(command, ["sample-size", *arguments], catch_exceptions=False)

    assert message in str(told.value)


def test_n14_refunds_percentages_and_small_trials_are_planned(tmp_path: Path):
    (plan,) = told("--baseline", "-40", "--deviation", "90", "--effect", "3%", "--power", "90%")
    (other,) = told("--baseline", "40", "--deviation", "90", "--effect", "0.03", "--power", "0.9")
    (small,) = told("--baseline", "20 %", "--effect", "150%")

    assert [plan[test]["total"] for test in ("fixed", "sequential")] == [
        other[test]["total"] for test in ("fixed", "sequential")
    ]
    assert (small["mean"], small["effect"]) == (0.2, 1.5)
    assert small["fixed"]["total"] <= 72

    shop = Shop(tmp_path / "configs")
    shop.rewrite("owner: shop\n", "owner: shop\nanalysis: { method: t-test, planned_units: 72 }\n")
    shop.call("validate", str(shop.directory))
    shop.rewrite("planned_units: 72", "baseline: { mean: -40, deviation: 90 }")
    shop.rewrite("  - metric: purchase\n", "  - metric: purchase\n    role: primary\n    minimum_effect: 0.03\n")
    of_conversion = shop.call("validate", str(shop.directory), code=2)
    assert "-40 is no rate of a conversion" in of_conversion.output
    metric = shop.directory / "metrics" / "a.yaml"
    metric.write_text(metric.read_text().replace("type: conversion", "type: sum\nproperty: margin"))
    shop.call("validate", str(shop.directory))


def test_n19_a_plan_has_no_column_of_what_nobody_asked():
    def shown(*arguments: str) -> str:
        asked = ["sample-size", "--baseline", "0.1", "--effect", "0.1", *arguments]
        return CliRunner().invoke(command, asked, catch_exceptions=False).stdout

    assert "at hand" not in shown()
    assert "days" not in shown()
    assert "-" not in shown().replace("t-test", "").replace("two-sided", "").replace("treatment-1", "")
    assert "effect at hand" in shown("--units", "20000")
    assert "days" in shown("--traffic", "1000")


@pytest.mark.parametrize(
    ("effect", "says"),
    [
        ("5", "5 is +500%; write 5% or 0.05, or 500% if you mean it"),
        ("-1", "-1 is -100%; write -1% or -0.01, or -100% if you mean it"),
    ],
)
def test_an_effect_that_may_be_meant_in_per_cent_is_refused(effect: str, says: str):
    result = CliRunner().invoke(command, ["sample-size", "--baseline", "0.12", "--effect", effect])

    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
    assert told("--baseline", "0.12", "--effect", "500%")[0]["effect"] == 5.0
    assert told("--baseline", "0.12", "--effect", "0.99")[0]["effect"] == 0.99


def test_an_effect_of_a_document_that_may_be_meant_in_per_cent_is_noted(tmp_path: Path):
    shop = Shop(tmp_path / "configs")
    shop.rewrite("  - metric: purchase\n", "  - metric: purchase\n    role: primary\n    minimum_effect: 5\n")

    told = shop.call("validate", str(shop.directory))

    assert "metrics[0].minimum_effect: 5 is 500% of control; write 0.05 if 5 % is meant" in told.output


def test_a_plan_fits_a_terminal_of_eighty_columns(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("pipeline.cli.sample_size.Terminal", lambda _: Terminal())
    asked = ["--baseline", "0.12", "--effect", "0.05", "--units", "20000", "--traffic", "1000", "--arms", "3"]

    shown = CliRunner().invoke(command, ["sample-size", *asked], catch_exceptions=False).stdout.splitlines()

    rows = [line for line in shown if "t-test, once" in line or "sequential " in line]
    assert len(rows) == 4
    assert [row.split()[0] for row in rows[::2]] == ["treatment-1", "treatment-2"]
    assert max(map(len, shown)) <= 80
    assert "effect at hand" in shown[1]
    assert "in a wider terminal, or with --json: treatment, control" in shown


def test_units_that_are_too_few_for_the_formula_are_a_lower_bound():
    (few,) = told("--baseline", "0.12", "--effect", "500%")
    (many,) = told("--baseline", "0.12", "--effect", "5%")
    (mean,) = told("--baseline", "12", "--deviation", "9", "--effect", "95%")
    shown = CliRunner().invoke(
        command, ["sample-size", "--baseline", "0.12", "--effect", "500%"], catch_exceptions=False
    )

    assert few["exact_power"] == pytest.approx(0.532, abs=0.001)
    assert many["exact_power"] is mean["exact_power"] is None
    assert "with 7 + 7 units Boschloo's test, by which rates are read, sees it with a chance of 53%: so few are a" in (
        shown.stdout
    )
