"""A web server for a log, to look at it on one's own machine: read-only, and nothing but the log's own files."""

import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Final
from urllib.parse import unquote, urlsplit

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.publicfiles import PAGE, cache_control, content_type
from transparency.errors import ObjectMissing, StoreError, TileError
from transparency.tiles import Tile

_PATIENCE: Final = 30.0
"""Seconds after which a connection on which nothing happens is given up."""


class LogServer(ThreadingHTTPServer):
    """Serves what ``fetch`` returns for the paths that a log has, and ``page`` where it has none of its own.

    ``fetch`` raises ObjectMissing for what is not there. Raises :class:`~lumi_pipeline.errors.ConfigError` when nothing
    can listen at the address.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, fetch: Callable[[str], bytes], page: bytes) -> None:
        self.fetch = fetch
        self.page = page
        try:
            self.address_family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            super().__init__((host, port), _LogHandler)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"nothing can listen at {host} port {port}: {reason}; choose others") from None

    def server_bind(self) -> None:
        """Listen, without asking the network what this machine is called, as the standard library would."""
        TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)

    @property
    def url(self) -> str:
        """The address of the page."""
        host = f"[{self.server_name}]" if self.address_family is socket.AF_INET6 else self.server_name
        return f"http://{host}:{self.server_port}/"

    def file(self, path: str) -> bytes:
        """Return the log's file at a path; ObjectMissing for everything that is none."""
        if path == PAGE:
            try:
                return self.fetch(path)
            except ObjectMissing:
                return self.page
        if path not in {"checkpoint", "log.vkey"}:
            try:
                Tile.parse(path)
            except TileError:
                raise ObjectMissing(f"{path} is no file of a log") from None
        return self.fetch(path)


class _LogHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; the standard library refuses all other methods."""

    protocol_version = "HTTP/1.1"
    server_version = "lumi"
    sys_version = ""
    timeout = _PATIENCE
    server: LogServer

    def do_GET(self) -> None:
        """Answer with a file."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer as if with a file."""
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Say nothing of single requests."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix("/") or PAGE
        try:
            data = self.server.file(path)
        except ObjectMissing:
            self._send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", "no-cache", b"There is no such file.\n")
        except StoreError as error:
            message = f"The log can't be read just now: {error}\n".encode()
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", "no-store", message)
        else:
            self._send(HTTPStatus.OK, content_type(path), cache_control(path), data)

    def _send(self, status: HTTPStatus, kind: str, caching: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", caching)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
