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
