"""Whether slices differ: against statistics by hand, and how often it says so where they don't."""

import numpy as np
import pytest
from scipy.stats import chi2

from evaluation.exploring.heterogeneity import cochran_q


def test_q_is_the_weighted_sum_of_squares() -> None:
    estimates, variances = [0.1, 0.3, -0.2], [0.01, 0.02, 0.04]
    weights = [100.0, 50.0, 25.0]
    mean = sum(w * d for w, d in zip(weights, estimates, strict=True)) / sum(weights)
    q = sum(w * (d - mean) ** 2 for w, d in zip(weights, estimates, strict=True))

    assert cochran_q(estimates, variances) == (pytest.approx(q), pytest.approx(chi2.sf(q, 2)))


def test_of_slices_with_one_effect_it_finds_a_difference_in_five_of_a_hundred() -> None:
    random = np.random.default_rng(3)
    variances = random.uniform(0.5, 3.0, (4_000, 6))
    estimates = 0.4 + random.normal(size=(4_000, 6)) * np.sqrt(variances)
    p_values = [cochran_q(d, v)[1] for d, v in zip(estimates.tolist(), variances.tolist(), strict=True)]

    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.012)  # 3.5 standard errors
