"""Companies of users, what these did before, and a plan, as chance made them: the same rows wherever they are made."""

import numpy as np

NAMES = ("company", "treat", "plan", "before", "visits", "spent")


def companies():
    """Rows of `NAMES`; treatment is by company."""
    chance = np.random.default_rng(21)
    rows = []
    for company in range(240):
        treat, mood = company % 2, chance.normal(0.0, 2.0)
        for _ in range(int(np.ceil(8 * chance.lognormal(0.0, 0.5)))):
            plan = int(chance.integers(0, 3))
            before, visits = float(chance.gamma(2.0, 5.0 + 2.0 * plan)), int(chance.poisson(4))
            spent = 3.0 * plan + 0.8 * before + 0.5 * visits + mood + 0.6 * treat * (plan + 1) + chance.normal(0.0, 3.0)
            rows.append((f"c{company}", treat, f"p{plan}", round(before, 4), visits, round(float(spent), 4)))
    return rows
