"""Silences: what is known of when something came, and that chance, bursts, evenings and nights are no stop."""

import numpy as np
import pytest

from evaluation.metrics.silences import MOST_NAMES, Silences
from evaluation.significance.data import has_stopped
from schemas.duration import MINUTE_MS
from schemas.units import Came

DAY = 1440
BEGIN = 20_000 * DAY


def listening(minutes=()):
    silences = Silences()
    silences.take([Came("run", "f/r", [BEGIN + int(minute) for minute in minutes])], 1)
    return silences


def is_told(silences, minute):
    now = (BEGIN + minute) * MINUTE_MS
    silence = silences.of("run", "f/r", None, now)
    return silence is not None and silence.last > 0 and has_stopped(silence, now)


def rates(days, most, least, weekend=1.0):
    """Expected numbers a minute: by day and night, and of Saturdays and Sundays a share."""
    minute = np.arange(days * DAY)
    day = 0.5 - 0.5 * np.cos(2 * np.pi * minute / DAY)
    return least * (most / least) ** day * np.where(minute // DAY % 7 >= 5, weekend, 1.0)


@pytest.mark.parametrize(
    ("rate", "burst"),
    [
        (np.full(10 * DAY, 0.3), 1),
        (np.full(10 * DAY, 0.7), 1),
        (np.full(10 * DAY, 0.1), 5),  # sessions
        (rates(10, 20, 0.001), 1),
        (rates(10, 5, 0.001), 5),
        (rates(10, 20, 0.001, weekend=1e-6), 1),
    ],
)
def test_no_silence_is_taken_for_a_stop_that_goes_on(rate, burst):
    comes = np.random.default_rng(5).poisson(rate) > 0
    for later in range(1, burst):
        comes[later:] |= comes[:-later]
    minutes = np.flatnonzero(comes)
    silences = listening(minutes[:1])
    for before, then in zip(minutes[:-1].tolist(), minutes[1:].tolist(), strict=True):
        if then - before > 10:
            assert not any(is_told(silences, minute) for minute in [*range(before + 20, then, 60), then])
        silences.take([Came("run", "f/r", [BEGIN + then])], 1)


@pytest.mark.parametrize(
    ("rate", "stops", "within"),
    [
        (np.full(10 * DAY, 3.0), 600, 60),  # on the first day
        (np.full(10 * DAY, 3.0), 3 * DAY, 30),
        (rates(10, 20, 0.001), 4 * DAY + 700, 90),  # at noon
        (np.full(10 * DAY, 0.05), 9 * DAY, DAY + 10),
        (np.full(10 * DAY, 0.05), 5 * DAY, 3 * DAY + 10),
    ],
)
def test_a_stop_is_told(rate, stops, within):
    minutes = np.flatnonzero(np.random.default_rng(5).poisson(rate)[:stops])
    silences = listening(minutes)

    assert not is_told(silences, stops + 10)
    assert is_told(silences, stops + within)


def test_order_and_repeats_change_nothing_and_a_state_comes_back():
    minutes = np.flatnonzero(np.random.default_rng(6).poisson(0.2, 12 * DAY))
    shuffled = np.random.default_rng(7).permutation(np.concatenate([minutes, minutes[::3]]))
    now = (BEGIN + 14 * DAY) * MINUTE_MS
    again = Silences()
    again.set(listening(shuffled).state())

    assert again.of("run", "f/r", None, now) == listening(minutes).of("run", "f/r", None, now)


def test_of_names_those_that_came_longest_ago_are_forgotten():
    silences = Silences()
    for number in range(MOST_NAMES + 50):
        silences.take([Came("name", f"name{number:04}", [BEGIN + number])], 1)

    never = silences.of("fact", "key", "name0010", 1)
    assert never is not None
    assert (never.last, never.is_named) == (0, False)
    assert len(silences.state().names) == MOST_NAMES
    assert silences.of("fact", "key", "name0340", 1).is_named
