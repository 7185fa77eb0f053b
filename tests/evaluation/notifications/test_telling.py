"""Telling: what people are told, when, and never twice."""

import msgspec
import pytest

from evaluation.catalog.lifecycle import archive, complete
from evaluation.notifications.telling import trial
from schemas.catalog import Analysis, Flag, FlagState, Variant
from schemas.look import ArmVerdict, DataFault
from schemas.notification import OCCURRENCES, About, Trigger
from tests.evaluation.notifications.conftest import HOUR, MINUTE, START, WAY, Shop, cell_of

SECOND = 1_000


@pytest.fixture
def verdicts(shop: Shop) -> Shop:
    shop.rule(Trigger(event="verdict changed"))
    return shop


def test_a_verdict_is_told_once_it_has_stood_for_settle(verdicts: Shop):
    verdicts.look()
    verdicts.pass_time(HOUR // 60)
    assert verdicts.tell() == []
    verdicts.look("ship", units=4_000, cells=[cell_of(relative_estimate=0.1, running_p_value=0.01, n=2_000)])
    verdicts.pass_time(MINUTE - SECOND)
    assert verdicts.tell() == []

    verdicts.pass_time(SECOND)
    (word,) = verdicts.tell()

    assert (word.sentence, word.state, word.part, word.subject) == ("It says ship.", "ship", "exp-1", "flag/checkout")
    assert (word.experiment, word.run, word.look, word.version) == ("checkout", "exp-1", 2, 2)
    assert word.link == "#/experiments/checkout/exp-1/2"
    assert word.numbers == {
        "decision": "ship",
        "units": 4_000,
        "metric": "purchase",
        "variant": "treatment",
        "reading": "settled",
        "relative_estimate": 0.1,
        "running_p_value": 0.01,
        "n": 2_000,
        "control_n": 0,
    }


def test_a_verdict_that_comes_back_within_settle_is_not_told(verdicts: Shop):
    for decision in ("ship", "keep running", "ship", "keep running"):
        verdicts.look(decision)
        verdicts.pass_time(30 * SECOND)
        assert verdicts.tell() == []


def test_a_verdict_that_returns_later_is_other_word(verdicts: Shop):
    ids = []
    for decision in ("ship", "keep running", "ship"):
        verdicts.look(decision)
        verdicts.pass_time(MINUTE)
        (word,) = verdicts.tell()
        assert word.state == decision
        ids.append(word.id)

    assert len({*ids}) == 3


def test_a_new_run_begins_without_word(verdicts: Shop):
    verdicts.look("ship")
    verdicts.pass_time(MINUTE)
    verdicts.tell()
    verdicts.take(complete)
    verdicts.look(run="exp-2")
    verdicts.pass_time(HOUR // 10)

    assert verdicts.tell() == []


def test_of_several_treatments_one_that_is_dropped_is_told(verdicts: Shop):
    verdicts.look(verdict={"arms": [ArmVerdict("b", "keep running", "b."), ArmVerdict("c", "drop", "c is worse.")]})
    verdicts.pass_time(MINUTE)

    assert [each.state for each in verdicts.tell()] == ["keep running; drop c"]


def test_whoever_knows_the_newest_look_alone_finds_the_same(verdicts: Shop):
    verdicts.look("ship")
    verdicts.pass_time(10 * SECOND)
    newest = verdicts.look("ship")
    verdicts.pass_time(MINUTE)
    other = Shop()
    other.history, other.work = verdicts.history, verdicts.work
    other.see(newest, verdicts.now - MINUTE)

    mine, theirs = verdicts.tell(), other.tell()

    assert [each.id for each in mine] == [each.id for each in theirs] != []
    other.told = verdicts.told
    assert other.tell() == []


def test_what_came_about_before_the_rule_is_not_told(shop: Shop):
    shop.look("ship", final=True)
    shop.pass_time(MINUTE)
    shop.rule(Trigger(event="verdict changed"), Trigger(event="run final"), Trigger(event="document changed"))
    shop.pass_time(MINUTE)

    assert [each.subject for each in shop.tell()] == ["notification/rule"]


def test_a_rule_that_is_not_enabled_tells_nothing(shop: Shop):
    shop.rule(Trigger(event="verdict changed"), enabled=False)
    shop.look("ship")
    shop.pass_time(MINUTE)

    assert shop.tell() == []


@pytest.mark.parametrize(
    ("about", "is_told"),
    [
        (About(), True),
        (About(keys=("checkout",)), True),
        (About(owners=("shop",)), True),
        (About(tags=("web", "app")), True),
        (About(keys=("other",), tags=("web",)), True),
        (About(keys=("other",), tags=("app",), owners=("growth",)), False),
    ],
)
def test_a_rule_tells_of_whom_it_is_about(shop: Shop, about: About, is_told: bool):
    shop.rule(Trigger(event="verdict changed"), about=about)
    shop.look("ship")
    shop.pass_time(MINUTE)

    assert bool(shop.tell()) == is_told


def test_nothing_is_told_of_what_is_archived(verdicts: Shop):
    verdicts.look("ship")
    verdicts.take(complete, lambda state, _: archive(state, ()))
    verdicts.pass_time(MINUTE)

    assert verdicts.tell() == []


def test_harm_is_told_at_once_for_each_guardrail_and_treatment(shop: Shop):
    shop.rule(Trigger(event="guardrail harmed"))
    live = cell_of("errors", "live", method="exact", judgement="harmed", relative_estimate=0.5, running_p_value=0.001)
    shop.look(cells=[live, cell_of("errors")])

    (word,) = shop.tell()

    assert word.part == "exp-1/errors/treatment"
    assert "treatment harms errors (live reading): +50.0%" in word.sentence
    assert "a guardrail of checkout (exp-1) is harmed" in word.sentence
    shop.look(cells=[live, cell_of("errors", judgement="harmed")])
    assert shop.tell() == []


def test_harm_on_the_live_reading_is_not_told_where_the_settled_one_is_safe(shop: Shop):
    shop.rule(Trigger(event="guardrail harmed"))
    shop.look(cells=[cell_of("errors", "live", judgement="harmed"), cell_of("errors", judgement="safe")])

    assert shop.tell() == []


def test_a_broken_split_is_told_once_for_each_run(shop: Shop):
    shop.rule(Trigger(event="split broken"))
    shop.look(units=100, health={"srm_running_p_value": 0.02})
    assert shop.tell() == []
    shop.look(units=100, health={"srm_running_p_value": 0.001})

    (sentence,) = shop.sentences()

    assert sentence.startswith("checkout (exp-1): the split is broken: control has 50 of 100 units")
    shop.look(units=200, health={"srm_running_p_value": 0.0001})
    assert shop.tell() == []


def test_the_planned_sample_is_told_where_one_was_planned():
    told = []
    for analysis in (Analysis(), Analysis(planned_units=100)):
        shop = Shop(analysis=analysis)
        shop.rule(Trigger(event="planned sample reached"))
        for n in (49, 50):
            shop.look(cells=[cell_of(n=n, control_n=50, planned_units=100)])
            told += shop.sentences()

    assert told == [
        "checkout (exp-1) has the 100 units that were planned for a treatment and control: what is open now may stay "
        "open. It says keep running."
    ]


def test_the_end_of_a_run_is_told_with_its_verdict(shop: Shop):
    shop.rule(Trigger(event="run final"))
    shop.look("ship", final=True)

    assert shop.sentences() == ["checkout (exp-1) is over and settled: its results stay as they are. It says ship."]


def test_a_date_that_has_passed_is_told_once(shop: Shop):
    shop.edit(end="1970-02-12")
    shop.rule(Trigger(event="date passed"))
    shop.work.now += 8 * HOUR
    assert shop.tell() == []
    shop.work.now += MINUTE

    (word,) = shop.tell()

    assert (word.part, word.state, word.run) == ("end", "exp-1 1970-02-12", "exp-1")
    assert "`peekproof experiment complete checkout`" in word.sentence


def test_a_version_is_told_with_its_author_and_what_changed(shop: Shop):
    shop.rule(Trigger(event="document changed"), about=About(tags=("web",)))
    shop.edit(rollout=20)

    *_, word = shop.tell()

    assert word.sentence == "ann changed flag checkout (rollout): so it is"
    assert word.version == 3
    shop.edit(rollout=30)
    shop.edit(rollout=40)
    assert [each.version for each in shop.tell()] == [4, 5]
    assert shop.tell() == []


def silent(shop: Shop, ms: int) -> None:
    shop.pass_time(ms, *WAY)


def test_no_exposures_are_told_while_everybody_works(shop: Shop):
    shop.rule(Trigger(event="no exposures", lasts="10m"))
    shop.look(units=50)
    silent(shop, 10 * MINUTE - SECOND)
    assert shop.tell() == []
    silent(shop, SECOND)

    (sentence,) = shop.sentences()

    assert sentence.startswith("checkout (exp-1) has counted no exposure for 10 minutes, 50 before")
    shop.look(units=51)
    assert shop.tell() == []
    silent(shop, 10 * MINUTE)
    assert len(shop.tell()) == 1


def test_a_run_that_has_no_look_yet_has_no_exposures_either(shop: Shop):
    shop.rule(Trigger(event="no exposures", lasts="10m"))
    silent(shop, 10 * MINUTE)

    assert len(shop.tell()) == 1


@pytest.mark.parametrize("down", WAY)
def test_nobody_says_that_nothing_comes_while_a_stage_is_down_or_behind(shop: Shop, down: str):
    shop.rule(Trigger(event="no exposures", lasts="1m"))
    working = [stage for stage in WAY if stage != down]
    shop.pass_time(5 * MINUTE, *working)
    assert shop.tell() == []
    for _ in range(60):
        shop.pass_time(SECOND, *working)
        shop.beat(down, lag=200_000)
    for _ in range(120):
        assert shop.tell() == []
        shop.pass_time(SECOND, *WAY)

    assert len(shop.tell()) == 1


def test_no_exposures_are_awaited_of_a_flag_that_gives_nobody_a_variant(shop: Shop):
    shop.rule(Trigger(event="no exposures", lasts="1m"))
    shop.edit(rollout=0)
    silent(shop, 5 * MINUTE)

    assert shop.tell() == []


def counted(units: int, conversions: int) -> list[object]:
    half, of_half = units // 2, conversions // 2
    sums = {"n": half, "nonzero": of_half, "sum": of_half, "sum_squares": of_half}
    return [cell_of("purchase", "live", **sums, **{f"control_{name}": value for name, value in sums.items()})]


def test_a_metric_that_counts_nothing_while_units_come_is_told(shop: Shop):
    shop.rule(Trigger(event="metric without events", lasts="10m"))
    shop.look(units=1_000, cells=counted(1_000, 100))
    silent(shop, 5 * MINUTE)
    shop.look(units=1_040, cells=counted(1_040, 100))  # four more were to be expected
    silent(shop, 5 * MINUTE)
    assert shop.tell() == []
    shop.look(units=1_060, cells=counted(1_060, 100))

    (word,) = shop.tell()

    assert word.part == "exp-1/purchase"
    assert "purchase of checkout (exp-1) has counted no event for 10 minutes, while 60 units came" in word.sentence
    assert "'purchase'" in word.sentence
    shop.look(units=1_061, cells=counted(1_061, 102))
    silent(shop, 10 * MINUTE)
    assert shop.tell() == []


def test_a_metric_that_never_had_an_event_is_told_after_a_hundred_units(shop: Shop):
    shop.rule(Trigger(event="metric without events", lasts="10m"))
    shop.look(cells=counted(0, 0))
    silent(shop, 10 * MINUTE)
    shop.look(units=99, cells=counted(99, 0))
    assert shop.tell() == []
    shop.look(units=100, cells=counted(100, 0))

    assert len(shop.tell()) == 1


def test_exposures_of_an_old_run_are_told_while_they_still_come_so_long_after_its_end(shop: Shop):
    shop.rule(Trigger(event="exposures of an old run"))
    shop.look(health={"inactive": 7})
    shop.take(complete)
    shop.pass_time(5 * MINUTE)
    shop.look(health={"inactive": 9})
    shop.pass_time(5 * MINUTE)
    shop.look(health={"inactive": 9})
    assert shop.tell() == []
    shop.look(health={"inactive": 12})

    (sentence,) = shop.sentences()

    assert sentence.startswith("Exposures still come for checkout (exp-1), 10 minutes after it ended: 12 were")


def test_data_that_do_not_come_are_told_once_for_each_fault_that_stands(shop: Shop):
    shop.rule(Trigger(event="data missing"))
    stopped = DataFault(kind="exposures stopped", says="no exposure has come for 30 minutes", run="exp-1", since=START)
    never = DataFault(kind="event never came", says="no 'purchase' has come", metric="purchase", event="purchase")
    shop.look(health={"data": [stopped, never]})
    assert shop.tell() == []  # it may come and go
    shop.pass_time(MINUTE)
    shop.look(health={"data": [msgspec.structs.replace(stopped, says="no exposure has come for 40 minutes"), never]})

    assert shop.sentences() == [
        "checkout (exp-1): no exposure has come for 40 minutes; see what arrives.",
        "checkout (exp-1): no 'purchase' has come; see what arrives.",
    ]
    shop.look()
    shop.look(health={"data": [msgspec.structs.replace(stopped, since=START + HOUR), never]})
    shop.pass_time(MINUTE)
    assert [word.part for word in shop.tell()] == ["exp-1/exposures stopped/exp-1"]  # once more


def test_a_stage_that_is_down_is_told_with_its_end(shop: Shop):
    shop.rule(Trigger(event="stage down"))
    shop.pass_time(MINUTE, "storage", "archive")
    shop.beat("storage", ended=True, error="disk full")
    shop.pass_time(MINUTE - SECOND, "archive")
    assert shop.tell() == []
    shop.pass_time(SECOND, "archive")

    (word,) = shop.tell()

    assert (word.subject, word.experiment, word.link) == ("stage/storage", None, None)
    assert "a/1 ended 60 seconds ago: disk full" in word.sentence


def test_a_stage_that_falls_again_and_again_is_told_every_ten_minutes(shop: Shop):
    shop.rule(Trigger(event="stage down"))
    told = []
    for _ in range(10):
        shop.beat("storage")
        for _ in range(120):
            shop.pass_time(SECOND)
            told += shop.tell()

    assert len(told) == 2


def test_a_stage_that_was_silent_before_is_given_time_to_start(shop: Shop):
    shop.rule(Trigger(event="stage down", lasts="5m"))
    shop.work.newest = {}
    shop.work.now = START - 8 * HOUR
    shop.beat("storage")
    shop.work.now = START + 4 * MINUTE

    assert shop.tell() == []


def test_lag_is_told_when_it_lasts(shop: Shop):
    shop.rule(Trigger(event="lag", lasts="2m", above=1_000))
    shop.pass_time(3 * MINUTE, "storage", lag=2_000)
    (word,) = shop.tell()
    assert "2,000 records wait for storage, more than 1,000 for" in word.sentence

    shop.pass_time(MINUTE, "storage")
    shop.pass_time(5 * MINUTE, "storage", lag=2_000)
    assert shop.tell() == []  # the same trouble
    shop.pass_time(15 * MINUTE, "storage")
    shop.pass_time(3 * MINUTE, "storage", lag=2_000)

    assert len(shop.tell()) == 1


def test_lag_that_was_there_when_somebody_began_to_watch_is_told_once_in_a_day(shop: Shop):
    shop.rule(Trigger(event="lag", lasts="2m", above=1_000))
    shop.pass_time(3 * MINUTE, "storage", lag=2_000)
    assert len(shop.tell()) == 1
    shop.work.lags.clear()  # as it is after a restart
    shop.pass_time(30 * MINUTE, "storage", lag=2_000)
    shop.work.lags["storage"].pop(min(shop.work.lags["storage"]))

    assert shop.tell() == []
    shop.pass_time(24 * HOUR, "storage", lag=2_000)
    assert len(shop.tell()) == 1


def test_dead_letters_are_told_when_a_minute_has_more(shop: Shop):
    shop.rule(Trigger(event="dead letters", above=10))
    shop.work.count_dead_letters(shop.now, 10)
    assert shop.tell() == []
    shop.work.count_dead_letters(shop.now, 1)
    (word,) = shop.tell()
    assert word.subject == "topic/dead-letters"
    assert word.sentence.startswith("11 messages in a minute could not be used, more than 10")

    for _ in range(30):
        shop.pass_time(MINUTE)
        shop.work.count_dead_letters(shop.now, 20)
        assert shop.tell() == []
    shop.pass_time(11 * MINUTE)
    assert shop.tell() == []
    shop.work.count_dead_letters(shop.now, 20)

    assert len(shop.tell()) == 1


def test_a_test_is_word_by_itself_each_time(shop: Shop):
    shop.rule(Trigger(event="lag"))
    rule = shop.history.newest.notifications["rule"].definition

    first, second = trial(rule, 1), trial(rule, 2)

    assert first.id != second.id
    assert (first.event, first.subject) == ("test", "notification/rule")


def test_every_event_is_asked_for(shop: Shop):
    shop.rule(*(Trigger(event=event) for event in OCCURRENCES))
    shop.publish(FlagState(definition=Flag(key="plain", owner="shop", variants=(Variant(key="on"),))))
    shop.look("ship", units=10)

    assert {each.event for each in shop.tell()} == {"document changed"}
