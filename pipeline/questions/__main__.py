"""A reader: a process that answers questions, one after the other, as the server puts them to it.

    python -m pipeline.questions

A question comes on standard input, its answer goes to standard output (see frames.py). It ends when
nobody is left to ask, and when a question reads on and on.
"""

import os
import pickle
import signal
import sys
from typing import IO, Any

from pipeline.errors import PeekproofError
from pipeline.kernel_cache import spare_linalg
from pipeline.questions.frames import LENGTH_BYTES, framed, length_of

NICENESS = 10
LONGEST_SECONDS = 120  # of one question, whatever it is bounded by


def main() -> None:
    """Answer until the input ends."""
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the server, which ends us
    spare_linalg()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else is said goes where errors go
    while (question := _read(sys.stdin.buffer)) is not None:
        signal.alarm(LONGEST_SECONDS)
        answer = framed(_answered(*pickle.loads(question)))
        signal.alarm(0)
        answers.write(answer)
        answers.flush()


def _answered(function: Any, arguments: tuple[Any, ...]) -> Any:
    """What the function says, or what it raises for its asker: faults of ours end the process, and stand in the log."""
    try:
        return function(*arguments)
    except PeekproofError as error:
        return PeekproofError(str(error))


def _read(stream: IO[bytes]) -> bytes | None:
    head = stream.read(LENGTH_BYTES)
    return stream.read(length_of(head)) if len(head) == LENGTH_BYTES else None


if __name__ == "__main__":
    main()
