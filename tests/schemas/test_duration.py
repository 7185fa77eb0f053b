"""Durations as a person writes them."""

import pytest

from schemas.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0s", 0), ("500ms", 500), ("10s", 10_000), ("30m", 1_800_000), ("24h", 86_400_000), ("7d", 604_800_000)],
)
def test_a_duration_is_a_number_and_its_unit(text: str, milliseconds: int):
    assert parse_duration(text) == milliseconds


@pytest.mark.parametrize("text", ["", "10", "s", "1.5h", "-1s", "1 s", "10s\n", "1S", "1w", "1000000000ms", "١s"])
def test_anything_else_is_refused_with_the_way_out(text: str):
    with pytest.raises(ValueError, match="is no duration; write a whole number and its unit"):
        parse_duration(text)
