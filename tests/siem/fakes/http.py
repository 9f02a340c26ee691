"""An HTTP server on this machine that a fake service is built on: whole requests in, and faults by script.

A fake derives from :class:`FakeServer` and answers in ``handle`` as the real service does; it keeps what it took, and
losses are counted from that. It imports nothing from what it tests. Each request takes the next entry of the script
(:meth:`FakeServer.script`) or asks ``chooser``; None stands for no fault.
"""

import contextlib
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

_ABORT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of zero seconds: closing resets the connection instead of ending it in order."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came over the wire. ``headers`` by lower-case name, ``body`` as sent, not decompressed."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service answers. Headers may be given as pairs, so that one can come twice."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] | tuple[tuple[str, str], ...] = field(default_factory=dict)

    def pairs(self) -> list[tuple[str, str]]:
        return list(self.headers.items()) if isinstance(self.headers, Mapping) else list(self.headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """A fault: the request is read and answered so, and the service never sees it."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class ResetBefore:
    """A fault: the connection is reset once the headers are read, before the body is."""


@dataclass(frozen=True, slots=True)
class ResetAfter:
    """A fault: the connection is reset once the body is read; the service has handled it, if ``stored``."""

    stored: bool = True


@dataclass(frozen=True, slots=True)
class Slow:
    """A fault: the service handles the request, and its answer comes so many seconds later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Partial:
    """A fault: the service takes the first ``count`` events and then refuses one, as far as its protocol knows that."""

    count: int


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A fault: something before the service answers 413 to a body of more bytes, and lets smaller ones through."""

    largest: int


Fault = Answer | ResetBefore | ResetAfter | Slow | Partial | TooLarge


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    """A scripted answer; ``Retry_After="7"`` stands for the header ``Retry-After``."""
    return Answer(Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()}))


class FakeServer(ABC):
    """A running server; use as a context manager. Leaving it raises what went wrong inside the fake itself.

    ``url`` is its root without a slash at the end. ``requests`` are those whose body was read, in order.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.chooser: Callable[[], Fault | None] = lambda: None
        """Asked for the fault of each request that comes when the script is at its end."""
        self.lock = threading.RLock()
        """Held while the service handles a request; tests hold it to look at what is stored meanwhile."""
        self._script: deque[Fault | None] = deque()
        self._errors: list[Exception] = []
        self._stopped = threading.Event()
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    @abstractmethod
    def handle(self, request: Request) -> Reply:
        """Answer as the service does, and keep what it keeps. Never called twice at a time."""

    def handle_part(self, request: Request, count: int) -> Reply:
        """Take the first ``count`` events, and refuse the next."""
        raise NotImplementedError(f"{type(self).__name__} takes all of a request or nothing")

    def script(self, *faults: Fault | None) -> None:
        """Let the next requests meet these faults, in this order; None is a request without one."""
        with self.lock:
            self._script.extend(faults)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._http.shutdown()
        self._thread.join()
        self._http.disconnect()
        self._http.server_close()
        if self._errors and value is None:
            raise self._errors[0]

    def next_fault(self) -> Fault | None:
        """Take the fault of the request whose headers have just been read."""
        with self.lock:
            return self._script.popleft() if self._script else self.chooser()

    def reply(self, request: Request, fault: Fault | None) -> Reply | None:
        """Let a whole request meet its fault; None stands for a reset."""
        with self.lock:
            self.requests.append(request)
            match fault:
                case Answer(reply):
                    return reply
                case ResetAfter(stored=False):
                    return None
                case TooLarge(largest) if len(request.body) > largest:
                    return Reply(413)
                case Partial(count):
                    reply = self.handle_part(request, count)
                case _:
                    reply = self.handle(request)
        if isinstance(fault, Slow):
            self._stopped.wait(fault.seconds)
        return None if isinstance(fault, ResetAfter) else reply

    def failed(self, error: Exception) -> None:
        """Remember a mistake of the fake itself."""
        with self.lock:
            self._errors.append(error)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._guard:
            self._connections.discard(request)
            if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_ABORT)) == _ABORT:
                request.close()  # not in order: that is what the client is to see
                return
        super().shutdown_request(request)

    def disconnect(self) -> None:
        """End every connection that clients keep open, so that its thread ends."""
        with self._guard:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _handler(fake: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client was killed between two requests
                super().handle()

        def handle_any(self) -> None:
            try:
                with contextlib.suppress(ConnectionError):  # the client has given up
                    self.answer()
            except Exception as error:  # noqa: BLE001 - raised where the test can see it
                fake.failed(error)
                self.abort()

        def answer(self) -> None:
            fault = fake.next_fault()
            if isinstance(fault, ResetBefore):
                return self.abort()
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers: dict[str, str] = {}
            for name, value in self.headers.items():
                seen = headers.get(name.lower())
                headers[name.lower()] = value if seen is None else f"{seen}, {value}"
            reply = fake.reply(Request(self.command, self.path, headers, body), fault)
            if reply is None:
                return self.abort()
            self.send_response_only(reply.status)
            pairs = reply.pairs()
            if not any(name.lower() == "content-length" for name, _ in pairs):  # that of HEAD is about a body not sent
                pairs.append(("Content-Length", str(len(reply.body))))
            for name, value in pairs:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            return None

        def abort(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815 - the base class looks for these

    return Handler
