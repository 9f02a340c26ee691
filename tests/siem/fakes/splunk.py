"""A strict HTTP Event Collector: one or more indexers behind a balancer, with indexer acknowledgement if it is on.

Codes and texts: Splunk, "Troubleshoot HTTP Event Collector", possible error codes. Acknowledgement: Splunk, "About HTTP
Event Collector Indexer Acknowledgment". What the pages do not say was seen on the real product: events before a bad one
stay, an unknown key of the envelope ends parsing with a success, "Incorrect index" counts from one, and Splunk Cloud
calls a large body an invalid first event.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, Final

from tests.siem.fakes.http import FakeServer, Reply, Request

_TEXTS: Final = {
    0: (200, "Success"),
    1: (403, "Token disabled"),
    2: (401, "Token is required"),
    3: (401, "Invalid authorization"),
    4: (403, "Invalid token"),
    5: (400, "No data"),
    6: (400, "Invalid data format"),
    7: (400, "Incorrect index"),
    8: (500, "Internal server error"),
    9: (503, "Server is busy"),
    10: (400, "Data channel is missing"),
    11: (400, "Invalid data channel"),
    12: (400, "Event field is required"),
    13: (400, "Event field cannot be blank"),
    14: (400, "ACK is disabled"),
    15: (400, "Error in handling indexed fields"),
    16: (400, "Query string authorization is not enabled"),
    17: (200, "HEC is healthy"),
    18: (503, "HEC is unhealthy, queues are full"),
    19: (503, "HEC is unhealthy, ack service unavailable"),
    20: (503, "HEC is unhealthy, queues are full, ack service unavailable"),
    21: (400, "Invalid token"),
    22: (400, "Token disabled"),
    23: (503, "Server is shutting down"),
    24: (200, "HEC queue is approaching its capacity limit"),
    25: (200, "HEC ACK is approaching its capacity limit"),
    26: (429, "HEC queue is at capacity and cannot process any more requests"),
    27: (429, "HEC ACK channel is at capacity and cannot process any more requests"),
}
_KEYS: Final = frozenset({"time", "host", "source", "sourcetype", "index", "event", "fields"})
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_EVENT_PATHS: Final = frozenset({"/services/collector", "/services/collector/event", "/services/collector/event/1.0"})
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Stored:
    """An event that Splunk took: its envelope, and what it came with."""

    envelope: dict[str, Any]
    token: str
    channel: str | None
    indexer: int


@dataclass(slots=True)
class Channel:
    """Acknowledgements of one channel at one indexer: ids in order, and which are asked for in vain so far."""

    following: int = 0
    waiting: set[int] = field(default_factory=set)
    indexed: set[int] = field(default_factory=set)


def said(code: int, event: int | None = None, status: int | None = None) -> Reply:
    """An answer as HEC writes it, also for scripts."""
    known, text = _TEXTS[code]
    content: dict[str, object] = {"text": text, "code": code}
    if event is not None:
        content["invalid-event-number"] = event
    return Reply(status or known, _json(content), {"Content-Type": "application/json"})


class FakeSplunk(FakeServer):
    """HEC with the settings of its tokens.

    ``tokens`` maps each to the indexes it may write to. With ``ack`` every token has acknowledgement on; what was taken
    is indexed when :meth:`index_all` is called, or with ``index_at_once`` immediately. ``refused`` are event ids
    (``fields.event_id``) that are answered with "Error in handling indexed fields". With more than one of ``indexers``
    a balancer spreads requests that come without its cookie.
    """

    def __init__(
        self,
        tokens: dict[str, Sequence[str]] | None = None,
        *,
        ack: bool = False,
        indexers: int = 1,
        largest: int = 5_500_000,
        cloud: bool = True,
    ) -> None:
        super().__init__()
        self.tokens = {"hunter2": ("main",)} if tokens is None else tokens
        self.disabled: set[str] = set()
        self.refused: set[str] = set()
        self.stored: list[Stored] = []
        self.dropped = 0
        """Events that came after an unknown key, and are lost although the answer was a success."""
        self.code = 0
        """What a success is called: 0, or 24 or 25 under pressure."""
        self.health = 17
        self.index_at_once = False
        self._ack = ack
        self._indexers = indexers
        self._turn = 0
        self._largest = largest
        self._cloud = cloud
        self._channels: dict[tuple[int, str], Channel] = {}

    def event_ids(self) -> list[str]:
        """The event ids of what is stored, in order, each as often as it is there."""
        with self.lock:
            return [stored.envelope["fields"]["event_id"] for stored in self.stored]

    def index_all(self, indexer: int | None = None) -> None:
        """Let everything that was taken so far be indexed, everywhere or at one indexer."""
        with self.lock:
            for (where, _), channel in self._channels.items():
                if indexer in {None, where}:
                    channel.indexed |= channel.waiting
                    channel.waiting.clear()

    def restart(self) -> None:
        """Lose every channel, as a restarted indexer does: ids begin again, what was not indexed never will be."""
        with self.lock:
            self._channels.clear()

    def handle(self, request: Request) -> Reply:
        return self._answer(request, None)

    def handle_part(self, request: Request, count: int) -> Reply:
        return self._answer(request, count)

    def _answer(self, request: Request, only: int | None) -> Reply:
        indexer, cookie = self._balance(request)
        path, _, query = request.path.partition("?")
        if path == "/services/collector/health" and request.method == "GET":
            return said(self.health)
        if path not in {*_EVENT_PATHS, "/services/collector/ack"} or query:
            return Reply(404, _json({"text": "The requested URL was not found on this server.", "code": 404}))
        if request.method != "POST":
            return Reply(405, _json({"text": "The requested method is not allowed for this URL.", "code": 405}))
        token = self._token(request)
        if isinstance(token, Reply):
            return token
        channel = request.headers.get("x-splunk-request-channel")
        if channel is not None and not _UUID.fullmatch(channel):
            return said(11)
        if path.endswith("/ack"):
            reply = self._acks(request, indexer, channel)
        else:
            reply = self._events(request, token, indexer, channel, only)
        return Reply(reply.status, reply.body, (*reply.pairs(), *cookie))

    def _balance(self, request: Request) -> tuple[int, tuple[tuple[str, str], ...]]:
        if self._indexers == 1:
            return 0, ()
        given = SimpleCookie(request.headers.get("cookie", "")).get("AWSALB")
        if given is not None and given.value.isdigit():
            return int(given.value), ()
        self._turn = (self._turn + 1) % self._indexers
        expires = "Wed, 21 Oct 2099 07:28:00 GMT"
        return self._turn, (
            ("Set-Cookie", f"AWSALB={self._turn}; Expires={expires}; Path=/"),
            ("Set-Cookie", f"AWSALBCORS={self._turn}; Expires={expires}; Path=/; SameSite=None; Secure"),
        )

    def _token(self, request: Request) -> str | Reply:
        given = request.headers.get("authorization")
        if given is None:
            return said(2)
        scheme, _, token = given.partition(" ")
        if scheme != "Splunk" or not token:
            return said(3)
        if token not in self.tokens:
            return said(4)
        return said(1) if token in self.disabled else token

    def _acks(self, request: Request, indexer: int, channel: str | None) -> Reply:
        if not self._ack:
            return said(14)
        if channel is None:
            return said(10)
        try:
            ids = json.loads(request.body)["acks"]
            known = self._channels.get((indexer, channel), Channel())
            found = {str(int(number)): int(number) in known.indexed for number in ids}
        except (ValueError, TypeError, KeyError):
            return said(6)
        known.indexed -= {int(number) for number in found}  # true is said once
        return Reply(200, _json({"acks": found}))

    def _events(self, request: Request, token: str, indexer: int, channel: str | None, only: int | None) -> Reply:
        if self._ack and channel is None:
            return said(10)
        if not request.body:
            return said(5)
        encoding = request.headers.get("content-encoding")
        try:
            body = gzip.decompress(request.body) if encoding == "gzip" else request.body
        except (OSError, EOFError, zlib.error):
            return said(6)
        if encoding not in {None, "gzip"}:
            return Reply(415, b"")
        if len(body) > self._largest:
            return said(6, 0) if self._cloud else Reply(413, b"")
        reply = self._parse(body, token, indexer, channel, only)
        if reply is not None:
            return reply
        content: dict[str, object] = {"text": _TEXTS[self.code][1], "code": self.code}
        if self._ack and channel is not None:
            acks = self._channels.setdefault((indexer, channel), Channel())
            content["ackId"] = acks.following
            (acks.indexed if self.index_at_once else acks.waiting).add(acks.following)
            acks.following += 1
        return Reply(200, _json(content), {"Content-Type": "application/json"})

    def _parse(self, body: bytes, token: str, indexer: int, channel: str | None, only: int | None) -> Reply | None:
        """Store events one by one up to the first bad one; None if all are good."""
        envelopes = _values(body)
        for number, envelope in enumerate(envelopes):
            code = 6 if only is not None and number >= only else self._fault(envelope, token)
            if code is not None:
                # "Incorrect index" counts from one.
                return said(code, number + 1 if code == 7 else number)
            assert isinstance(envelope, dict)
            self.stored.append(Stored(envelope, token, channel, indexer))
            if not _KEYS.issuperset(envelope):
                self.dropped += sum(1 for _ in envelopes)
                return None
        return None

    def _fault(self, envelope: object, token: str) -> int | None:
        if not isinstance(envelope, dict) or not _is_time(envelope.get("time", 0)):
            return 6
        if "event" not in envelope:
            return 12
        if envelope["event"] is None or envelope["event"] == "":
            return 13
        fields = envelope.get("fields", {})
        if not isinstance(fields, dict) or any(isinstance(value, dict) for value in fields.values()):
            return 15
        if fields.get("event_id") in self.refused:
            return 15
        if envelope.get("index", self.tokens[token][0]) not in self.tokens[token]:
            return 7
        return None


def _values(body: bytes) -> Iterator[object]:
    """The JSON values of a body, one after the other; None for what is no JSON, at which reading ends."""
    decoder = json.JSONDecoder()
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        yield None
        return
    position = _end_of_space(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError:
            yield None
            return
        yield value
        position = _end_of_space(text, position)


def _end_of_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return float(value) >= 0
    except ValueError:
        return False


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
