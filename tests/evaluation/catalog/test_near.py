from evaluation.catalog.near import near

NAMES = ["Order Placed", "order_placed_v2", "purchase", "Purchased", "search", "checkout-done", "pürchase", "x"]


def test_what_may_have_been_meant_is_near_whatever_its_case_and_separators() -> None:
    assert near("order_placed", NAMES) == ["Order Placed", "order_placed_v2"]
    assert near("purchase", NAMES) == ["Purchased", "pürchase"]
    assert near("checkout", NAMES) == ["checkout-done"]


def test_nothing_is_near_to_what_is_alike_to_nothing() -> None:
    assert near("signup", NAMES) == []
    assert near("purchase", ["purchase"]) == []
    assert near("", NAMES) == []
