"""Complaints of the Kafka client, in a log."""

import logging

from pipeline.kafka.complaints import AGAIN_SECONDS, Complaints


def test_the_client_says_each_thing_once_a_minute_and_others_are_heard_always():
    now = 0.0
    complaints = Complaints(clock=lambda: now)

    def is_logged(name: str, message: str, *about: object) -> bool:
        return complaints.filter(logging.LogRecord(name, logging.WARNING, "", 0, message, about, None))

    client, node = "aiokafka.conn", "no connection to node %s"
    assert [is_logged(client, node, 1), is_logged(client, node, 2), is_logged(client, "no metadata")] == [
        True,
        False,
        True,
    ]
    assert all(is_logged("pipeline.http.app", "an answer failed") for _ in range(2))
    now = AGAIN_SECONDS
    assert is_logged(client, node, 1)
