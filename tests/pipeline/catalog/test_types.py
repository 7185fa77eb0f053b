"""Plain values as definitions."""

from time import monotonic

import pytest

from pipeline.catalog.types import definition_of, type_violations
from pipeline.errors import PeekproofError
from schemas.catalog import Flag, Variant
from schemas.notification import NotificationRule
from schemas.numbers import Count


def test_plain_values_become_a_definition_or_every_fault():
    value = {"key": "a", "owner": "me", "variants": [{"key": "on"}]}

    assert definition_of(value, Flag) == Flag(key="a", owner="me", variants=(Variant(key="on"),))
    with pytest.raises(PeekproofError, match=r"tags: 'x' is not allowed.*\nrollout: 'x' is not allowed"):
        definition_of(value | {"rollout": "x", "tags": "x"}, Flag)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://example.org", None),
        ({"env": "HOOK"}, None),
        ({"variable": "HOOK"}, "to[0].webhook.url.variable: is no field of this document; known: env, file"),
        (7, "to[0].webhook.url: 7 is not allowed; it must be a text of 1 to 1024 characters, in quotes"),
        (None, "to[0].webhook.url: nothing is not allowed; it must be a text of 1 to 1024 characters"),
    ],
)
def test_a_field_may_be_a_text_or_a_group_of_fields(url: object, fault: str | None) -> None:
    told = {"key": "a", "owner": "b", "when": [{"event": "lag"}], "to": [{"name": "c", "webhook": {"url": url}}]}
    assert [*map(str, type_violations(told, NotificationRule))] == ([fault] if fault else [])


def test_a_number_is_asked_for_where_one_is_wanted() -> None:
    (fault,) = type_violations("1", Count)
    assert fault.message == "'1' is not allowed; it must be a whole number, from 0 on"


def test_very_many_fields_that_a_document_does_not_have_are_told_in_a_moment() -> None:
    began = monotonic()
    assert len([*type_violations({f"field{number}": 1 for number in range(20_000)}, Flag)]) > 20_000
    assert monotonic() - began < 5
