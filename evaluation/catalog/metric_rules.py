"""Metric rules: what a metric's definition must satisfy beyond the types of its fields."""

from collections.abc import Iterator, Mapping

import msgspec

from evaluation.catalog.in_force import PASTLESS
from evaluation.catalog.rules import Violation, did_you_mean, filter_violations
from schemas.catalog import Metric
from schemas.duration import parse_duration
from schemas.numbers import BEYOND, LATEST

CAPS = ("cap", "lower_cap")
LOOKBACK = ("1h", "90d")  # the shortest and the longest

NEEDS = {  # by type: a field that it cannot do without, and why
    "conversion": {"event": "is one event that the unit sent or not"},
    "count": {"event": "counts the unit's events of one type"},
    "sum": {"event": "adds up a property of one event", "property": "adds up a property of its event"},
    "mean": {"event": "averages a property of one event", "property": "averages a property of its event"},
    "ratio": {"numerator": "divides one metric by another", "denominator": "divides one metric by another"},
    "funnel": {"steps": "is a number of events in an order"},
    "retention": {"start": "begins with an event", "event": "is an event to which the unit returns"},
    "distinct": {"event": "counts different values of one event, or the days on which it was sent"},
    "percentile": {
        "event": "is of values of one event",
        "property": "is of values of a property",
        "percentile": "is the value that so many percent reach at most, 90 for example",
    },
}
MAY = {  # by type: which other fields it reads
    "conversion": {"where", "cuped"},
    "count": {"where", "cap", "log", "cuped"},
    "sum": {"where", "cap", "lower_cap", "log", "cuped"},
    "mean": {"where", "cap", "lower_cap", "log", "cuped"},
    "ratio": {"cuped"},
    "funnel": {"counting", "cap", "log", "cuped"},
    "retention": {"where", "nth", "period", "cuped"},
    "distinct": {"property", "where", "cap", "log", "cuped"},
    "percentile": {"where", "of"},
}
EVERY = {"key", "name", "description", "owner", "type", "window", "scale"}


def metric_violations(metric: Metric, metrics: Mapping[str, Metric | None]) -> Iterator[Violation]:
    """What is wrong with a metric's definition, given the metrics that exist (None: one of unknown definition)."""
    yield from _field_violations(metric)
    yield from _funnel_violations(metric)
    yield from _part_violations(metric, metrics)
    yield from _past_violations(metric, metrics)
    yield from _cap_violations(metric)
    yield from _time_violations(metric)
    yield from filter_violations(metric.where, ("where",))
    for index, step in enumerate(metric.steps):
        yield from filter_violations(step.where, ("steps", index, "where"))
    if metric.start:
        yield from filter_violations(metric.start.where, ("start", "where"))


def remarks(metric: Metric, metrics: Mapping[str, Metric]) -> Iterator[str]:
    """What a metric does not read of its parts, whatever they say."""
    for name in ("numerator", "denominator"):
        part = metrics.get(getattr(metric, name) or "")
        if part and _milliseconds(part.window) != _milliseconds(metric.window):
            yield (
                f"'{metric.key}' counts within its own window, {metric.window}: that of its {name} '{part.key}', "
                f"{part.window}, is not read"
            )


def _milliseconds(window: str) -> int | None:
    return None if window == "none" else parse_duration(window)


def _field_violations(metric: Metric) -> Iterator[Violation]:
    for field in msgspec.structs.fields(metric):
        value = getattr(metric, field.name)
        is_unsaid = value == field.default
        if field.name in NEEDS[metric.type]:
            if is_unsaid:
                why = NEEDS[metric.type][field.name]
                yield Violation(("type",), f"a {metric.type} {why}; name it with `{field.name}`")
        elif field.name not in MAY[metric.type] | EVERY and not is_unsaid:
            readers = [kind for kind in NEEDS if field.name in NEEDS[kind] or field.name in MAY[kind]]
            yield Violation(
                (field.name,),
                f"would be ignored: a {metric.type} reads no `{field.name}`; remove it, or say `type: {readers[0]}`",
            )


def _funnel_violations(metric: Metric) -> Iterator[Violation]:
    if metric.type != "funnel":
        return
    if len(metric.steps) == 1:
        yield Violation(("steps",), "there is one; a funnel has at least two: add one, or say `type: conversion`")
    for name in ("cap", "log"):
        if metric.counting == "uniques" and getattr(metric, name):
            yield Violation((name,), "would be ignored: uniques are 0 or 1; remove it, or say `counting: totals`")


def _part_violations(metric: Metric, metrics: Mapping[str, Metric | None]) -> Iterator[Violation]:
    for name in ("numerator", "denominator"):
        key = getattr(metric, name)
        if metric.type != "ratio" or key is None:
            continue
        part = metrics.get(key)
        if key not in metrics:
            yield Violation((name,), f"'{key}' is no metric; {did_you_mean(key, metrics)}")
        elif part and part.type == "ratio":
            yield Violation((name,), f"'{key}' is a ratio itself; divide metrics of other types")
        elif part and part.type == "percentile":
            yield Violation((name,), f"'{key}' is a percentile, which is no total; divide metrics of other types")
        elif part and metric.cuped and part.type in PASTLESS and not metric.cuped.others:
            yield Violation(
                ("cuped",), f"'{key}' is a {part.type}, which has no number before the entry; name others `with` it"
            )


def _past_violations(metric: Metric, metrics: Mapping[str, Metric | None]) -> Iterator[Violation]:
    if metric.cuped is None:
        return
    if metric.type in PASTLESS and not metric.cuped.others:
        yield Violation(("cuped",), f"a {metric.type} has no number before the entry; name other metrics `with` it")
    for index, key in enumerate(metric.cuped.others):
        path: tuple[str | int, ...] = ("cuped", "with", index)
        other = metrics.get(key)
        if key not in metrics:
            yield Violation(path, f"'{key}' is no metric; {did_you_mean(key, metrics)}")
        elif key == metric.key:
            yield Violation(path, "its own past is there anyway; name other metrics")
        elif key in metric.cuped.others[:index]:
            yield Violation(path, f"'{key}' is named twice; keep one")
        elif other and (without := _without_past(other, metrics)):
            yield Violation(path, f"'{without.key}' is a {without.type}, which has no number before the entry")


def _without_past(metric: Metric, metrics: Mapping[str, Metric | None]) -> Metric | None:
    """The metric or the part of it that has no number before the entry, if one has none."""
    parts = [metrics.get(key or "") for key in (metric.numerator, metric.denominator)]
    return next((each for each in (metric, *parts) if each and each.type in (*PASTLESS, "percentile")), None)


def _cap_violations(metric: Metric) -> Iterator[Violation]:
    places = metric.decimals if metric.property and metric.type != "distinct" else 0
    for name in CAPS:
        said = getattr(metric, name)
        if said is None:
            continue
        cap = said * 10**places
        if abs(cap) >= BEYOND:
            yield Violation((name,), f"{said:g} caps nothing: a total of {BEYOND / 10**places:g} is withheld anyway")
        elif round(cap) != cap and abs(round(cap) - cap) > 1e-6:
            way_out = "raise `scale` or round it" if metric.property else "write a whole number"
            yield Violation((name,), f"{said!r} has more than {places} decimal places; {way_out}")


def _time_violations(metric: Metric) -> Iterator[Violation]:
    if metric.type == "retention":
        shortest = (metric.nth + 1) * parse_duration(metric.period)
        if shortest > LATEST:
            yield Violation(
                ("period",), f"period {metric.nth} of {metric.period} ends behind the year 9999; write a shorter one"
            )
        elif metric.window != "none" and parse_duration(metric.window) < shortest:
            yield Violation(
                ("window",),
                f"{metric.window} is over before period {metric.nth} of {metric.period} is, even if a unit starts at "
                f"once; write at least {shortest}ms",
            )
    if metric.cuped:
        lookback = metric.cuped.lookback
        shortest, longest = map(parse_duration, LOOKBACK)
        if not shortest <= parse_duration(lookback) <= longest:
            yield Violation(
                ("cuped", "lookback"),
                f"{lookback} is not allowed; write a duration from {LOOKBACK[0]} to {LOOKBACK[1]}",
            )
