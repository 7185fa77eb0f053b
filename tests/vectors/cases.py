"""Cases: reference cases computed with other people's software, and the product's answer to each."""

from decimal import Decimal
from fractions import Fraction
from itertools import combinations_with_replacement

import numpy as np

from evaluation.significance import bayes, conversions, fixed, mixture, multiplicity, power, relative, srm
from evaluation.significance.comparison import Comparison, adjustment, differences
from evaluation.significance.moments import Arm, Arms

SCALE = 30  # decimal places that hold every value of the cases exactly


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


def exact(number, power=1):
    """A quantity of a case, in units of 10^-SCALE, or of that to a power."""
    return int(Decimal(str(number)).scaleb(power * SCALE))


def exact_arm(arm):
    """A case's arm as the product keeps it."""
    names = next((names for names in VALUES if names[0] in arm), ())
    products, values = VALUES.get(names, {}), [arm[name] for name in names] or [arm]
    second = [
        exact(values[i]["sum_squares"] if i == j else arm[products[i, j]]["sum_products"], 2)
        for i, j in combinations_with_replacement(range(len(values)), 2)
    ]
    return Arm(arm["n"], arm.get("successes", 0), tuple(exact(value["sum"]) for value in values), tuple(second))


def compared(case, measure):
    """What the product finds of a case's arms."""
    control, treatment = arms = [exact_arm(case[name]) for name in ("control", "treatment")]
    scales = (SCALE,) * len(control.first)
    return differences(
        [Comparison(treatment, control, [(treatment, control)], scales, measure, adjustment(arms, measure, scales))]
    )


def estimates(case, measure="mean"):
    """Absolute or relative difference and its variance."""
    found = compared(case, measure)
    if case.get("effect", "absolute") == "absolute":
        return found.difference, found.variance, found.units
    # gbstats takes the variance of an adjusted mean at the unadjusted lift.
    plain = compared(case, "mean") if measure == "adjusted mean" else found
    variance = relative.delta_variance(
        plain.difference / found.baseline, found.variance, found.baseline, found.baseline_variance, found.covariance
    )
    return found.difference / np.abs(found.baseline), variance, found.units


def sequential(case, measure="mean"):
    estimate, variance, units = estimates(case, measure)
    ratio = mixture.mixing_ratio(units, case["n_star"], case["alpha"])
    said = mixture.evidence(estimate, variance, ratio, case["alpha"])
    return {
        "estimate": estimate[0],
        "se": np.sqrt(variance[0]),
        "p_value": said.p_value[0],
        "ci_lower": said.lower[0],
        "ci_upper": said.upper[0],
        "rho": np.sqrt(mixture.tuning(case["alpha"]) / case["n_star"]),
    }


def sequential_binary(case):
    return sequential(case, "conversion")


def mixture_core(case):
    variance = case["se"] ** 2
    ratio = case["tau"] ** 2 / variance
    said = mixture.evidence(case["estimate"], variance, ratio, case["alpha"], case["null"])
    return {"log_e": said.log_e, "p_value": said.p_value, "ci_lower": said.lower, "ci_upper": said.upper}


def logmix(case):
    # s after intrinsic time v is D = s/v with variance 1/v; rho is 1/tau2, tuned at v_opt.
    alpha = case["alpha_opt"] * (2 if case["one_sided"] else 1)
    ratio = mixture.mixing_ratio(case["v"], case["v_opt"], alpha)
    if case["one_sided"]:
        return {"log_e": mixture.one_sided_log_e(case["s"] / np.sqrt(case["v"]), ratio)}
    return {"log_e": mixture.evidence(case["s"] / case["v"], 1 / case["v"], ratio, alpha).log_e}


def msprt(case):
    if "n" in case:
        difference, variance = case["sum"] / case["n"] - case["theta0"], case["sigma"] ** 2 / case["n"]
    elif "sigma" in case:
        n = case["n_pairs"]
        difference, variance = (case["sum_treatment"] - case["sum_control"]) / n, 2 * case["sigma"] ** 2 / n
    else:
        n, successes = case["n_pairs"], [case["successes_treatment"], case["successes_control"]]
        treatment, control = (Arm(n, x, (x,), (x,)) for x in successes)
        found = differences([Comparison(treatment, control, [(treatment, control)], (0,), "conversion")])
        difference, variance = found.difference[0], found.variance[0]
    said = mixture.evidence(difference, variance, case["tau"] ** 2 / variance, 0.05)
    return {"log_e": said.log_e, "lambda": np.exp(said.log_e), "p_value": said.p_value}


def tuning(case):
    alpha = case["alpha"]
    if "t_opt" in case:
        return {
            "rho2_exact": mixture.exact_tuning(alpha) / case["t_opt"],
            "rho2_approx": mixture.tuning(alpha) / case["t_opt"],
        }
    return None


def running(case):
    looks = [sequential({**case, **each}) for each in case["looks"]]
    p_value, lower, upper = (np.array([each[name] for each in looks]) for name in ("p_value", "ci_lower", "ci_upper"))
    return {
        "p_instant": p_value,
        "p_always_valid": np.minimum.accumulate(p_value),
        "ci_lower": lower,
        "ci_upper": upper,
        "ci_lower_running": np.maximum.accumulate(lower),
        "ci_upper_running": np.minimum.accumulate(upper),
    }


def fieller(case):
    control, treatment = case["mean_control"], case["mean_treatment"]
    variance = case["var_mean_control"] + case["var_mean_treatment"]
    lower, upper = relative.fieller(treatment - control, variance, control, case["var_mean_control"], case["crit"])
    return {"ci_lower": lower, "ci_upper": upper, "g": case["crit"] ** 2 * case["var_mean_control"] / control**2}


def srm_chi_squared(case):
    if case.get("correction"):
        return None
    weights = case.get("weights", [1.0, case.get("ratio_t_over_c", 1.0)])
    statistic, p_value = srm.chi_squared(case["counts"], weights)
    return {"statistic": statistic, "p_value": p_value}


def srm_sequential(case):
    share = case.get("null", case.get("theta0"))
    concentration = case.get("dirichlet_concentration", case.get("concentration"))
    if "batches" not in case:
        evidence = srm.log_bayes_factor(case["counts"], share, concentration)
        return {
            "log_bayes_factor": evidence,
            "bayes_factor": np.exp(evidence),
            "p_value": srm.p_value(evidence),
        }
    counts = np.cumsum(case["batches"], axis=0)
    evidence = srm.log_bayes_factor(counts, share, concentration)
    return {"log_bayes_factor": evidence, "p_value": np.minimum.accumulate(srm.p_value(evidence))}


def stream_moments(case):
    values = [int(Decimal(str(value)).scaleb(SCALE)) for value in case["values"]]
    return spread(Arm(len(values), 0, (sum(values),), (sum(x * x for x in values),)), 10**SCALE)


def spread(arm, unit):
    """Mean and sum of squared deviations."""
    arms = Arms([arm], [(unit,)])
    mean = arms.mean(0)
    variance = arms.covariance(mean, mean)[0]
    return {"n": arm.n, "mean": mean.value()[0], "m2": variance * arm.n * (arm.n - 1)}


def one_sided(case):
    estimate, variance, units = estimates(case)
    ratio = mixture.mixing_ratio(units, case["n_star"], 2 * case["alpha"])
    width = np.sqrt(variance) * mixture.one_sided_multiplier(ratio, case["alpha"])
    ends = {"greater": ("ci_lower", estimate - width), "less": ("ci_upper", estimate + width)}
    end, bound = ends[case["alternative"]]
    rho = np.sqrt(mixture.tuning(2 * case["alpha"]) / case["n_star"])
    return {"estimate": estimate[0], "se": np.sqrt(variance[0]), end: bound[0], "rho": rho}


def bernoulli_process(case):
    (control, treatment), (_, share) = case["conversions"], case["assignment_probs"]
    said = conversions.exact_evidence(treatment, control, share, case["alpha"], case["concentration"])
    return {
        "p_value": said.p_value,
        "log_ratio": np.log(said.risk_ratio),
        "log_ratio_ci": np.log([said.lower, said.upper]),
    }


def bernoulli(case):
    if "prior" not in case:
        return None
    lower, upper = conversions.share_bounds(
        case["successes"], case["n"] - case["successes"], *case["prior"], case["alpha"]
    )
    return {"ci_lower": lower, "ci_upper": upper}


def fixed_test(case, measure="mean", freedom=None):
    estimate, variance, _ = estimates(case, measure)
    if freedom is None:
        found = compared(case, measure)
        freedom = fixed.welch_freedom(found.treatment_variance, found.n, found.control_variance, found.control_n)
    alpha = case.get("alpha", 0.05)
    said = fixed.t_test(estimate, variance, freedom, alpha, case.get("alternative", "two-sided"))
    return {
        "estimate": estimate[0],
        "se": np.sqrt(variance[0]),
        "df": np.ravel(freedom)[0],
        "statistic": (estimate / np.sqrt(variance))[0],
        "p_value": said.p_value[0],
        "ci_lower": said.lower[0],
        "ci_upper": said.upper[0],
    }


def welch_t(case):
    if case.get("equal_var"):
        return None
    return fixed_test(case, freedom=np.inf if case.get("use_t") is False else None)


def z_test(case):
    return fixed_test(case, freedom=np.inf)


def fixed_binary(case):
    method = case.get("method", "t")
    if method == "norm" and case.get("equal_var", True) is False and not case.get("correction"):
        return fixed_test(case, "conversion", freedom=np.inf)
    return fixed_test(case, "conversion") if method == "t" else None


def tail(case):
    return {"p_value": fixed.t_test(case["t"], 1.0, case["df"], 0.05).p_value}


def adjusted(function):
    def answer(case):
        p_values = function(case["p_values"])
        return {"adjusted": p_values, "reject": p_values <= case["alpha"]}

    return answer


def bayes_beta(case):
    x, y = (exact_arm(case[name]) for name in ("treatment", "control"))
    return {
        "chance_to_beat_control": bayes.beta_chance(x.nonzero, x.n, y.nonzero, y.n),
        "posterior_mean_control": bayes.beta_mean(y.nonzero, y.n),
        "posterior_mean_treatment": bayes.beta_mean(x.nonzero, x.n),
    }


def bayes_effect(case):
    estimate, variance, _ = estimates(case)
    # The prior is on the relative lift.
    unit = 1.0 if case["effect"] == "relative" else case["control"]["mean"]
    prior = np.inf if case["prior"] == "flat" else (0.3 * unit) ** 2
    said = bayes.normal_posterior(estimate, variance, case["alpha"], prior)
    return {
        "estimate": said.mean[0],
        "ci_lower": said.lower[0],
        "ci_upper": said.upper[0],
        "chance_to_win": said.chance[0],
        "risk": [said.control_risk[0], said.risk[0]],
    }


def noninferiority(case):
    estimate, variance, _ = estimates(case)
    increase = case["preferred_direction"] == "increase"
    margin = case["margin_relative"] * case["control"]["mean"] * (-1 if increase else 1)
    said = fixed.t_test(estimate - margin, variance, np.inf, case["alpha"], "greater" if increase else "less")
    return {
        "null_hypothesis": margin,
        "p_value": said.p_value[0],
        "ci_lower": said.lower[0] + margin,
        "ci_upper": said.upper[0] + margin,
    }


def fixed_power(case):
    if "TTest" in case["described"]:
        return None
    if "effect_size" in case:  # in standard deviations
        alpha, ratio = case["alpha"], case["ratio"]
        return {"nobs1": power.fixed_units(case["effect_size"], (1, 1), ratio, alpha, case["power"])}
    if case.get("use_t") is not False:
        return None
    sample = case["sample"]
    variance = 4 * sample["var_sample"] / case["n_obs"]
    if case["solve"] == "power":
        effect = case["rel_effect_size"] * sample["mean"]
        return {"power": power.fixed_power(effect, variance, case["alpha"]), "effect_size": effect}
    effect = power.detectable(variance, case["alpha"], case["power"])
    return {"effect_size": effect, "rel_effect_size": effect / sample["mean"]}


def sequential_power(case):
    _, variance, units = estimates({**case, "effect": "relative"})
    test = case["mde_relative"], variance[0], units[0], case["n_star"], case["alpha"] / case["num_tests"]
    factor = power.sequential_growth(*test, power=case["target_power"])
    return {
        "power_now": power.sequential_power(*test),
        "scaling_factor": factor - 1,
        "additional_users": units[0] * (factor - 1),
    }


def unit_updates(case):
    totals = {}
    for step in case["ops"]:
        if step["op"] == "remove":
            totals.pop(step["unit"], None)
        else:
            totals[step["unit"]] = totals.get(step["unit"], case["new_unit_initial"]) + step["delta"]
    arm = sum((Arm(1, int(x != 0), (x,), (x * x,)) for x in totals.values()), Arm())
    return {"sum": arm.first[0], "sum_squares": arm.second[0], **spread(arm, 1)}


def merge(case):
    # Floats are fractions of a power of two, so that the parts' sums are exact at some scale.
    unit = 10**SCALE
    arms = [
        Arm(n, 0, (round(n * mean * unit),), (round((m2 + n * mean**2) * unit**2),))
        for part in case["parts"]
        for n, mean, m2 in [(part["n"], Fraction(part["mean"]), Fraction(part["m2"]))]
    ]
    return spread(sum(arms, Arm()), unit)


def ratios(answer, measure):
    return lambda case: answer(case, measure)


FAMILIES = {
    "fixed.cuped": ratios(fixed_test, "adjusted mean"),
    "fixed.cuped_ratio": ratios(fixed_test, "adjusted ratio"),
    "fixed.ratio": ratios(fixed_test, "ratio"),
    "sequential.cuped": ratios(sequential, "adjusted mean"),
    "sequential.cuped_ratio": ratios(sequential, "adjusted ratio"),
    "sequential.ratio": ratios(sequential, "ratio"),
    "bayes.beta": bayes_beta,
    "bayes.effect": bayes_effect,
    "fixed.binary": fixed_binary,
    "fixed.welch_t": welch_t,
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
    "sequential.binary": sequential_binary,
    "sequential.logmix": logmix,
    "sequential.mean": sequential,
    "sequential.mixture_core": mixture_core,
    "sequential.msprt": msprt,
    "sequential.onesided": one_sided,
    "sequential.running": running,
    "sequential.tuning": tuning,
    "srm.chi2": srm_chi_squared,
    "srm.sequential": srm_sequential,
    "stability.merge": merge,
    "stability.moments": stream_moments,
    "stability.unit_updates": unit_updates,
    "stability.tail": tail,
}


def failures(case):
    """(field, expected, got) of each field that disagrees; None where the product has no answer to the family yet."""
    answer = FAMILIES.get(case["family"])
    given = answer({"described": case["method"], **case["inputs"]}) if answer else None
    if given is None:
        return None
    tolerance = case["tolerance"]
    compared = {name: value for name, value in case["outputs"].items() if name in given}
    if not compared:
        return None
    return [
        (name, expected, np.asarray(given[name]).tolist())
        for name, expected in compared.items()
        if not agrees(expected, given[name], tolerance)
    ]


def agrees(expected, got, tolerance):
    """|got - expected| <= abs + rel |expected| everywhere; null stands for infinite or not produced."""
    expected, got = np.asarray(expected, np.float64), np.asarray(got, np.float64)
    if expected.shape != got.shape:
        return False
    absent = np.isnan(expected)
    near = np.abs(got - expected) <= tolerance["abs"] + tolerance["rel"] * np.abs(expected)
    return bool(np.all(np.where(absent, ~np.isfinite(got), near)))
