"""Analyzing: exposures and events of data frames or files, judged as the stream judges them."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from peekproof.metrics import EventMetric, as_list
from peekproof.results import Result
from pipeline.catalog.documents import Documents, read_documents
from pipeline.errors import PeekproofError
from pipeline.files.frames import Input, inputs
from pipeline.files.titles import listed
from pipeline.offline.analysis import FileAnalysis
from pipeline.offline.arms import ArmName
from pipeline.offline.asked import documents_of, flag_of, variants_met
from pipeline.offline.question import Method
from pipeline.offline.telling import report, told_left_out, told_notes
from schemas.catalog import Analysis


def analyze(
    exposures: Any = None,
    events: Any = None,
    metrics: Sequence[EventMetric] = (),
    *,
    experiment: str | None = None,
    control: ArmName | None = None,
    weights: Mapping[ArmName, int] | Mapping[str, int] | None = None,
    unit: str = "user_id",
    breakdowns: Mapping[str, Sequence[str]] | None = None,
    method: Method = "sequential",
    alpha: float = 0.05,
    planned_units: int | None = None,
    cuped: bool = False,
    catalog: str | PathLike[str] | None = None,
) -> Result:
    """Results of exposures and events, by these metrics, or by the documents of the directory `catalog`.

    `exposures` and `events` are data frames of pandas or polars, tables of Arrow, relations of DuckDB, paths or
    patterns of files, or lists of these. Columns are named as on the topics and in files (see the page Analyze): an
    exposure says `flag_key`, `variant`, `time` and `user_id`, an event `event_type`, `time` and `user_id`, and a column
    that is called as a property which a metric reads is that one. An export of Amplitude has both as `events`.

    The variants are those that exposures name (one that names none is left out), of equal weight unless `weights` says
    how the split was planned; `control` is the one of that name, else the first. `unit` is what was randomised,
    `breakdowns` split the results by values of a property, and the rest is as in an experiment's `analysis`. With a
    `catalog` all of that stands in the documents. Exposures alone, which want no metrics, have their split judged.
    Raises PeekproofError for what cannot be used.

    >>> import pandas as pd
    >>> import peekproof as pp
    >>> day = pd.Timestamp("2026-03-01", tz="UTC")
    >>> units = range(2_000)
    >>> exposures = pd.DataFrame({
    ...     "flag_key": "checkout-button",
    ...     "variant": ["treatment" if unit % 2 else "control" for unit in units],
    ...     "user_id": [f"user-{unit}" for unit in units],
    ...     "time": day,
    ... })
    >>> buyers = [unit for unit in units if unit % 5 < 2 + unit % 2]
    >>> events = pd.DataFrame({
    ...     "event_type": "purchase",
    ...     "user_id": [f"user-{unit}" for unit in buyers],
    ...     "time": day + pd.Timedelta(hours=1),
    ...     "revenue": [20.0 + unit % 7 for unit in buyers],
    ... })
    >>> later = pd.DataFrame({"event_type": "visit", "user_id": ["user-0"], "time": [day + pd.Timedelta(days=8)]})
    >>> result = pp.analyze(
    ...     exposures,
    ...     [events, later],
    ...     [
    ...         pp.Conversion("buyers", event="purchase", window="7d"),
    ...         pp.Sum("revenue", event="purchase", property="revenue", window="7d", cap=500),
    ...     ],
    ... )
    >>> result["checkout-button"].look.verdict.decision
    'ship'
    >>> result.to_pandas().query("reading == 'settled'")[["metric", "n", "mean", "control_mean"]]
        metric     n    mean  control_mean
    0   buyers  1000   0.600         0.400
    2  revenue  1000  13.793         9.201
    """
    shown, happened = inputs("exposures", exposures), inputs("events", events)
    if not (shown or happened):
        raise PeekproofError("there is nothing to analyse: give exposures, events, or both")
    asked = as_list(metrics)
    if not isinstance(asked, list) or not all(isinstance(each, EventMetric) for each in asked):
        raise PeekproofError(
            f"metrics={metrics!r}: it is a list of metrics: [pp.Conversion('buyers', event=…, window=…)]"
        )
    if not isinstance(breakdowns or {}, Mapping):
        raise PeekproofError(f"breakdowns={breakdowns!r}: name values by property: {{'platform': ['iOS', 'web']}}")
    if catalog is not None and asked:
        raise PeekproofError("give either metrics, or `catalog`, the directory of documents that define them")
    if catalog is None and happened and not asked:
        raise PeekproofError(
            "events are for metrics: give these, or `catalog`, the directory of documents that define them"
        )
    judged = {"method": method, "alpha": alpha, "planned_units": planned_units, "cuped": cuped}
    analysis_said = {name: value for name, value in judged.items() if value != getattr(Analysis(), name)}
    if catalog is not None:
        others = {"control": control, "weights": weights, "breakdowns": breakdowns, **analysis_said}
        if said := [name for name, value in others.items() if value is not None]:
            raise PeekproofError(f"{said[0]}={others[said[0]]!r}: with `catalog` its documents say that; leave it out")
        documents = read_documents(Path(catalog))
    else:
        flag = {
            "unit": unit,
            "breakdowns": [{"property": name, "values": as_list(its)} for name, its in (breakdowns or {}).items()],
            "analysis": analysis_said,
        }
        documents = _asked(_met(shown, happened, experiment), asked, flag, weights, control)
    analysis = FileAnalysis(documents, shown, happened, experiment, is_documented=catalog is not None)
    for _ in analysis:
        pass
    looks, notes = analysis.looks(), told_notes(analysis)
    return Result(looks, [*notes, *told_left_out(analysis.left_out)], report(analysis, looks, notes))


def _met(exposures: Sequence[Input], events: Sequence[Input], experiment: str | None) -> dict[str, list[str]]:
    met = variants_met(exposures, events)
    if not met:
        for _ in FileAnalysis(documents_of((), (), ()), exposures, () if exposures else events):
            pass  # it tells why no row can be used, where none can
        raise PeekproofError("no exposure names its experiment: say `flag_key`, `variant`, `time` and `user_id`")
    if experiment is None:
        return met
    if experiment not in met:
        raise PeekproofError(f"no exposure is of '{experiment}'; they are of {listed([*met])}")
    return {experiment: met[experiment]}


def _asked(
    met: Mapping[str, Sequence[str]],
    metrics: Sequence[EventMetric],
    flag: Mapping[str, Any],
    weights: Mapping[ArmName, int] | Mapping[str, int] | None,
    control: ArmName | None,
) -> Documents:
    every: list[EventMetric] = []
    for metric in metrics:
        every += [each for each in (metric, *metric.parts) if each not in every]
    return documents_of(
        [each.definition() for each in every],
        [each.goal(is_first=number == 0) for number, each in enumerate(metrics)],
        [{**flag, **flag_of(key, variants, weights, control)} for key, variants in met.items()],
    )
