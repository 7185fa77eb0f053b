"""Frames: values as they travel between the server and a reader: pickled, behind their length."""

import pickle
from typing import Any

LENGTH_BYTES = 8


def framed(value: Any) -> bytes:
    """The value in its frame."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def length_of(head: bytes) -> int:
    """How many bytes follow the first `LENGTH_BYTES`."""
    return int.from_bytes(head, "big")
