"""Peekproof in a process of one's own. Nothing is loaded before it is asked for.

Flags, evaluated without a server, a compiler or a client:

    flags = load_flags("flags.json")
    flags.evaluate({"user_id": "ann", "user_properties": {"plan": "pro"}})

Experiments, analysed where the data are:

    import peekproof as pp
    result = pp.analyze(exposures, events, [pp.Sum("revenue", event="purchase", property="revenue", window="7d")])
    result = pp.analyze_table(users, variant="group", metrics={"spend": pp.mean(), "visit": pp.conversion()})
    result.to_pandas(); result.plot(); result
    pp.plan(baseline=0.115, effect=0.05, daily_units=20_000).plot()
    pp.read("data/peekproof.duckdb").experiment("checkout-button").look(17)
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from evaluation.flags.compiled import Answer
from evaluation.flags.engine import Flags, Problem
from pipeline.errors import PeekproofError
from pipeline.flags import load_flags

if TYPE_CHECKING:
    from peekproof.analyzing import analyze
    from peekproof.metrics import Conversion, Count, Distinct, Funnel, Mean, Percentile, Ratio, Retention, Sum
    from peekproof.planning import PlannedSample, plan
    from peekproof.results import Result
    from peekproof.snapshots import Course, PublishedRun, Snapshot, read
    from peekproof.tables import analyze_table, conversion, mean

__all__ = [
    "Answer",
    "Conversion",
    "Count",
    "Course",
    "Distinct",
    "Flags",
    "Funnel",
    "Mean",
    "PeekproofError",
    "Percentile",
    "PlannedSample",
    "Problem",
    "PublishedRun",
    "Ratio",
    "Result",
    "Retention",
    "Snapshot",
    "Sum",
    "__version__",
    "analyze",
    "analyze_table",
    "conversion",
    "load_flags",
    "mean",
    "plan",
    "read",
]
__version__ = version("peekproof")

# What loads columns, and what does them: where it is.
_LATER = {
    **dict.fromkeys(
        ("Conversion", "Count", "Distinct", "Funnel", "Mean", "Percentile", "Ratio", "Retention", "Sum"), "metrics"
    ),
    **dict.fromkeys(("Course", "PublishedRun", "Snapshot", "read"), "snapshots"),
    **dict.fromkeys(("analyze_table", "conversion", "mean"), "tables"),
    **dict.fromkeys(("PlannedSample", "plan"), "planning"),
    "analyze": "analyzing",
    "Result": "results",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'peekproof' has no attribute '{name}'")
    return getattr(import_module(f"peekproof.{_LATER[name]}"), name)


def __dir__() -> list[str]:
    return __all__
