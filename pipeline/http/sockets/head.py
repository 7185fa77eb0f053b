"""Head: how much of a request is gathered before it can be answered, within bounds; the parser would gather it all."""

import httptools

MOST_HEAD_BYTES = 200_000  # a user in a header, in base64, is the largest part of it
MOST_FIELDS = 100  # of a head, or behind a body: as many as other servers take
LONG_HEAD_BYTES = 16_000  # few are longer, and of those few are on their way at once

INVALID = "Invalid HTTP request received."


class Head:
    """The head of the request that comes, or the fields behind its body. `fault`: what is wrong with it."""

    def __init__(self) -> None:
        self.is_open = False  # it has begun, and is not all here
        self.fault = INVALID
        self._bytes = self._fields = 0  # as far as it is read
        self._gathered = 0  # bytes read since the request began, or since its body's newest; not the piece they came in

    @property
    def is_long(self) -> bool:
        """Whether it is longer already than most are."""
        return self.is_open and max(self._bytes, self._gathered) > LONG_HEAD_BYTES

    def begin(self) -> None:
        """A request begins."""
        self.is_open = True
        self._bytes = self._fields = self._gathered = 0

    def address(self, url: bytes) -> None:
        """A part of its address is here."""
        self._bytes += len(url)

    def field(self, name: bytes, value: bytes) -> None:
        """A field is here. Raises HttpParserError."""
        self._bytes += len(name) + len(value) + len(": \r\n")
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise self.refused(f"The request has more than {MOST_FIELDS} header fields.")

    def end(self, method: bytes) -> None:
        """All of it is here. Raises HttpParserError."""
        self._bytes += len(method) + len("  HTTP/1.1\r\n\r\n")
        if self._bytes > MOST_HEAD_BYTES:
            raise self._too_long()
        self.is_open = False
        self._fields = 0

    def read(self, size: int) -> None:
        """So many bytes go to the parser."""
        self._gathered += size

    def check(self) -> None:
        """What the parser has kept of them is not too much. Raises HttpParserError."""
        if self._gathered > MOST_HEAD_BYTES:
            raise self._too_long()

    def passed_on(self) -> None:
        """What was read of the body is gathered no more."""
        self._gathered = 0

    def refused(self, why: str) -> httptools.HttpParserError:
        """What the parser is to end with."""
        self.fault = why
        return httptools.HttpParserError(why)

    def _too_long(self) -> httptools.HttpParserError:
        return self.refused(f"The head of the request has more than {MOST_HEAD_BYTES} bytes.")
