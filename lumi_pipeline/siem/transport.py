"""HTTP to a destination: one request, bounded in time and size, to where it was meant to go and nowhere else.

Where it may go is in connecting.py. Redirects are not followed, and the settings of proxies in the environment don't
count. Cookies are not kept, which would tie the requests of one route to those of another.

The client is httpcore, the lower half of httpx: it takes a network backend, and it logs no URL, which may be a secret.
Whoever wants another client changes this file and connecting.py.
"""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Lock
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

import httpcore

from lumi_pipeline.siem.addresses import literal
from lumi_pipeline.siem.connecting import Exchange, GuardedBackend, NotAllowed, NotSent, check_address

__all__ = ["MAX_ANSWER", "MAX_PAUSE", "Answer", "NotAllowed", "NotSent", "Reach", "Transport", "Unanswered"]

MAX_ANSWER: Final = 1 << 16
"""Bytes of an answer's body that are read; the rest is not waited for."""

MAX_PAUSE: Final = 3600.0
"""Seconds: how long a destination is left alone at its own request, before it is asked again."""

_IDLE: Final = 30.0
"""Seconds after which an unused connection is closed; servers commonly wait 60 or more."""


class Unanswered(Exception):
    """The request left, whole or in part, and no answer came: nobody knows what became of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, headers by lower-case name, and the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after(self, now: datetime) -> float | None:
        """Seconds to wait as ``Retry-After`` says, in seconds or as a date (RFC 9110 section 10.2.3); None if not."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return min(float(value), MAX_PAUSE)
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return min(max((moment - now).total_seconds(), 0.0), MAX_PAUSE)


class Reach(Protocol):
    """Whom to reach, and how: ``timeout`` in seconds for a whole request, ``concurrency`` requests at a time.

    The settings of a destination are one.
    """

    @property
    def timeout(self) -> float: ...  # noqa: D102
    @property
    def concurrency(self) -> int: ...  # noqa: D102
    @property
    def allow_private(self) -> bool: ...  # noqa: D102
    @property
    def ca_file(self) -> Path | None: ...  # noqa: D102
    @property
    def proxy(self) -> str | None: ...  # noqa: D102


class Transport:
    """Sends requests as one destination's settings say. Threads may share it."""

    def __init__(self, settings: Reach) -> None:
        self._settings = settings
        self._exchange = Exchange()
        self._lock = Lock()
        self._pool: httpcore.ConnectionPool | None = None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST ``body``; raises NotSent or Unanswered, whose messages hold no more of the URL than its host."""
        return self.request("POST", url, body, headers)

    def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request and return the answer, whatever its status.

        All of it, from looking up the name to the last byte of the answer, takes at most the settings' ``timeout``.
        """
        parts = self._allowed(url)
        host = parts.hostname or ""
        self._exchange.begin(self._settings.timeout, plain=parts.scheme == "http")
        with self._explained(host):
            request = httpcore.Request(
                method,
                httpcore.URL(url),
                headers=self._headers(parts, body, headers),
                content=self._exchange.sending(body),
                extensions={"timeout": {"pool": self._settings.timeout}},
            )
            response = self._opened().handle_request(request)
            try:
                received = _limited(response.iter_stream())
            finally:
                response.close()
        return Answer(response.status, _joined(response.headers), received)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    def _allowed(self, url: str) -> SplitResult:
        """Check what can be checked of a URL before a connection is made."""
        try:
            parts = urlsplit(url)
            host = parts.hostname
            _ = parts.port
            url.encode("ascii")
        except ValueError:
            raise NotAllowed("the URL is not one") from None
        if parts.scheme not in {"https", "http"} or not host:
            raise NotAllowed("the URL does not begin with https://")
        if self._settings.proxy is not None:
            # The proxy looks the name up, so its rules count; what needs no name server is still ours to refuse.
            if parts.scheme != "https":
                raise NotAllowed(f"{host} is to be reached without TLS through a proxy")
            for address in literal(host):
                check_address(host, address, allow_private=self._settings.allow_private)
        return parts

    def _headers(self, parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        all_headers = {
            "Host": parts.netloc.rpartition("@")[2],
            "User-Agent": "lumi-pipeline",
            "Accept": "*/*",
            "Accept-Encoding": "identity",  # answers are read by us, and errors have to be readable
            "Content-Length": str(len(body)),
            **headers,
        }
        try:
            return [(name.encode("ascii"), value.encode("ascii")) for name, value in all_headers.items()]
        except UnicodeEncodeError:
            # The message of the original would quote the value, which may be a secret.
            raise NotAllowed(f"a header for {parts.hostname} is not ASCII text; check settings and secrets") from None

    def _opened(self) -> httpcore.ConnectionPool:
        with self._lock:
            if self._pool is None:
                self._pool = self._open()
            return self._pool

    def _open(self) -> httpcore.ConnectionPool:
        context, limit = self._tls(), self._settings.concurrency + 1
        if self._settings.proxy is None:
            backend = GuardedBackend(self._exchange, allow_private=self._settings.allow_private)
            return httpcore.ConnectionPool(
                context, max_connections=limit, keepalive_expiry=_IDLE, network_backend=backend
            )
        # A proxy is commonly inside, and is who runs this software's own choice.
        backend = GuardedBackend(self._exchange, allow_private=True)
        return httpcore.HTTPProxy(
            self._settings.proxy,
            ssl_context=context,
            max_connections=limit,
            keepalive_expiry=_IDLE,
            network_backend=backend,
        )

    def _tls(self) -> ssl.SSLContext:
        file = self._settings.ca_file
        try:
            return ssl.create_default_context(cafile=str(file) if file else None)
        except (OSError, ssl.SSLError) as error:
            raise NotAllowed(f"the CA file {file} can't be used: {_system_reason(error)}") from None

    @contextmanager
    def _explained(self, host: str) -> Iterator[None]:
        """Turn the client's errors into ours, which say whether anything can have arrived."""
        seconds = f"{self._settings.timeout:g} s"
        try:
            yield
        except httpcore.PoolTimeout:
            raise NotSent(f"no connection to {host} was free for {seconds}") from None
        except httpcore.ConnectTimeout:
            raise NotSent(f"{host} can't be reached: no connection within {seconds}") from None
        except httpcore.ConnectError as error:
            raise NotSent(f"{host} can't be reached: {_reason(error)}") from None
        except httpcore.ProxyError as error:
            raise NotSent(f"the proxy refuses to connect to {host} ({str(error)[:3]})") from None
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol):
            # Found before anything is written. The message would quote the header.
            raise NotAllowed(f"HTTP can't carry a header for {host}; check settings and secrets") from None
        except httpcore.TimeoutException:
            self._undecided(f"{host} gave no answer within {seconds}")
        except httpcore.RemoteProtocolError:
            self._undecided(f"{host} closed the connection or gave an answer that is not HTTP")
        except httpcore.NetworkError as error:
            self._undecided(f"{host} broke off: {_reason(error)}")

    def _undecided(self, message: str) -> None:
        if self._exchange.begun:
            raise Unanswered(message) from None
        raise NotSent(message) from None


def _limited(chunks: Iterable[bytes]) -> bytes:
    received = bytearray()
    for chunk in chunks:
        received += chunk[: MAX_ANSWER - len(received)]
        if len(received) >= MAX_ANSWER:
            break
    return bytes(received)


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header fields by name; several of one name are one list (RFC 9110 section 5.3)."""
    joined: dict[str, str] = {}
    for key, value in headers:
        name, text = key.decode("latin-1").lower(), value.decode("latin-1")
        joined[name] = f"{joined[name]}, {text}" if name in joined else text
    return joined


def _reason(error: Exception) -> str:
    """The reason in a few words; never more of it, as it may quote what was sent."""
    cause = error.__context__  # httpcore's pool takes __cause__ away
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here ({cause.verify_message}); is ca_file the authority that issued it?"
    if isinstance(cause, OSError):
        return _system_reason(cause)
    return "the connection failed"


def _system_reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason})" if error.reason else "TLS failed"
    return error.strerror or "the connection failed"
