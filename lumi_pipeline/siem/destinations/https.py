"""Any HTTPS endpoint: NDJSON or a JSON array, gzipped, with bearer token, header or basic authentication.

Each request has ``Idempotency-Key``, the delivery's id, by which a receiver recognises a repeated one, and
``Content-Digest`` (RFC 9530) of the body as sent. With ``webhook_key`` it is signed with Ed25519 as the Standard
Webhooks specification says (``webhook-id``, ``webhook-timestamp``, ``webhook-signature`` with the version ``v1a``);
what is signed is the body as sent, that is gzipped.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from nacl.signing import SigningKey

from lumi_pipeline.errors import ConfigError, SiemError
from lumi_pipeline.siem.answers import Rules, attempt
from lumi_pipeline.siem.destination import Framing, Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.options import (
    Given,
    Option,
    Secret,
    SecretUnavailable,
    choice,
    header_name,
    header_value,
    https_url,
    names,
    number,
    secret,
    text,
)
from lumi_pipeline.siem.plain import Plain
from lumi_pipeline.siem.settings import DestinationSettings, Route
from lumi_pipeline.siem.transport import Transport

_MIB: Final = 1 << 20
_OURS: Final = frozenset(
    {
        "connection",
        "content-digest",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "idempotency-key",
        "transfer-encoding",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)
"""Headers that say what is sent, and are only right if we set them."""

_SECRET: Final = frozenset({"authorization", "proxy-authorization"})


def _header(given: Given) -> str:
    name = header_name(given)
    if name.lower() in _OURS:
        raise given.wrong(f"another header than {name}, which is set for each request")
    return name


def _headers(given: Given) -> dict[str, str]:
    """Headers that are no secrets, each once, whatever its case."""
    headers = names(given)
    for name, value in headers.items():
        here = Given(f"{given.source}.{name}", value, given.base)
        _header(Given(f"{given.source}: {name!r}", name, given.base))
        header_value(here)
        if name.lower() in _SECRET:
            raise given.wrong(f"without {name}, which is a secret; use 'token', or 'username' and 'password'")
    if len({name.lower() for name in headers}) < len(headers):
        raise given.wrong("a table of headers, each once")
    return headers


def _username(given: Given) -> str:
    value = text(given)
    if ":" in value:
        raise given.wrong("a user name without a colon, which ends it in basic authentication")
    return value


OPTIONS: Final[Mapping[str, Option]] = {
    "url": Option(https_url, required=True, routable=True),
    "token": Option(secret, routable=True),
    "header": Option(_header, "Authorization"),
    "username": Option(_username),
    "password": Option(secret),
    "headers": Option(_headers),
    "body": Option(choice("ndjson", "array"), "ndjson"),
    "max_bytes": Option(number(1024, 64 * _MIB), 1_000_000),
    "max_events": Option(number(1, 1_000_000), 10_000),
    "webhook_key": Option(secret),
}

_RULES: Final = Rules(
    delivered=frozenset(range(200, 300)),
    # 409: a request with this Idempotency-Key is still being worked on (draft-ietf-httpapi-idempotency-key-header).
    retry=frozenset({409, 425, 429}),
    refused=frozenset({400, 422}),
)
_CONTENT_TYPES: Final = {Framing.LINES: "application/x-ndjson", Framing.ARRAY: "application/json"}


def open_destination(settings: DestinationSettings) -> "HttpsDestination":
    """Open a destination of checked settings."""
    return HttpsDestination(settings)


class HttpsDestination(Plain):
    """One endpoint, or one for each route."""

    mapping = "https/1"

    def __init__(self, settings: DestinationSettings) -> None:
        options = settings.options
        if (options["username"] is None) != (options["password"] is None):
            raise ConfigError(f"destination {settings.name}: 'username' and 'password' go together")
        if options["token"] is not None and options["username"] is not None:
            raise ConfigError(f"destination {settings.name}: 'token' and 'username' exclude each other")
        headers = options["headers"]
        if isinstance(headers, dict) and str(options["header"]).lower() in {name.lower() for name in headers}:
            raise ConfigError(f"destination {settings.name}: 'header' is also in 'headers'; one of them has to go")
        self.settings = settings
        self.framing = Framing.ARRAY if options["body"] == "array" else Framing.LINES
        self.suffix = "json.gz" if self.framing is Framing.ARRAY else "ndjson.gz"
        largest = int(str(options["max_bytes"]))
        self.limits = Limits(largest, int(str(options["max_events"])), largest)
        self._transport = Transport(settings)

    def send(self, outgoing: Outgoing) -> Outcome:
        """POST one batch."""
        return attempt(partial(self._post, outgoing.route, outgoing.delivery_id, outgoing.body, outgoing.timestamp))

    def check(self) -> Sequence[str]:
        """POST an empty body (or array) to each endpoint; it has to be accepted, or refused for being empty."""
        found = []
        body = self.body(b"[]" if self.framing is Framing.ARRAY else b"")
        for url, route in {str(route.options["url"]): route for route in self.settings.routes}.items():
            outcome = attempt(partial(self._post, route, f"check-{uuid4()}", body, datetime.now(UTC)))
            host = urlsplit(url).hostname
            if outcome.result not in {Result.DELIVERED, Result.REFUSED}:
                raise SiemError(f"{self.settings.name}: {host}: {outcome.detail}; check the URL and the credentials")
            found.append(f"{host} answers {outcome.status} to an empty batch")
        return found

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _post(self, route: Route, delivery_id: str, body: bytes, moment: datetime) -> Outcome:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers = {
            **self._given(),
            "Content-Type": _CONTENT_TYPES[self.framing],
            "Content-Encoding": "gzip",
            "Content-Digest": f"sha-256=:{digest}:",
            "Idempotency-Key": delivery_id,
            **self._authentication(route),
            **self._signature(delivery_id, body, moment),
        }
        return _RULES.judge(self._transport.post(str(route.options["url"]), body, headers))

    def _given(self) -> dict[str, str]:
        headers = self.settings.options["headers"]
        return dict(headers) if isinstance(headers, dict) else {}

    def _authentication(self, route: Route) -> dict[str, str]:
        token, password = route.options["token"], self.settings.options["password"]
        if isinstance(token, Secret):
            name, value = str(self.settings.options["header"]), token.read_token()
            return {name: f"Bearer {value}" if name.lower() == "authorization" else value}
        if isinstance(password, Secret):
            pair = f"{self.settings.options['username']}:{password.read()}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return {}

    def _signature(self, delivery_id: str, body: bytes, moment: datetime) -> dict[str, str]:
        key = self.settings.options["webhook_key"]
        if not isinstance(key, Secret):
            return {}
        seconds = str(int(moment.timestamp()))
        signed = _signing_key(key).sign(f"{delivery_id}.{seconds}.".encode() + body).signature
        return {
            "webhook-id": delivery_id,
            "webhook-timestamp": seconds,
            "webhook-signature": f"v1a,{base64.b64encode(signed).decode()}",
        }


def _signing_key(secret: Secret) -> SigningKey:
    """Read a key as Standard Webhooks writes it: ``whsk_`` and base64 of the seed, with or without the public key."""
    try:
        content = base64.b64decode(secret.read().removeprefix("whsk_"), validate=True)
        key = SigningKey(content[:32])
    except (ValueError, TypeError):
        key, content = None, b""
    if key is None or content[32:] not in {b"", bytes(key.verify_key)}:
        raise SecretUnavailable(f"{secret.reference} is not a webhook key: whsk_ and base64 of an Ed25519 key")
    return key
