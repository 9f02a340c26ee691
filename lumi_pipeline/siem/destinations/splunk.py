"""Splunk's HTTP Event Collector, with or without indexer acknowledgement.

An answer only says that the events were received; an acknowledgement, for which the token must have it enabled, that
they are indexed. Splunk Cloud offers it in places only, so ``use_ack`` is off by default, ``auto`` takes it where it is
offered, and ``on`` expects it. (A token that has it wants to be asked: with ``off`` its channel fills up in time.)
Format of events: Splunk, "Format events for HTTP Event Collector".
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from lumi_pipeline.errors import SiemError
from lumi_pipeline.events import to_micros
from lumi_pipeline.siem import hec
from lumi_pipeline.siem.answers import attempt
from lumi_pipeline.siem.destination import Assurance, Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.options import Given, Option, Secret, SecretUnavailable, choice, https_url, secret, text
from lumi_pipeline.siem.plain import Plain
from lumi_pipeline.siem.settings import DestinationSettings, Route
from lumi_pipeline.siem.sqltext import BATCH_ID, joined, json_number, json_object, json_plain, json_text, quoted
from lumi_pipeline.siem.transport import Answer, NotSent, Transport, Unanswered
from transparency.encoding import canonical_json


def _base(given: Given) -> str:
    """The collector's URL as far as ``/services``."""
    value = https_url(given).rstrip("/")
    parts = urlsplit(value)
    if parts.query or "/services" in parts.path:
        raise given.wrong("the URL before /services/collector, such as https://http-inputs-x.splunkcloud.com:443")
    return value


OPTIONS: Final[Mapping[str, Option]] = {
    "url": Option(_base, required=True),
    "token": Option(secret, required=True, routable=True),
    "index": Option(text, routable=True),
    "host": Option(text, "lumi-pipeline", routable=True),
    "source": Option(text, "lumi", routable=True),
    "sourcetype": Option(text, routable=True),
    "use_ack": Option(choice("off", "on", "auto"), "off"),
}

_COLLECTOR: Final = "/services/collector/"
_BODY: Final = 900_000
_EVENTS: Final = 20_000
_POLLED: Final = 500
"""Acknowledgements asked for in one request."""

_MICROS: Final = "epoch_us(occurred_at)"
_TIME: Final = f"({_MICROS}::DECIMAL(18, 0) * 0.000001::DECIMAL(7, 6))::VARCHAR"
"""Seconds since 1970 with six decimals, exactly: 18 digits hold the microseconds of any year up to 9999."""
_FIRST: Final = to_micros(datetime(1970, 1, 1, tzinfo=UTC))
_LAST: Final = to_micros(datetime(2101, 1, 1, tzinfo=UTC)) - 1
_HAS_TIME: Final = f"{_MICROS} BETWEEN {_FIRST} AND {_LAST}"
"""Times that Splunk takes; what has another one is listed under the time at which it arrives."""

_FIELDS: Final = {
    "event_id": json_text("event_id"),
    "tenant_id": json_text("tenant_id"),
    "seq": json_plain(json_number("seq")),
    "action": json_text("action"),
    "batch_id": quoted(f'"{BATCH_ID}"'),
}
"""What can be searched for without reading events, whatever their format."""


def open_destination(settings: DestinationSettings) -> "SplunkDestination":
    """Open a destination of checked settings."""
    return SplunkDestination(settings)


class SplunkDestination(Plain):
    """One collector; each route has a channel, and may have a token, an index and so on of its own."""

    mapping = "splunk/1"
    limits = Limits(_BODY, _EVENTS, _BODY)

    def __init__(self, settings: DestinationSettings) -> None:
        self.settings = settings
        self._transport = Transport(settings)
        self._url = str(settings.options["url"])
        self._use_ack = str(settings.options["use_ack"])
        self._lock = Lock()
        self._channels: dict[str, hec.Channel] = {}

    def record(self, event: str, route: Route) -> str:
        """The collector's envelope, with the keys that it knows and no other: at an unknown one it stops reading."""
        options = {**route.options, "sourcetype": route.options["sourcetype"] or f"lumi:{self.settings.format}"}
        names = [name for name in ("host", "source", "sourcetype", "index") if options[name] is not None]
        members = [f"{canonical_json(name)}:{canonical_json(str(options[name]))}" for name in names]
        return joined(
            f"CASE WHEN {_HAS_TIME} THEN concat('{{\"time\":', {_TIME}, ',') ELSE '{{' END",
            quoted(f'{",".join(members)},"event":'),
            event,
            quoted(',"fields":'),
            json_object(_FIELDS),
            quoted("}"),
        )

    def send(self, outgoing: Outgoing) -> Outcome:
        """POST one batch."""
        return attempt(lambda: self._send(outgoing))

    def confirm(self, acks: Sequence[str], route: Route) -> Mapping[str, bool]:
        """Ask the indexer that promised them; while it can't be asked, none is true."""
        channel = self._channel(route)
        found: dict[str, bool] = {}
        for session, numbers in channel.whom(acks):
            names = list(numbers)
            for start in range(0, len(names), _POLLED):
                chosen = {name: numbers[name] for name in names[start : start + _POLLED]}
                found |= self._poll(channel, session, chosen, route)
        return found

    def check(self) -> Sequence[str]:
        """Ask for the collector's health, then POST nothing with each token: it says that there is no data.

        Whether a token may write to an index only shows with an event.
        """
        answer = self._ask("GET", "health", {})
        if hec.Said.of(answer).code != hec.HEALTHY:
            raise self._wrong(f"{hec.judge(answer, 0, 0).detail}; check the URL")
        found = [f"{self._host} is healthy"]
        for token, route in {route.options["token"]: route for route in reversed(self.settings.routes)}.items():
            if isinstance(token, Secret):
                found.append(f"{self._host} takes the token {token.reference}{self._check(route)}")
        return found

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _send(self, outgoing: Outgoing) -> Outcome:
        channel = self._channel(outgoing.route)
        session = channel.session()
        headers = {
            **self._headers(channel.identity, outgoing.route),
            **session.headers(),
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        answer = self._transport.post(f"{self._url}{_COLLECTOR}event", outgoing.body, headers)
        session = channel.answered(session, answer)
        # The last four bytes of gzip are the size of its content (RFC 1952 section 2.3.1).
        outcome = hec.judge(answer, outgoing.count, int.from_bytes(outgoing.body[-4:], "little"))
        promised = hec.Said.of(answer).ack
        if outcome.result is not Result.DELIVERED or self._use_ack == "off":
            return outcome
        if promised is not None:
            return replace(outcome, assurance=Assurance.INDEXED, ack=channel.given(session, promised))
        if self._use_ack == "on":
            return replace(outcome, detail=f"{outcome.detail} without acknowledgement: enable it for the token")
        return outcome

    def _poll(
        self, channel: hec.Channel, session: hec.Session, numbers: Mapping[str, int], route: Route
    ) -> Mapping[str, bool]:
        """Ask one indexer; what is left out of the result, it can't be asked for any more."""
        waiting = dict.fromkeys(numbers, False)
        body = json.dumps({"acks": list(numbers.values())}, separators=(",", ":")).encode()
        try:
            headers = {**self._headers(channel.identity, route), **session.headers()}
            answer = self._transport.post(f"{self._url}{_COLLECTOR}ack", body, headers)
        except (NotSent, Unanswered, SecretUnavailable):
            return waiting
        if channel.answered(session, answer) is not session:
            return {}  # a balancer chose an indexer just now, and it need not be the one that promised
        acknowledged = hec.acknowledged(answer)
        if acknowledged is None or answer.status != 200:
            return {} if hec.Said.of(answer).code == hec.ACK_DISABLED else waiting
        return {name: acknowledged.get(str(number), False) for name, number in numbers.items()}

    def _check(self, route: Route) -> str:
        # In a channel of its own, as an acknowledgement answers once, and those of the route are not to be lost here.
        try:
            headers = self._headers(str(uuid.uuid4()), route)
        except SecretUnavailable as error:
            raise self._wrong(str(error)) from None
        answer = self._ask("POST", "event", headers)
        if answer.status != 400 or hec.Said.of(answer).code != hec.NO_DATA:
            raise self._wrong(f"{hec.judge(answer, 0, 0).detail} (route {route.name})")
        if self._use_ack == "off":
            return ""
        answer = self._ask("POST", "ack", headers, b'{"acks":[0]}')
        if hec.acknowledged(answer) is not None:
            return ", with indexer acknowledgement"
        if self._use_ack == "on" or hec.Said.of(answer).code != hec.ACK_DISABLED:
            raise self._wrong(f"{hec.judge(answer, 0, 0).detail} (route {route.name})")
        return ", without indexer acknowledgement: it says that events are received, not that they are indexed"

    def _ask(self, method: str, what: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        try:
            return self._transport.request(method, f"{self._url}{_COLLECTOR}{what}", body, headers)
        except (NotSent, Unanswered) as error:
            raise self._wrong(str(error)) from None

    def _wrong(self, detail: str) -> SiemError:
        return SiemError(f"{self.settings.name}: {self._host}: {detail}")

    @property
    def _host(self) -> str:
        return urlsplit(self._url).hostname or ""

    def _channel(self, route: Route) -> hec.Channel:
        with self._lock:
            if route.name not in self._channels:
                name = f"lumi-pipeline/splunk/{self.settings.name}/{route.name}"
                self._channels[route.name] = hec.Channel(str(uuid.uuid5(uuid.NAMESPACE_OID, name)))
            return self._channels[route.name]

    @staticmethod
    def _headers(channel: str, route: Route) -> dict[str, str]:
        token = route.options["token"]
        value = token.read_token() if isinstance(token, Secret) else ""
        return {"Authorization": f"Splunk {value}", "X-Splunk-Request-Channel": channel}
