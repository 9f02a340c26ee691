"""An HTTP server that answers as S3 was seen, or is documented, to answer: for what no test server can be made to do.

Each request takes the next answer of a script; the last one is given to all that follow. Source of codes and forms: the
S3 API Reference, "Error responses".
"""

import contextlib
import hashlib
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``cut`` ends the connection after so many bytes of the body, ``wait`` lets the client wait."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    wait: float = 0.0


DROPPED = Answer(status=0)
"""The connection ends after the request was received: nobody knows what became of it."""


def refusal(status: int, code: str, message: str = "No.", **elements: str) -> Answer:
    """An error as S3 writes it."""
    more = "".join(f"<{name}>{text}</{name}>" for name, text in elements.items())
    return Answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode())


def holding(data: bytes, *, checksum_of: bytes | None = None) -> Answer:
    """An object, with the checksum that S3 returns with it."""
    digest = hashlib.sha256(data if checksum_of is None else checksum_of).digest()
    return Answer(200, data, {"x-amz-checksum-sha256": b64encode(digest).decode()})


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Answering:
    """A running server: ``endpoint``, and the ``requests`` so far."""

    endpoint: str
    requests: list[Request] = field(default_factory=list)


@contextlib.contextmanager
def answering(*script: Answer) -> Iterator[Answering]:
    """Run a server with this script, and let the environment name it and credentials for it."""
    remaining = list(script)
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            pass

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            running.requests.append(Request(self.command, self.path, headers, body))
            answer = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            stopped.wait(answer.wait)
            if answer is DROPPED:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            with contextlib.suppress(ConnectionError):  # the client has given up
                self.give(answer)

        def give(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: answer.cut])
            if answer.cut is not None:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815 - the base class looks for these

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    running = Answering(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in credentials(running.endpoint).items():
                patch.setenv(name, value)
            yield running
    finally:
        stopped.set()
        http.shutdown()
        thread.join()
        http.server_close()


def credentials(endpoint: str) -> dict[str, str]:
    """An environment whose secrets are easy to find where they should not be."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIAHUNTER0",
        "AWS_SECRET_ACCESS_KEY": "hunter1",
        "AWS_SESSION_TOKEN": "hunter2",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
