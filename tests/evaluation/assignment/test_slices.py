"""Slices: a column at a time gives what one by one gives."""

import json

import msgspec
import numpy as np
from hypothesis import given, settings

from evaluation.assignment.properties import PropertyColumn
from evaluation.assignment.slices import evaluate_columns
from evaluation.columns.texts import Texts
from evaluation.flags.engine import Flags
from evaluation.flags.values import select
from tests.evaluation.flags.amplitude import EVERY_OPERATOR, PATTERNS, SHARES, chances

USERS = 200_000
USER_ID = ("context", "user", "user_id")


@settings(max_examples=60, deadline=None)
@given(chances())
def test_random_flags_yield_the_same_for_a_slice_of_contexts_as_for_each(chance):
    flags = Flags.read(json.dumps([*chance.probes(), *chance.flags()]))
    contexts = [chance.context() for _ in range(15)]
    values = {at: [select({"context": each}, at) for each in contexts] for at in flags.selectors}
    as_json = {
        at: PropertyColumn.of_json(
            Texts.of([None if each is None else msgspec.json.encode(each).decode() for each in column])
        )
        for at, column in values.items()
    }

    one_by_one = [flags.evaluate_context(each) for each in contexts]

    for columns in ({at: PropertyColumn.of_values(column) for at, column in values.items()}, as_json):
        answers = evaluate_columns(flags, columns, len(contexts))
        assert [{key: each[i] for key, each in answers.items() if each[i]} for i in range(len(contexts))] == one_by_one


def test_users_get_the_same_variants_in_a_slice_as_one_by_one_by_every_operator():
    numbers = np.random.default_rng(6).permutation(USERS)
    codes = {"country": numbers % 5, "version": numbers % 7, "seats": numbers % 11, "tags": numbers % 3}
    values = {
        "country": ["AT", "CH", "DE", None, ""],
        "version": ["1.2", "1.10.0", "2.0.0-beta", "2.0.0", "x", 3, None],
        "seats": [*range(8), "9", 10.5, True],
        "tags": [["a", "b"], '["b"]', None],
    }
    ids = [f"user-{number}" for number in numbers.tolist()]
    columns = {USER_ID: PropertyColumn.of_texts(Texts.of(ids))}
    columns |= {("context", "user", name): PropertyColumn.of_codes(codes[name], each) for name, each in values.items()}
    configs = {op: [_flag(op)] for op in EVERY_OPERATOR} | {"below": [_flag("is"), _below()]}
    alone = {key: Flags.read(json.dumps(each)) for key, each in configs.items()}
    together = Flags.read(json.dumps([*map(_flag, EVERY_OPERATOR), _below()]))

    in_a_slice = evaluate_columns(together, columns, USERS)

    keys = [*configs]
    outcomes = {key: [each.key for each in answer.outcomes] for key, answer in in_a_slice.items()}
    said = {key: [outcomes[key][code] for code in answer.codes.tolist()] for key, answer in in_a_slice.items()}
    properties = zip(*([each[code] for code in codes[name].tolist()] for name, each in values.items()), strict=True)
    for i, (user_id, found) in enumerate(zip(ids, properties, strict=True)):
        key = keys[numbers[i] % len(keys)]  # one by one each user is asked for one of the flags
        context = {"user": {"user_id": user_id, **dict(zip(values, found, strict=True))}}
        assert alone[key].evaluate_context(context)[key].key == said[key][i]
    for each in said.values():
        assert len(set(each)) > 1


def _flag(op):
    """A flag whose first segment has a condition with the operator, and whose second splits everybody else."""
    name = {"version": "version", "less": "seats", "greater": "seats", "set": "tags"}.get(op.split()[0], "country")
    texts = {"version": ["1.10.0"], "seats": ["5", "3"], "tags": ["b"], "country": ["AT", "true"]}[name]
    condition = {"selector": ["context", "user", name], "op": op, "values": PATTERNS if "regex" in op else texts}
    return {
        "key": op,
        "variants": {key: {"key": key} for key in ("on", "off", "control")},
        "segments": [
            {"conditions": [[condition]], "bucket": _split("on", 70), "variant": "off"},
            {"bucket": _split("control", 50), "variant": "off"},
        ],
    }


def _split(variant, percent):
    halves = [{"variant": variant, "range": [0, SHARES // 2]}, {"variant": "off", "range": [SHARES // 2, SHARES]}]
    return {
        "selector": [*USER_ID],
        "salt": variant,
        "allocations": [{"range": [0, percent], "distributions": halves}],
    }


def _below():
    """A flag that depends on another."""
    needed = {"selector": ["result", "is", "key"], "op": "is not", "values": ["on", "control"]}
    segments = [{"conditions": [[needed]], "variant": "off"}, {"bucket": _split("control", 50), "variant": "on"}]
    return _flag("is") | {"key": "below", "dependencies": ["is"], "segments": segments}
