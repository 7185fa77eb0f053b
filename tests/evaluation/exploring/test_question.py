"""The plain words of questions."""

import pytest

from evaluation.exploring.question import (
    ExploreQuestion,
    QuestionError,
    condition_of,
    event_property_of,
    metrics_of,
    property_of,
)
from schemas.catalog import Condition, Metric, Step


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("page_view:count", {"type": "count", "event": "page_view", "window": "none"}),
        ("purchase:sum:revenue@7d", {"type": "sum", "event": "purchase", "property": "revenue", "window": "7d"}),
        ("a:b:conversion", {"type": "conversion", "event": "a:b", "window": "none"}),
        ("/home:count", {"type": "count", "event": "/home", "window": "none"}),
        ("page_view:distinct:page", {"type": "distinct", "event": "page_view", "property": "page"}),
        ("visit:retention:7d", {"type": "retention", "event": "visit", "start": Step(event="visit"), "period": "7d"}),
        ("view > buy:funnel", {"type": "funnel", "steps": (Step(event="view"), Step(event="buy"))}),
    ],
)
def test_an_event_is_a_metric_in_words(words: str, expected: dict[str, object]) -> None:
    (metric,) = metrics_of(words)

    assert {name: getattr(metric, name) for name in expected} == expected
    assert metric.name == words


def test_two_events_with_a_line_between_are_a_ratio() -> None:
    numerator, denominator, ratio = metrics_of("purchase:sum:revenue / page_view:count")

    assert (numerator.type, denominator.type) == ("sum", "count")
    assert (ratio.numerator, ratio.denominator) == (numerator.key, denominator.key)
    assert isinstance(ratio, Metric)


def test_conditions_and_properties_have_short_names() -> None:
    assert condition_of("plan is pro, max") == Condition(
        property="user_properties.plan", op="is", values=("pro", "max")
    )
    assert condition_of('event_properties.page is not ["a, b"]').values == ("a, b",)
    assert condition_of("country does not contain A").op == "does not contain"
    assert (property_of("country"), property_of("plan"), property_of("day")) == (
        "country",
        "user_properties.plan",
        "day",
    )
    assert event_property_of("category") == "event_properties.category"


@pytest.mark.parametrize("words", ["purchase", "purchase:sum", "page_view:count:x", "visit:retention:soon", ":count"])
def test_what_is_no_metric_is_told_how_to_be_written(words: str) -> None:
    with pytest.raises(QuestionError, match=r"purchase:sum:revenue|page_view:count|visit:retention"):
        metrics_of(words)


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(QuestionError, match="PROPERTY OPERATOR VALUE"):
        condition_of("plan=pro")
    with pytest.raises(QuestionError, match="by_event"):
        ExploreQuestion(by=(("event_properties.x",),)).checked()
    with pytest.raises(QuestionError, match="most is 99"):
        ExploreQuestion(most=99).checked()
