"""A strict receiver of generic HTTPS deliveries: it authenticates, verifies what it is told about the body, keeps it.

``Content-Digest``: RFC 9530. ``Idempotency-Key``: a repeated one is answered like the first, and nothing is kept twice.
Signatures: the Standard Webhooks specification, verified with the package ``cryptography``.
"""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Any, Final

from tests.siem.fakes.http import FakeServer, Reply, Request

_TYPES: Final = {"application/x-ndjson": False, "application/json": True}
_TOLERANCE: Final = 300
"""Seconds that a signature's time may be off."""


class FakeReceiver(FakeServer):
    """One endpoint, ``/events``. ``expected`` are headers that a request has to have exactly so."""

    def __init__(
        self,
        expected: dict[str, str] | None = None,
        *,
        public_key: bytes | None = None,
        now: Callable[[], float] = lambda: 0.0,
        largest: int = 1_000_000,
    ) -> None:
        super().__init__()
        self.expected = expected or {}
        self.stored: list[dict[str, Any]] = []
        self.keys: dict[str, int] = {}
        """How often each Idempotency-Key came."""
        self.refused: set[str] = set()
        """Event ids; a request with one of them is answered 422."""
        self._public_key = public_key
        self._now = now
        self._largest = largest

    @property
    def endpoint(self) -> str:
        """Where to send to."""
        return f"{self.url}/events"

    def handle(self, request: Request) -> Reply:
        problem = self._problem(request)
        if problem is not None:
            return Reply(problem)
        events = self._events(request)
        if isinstance(events, int):
            return Reply(events)
        if any(event.get("event_id") in self.refused for event in events):
            return Reply(422, json.dumps(events).encode())
        key = request.headers["idempotency-key"]
        self.keys[key] = self.keys.get(key, 0) + 1
        if self.keys[key] == 1:
            self.stored += events
        return Reply(202, b"", {"X-Request-Id": f"r-{len(self.requests)}"})

    def _problem(self, request: Request) -> int | None:
        """The status that a request is refused with for what its headers say."""
        headers = request.headers
        if request.path != "/events":
            return 404
        if request.method != "POST":
            return 405
        if any(headers.get(name) != value for name, value in self.expected.items()):
            return 401
        digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
        if headers.get("content-digest") != f"sha-256=:{digest}:" or not headers.get("idempotency-key"):
            return 400
        if headers.get("content-encoding") != "gzip" or headers.get("content-type") not in _TYPES:
            return 415
        if self._public_key is not None and not self._signed(request, self._public_key):
            return 403
        return None

    def _events(self, request: Request) -> list[dict[str, Any]] | int:
        try:
            content = gzip.decompress(request.body)
            if len(content) > self._largest:
                return 413
            if _TYPES[request.headers["content-type"]]:
                events = json.loads(content)
            else:
                if content and not content.endswith(b"\n"):
                    return 400
                events = [json.loads(line) for line in content.split(b"\n")[:-1]]
        except (ValueError, OSError, EOFError, zlib.error):
            return 400
        return events if isinstance(events, list) and all(isinstance(event, dict) for event in events) else 400

    def _signed(self, request: Request, public_key: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - only tests that sign need it
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

        name, moment = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        if not name or not moment.isdigit() or abs(int(moment) - self._now()) > _TOLERANCE:
            return False
        for signature in request.headers.get("webhook-signature", "").split(" "):
            version, _, encoded = signature.partition(",")
            if version != "v1a":
                continue
            signed = b".".join([name.encode(), moment.encode(), request.body])
            try:
                Ed25519PublicKey.from_public_bytes(public_key).verify(base64.b64decode(encoded), signed)
            except InvalidSignature:
                continue
            return True
        return False
