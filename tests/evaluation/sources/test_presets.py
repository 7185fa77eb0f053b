"""Presets: records as products write them are the events and exposures that they mean."""

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from evaluation.assignment.trying import tried
from evaluation.catalog.source_rules import source_violations
from evaluation.sources.presets import PRESETS
from schemas.source import ForeignSource, Preset

VECTORS = Path(__file__).parents[2] / "vectors" / "sources"
MONTH_MS = 30 * 86_400_000
NOW = 1_772_366_500_000  # after what the records tell


def source_of(vectors: dict[str, Any]) -> ForeignSource:
    """A document that says the preset, and what else it has to."""
    makes = PRESETS[vectors["preset"]].makes
    said = {"key": "a", "topic": "b", "as": makes, "preset": vectors["preset"], "map": vectors.get("map", {})}
    return msgspec.convert(said, ForeignSource)


@pytest.mark.parametrize("preset", get_args(Preset))
def test_a_record_is_what_it_means(preset: str, records_of: Any) -> None:
    vectors = json.loads((VECTORS / f"{preset}.json").read_text())
    source = source_of(vectors)
    rows = [
        (
            offset,
            NOW,
            None if each["value"] is None else json.dumps(each["value"]).encode(),
            [(name, value.encode()) for name, value in each.get("headers", {}).items()],
        )
        for offset, each in enumerate(vectors["records"])
    ]

    found = tried(records_of(rows, topic="@b"), source, MONTH_MS, 0)

    assert [*source_violations(source)] == []
    assert [each.reason for each in found] == [None] * len(rows), found
    assert [each.message and json.loads(msgspec.json.encode(each.message)) for each in found] == vectors["expected"]
    assert vectors["made"]


def test_every_preset_has_its_map() -> None:
    assert [*PRESETS] == [*get_args(Preset)]
