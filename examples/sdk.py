"""A service that needs no Kafka: Amplitude's own SDKs, unmodified, against `peekproof serve`.

    pip install amplitude-experiment amplitude-analytics
    export PEEKPROOF_KEY=...   # of `peekproof key create server --deployment backend`
    python examples/sdk.py ann bob

It reads PEEKPROOF_SERVER from the environment. Without it, it talks to the server of `peekproof up`, or of
`docker compose up`, on this machine. docs/protocols.md lists other SDKs, OpenFeature's among them, and what to set in
each.
"""

import os
import sys

from amplitude import Amplitude, BaseEvent, Config
from amplitude_experiment import RemoteEvaluationClient, RemoteEvaluationConfig, User
from amplitude_experiment.remote.fetch_options import FetchOptions

SERVER = os.environ.get("PEEKPROOF_SERVER", "http://127.0.0.1:8080")
KEY = os.environ["PEEKPROOF_KEY"]
FLAG = "checkout-button"


def main(users: list[str]) -> None:
    """Each user meets the checkout and buys something."""
    config = Config(server_url=f"{SERVER}/2/httpapi", flush_interval_millis=500, min_id_length=1)
    analytics = Amplitude(KEY, config)
    with RemoteEvaluationClient(KEY, RemoteEvaluationConfig(server_url=SERVER)) as experiment:
        for user in users:
            # The server evaluates, and writes the exposure itself where it is asked to: what is fetched is shown.
            variants = experiment.fetch_v2(User(user_id=user), FetchOptions(tracksExposure=True, flagKeys=[FLAG]))
            if variants is None:
                sys.exit(f"{SERVER} did not answer; the SDK logged why")
            print(f"{user}: {variants[FLAG].key} {variants[FLAG].payload or ''}")
            # An event names no experiment: whatever its user entered before is where it counts.
            analytics.track(BaseEvent("purchase", user_id=user, event_properties={"revenue": 12.5}))
    analytics.shutdown()  # sends what is left


if __name__ == "__main__":
    main(sys.argv[1:] or ["ann", "bob", "carla"])
