"""Where a document's names stand in a context and in a message."""

import pytest

from evaluation.flags.paths import (
    cohort_selector,
    message_path,
    property_path,
    property_selector,
    unit_path,
    unit_selector,
)


@pytest.mark.parametrize(
    ("name", "selector", "path"),
    [
        ("country", ("user", "country"), ("country",)),
        ("user_properties.a.b", ("user", "user_properties", "a.b"), ("user_properties", "a.b")),
        ("event_properties.price", ("user", "event_properties", "price"), ("event_properties", "price")),
        ("cohort", ("user", "cohort_ids"), ("cohort_ids",)),
        ("groups.big org.group_name", ("groups", "big org", "group_name"), ("groups", "big org")),
        ("groups.org.cohort", ("groups", "org", "cohort_ids"), ("group_cohort_ids", "org")),
        ("groups.org.group_properties.a.b", ("groups", "org", "group_properties", "a.b"), ("group_properties", "org")),
    ],
)
def test_a_property_stands_at_a_selector_and_a_path(name, selector, path):
    assert property_selector(name) == ("context", *selector)
    assert property_path(name) == message_path(("context", *selector)) == path


@pytest.mark.parametrize(
    ("unit", "as_property", "cohorts"),
    [
        ("user_id", "user_id", "cohort"),
        ("device_id", "device_id", "cohort"),
        ("groups.org", "groups.org.group_name", "groups.org.cohort"),
        ("user_properties.a", "user_properties.a", "cohort"),
    ],
)
def test_a_unit_and_its_cohorts_stand_where_properties_do(unit, as_property, cohorts):
    assert unit_selector(unit) == property_selector(as_property)
    assert unit_path(unit) == property_path(as_property)
    assert cohort_selector(unit) == property_selector(cohorts)
