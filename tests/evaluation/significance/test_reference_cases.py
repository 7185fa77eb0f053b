"""Numbers computed with other people's software."""

import json
from pathlib import Path

import pytest

from tests.vectors.cases import failures

CASES = json.loads((Path(__file__).parents[2] / "vectors" / "statistics.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_product_agrees_with_the_reference(case):
    found = failures(case)

    if found is None:
        pytest.skip(f"{case['family']} is not built")
    assert found == []


def test_a_wrong_reference_is_noticed():
    case = next(case for case in CASES if case["family"] == "sequential.mean")
    wrong = {**case, "outputs": {**case["outputs"], "ci_lower": case["outputs"]["ci_lower"] * 1.0001}}

    assert [field for field, _, _ in failures(wrong)] == ["ci_lower"]
