"""Lines: many messages in one record, one a line."""

from collections.abc import Iterator, Sequence

from schemas.dead_letter import CONTENT_TYPE

HEADERS = [(CONTENT_TYPE, b"application/x-ndjson")]
LARGEST_RECORD = 500_000  # bytes of a record with several; brokers take a megabyte unless they are told otherwise


def parts(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The lines in order, a few for each record."""
    if sum(map(len, lines)) + len(lines) <= LARGEST_RECORD:
        if lines:
            yield lines
        return
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and size + len(line) >= LARGEST_RECORD:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line) + 1
    yield part
