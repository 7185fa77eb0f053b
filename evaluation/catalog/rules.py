"""Rules: what a document must satisfy beyond the types of its fields."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

import msgspec

from evaluation.catalog.hours import parse_date
from evaluation.columns.nesting import DEEPEST, is_too_deep
from evaluation.flags.compiled import OF_SEGMENTS
from evaluation.flags.conditions import ConditionError, compile_condition
from schemas.catalog import Condition, Flag, FlagState, Metric
from schemas.topics import MAX_MESSAGE_BYTES

OF_OURS = re.compile(r"(groups\.[^.]+\.)?cohort|groups\.[^.]+\.group_properties\..+")  # what no message says
CELL_BYTES = 2_400  # of a look's cell, its names aside: a test fills one with the longest numbers

Path = tuple[str | int, ...]  # of a field within a document: ("variants", 0, "key")


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: where in the document, and the value, the rule and the way out in a sentence."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.message}" if self.path else self.message


def path_text(path: Path) -> str:
    """The path as a person writes it: `variants[0].key`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A question that names the nearest known word, else the known words."""
    nearest = get_close_matches(word, known, n=1)
    if nearest:
        return f"did you mean '{nearest[0]}'?"
    return f"known: {', '.join(sorted(known))}" if known else "there are none"


def goal_remarks(flag: Flag) -> Iterator[Violation]:
    """Shares of control that may be meant in per cent: no faults."""
    for index, goal in enumerate(flag.metrics):
        for name in ("minimum_effect", "margin"):
            share = getattr(goal, name)
            if share is not None and share >= 1.0:
                text = f"{share:g} is {share:.0%} of control; write {share / 100:g} if {share:g} % is meant"
                yield Violation(("metrics", index, name), text)


def flag_violations(flag: Flag, metrics: Mapping[str, Metric | None]) -> Iterator[Violation]:
    """What is wrong with a flag's definition, given the metrics that exist (None: one whose definition is unknown)."""
    yield from _variant_violations(flag)
    yield from _inclusion_violations(flag)
    yield from _segment_violations(flag)
    yield from _goal_violations(flag, metrics)
    yield from _breakdown_violations(flag)
    yield from _size_violations(flag, metrics)
    if flag.exposure_event:
        yield from filter_violations(flag.exposure_event.where, ("exposure_event", "where"))
    yield from _identity_violations(flag)
    yield from _analysis_violations(flag, metrics)
    yield from _date_violations(flag)


def _variant_violations(flag: Flag) -> Iterator[Violation]:
    keys = [variant.key for variant in flag.variants]
    if not keys:
        yield Violation(("variants",), "there are none; a flag needs at least one variant, an experiment two")
        return
    if flag.metrics and len(keys) < 2:
        yield Violation(
            ("variants",), f"'{keys[0]}' is the only one; an experiment compares at least two: add one, or drop metrics"
        )
    for index, key in enumerate(keys):
        if key == "off":
            yield Violation(
                ("variants", index, "key"), "'off' is reserved for units that get no variant; choose another key"
            )
        elif key in keys[:index]:
            yield Violation(("variants", index, "key"), f"'{key}' is the key of two variants; a key names one of them")
        if is_too_deep(flag.variants[index].payload):
            yield Violation(
                ("variants", index, "payload"),
                f"is nested more than {DEEPEST} levels deep; no client reads that: flatten it",
            )
    if sum(variant.weight for variant in flag.variants) == 0:
        yield Violation(("variants",), f"the weights of '{flag.key}' sum to 0; give one variant a share")
    if flag.control is not None and flag.control not in keys:
        yield Violation(("control",), f"'{flag.control}' is no variant; {did_you_mean(flag.control, keys)}")


def _inclusion_violations(flag: Flag) -> Iterator[Violation]:
    owner: dict[tuple[str, str], str] = {}
    for index, variant in enumerate(flag.variants):
        lists = (("users", variant.users), ("devices", variant.devices), ("cohorts", variant.cohorts))
        for name, ids in lists:
            for place, unit in enumerate(ids):
                first = owner.setdefault((name, unit), variant.key)
                if first != variant.key:
                    yield Violation(
                        ("variants", index, name, place),
                        f"'{unit}' is listed under '{first}' and '{variant.key}'; a unit can get one of them",
                    )


def percentage_violations(percentage: float, path: Path) -> Iterator[Violation]:
    """What is wrong with a percentage beyond its bounds; each can be written in one way only."""
    if round(percentage, 2) != percentage:
        yield Violation(path, f"{percentage} is not allowed; the smallest step is 0.01")
    elif isinstance(percentage, float) and percentage.is_integer():
        yield Violation(path, f"{percentage} is not allowed; write {percentage:g}")


def _segment_violations(flag: Flag) -> Iterator[Violation]:
    yield from percentage_violations(flag.rollout, ("rollout",))
    keys = [variant.key for variant in flag.variants]
    for index, segment in enumerate(flag.segments):
        if segment.name in OF_SEGMENTS:
            yield Violation(
                ("segments", index, "name"),
                f"'{segment.name}' is what the engine calls a segment of its own, by which it tells why a unit has its "
                "variant; choose another name",
            )
        yield from percentage_violations(segment.rollout, ("segments", index, "rollout"))
        path: Path = ("segments", index, "weights")
        for key in segment.weights:
            if key not in keys:
                yield Violation((*path, key), f"'{key}' is no variant; {did_you_mean(key, keys)}")
        if segment.weights and flag.metrics:
            yield Violation(
                path,
                f"'{segment.name}' may not have its own in an experiment: the expected split would differ by segment, "
                "and neither the sample ratio nor the difference could be told; give the variants' weights only",
            )
        elif segment.weights and sum(segment.weights.values()) == 0:
            yield Violation(path, f"the weights of '{segment.name}' sum to 0; say rollout: 0 to leave its units out")


def _goal_violations(flag: Flag, metrics: Mapping[str, Metric | None]) -> Iterator[Violation]:
    counted = Counter(goal.metric for goal in flag.metrics)
    primary = None
    for index, goal in enumerate(flag.metrics):
        path: Path = ("metrics", index, "metric")
        if goal.metric not in metrics:
            yield Violation(path, f"'{goal.metric}' is no metric; {did_you_mean(goal.metric, metrics)}")
        if counted[goal.metric] > 1 and goal.metric in [other.metric for other in flag.metrics[:index]]:
            yield Violation(path, f"'{goal.metric}' has two goals; keep one")
        if goal.role == "primary":
            if primary is not None:
                yield Violation(
                    ("metrics", index, "role"),
                    f"'{primary}' and '{goal.metric}' are both primary; an experiment is decided by one at most",
                )
            primary = goal.metric
        if goal.margin is not None and goal.role != "guardrail":
            yield Violation(
                ("metrics", index, "margin"), f"{goal.margin:g} would be ignored: only a guardrail has a margin"
            )
        metric = metrics.get(goal.metric)
        if goal.exact and metric and not metric.is_conversion:
            yield Violation(
                ("metrics", index, "exact"),
                f"'{goal.metric}' is a {metric.type}, and the exact test is one of conversions; remove it",
            )


def _analysis_violations(flag: Flag, metrics: Mapping[str, Metric | None]) -> Iterator[Violation]:
    analysis, baseline = flag.analysis, flag.analysis.baseline
    if analysis.method == "bayesian":
        for name, ignored in (
            ("correction", analysis.correction in ("holm", "benjamini-hochberg") and analysis.correction),
            ("sided", analysis.sided == "one" and "one"),
            ("cuped", analysis.cuped and "true"),
            ("strata", analysis.strata),
        ):
            if ignored:
                yield Violation(
                    ("analysis", name), f"{ignored} would be ignored: a Bayesian reading knows no such thing; remove it"
                )
    properties = [each.property for each in flag.breakdowns]
    if analysis.strata is not None and analysis.strata not in properties:
        yield Violation(
            ("analysis", "strata"),
            f"'{analysis.strata}' is no breakdown; {did_you_mean(analysis.strata, properties)}: units are "
            "compared within what is counted as a breakdown",
        )
    if baseline is None:
        return
    path: Path = ("analysis", "baseline")
    if analysis.planned_units is not None:
        yield Violation(path, f"would be ignored: planned_units says {analysis.planned_units}; keep one of the two")
    primary = next((goal for goal in flag.metrics if goal.role == "primary"), None)
    if primary is None or primary.minimum_effect is None:
        yield Violation(path, "says nothing without an effect to see: give the primary goal its minimum_effect")
        return
    metric = metrics.get(primary.metric)
    if metric is None:
        return
    if metric.type == "percentile":
        yield Violation(
            path, f"'{metric.key}' is a percentile, of which nothing is planned so; say planned_units instead"
        )
        return
    if not metric.is_conversion and baseline.deviation is None:
        yield Violation(
            path, f"'{metric.key}' is a {metric.type}; give the standard deviation of a unit too: deviation"
        )
    if metric.is_conversion and baseline.deviation is not None:
        yield Violation((*path, "deviation"), f"{baseline.deviation:g} would be ignored: a conversion's rate gives it")
    if metric.is_conversion and not 0 < baseline.mean < 1:
        yield Violation((*path, "mean"), f"{baseline.mean:g} is no rate of a conversion; write 0.12 for 12 %")
    if not metric.is_conversion and baseline.mean == 0:
        yield Violation((*path, "mean"), "0 has no relative effect; give the mean of a unit that is expected")


def _breakdown_violations(flag: Flag) -> Iterator[Violation]:
    properties = [breakdown.property for breakdown in flag.breakdowns]
    for index, breakdown in enumerate(flag.breakdowns):
        path: Path = ("breakdowns", index)
        if breakdown.property.startswith("event_properties."):
            yield Violation(
                (*path, "property"), f"'{breakdown.property}' is of an event; a unit is broken down by what it is"
            )
        if OF_OURS.fullmatch(breakdown.property):
            yield Violation(
                (*path, "property"),
                f"an exposure does not say '{breakdown.property}'; break down by a property of the user",
            )
        if breakdown.property in properties[:index]:
            yield Violation((*path, "property"), f"'{breakdown.property}' has two breakdowns; list its values in one")
        for place, value in enumerate(breakdown.values):
            if value == "(other)":
                yield Violation((*path, "values", place), "'(other)' is every value that is not listed; remove it")
            elif value in breakdown.values[:place]:
                yield Violation((*path, "values", place), f"'{value}' is listed twice; keep one")


def _identity_violations(flag: Flag) -> Iterator[Violation]:
    if flag.identity is None:
        return
    path: Path = ("identity",)
    if flag.identity == flag.unit:
        yield Violation(path, f"'{flag.identity}' is the unit itself; name another id that its events carry, or none")
    elif flag.unit.startswith("user_properties."):
        yield Violation(path, f"'{flag.unit}' cannot be joined with one; split by user_id, device_id or groups.TYPE")
    if not flag.metrics:
        yield Violation(path, f"'{flag.identity}' would be ignored: '{flag.key}' has no metrics; remove it")


def _size_violations(flag: Flag, metrics: Mapping[str, Metric | None]) -> Iterator[Violation]:
    """Whether the experiment's largest look fits into a message, names as they are and every number at its longest."""
    treatments = len(flag.variants) - 1
    segments = [
        f"{breakdown.property}={value}" for breakdown in flag.breakdowns for value in (*breakdown.values, "(other)")
    ]
    names = sum(len(msgspec.json.encode(segment)) for segment in segments)
    longest = max((len(variant.key) for variant in flag.variants), default=0)
    size = 0
    for goal in flag.metrics:
        metric = metrics.get(goal.metric)
        readings = 1 if metric and metric.window == "none" else 2
        of_segment = CELL_BYTES + len(goal.metric) + 2 * longest
        size += treatments * readings * ((1 + len(segments)) * of_segment + names)
    if size > MAX_MESSAGE_BYTES:
        yield Violation(
            ("breakdowns",),
            f"{len(flag.metrics)} metrics, {treatments} treatments and {len(segments)} segments can make looks of "
            f"{size / 1e6:.0f} MB, and a message holds {MAX_MESSAGE_BYTES / 1e6:.0f}; list fewer values, or metrics",
        )


def filter_violations(where: Iterable[Condition], path: Path) -> Iterator[Violation]:
    """What is wrong with the conditions at `path` of an event, which is known by what it says itself."""
    for index, condition in enumerate(where):
        if OF_OURS.fullmatch(condition.property):
            yield Violation(
                (*path, index, "property"),
                f"an event does not say '{condition.property}'; compare a property of the event or of its user",
            )
        try:
            compile_condition(condition.op, condition.values)
        except ConditionError as error:
            yield Violation((*path, index, "values"), str(error))


def _date_violations(flag: Flag) -> Iterator[Violation]:
    parsed: dict[str, datetime] = {}
    for name, text in (("start", flag.start), ("end", flag.end)):
        if text is None:
            continue
        try:
            parsed[name] = parse_date(text)
        except ValueError:
            yield Violation((name,), f"'{text}' is no ISO 8601 date; write 2026-03-01 or 2026-03-01T09:00:00+01:00")
    if len(parsed) == 2 and parsed["end"] <= parsed["start"]:
        yield Violation(("end",), f"'{flag.end}' is not after the start, '{flag.start}'; one of the two is wrong")


def state_violations(state: FlagState) -> Iterator[Violation]:
    """What is wrong with the runs of a flag's document: commands never make such, other writers may."""
    keys = [run.key for run in state.runs]
    if len(set(keys)) < len(keys):
        yield Violation(("runs",), f"run keys repeat: {', '.join(keys)}")
    for index, run in enumerate(state.runs):
        is_last = index == len(state.runs) - 1
        if run.completed is None and not (is_last and state.status == "running"):
            yield Violation(
                ("runs", index, "completed"), f"'{run.key}' is open, but only the last run of a running flag can be"
            )
        if run.allocations and run.completed is None:
            arms = set(run.allocations[-1].weights)
            defined = {variant.key for variant in state.definition.variants}
            if arms != defined:
                yield Violation(
                    ("runs", index, "allocations"),
                    f"'{run.key}' allocates {', '.join(sorted(arms))}; the variants are {', '.join(sorted(defined))}",
                )
        if not run.allocations:
            yield Violation(("runs", index, "allocations"), f"'{run.key}' has none; a run has at least one")
        for place, allocation in enumerate(run.allocations):
            if sum(allocation.weights.values()) == 0:
                yield Violation(("runs", index, "allocations", place, "weights"), "the weights sum to 0")
    if (state.rolled_out is not None) != (state.status == "rolled out"):
        yield Violation(("rolled_out",), f"a flag that is {state.status} has one, or has none, against its status")
    if state.rolled_out is not None and not any(state.rolled_out.weights.values()):
        yield Violation(("rolled_out", "weights"), "the weights sum to 0")
    if state.status == "running" and (not state.runs or state.runs[-1].completed is not None):
        yield Violation(("status",), "a running flag needs an open run")
