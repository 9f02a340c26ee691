"""Any HTTPS endpoint: NDJSON or a JSON array, gzipped, with bearer token, header or basic authentication.

Each request has ``Idempotency-Key``, the delivery's id, by which a receiver recognises a repeated one, and
``Content-Digest`` (RFC 9530) of the body as sent. With ``webhook_key`` it is signed with Ed25519 as the Standard
Webhooks specification says (``webhook-id``, ``webhook-timestamp``, ``webhook-signature`` with the version ``v1a``).
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import pyarrow as pa
from nacl.signing import SigningKey

from lumi_pipeline.errors import ConfigError, SiemError
from lumi_pipeline.siem.answers import Rules, attempt
from lumi_pipeline.siem.destination import AgeRule, Framing, Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.gzipping import compress
from lumi_pipeline.siem.options import Option, Secret, SecretUnavailable, choice, https_url, names, number, secret, text
from lumi_pipeline.siem.settings import DestinationSettings, Route
from lumi_pipeline.siem.transport import Answer, Transport

_MIB: Final = 1 << 20

OPTIONS: Final[Mapping[str, Option]] = {
    "url": Option(https_url, required=True, routable=True),
    "token": Option(secret, routable=True),
    "header": Option(text, "Authorization"),
    "username": Option(text),
    "password": Option(secret),
    "headers": Option(names),
    "body": Option(choice("ndjson", "array"), "ndjson"),
    "max_bytes": Option(number(1024, 64 * _MIB), 1_000_000),
    "max_events": Option(number(1, 1_000_000), 10_000),
    "webhook_key": Option(secret),
}

_RULES: Final = Rules(
    delivered=frozenset(range(200, 300)),
    refused=frozenset({400, 422}),
)
_CONTENT_TYPES: Final = {Framing.LINES: "application/x-ndjson", Framing.ARRAY: "application/json"}


def open_destination(settings: DestinationSettings) -> "HttpsDestination":
    """Open a destination of checked settings."""
    return HttpsDestination(settings)


class HttpsDestination:
    """One endpoint, or one for each route."""

    suffix = "ndjson.gz"
    age: AgeRule | None = None
    mapping = "https/1"

    def __init__(self, settings: DestinationSettings) -> None:
        options = settings.options
        if (options["username"] is None) != (options["password"] is None):
            raise ConfigError(f"destination {settings.name}: 'username' and 'password' go together")
        if options["token"] is not None and options["username"] is not None:
            raise ConfigError(f"destination {settings.name}: 'token' and 'username' exclude each other")
        self.settings = settings
        self.framing = Framing.ARRAY if options["body"] == "array" else Framing.LINES
        largest = int(str(options["max_bytes"]))
        self.limits = Limits(largest, int(str(options["max_events"])), largest)
        self._transport = Transport(settings)

    def record(self, event: str, route: Route) -> str:  # noqa: ARG002 - every route's records look the same
        """The event itself, as its format has it."""
        return event

    def group(self, events: pa.Table) -> pa.StringArray | None:  # noqa: ARG002 - any may stand beside any
        """A request may hold any events."""
        return None

    def body(self, content: bytes) -> bytes:
        """Gzip."""
        return compress(content)

    def restamp(self, record: bytes, now: datetime) -> bytes:  # noqa: ARG002 - there is no age rule
        """Nothing to change: the endpoint takes any time."""
        return record

    def send(self, outgoing: Outgoing) -> Outcome:
        """POST one batch."""
        return attempt(lambda: _RULES.judge(self._post(outgoing)))

    def confirm(self, acks: Sequence[str], route: Route) -> Mapping[str, bool]:  # noqa: ARG002 - never asked for
        """There are no acknowledgements besides the answer."""
        return {}

    def check(self) -> Sequence[str]:
        """POST an empty body (or array) to each endpoint; it has to be accepted, or refused for being empty."""
        found = []
        for url, route in {str(route.options["url"]): route for route in self.settings.routes}.items():
            body = b"[]" if self.framing is Framing.ARRAY else b""
            outcome = attempt(partial(self._check, url, route, body))
            host = urlsplit(url).hostname
            if outcome.result not in {Result.DELIVERED, Result.REFUSED}:
                raise SiemError(f"{self.settings.name}: {host}: {outcome.detail}; check the URL and the credentials")
            found.append(f"{host} answers {outcome.status} to an empty batch")
        return found

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _check(self, url: str, route: Route, body: bytes) -> Outcome:
        headers = {"Content-Type": _CONTENT_TYPES[self.framing], **self._given(), **self._authentication(route)}
        return _RULES.judge(self._transport.post(url, body, headers))

    def _post(self, outgoing: Outgoing) -> Answer:
        digest = base64.b64encode(hashlib.sha256(outgoing.body).digest()).decode()
        headers = {
            **self._given(),
            "Content-Type": _CONTENT_TYPES[self.framing],
            "Content-Encoding": "gzip",
            "Content-Digest": f"sha-256=:{digest}:",
            "Idempotency-Key": outgoing.delivery_id,
            **self._authentication(outgoing.route),
            **self._signature(outgoing),
        }
        return self._transport.post(str(outgoing.route.options["url"]), outgoing.body, headers)

    def _given(self) -> dict[str, str]:
        headers = self.settings.options["headers"]
        return dict(headers) if isinstance(headers, dict) else {}

    def _authentication(self, route: Route) -> dict[str, str]:
        token, password = route.options["token"], self.settings.options["password"]
        if isinstance(token, Secret):
            name = str(self.settings.options["header"])
            value = token.read_token()
            return {name: f"Bearer {value}" if name.lower() == "authorization" else value}
        if isinstance(password, Secret):
            pair = f"{self.settings.options['username']}:{password.read()}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return {}

    def _signature(self, outgoing: Outgoing) -> dict[str, str]:
        key = self.settings.options["webhook_key"]
        if not isinstance(key, Secret):
            return {}
        try:
            seed = base64.b64decode(key.read().removeprefix("whsk_"), validate=True)
            signer = SigningKey(seed[:32])
        except (ValueError, TypeError):
            raise SecretUnavailable(
                f"{key.reference} is not a webhook key: whsk_ and base64 of an Ed25519 seed"
            ) from None
        moment = str(int(outgoing.timestamp.timestamp()))
        signed = signer.sign(f"{outgoing.delivery_id}.{moment}.".encode() + outgoing.body).signature
        return {
            "webhook-id": outgoing.delivery_id,
            "webhook-timestamp": moment,
            "webhook-signature": f"v1a,{base64.b64encode(signed).decode()}",
        }
