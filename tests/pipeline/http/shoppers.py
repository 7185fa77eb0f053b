"""Shoppers: a process of unmodified SDKs that evaluate users, so many a second, and send what they buy.

`python -m tests.pipeline.http.shoppers NAME ADDRESS RATE`: until its input ends and every event was answered. Prints
what its clients heard, as `node/shoppers.cjs` does: `met`, the variant of each user; `sent`, the insert_id, user_id
and time of each event, and the status of its answer.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from amplitude import Amplitude, BaseEvent, Config
from amplitude_experiment import RemoteEvaluationClient, RemoteEvaluationConfig, User
from amplitude_experiment.remote.fetch_options import FetchOptions

THREADS = 8  # that evaluate
EXPOSED = FetchOptions(tracksExposure=True)


def main(name: str, address: str, rate: float) -> None:
    """Each user buys 0, 1 or 2 times, once its variant is known."""
    met: dict[str, str] = {}
    sent: list[tuple[str, str, int, int]] = []
    is_over = threading.Event()
    config = Config(
        server_url=f"{address}/2/httpapi",
        flush_queue_size=10,
        flush_interval_millis=100,
        callback=lambda event, code, _: sent.append((event.insert_id, event.user_id, event.time, code)),
    )
    remote = RemoteEvaluationConfig(server_url=address, connection_pool_max_size=THREADS)

    def evaluate(thread: int) -> int:
        """Returns the number of events."""
        due, bought = time.monotonic(), 0
        for number in count(thread, THREADS):
            due += THREADS / rate
            if is_over.wait(max(0.0, due - time.monotonic())):
                break
            user = f"{name}-{number}"
            met[user] = client.fetch_v2(User(user_id=user), EXPOSED)["button"].key
            for _ in range(number // THREADS % 3):
                bought += 1
                analytics.track(BaseEvent("purchase", user_id=user))
        return bought

    analytics = Amplitude("any", config)
    with RemoteEvaluationClient("any", remote) as client, ThreadPoolExecutor(THREADS) as pool:
        evaluating = [pool.submit(evaluate, thread) for thread in range(THREADS)]
        sys.stdin.read()
        is_over.set()
        number = sum(each.result() for each in evaluating)
    while len(sent) < number:  # an SDK that is shut down loses what it has to send again
        time.sleep(0.05)
    analytics.shutdown()
    print(json.dumps({"met": met, "sent": sent}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
