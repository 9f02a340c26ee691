"""Servers that behave badly, for the tests of the transport, and transports to meet them."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Self

from lumi_pipeline.siem.transport import Transport
from tests.siem.batches import settings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LARGE = b"x" * (8 << 20)
"""More than socket buffers hold, so that a sender waits for its receiver."""


class Peer:
    """A server that does with each connection what it is told: ``act`` gets the socket and the connection's number."""

    def __init__(self, act: Callable[[socket.socket, int], None], context: ssl.SSLContext | None = None) -> None:
        self._act = act
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/secret-path"
        self.connections = 0
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Only a shutdown wakes a thread that waits in accept or recv.
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in (self._listener, *self._open):
            sock.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            try:
                self._act(connection, number)
            finally:
                connection.close()


def read_request(connection: socket.socket) -> bytes:
    """Read one whole request."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536) or _gone()
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536) or _gone()
    return head + b"\r\n\r\n" + body


def _gone() -> bytes:
    raise ConnectionError


def answering(connection: socket.socket, _: int) -> None:
    while True:
        read_request(connection)
        connection.sendall(OK)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def close_after_body(connection: socket.socket, _: int) -> None:
    read_request(connection)


def not_reading(connection: socket.socket, _: int) -> None:
    connection.recv(100)
    time.sleep(0.5)


def reading_slowly(connection: socket.socket, _: int) -> None:
    while connection.recv(20_000):
        time.sleep(0.02)


@contextlib.contextmanager
def making() -> Iterator[Callable[..., Transport]]:
    """Makes transports with settings of their own (``seconds``: how long a request may take), and closes them."""
    made: list[Transport] = []

    def make(**options: object) -> Transport:
        timeout = float(str(options.pop("seconds", 5)))
        made.append(Transport(replace(settings("https", url="https://siem.example", **options), timeout=timeout)))
        return made[-1]

    yield make
    for transport in made:
        transport.close()
