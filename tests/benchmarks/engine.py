"""Engine: evaluations per second beside Amplitude's Python engine, of the same flags for the same users.

Ten flags as Amplitude compiles them: a holdout, a mutual exclusion, and eight experiments behind both, each with an
inclusion, two segments and everybody else. An evaluation answers all ten for one user. Amplitude's engine takes users
one by one; ours does too, and takes them as columns. Both must give the same variants. Ratios within one run count.
"""

import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from amplitude_experiment.evaluation.engine import EvaluationEngine
from amplitude_experiment.evaluation.types import EvaluationFlag

from evaluation.assignment.properties import PropertyColumn
from evaluation.assignment.slices import evaluate_columns
from evaluation.columns.texts import Texts
from evaluation.flags.engine import Flags
from evaluation.flags.values import select

USERS = 1 << 17
ONE_BY_ONE = 5_000  # of which so many are taken one by one
SHARES = 42_949_673
OFF = {"key": "off", "metadata": {"default": True}}


def measure() -> dict[str, dict[str, float]]:
    """CPU and wall seconds per evaluation of each."""
    print(f"  {USERS:,} users …", file=sys.stderr, flush=True)
    configs = [_group("holdout", {"holdout": 1, "on": 99}), _group("slots", {"slot-1": 50, "slot-2": 50})]
    configs += [_experiment(number) for number in range(8)]
    users = [_user(number) for number in range(USERS)]
    some = [{"user": user} for user in users[:ONE_BY_ONE]]
    flags = Flags.read(json.dumps(configs))
    theirs, engine = [EvaluationFlag.from_dict(config) for config in configs], EvaluationEngine()
    columns = {selector: _column(selector, users) for selector in flags.selectors}

    def fresh() -> dict[Any, PropertyColumn]:
        return {selector: PropertyColumn(column.distinguish, column.plain) for selector, column in columns.items()}

    in_a_slice = evaluate_columns(flags, fresh(), USERS)
    for i, context in enumerate(some):
        expected = {key: each.key for key, each in engine.evaluate(context, theirs).items()}
        assert {key: each.key for key, each in flags.evaluate_context(context).items()} == expected
        assert {key: each[i].key for key, each in in_a_slice.items()} == expected
    return {
        "amplitude, one by one": _timed(lambda: [engine.evaluate(each, theirs) for each in some], ONE_BY_ONE),
        "one by one": _timed(lambda: [flags.evaluate_context(each) for each in some], ONE_BY_ONE),
        "a slice": _timed(lambda: evaluate_columns(flags, fresh(), USERS), USERS),
    }


def show(measured: dict[str, dict[str, float]]) -> str:
    """A table of the figures, with ratios to Amplitude's engine."""
    lines = [f"{'':24}{'evaluations per CPU second':>28}{'per second':>14}{'ratio':>10}"]
    first = measured["amplitude, one by one"]["cpu_seconds"]
    for name, its in measured.items():
        cpu, wall = 1 / its["cpu_seconds"], 1 / its["wall_seconds"]
        lines.append(f"{name:24}{cpu:28,.0f}{wall:14,.0f}{cpu * first:9.1f}x")
    return "\n".join(lines)


def _timed(work: Callable[[], object], evaluations: int) -> dict[str, float]:
    """The best of three."""
    figures = []
    for _ in range(3):
        started = time.process_time(), time.monotonic()
        work()
        figures.append((time.process_time() - started[0], time.monotonic() - started[1]))
    cpu, wall = min(figures)
    return {"cpu_seconds": cpu / evaluations, "wall_seconds": wall / evaluations}


def _group(key: str, percentages: dict[str, int]) -> dict[str, Any]:
    segment = {"bucket": _bucket(key, 100, percentages), "variant": "off"}
    return {"key": key, "variants": {each: {"key": each} for each in percentages} | {"off": OFF}, "segments": [segment]}


def _experiment(number: int) -> dict[str, Any]:
    weights, user = {"control": 50, "treatment": 50}, ["context", "user"]
    testers = [f"tester-{tester}" for tester in range(10)]

    def split(rollout: int) -> dict[str, Any]:
        return {"bucket": _bucket(f"salt-{number}", rollout, weights), "variant": "off"}

    segments = [
        {"conditions": [[_is([*user, "user_id"], "is", *testers)]], "variant": "treatment"},
        {
            "conditions": [
                [_is(["result", "holdout", "key"], "is not", "on")],
                [_is(["result", "slots", "key"], "is not", "slot-1", "slot-2")],
            ],
            "variant": "off",
        },
        {
            "conditions": [
                [_is([*user, "country"], "is", "AT", "CH"), _is([*user, "version"], "version greater or equal", "2.3")]
            ],
            **split(50),
        },
        {
            "conditions": [
                [
                    _is([*user, "user_properties", "plan"], "is", "pro"),
                    _is([*user, "user_properties", "seats"], "greater", "10"),
                ]
            ],
            **split(100),
        },
        split(20),
    ]
    variants = {key: {"key": key, "value": key} for key in weights} | {"off": OFF}
    metadata = {"flagVersion": 3, "experimentKey": "exp-1"}
    dependencies = ["holdout", "slots"]
    return {
        "key": f"experiment-{number}",
        "variants": variants,
        "segments": segments,
        "dependencies": dependencies,
        "metadata": metadata,
    }


def _bucket(salt: str, rollout: int, percentages: dict[str, int]) -> dict[str, Any]:
    sums = [sum([*percentages.values()][:i]) * SHARES // 100 for i in range(len(percentages) + 1)]
    shares = [{"variant": key, "range": [*each]} for key, each in zip(percentages, pairwise(sums), strict=True)]
    allocations = [{"range": [0, rollout], "distributions": shares}]
    return {"selector": ["context", "user", "user_id"], "salt": salt, "allocations": allocations}


def _is(selector: list[str], op: str, *values: str) -> dict[str, Any]:
    return {"selector": selector, "op": op, "values": [*values]}


def _user(number: int) -> dict[str, Any]:
    return {
        "user_id": f"user-{number}",
        "country": ["AT", "DE", "US"][number % 3],
        "version": ["2.3.1", "1.0.0"][number % 2],
        "user_properties": {"plan": ["pro", "free"][number % 2], "seats": number % 20},
    }


def _column(selector: tuple[str, ...], users: list[dict[str, Any]]) -> PropertyColumn:
    """As the stage has it: texts where they stand as texts, else JSON."""
    values = [select({"context": {"user": user}}, selector) for user in users]
    if isinstance(values[0], str):
        return PropertyColumn.of_texts(Texts.of(values))
    return PropertyColumn.of_json(Texts.of([json.dumps(value) for value in values]))
