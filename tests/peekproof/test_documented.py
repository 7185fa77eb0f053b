"""What docstrings and notebooks show is what comes of it."""

import doctest
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import peekproof as pp

EXAMPLES = Path(__file__).parents[2] / "examples"
MODULES = ("analyzing", "planning", "tables")


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_show_what_comes(name: str):
    found = doctest.testmod(
        import_module(f"peekproof.{name}"), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )

    assert found.attempted
    assert not found.failed


def test_a_notebook_analyses_real_experiments():
    cells = json.loads((EXAMPLES / "experiments.ipynb").read_text())["cells"]
    named: dict[str, Any] = {}

    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec("".join(cell["source"]), named)

    results = {name: value for name, value in named.items() if isinstance(value, pp.Result)}
    assert {name: each.look.verdict.decision for name, each in results.items()} == {
        "e_mails": "ship",
        "rewards": "ship",
        "plain": "ship",
        "adjusted": "ship",
        "basket": "keep running",
    }
    assert "<td>visited</td>" in results["e_mails"]._repr_html_()
    assert "163,645" in pp.plan(baseline=0.115, effect=0.05)._repr_html_()
    with pytest.raises(pp.PeekproofError, match="5 is no baseline of 'metric', a rate: write "):
        pp.plan(baseline=5, effect=0.05)
    with pytest.raises(pp.PeekproofError, match=r"effect=5 is \+500%; write 0.05 for 5 %"):
        pp.plan(baseline=0.1, effect=5)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"daily_units": -5}, "daily_units=-5: it is above 0, such as 20_000; leave it out if unknown"),
        ({"daily_units": float("nan")}, "daily_units=nan: it is a number, such as 20_000"),
        ({"units": 0}, "units=0: it is above 0, such as 100_000; leave it out if unknown"),
        ({"units": 1.5}, "units=1.5: it is a whole number, such as 100_000"),
        ({"baseline": "0.1"}, "baseline='0.1': it is a number, such as 0.115"),
        ({"effect": None}, "effect=None: it is a number, such as 0.05"),
        ({"arms": 1}, "arms=1: there are at least two, control among them"),
        ({"power": 1}, "power=1: it is a chance, from 0.05 to 0.999"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_the_way_out(asked: dict[str, Any], says: str):
    with pytest.raises(pp.PeekproofError) as error:
        pp.plan(**{"baseline": 0.1, "effect": 0.05} | asked)

    assert str(error.value) == says
