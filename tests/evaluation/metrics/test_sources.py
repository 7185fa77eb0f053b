"""Sources: which clocks a partition waits for, whatever the order in which its workers' messages come."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics.sources import Sources
from schemas.units import Header, Source

OURS, THEIRS = "events", "@orders"


def header(until: int, expected: dict[str, int], **reached: int) -> Header:
    """`reached` by topic and partition: events_0=…"""
    sources = []
    for place, time in reached.items():
        name, number = place.rsplit("_", 1)
        sources.append(Source(THEIRS if name == "orders" else OURS, int(number), 0, 0, time))
    return Header(catalog=0, horizon=100, sources=sources, arms=[], facts=[], expected=expected, until=until)


def clock(*headers: Header) -> int:
    sources = Sources()
    for each in headers:
        sources.advance(each)
    return sources.watermark


def test_a_source_that_was_added_holds_the_clock_from_the_first_message_on_that_knows_it():
    before = header(500, {OURS: 1}, events_0=500)
    after = header(900, {OURS: 1, THEIRS: 2}, events_0=900)

    assert clock(before) == 500
    assert clock(before, after) == 500
    assert clock(before, after, header(950, {OURS: 1, THEIRS: 2}, orders_0=940, orders_1=930)) == 900


def test_a_source_that_is_paused_holds_nothing_back_and_one_that_is_resumed_holds_it_where_it_is():
    both = header(500, {OURS: 1, THEIRS: 1}, events_0=500, orders_0=300)
    paused = header(900, {OURS: 1}, events_0=900)
    resumed = header(1_000, {OURS: 1, THEIRS: 1}, events_0=1_000)

    assert clock(both) == 300
    assert clock(both, paused) == 900
    assert clock(both, paused, resumed) == 900
    assert clock(both, paused, resumed, header(1_100, {OURS: 1, THEIRS: 1}, orders_0=1_050)) == 1_000


def test_a_worker_that_has_not_heard_of_the_newest_does_not_bring_back_what_was():
    newer, older = header(900, {OURS: 1}, events_0=850), header(880, {OURS: 1, THEIRS: 1})

    assert clock(newer, older) == clock(older, newer) == 850


def test_numbers_of_former_messages_count_until_topics_are_told():
    former = Header(catalog=0, horizon=100, sources=[Source(OURS, 0, 0, 0, 400)], arms=[], facts=[], expected=2)

    assert clock(former) == 0
    assert clock(former, header(500, {OURS: 1})) == 400
    assert clock(header(500, {OURS: 1}, events_0=450), former) == 450


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=5))
def test_the_clock_never_passes_what_an_expected_source_has_reached_and_never_goes_back(
    steps: list[tuple[int, int, int]],
):
    """Workers tell, in any order, up to when they have counted; none says of its partition more than that."""
    truth = {until: {OURS: 1, **({THEIRS: theirs} if theirs else {})} for until, theirs, _ in steps}
    headers = [header(until, truth[until], events_0=min(time, until)) for until, _, time in steps]
    for order in permutations(headers):
        sources, last = Sources(), 0
        for each in order:
            sources.advance(each)
            assert last <= sources.watermark
            last = sources.watermark
            if truth[sources.until].get(THEIRS):
                assert sources.watermark <= max(
                    (until for until, expected in truth.items() if THEIRS not in expected), default=0
                ), "a partition of theirs that nobody has told of"
