"""Plans: compiled once for all states of the catalog that say the same of them."""

from evaluation.assignment.plan import event_plan, exposure_plan
from schemas.comment import Comment
from tests.evaluation.assignment.routed import BUTTON, HORIZON, shop


def test_what_people_say_of_a_flag_has_no_plan_compiled_anew():
    topic = shop().run(BUTTON)
    before, former = topic.history.newest, topic.history.states[-2]
    topic.versions = {}
    topic._append("comment", BUTTON.key, Comment(key=BUTTON.key, text="Good."))

    after = topic.history.newest

    assert after is not before
    assert event_plan(after, HORIZON) is event_plan(before, HORIZON)
    assert exposure_plan(after) is exposure_plan(before)
    assert exposure_plan(former) is not exposure_plan(before)
