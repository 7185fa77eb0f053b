"""Every setting of an experiment's analysis, from the sums of a run to its cells and its verdict."""

import numpy as np
import pytest
from scipy.stats import norm, ttest_ind_from_stats

from evaluation.catalog.in_force import MetricInForce
from evaluation.significance import multiplicity
from evaluation.significance.look import look
from schemas.catalog import Breakdown, Goal, Metric

LIFT = ((4000, 400), (4000, 600))
SLIGHT = ((4000, 400), (4000, 470))


@pytest.fixture
def look_at(run_of, aggregate_of, conversions):
    """A look at conversions: of each metric the counts (n, x) of control and treatment."""

    def look_at(goals, counts, last=None, readings=("settled", "live"), run=None, **fields):
        sums = {}
        for metric, (control, treatment) in counts.items():
            sums |= conversions(control, treatment, metric=metric, readings=readings)
        return look(run_of(goals, **(run or {})), [aggregate_of(sums, **fields)], last)

    return look_at


def cell_of(value, metric="orders", reading="settled", segment="all"):
    (cell,) = [
        cell
        for cell in value.cells
        if (cell.metric, cell.reading, cell.segment) == (metric, reading, segment) and cell.variant == "treatment"
    ]
    return cell


def judgement_of(value, metric="orders", reading="settled"):
    return cell_of(value, metric, reading).judgement


# The t-test.


def test_a_t_test_shows_its_numbers_at_every_look_and_is_read_when_the_planned_units_are_in(look_at, primary):
    run = {"analysis": {"method": "t-test", "planned_units": 6000}}

    early = look_at([primary], {"orders": ((2000, 200), (2000, 300))}, run=run)
    read = look_at([primary], {"orders": ((3050, 305), (3040, 456))}, early, run=run)
    after = look_at([primary], {"orders": ((9000, 900), (9000, 910))}, read, run=run)

    cell = cell_of(early)
    expected = ttest_ind_from_stats(0.15, np.sqrt(0.15 * 0.85), 2000, 0.1, np.sqrt(0.1 * 0.9), 2000, equal_var=False)
    assert (cell.method, cell.status) == ("boschloo", "ok")  # of a conversion
    np.testing.assert_allclose(np.log(cell.p_value), np.log(expected.pvalue), rtol=1e-2)
    assert (cell.lower > 0, cell.running_p_value, cell.judgement) == (True, None, "open")
    assert early.verdict.decision == "keep running"
    assert "4,000 of the 6,000 planned" not in early.verdict.reason
    assert "2,000 units of treatment and 2,000 of control of the 6,000 planned" in early.verdict.reason

    assert cell_of(read).running_p_value == cell_of(read).p_value
    assert read.verdict.decision == "ship"
    # The test has been read: what comes later is no second chance, and in none of its numbers.
    assert cell_of(after) == cell_of(read)
    assert after.verdict == read.verdict
    assert [arm.units for arm in after.health.arms] == [9000, 9000]


def test_what_comes_later_decides_nothing_about_a_test_that_was_read(run_of, aggregate_of):
    """Holm finds the first treatment once the second is read; on which side is said by what was read."""
    goal = Goal(metric="revenue", role="primary")
    run = run_of(
        [goal],
        types={"revenue": "sum"},
        weights=[{"control": 1, "t1": 1, "t2": 1}],
        analysis={"method": "t-test", "planned_units": 2_000, "correction": "holm"},
    )

    def looked(means, last):
        sums = {
            ("revenue", "settled", variant): (n, n, n * mean, n * (1_000**2 + mean**2))
            for variant, (n, mean) in means.items()
        }
        return look(run, [aggregate_of(sums, units={(0, variant): 3_000 for variant in means})], last)

    first = looked({"control": (1_000, 1_000), "t1": (1_000, 1_097), "t2": (200, 1_000)}, None)
    later = looked({"control": (3_000, 1_000), "t1": (3_000, 940), "t2": (1_000, 1_300)}, first)

    (before, _), (after, other) = ([c for c in each.cells if c.reading == "settled"] for each in (first, later))
    assert (before.judgement, 0.025 < before.running_p_value < 0.05) == ("open", True)
    assert (after.estimate, after.running_p_value) == (before.estimate, before.running_p_value)
    assert (after.judgement, other.judgement, later.verdict.decision) == ("better", "better", "ship")


def test_a_t_test_without_a_plan_has_numbers_and_no_verdict(look_at, primary):
    value = look_at([primary], {"orders": LIFT}, run={"analysis": {"method": "t-test"}})

    assert cell_of(value).p_value < 1e-6
    assert cell_of(value).planned_units is None
    assert value.verdict.decision == "none"
    assert "a t-test needs a plan" in value.verdict.reason


def test_a_t_test_keeps_its_numbers_where_a_sequential_test_would_be_gated(look_at, primary):
    counts = {"orders": ((60, 6), (60, 20))}

    assert cell_of(look_at([primary], counts)).status == "gated"
    assert cell_of(look_at([primary], counts, run={"analysis": {"method": "t-test"}})).p_value is not None


@pytest.mark.parametrize(
    ("control", "treatment", "is_found"),
    [
        ((200, 0), (2000, 4), False),
        ((500, 0), (4500, 12), False),
        ((150, 0), (150, 3), False),
        ((1500, 3), (1500, 8), False),
        ((1500, 2), (1500, 14), True),
    ],
)
@pytest.mark.parametrize("role", ["primary", "guardrail"])
def test_n03_rare_conversions_are_found_where_chance_does_not_explain_them(look_at, control, treatment, is_found, role):
    goals = [Goal(metric="orders", role="primary"), Goal(metric="fails", role=role, direction="decrease", exact=False)]
    weights = ({"control": control[0], "treatment": treatment[0]},)
    run = {"analysis": {"method": "t-test", "planned_units": 100, "correction": "none"}, "weights": weights}
    nothing = (control[0], control[0] // 10), (treatment[0], treatment[0] // 10)

    cell = cell_of(look_at(goals, {"orders": nothing, "fails": (control, treatment)}, run=run), "fails")

    assert cell.method == "boschloo"
    assert cell.judgement == ("open" if not is_found else "worse" if role == "primary" else "harmed")


def test_n03_conversions_of_several_allocations_wait_until_they_are_many(run_of, aggregate_of, primary):
    weights = ({"control": 9, "treatment": 1}, {"control": 1, "treatment": 1})

    def cell(scale):
        counts = {
            ("control", 0): (9, 90),
            ("treatment", 0): (3, 10),
            ("control", 1): (4, 40),
            ("treatment", 1): (9, 40),
        }
        sums = {
            ("orders", "settled", variant, allocation): (n * scale, x * scale, x * scale, x * scale)
            for (variant, allocation), (x, n) in counts.items()
        }
        run = run_of([primary], weights=weights, analysis={"method": "t-test", "planned_units": 100})
        return cell_of(look(run, [aggregate_of(sums)], None))

    assert (cell(1).status, cell(1).p_value, cell(1).lower) == ("gated", None, None)
    many = cell(100)
    # Cochran's test of strata, each of which weighs as the difference has it.
    strata = [(100 * x, 100 * n, 100 * y, 100 * m) for x, n, y, m in ((3, 10, 9, 90), (9, 40, 4, 40))]
    weighed = [
        ((n + m) / 18_000, x / n - y / m, (x + y) / (n + m) * (1 - (x + y) / (n + m)) * (1 / n + 1 / m))
        for x, n, y, m in strata
    ]
    z = sum(w * d for w, d, _ in weighed) / np.sqrt(sum(w * w * v for w, _, v in weighed))
    assert many.status == "ok"
    np.testing.assert_allclose(np.log(many.p_value), np.log(2 * norm.sf(z)), rtol=0.05)
    assert many.lower > 0


def test_n03_a_t_test_of_a_value_that_hardly_any_unit_has_is_gated(run_of, aggregate_of, primary):
    def status(nonzero, n):
        sums = {("orders", "settled", v): (n, nonzero, 10 * nonzero, 150 * nonzero) for v in ("control", "treatment")}
        run = run_of([primary], types={"orders": "sum"}, analysis={"method": "t-test", "planned_units": 100})
        return cell_of(look(run, [aggregate_of(sums)], None)).status

    assert [status(12, 12), status(24, 1000), status(25, 1000)] == ["ok", "gated", "ok"]


def test_n08_each_cell_has_one_method_and_its_sentence_names_it(look_at, primary):
    goals = [primary, Goal(metric="fails", role="guardrail", direction="decrease")]
    run = {"analysis": {"method": "t-test", "planned_units": 400}}

    value = look_at(goals, {"orders": ((224, 20), (227, 21)), "fails": ((227, 13), (224, 33))}, run=run)

    settled, live = (cell_of(value, "fails", reading) for reading in ("settled", "live"))
    assert (settled.method, live.method) == ("boschloo", "exact")
    assert (settled.judgement, live.judgement) == ("harmed", "open")
    assert settled.p_value < 0.01
    assert live.p_value > 0.2
    assert "Boschloo p = 0.0008" in value.verdict.reason


# The Bayesian reading.


def test_a_bayesian_reading_gives_the_chance_to_beat_control_and_a_credible_interval(look_at, primary):
    value = look_at([primary], {"orders": SLIGHT}, run={"analysis": {"method": "bayesian"}})

    cell = cell_of(value)
    z = cell.estimate / cell.standard_error
    np.testing.assert_allclose(cell.chance, norm.cdf(z), atol=1e-3)
    np.testing.assert_allclose((cell.upper - cell.lower) / cell.standard_error, 2 * norm.ppf(0.975), rtol=1e-9)
    assert (cell.p_value, cell.log_e, cell.adjusted_p_value) == (None, None, None)
    assert value.verdict.decision == "ship"
    assert "chance to beat control 99" in value.verdict.reason


def test_a_bayesian_threshold_has_two_tails(look_at, primary):
    run = {"analysis": {"method": "bayesian"}}
    # Chances of .96 and .98: at 95 % the first is not enough.
    undecided = look_at([primary], {"orders": ((4000, 400), (4000, 424))}, run=run)

    assert 0.75 < cell_of(undecided).chance < 0.975
    assert judgement_of(undecided) == "open"
    assert judgement_of(look_at([primary], {"orders": LIFT[::-1]}, run=run)) == "worse"


def test_a_fall_that_is_wanted_beats_control(look_at):
    goal = Goal(metric="orders", role="primary", direction="decrease")

    value = look_at([goal], {"orders": LIFT[::-1]}, run={"analysis": {"method": "bayesian"}})

    assert cell_of(value).chance > 0.999
    assert value.verdict.decision == "ship"


# Sides and corrections.


def test_one_side_sees_gains_sooner_and_losses_never(look_at, primary):
    one = {"analysis": {"sided": "one"}}

    gain, both = (cell_of(look_at([primary], {"orders": SLIGHT}, run=run)) for run in (one, None))
    loss = look_at([primary], {"orders": LIFT[::-1]}, run=one)

    assert gain.alternative == "greater"
    assert gain.upper is None
    assert gain.relative_upper is None
    assert both.lower < gain.lower < gain.estimate
    assert gain.p_value < both.p_value
    assert judgement_of(loss) == "open"


GOALS = [Goal(metric="orders", role="primary"), *(Goal(metric=f"m{i}") for i in range(4))]
COUNTS = {
    "orders": ((4000, 400), (4000, 402)),
    "m0": ((4000, 400), (4000, 520)),
    "m1": ((4000, 400), (4000, 515)),
    "m2": ((4000, 400), (4000, 510)),
    "m3": ((4000, 400), (4000, 402)),
}


@pytest.mark.parametrize(
    ("correction", "adjust"),
    [
        ("bonferroni", multiplicity.bonferroni),
        ("holm", multiplicity.holm),
        ("benjamini-hochberg", multiplicity.benjamini_hochberg),
        ("none", np.asarray),
    ],
)
def test_secondary_metrics_share_alpha_by_the_correction(look_at, correction, adjust):
    value = look_at(GOALS, COUNTS, run={"analysis": {"correction": correction}})

    cells = [cell_of(value, f"m{i}") for i in range(4)]
    expected = adjust([cell.running_p_value for cell in cells])
    np.testing.assert_allclose([cell.adjusted_p_value for cell in cells], expected, rtol=1e-12)
    assert [cell.judgement for cell in cells] == ["better" if p < 0.05 else "open" for p in expected]
    assert {cell.alpha for cell in cells} == {0.05 if correction == "none" else 0.05 / 4}
    assert cell_of(value).adjusted_p_value == cell_of(value).running_p_value
    assert cell_of(value, "m0", "live").adjusted_p_value is None


def test_holm_and_benjamini_hochberg_count_metrics_that_have_no_number_yet(look_at):
    goals = [Goal(metric="a"), Goal(metric="b")]

    value = look_at(goals, {"a": SLIGHT, "b": ((50, 5), (50, 5))}, run={"analysis": {"correction": "holm"}})

    assert cell_of(value, "b").status == "gated"
    assert cell_of(value, "a").adjusted_p_value == 2 * cell_of(value, "a").running_p_value


@pytest.mark.parametrize("sided", ["one", "two"])
def test_what_a_correction_found_keeps_its_side_when_the_estimate_has_come_back_to_zero(look_at, sided):
    goals = [Goal(metric="a"), Goal(metric="b")]
    run = {"analysis": {"correction": "holm", "sided": sided}}
    slight = {"one": ((4000, 400), (4000, 481)), "two": ((4000, 400), (4000, 489))}[sided]

    found = look_at(goals, {"a": LIFT, "b": slight}, run=run)
    after = look_at(goals, {"a": LIFT, "b": ((8000, 870), (8000, 866))}, found, run=run)

    cell = cell_of(after, "b")
    assert 0.025 < cell.running_p_value == cell.adjusted_p_value < 0.05  # its interval, at .025, holds zero
    assert (cell.running_lower < 0, cell.estimate < 0) == (True, True)
    assert (judgement_of(found, "b"), judgement_of(after, "b")) == ("better", "better")


def test_what_a_correction_finds_when_the_estimate_has_come_back_to_zero_has_no_side(look_at):
    goals = [Goal(metric="a"), Goal(metric="b")]
    run = {"analysis": {"correction": "holm"}}

    before = look_at(goals, {"a": ((4000, 400), (4000, 402)), "b": ((4000, 400), (4000, 489))}, run=run)
    after = look_at(goals, {"a": ((8000, 800), (8000, 1100)), "b": ((8000, 870), (8000, 866))}, before, run=run)

    assert judgement_of(before, "b") == "open"
    assert cell_of(after, "b").adjusted_p_value < 0.05
    assert judgement_of(after, "b") == "open"


# Guardrails.


@pytest.mark.parametrize(
    ("margin", "counts", "judgement"),
    [
        (None, ((8000, 800), (8000, 800)), "open"),
        (None, ((8000, 800), (8000, 1000)), "harmed"),
        (None, ((8000, 1000), (8000, 800)), "safe"),
        (0.2, ((90_000, 9000), (90_000, 9000)), "safe"),
        (0.2, ((1000, 100), (1000, 100)), "open"),
        (0.2, ((90_000, 9000), (90_000, 9500)), "safe"),  # surely a loss, and surely within the margin
        (0.02, ((90_000, 9000), (90_000, 9500)), "harmed"),
    ],
)
def test_a_guardrail_is_safe_harmed_or_open(look_at, margin, counts, judgement):
    goal = Goal(metric="errors", role="guardrail", direction="decrease", margin=margin)

    value = look_at([goal], {"errors": counts}, readings=("settled",))

    assert judgement_of(value, "errors") == judgement
    assert cell_of(value, "errors").alternative == "greater"


def test_guardrails_have_an_alpha_of_their_own(look_at):
    goals = [Goal(metric="orders", role="primary"), Goal(metric="errors", role="guardrail")]

    value = look_at(goals, {"orders": SLIGHT, "errors": SLIGHT}, run={"analysis": {"guardrail_alpha": 0.01}})

    assert (cell_of(value).alpha, cell_of(value, "errors").alpha) == (0.05, 0.01)


def test_harm_to_a_conversion_guardrail_shows_on_the_live_reading_before_any_unit_has_settled(look_at, primary):
    errors = Goal(metric="errors", role="guardrail", direction="decrease")
    counts = {"orders": ((400, 40), (400, 44)), "errors": ((400, 4), (400, 60))}

    value = look_at([primary, errors], counts, readings=("live",))

    live = cell_of(value, "errors", "live")
    assert (live.method, live.judgement, live.caveat) == ("exact", "harmed", None)
    assert live.lower is None
    assert 0 < live.running_relative_lower < live.relative_estimate == pytest.approx(14.0)
    assert cell_of(value, "errors").status == "no data"
    assert value.verdict.decision == "roll back"
    assert value.verdict.reason.startswith("treatment harms errors (live reading): +1400.0% [+")
    assert "exact p < 0.0001" in value.verdict.reason


def test_the_live_reading_never_proves_that_a_guardrail_is_safe(look_at):
    errors = Goal(metric="errors", role="guardrail", direction="decrease", margin=0.5)

    value = look_at([errors], {"errors": ((90_000, 9000), (90_000, 9000))})

    assert judgement_of(value, "errors", "live") == "open"
    assert judgement_of(value, "errors") == "safe"


def test_the_exact_test_is_a_choice(look_at):
    rare = Goal(metric="orders", role="primary", exact=True)
    usual = Goal(metric="errors", role="guardrail", exact=False)

    value = look_at([rare, usual], {"orders": ((9000, 20), (9000, 60)), "errors": SLIGHT})

    assert {cell.method for cell in value.cells if cell.metric == "orders"} == {"exact"}
    assert {cell.method for cell in value.cells if cell.metric == "errors"} == {"sequential"}
    assert value.verdict.decision == "ship"
    assert "exact p" in value.verdict.reason


def test_open_windows_are_no_caveat_of_an_exact_test(look_at):
    run = {"windows": {"orders": "none"}}
    exact, normal = Goal(metric="orders", role="primary", exact=True), Goal(metric="orders", role="primary")

    claimed, unclaimed = (look_at([goal], {"orders": LIFT}, run=run) for goal in (exact, normal))

    assert cell_of(claimed, reading="live").caveat is None
    assert "not claimed" not in claimed.verdict.reason
    assert cell_of(unclaimed, reading="live").caveat == "open windows"
    assert "not claimed" in unclaimed.verdict.reason


def test_allocations_are_coins_of_their_own_for_the_exact_test(run_of, aggregate_of):
    # 90/10 and 10/90, alike in each: pooled, the treatment would have 1 % against 9 %.
    weights = ({"control": 9, "treatment": 1}, {"control": 1, "treatment": 9})
    sums = {
        ("orders", "live", "control", 0): (9000, 900, 900, 900),
        ("orders", "live", "treatment", 0): (1000, 100, 100, 100),
        ("orders", "live", "control", 1): (1000, 10, 10, 10),
        ("orders", "live", "treatment", 1): (9000, 90, 90, 90),
    }
    goal = Goal(metric="orders", role="guardrail")

    cell = cell_of(look(run_of([goal], weights=weights), [aggregate_of(sums)], None), reading="live")

    assert cell.p_value == 1.0
    assert cell.relative_estimate == pytest.approx(0.0, abs=1e-9)


# The plan.


def test_the_sample_follows_from_a_baseline_and_the_minimum_effect(look_at):
    goal = Goal(metric="orders", role="primary", minimum_effect=0.1)

    value = look_at([goal], {"orders": LIFT}, run={"analysis": {"baseline": {"mean": 0.1}}})

    # (1.96 + .8416)^2 (.1 .9 + .11 .89) / .01^2 = 14,749 in each arm.
    assert cell_of(value).planned_units == pytest.approx(2 * 14_749, abs=2)


def test_without_a_plan_ten_thousand_units_tune_the_sequential_test(look_at, primary):
    assert cell_of(look_at([primary], {"orders": LIFT})).planned_units == 10_000


# Measures of several numbers.


def sums_of(values):
    """Sums and products of units' numbers (units, k), as an aggregate holds them."""
    k = values.shape[1]
    products = [int(values[:, i] @ values[:, j]) for i in range(k) for j in range(i, k)]
    return len(values), int((values[:, 0] != 0).sum()), values.sum(0).tolist(), products


@pytest.fixture
def correlated():
    """Spending after and before the entry, in cents: of each arm (units, 2)."""
    rng = np.random.default_rng(5)

    def arm(lift):
        before = rng.poisson(50, 3000)
        return np.stack([before + rng.poisson(20 + lift, 3000), before], axis=1)

    return arm(0), arm(1)


def test_cuped_takes_away_what_the_past_explains(run_of, aggregate_of, correlated):
    control, treatment = correlated
    goal = Goal(metric="spending", role="primary")
    definition = {"cuped": {"lookback": "7d"}, "cap": 1000}
    sums = {
        ("spending", "settled", variant): sums_of(values)
        for variant, values in (("control", control), ("treatment", treatment))
    }

    def cell(**analysis):
        run = run_of([goal], types={"spending": "sum"}, definitions={"spending": definition}, analysis=analysis)
        return cell_of(look(run, [aggregate_of(sums)], None), "spending")

    with_past, without = cell(cuped=True), cell()

    both = np.concatenate([control, treatment]) / 100
    theta = np.cov(both.T)[0, 1] / np.cov(both.T)[1, 1]
    adjusted = [(values[:, 0] - theta * values[:, 1]) / 100 for values in (control, treatment)]
    np.testing.assert_allclose(with_past.estimate, adjusted[1].mean() - adjusted[0].mean(), rtol=1e-9)
    error = np.sqrt(sum(values.var(ddof=1) / len(values) for values in adjusted))
    np.testing.assert_allclose(with_past.standard_error, error, rtol=1e-9)
    assert with_past.standard_error < 0.6 * without.standard_error
    assert with_past.judgement == "better"


def test_a_ratio_is_compared_by_the_delta_method(run_of, aggregate_of):
    rng = np.random.default_rng(6)
    arms = {}
    for variant in ("control", "treatment"):
        sessions = 1 + rng.poisson(3, 2000)
        arms[variant] = np.stack([rng.binomial(sessions, 0.3), sessions], axis=1)
    run = run_of([Goal(metric="clicks", role="primary")])
    parts = tuple(Metric(key=key, owner="shop", type="count", event=key, window="10s") for key in ("click", "session"))
    ratio = Metric(key="clicks", owner="shop", type="ratio", numerator="click", denominator="session", window="10s")
    run.metrics["clicks"] = MetricInForce(ratio, 1, 0, parts)
    sums = {("clicks", "settled", variant): sums_of(values) for variant, values in arms.items()}

    cell = cell_of(look(run, [aggregate_of(sums)], None), "clicks")

    ratios = {variant: values[:, 0].sum() / values[:, 1].sum() for variant, values in arms.items()}
    variance = sum(
        np.var(values[:, 0] - ratios[variant] * values[:, 1], ddof=1) / len(values) / values[:, 1].mean() ** 2
        for variant, values in arms.items()
    )
    np.testing.assert_allclose(cell.mean, ratios["treatment"], rtol=1e-12)
    np.testing.assert_allclose(cell.estimate, ratios["treatment"] - ratios["control"], rtol=1e-9)
    np.testing.assert_allclose(cell.standard_error, np.sqrt(variance), rtol=1e-9)


# Caveats and parts.


@pytest.mark.parametrize(
    ("weights", "definition", "caveat"),
    [
        ({"control": 9, "treatment": 1}, {}, "heavy tail"),
        ({"control": 9, "treatment": 1}, {"cap": 500}, None),
        ({"control": 1, "treatment": 1}, {}, None),
        ({"control": 9, "treatment": 1}, {"type": "count", "property": None}, None),
    ],
)
def test_an_uncapped_sum_on_an_unequal_split_is_outside_the_claim(run_of, aggregate_of, weights, definition, caveat):
    goal = Goal(metric="revenue", role="primary")
    run = run_of([goal], types={"revenue": "sum"}, definitions={"revenue": definition}, weights=(weights,))

    value = look(run, [aggregate_of({})], None)

    assert cell_of(value, "revenue").caveat == caveat


def test_parts_of_the_units_are_shown_and_not_judged(run_of, aggregate_of, primary):
    country = Breakdown(property="country", values=("DE", "FR"))
    sums = {}
    for variant, x in (("control", 400), ("treatment", 600)):
        sums["orders", "settled", variant] = (4000, x, x, x)
        sums["orders", "settled", variant, 0, "country=DE"] = (3000, x - 60, x - 60, x - 60)
        sums["orders", "settled", variant, 0, "country=(other)"] = (1000, 60, 60, 60)

    value = look(run_of([primary], breakdowns=(country,)), [aggregate_of(sums)], None)

    segments = [cell.segment for cell in value.cells if cell.reading == "settled"]
    assert segments == ["all", "country=DE", "country=FR", "country=(other)"]
    german = cell_of(value, segment="country=DE")
    assert (german.n, german.judgement, german.adjusted_p_value) == (3000, None, None)
    assert german.running_p_value < 1e-6
    assert cell_of(value, segment="country=FR").status == "no data"
    assert judgement_of(value) == "better"


# Settings that change while the run goes on.


@pytest.mark.parametrize(
    "change", [{"alpha": 0.01}, {"method": "bayesian"}, {"sided": "one"}, {"correction": "none"}], ids=str
)
def test_another_analysis_starts_the_running_values_again(look_at, primary, change):
    first = look_at([primary], {"orders": LIFT})
    same = look_at([primary], {"orders": SLIGHT}, first)
    other = look_at([primary], {"orders": SLIGHT}, first, run={"analysis": change})

    assert (same.revision, other.revision) == (0, 1)
    assert cell_of(same).running_p_value == cell_of(first).p_value
    assert cell_of(other).running_p_value == cell_of(other).p_value
    assert cell_of(other).running_lower == cell_of(other).lower


def test_another_goal_starts_the_running_values_of_its_metric_again(look_at, primary):
    guarded = Goal(metric="orders", role="guardrail", exact=False)

    first = look_at([primary, Goal(metric="visits")], {"orders": LIFT, "visits": LIFT})
    other = look_at([guarded, Goal(metric="visits")], {"orders": SLIGHT, "visits": SLIGHT}, first)

    assert other.revision == 1
    assert cell_of(other).running_p_value == cell_of(other).p_value
    assert cell_of(other, "visits").running_p_value == cell_of(first, "visits").p_value
