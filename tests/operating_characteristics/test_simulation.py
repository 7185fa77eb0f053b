"""The simulation: it can fail, it draws what it measured, and the same seed gives the same figures."""

import json
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest

from pipeline.simulation.picture import BOTTOM, HEIGHT, TOP, picture
from pipeline.simulation.populations import POPULATIONS
from pipeline.simulation.protocols import DECISIONS, FALSE_POSITIVES, NAIVE
from pipeline.simulation.rows import quantile, share, truth
from pipeline.simulation.watching import Scenario, watch
from tests.conftest import PEEKPROOF

REPLICATIONS = 400
BOUND = 0.05 + 3 * np.sqrt(0.05 * 0.95 / REPLICATIONS)
POPULATION = {population.name: population for population in POPULATIONS}


def watched(name, split=0.5, **scenario):
    population = POPULATION[name]
    return watch(
        np.random.default_rng(20_26), Scenario(population, split, units=population.units, **scenario), REPLICATIONS
    )


@pytest.mark.parametrize(
    ("name", "split"), [("normal", 0.5), ("lognormal 1.5 capped at p99", 0.1), ("revenue of 5% payers", 0.1)]
)
def test_sequential_tests_keep_alpha_where_t_tests_at_every_look_break_it(name, split):
    found = watched(name, split)

    assert np.mean(np.isfinite(found.rejected_at)) <= BOUND
    assert np.mean(np.isfinite(found.fixed_rejected_at)) > 2 * BOUND


def test_intervals_hold_a_true_effect_at_every_look():
    found = watched("counts", effect=0.1)

    assert np.mean(~found.covers) <= BOUND
    assert np.mean(~found.covers_relative) <= BOUND
    assert np.mean(np.isfinite(found.rejected_at)) > 0.5


@pytest.mark.parametrize(
    "population", [population for population in POPULATIONS if population.name != "lognormal 1.5"], ids=lambda p: p.name
)
def test_a_population_has_the_mean_that_it_says(population):
    values = population.draw(np.random.default_rng(1), np.full(200_000, 1.1))

    assert abs(values.mean() - population.mean(1.1)) < 4 * values.std() / np.sqrt(values.size)


def test_a_share_fails_three_standard_errors_above_its_limit():
    def verdict(hits, **expected):
        return share("P", "cell", np.arange(1_000) < hits, **expected).verdict

    assert verdict(70, limit=0.05) == "pass"
    assert verdict(71, limit=0.05) == "fail"
    assert verdict(71, limit=0.05, is_claimed=False) == "outside the claim"
    assert verdict(20, limit=0.05, reference=0.02) == "pass"
    assert verdict(2, limit=0.05, reference=0.02) == "fail"


def test_a_quantile_fails_away_from_its_reference():
    values = np.random.default_rng(1).normal(100.0, 10.0, 1_000)

    assert quantile("P", "cell", values, 0.5, reference=100.0).verdict == "pass"
    assert quantile("P", "cell", values, 0.5, reference=110.0).verdict == "fail"


def test_a_p_value_of_the_truth_fails_below_one_in_a_thousand():
    assert [truth("P", "cell", p).verdict for p in (0.5, 0.0009)] == ["pass", "fail"]


def test_the_picture_names_its_lines():
    curve = np.array([120.0, 400.0, np.inf])

    drawn = picture(dict.fromkeys((FALSE_POSITIVES, FALSE_POSITIVES + NAIVE, DECISIONS, DECISIONS + NAIVE), curve))

    texts = [text.text for text in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {"False positives", "Time to decision", "Peekproof", "t-test,", "alpha 5%"} <= set(texts)


@pytest.mark.parametrize(("rejected", "top"), [(0.3, "50%"), (0.57, "60%"), (0.83, "100%")])
def test_n19_every_curve_stays_within_the_plot(rejected: float, top: str):
    curve = np.where(np.arange(1_000) < 1_000 * rejected, np.arange(1_000) * 5.0, np.inf)

    drawn = picture(dict.fromkeys((FALSE_POSITIVES, FALSE_POSITIVES + NAIVE, DECISIONS, DECISIONS + NAIVE), curve))

    svg = ElementTree.fromstring(drawn)
    heights = [
        float(point.split()[1])
        for path in svg.iter("{http://www.w3.org/2000/svg}path")
        if "stroke-dasharray" in path.attrib
        for point in path.attrib["d"][1:].split("L")
    ]
    assert min(heights) >= TOP - 0.1
    assert max(heights) <= HEIGHT - BOTTOM + 0.1
    shares = [each.text for each in svg.iter("{http://www.w3.org/2000/svg}text") if (each.text or "").endswith("%")]
    assert top in shares


def test_the_command_prints_every_protocol_and_writes_the_picture(strangers):
    told = subprocess.run(
        [PEEKPROOF, "simulate", "--replications=2", "--json", "--plot=drawn.svg"],
        cwd=strangers,
        stdout=subprocess.PIPE,
        check=False,
    )

    rows = json.loads(told.stdout)["rows"]
    assert {row["protocol"].split()[0] for row in rows} == {"P1", "P2", "P3", "P4", "P5", "P6", "P9", "P10"}
    assert told.returncode == any(row["verdict"] == "fail" for row in rows)
    outside = [row["cell"] for row in rows if row["verdict"] == "outside the claim"]
    assert outside
    assert all(cell.startswith("lognormal 1.5") and "90/10" in cell and "capped" not in cell for cell in outside)
    assert (strangers / "simulation.svg").read_text().startswith("<svg")
    assert "Time to decision" in (strangers / "drawn.svg").read_text()
