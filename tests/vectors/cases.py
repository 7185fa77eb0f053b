"""Cases: reference cases computed with other people's software, and the product's answer to each.

A case's inputs are turned into what the product takes, its own functions answer, and every output field is compared.
"""

import re
from decimal import Decimal
from fractions import Fraction
from itertools import combinations_with_replacement

import numpy as np
from scipy.special import ndtri

from evaluation.significance import (
    bayes,
    conversions,
    counts,
    fixed,
    mixture,
    multiplicity,
    percentiles,
    power,
    proportions,
    relative,
    srm,
)
from evaluation.significance.bisection import edge
from evaluation.significance.comparison import Form, Pairs, Sample, adjustment, differences
from evaluation.significance.moments import ArmColumns, ArmMoments

SCALE = 30  # decimal places that hold every value of the cases exactly

# What a peer says only roughly: family, field, a word of the method; how near it must be, or None: not compared.
ROUGH = (
    # A convex solver, exact to four digits or so.
    ("srm.sequential", "ci", "Dirichlet-multinomial always-valid", 1e-4),
    # statsmodels 0.15 has a count where Miettinen and Nurminen's cubic has the number of units.
    ("fixed.binary_ci", "ci_lower", "difference of proportions, score", 2e-3),
    ("fixed.binary_ci", "ci_upper", "difference of proportions, score", 2e-3),
    # Half of the units to control is that peer's rule; the units that this split takes are compared.
    ("power.fixed", "proportions", "optimal control share", None),
)

FORMS = {"adjusted mean": Form("mean", ((1,),)), "adjusted ratio": Form("ratio", ((2, 3),))}
VALUES = {  # of a unit, and how a case names the sums of their products
    ("num_post", "den_post", "num_pre", "den_pre"): {
        (0, 1): "mpost_dpost",
        (0, 2): "mpost_mpre",
        (0, 3): "mpost_dpre",
        (1, 2): "mpre_dpost",
        (1, 3): "dpost_dpre",
        (2, 3): "mpre_dpre",
    },
    ("post", "pre"): {(0, 1): "post_pre"},
    ("num", "den"): {(0, 1): "num_den"},
}


def scaled(number, power=1):
    """A quantity of a case as an integer: in units of 10^-SCALE, or of that to a power."""
    return int(Decimal(str(number)).scaleb(power * SCALE))


def exact_arm(arm):
    """A case's arm as the product keeps it."""
    names = next((names for names in VALUES if names[0] in arm), ())
    products, values = VALUES.get(names, {}), [arm[name] for name in names] or [arm]
    second = [
        scaled(values[i]["sum_squares"] if i == j else arm[products[i, j]]["sum_products"], 2)
        for i, j in combinations_with_replacement(range(len(values)), 2)
    ]
    nonzero = arm.get("successes", 0) if names else arm.get("successes", round(values[0]["sum"]))
    return ArmMoments(arm["n"], nonzero, tuple(scaled(value["sum"]) for value in values), tuple(second))


def compared(arms, measure, scale=SCALE):
    """What the product finds of control and treatment, and the adjustment."""
    scales = (scale,) * len(arms[0].first)
    form = FORMS.get(measure) or Form(measure)
    slope = adjustment([arms], form, scales)
    return differences([Sample(arms, scales, form, slope)], Pairs([[(1, 0)]])), slope


class Effect:
    """A case's effect, absolute or relative, with its variance."""

    def __init__(self, case, measure="mean"):
        arms = [exact_arm(case[name]) for name in ("control", "treatment")]
        self.found, slope = compared(arms, measure)
        self.alpha = case.get("alpha", 1.0 - case.get("confidence_level", 0.95))
        self.estimate, self.variance = self.found.difference, self.found.variance
        if case.get("effect", "absolute") == "relative":
            found = self.found
            # gbstats takes the variance of an adjusted mean at the unadjusted lift.
            plain = compared(arms, "mean")[0] if measure == "adjusted mean" else found
            lift, baseline = plain.difference / found.baseline, found.baseline
            self.estimate = found.difference / np.abs(baseline)
            self.variance = relative.delta_variance(
                lift, found.variance, baseline, found.baseline_variance, found.covariance
            )
        self.fields = {
            "estimate": self.estimate,
            "effect": self.estimate,
            "se": np.sqrt(self.variance),
            "theta": sum(slope.slopes),
            "control": self.found.control_mean,
            "treatment": self.found.mean,
            "rel_estimate": self.found.mean / self.found.control_mean - 1.0,
        }

    def answer(self, said, **more):
        """With what was said of it."""
        return {**self.fields, "p_value": said.p_value, "ci_lower": said.lower, "ci_upper": said.upper, **more}


def sequential(case, measure="mean"):
    effect = Effect(case, measure)
    ratio = mixture.mixing_ratio(effect.found.units, case["n_star"], effect.alpha)
    said = mixture.evidence(effect.estimate, effect.variance, ratio, effect.alpha)
    return effect.answer(said, log_e=said.log_e, rho=np.sqrt(mixture.tuning(effect.alpha) / case["n_star"]))


def one_sided(case):
    effect = Effect(case)
    rho2 = mixture.tuning(2 * effect.alpha) / case["n_star"]
    ratio = mixture.mixing_ratio(effect.found.units, case["n_star"], 2 * effect.alpha)
    error = np.sqrt(effect.variance)
    sign = 1.0 if case["alternative"] == "greater" else -1.0
    bound = effect.estimate - sign * error * mixture.one_sided_multiplier(ratio, effect.alpha)
    # The smallest alpha between gbstats' limits whose bound excludes zero.
    p_value = edge(
        np.full(1, 1e-5),
        np.full(1, 0.4999),
        lambda alpha: mixture.one_sided_multiplier(ratio, alpha) * error <= sign * effect.estimate,
    )
    return {
        **effect.fields,
        "p_value": p_value,
        "ci_lower" if sign > 0 else "ci_upper": bound,
        "rho": np.sqrt(rho2),
    }


def running(case):
    looks = [sequential({**case, **each}) for each in case["looks"]]
    p_value, lower, upper = (np.ravel([each[name] for each in looks]) for name in ("p_value", "ci_lower", "ci_upper"))
    return {
        "p_instant": p_value,
        "p_always_valid": np.minimum.accumulate(p_value),
        "ci_lower": lower,
        "ci_upper": upper,
        "ci_lower_running": np.maximum.accumulate(lower),
        "ci_upper_running": np.minimum.accumulate(upper),
    }


def mixture_core(case):
    variance = case["se"] ** 2
    ratio = case["tau"] ** 2 / variance
    said = mixture.evidence(case["estimate"], variance, ratio, case["alpha"], case.get("null", 0.0))
    return {"log_e": said.log_e, "p_value": said.p_value, "ci_lower": said.lower, "ci_upper": said.upper}


def logmix(case):
    # s after intrinsic time v is D = s/v with variance 1/v; rho is 1/tau2, tuned at v_opt.
    ratio = mixture.mixing_ratio(case["v"], case["v_opt"], case["alpha_opt"] * (2 if case["one_sided"] else 1))
    log_e = mixture.one_sided_log_e if case["one_sided"] else mixture.log_e
    return {"log_e": log_e(case["s"] / np.sqrt(case["v"]), ratio)}


def msprt(case):
    if "n" in case:
        difference, variance = case["sum"] / case["n"], case["sigma"] ** 2 / case["n"]
    elif "sigma" in case:
        n = case["n_pairs"]
        difference, variance = (case["sum_treatment"] - case["sum_control"]) / n, 2 * case["sigma"] ** 2 / n
    else:
        n, successes = case["n_pairs"], [case["successes_control"], case["successes_treatment"]]
        found, _ = compared([ArmMoments(n, x, (x,), (x,)) for x in successes], "conversion", 0)
        difference, variance = found.difference, found.variance
    log_e = mixture.log_e((difference - case.get("theta0", 0.0)) / np.sqrt(variance), case["tau"] ** 2 / variance)
    return {"log_e": log_e, "lambda": np.exp(log_e), "p_value": np.exp(-np.maximum(log_e, 0.0))}


def tuning(case):
    alpha = case["alpha"]
    if "t_opt" in case:
        return {
            "rho2_exact": mixture.exact_tuning(alpha) / case["t_opt"],
            "rho2_approx": mixture.tuning(alpha) / case["t_opt"],
        }
    if "v_opt" in case:
        return {
            "two_sided": case["v_opt"] / mixture.exact_tuning(alpha),
            "one_sided": case["v_opt"] / mixture.one_sided_tuning(alpha),
        }
    freedom = case["n"] - case["number_of_coefficients"]
    return {"g": case["n"] / mixture.exact_tuning(alpha, freedom)}


def bernoulli_process(case):
    (control, treatment), (_, share) = case["conversions"], case["assignment_probs"]
    said = conversions.exact_evidence(treatment, control, share, case["alpha"], case["concentration"])
    return {
        "log_e": said.log_e,
        "p_value": said.p_value,
        "log_ratio": np.log(said.risk_ratio),
        "log_ratio_ci": np.log([said.lower, said.upper]),
    }


def bernoulli(case):
    successes, failures = case["successes"], case["n"] - case["successes"]
    if "prior" in case:
        lower, upper = conversions.share_bounds(successes, failures, *case["prior"], case["alpha"])
    else:
        concentration = case["t_opt"] / mixture.tuning(case["alpha_opt"]) - 1.0
        lower, upper = conversions.centred_share_bounds(successes, failures, concentration, case["alpha"])
    return {"ci_lower": lower, "ci_upper": upper}


def gamma_poisson(case):
    rho = counts.rho(case["v_opt"], case.get("alpha_opt", case["alpha"]))
    return {
        "log_e": counts.log_e(case["s"], case["v"], rho, case["c"]),
        "bound": counts.bound(case["v"], rho, case["alpha"], case["c"]),
    }


def fixed_test(case, measure="mean", test="t"):
    effect, alternative = Effect(case, measure), case.get("alternative", "two-sided")
    found = effect.found
    logarithm = np.log(found.mean / found.control_mean)

    def variance(by=1.0, control_by=1.0):
        """Of the difference, its arms' means divided by numbers, and the degrees of freedom."""
        its = found.treatment_variance / by**2, found.n, found.control_variance / control_by**2, found.control_n
        if case.get("equal_var", False):
            V, freedom = fixed.pooled_variance(*its)
        else:
            V, freedom = its[0] + its[2], fixed.welch_freedom(*its)
        return V, freedom if test == "t" and case.get("use_t", True) else np.inf

    absolute, freedom = variance()
    V = effect.variance if case.get("effect") == "relative" else absolute
    said = fixed.t_test(effect.estimate, V, freedom, effect.alpha, alternative)
    lift = fixed.t_test(logarithm, *variance(found.mean, found.control_mean), effect.alpha, alternative)
    return effect.answer(
        said,
        df=freedom,
        statistic=effect.estimate / np.sqrt(V),
        rel_ci_lower=np.where(np.isinf(lift.lower), lift.lower, np.expm1(lift.lower)),
        rel_ci_upper=np.expm1(lift.upper),
    )


def z_test(case):
    return fixed_test(case, test="z")


def shares(case):
    """Conversions and units of treatment and control."""
    treatment, control = (exact_arm(case[name]) for name in ("treatment", "control"))
    return treatment.nonzero, treatment.n, control.nonzero, control.n


def fixed_binary(case):
    method, alternative = case.get("method", "t"), case.get("alternative", "two-sided")
    if method == "t":
        return fixed_test(case, "conversion")
    effect, split = Effect(case, "conversion"), shares(case)
    found, alpha = effect.found, effect.alpha
    if method == "fisher":
        return {**effect.fields, "p_value": proportions.fisher(*split, alternative)}
    rate, control_rate = found.mean, found.control_mean
    if case.get("equal_var", True):
        V, pooled = proportions.pooled_variance(*split), (split[0] + split[2]) / (split[1] + split[3])
        log_variance = V / pooled**2
    else:
        V = found.variance
        log_variance = found.treatment_variance / rate**2 + found.control_variance / control_rate**2
    continuity = proportions.continuity(split[1], split[3]) if case.get("correction", True) else 0.0
    said = fixed.t_test(effect.estimate, V, np.inf, alpha, alternative, continuity=continuity)
    if method == "pearson":
        return {**effect.fields, "p_value": said.p_value}
    assert method == "norm", f"{method} is no method of fixed.binary"
    lift = fixed.t_test(
        np.log(rate / control_rate), log_variance, np.inf, alpha, alternative, continuity=continuity / control_rate
    )
    return {
        **effect.answer(said),
        "ci_lower": np.maximum(said.lower, -1.0),
        "ci_upper": np.minimum(said.upper, 1.0),
        "rel_ci_lower": np.expm1(lift.lower),
        "rel_ci_upper": np.expm1(lift.upper),
    }


def binary_interval(case):
    alpha = case["alpha"]
    if "arm" in case:
        lower, upper = proportions.wilson(exact_arm(case["arm"]).nonzero, case["arm"]["n"], alpha)
        return {"ci_lower": lower, "ci_upper": upper}
    x, n, y, m = shares(case)
    method, is_ratio = case["method"], "ratio" in case["described"]
    if method == "score":
        lower, upper = (proportions.score_ratio if is_ratio else proportions.score_difference)(
            x, n, y, m, ndtri(alpha / 2.0)
        )
    elif method == "newcomb":
        lower, upper = proportions.newcombe(x, n, y, m, alpha)
    else:
        more = 1 if method == "agresti-caffo" else 0  # a success and a failure in each arm
        arms = [ArmMoments(n + 2 * more, x + more, (x + more,), (x + more,)) for x, n in ((y, m), (x, n))]
        found, _ = compared(arms, "conversion", 0)
        if method == "log":
            V = found.treatment_variance / found.mean**2 + found.control_variance / found.control_mean**2
            said = fixed.t_test(np.log(found.mean / found.control_mean), V, np.inf, alpha)
            lower, upper = np.exp(said.lower), np.exp(said.upper)
        else:
            assert method in ("wald", "agresti-caffo"), f"{method} is no method of fixed.binary_ci"
            said = fixed.t_test(found.difference, found.variance, np.inf, alpha)
            lower, upper = said.lower, said.upper
    return {"ci_lower": lower, "ci_upper": upper}


def fixed_count(case):
    arms = case["control"], case["treatment"]
    events, exposures = [arm["count"] for arm in arms], [arm["exposure"] for arm in arms]
    if case["method"] == "exact-cond":
        return {"p_value": srm.binomial(events, exposures)}
    assert case["method"] == "score", f"{case['method']} is no method of fixed.count"
    statistic, p_value = srm.chi_squared(events, exposures)
    return {
        "statistic": np.copysign(np.sqrt(statistic), events[1] / exposures[1] - events[0] / exposures[0]),
        "p_value": p_value,
    }


def noninferiority(case):
    effect, increase = Effect(case), case["preferred_direction"] == "increase"
    margin = case["margin_relative"] * effect.found.baseline * (-1 if increase else 1)
    alternative = "greater" if increase else "less"
    said = fixed.t_test(effect.estimate - margin, effect.variance, np.inf, effect.alpha, alternative)
    return {
        **effect.answer(said, null_hypothesis=margin),
        "ci_lower": said.lower + margin,
        "ci_upper": said.upper + margin,
    }


def fieller(case):
    control, treatment = case["mean_control"], case["mean_treatment"]
    variance = case["var_mean_control"] + case["var_mean_treatment"]
    lower, upper = relative.fieller(treatment - control, variance, control, case["var_mean_control"], case["crit"])
    return {
        "estimate": treatment / control - 1.0,
        "ci_lower": lower,
        "ci_upper": upper,
        "g": case["crit"] ** 2 * case["var_mean_control"] / control**2,
    }


def weights(case):
    ratio = case.get("ratio_t_over_c", 1.0)
    return case.get("weights") or [1.0, ratio]


def srm_chi_squared(case):
    statistic, p_value = srm.chi_squared(case["counts"], weights(case), 0.5 if case.get("correction") else 0.0)
    return {"statistic": statistic, "p_value": p_value}


def srm_exact(case):
    return {"p_value": srm.binomial(case["counts"], weights(case))}


def srm_sequential(case):
    share = case.get("null", case.get("theta0"))
    concentration = case.get("dirichlet_concentration", case.get("concentration"))
    looks = np.cumsum(case["batches"], axis=0) if "batches" in case else case["counts"]
    evidence = srm.log_bayes_factor(looks, share, concentration)
    answer = {"log_bayes_factor": evidence, "bayes_factor": np.exp(evidence), "p_value": srm.p_value(evidence)}
    if "batches" in case:
        return {**answer, "p_value": np.minimum.accumulate(answer["p_value"])}
    bounds = srm.share_bounds(case["counts"], share, case.get("alpha", 0.05), concentration)
    return {**answer, "ci": np.transpose(bounds)}


def adjusted(function):
    def answer(case):
        p_values = function(case["p_values"])
        return {"adjusted": p_values, "reject": p_values <= case["alpha"]}

    return answer


def bayes_beta(case):
    x, n, y, m = shares(case)
    a, b = case.get("prior", (1, 1))
    # Another prior than Beta(1, 1) is as if there had been more conversions and units.
    x, n, y, m = x + a - 1, n + a + b - 2, y + a - 1, m + a + b - 2
    return {
        "chance_to_beat_control": bayes.beta_chance(x, n, y, m),
        "posterior_mean_control": bayes.beta_mean(y, m),
        "posterior_mean_treatment": bayes.beta_mean(x, n),
    }


def bayes_effect(case):
    effect = Effect(case)
    prior = np.inf
    if case.get("prior", "flat") != "flat":
        deviation = float(re.fullmatch(r"N\(0(?:\.0)?, ?([\d.]+)\^2\)", case["prior"])[1])
        # The prior is on the relative lift.
        unit = 1.0 if case.get("effect") == "relative" else np.abs(effect.found.control_mean)
        prior = (deviation * unit) ** 2
    said = bayes.normal_posterior(effect.estimate, effect.variance, effect.alpha, prior)
    return {
        "estimate": said.mean,
        "ci_lower": said.lower,
        "ci_upper": said.upper,
        "chance_to_win": said.chance,
        "risk": [said.control_risk[0], said.risk[0]],
    }


def fixed_power(case):
    alpha, target, ratio = case["alpha"], case.get("power"), case.get("ratio", 1.0)
    if "effect_size" in case and "sample" not in case:  # in standard deviations
        if "TTest" in case["described"]:
            return {"nobs1": power.t_units(case["effect_size"], 1, ratio, alpha, target)}
        return {"nobs1": power.fixed_units(case["effect_size"], (1, 1), ratio, alpha, target)}
    if "p_control" in case:
        rates = case["p_control"], case["p_treatment"]
        effect = power.arcsine_effect(*rates)
        return {
            "cohen_h": effect,
            "n_arcsine_per_arm": power.fixed_units(effect, (1, 1), ratio, alpha, target),
            # The peer halves alpha once for its two-sided test and was given half of it.
            "n_unpooled_per_arm": power.share_units(*rates, ratio, alpha / 2, target),
        }
    if "mde" in case:
        comparisons = case["treatments"] - 1  # control counts as one
        level = alpha / comparisons if case.get("bonferroni", False) else alpha
        control = power.fixed_units(case["mde"], (case["variance"],) * 2, 1 / comparisons, level, target)
        return {"n_total": np.ceil(2 * control), "n_alloc": np.ceil([control, *[control / comparisons] * comparisons])}
    return sample_power(case, alpha, target, ratio)


def sample_power(case, alpha, target, ratio):
    sample, is_t = case["sample"], case.get("use_t", True)
    arm = ArmColumns([exact_arm(sample)], [(10**SCALE,)], 1)
    mean = arm.mean(0)
    s2, average = arm.covariance(mean, mean)[0] * sample["n"], mean.value()[0]
    effect = case.get("effect_size", case.get("rel_effect_size", np.nan) * average)
    if case["solve"] == "n_obs":
        units = power.t_units(effect, s2, ratio, alpha, target) if is_t else None
        units = power.fixed_units(effect, (s2, s2), ratio, alpha, target) if units is None else units
        answer = {"n_obs": np.ceil(units * (1 + ratio)), "power": target}
    else:
        n = case["n_obs"]
        control_n, treated_n = n / (1 + ratio), n * ratio / (1 + ratio)
        variance = s2 / control_n + s2 / treated_n
        freedom = fixed.welch_freedom(s2 / treated_n, treated_n, s2 / control_n, control_n) if is_t else np.inf
        if case["solve"] == "power":
            target = power.fixed_power(effect, variance, alpha, freedom)
        else:
            effect = power.detectable(variance, alpha, target, freedom)
        answer = {"n_obs": n, "power": target}
    return {**answer, "effect_size": effect, "rel_effect_size": effect / average}


def sequential_power(case):
    effect = Effect({**case, "effect": "relative"})
    units = effect.found.units
    test = case["mde_relative"], effect.variance, units, case["n_star"], effect.alpha / case.get("num_tests", 1)
    factor = power.sequential_growth(*test, power=case["target_power"])
    return {
        "power_now": power.sequential_power(*test),
        "scaling_factor": factor - 1,
        "additional_users": units * (factor - 1),
    }


def spread(arm, unit):
    """Mean and sum of squared deviations."""
    arms = ArmColumns([arm], [(unit,)], 1)
    mean = arms.mean(0)
    variance = arms.covariance(mean, mean)[0] if arm.n > 1 else 0.0
    return {"n": arm.n, "mean": mean.value()[0], "m2": variance * arm.n * (arm.n - 1)}


def of_values(values):
    """The arm of units with these values."""
    return sum((ArmMoments(1, int(x != 0), (x,), (x * x,)) for x in values), ArmMoments())


def stream_moments(case):
    return spread(of_values(map(scaled, case["values"])), 10**SCALE)


def comoment(case):
    pairs = [(scaled(x), scaled(y)) for x, y in zip(case["x"], case["y"], strict=True)]
    arm = sum((ArmMoments(1, 0, (x, y), (x * x, x * y, y * y)) for x, y in pairs), ArmMoments())
    arms = ArmColumns([arm], [(10**SCALE, 10**SCALE)], 2)
    x, y = arms.mean(0), arms.mean(1)
    freedom = arm.n * (arm.n - 1)
    return {
        "n": arm.n,
        "mean_x": x.value(),
        "mean_y": y.value(),
        "m2_x": arms.covariance(x, x) * freedom,
        "m2_y": arms.covariance(y, y) * freedom,
        "c_xy": arms.covariance(x, y) * freedom,
    }


def unit_totals(case):
    totals = {}
    for step in case["ops"]:
        if step["op"] == "remove":
            totals.pop(step["unit"], None)
        else:
            totals[step["unit"]] = totals.get(step["unit"], case.get("new_unit_initial", 0)) + step["delta"]
    return totals.values()


def unit_updates(case):
    return of_totals(unit_totals(case))


def fixed_cap(case):
    """A unit's total counts for at most the cap, whatever its updates were."""
    totals = case["values"] if "values" in case else unit_totals(case)
    capped = of_totals([min(total, case["cap"]) for total in totals])
    return {**capped, "n_capped": sum(total > case["cap"] for total in totals)}


def of_totals(totals):
    arm = of_values(map(scaled, totals))
    unit = 10**SCALE
    return {"sum": arm.first[0] / unit, "sum_squares": arm.second[0] / unit**2, **spread(arm, unit)}


def merge(case):
    # Floats are fractions of a power of two, so that the parts' sums are exact at some scale.
    unit = 10**SCALE
    arms = [
        ArmMoments(n, 0, (round(n * mean * unit),), (round((m2 + n * mean**2) * unit**2),))
        for part in case["parts"]
        for n, mean, m2 in [(part["n"], Fraction(part["mean"]), Fraction(part["m2"]))]
    ]
    return spread(sum(arms, ArmMoments()), unit)


def tail(case):
    return {"p_value": fixed.t_test(case["t"], 1.0, case["df"], 0.05).p_value}


def fixed_quantile(case):
    """A relative effect is compared as that peer makes its error, by the delta method."""
    treatment, control = case["treatment"], case["control"]

    def variance(arm):
        its = percentiles.order_statistic_variance(arm["n"], arm["quantile_lower"], arm["quantile_upper"])
        return its * arm["n_star"] / arm["n"]

    estimate, of = treatment["quantile_hat"] - control["quantile_hat"], (variance(treatment), variance(control))
    freedom = fixed.welch_freedom(of[0], treatment["n"], of[1], control["n"])
    if case["effect"] == "relative":
        base = control["quantile_hat"]
        of = of[0] / base**2, of[1] * treatment["quantile_hat"] ** 2 / base**4
        estimate /= base
    said = fixed.t_test(estimate, sum(of), freedom, case["alpha"])
    return {
        "estimate": estimate,
        "se": np.sqrt(sum(of)),
        "p_value": said.p_value,
        "ci_lower": said.lower,
        "ci_upper": said.upper,
    }


def measured(answer, measure):
    return lambda case: answer(case, measure)


FAMILIES = {
    "bayes.beta": bayes_beta,
    "bayes.effect": bayes_effect,
    "fixed.binary": fixed_binary,
    "fixed.binary_ci": binary_interval,
    "fixed.count": fixed_count,
    "fixed.cuped": measured(fixed_test, "adjusted mean"),
    "fixed.cuped_ratio": measured(fixed_test, "adjusted ratio"),
    "fixed.quantile": fixed_quantile,
    "fixed.ratio": measured(fixed_test, "ratio"),
    "fixed.welch_t": fixed_test,
    "fixed.z": z_test,
    "guardrail.noninferiority": noninferiority,
    "multiplicity.bonferroni": adjusted(multiplicity.bonferroni),
    "multiplicity.fdr_bh": adjusted(multiplicity.benjamini_hochberg),
    "multiplicity.holm": adjusted(multiplicity.holm),
    "power.fixed": fixed_power,
    "power.sequential": sequential_power,
    "relative.fieller": fieller,
    "sequential.bernoulli": bernoulli,
    "sequential.bernoulli_process": bernoulli_process,
    "sequential.binary": measured(sequential, "conversion"),
    "sequential.count": gamma_poisson,
    "sequential.cuped": measured(sequential, "adjusted mean"),
    "sequential.cuped_ratio": measured(sequential, "adjusted ratio"),
    "sequential.logmix": logmix,
    "sequential.mean": sequential,
    "sequential.mixture_core": mixture_core,
    "sequential.msprt": msprt,
    "sequential.onesided": one_sided,
    "sequential.ratio": measured(sequential, "ratio"),
    "sequential.running": running,
    "sequential.tuning": tuning,
    "srm.chi2": srm_chi_squared,
    "srm.exact": srm_exact,
    "srm.sequential": srm_sequential,
    "stability.comoment": comoment,
    "stability.merge": merge,
    "stability.moments": stream_moments,
    "stability.tail": tail,
    "stability.unit_updates": unit_updates,
    "winsor.fixed_cap": fixed_cap,
}


def failures(case):
    """(field, expected, got) of each field that disagrees; None where the family is not the product's."""
    answer = FAMILIES.get(case["family"])
    if answer is None:
        return None
    given = answer({"described": case["method"], **case["inputs"]})
    found = []
    for name, expected in case["outputs"].items():
        tolerance = tolerance_of(case, name)
        got = np.asarray(given.get(name, np.nan), np.float64)
        if tolerance is not None and not agrees(expected, got, tolerance):
            found.append((name, expected, got.tolist()))
    return found


def tolerance_of(case, name):
    """How near a field must be: None where it is not compared."""
    for family, field, word, near in ROUGH:
        if (family, field) == (case["family"], name) and word in case["method"]:
            return None if near is None else {"rel": 0.0, "abs": near}
    return case["tolerance"]


def agrees(expected, got, tolerance):
    """|got - expected| <= abs + rel |expected| everywhere; null stands for infinite or not produced."""
    expected = np.asarray(expected, np.float64)
    if expected.shape != got.shape and expected.size == got.size == 1:
        got = got.reshape(expected.shape)  # of one comparison
    if expected.shape != got.shape:
        return False
    absent = np.isnan(expected)
    near = np.abs(got - expected) <= tolerance["abs"] + tolerance["rel"] * np.abs(expected)
    return bool(np.all(np.where(absent, ~np.isfinite(got), near)))
