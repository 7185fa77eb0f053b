"""Room: nobody can have so much of it that nothing is left for others."""

from pipeline.http.sockets.room import Room


def test_a_holder_has_at_most_as_much_as_it_leaves():
    room = Room(most=100)

    assert [room.take("ann", 30), room.take("ann", 20), room.take("ann", 1)] == [True, True, False]
    assert [room.take("bob", 24), room.take("bob", 1), room.take("bob", 1)] == [True, True, False]
    room.give("ann", 50)
    assert [room.take("bob", 25), room.take("bob", 1), room.taken] == [True, False, 50]


def test_whoever_has_nothing_yet_may_have_all_that_is_left():
    room = Room(most=100)

    assert [room.take("ann", 101), room.take("ann", 80), room.take("bob", 21), room.take("bob", 20)] == [
        False,
        True,
        False,
        True,
    ]
    assert not room.take("eve")


def test_of_many_who_want_all_each_gets_the_same():
    room = Room(most=1_100)
    held = dict.fromkeys("abcdefghij", 0)

    for _ in range(1_000):
        for holder in held:
            held[holder] += room.take(holder)

    assert set(held.values()) == {100}
