"""First joins: what a table of places says is what a dictionary says, however keys crowd in it."""

import numpy as np
import pytest

from evaluation.identity.first_joins import NEVER, FirstJoins

T = 1_764_000_000_000


def told(joins, rows):
    """Take in joins; what that changes, by key."""
    change = joins.put(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
    return {key: rest for key, *rest in zip(*(each.tolist() for each in change), strict=True)}


def of_unsigned(time, unit):
    return time, unit % (1 << 64)


@pytest.mark.parametrize("crowd", [1, 1 << 20, 1 << 32, -1 << 32])  # keys' distance; home is by their lower half
@pytest.mark.parametrize("batch", [1, 7, 5_000])
def test_the_earliest_join_of_each_key_is_known_and_what_changes_is_told_once(crowd, batch):
    chance = np.random.default_rng(batch)
    keys = (chance.integers(-700, 700, 5_000) * crowd).tolist()
    rows = [(key, T + int(chance.integers(20)), int(chance.integers(-3, 3))) for key in keys]
    joins, known = FirstJoins(), {}

    for at in range(0, len(rows), batch):
        before = dict(known)
        for key, *join in rows[at : at + batch]:
            known[key] = min(known.get(key, (NEVER, 0)), tuple(join), key=lambda its: of_unsigned(*its))
        changed = {key: [*before.get(key, (NEVER, 0)), *its] for key, its in known.items() if before.get(key) != its}
        assert told(joins, rows[at : at + batch]) == changed

    for each in (joins, FirstJoins.load(joins.words())):
        asked = np.array([*known, 987_654_321], np.int64)
        times, units = each.get(asked)
        assert len(each) == len(known)
        assert dict(zip(asked[:-1].tolist(), zip(times.tolist(), units.tolist(), strict=False), strict=False)) == known
        assert times[-1] == NEVER
    assert joins.words().tobytes() == FirstJoins.load(joins.words()).words().tobytes()


def test_nothing_is_known_and_nothing_changes_where_nothing_was_told():
    joins, nothing = FirstJoins(), np.zeros(0, np.int64)

    assert [len(each) for each in joins.put(nothing, nothing, nothing)] == [0] * 5
    assert len(FirstJoins.load(joins.words())) == 0
    assert joins.get(np.array([0]))[0].tolist() == [NEVER]
