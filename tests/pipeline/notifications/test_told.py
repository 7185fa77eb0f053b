"""Told: the newest notifications, page by page."""

from pipeline.notifications.told import NEWEST, ToldNotifications
from tests.pipeline.notifications.words import word


def test_nothing_follows_one_that_has_become_too_old_while_somebody_turned_pages() -> None:
    told = ToldNotifications()
    for number in range(NEWEST + 2):
        told.read(word(f"word {number}"), number)

    assert told.newest(5, after="word 2")[:1] == []
    assert told.newest(5, after="word 1") == []  # no longer among the newest, and known yet
    assert [each.notification.id for each in told.newest(5, after="word 4")] == ["word 3", "word 2"]
