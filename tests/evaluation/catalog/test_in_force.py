"""What follows from the documents in force."""

import msgspec

from evaluation.catalog.in_force import Fact, MetricInForce
from schemas.catalog import Metric

PURCHASE = Metric(key="purchase", owner="shop", type="conversion", event="purchase", window="10s")
REVENUE = Metric(key="revenue", owner="shop", type="sum", event="purchase", property="price", window="none", scale=3)


def test_metrics_that_read_the_same_share_a_fact_and_only_sums_have_a_scale():
    def in_force(metric: Metric) -> MetricInForce:
        return MetricInForce(metric, 1, 0)

    count = msgspec.structs.replace(PURCHASE, key="purchases", type="count", scale=5)
    assert in_force(PURCHASE).facts == in_force(count).facts == (Fact("purchase", None, 0),)
    assert in_force(REVENUE).facts[0].key == '["purchase","price",3,[]]'
    assert (in_force(PURCHASE).window, in_force(REVENUE).window) == (10_000, None)
