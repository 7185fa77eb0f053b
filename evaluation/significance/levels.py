"""Levels: how the comparisons of an experiment share its alpha."""

from schemas.catalog import Flag, Goal


def level(flag: Flag, goal: Goal) -> float:
    """The error probability of one comparison's interval: alpha, divided as Amplitude divides it (Bonferroni).

    Of the primary metric over the treatments, of the secondary metrics over treatments times secondary metrics;
    guardrails have their own, undivided: there the error is not to see a harm. Holm and Benjamini-Hochberg correct
    p-values; their intervals keep Bonferroni's level, at which all of them hold at once.
    """
    analysis = flag.analysis
    if goal.role == "guardrail":
        return analysis.guardrail_alpha
    if analysis.correction == "none" or analysis.method == "bayesian":
        return analysis.alpha
    return analysis.alpha / family_size(flag, goal.role)


def family_size(flag: Flag, role: str) -> int:
    """How many comparisons share alpha: of one role, each metric times each treatment."""
    return max(1, len(flag.variants) - 1) * sum(goal.role == role for goal in flag.metrics)
