"""Whether looks tell everything: who speaks on the way to them, and how far behind they are."""

from typing import Any

import msgspec

from evaluation.plans.upstream import FRESH_MS, LATE_MS, LISTEN_MS, MANY, TO_A_LOOK, TO_ONE_OF_PEOPLE, Upstream
from schemas.health import PartitionHealth, WorkerHealth

NOW = 1_800_000_000_000
INPUTS = {"assignment": "events", "identity": "identities", "aggregation": "units", "significance": "aggregates"}


def word(stage: str, worker: str = "a/1", partitions: range = range(2), **fields: Any) -> WorkerHealth:
    """What a worker that keeps up says; `fields` are of its partitions."""
    keeps_up = {"position": 9, "lag": 0, "watermark": 0 if stage == "significance" else NOW - 1_000}
    places = [
        PartitionHealth(topic=INPUTS[stage], partition=number, **(keeps_up | fields) if number == 0 else keeps_up)
        for number in partitions
    ]
    return WorkerHealth(stage=stage, worker=worker, started=1, cpu_seconds=1.0, peak_memory=1, partitions=places)


def listening(time: int = NOW) -> Upstream:
    """To workers that all keep up, for long enough."""
    upstream = Upstream()
    upstream.behind(time - LISTEN_MS)
    for stage in TO_A_LOOK:
        upstream.hear(time, word(stage))
    return upstream


def test_workers_that_speak_and_keep_up_are_not_behind() -> None:
    assert listening().behind(NOW + FRESH_MS - 1) is None


def test_who_has_just_begun_to_listen_does_not_know() -> None:
    upstream = Upstream()
    assert upstream.behind(NOW) == "the workers have not all been heard yet"

    for stage in TO_A_LOOK:
        upstream.hear(NOW, word(stage))

    assert upstream.behind(NOW + LISTEN_MS - 1) == "the workers have not all been heard yet"
    assert upstream.behind(NOW + LISTEN_MS) is None


def test_a_stage_that_is_silent_is_down() -> None:
    upstream = listening()
    for stage in ("assignment", "significance"):
        upstream.hear(NOW + FRESH_MS, word(stage))

    assert upstream.behind(NOW + FRESH_MS) == "nobody works on aggregation"


def test_only_looks_at_people_wait_for_the_identity_stage_whose_watermark_is_a_horizon_behind() -> None:
    upstream = listening()

    assert upstream.behind(NOW) is None
    assert upstream.behind(NOW, TO_ONE_OF_PEOPLE) == "nobody works on identity"

    upstream.hear(NOW, word("identity", watermark=NOW - 3_600_000))
    assert upstream.behind(NOW, TO_ONE_OF_PEOPLE) is None

    upstream.hear(NOW, word("identity", lag=MANY + 1))
    assert upstream.behind(NOW, TO_ONE_OF_PEOPLE) == "100,001 records wait for identity at identities/0"
    assert upstream.behind(NOW) is None


def test_a_stage_whose_last_worker_has_ended_is_down_at_once() -> None:
    upstream = listening()
    ended = WorkerHealth(stage="assignment", worker="a/1", started=1, cpu_seconds=1.0, peak_memory=1, ended=True)
    upstream.hear(NOW, ended)

    assert upstream.behind(NOW) == "nobody works on assignment"
    upstream.hear(NOW, word("assignment", "b/2"))
    assert upstream.behind(NOW) is None


def test_a_stage_to_which_no_partition_has_been_given_yet_is_down() -> None:
    upstream = Upstream()
    upstream.behind(NOW - LISTEN_MS)
    for stage in TO_A_LOOK:
        upstream.hear(NOW, word(stage, partitions=range(0) if stage == "significance" else range(2)))

    assert upstream.behind(NOW) == "nobody works on significance"


def test_a_partition_that_lags_is_told() -> None:
    for stage, fields, told in (
        ("assignment", {"watermark": NOW - LATE_MS - 1}, "assignment at events/0 is 30 s behind"),
        ("aggregation", {"watermark": 0}, "how far aggregation at units/0 has come is not known yet"),
        ("significance", {"lag": MANY + 1}, "100,001 records wait for significance at aggregates/0"),
    ):
        upstream = listening()
        upstream.hear(NOW, word(stage, **fields))

        assert upstream.behind(NOW) == told


def test_a_partition_that_nobody_has_taken_over_is_told_though_others_work() -> None:
    upstream = listening(NOW - LATE_MS - 1_000)
    for stage in TO_A_LOOK:
        taken_over = range(1) if stage == "significance" else range(2)
        upstream.hear(NOW, word(stage, "b/2", taken_over))

    assert upstream.behind(NOW) == "nobody has spoken of significance at aggregates/1 for 31 s"


def test_other_stages_are_not_on_the_way() -> None:
    upstream = listening()
    upstream.hear(NOW, WorkerHealth(stage="storage", worker="c/3", started=1, cpu_seconds=1.0, peak_memory=1))

    assert upstream.behind(NOW) is None


def test_of_a_topic_that_waits_it_is_told_why() -> None:
    upstream = listening()
    place = PartitionHealth(topic="@orders", partition=3, position=9, lag=5, watermark=NOW - 93_000)
    said = msgspec.structs.replace(word("assignment"), waiting={"@orders": "the registry is away"})
    upstream.hear(NOW, msgspec.structs.replace(said, partitions=[*said.partitions, place]))

    assert upstream.behind(NOW) == "assignment at orders/3 is 93 s behind: the registry is away"
