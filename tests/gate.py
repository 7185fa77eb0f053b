"""Gate: stands before a broker, and shuts when a client asks for a certain thing, as if the broker had gone away."""

import socket
import struct
import threading
from contextlib import suppress


class Gate:
    """Listens on a port of 127.0.0.1 that the broker advertises; shuts for good before the first request `shuts_at`.

    Requests are named by Kafka's numbers of them (api keys); None: it stays open until `shut`.
    """

    def __init__(self, shuts_at: int | None = None) -> None:
        self._shuts_at = shuts_at
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._connections: list[socket.socket] = []
        self.is_shut = False

    def open(self, port: int) -> None:
        """Let clients through to a broker's port."""
        threading.Thread(target=self._accept, args=(port,), daemon=True).start()

    def shut(self) -> None:
        """Refuse everybody from now on, and break off with those who are in."""
        self.is_shut = True
        for each in (self._server, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self, port: int) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                broker = socket.create_connection(("127.0.0.1", port))
                self._connections += [client, broker]
                for work in (self._ask, self._answer):
                    threading.Thread(target=work, args=(client, broker), daemon=True).start()

    def _ask(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError, struct.error):
            while True:
                head = client.recv(6, socket.MSG_WAITALL)
                size, asked = struct.unpack(">ih", head)
                rest = client.recv(size - 2, socket.MSG_WAITALL)
                if asked == self._shuts_at:
                    self.shut()
                    return
                broker.sendall(head + rest)
        with suppress(OSError):
            broker.shutdown(socket.SHUT_RDWR)

    def _answer(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while answer := broker.recv(1 << 16):
                client.sendall(answer)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
