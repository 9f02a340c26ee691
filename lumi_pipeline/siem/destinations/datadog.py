"""Datadog Logs, through the HTTP intake (API v2, "Send logs").

Datadog takes the time of a log from the first of six root attributes (``timestamp``, ``date``, ``_timestamp``,
``Timestamp``, ``eventTime``, ``published_date``) and drops logs older than 18 hours or 2 hours ahead after it has
accepted them. Older ones are therefore sent without any of these, so that they are listed under the time at which they
arrive; the true time is ``lumi.occurred_at`` in each. ``lumi`` is the event in the format ``native``; with another
format it names the event, which stands beside it under the format's name.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from lumi_pipeline.errors import ConfigError, SiemError
from lumi_pipeline.events import from_micros
from lumi_pipeline.siem.answers import Rules, attempt
from lumi_pipeline.siem.destination import AgeRule, Framing, Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.options import Given, Option, Secret, choice, flag, https_url, secret, text, texts
from lumi_pipeline.siem.plain import Plain
from lumi_pipeline.siem.settings import DestinationSettings, Route
from lumi_pipeline.siem.sqltext import (
    BATCH_ID,
    chosen,
    joined,
    json_hex,
    json_number,
    json_object,
    json_text,
    json_time,
    millis,
    quoted,
)
from lumi_pipeline.siem.transport import Transport
from transparency.encoding import canonical_json, excerpt

SITES: Final = (
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
)
"""Where Datadog's intake is (API reference, "Send logs")."""

_TAG: Final = re.compile(r"[A-Za-z][A-Za-z0-9_:./-]{0,199}")


def _tag(given: Given) -> str:
    value = text(given)
    if not _TAG.fullmatch(value):
        raise given.wrong(f"a tag, up to 200 of A-Z a-z 0-9 _ - : . / with a letter first; {excerpt(value)} is none")
    return value


def _tags(given: Given) -> tuple[str, ...]:
    return tuple(_tag(Given(given.source, value, given.base)) for value in texts(given))


OPTIONS: Final[Mapping[str, Option]] = {
    "site": Option(choice(*SITES)),
    "url": Option(https_url),
    "api_key": Option(secret, required=True, routable=True),
    "source": Option(text, "lumi", routable=True),
    "service": Option(text, "lumi", routable=True),
    "hostname": Option(text, "lumi-pipeline", routable=True),
    "env": Option(_tag, routable=True),
    "tags": Option(_tags, routable=True),
    "tag_tenants": Option(flag, default=True),
}

_RULES: Final = Rules(delivered=frozenset({202}), refused=frozenset({400}))
_AGE: Final = AgeRule(older=timedelta(hours=17), ahead=timedelta(hours=1, minutes=50))
_STAMP: Final = re.compile(rb'\{"timestamp":(-?[0-9]+),')

_MESSAGE: Final = joined(
    "action",
    "' '",
    "outcome",
    "': '",
    "actor_type",
    "' '",
    "actor_id",
    "', '",
    "entity_type",
    "' '",
    "entity_id",
)
_STATUS: Final = chosen([("outcome = 'failure'", quoted('"error"'))], quoted('"info"'))
_NAMED: Final = json_object(
    {
        "event_id": json_text("event_id"),
        "tenant_id": json_text("tenant_id"),
        "seq": json_number("seq"),
        "occurred_at": json_time("occurred_at"),
        "action": json_text("action"),
        "prev_hash": json_hex("prev_hash"),
        "integrity_hash": json_hex("integrity_hash"),
        "batch_id": quoted(f'"{BATCH_ID}"'),
    }
)


def open_destination(settings: DestinationSettings) -> "DatadogDestination":
    """Open a destination of checked settings."""
    return DatadogDestination(settings)


class DatadogDestination(Plain):
    """One intake; each route may have a key, a service, tags and so on of its own."""

    framing = Framing.ARRAY
    suffix = "json.gz"
    age: AgeRule | None = _AGE
    mapping = "datadog/1"
    limits = Limits(4_500_000, 1000, 1_000_000)

    def __init__(self, settings: DestinationSettings) -> None:
        site, url = settings.options["site"], settings.options["url"]
        if (site is None) == (url is None):
            raise ConfigError(f"destination {settings.name}: set either 'site' (one of {', '.join(SITES)}) or 'url'")
        self.settings = settings
        self._url = f"https://http-intake.logs.{site}/api/v2/logs" if url is None else str(url)
        self._transport = Transport(settings)

    def record(self, event: str, route: Route) -> str:
        """A log: its time first, where :meth:`restamp` finds it, what Datadog knows, then the event."""
        members = {
            "timestamp": millis("occurred_at"),
            "ddsource": quoted(canonical_json(str(route.options["source"]))),
            "ddtags": self._ddtags(route),
            "hostname": quoted(canonical_json(str(route.options["hostname"]))),
            "service": quoted(canonical_json(str(route.options["service"]))),
            "status": _STATUS,
            "message": json_text(_MESSAGE),
        }
        if self.settings.format == "native":
            return json_object({**members, "lumi": event})
        return json_object({**members, "lumi": _NAMED, self.settings.format: event})

    def restamp(self, record: bytes, now: datetime) -> bytes:
        """Take the time out of a record that Datadog would drop for it."""
        found = _STAMP.match(record)
        if found is None or -_AGE.older <= from_micros(int(found[1]) * 1000) - now <= _AGE.ahead:
            return record
        return b"{" + record[found.end() :]

    def send(self, outgoing: Outgoing) -> Outcome:
        """POST one batch."""
        return attempt(lambda: self._post(outgoing.route, outgoing.body, {"Content-Encoding": "gzip"}))

    def check(self) -> Sequence[str]:
        """POST an empty array with each key; it has to be accepted, or refused for being empty."""
        host = urlsplit(self._url).hostname
        found = []
        for key, route in {route.options["api_key"]: route for route in reversed(self.settings.routes)}.items():
            outcome = attempt(partial(self._post, route, b"[]", {}))
            if outcome.result not in {Result.DELIVERED, Result.REFUSED}:
                raise SiemError(
                    f"{self.settings.name}: {host}: {outcome.detail} (route {route.name}); check the site and the key"
                )
            if isinstance(key, Secret):
                found.append(f"{host} takes the key {key.reference}: it answers {outcome.status} to an empty batch")
        return found

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _post(self, route: Route, body: bytes, headers: Mapping[str, str]) -> Outcome:
        key = route.options["api_key"]
        value = key.read_token() if isinstance(key, Secret) else ""
        named = {"DD-API-KEY": value, "Content-Type": "application/json", **headers}
        return _RULES.judge(self._transport.post(self._url, body, named))

    def _ddtags(self, route: Route) -> str:
        env, tags = route.options["env"], route.options["tags"]
        fixed = [] if env is None else [f"env:{env}"]
        fixed += tags if isinstance(tags, tuple) else ()
        if not self.settings.options["tag_tenants"]:
            return quoted(canonical_json(",".join(fixed)))
        return json_text(joined(quoted("".join(f"{tag}," for tag in fixed) + "tenant:"), "tenant_id"))
