"""One journey through the whole: users are evaluated and exposed, convert, and are counted in a look."""

import re
from pathlib import Path
from typing import Any

import httpx
from amplitude import Amplitude, BaseEvent
from amplitude import Config as AmplitudeConfig
from amplitude_experiment import Experiment, RemoteEvaluationConfig, User
from amplitude_experiment.remote.fetch_options import FetchOptions

from pipeline.http.listening import HOME, address, with_free_port
from pipeline.settings import Settings
from pipeline.supervisor import Supervisor
from tests.live import wait_for
from tests.pipeline.http.catalog import BUTTON, PURCHASE, publish

REPOSITORY = Path(__file__).parents[3]
USERS = [f"user-{number}" for number in range(12)]


def cell(server: str) -> dict[str, Any]:
    """The live reading of the newest look; empty: there is none."""
    answer = httpx.get(f"{server}/api/1/experiments/button/results", timeout=30)
    cells = answer.json()["cells"] if answer.status_code == 200 else []
    return next((each for each in cells if each["reading"] == "live" and each["segment"] == "all"), {})


def test_users_who_are_evaluated_and_convert_are_counted_in_a_look(deployment: Settings):
    settings = with_free_port(deployment)
    server = address(HOME, settings.http_port)
    publish(settings, [PURCHASE, BUTTON])
    with Supervisor(settings, is_open=True) as supervisor:
        wait_for(lambda: "answers at" in supervisor.workers[-1].log.read_text(), what="the server")
        with Experiment.initialize_remote("any", RemoteEvaluationConfig(server_url=server)) as experiment:
            met = {
                user: experiment.fetch_v2(User(user_id=user), FetchOptions(tracksExposure=True))["button"].key
                for user in USERS
            }
        assert set(met.values()) == {"control", "treatment"}
        buyers = USERS[:5]
        analytics = Amplitude("any", AmplitudeConfig(server_url=f"{server}/2/httpapi", flush_interval_millis=100))
        for user in buyers:
            analytics.track(BaseEvent("purchase", user_id=user))
        analytics.shutdown()

        arms = {arm: [user for user, variant in met.items() if variant == arm] for arm in ("control", "treatment")}
        counted = (len(arms["treatment"]), len(arms["control"]))
        converted = tuple(len(set(arms[arm]) & set(buyers)) for arm in ("treatment", "control"))

        def is_counted() -> bool:
            found = cell(server)
            return (
                bool(found)
                and (found["n"], found["control_n"]) == counted
                and (found["nonzero"], found["control_nonzero"]) == converted
            )

        wait_for(is_counted, what=f"a look with {counted} users of whom {converted} bought")

        exported = httpx.get(f"{server}/metrics", timeout=30).text
        dashboard = (REPOSITORY / "configs" / "grafana.json").read_text()
        assert set(re.findall(r"(?:peekproof|process)_[a-z_]+[a-z]", dashboard)) <= set(
            re.findall(r"^[a-z_]+", exported, re.MULTILINE)
        )
        assert 'peekproof_lag{partition="0",stage="aggregation",topic="units"} ' in exported
