"""The cases of identity, each with its numbers: what visitors bought, by arm, and what health says."""

import msgspec
import pytest

from schemas.catalog import Flag, Goal, Metric, Variant
from schemas.topics import EVENTS, EXPOSURES
from tests.evaluation.assignment.routed import Topic
from tests.evaluation.identity.people import Stages

HORIZON = 60_000
SPENT = Metric(key="spent", owner="x", type="sum", event="buy", property="price", scale=0, window="10m")
BOUGHT = Metric(key="bought", owner="x", type="conversion", event="buy", window="10m")
FLAG = Flag(
    key="visitors",
    owner="x",
    unit="device_id",
    identity="user_id",
    variants=(Variant(key="a"), Variant(key="b")),
    metrics=(Goal(metric="spent"), Goal(metric="bought")),
)


@pytest.fixture(scope="module")
def topic():
    """An experiment by devices that says who is behind them."""
    found = Topic()
    for each in (SPENT, BOUGHT):
        found.metric(each)
    return found.run(FLAG)


class Site:
    """Visits to a site, told and counted one after the other: moments are seconds after the beginning."""

    def __init__(self, topic):
        self.begin = topic.time + 1_000_000
        self.stages = Stages(topic.history, HORIZON, partitions=2)
        self.now = self.begin

    def _send(self, source, message, at, on):
        self.now = max(self.now, self.begin + 1_000 * (at if on is None else on))
        message = {name: value for name, value in message.items() if value is not None}
        self.stages.append((source, 0), self.now, message | {"time": self.begin + 1_000 * at})
        self.stages.finish(self.now)
        return self

    def meets(self, variant, device, at=0, user=None):
        """A device meets a variant, at a moment."""
        message = {"flag_key": "visitors", "variant": variant, "device_id": device, "user_id": user}
        return self._send(EXPOSURES, message, at, None)

    def joins(self, user, device, at, on=None):
        """A user is seen with a device; the message comes `on` a later moment."""
        return self._send(EVENTS, {"event_type": "$identify", "user_id": user, "device_id": device}, at, on)

    def buys(self, price, at, user="u", device=None, on=None, name=None):  # noqa: PLR0917
        """Somebody buys something."""
        message = {"event_type": "buy", "user_id": user, "device_id": device, "insert_id": name}
        return self._send(EVENTS, message | {"event_properties": {"price": price}}, at, on)

    def waits(self, seconds):
        """Nothing comes."""
        self.now += 1_000 * seconds
        self.stages.finish(self.now)
        return self

    @property
    def spent(self):
        """By arm: units that bought, and what they spent together."""
        found = {}
        for aggregate in self.stages.aggregates():
            for sums in aggregate.sums:
                if (sums.metric, sums.reading) == ("spent", "live") and sums.n:
                    buyers, total = found.get(sums.variant, (0, 0))
                    found[sums.variant] = buyers + sums.nonzero, total + int(sums.first[0])
        return found

    @property
    def people(self):
        """Unjoined, waiting, moved, crossed: by event, not by fact."""
        (told,) = [each.people for each in self.stages.aggregates() if each.people]
        unjoined, waiting, moved, crossed = msgspec.structs.astuple(told)
        return unjoined // 2, waiting // 2, moved // 2, crossed

    def told(self, name):
        """A count of the metric's health."""
        aggregates = self.stages.aggregates()
        return sum(getattr(each, name) for run in aggregates for each in run.metrics if each.metric == "spent")


@pytest.fixture
def site(topic):
    """Device `d` meets a, device `e` meets b."""
    return Site(topic).meets("a", "d").meets("b", "e")


def test_a_purchase_that_names_the_user_alone_counts_for_the_device(site):
    site.joins("u", "d", at=10).buys(5, at=20)

    assert site.spent == {"a": (1, 5), "b": (0, 0)}
    assert site.people == (0, 0, 0, 0)


def test_a_join_after_the_event_counts_up_to_a_horizon(site):
    site.buys(5, at=10).buys(7, at=11)
    assert site.people == (0, 2, 0, 0)

    site.joins("u", "d", at=71)

    assert site.spent["a"] == (1, 7)
    assert site.people == (0, 1, 0, 0)
    assert site.waits(120).people == (1, 0, 0, 0)


def test_a_user_with_several_devices_counts_for_the_first(site):
    site.joins("u", "d", at=10).joins("u", "e", at=20).buys(5, at=30)

    assert site.spent == {"a": (1, 5), "b": (0, 0)}


def test_several_users_of_one_device_count_for_it_and_may_use_one_insert_id(site):
    site.joins("u", "d", at=10).joins("v", "d", at=20)
    site.buys(5, at=30, name="1").buys(7, at=30, user="v", name="1").buys(5, at=30, name="1", on=31)

    assert site.spent["a"] == (1, 12)
    assert site.told("duplicates") == 1


def test_an_earlier_join_that_arrives_later_moves_what_was_counted_with_its_repeats(site):
    site.joins("u", "e", at=20).buys(5, at=30, name="1").buys(6, at=30, name="1", on=31).buys(None, at=32)
    assert site.spent == {"a": (0, 0), "b": (1, 6)}

    site.joins("u", "d", at=10, on=40)

    assert site.spent == {"a": (1, 6), "b": (0, 0)}
    assert site.people == (0, 0, 3, 0)
    assert (site.told("duplicates"), site.told("unusable"), site.told("events")) == (1, 1, 1)


def test_of_joins_at_one_time_the_smaller_hash_is_first_whatever_their_order(topic):
    orders = [("d", "e"), ("e", "d")]
    sites = [Site(topic).meets("a", "d").meets("b", "e").buys(5, at=5) for _ in orders]

    for site, devices in zip(sites, orders, strict=True):
        for device in devices:
            site.joins("u", device, at=10)

    one, other = (site.spent for site in sites)
    assert one == other


def test_a_join_older_than_the_event_by_more_than_a_horizon_counts(site):
    site.joins("u", "d", at=1).waits(300).buys(5, at=301)

    assert site.spent["a"] == (1, 5)


def test_a_late_join_joins_nobody_and_a_late_purchase_is_told_as_late(site):
    site.buys(5, at=10, on=12).joins("u", "d", at=11, on=72)
    assert (site.spent["a"], site.people) == ((0, 0), (0, 1, 0, 0))

    site.joins("u", "d", at=69, on=73).buys(7, at=20, on=90)

    assert site.spent["a"] == (1, 5)
    assert site.told("late") == 1


def test_an_event_with_both_ids_counts_for_its_device_whatever_joins_say(site):
    site.joins("u", "d", at=10).buys(5, at=20, device="e")

    assert site.spent == {"a": (0, 0), "b": (1, 5)}


def test_logging_out_changes_nothing(site):
    site.joins("u", "d", at=10).buys(5, at=20).joins("v", "d", at=30).buys(7, at=40)

    assert site.spent["a"] == (1, 12)


def test_whoever_meets_two_variants_through_two_devices_is_told_and_stays(site):
    site.meets("a", "d", at=10, user="u").meets("b", "e", at=20, user="u").buys(5, at=30)

    assert site.spent == {"a": (1, 5), "b": (0, 0)}
    assert site.people == (0, 0, 0, 1)


def test_a_device_that_meets_two_variants_is_a_jumper_and_its_person_has_not_crossed(site):
    site.meets("a", "d", at=10, user="u").meets("b", "d", at=20, user="u").buys(5, at=30)

    assert site.spent == {"b": (0, 0)}
    assert site.people == (0, 0, 0, 0)


def test_a_purchase_before_the_exposure_does_not_count(topic):
    site = Site(topic).joins("u", "d", at=0).buys(5, at=10).meets("a", "d", at=20).buys(7, at=30)

    assert site.spent["a"] == (1, 7)


def test_a_run_settles_once_no_join_can_change_it(site):
    site.joins("u", "d", at=10).buys(5, at=20).waits(599 + 60)
    settled = [each for run in site.stages.aggregates() for each in run.sums if each.reading == "settled" and each.n]
    assert settled == []

    site.waits(62)

    settled = [each for run in site.stages.aggregates() for each in run.sums if each.reading == "settled" and each.n]
    assert {(each.metric, each.variant, *each.first) for each in settled} >= {("spent", "a", 5), ("spent", "b", 0)}
