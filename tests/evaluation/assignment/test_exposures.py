"""Exposures: the arms that they meet, and the answers of those that ask."""

import msgspec
import pytest
import xxhash

from evaluation.catalog.configs import flags_in_force
from evaluation.catalog.in_force import SETTLING
from schemas.assignment import Assignment
from schemas.catalog import Condition, Segment, Step
from schemas.units import RowKind
from tests.evaluation.assignment.routed import (
    BUTTON,
    HORIZON,
    NOW,
    TEAMS,
    TOLERANCE,
    event,
    exposure,
    kinds,
    reasons,
    rows_of,
    shop,
    unit,
)


class TestExposures:
    @pytest.fixture
    def show(self, route):
        return lambda *messages, **settings: route(*messages, topic="exposures", **settings)

    def test_an_exposure_makes_a_row_with_its_arm(self, show):
        assigned = show(exposure("treatment"), exposure("control", user_id="u-2"), exposure("treatment", user_id="u-3"))

        insert_id = xxhash.xxh64(b"i-1").intdigest()
        assert rows_of(assigned) == [
            (100 + i, 1, ("button", "exp-1", 0, variant), unit("user_id", user), NOW - 1_000, insert_id, 0)
            for i, (variant, user) in enumerate([("treatment", "u-1"), ("control", "u-2"), ("treatment", "u-3")])
        ]
        assert len(assigned.arms) == 2

    @pytest.mark.parametrize(
        ("fields", "reason", "says"),
        [
            ({"flag_key": "nothing"}, "unknown flag", "'nothing'"),
            ({"variant": "blue"}, "unknown variant", "'blue'"),
            ({"variant": "on"}, "unknown variant", "'on'"),  # another flag has it
            ({"experiment_key": "exp-9"}, "unknown run", "'exp-9'"),
            ({"metadata": {"flagVersion": 3}}, "unknown version", "3"),
            ({"metadata": {"flagVersion": 10**25}}, "unknown version", ""),
            ({"metadata": {"flagVersion": 1}, "experiment_key": "exp-1"}, "unknown version", "1"),
            ({"user_id": None}, "no unit", "user_id"),
            ({"user_id": "", "device_id": "d"}, "no unit", "user_id"),
            ({"time": NOW + TOLERANCE + 1}, "future", str(NOW)),
            ({"flag_key": "x" * 1000}, "unknown flag", "1002 characters"),
            ({"flag_key": "{variant}{0}"}, "unknown flag", "'{variant}{0}'"),
            ({"flag_key": 5}, "wrong type", 'flag_key is a number; send it as a text, "5"'),
            ({"user_id": 42}, "wrong type", 'user_id is a number; send it as a text, "42"'),
            ({"time": "now"}, "wrong type", 'time is "now", a text; it must be a whole number'),
            ({"metadata": {"flagVersion": "2"}}, "wrong type", "flagVersion"),
        ],
    )
    def test_an_exposure_that_names_what_is_not_there_is_rejected(self, show, fields, reason, says):
        assigned = show(exposure(), exposure() | fields, exposure())

        assert reasons(assigned) == [(101, reason)]
        assert says in assigned.rejects[0].detail
        assert len(assigned.rejects[0].detail) < 500
        assert assigned.rejects[0].value == msgspec.json.encode(exposure() | fields)
        assert assigned.offset.tolist() == [100, 102]

    def test_off_makes_no_row_and_no_dead_letter(self, show):
        assigned = show(exposure("off"), exposure("off", user_id=None))

        assert not len(assigned.offset)
        assert not assigned.rejects
        assert not assigned.answers

    def test_an_exposure_of_a_draft_is_only_counted(self, show):
        assigned = show(exposure("control", flag_key="draft"), exposure("control", flag_key="draft", user_id=None))

        assert not len(assigned.offset)
        assert not assigned.rejects
        assert assigned.counts["inactive"] == 2

    def test_an_exposure_of_a_completed_run_is_inactive(self, show):
        topic = shop().run(BUTTON)
        topic.complete("button")

        assigned = show(exposure(time=None), at=topic.time + SETTLING, catalog=topic.history)

        assert [row[1:3] for row in rows_of(assigned)] == [
            (RowKind.EXPOSURE | RowKind.INACTIVE, ("button", "exp-1", 0, "treatment"))
        ]

    def test_a_completion_applies_a_second_after_it(self, show):
        topic = shop().run(BUTTON)
        topic.complete("button")

        assert kinds(show(exposure(time=None), at=topic.time + SETTLING - 1, catalog=topic.history)) == [1]

    def test_an_exposure_from_before_the_start_is_of_the_run_if_it_says_so(self, show):
        topic = shop().run(BUTTON)  # versions 1 and 2
        before = topic.time - 1
        said = [
            {"time": before},
            {"time": before, "variant": "control", "user_id": "tester"},
            {"time": before, "experiment_key": "exp-1"},
            {"time": before, "metadata": {"flagVersion": 2}},
            {"time": topic.time},
        ]

        assigned = show(
            *(exposure(**each) for each in said),
            exposure(None, time=before, user_id="asks"),
            at=topic.time + SETTLING,
            catalog=topic.history,
        )

        inactive = RowKind.EXPOSURE | RowKind.INACTIVE
        assert kinds(assigned) == [inactive, inactive | RowKind.FORCED, *[RowKind.EXPOSURE] * 4]
        assert {row[2][:2] for row in rows_of(assigned)} == {("button", "exp-1")}
        assert assigned.counts["inactive"] == 2

    def test_what_stands_in_for_an_exposure_happened_after_the_start(self, route):
        topic = shop().run(msgspec.structs.replace(BUTTON, exposure_event=Step(event="login")))
        times = (topic.time - 1, topic.time)

        assigned = route(
            *(event("login", time=time, user_id=f"u-{time}") for time in times),
            at=topic.time + SETTLING,
            catalog=topic.history,
        )

        assert kinds(assigned) == [RowKind.EXPOSURE | RowKind.INACTIVE, RowKind.EXPOSURE]
        assert assigned.counts["inactive"] == 1

    def test_an_exposure_of_an_included_unit_is_forced_whatever_its_variant(self, show):
        assigned = show(exposure("control", user_id="tester"), exposure("treatment", user_id="tester"), exposure())

        assert kinds(assigned) == [
            RowKind.EXPOSURE | RowKind.FORCED,
            RowKind.EXPOSURE | RowKind.FORCED,
            RowKind.EXPOSURE,
        ]

    def test_lateness_and_own_ids_are_marked(self, show):
        assigned = show(exposure(time=NOW - HORIZON - 1), exposure(insert_id=None))

        assert kinds(assigned) == [RowKind.EXPOSURE | RowKind.LATE, RowKind.EXPOSURE | RowKind.OWN_ID]

    def test_a_flag_without_metrics_has_rows_too(self, show):
        assigned = show(exposure("dark", flag_key="banner"))

        assert [row[2] for row in rows_of(assigned)] == [("banner", "exp-1", 0, "dark")]

    def test_an_exposure_belongs_to_the_allocation_of_the_version_that_it_carries(self, show):
        topic = shop().run(BUTTON)  # versions 1 and 2
        topic.apply(msgspec.structs.replace(BUTTON, rollout=50))  # version 3: another allocation
        topic.apply(msgspec.structs.replace(BUTTON, rollout=50, description="the same"))  # version 4: the same
        said = [
            {},
            {"metadata": {"flagVersion": 2}},
            {"metadata": {"flagVersion": 3}},
            {"metadata": {"flagVersion": 4}},
        ]

        assigned = show(*(exposure(**each) for each in said), catalog=topic.history)

        assert [row[2] for row in rows_of(assigned)] == [("button", "exp-1", i, "treatment") for i in (1, 0, 1, 1)]

    def test_an_exposure_belongs_to_the_run_that_it_names_or_its_version_lies_in(self, show):
        topic = shop().run(BUTTON)
        topic.complete("button")  # version 3
        topic.start("button")  # version 4
        said = [
            {},
            {"experiment_key": "exp-1"},
            {"experiment_key": "exp-2"},
            {"metadata": {"flagVersion": 2}},
            {"metadata": {"flagVersion": 4}},
            {"metadata": {"flagVersion": 1}},
            {"experiment_key": "exp-2", "metadata": {"flagVersion": 2}},
            {"experiment_key": "exp-1", "metadata": {"flagVersion": 4}},
        ]

        assigned = show(*(exposure(**each) for each in said), catalog=topic.history)

        runs = [(row[0], row[1], row[2][1]) for row in rows_of(assigned)]
        inactive = RowKind.EXPOSURE | RowKind.INACTIVE
        assert runs == [
            (100, 1, "exp-2"),
            (101, inactive, "exp-1"),
            (102, 1, "exp-2"),
            (103, inactive, "exp-1"),
            (104, 1, "exp-2"),
        ]
        assert reasons(assigned) == [(106, "unknown version"), (107, "unknown version")]
        assert assigned.counts["inactive"] == 3

    def test_one_that_asks_is_answered_and_enters(self, show, history):
        flags = flags_in_force(history.newest)
        users = [f"u-{i}" for i in range(200)]

        assigned = show(*(exposure(None, user_id=user, device_id="d") for user in users))

        expected = [flags.evaluate({"user_id": user})["button"].key for user in users]
        assert [row[2][3] for row in rows_of(assigned)] == expected
        assert [answer.variant for answer in assigned.answers] == expected
        i = expected.index("treatment")
        assert assigned.answers[i] == Assignment(
            flag_key="button",
            variant="treatment",
            reason="segment",
            experiment_key="exp-1",
            user_id=users[i],
            device_id="d",
            payload={"colour": "red"},
            metadata={"flagVersion": 2, "experimentKey": "exp-1", "segmentName": "All Other Users"},
            time=NOW - 1_000,
            insert_id="i-1",
            origin=f"exposures/0/{100 + i}",
        )

    def test_what_was_answered_comes_back_as_the_same_arm(self, show):
        asked = show(*(exposure(None, user_id=f"u-{i}") for i in range(20)))

        told = show(
            *(
                exposure(a.variant, user_id=a.user_id, experiment_key=a.experiment_key, metadata=a.metadata)
                for a in asked.answers
            )
        )

        assert rows_of(told) == rows_of(asked)

    def test_an_answer_by_an_old_allocation_carries_its_version(self, show):
        topic = shop().run(BUTTON)  # versions 1 and 2
        topic.apply(msgspec.structs.replace(BUTTON, rollout=50))  # version 3: another allocation
        topic.apply(msgspec.structs.replace(BUTTON, rollout=50, description="the same"))  # version 4: the same
        versions = [{"flagVersion": version} for version in (2, 3, 4)]

        asked = show(*(exposure(None, metadata=each) for each in versions), catalog=topic.history)
        told = show(*(exposure(a.variant, metadata=a.metadata) for a in asked.answers), catalog=topic.history)

        assert [answer.metadata["flagVersion"] for answer in asked.answers] == [2, 4, 4]
        assert [row[2:] for row in rows_of(told)] == [row[2:] for row in rows_of(asked)]

    def test_one_that_asks_of_a_run_that_is_over_is_answered_by_what_is_in_force(self, show):
        topic = shop().run(BUTTON)
        topic.complete("button")
        topic.run(msgspec.structs.replace(BUTTON, unit="device_id"))
        flags = flags_in_force(topic.history.newest)
        devices = [{"device_id": f"d-{i}"} for i in range(20)]

        assigned = show(
            *(exposure(None, experiment_key="exp-1", **each) for each in devices),
            exposure(None, experiment_key="exp-1"),
            catalog=topic.history,
        )

        expected = [flags.evaluate({"user_id": "u-1", **each})["button"].key for each in devices]
        assert [answer.variant for answer in assigned.answers] == expected
        assert not len(assigned.offset)
        assert reasons(assigned) == [(120, "no unit")]

    def test_f01_one_that_asks_of_a_flag_that_cannot_be_evaluated_is_off_and_told_why(self, show):
        broken = (Segment(name="s", conditions=(Condition(property="country", op="regex match", values=("(?!A)",)),)),)
        topic = shop().run(msgspec.structs.replace(BUTTON, segments=broken))

        assigned = show(exposure(None, user_id="tester"), exposure("control"), catalog=topic.history)

        (answer,) = assigned.answers
        assert (answer.variant, answer.reason, len(assigned.offset)) == ("off", "inactive", 1)
        assert "'(?!A)' is no regular expression of RE2" in answer.metadata["problem"]

    def test_one_that_asks_and_is_off_forced_or_inactive_is_answered_and_does_not_enter(self, show, history):
        flags = flags_in_force(history.newest)
        off = next(f"u-{i}" for i in range(99) if flags.evaluate({"user_id": f"u-{i}"})["banner"].key == "off")

        assigned = show(
            exposure(None, flag_key="banner", user_id=off),
            exposure(None, user_id="tester"),
            exposure(None, flag_key="draft"),
            exposure(None, flag_key="draft", user_id=None),
        )

        assert [(answer.variant, answer.reason) for answer in assigned.answers] == [
            ("off", "not allocated"),
            ("control", "inclusion"),
            ("off", "inactive"),
        ]
        assert not len(assigned.offset)
        assert reasons(assigned) == [(103, "no unit")]

    def test_f15_whom_a_draft_lists_gets_the_variant_and_is_not_counted(self, show):
        asked = show(exposure(None, flag_key="draft", user_id="tester"))
        met = show(exposure("treatment", flag_key="draft", user_id="tester", metadata={"flagVersion": 1}))

        assert [(each.variant, each.reason) for each in asked.answers] == [("treatment", "inclusion")]
        assert asked.answers[0].experiment_key is None
        assert not len(asked.offset)
        assert not len(met.offset)
        assert (met.counts["inactive"], met.rejects) == (1, [])

    def test_a_group_is_answered_with_its_name(self, show):
        history = shop().run(TEAMS).history

        assigned = show(exposure(None, flag_key="teams", groups={"org": ["acme"]}, user_id=None), catalog=history)

        assert assigned.answers[0].groups == {"org": "acme"}
        assert assigned.unit.tolist() == [unit("groups.org", "acme")]
