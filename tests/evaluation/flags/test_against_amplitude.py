"""The engine against Amplitude's own: random flags yield the same for random contexts, but for listed differences."""

import json
from itertools import product

from amplitude_experiment import User
from amplitude_experiment.util.user import user_to_evaluation_context
from hypothesis import given, note, settings

from evaluation.flags.engine import Flags
from evaluation.flags.users import context_of
from tests.evaluation.flags.amplitude import EVERY_OPERATOR, KINDS, Reference, chances, sorted_flags

PAIRS = 20_000  # of a flag and a context, in each run


SELECTED = {
    "context": ("user_id", "version", "user_properties", "cohort_ids", "org", "team", "url"),
    "result": ("key", "value", "payload", "metadata"),
}


def test_random_flags_yield_what_amplitudes_engine_yields():
    reference, compared, unlike = Reference(), 0, 0

    def compare(flags, context, answers):
        nonlocal compared, unlike
        note(f"{context}")
        expected = reference.evaluate(context, flags)
        for key in {flag.key for flag in flags} - reference.unlike:
            assert said(answers.get(key)) == said(expected.get(key)), key
            compared += 1
        unlike += len(reference.unlike)

    @settings(max_examples=100)
    @given(chances())
    def run(chance):
        configs = [*chance.probes(), *chance.flags()]
        note(json.dumps(configs))
        ours, theirs = Flags.read(json.dumps(configs)), sorted_flags(configs)
        assert not ours.problems
        for _ in range(10):
            user, context = chance.user(), chance.context()
            compare(theirs, user_to_evaluation_context(User(**user)), ours.evaluate(user))
            compare(theirs, context, ours.evaluate_context(context))

    run()

    assert compared >= PAIRS
    assert unlike < compared / 4
    reached = {step[:2] for step in reference.reached}
    kinds = set(product([*EVERY_OPERATOR, "bucket"], KINDS))
    assert reached >= kinds - {("set is not", "NoneType"), ("regex does not match", "NoneType")}  # always a difference
    results = {(step, result) for step, kind, result in reference.reached if kind != "NoneType"}
    assert results >= set(product([*EVERY_OPERATOR, "bucket"], (True, False))) - {("unknown", True)}
    selected = {
        root: {name for step, of, name in reference.reached if (step, of) == ("selector", root)} for root in SELECTED
    }
    assert all(selected[root] >= set(names) for root, names in SELECTED.items())


def test_what_is_null_does_not_stand_in_the_context():
    user = {"user_id": "ann", "city": None, "groups": {"org": ["acme"]}}

    assert context_of(user) == user_to_evaluation_context(User(**user))


def said(variant):
    """What a flag yields, by either engine."""
    return variant and (variant.key, variant.value, variant.payload, variant.metadata)
