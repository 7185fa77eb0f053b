"""Answers from the archive, against the run's own sums and a query by hand over the archive's files."""

from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from evaluation.exploring.question import ExploreQuestion, condition_of
from evaluation.metrics.partition import Partition
from pipeline.errors import PeekproofError
from pipeline.exploring.explore import Exploration, explore
from pipeline.questions.reading import TimeBound
from pipeline.storage.archived import chain
from schemas.catalog import Metric
from schemas.duration import HOUR_MS
from tests.pipeline.questions.world import HORIZON, World

Told = dict[tuple[str, ...], tuple[int, ...]]  # by slice and variant: units, sum, sum of squares, units above 0
TOPICS = {"exposures": "exposures", "events": "events", "shop": "@shop"}
FOREVER = 1 << 40
BY_HAND = """
WITH sent AS (
    SELECT decode(value)::JSON AS m, append_time FROM read_parquet($exposures) WHERE append_time <= $exposed
), exposed AS (
    SELECT m->>'user_id' AS unit, m->>'variant' AS variant, (m->>'time')::BIGINT AS time,
        m->>'$.user_properties.plan' AS plan, m->>'country' AS country
    FROM sent WHERE m->>'flag_key' = 'button'
), members AS (
    SELECT unit, min(time) AS entry, arg_min(variant, time) AS variant, arg_min(plan, time) AS plan,
        arg_min(country, time) AS country
    FROM exposed GROUP BY unit HAVING count(DISTINCT variant) = 1
), told AS (
    SELECT decode(value)::JSON AS m FROM read_parquet($events) WHERE append_time <= $until
    UNION ALL
    SELECT json_object('event_type', m->'what', 'time', m->'at', 'user_id', m->'$.who.id',
        'event_properties', json_object('price', m->'$.cart.total'))
    FROM (SELECT decode(value)::JSON AS m FROM read_parquet($shop) WHERE append_time <= $until)
), happened AS (
    SELECT m->>'event_type' AS name, (m->>'time')::BIGINT AS time, m->>'user_id' AS unit,
        (m->>'$.event_properties.price')::BIGINT AS price
    FROM told
), numbers AS (
    SELECT unit, variant, plan, country,
        coalesce(sum(price) FILTER (name = 'buy' AND time - entry BETWEEN 0 AND $window - 1 AND {where}), 0) AS x
    FROM members LEFT JOIN happened USING (unit) GROUP BY ALL
)
SELECT {by}, variant, count(*), sum(x)::BIGINT, sum(x * x)::BIGINT, count(*) FILTER (x <> 0) FROM numbers GROUP BY ALL
"""


def by_hand(  # noqa: PLR0917
    world: World, by: str, window: int, where: str = "true", until: int = 1 << 62, exposed: int | None = None
) -> Told:
    """Of events that were appended until then, and exposures until another time."""
    files = {name: [str(f.path) for f in chain(world.directory, topic, 0)] for name, topic in TOPICS.items()}
    bounds = {"window": window, "until": until, "exposed": until if exposed is None else exposed}
    rows = duckdb.execute(BY_HAND.format(by=by, where=where), files | bounds).fetchall()
    return {row[:-4]: row[-4:] for row in rows}


def ask(world: World, **asked: object) -> Exploration:
    return explore(world.directory, world.history, "button", None, ExploreQuestion(**asked), HORIZON, HORIZON)  # type: ignore[arg-type]


def told(answer: Exploration, metric: str, by: tuple[str, ...], scale: int = 10**6) -> Told:
    """Of each slice and variant what was counted, in whole numbers."""
    found: Told = {}
    for each in answer.cells:
        if (each.metric, each.by) == (metric, by) and not each.is_of_events:
            cell = each.cell
            of, its = cell.variant, (cell.n, cell.sum, cell.sum_squares, cell.nonzero)
            control = (cell.control_n, cell.control_sum, cell.control_sum_squares, cell.control_nonzero)
            for variant, (n, total, squares, nonzero) in ((of, its), (cell.control, control)):
                found[*each.slice, variant] = n, int(total) // scale, int(squares) // scale**2, nonzero
    return found


@pytest.fixture(scope="module")
def answer(world: World) -> Exploration:
    return ask(
        world,
        metrics=("spent", "views"),
        any_event=("buy:sum:price",),
        by=(("country",), ("plan", "country")),
        by_event=("price",),
        reading="live",
        most=3,
    )


def test_slices_are_those_of_a_query_by_hand(world: World, answer: Exploration) -> None:
    for metric, window in (("spent", 12 * HOUR_MS), ("buy:sum:price", FOREVER)):
        assert told(answer, metric, ()) == {key[1:]: its for key, its in by_hand(world, "true", window).items()}
        assert told(answer, metric, ("country",)) == by_hand(world, "country", window)
    crossed = by_hand(world, "plan, country", FOREVER)
    largest = told(answer, "buy:sum:price", ("user_properties.plan", "country"))
    named = {key: value for key, value in largest.items() if key[0] != "(other)"}
    assert {key: crossed[key] for key in named} == named
    assert len(named) == 6
    others = [value for key, value in crossed.items() if key not in named and key[2] == "control"]
    assert largest["(other)", "(other)", "control"] == tuple(map(sum, zip(*others, strict=True)))


def test_without_a_question_more_it_is_what_the_run_counts(world: World) -> None:
    """The aggregation's own sums of the rows that the assignment stage made of the same records."""
    answer = ask(world, metrics=("buyers", "spent", "views", "basket", "per-view"), by=(("country",),))

    partitions = [Partition(number, HORIZON, keeps=True) for number in range(len(world.messages))]
    sums: dict[object, list[int]] = {}
    for partition, messages in zip(partitions, world.messages, strict=True):
        for offset, message in enumerate(messages):
            partition.fold(offset, message, world.history.at_offset)
        for aggregate in partition.aggregates():
            for each in aggregate.sums:
                known = sums.setdefault((each.metric, each.reading, each.segment, each.variant), [0, 0, 0])
                known[:] = [known[0] + each.n, known[1] + int(each.first[0]), known[2] + int(each.second[0])]
    compared = 0
    for each in answer.cells:
        cell, segment = each.cell, f"country={'(other)' if each.slice == ('CH',) else 'AT'}" if each.by else "all"
        expected = sums.get((cell.metric, cell.reading, segment, cell.variant), [0, 0, 0])
        if cell.reading == "live":  # the stage's clock goes on by heartbeats, so it has settled some more
            assert [cell.n, int(cell.sum), int(cell.sum_squares)] == expected
            compared += 1
    assert compared == 3
    assert answer.as_of <= partitions[0].watermark


def test_conditions_choose_units_by_their_entry_and_events_by_what_they_say(world: World) -> None:
    where = (condition_of("country is AT"), condition_of("event_properties.price greater 30"))
    answer = ask(world, metrics=("spent",), where=where, reading="live")

    expected = by_hand(world, "country", 12 * HOUR_MS, where="price > 30")
    assert told(answer, "spent", ()) == {key[1:]: value for key, value in expected.items() if key[0] == "AT"}
    assert answer.units == sum(value[0] for value in told(answer, "spent", ()).values())


def test_a_run_is_asked_as_it_stood_once(world: World) -> None:
    until = world.run.started + 20 * HOUR_MS
    answer = ask(world, metrics=("spent",), by=(("country",),), until=until, reading="live")

    assert told(answer, "spent", ("country",)) == by_hand(world, "country", 12 * HOUR_MS, until=until)
    assert until - HOUR_MS < answer.as_of <= until


def test_the_family_is_all_that_was_asked(answer: Exploration) -> None:
    assert answer.family is not None
    of_units, of_events = 3 * (1 + 2 + 4), 3 * 4  # metrics by everyone and slices; prices are few, and others
    assert answer.family.comparisons == len(answer.cells) == of_units + of_events
    assert answer.family.level == answer.family.alpha / answer.family.comparisons
    assert {each.cell.alpha for each in answer.cells} == {answer.family.level}


def test_a_metric_may_be_a_document(world: World) -> None:
    document = Metric(key="mine", owner="me", type="sum", event="buy", property="price", window="12h", scale=6)
    answer = ask(world, metrics=("spent", document), reading="live")

    spent, mine = answer.cells
    assert (mine.metric, mine.cell.sum, mine.cell.control_sum) == ("mine", spent.cell.sum, spent.cell.control_sum)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"metrics": ("spend",)}, "did you mean 'spent'"),
        ({"any_event": ("buy:total",)}, "EVENT:TYPE"),
        ({"by": (("event_properties.x",),)}, "by_event"),
        ({"where": (condition_of("plan regex match (?=x)"),)}, "look-?around|perl|invalid"),
    ],
)
def test_what_cannot_be_asked_says_how(world: World, asked: dict[str, object], why: str) -> None:
    with pytest.raises(PeekproofError, match=f"(?i){why}"):
        ask(world, **asked)


def test_what_is_sought_in_vain_is_told_with_what_there_is(world: World) -> None:
    answer = ask(world, any_event=("bui:count", "buy:count"), by=(("plans",), ("country",)))

    assert answer.notes[-2:] == [
        "no exposure that was read tells `plans`; did you mean 'plan'?",
        "there is no event `bui`; did you mean 'buy'?",
    ]
    assert not any("in vain" in each or "no e" in each for each in ask(world, by=(("plan",),)).notes)


def test_of_a_reading_that_was_cut_off_it_is_told_how_far_it_came_or_that_nothing_can_be_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While exposures are read nothing is known of events; then all of these, and events that came until then."""

    def cut_after(slices: int, question: ExploreQuestion) -> Exploration:
        left = iter([False] * slices)
        monkeypatch.setattr(TimeBound, "is_over", property(lambda _: next(left, True)))
        return explore(world.directory, world.history, "button", None, question, HORIZON, HORIZON, 5.0)

    whole = ask(world, metrics=("spent",), reading="live")
    for slices in (0, 1):
        with pytest.raises(PeekproofError, match="nothing can be said of what was read"):
            cut_after(slices, ExploreQuestion(metrics=("spent",), reading="live"))
    answers = []
    for slices in range(2, 40):
        with suppress(PeekproofError):
            answers.append(cut_after(slices, ExploreQuestion(metrics=("spent",), reading="live")))
    cut = next(each for each in answers if each.notes and "cut off: the run as of" in each.notes[0])
    monkeypatch.undo()
    assert 0 < cut.units <= whole.units
    then, now = (by_hand(world, "'all'", 12 * HOUR_MS, until=until, exposed=1 << 62) for until in (cut.as_of, 1 << 62))
    for (variant,), (_, spent, _, buyers) in told(cut, "spent", ()).items():
        (_, least, _, fewest), (_, most, _, all_buyers) = then["all", variant], now["all", variant]
        assert 0 < least <= spent <= most
        assert fewest <= buyers <= all_buyers


def test_an_archive_without_the_run_is_told(world: World, tmp_path: Path) -> None:
    with pytest.raises(PeekproofError, match="nothing of button/exp-1 is archived"):
        explore(tmp_path, world.history, "button", None, ExploreQuestion(), HORIZON, HORIZON)
