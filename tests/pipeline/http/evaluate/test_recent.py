"""What was seen within a day."""

from pipeline.http.evaluate.recent import SECONDS, RecentlySeen


def test_what_was_seen_is_new_again_after_a_day():
    now = 0.0
    recent = RecentlySeen(clock=lambda: now)

    assert [recent.is_new(each) for each in ("ann", "ann", "bob")] == [True, False, True]
    now = SECONDS - 1
    assert not recent.is_new("ann")
    now = SECONDS
    assert recent.is_new("ann")


def test_what_was_seen_longest_ago_makes_room():
    recent = RecentlySeen(most=2)

    assert [recent.is_new(each) for each in ("ann", "bob", "ann", "carl")] == [True, True, False, True]
    assert recent.is_new("bob")
    assert recent.is_new("ann")
