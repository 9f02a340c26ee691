"""Microsoft Sentinel through the Logs Ingestion API: a JSON array of a stream's columns, gzipped.

The columns are in :mod:`~lumi_pipeline.siem.sentinelcolumns`. A request holds at most 1 MB, compressed and not, a field
64 KB. A ``TimeGenerated`` of more than two days ago, or more than a day ahead, is replaced by the time of receipt;
``EventTime`` keeps it. Tables of the plan Auxiliary refuse a request whose ``TimeGenerated`` spans more than 30
minutes (``RecordsTimeRangeIsMoreThan30Minutes``), so with ``plan = "auxiliary"`` batches are cut at half hours.
(Microsoft Learn: "Logs Ingestion API in Azure Monitor", "Azure Monitor service limits", and the API's definition,
version 2023-01-01, for ``x-ms-error-code``.)

Other clouds than the public one need ``login`` and ``scope``: https://login.microsoftonline.us and
https://monitor.azure.us/.default, or https://login.partner.microsoftonline.cn and https://monitor.azure.cn/.default.
``endpoint``, ``dcr`` and ``stream`` can differ from route to route.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final
from urllib.parse import urlsplit
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import numpy as np
import pyarrow as pa

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.answers import Rules, attempt
from lumi_pipeline.siem.destination import AgeRule, Framing, Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.entratoken import EntraToken, NoToken
from lumi_pipeline.siem.options import Given, Option, Secret, SecretUnavailable, choice, https_url, secret, text
from lumi_pipeline.siem.plain import Plain
from lumi_pipeline.siem.sentinelcolumns import record as columns_record
from lumi_pipeline.siem.settings import DestinationSettings, Route
from lumi_pipeline.siem.transport import Answer, Transport

_BODY: Final = 950_000
_FIELD: Final = 64_000
_HALF_HOUR: Final = 1_800_000_000
"""Microseconds."""

_DCR: Final = re.compile(r"dcr-[0-9a-f]{32}")
_STREAM: Final = re.compile(r"(Custom|Microsoft)-[A-Za-z0-9_-]{1,100}")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,127}")
_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
_OF_SETTINGS: Final = re.compile(r"Stream|ApiVersion|DataCollection|Dcr|Endpoint")
"""In the code of a 400: what is refused is where it was sent, not one of the events."""


def _dcr(given: Given) -> str:
    value = text(given)
    if not _DCR.fullmatch(value):
        raise given.wrong("the immutable id of a data collection rule: dcr- and 32 hexadecimal digits")
    return value


def _stream(given: Given) -> str:
    value = text(given)
    if not _STREAM.fullmatch(value):
        raise given.wrong("the name of a stream, such as 'Custom-LumiAudit_CL'")
    return value


def _id(given: Given) -> str:
    value = text(given)
    if not _ID.fullmatch(value):
        raise given.wrong("an id, as Microsoft Entra shows it")
    return value


def _base(given: Given) -> str:
    value = https_url(given)
    parts = urlsplit(value)
    if parts.path.strip("/") or parts.query:
        raise given.wrong("a URL without a path")
    return value.rstrip("/")


OPTIONS: Final[Mapping[str, Option]] = {
    "endpoint": Option(_base, required=True, routable=True),
    "dcr": Option(_dcr, required=True, routable=True),
    "stream": Option(_stream, required=True, routable=True),
    "directory": Option(_id, required=True),
    "client_id": Option(_id, required=True),
    "client_secret": Option(secret, required=True),
    "login": Option(_base, "https://login.microsoftonline.com"),
    "scope": Option(https_url, "https://monitor.azure.com/.default"),
    "plan": Option(choice("analytics", "auxiliary"), "analytics"),
}

_RULES: Final = Rules(delivered=frozenset({204}), refused=frozenset({400}), request_id="x-ms-request-id")
_HINTS: Final = {
    401: "give the application a new client secret",
    403: "give the application the role Monitoring Metrics Publisher on the rule; it counts after half an hour",
    404: "check endpoint, dcr and stream",
}


def open_destination(settings: DestinationSettings) -> "SentinelDestination":
    """Open a destination of checked settings."""
    return SentinelDestination(settings)


class SentinelDestination(Plain):
    """One stream of a data collection rule, or one for each route."""

    framing = Framing.ARRAY
    suffix = "json.gz"
    age: AgeRule | None = AgeRule(older=timedelta(days=2), ahead=timedelta(days=1), replaces=True)

    def __init__(self, settings: DestinationSettings) -> None:
        self.settings = settings
        self.mapping = f"sentinel/1 {settings.options['plan']}"
        # An event in OCSF is a field itself, and a record little more.
        whole = _BODY - len("[]") if settings.format == "native" else _FIELD
        self.limits = Limits(body_bytes=_BODY, events=100_000, record_bytes=whole, field_bytes=_FIELD)
        self._transport = Transport(settings)
        key = settings.options["client_secret"]
        if not isinstance(key, Secret):
            raise TypeError("the option 'client_secret' was not checked")
        names = ("login", "directory", "client_id", "scope")
        self._token = EntraToken(self._transport, key=key, **{name: str(settings.options[name]) for name in names})

    def record(self, event: str, route: Route) -> str:  # noqa: ARG002 - every route's records look the same
        """The event's columns; with the format ``ocsf`` the event is one of them."""
        return columns_record(self.settings.format, event)

    def group(self, events: pa.Table) -> pa.StringArray | None:
        """The half hour in which an event occurred, where the table's plan wants that."""
        if self.settings.options["plan"] != "auxiliary":
            return None
        times = np.asarray(events.column("occurred_at").cast(pa.timestamp("us")), "datetime64[us]")
        halves, which = np.unique(times.astype(np.int64) // _HALF_HOUR, return_inverse=True)
        starts = (halves * _HALF_HOUR).astype("datetime64[us]")
        labels = pa.array([f"{label}Z" for label in np.datetime_as_string(starts, unit="m")], pa.string())
        return labels.take(pa.array(which, pa.int64()))

    def send(self, outgoing: Outgoing) -> Outcome:
        """POST one batch."""
        return attempt(partial(self._post, outgoing.route, uuid5(NAMESPACE_OID, outgoing.delivery_id), outgoing.body))

    def check(self) -> Sequence[str]:
        """Get a token, then POST an empty array to each stream; it is taken, or refused for being empty."""
        try:
            self._token.get()
        except NoToken as error:
            detail = f"{error.outcome.detail}; check directory, client_id and client_secret"
            raise SiemError(f"{self.settings.name}: {detail}") from None
        except SecretUnavailable as error:
            raise SiemError(f"{self.settings.name}: {error}") from None
        found = [f"{urlsplit(str(self.settings.options['login'])).hostname} gives a token"]
        for url, route in {_url(route): route for route in self.settings.routes}.items():
            outcome = attempt(partial(self._post, route, uuid4(), self.body(b"[]")))
            where = f"{urlsplit(url).hostname}, stream {route.options['stream']}"
            if outcome.result not in {Result.DELIVERED, Result.REFUSED}:
                raise SiemError(f"{self.settings.name}: {where}: {outcome.detail}")
            found.append(f"{where} answers {outcome.status} to an empty batch")
        return found

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _post(self, route: Route, request_id: UUID, body: bytes) -> Outcome:
        try:
            token = self._token.get()
            answer = self._posted(route, request_id, body, token)
            if answer.status == 401:  # revoked before its time, or our clock stood still meanwhile
                answer = self._posted(route, request_id, body, self._token.get(refused=token))
        except NoToken as error:
            return error.outcome
        return _judged(answer)

    def _posted(self, route: Route, request_id: UUID, body: bytes, token: str) -> Answer:
        headers = {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Authorization": f"Bearer {token}",
            "x-ms-client-request-id": str(request_id),
        }
        return self._transport.post(_url(route), body, headers)


def _url(route: Route) -> str:
    options = route.options
    path = f"dataCollectionRules/{options['dcr']}/streams/{options['stream']}"
    return f"{options['endpoint']}/{path}?api-version=2023-01-01"


def _judged(answer: Answer) -> Outcome:
    """Say what an answer means, by the status and by the error's code."""
    outcome = _RULES.judge(answer)
    if outcome.result is Result.DELIVERED:
        return outcome
    code = _error_code(answer)
    outcome = replace(outcome, detail=f"{outcome.detail} {code}".rstrip())
    if code == "ContentLengthLimitExceeded":
        return replace(outcome, result=Result.TOO_LARGE)
    if outcome.result is Result.REFUSED and _OF_SETTINGS.search(code):
        return replace(outcome, result=Result.BLOCKED, detail=f"{outcome.detail}; {_HINTS[404]}")
    hint = _HINTS.get(answer.status)
    return replace(outcome, detail=f"{outcome.detail}; {hint}") if hint else outcome


def _error_code(answer: Answer) -> str:
    """The error's name, as the header or the body has it; empty if neither does. Its message may quote events."""
    found = answer.headers.get("x-ms-error-code")
    if found is None:
        try:
            content = json.loads(answer.body)
            found = content["error"]["code"]
        except (ValueError, RecursionError, TypeError, KeyError):
            return ""
    return found if isinstance(found, str) and _CODE.fullmatch(found) else ""
