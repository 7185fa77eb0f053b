"""A shop that evaluates flags in its own process, and tells Kafka what its visitors met and did.

    pip install peekproof
    export PEEKPROOF_KEY=...   # of `peekproof key create server --deployment backend`
    python examples/producer.py 2000

It reads PEEKPROOF_BOOTSTRAP_SERVERS, PEEKPROOF_PREFIX and PEEKPROOF_SERVER from the environment. Without them it talks
to what `peekproof broker` and `peekproof up`, or `docker compose up`, run on this machine.
"""

import json
import os
import random
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from peekproof import Flags, load_flags

BROKERS = os.environ.get("PEEKPROOF_BOOTSTRAP_SERVERS", "127.0.0.1:9092").split(",")
PREFIX = os.environ.get("PEEKPROOF_PREFIX", "")
SERVER = os.environ.get("PEEKPROOF_SERVER", "http://127.0.0.1:8080")
FLAG = "checkout-button"


def send(producer: KafkaProducer, topic: str, message: dict[str, Any]) -> None:
    """Installations that share a cluster have a prefix before their topics."""
    producer.send(f"{PREFIX}.{topic}" if PREFIX else topic, json.dumps(message).encode())


def fetch_flags() -> Flags:
    """The flags as they run now. A shop would do this once a minute; evaluating asks nobody any more."""
    headers = {"Authorization": f"Bearer {os.environ['PEEKPROOF_KEY']}"}
    request = urllib.request.Request(f"{SERVER}/sdk/v2/flags", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer, tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "flags.json"
        file.write_bytes(answer.read())
        return load_flags(file)


def main(visitors: int) -> None:
    """Each visitor meets the checkout, and some buy."""
    flags = fetch_flags()
    producer = KafkaProducer(bootstrap_servers=BROKERS)
    chance = random.Random()
    met: dict[str, int] = {}
    for _ in range(visitors):
        visitor, now = f"visitor-{uuid.uuid4().hex}", int(time.time() * 1_000)
        answer = flags.evaluate({"user_id": visitor})[FLAG]
        met[answer.key] = met.get(answer.key, 0) + 1

        # What was met. The run and the version come with the answer, so a restart of the experiment mixes nothing up.
        # A record that is sent again with its insert_id and time counts once.
        exposure = {"flag_key": FLAG, "variant": answer.key, "user_id": visitor, "time": now, "insert_id": visitor}
        exposure |= {"experiment_key": answer.metadata.get("experimentKey"), "metadata": answer.metadata}
        send(producer, "exposures", exposure)

        # What was done. An event names no experiment: whatever its user entered before is where it counts.
        if chance.random() < (0.30 if answer.key == "treatment" else 0.15):
            purchase = {"event_type": "purchase", "user_id": visitor, "time": now + 1, "insert_id": f"{visitor}-1"}
            purchase["event_properties"] = {"revenue": round(chance.uniform(5, 50), 2)}
            send(producer, "events", purchase)
    producer.flush()
    print(f"{visitors} visitors met {met}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
