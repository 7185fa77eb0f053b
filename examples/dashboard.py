"""A dashboard's consumer: reads the results from Kafka as they are published, and prints the newest of each experiment.

    pip install kafka-python lz4
    python examples/dashboard.py

It reads PEEKPROOF_BOOTSTRAP_SERVERS and PEEKPROOF_PREFIX from the environment. Without them it talks to what
`peekproof broker`, or `docker compose up`, runs on this machine. Ctrl-C stops it.
"""

import json
import os
from typing import Any

from kafka import KafkaConsumer

BROKERS = os.environ.get("PEEKPROOF_BOOTSTRAP_SERVERS", "127.0.0.1:9092").split(",")
PREFIX = os.environ.get("PEEKPROOF_PREFIX", "")


def main() -> None:
    """A record is one look at one run: every number that was known at that moment. The newest says it all."""
    results = f"{PREFIX}.results" if PREFIX else "results"
    consumer = KafkaConsumer(results, bootstrap_servers=BROKERS, auto_offset_reset="earliest")  # of no group: all of it
    newest: dict[str, dict[str, Any]] = {}
    for record in consumer:
        look = json.loads(record.value)
        before = newest.get(look["experiment"])
        # An experiment that was started again has a run for each start.
        if before is None or before["time"] <= look["time"]:
            newest[look["experiment"]] = look
            show(look)


def show(look: dict[str, Any]) -> None:
    """The verdict in a line, and a line for each comparison."""
    verdict = look["verdict"]
    print(f"{look['experiment']} ({look['run']}, look {look['look']}): {verdict['decision']}: {verdict['reason']}")
    for cell in look["cells"]:
        # `live` is every unit so far, for watching; verdicts rest on the `settled` ones. Breakdowns are other segments.
        if cell["reading"] == "live" and cell["segment"] == "all":
            print(f"  {cell['metric']}, {cell['variant']} against {cell['control']}: {interval(cell)}", flush=True)


def interval(cell: dict[str, Any]) -> str:
    """The lift with its interval, which is valid whenever you look; before there is one, why not.

    An end that is null is open: a one-sided test has one end only, and while control's mean may be 0, nothing bounds
    a lift over it.
    """
    if cell["status"] != "ok":
        return f"{cell['n']} and {cell['control_n']} units, no interval yet ({cell['status']})"
    low, high = cell["running_relative_lower"], cell["running_relative_upper"]
    if low is not None and high is not None:
        ends = f"[{low:+.1%}, {high:+.1%}]"
    elif low is not None:
        ends = f"at least {low:+.1%}, with no upper bound"
    elif high is not None:
        ends = f"at most {high:+.1%}, with no lower bound"
    else:
        ends = "with no bound on either side"
    lift = "no lift" if cell["relative_estimate"] is None else f"{cell['relative_estimate']:+.1%}"
    return f"{lift} {ends}" + ("" if cell["running_p_value"] is None else f", p {cell['running_p_value']:.2g}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
