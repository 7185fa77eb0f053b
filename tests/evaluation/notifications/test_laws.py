"""Laws of telling, whatever comes: nothing twice, and the order of what is independent says nothing."""

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.catalog.lifecycle import restart
from schemas.notification import Notification, Trigger
from tests.evaluation.notifications.conftest import Shop, cell_of

SETTLE = 60_000


class Came(NamedTuple):
    """A look, so long (ms) after what came before."""

    wait: int
    run: str
    decision: str
    harmed: bool
    units: int


COMING = st.lists(
    st.builds(
        Came,
        st.sampled_from([1_000, 20_000, 59_000, 60_000, 61_000, 200_000]),
        st.sampled_from(["exp-1", "exp-2"]),
        st.sampled_from(["keep running", "ship", "roll back"]),
        st.booleans(),
        st.integers(0, 50),
    ),
    max_size=12,
)


def opened() -> Shop:
    shop = Shop()
    shop.take(lambda state, version: restart(state, version, "other salt"))
    shop.rule(Trigger(event="verdict changed"), Trigger(event="guardrail harmed"), Trigger(event="split broken"))
    return shop


def follow(shop: Shop, came: list[Came]) -> list[Notification]:
    """What is told if somebody asks twice a minute."""
    told = []
    for each in came:
        for wait in [30_000] * (each.wait // 30_000) + [each.wait % 30_000]:
            shop.work.now += wait
            told += shop.tell()
        cells = [cell_of("errors", judgement="harmed")] if each.harmed else []
        health = {"srm_running_p_value": 0.001 if each.units > 40 else 0.5}
        shop.look(each.decision, each.run, units=each.units, cells=cells, health=health)
        told += shop.tell()
    for _ in range(3):
        shop.work.now += 30_000
        told += shop.tell()
    return told


@settings(deadline=None)
@given(COMING, st.data())
def test_whoever_reads_looks_again_from_anywhere_on_tells_nothing_twice(came: list[Came], data: st.DataObject):
    shop = opened()
    told = follow(shop, came)
    begin = data.draw(st.integers(0, len(shop.looks)))
    again = opened()
    again.history, again.work, again.told = shop.history, shop.work, shop.told
    newest = {look.run: index for index, (_, look) in enumerate(shop.looks)}  # `results` keeps it
    read = [each for index, each in enumerate(shop.looks) if index >= begin or index == newest[each[1].run]]
    for time, look in [*read, *read]:
        again.see(look, time)

    assert again.tell() == []
    again.work.now += 10 * SETTLE
    assert again.tell() == []
    assert len({each.id for each in told}) == len(told)


@settings(deadline=None)
@given(COMING)
def test_a_verdict_is_told_at_most_once_in_settle(came: list[Came]):
    told = follow(opened(), came)

    for run in ("exp-1", "exp-2"):
        times = [each.time for each in told if each.part == run and each.event == "verdict changed"]
        assert all(later - earlier >= SETTLE for earlier, later in pairwise(times))


@settings(deadline=None)
@given(COMING)
def test_runs_say_nothing_of_each_other(came: list[Came]):
    together = follow(opened(), came)

    for run in ("exp-1", "exp-2"):
        alone, waited = [], 0
        for each in came:
            waited += each.wait
            if each.run == run:
                alone.append(each._replace(wait=waited))
                waited = 0
        told = follow(opened(), alone)
        of_run = [(each.event, each.part, each.state) for each in together if each.run == run]
        assert [(each.event, each.part, each.state) for each in told] == of_run
