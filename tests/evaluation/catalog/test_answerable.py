"""What every engine can answer, and all of them the same: what is refused of an edit, and what stands on the log."""

import msgspec
import pytest

from evaluation.catalog.answerable import answer_notes, answer_violations
from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.history import edit_violations
from evaluation.catalog.lifecycle import apply_definition, start
from evaluation.catalog.overview import summary
from evaluation.catalog.references import Known
from evaluation.flags.paths import property_selector
from schemas.catalog import Breakdown, Condition, Flag, Group, GroupSlot, Membership, Metric, Segment, Step, Variant
from schemas.written import Operator
from tests.evaluation.catalogs import in_force

PATTERNS = [
    r"(?!test).*@shop\.example",
    "(?<=a)b",
    r"(a)\1",
    "a{1,2000}",
    "a++",
    r"\Z",
    "[[:word:",
    "*abc",
    "abc\\",
]


def flag(*conditions: Condition, **fields: object) -> Flag:
    variants = (Variant(key="on", users=("ann",)),)
    return Flag(
        key="button", owner="shop", variants=variants, segments=(Segment(name="s", conditions=conditions),), **fields
    )


def compared(op: Operator, *values: str, name: str = "user_properties.p") -> Condition:
    return Condition(property=name, op=op, values=values)


@pytest.mark.parametrize("pattern", [r"\\A\[:alpha:\]", "[:;]+", r"a\.b\d{0,5}(?:x|y)", r"\w+@\{,"])
def test_f01_a_pattern_that_all_engines_read_alike_is_not_refused(pattern: str):
    assert not [*answer_violations(flag(compared("regex match", pattern)))]


def test_f01_a_pattern_of_a_filter_is_refused_once():
    broken = compared("regex match", "(?!a)")
    metric = Metric(key="m", owner="o", type="conversion", event="e", window="1d", where=(broken,))
    entered = msgspec.structs.replace(flag(), exposure_event=Step(event="e", where=(broken,)))

    for definition, path in ((metric, "where[0].values"), (entered, "exposure_event.where[0].values")):
        (violation,) = edit_violations(definition, in_force([]).newest)
        assert str(violation).startswith(f"{path}: '(?!a)' is no regular expression")


def running(definition: Flag):
    """The catalog with the flag, which runs, as a writer of another version left it."""
    draft = apply_definition(None, definition, 1)
    return in_force([("flag", "button", 1, draft), ("flag", "button", 2, start(draft, 2, "salt"))]).newest


@pytest.mark.parametrize("op", ["regex match", "regex does not match"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_f01_a_pattern_that_cannot_be_evaluated_is_refused_with_its_place(pattern: str, op: Operator):
    definition = flag(compared("is", "x"), compared(op, "fine", pattern))

    (violation,) = answer_violations(definition)

    assert violation.path == ("segments", 0, "conditions", 1, "values", 1)
    assert f"'{pattern}' is no regular expression of RE2" in violation.message
    assert violation in edit_violations(definition, in_force([]).newest)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_f01_a_flag_on_the_log_that_cannot_be_evaluated_is_off_and_says_why(pattern: str):
    catalog = running(flag(compared("regex match", pattern)))

    for user in ("ann", "bob"):
        answer = flags_in_force(catalog).evaluate({"user_id": user})["button"]
        assert (answer.key, answer.reason) == ("off", "inactive")
        assert f"segment 's', user_properties.p: '{pattern}' is no regular expression" in answer.metadata["problem"]
    assert pattern in (summary(catalog.flags["button"], 0).problem or "")


def test_f01_what_can_be_evaluated_has_no_problem():
    catalog = running(flag(compared("regex match", "(?i)a.*"), compared("glob match", "a*", "\\", "[")))

    assert flags_in_force(catalog).evaluate({"user_id": "ann"})["button"].key == "on"
    assert summary(catalog.flags["button"], 0).problem is None


@pytest.mark.parametrize(
    ("op", "value", "way_out"),
    [
        ("version less", "10", "'10.0'"),
        ("version greater or equal", "v10.4.0", "'10.4.0'"),
        ("version less or equal", ">=10.4.0", "'10.4.0'"),
        ("version greater", "1.2.3+build", "'1.2.3'"),
        ("version greater", "latest", "MAJOR.MINOR"),
        ("greater", "eighteen", "write digits"),
        ("less", "1,000", "write digits"),
        ("less or equal", " 18", "write digits"),
        ("greater or equal", "10.4.0", "of versions write op: version greater or equal"),
    ],
)
def test_f04_a_value_that_would_be_compared_as_a_text_is_refused_with_the_right_form(
    op: Operator, value: str, way_out: str
):
    condition = compared(op, value)
    metric = Metric(
        key="m", owner="o", type="funnel", steps=(Step(event="a"), Step(event="b", where=(condition,))), window="1d"
    )

    (of_flag,), (of_metric,) = answer_violations(flag(condition)), answer_violations(metric)

    assert of_flag.message == of_metric.message
    assert f"'{value}' is no " in of_flag.message
    assert way_out in of_flag.message
    assert of_metric.path == ("steps", 1, "where", 0, "values", 0)


@pytest.mark.parametrize(
    ("op", "values"),
    [
        ("version less", ("10.4", "10.4.0", "1.2.3-rc.1", "(none)")),
        ("greater", ("18", "-0.5", ".5", "1e3", "2026-03-01", "2026-03-01T09:00:00+01:00", "(none)")),
        ("is", ("eighteen", "1,000")),
    ],
)
def test_f04_what_is_a_number_a_version_or_a_date_is_compared(op: Operator, values: tuple[str, ...]):
    assert not list(answer_violations(flag(compared(op, *values))))


def test_f04_what_stands_on_the_log_is_compared_as_it_was():
    definition = flag(compared("greater", "eighteen"))

    answer = flags_in_force(running(definition)).evaluate({"user_id": "bob", "user_properties": {"p": "nineteen"}})

    assert answer["button"].key == "on"


@pytest.mark.parametrize(
    "name",
    [
        "user_properties.address.city",
        "groups.company.group_properties.address.city",
        "event_properties.address.city",
    ],
)
def test_f11_a_path_into_a_property_is_refused_and_a_name_with_a_dot_can_be_written(name: str):
    of_segment = list(answer_violations(flag(compared("is", "Wien", name=name))))
    broken_down = list(answer_violations(flag(breakdowns=(Breakdown(property=name, values=("Wien",)),))))

    by_unit = list(answer_violations(flag(unit=name)))

    way_out = name.replace("address.city", r"address\.city")
    for violation in (*of_segment, *broken_down, *by_unit):
        assert "send 'address.city' as a property of its own" in violation.message
        assert violation.message.endswith(way_out)
    assert not list(answer_violations(flag(compared("is", "Wien", name=way_out))))
    assert property_selector(way_out)[-1] == property_selector(name)[-1] == "address.city"


def test_f11_a_property_whose_name_has_a_dot_is_found():
    catalog = running(
        msgspec.structs.replace(flag(compared("is", "Wien", name=r"user_properties.address\.city")), rollout=0)
    )

    def key_of(properties: dict[str, object]) -> str:
        return flags_in_force(catalog).evaluate({"user_id": "u", "user_properties": properties})["button"].key

    assert key_of({"address.city": "Wien"}) == "on"
    assert key_of({"address": {"city": "Wien"}}) == "off"


def test_f07_a_group_that_decides_by_another_unit_is_noted_of_a_flag():
    groups = {
        "slots": Group(key="slots", owner="o", type="mutual-exclusion", slots=(GroupSlot(percentage=100),)),
        "held": Group(key="held", owner="o", type="holdout", unit="groups.company", slots=(GroupSlot(percentage=5),)),
    }
    parents = {
        key: msgspec.structs.replace(flag(), key=key, unit=unit) for key, unit in (("p", "user_id"), ("q", "device_id"))
    }
    definition = flag(
        unit="device_id",
        groups=(Membership(group="slots", slots=(1,)), Membership(group="held")),
        prerequisites={"p": ("on",), "q": ("on",)},
    )

    assert [str(note) for note in answer_notes(definition, Known(flags=parents, groups=groups))] == [
        f"{path}: '{key}' decides by {unit}, and 'button' is bucketed by device_id: whoever has no {unit} gets 'off'"
        for path, key, unit in (
            ("groups[0]", "slots", "user_id"),
            ("groups[1]", "held", "groups.company"),
            ("prerequisites.p", "p", "user_id"),
        )
    ]


def segmented(*segments: tuple[str, tuple[Condition, ...]]) -> list[str]:
    definition = msgspec.structs.replace(
        flag(), segments=tuple(Segment(name=name, conditions=conditions) for name, conditions in segments)
    )
    return [str(note) for note in answer_notes(definition, Known())]


AT, ALPS = compared("is", "AT", name="country"), compared("is", "AT", "CH", name="country")
PRO = compared("is", "pro")


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ((), (AT,)),
        ((AT,), (AT,)),
        ((AT,), (PRO, AT)),
        ((ALPS,), (AT,)),
        ((compared("is not", "a"),), (compared("is not", "b", "a"),)),
    ],
)
def test_f18_a_segment_that_is_never_reached_is_noted(earlier: tuple[Condition, ...], later: tuple[Condition, ...]):
    (note,) = segmented(("first", earlier), ("second", later))

    why = "takes whoever satisfies its conditions" if earlier else "has no conditions"
    assert note == f"segments[1]: 'second' is never reached: 'first' comes before it and {why}"


def test_f18_a_segment_that_nobody_can_match_and_two_of_one_name_are_noted():
    assert segmented(("a", (AT,)), ("b", (ALPS, compared("is", "DE", name="country")))) == [
        "segments[1]: 'b' is never reached: nobody's country is two things at once"
    ]
    assert segmented(("a", (AT,)), ("a", (PRO,))) == [
        "segments[1].name: 'a' is the name of two segments, and answers say it; name them apart"
    ]


def test_f18_segments_that_can_be_reached_are_not():
    assert not segmented(
        ("a", (AT, PRO)),
        ("b", (ALPS,)),
        ("c", (compared("is", "free", "x"), compared("is", "old"))),  # an array may hold both
        ("d", (PRO,)),
        ("e", (compared("is not", "AT", name="country"),)),
        ("f", ()),
    )


@pytest.mark.parametrize(
    ("op", "value", "is_noted"),
    [
        ("less", "2026-01-01", True),
        ("greater or equal", "abc", True),
        ("greater", "1.5e3", False),
        ("version less", "1.2.3", False),
        ("is", "2026-01-01", False),
    ],
)
def test_a_text_as_a_bound_is_noted_for_javascript_orders_none(op: str, value: str, is_noted: bool):
    said = segmented(("new", (compared(op, value),)))

    assert [(f"'{value}' is compared in the order of texts" in note) for note in said] == [True] * is_noted


def test_f02_a_number_that_javascript_reads_as_another_is_noted():
    for payload, notes in (({"a": [2**53 + 1]}, 1), (-(2**60), 1), ({"a": 2**53}, 0), (True, 0), (1e300, 0)):
        definition = msgspec.structs.replace(flag(), variants=(Variant(key="on", payload=payload),))
        assert len(list(answer_notes(definition, Known()))) == notes


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("(?i)pro", "(?i)"),
        (r"a\\(?i:b)", "(?i:"),
        ("(?P<name>a)", "(?P<name>"),
        (r"\p{Greek}", r"\p"),
        ("[[:alpha:]]+", "[[:"),
        (r"\Apro\z", r"\A"),
        ("[]a]", "[]"),
        ("a{,5}", "{,5}"),
        (r"x\Q.\E", r"\Q"),
        (r"x\pL", r"\p"),
        (r"x\x{41}", r"\x{"),
    ],
)
def test_f03_a_pattern_that_other_engines_refuse_or_read_otherwise_is_refused(pattern: str, part: str):
    (violation,) = answer_violations(flag(compared("regex match", pattern)))

    assert violation.path == ("segments", 0, "conditions", 0, "values", 0)
    assert f"'{pattern}' has '{part}', which engines of other languages refuse" in violation.message


def test_f03_patterns_that_all_engines_read_alike_are_taken_and_one_that_may_be_a_part_is_noted():
    alike = (r".*@shop\.example", r"^\d{1,5}\s(?:a|b)[^\]x]+\(\?i\)\x41$", "pro.*")
    definition = flag(compared("regex match", *alike, "pro|max"))

    assert not [*answer_violations(definition)]
    (note,) = answer_notes(definition, Known())
    assert note.path == ("segments", 0, "conditions", 0, "values", 3)
    assert note.message == "'pro|max' is compared with the whole text; write '.*(pro|max).*' to find it anywhere in it"


def test_the_end_of_a_word_is_noted_for_engines_see_other_ones():
    (note,) = answer_notes(flag(compared("regex match", r".*\bpro\b.*", r".*\\b.*")), Known())

    assert note.path == ("segments", 0, "conditions", 0, "values", 0)
    assert "has '\\b', by which some engines see words of ASCII alone" in note.message
