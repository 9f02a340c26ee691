"""Connections of the HTTP client: only to addresses that were looked at, and no operation beyond the deadline.

httpcore asks a network backend for connections (its documentation, "Network Backends"). This one resolves a name
itself, so what was looked at is what is connected to, while TLS still verifies the name. A client's own time-outs are
for one read or write each, and a peer that sends or takes a byte now and then never trips them; here every operation
may only take what is left of the request's time.
"""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from ssl import SSLContext
from typing import Any

import httpcore

from lumi_pipeline.siem.addresses import Address, is_public, resolve


class NotSent(Exception):
    """The request did not leave: no address, no connection, no TLS. Nothing of it can have arrived."""


class NotAllowed(NotSent):
    """The request was not even tried, and won't be until somebody changes a setting."""


class Exchange(threading.local):
    """The request that the current thread is sending."""

    deadline: float = 0.0
    """In ``time.monotonic`` seconds."""
    plain: bool = False
    """Whether it goes without TLS."""
    begun: bool = False
    """Whether the sending of its body has begun. Before that, nobody can have taken the request."""

    def begin(self, seconds: float, *, plain: bool) -> None:
        """Note a new request, which may take so long."""
        self.deadline = time.monotonic() + seconds
        self.plain = plain
        self.begun = False

    def left(self) -> float:
        """Return the seconds that are left; TimeoutError when none are."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def sending(self, body: bytes) -> Iterator[bytes]:
        """Yield the body, once the client asks for it: after the headers have gone."""
        self.begun = True
        yield body


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to public addresses, to others only if ``allow_private``, and without TLS only to those."""

    def __init__(self, exchange: Exchange, *, allow_private: bool) -> None:
        self._exchange = exchange
        self._allow_private = allow_private
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline counts
        local_address: str | None = None,  # noqa: ARG002 - never given
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - never given
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers."""
        failed: Exception = httpcore.ConnectError("no address")
        for address in self._allowed(host, port):
            try:
                stream = self._sockets.connect_tcp(str(address), port, self._exchange.left())
            except httpcore.ConnectError as error:
                failed = error
            except (httpcore.ConnectTimeout, TimeoutError):
                raise httpcore.ConnectTimeout from None
            else:
                return _BoundedStream(stream, self._exchange)
        raise failed

    def _allowed(self, host: str, port: int) -> list[Address]:
        try:
            addresses = resolve(host, port)
        except (OSError, UnicodeError):
            raise NotSent(f"{host} has no address; check the name and the network") from None
        # One that is not allowed spoils all: whoever answers for the name could choose which one we take.
        for address in addresses:
            check_address(host, address, allow_private=self._allow_private)
            if self._exchange.plain and is_public(address):
                raise NotAllowed(f"{host} is to be reached without TLS, which is only allowed to private addresses")
        return addresses


def check_address(host: str, address: Address, *, allow_private: bool) -> None:
    """Raise NotAllowed for an address that a destination must not have."""
    if not allow_private and not is_public(address):
        raise NotAllowed(f"{host} is {address}, which is no public address; set allow_private = true if that is meant")


class _BoundedStream(httpcore.NetworkStream):
    """A connection whose operations end with the deadline of the request that the current thread is sending."""

    def __init__(self, stream: httpcore.NetworkStream, exchange: Exchange) -> None:
        self._stream = stream
        self._socket: socket.socket = stream.get_extra_info("socket")
        self._exchange = exchange

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline counts
        try:
            return self._stream.read(max_bytes, self._exchange.left())
        except TimeoutError:
            raise httpcore.ReadTimeout from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the deadline counts
        rest = memoryview(buffer)
        try:
            while rest:
                # A receiver that takes a little at a time makes many sends, each of which would have its own time.
                self._socket.settimeout(self._exchange.left())
                rest = rest[self._socket.send(rest) :]
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the deadline counts
    ) -> httpcore.NetworkStream:
        try:
            return _BoundedStream(
                self._stream.start_tls(ssl_context, server_hostname, self._exchange.left()), self._exchange
            )
        except TimeoutError:
            self.close()
            raise httpcore.ConnectTimeout from None

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as httpcore has it
        return self._stream.get_extra_info(info)
