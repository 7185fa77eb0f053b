"""Numbers computed with other people's software."""

import json
from pathlib import Path

import pytest

from tests.vectors.__main__ import main
from tests.vectors.cases import FAMILIES, ROUGH, failures

FILE = Path(__file__).parents[2] / "vectors" / "statistics.json"
CASES = json.loads(FILE.read_text())["cases"]
OURS = [case for case in CASES if case["family"] in FAMILIES]


@pytest.mark.parametrize("case", OURS, ids=[case["id"] for case in OURS])
def test_the_product_agrees_with_the_reference(case):
    assert failures(case) == []


def test_every_number_of_every_case_is_compared():
    rough = {(family, field) for family, field, _, near in ROUGH if near is None}

    def worsened(value):
        return [worsened(each) for each in value] if isinstance(value, list) else value * 1.01 + 0.01

    for case in OURS:
        for field, value in case["outputs"].items():
            if value is None or (case["family"], field) in rough:
                continue
            wrong = {**case, "outputs": {**case["outputs"], field: worsened(value)}}
            assert [name for name, _, _ in failures(wrong)] == [field]


def test_a_file_may_hold_unknown_families_and_unreadable_cases(tmp_path, capsys):
    known = next(case for case in CASES if case["id"] == "ex_fieller_0_crit3.2")
    wrong = {**known, "id": "wrong", "outputs": {**known["outputs"], "g": 0.5}}
    unreadable = {**known, "id": "unreadable", "inputs": {}}
    cases = [{**known, "id": "new", "family": "sequential.unheard_of"}, known, wrong, unreadable]
    path = tmp_path / "more.json"
    path.write_text(json.dumps({"meta": {}, "cases": cases}))

    assert main(path) == 1
    printed = capsys.readouterr().out
    assert "wrong: g: expected 0.5, got 0.002304" in printed
    assert "unreadable: inputs" in printed
    assert printed.endswith("1 passed, 2 failed, 1 skipped\n")
