"""HTTP to a destination: one request, bounded in time and size, to where it was meant to go and nowhere else.

Names are resolved here, and the addresses looked at before connecting to one of them: never loopback, link-local or
private ones unless the destination's settings allow it, so nobody who may name a destination reaches what only this
machine can reach. Redirects are not followed, and cookies are not kept, which would tie the requests of one route to
those of another. The settings of proxies in the environment don't count.

Everything rests on httpx alone; whoever wants another client changes this file.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

import httpx

from lumi_pipeline.siem.settings import DestinationSettings

MAX_ANSWER: Final = 1 << 16
MAX_PAUSE: Final = 3600.0
"""Seconds: how long a destination is left alone at its own request, before it is asked again."""


class NotSent(Exception):
    """The request did not leave: no address, no connection, no TLS. Nothing of it can have arrived."""


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
            return min(float(value[:9]), MAX_PAUSE)
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return min(max((moment - now).total_seconds(), 0.0), MAX_PAUSE)


class Transport:
    """Sends requests as one destination's settings say. Threads may share it."""

    def __init__(self, settings: DestinationSettings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._client: httpx.Client | None = None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST ``body``; raises NotSent or Unanswered, whose messages hold no more of the URL than its host."""
        return self.request("POST", url, body, headers)

    def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one request and return the answer, whatever its status."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        deadline = time.monotonic() + self._settings.timeout
        left = False
        try:
            client = self._opened()
            request = self._request(client, method, url, body, headers)
            answer = client.send(request, stream=True)
            left = True
            with closing(answer):
                received = bytearray()
                for chunk in answer.iter_raw():
                    received += chunk[: MAX_ANSWER - len(received)]
                    if len(received) >= MAX_ANSWER:
                        break
                    if time.monotonic() > deadline:
                        raise Unanswered(f"{host} did not finish its answer in {self._settings.timeout:g} s")
            return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, bytes(received))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise NotSent(f"{host} can't be reached: {_reason(error)}") from None
        except httpx.ProxyError:
            raise NotSent(f"the proxy refuses to connect to {host}") from None
        except httpx.TimeoutException:
            raise Unanswered(f"{host} gave no answer in {self._settings.timeout:g} s") from None
        except httpx.HTTPError as error:
            raise Unanswered(f"{host} broke off{' its answer' if left else ''}: {_reason(error)}") from None

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _opened(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(
                    verify=self._tls(),
                    proxy=self._settings.proxy,
                    timeout=self._settings.timeout,
                    trust_env=False,
                    follow_redirects=False,
                    http2=False,
                    cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                    limits=httpx.Limits(max_connections=self._settings.concurrency + 1, keepalive_expiry=30.0),
                )
            return self._client

    def _tls(self) -> ssl.SSLContext:
        file = self._settings.ca_file
        try:
            return ssl.create_default_context(cafile=str(file) if file else None)
        except (OSError, ssl.SSLError) as error:
            raise NotSent(f"the CA file {file} can't be used: {getattr(error, 'strerror', None) or error}") from None

    def _request(
        self, client: httpx.Client, method: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> httpx.Request:
        """Build the request to the address that was looked at, so that nothing else can be connected to."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        target = httpx.URL(url)
        extensions: dict[str, object] = {}
        if self._settings.proxy is None:
            address = self._address(host, parts.port or (443 if parts.scheme == "https" else 80))
            if parts.scheme == "http" and not address.is_private:
                raise NotSent(f"{host} is to be reached without TLS, which is only allowed to private addresses")
            target = target.copy_with(host=str(address))
            extensions = {"sni_hostname": host}
        elif parts.scheme != "https":
            raise NotSent(f"{host} is to be reached without TLS through a proxy")
        named = {
            "Host": parts.netloc.rpartition("@")[2],
            "User-Agent": "lumi-pipeline",
            "Accept-Encoding": "identity",  # answers are short, and read as they come
            **headers,
        }
        return client.build_request(method, target, headers=named, content=body, extensions=extensions)

    def _address(self, host: str, port: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise NotSent(f"{host} has no address; check the name and the network") from None
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        for address in addresses:
            if not _is_public(address) and not self._settings.allow_private:
                raise NotSent(
                    f"{host} is {address}, which is no public address; set allow_private = true if that is meant"
                )
        return addresses[0]


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_global and not (mapped or address).is_multicast


def _reason(error: Exception) -> str:
    """The reason in a few words; never more of it, as it may quote what was sent."""
    cause = error.__cause__ or error
    if isinstance(cause, Exception) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return "its certificate is not trusted here; set ca_file to the authority that issued it"
    return type(error).__name__
