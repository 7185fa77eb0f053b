"""Connections: strangers cannot take the places of keys, nor one key those of another."""

from pipeline.http.sockets.connections import MOST_LONG_HEADS, Connections


class Client:
    """A connection, and whether it was ended."""

    def __init__(self, all_of_them: Connections, key: str | None = None) -> None:
        self.is_ended = False
        self.all = all_of_them
        self.all.opened(self)
        self.is_let_in = key is not None and self.all.known(self, key)

    def end(self) -> None:
        self.is_ended = True
        self.all.closed(self)


def test_of_too_many_strangers_the_one_that_came_first_goes_and_no_key_is_touched():
    connections = Connections(most=40)
    known = [Client(connections, "ann") for _ in range(30)]
    strangers = [Client(connections) for _ in range(10)]
    assert not any(each.is_ended for each in known + strangers)

    more = [Client(connections) for _ in range(10)]

    assert all(each.is_ended for each in strangers)
    assert not any(each.is_ended for each in known + more)
    assert connections.open == {"strangers": 10, "keys": 30}
    assert connections.ended == {"no room": 10}


def test_of_too_many_with_keys_the_key_that_has_most_gives_up_the_one_that_is_quiet_for_longest():
    connections = Connections(most=8)
    ann = [Client(connections, "ann") for _ in range(4)]
    bob = [Client(connections, "bob") for _ in range(2)]
    for each in (ann[2], ann[1], *bob):
        connections.answered(each)
    connections.known(ann[2], "ann")  # it asks again
    connections.answered(ann[2])

    eve = [Client(connections, "eve") for _ in range(2)]

    assert [each.is_ended for each in ann] == [False, True, True, False]
    assert not any(each.is_ended for each in bob + eve)
    assert not Client(connections, "eve").is_let_in  # ann has still two, and both are asking
    assert connections.known(bob[0], "ann")  # takes no other place


def test_of_too_many_long_heads_the_one_that_takes_longest_goes():
    connections = Connections(most=1_000)
    slow = [Client(connections) for _ in range(MOST_LONG_HEADS)]
    for each in slow + slow[:1]:
        connections.gathers(each)
    connections.gathered(slow[1])
    quick, quicker = Client(connections), Client(connections)

    connections.gathers(quick)
    assert not slow[0].is_ended
    connections.gathers(quicker)

    assert [each.is_ended for each in (*slow[:3], quick, quicker)] == [True, False, False, False, False]
