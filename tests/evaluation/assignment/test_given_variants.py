import numpy as np

from evaluation.assignment.given_variants import NOT_GIVEN, GivenVariants


def test_each_unit_has_what_it_was_given_last_and_others_have_nothing():
    rng = np.random.default_rng(1)
    given, expected = GivenVariants(most=1_000_000), {}
    for size in (1, 700, 3, 20_000):
        units = rng.integers(1, 30_000, size, dtype=np.uint64)
        codes = rng.integers(0, 9, size, dtype=np.int32)
        given.put(units, codes)
        expected |= dict(zip(units.tolist(), codes.tolist(), strict=True))

    found = given.get(np.arange(1, 40_000, dtype=np.uint64)).tolist()

    assert found == [expected.get(unit, NOT_GIVEN) for unit in range(1, 40_000)]


def test_the_units_that_were_given_something_longest_ago_are_forgotten():
    given = GivenVariants(most=200)
    for begin in range(1, 1_001, 50):
        given.put(np.arange(begin, begin + 50, dtype=np.uint64), np.full(50, 3, np.int32))

    codes = given.get(np.arange(1, 1_001, dtype=np.uint64)).tolist()

    assert codes[:800] == [NOT_GIVEN] * 800
    assert codes[900:] == [3] * 100
