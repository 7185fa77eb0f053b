"""The search for what breaks a split, on simulated losses, and its false alarms."""

import numpy as np
import pytest

from evaluation.exploring.broken_split import SplitUnits, broken_split
from evaluation.exploring.slices import Slices

PROPERTIES = {"library": 4, "version": 12, "country": 30, "hour": 48}  # and how many slices each has
UNITS = 20_000


def simulated(seed: int, lost: float = 0.0, weights: tuple[int, ...] = (1, 1)) -> tuple[SplitUnits, list[Slices]]:
    """Units with properties at random, skewed; of one version of one library so many of the second arm are lost."""
    random = np.random.default_rng(seed)
    codes = {name: (size * random.random(UNITS) ** 2).astype(int) for name, size in PROPERTIES.items()}
    chances = np.array(weights) / sum(weights)
    variant = random.choice(len(weights), UNITS, p=chances)
    is_lost = (codes["version"] == 3) & (variant == 1) & (random.random(UNITS) < lost)
    kept = ~is_lost
    breakdowns = [
        Slices((name,), [("(other)",), *((f"{name} {i}",) for i in range(size))], codes[name][kept] + 1, False)
        for name, size in PROPERTIES.items()
    ]
    names = [f"arm {i}" for i in range(len(weights))]
    return SplitUnits(names, variant[kept], np.broadcast_to(chances, (int(kept.sum()), len(weights)))), breakdowns


@pytest.mark.parametrize("weights", [(1, 1), (9, 1), (1, 1, 1)])
def test_the_slice_where_units_are_lost_is_named(weights: tuple[int, ...]) -> None:
    more = 0
    for seed in range(20):
        units, breakdowns = simulated(seed, lost=0.6, weights=weights)
        found = broken_split(units, breakdowns)

        cause = found.causes[0]
        more += len(found.causes) - 1
        assert (cause.by, cause.slice) == (("version",), ("version 3",))
        assert cause.variant == "arm 1"
        assert cause.adjusted_p_value < 0.01 <= cause.rest_p_value
        here = cause.arms[1]
        lost = 0.6 / 0.4 * here.units  # as is to be expected of those that were not
        assert abs(cause.missing - lost) < 5 * np.sqrt(lost + here.units)
        assert "The rest is split as promised" in found.says
    assert more <= 2  # false alarms among the rest, of which there is one in a hundred searches


def test_where_nothing_is_nothing_is_said() -> None:
    """At a level of 1 % for the whole search: of 400 at most 12 (the 99.9 % quantile of such a binomial is 11)."""
    alarms = 0
    for seed in range(400):
        found = broken_split(*simulated(seed, weights=(1, 1) if seed % 2 else (3, 1)))
        alarms += bool(found.causes)
        assert found.tested > 60
    assert alarms <= 11


def test_two_causes_are_told_apart() -> None:
    units, breakdowns = simulated(1, lost=0.6)
    codes = breakdowns[2].code
    kept = ~((codes == 2) & (units.variant == 0) & (np.random.default_rng(2).random(len(codes)) < 0.7))
    found = broken_split(
        SplitUnits(units.variants, units.variant[kept], units.chances[kept]),
        [each._replace(code=each.code[kept]) for each in breakdowns],
    )

    assert {each.slice for each in found.causes} == {("version 3",), ("country 1",)}
    assert {each.variant for each in found.causes} == {"arm 0", "arm 1"}


def test_a_slice_that_holds_everybody_explains_nothing() -> None:
    units, breakdowns = simulated(1, lost=0.6)
    whole = np.ones(len(units.variant), int)
    nearly = np.where(np.arange(len(whole)) < 49, 2, 1)
    of_all = [
        Slices(("day",), [("(other)",), ("today",)], whole, has_others=False),
        Slices(("plan",), [("(other)",), ("free",), ("pro",)], nearly, has_others=False),
    ]

    found = broken_split(units, of_all)

    assert (found.tested, found.causes) == (0, [])
    assert found.p_value < 0.01
    assert "which none of these slices explains" in found.says
    assert broken_split(units, [*of_all, breakdowns[1]]).causes[0].slice == ("version 3",)


@pytest.mark.parametrize("there", [0, 49])
def test_of_too_few_units_nothing_is_said(there: int) -> None:
    units, breakdowns = simulated(1, lost=0.6)
    few = SplitUnits(units.variants, units.variant[:there], units.chances[:there])

    found = broken_split(few, [each._replace(code=each.code[:there]) for each in breakdowns])

    assert "too few for a split to be judged" in found.says
    assert "as it should be" not in found.says
