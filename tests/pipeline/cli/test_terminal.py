"""Tables in terminals of any width: one line a comparison, and nothing empty."""

import io
from collections.abc import Callable

import msgspec
import pytest
from rich.console import Console

from evaluation.significance.look import decode_look
from pipeline.cli.results import tables
from schemas.look import Look

Looks = Callable[..., list[tuple[int, int, int, bytes | None]]]


@pytest.fixture
def look(looks: Looks) -> Look:
    """One with two metrics of long names, all of whose columns say something."""
    ((_, _, _, value),) = looks(1, 1)
    one = decode_look(value)
    said = {
        "running_lower": -0.0123456,
        "running_upper": 0.0123456,
        "running_relative_lower": -0.0512345,
        "running_relative_upper": 0.1412345,
        "running_p_value": 0.01234,
        "adjusted_p_value": 0.02468,
        "judgement": "better",
    }
    (cell, *_) = one.cells
    named = [msgspec.structs.replace(cell, metric=name, **said) for name in ("purchase", "time_to_first_purchase")]
    return msgspec.structs.replace(one, cells=named)


def printed(look: Look, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(tables([look]))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [40, 60, 80, 150, 250])
def test_n19_a_comparison_is_one_line_in_a_terminal_of_any_width(look: Look, width: int) -> None:
    lines = printed(look, width)

    assert max(map(len, lines)) <= width
    header = next(number for number, line in enumerate(lines) if line.startswith("metric"))
    assert [line.split()[0][:8] for line in lines[header + 1 : header + 3]] == ["purchase", "time_to_"]
    titles = lines[header] + " ".join(lines[header + 3 :])
    for title in ("metric", "lift", "p or chance", "judgement", "units", "interval", "adjusted p"):
        assert title in titles  # as a column, or named as left out
    if width >= 80:
        assert lines[header].split()[:2] == ["metric", "variant"]
        assert "-0.05123 to 0.1412" in lines[header + 1]
        assert "0.01234" in lines[header + 2]
    assert ("in a wider terminal" in " ".join(lines)) == (width < 250)


def test_n19_a_flag_without_metrics_has_no_empty_table(look: Look) -> None:
    lines = printed(msgspec.structs.replace(look, cells=[]), 80)

    assert not any("metric" in line and "variant" in line for line in lines)


def test_columns_that_say_nothing_are_left_out(look: Look) -> None:
    silent = [msgspec.structs.replace(cell, judgement=None, adjusted_p_value=None) for cell in look.cells]

    text = "\n".join(printed(msgspec.structs.replace(look, cells=silent), 250))

    assert "judgement" not in text
    assert "adjusted p" not in text
