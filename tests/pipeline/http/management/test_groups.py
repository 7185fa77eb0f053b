"""Groups over HTTP."""

from tests.pipeline.http.management.api import Api


def test_groups_take_their_experiments_with_them_or_nothing(api: Api):
    for key in ("left", "right"):
        api.call("POST", "flags", {"key": key})
    slots = [{"percentage": 60, "experiments": ["left"]}, {"percentage": 40, "individuals": ["ann"]}]
    unknown = {"key": "m", "slots": [{"percentage": 1, "experiments": ["lefty"]}]}
    assert "'lefty' is no flag" in api.call("POST", "mutexes", unknown, 400)["error"]
    too_many = {"key": "m", "slots": [*slots, {"percentage": 1}]}
    assert "the percentages sum to 101" in api.call("POST", "mutexes", too_many, 409)["error"]

    held = {"key": "m", "slots": [{"percentage": 9, "holdouts": ["h"]}]}
    assert "name those of the holdout" in api.call("POST", "mutexes", held, 400)["error"]

    created = api.call("POST", "mutexes", {"key": "m", "slots": slots})
    assert created["slots"] == [
        {"percentage": 60, "experiments": ["left"], "holdouts": [], "individuals": []},
        {"percentage": 40, "experiments": [], "holdouts": [], "individuals": ["ann"]},
    ]
    edited = api.call("PATCH", "mutexes/m/slots/2", {"experiments": ["left", "right"]})
    assert [slot["experiments"] for slot in edited["slots"]] == [["left"], ["left", "right"]]
    assert api.definition("left").groups[0].slots == (1, 2)
    api.call("PATCH", "mutexes/m/slots/1", {"experiments": []})
    assert api.definition("left").groups[0].slots == (2,)
    assert api.call("PATCH", "mutexes/m/slots/3", {"experiments": []}, 404)["error"]

    held = {"key": "h", "holdoutPercentage": 5, "experiments": ["right"], "individualExclusion": ["ann"]}
    held = api.call("POST", "holdouts", held)
    assert (held["holdoutPercentage"], held["experiments"]) == (5, ["right"])
    assert (held["individualInclusion"], held["individualExclusion"]) == ([], ["ann"])
    assert [each["id"] for each in api.call("GET", "holdouts")["holdouts"]] == ["h"]
    assert [each["id"] for each in api.call("GET", "mutexes")["mutexes"]] == ["m"]
    edited = api.call("PATCH", "holdouts/h", {"experiments": [], "name": "Held out", "individualExclusion": ["bob"]})
    assert (edited["name"], edited["individualExclusion"]) == ("Held out", ["bob"])
    assert [each.group for each in api.definition("right").groups] == ["m"]
