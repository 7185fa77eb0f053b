"""Unmodified SDKs of Amplitude and OpenFeature, pointed at the server by their own options, which wants their keys."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest
from amplitude_experiment import (  # not by its factory, which keeps one client per key and process
    LocalEvaluationClient,
    LocalEvaluationConfig,
    RemoteEvaluationClient,
    RemoteEvaluationConfig,
    User,
)
from amplitude_experiment.cohort.cohort_sync_config import CohortSyncConfig
from amplitude_experiment.exposure.exposure_config import ExposureConfig
from amplitude_experiment.local.evaluate_options import EvaluateOptions
from amplitude_experiment.remote.fetch_options import FetchOptions
from msgspec.structs import replace
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode

from evaluation.catalog.configs import flags_in_force
from pipeline.catalog.topic import read_catalog
from pipeline.http.callers.keys import Keys
from pipeline.settings import Settings
from schemas.topics import EXPOSURES
from tests.live import wait_for
from tests.pipeline.http import node_clients
from tests.pipeline.http.catalog import BETA, edit
from tests.pipeline.http.server import serving
from tests.pipeline.http.topics import said_of

ANN = User(user_id="ann", device_id="phone")
TOM = User(user_id="tom", device_id="phone")


class Guarded(NamedTuple):
    """A server that wants keys, and two of them."""

    address: str
    server_key: str  # of the deployment `backend`
    client_key: str  # of `web`


@pytest.fixture(scope="module")
def guarded(shop: Settings) -> Iterator[Guarded]:
    keys = Keys(shop.data)
    _, server_key = keys.create("server", "tests", "backend")
    _, client_key = keys.create("client", "tests", "web")
    with serving(shop, is_open=False) as server:
        yield Guarded(server.address, server_key, client_key)


@pytest.fixture(scope="module")
def expected(shop: Settings) -> dict[str, str]:
    """What ann gets."""
    answers = flags_in_force(read_catalog(shop).newest).evaluate({"user_id": "ann", "device_id": "phone"})
    return {flag: answer.key for flag, answer in answers.items() if flag != "slots"}


def local(guarded: Guarded, stream: bool) -> LocalEvaluationConfig:
    cohorts = CohortSyncConfig("any", guarded.server_key, cohort_server_url=guarded.address)
    exposures = ExposureConfig(server_url=f"{guarded.address}/2/httpapi", flush_queue_size=1, flush_interval_millis=100)
    exposures.api_key = guarded.server_key
    return LocalEvaluationConfig(
        server_url=guarded.address,
        stream_updates=stream,
        stream_server_url=guarded.address,
        stream_flag_conn_timeout=15_000,  # ms
        cohort_sync_config=cohorts,
        exposure_config=exposures,
    )


def test_f20_a_key_may_come_in_a_header_of_its_own(guarded: Guarded, expected: dict[str, str]):
    address = f"{guarded.address}/ofrep/v1/evaluate/flags"
    context = {"context": {"targetingKey": "ann", "user_id": "ann", "device_id": "phone"}}
    with httpx.Client(timeout=30) as asking:
        ways = [{"X-API-Key": guarded.server_key}, {"Authorization": f"Bearer {guarded.server_key}"}]
        told = [asking.post(address, json=context, headers=way) for way in ways]
        wrong = asking.post(address, json=context, headers={"X-API-Key": "nobody"})
        asked = asking.options(address, headers={"Origin": "https://shop.example", "Host": "flags.example"})

    assert [answer.status_code for answer in told] == [200, 200]
    flags, same = ({flag["key"]: flag["variant"] for flag in answer.json()["flags"]} for answer in told)
    assert flags == same
    assert flags["button"] == expected["button"]
    assert wrong.status_code == 401
    assert "is not known" in wrong.json()["error"]
    assert "x-api-key" in asked.headers["access-control-allow-headers"]


def test_python_evaluates_remotely(guarded: Guarded, expected: dict[str, str]):
    config = RemoteEvaluationConfig(server_url=guarded.address, fetch_retries=0)
    with RemoteEvaluationClient(guarded.server_key, config) as client:
        assert {flag: variant.key for flag, variant in client.fetch_v2(ANN).items()} == expected
        some = client.fetch_v2(TOM, FetchOptions(flagKeys=["beta"]))
        assert {flag: variant.value for flag, variant in some.items()} == {"beta": "on"}
    with RemoteEvaluationClient("server-no-such-key", config) as client:
        assert client.fetch_v2(ANN) is None


@pytest.mark.parametrize("stream", [False, True], ids=["polling", "stream"])
def test_python_evaluates_by_itself_with_cohorts_and_tracks_exposures(
    guarded: Guarded, expected: dict[str, str], shop: Settings, stream: bool
):
    user = User(user_id=f"local-{stream}", device_id="phone")
    with LocalEvaluationClient(guarded.server_key, local(guarded, stream)) as client:
        client.start()
        given = client.evaluate_v2(ANN)
        met = client.evaluate_v2(user, options=EvaluateOptions(tracks_exposure=True))

    assert {flag: variant.key for flag, variant in given.items() if flag != "slots"} == expected
    assert given["beta"].key == "on"  # as a member of the cohort
    assert given["slots"].metadata["deployed"] is False
    wait_for(lambda: len(said_of(shop, EXPOSURES, user.user_id)) >= 3, what="exposures")
    exposures = {each["flag_key"]: each for each in said_of(shop, EXPOSURES, user.user_id)}
    assert exposures["button"]["variant"] == met["button"].key
    assert exposures["button"]["metadata"]["flagVersion"] == met["button"].metadata["flagVersion"]


def test_a_change_reaches_a_connected_sdk_within_a_second(guarded: Guarded, shop: Settings):
    took = []
    with LocalEvaluationClient(guarded.server_key, local(guarded, stream=True)) as client:
        client.start()
        for _ in range(3):  # of which a busy machine may delay some
            version = client.evaluate_v2(ANN)["beta"].metadata["flagVersion"]
            edit(shop, replace(BETA, description=f"after version {version}"))
            began = time.monotonic()
            wait_for(lambda known=version: client.evaluate_v2(ANN)["beta"].metadata["flagVersion"] > known)
            took.append(time.monotonic() - began)

    assert min(took) < 1, took


def test_openfeature_evaluates_in_python(guarded: Guarded, expected: dict[str, str]):
    headers = {"Authorization": f"Bearer {guarded.server_key}"}
    api.set_provider(OFREPProvider(guarded.address, headers_factory=lambda: headers))
    client, ann = api.get_client(), EvaluationContext("ann", {"device_id": "phone"})

    assert client.get_boolean_value("beta", False, ann) is True
    assert client.get_boolean_value("beta", True, EvaluationContext("bob")) is False
    assert client.get_string_value("sticky", "none", ann) == expected["sticky"]
    button = client.get_object_details("button", {"label": "Continue"}, ann)
    assert button.variant == expected["button"]
    assert button.value == {"control": {}, "treatment": {"label": "Buy now"}}[expected["button"]]
    assert button.flag_metadata["experimentKey"] == "exp-1"
    assert client.get_boolean_details("no-such-flag", True, ann).error_code == ErrorCode.FLAG_NOT_FOUND
    assert client.get_boolean_value("beta", True, EvaluationContext()) is False
    assert client.get_object_details("button", {}, EvaluationContext()).error_code == ErrorCode.TARGETING_KEY_MISSING


def test_clients_in_javascript_are_answered_alike(guarded: Guarded, expected: dict[str, str]):
    told = node_clients.ask("clients.cjs", *guarded)

    assert told["remote"] == expected
    for name in ("local", "stream"):
        assert {flag: key for flag, key in told[name].items() if flag != "slots"} == expected
    assert told["browser"] == {flag: key for flag, key in expected.items() if flag != "for-backend"}
    assert told["openFeature"] == {"beta": True, "sticky": expected["sticky"], "nothing": "FLAG_NOT_FOUND"}
