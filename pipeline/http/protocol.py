"""Protocol: HTTP from a socket, with a bound on a request's head, for which its parser has none."""

import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 200_000  # a user in a header, in base64, is the largest part of it
MOST_FILES = 10_000  # that one process may open, connections among them
KEPT_FILES = 200  # for brokers, logs and the rest


class Protocol(HttpToolsProtocol):
    """Ends a connection on which a head doesn't end: the parser would gather it, ever more slowly."""

    _is_in_head = False
    _head = 0  # bytes of it, so far

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        if self._is_in_head:
            self._head += len(data)
            if self._head > MOST_HEAD_BYTES:
                self.send_400_response(f"The head of the request has more than {MOST_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._is_in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head has ended."""
        self._is_in_head = False
        super().on_headers_complete()


def most_connections() -> int:
    """How many may be open at once, of as many files as this process may be allowed to open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files - KEPT_FILES
