"""Plain values as definitions."""

import pytest

from pipeline.catalog.types import definition_of
from pipeline.errors import PeekproofError
from schemas.catalog import Flag, Variant


def test_plain_values_become_a_definition_or_every_fault():
    value = {"key": "a", "owner": "me", "variants": [{"key": "on"}]}

    assert definition_of(value, Flag) == Flag(key="a", owner="me", variants=(Variant(key="on"),))
    with pytest.raises(PeekproofError, match=r"tags: 'x' is not allowed.*\nrollout: 'x' is not allowed"):
        definition_of(value | {"rollout": "x", "tags": "x"}, Flag)
