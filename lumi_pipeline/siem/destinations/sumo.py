"""Sumo Logic: NDJSON, gzipped, to the URL of an HTTP Logs and Metrics Source, which is the secret.

The source has to read one message a line ("Multiline Processing" off). 200 says that the request was taken, not that
it can be searched: data is dropped behind it while an ingest budget is used up. 408 says that processing took too
long, and part of it may be there. Lines of more than 64 KB are cut into several. (Sumo Logic documentation: "HTTP Logs
and Metrics Source", "Upload Data to an HTTP Source", "Troubleshooting HTTP Sources".)

``url`` and the metadata (``category``, ``source_name``, ``source_host``, ``fields``) can differ from route to route.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.answers import Rules, attempt
from lumi_pipeline.siem.destination import Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.options import (
    Given,
    Option,
    Secret,
    SecretUnavailable,
    check_url,
    header_value,
    names,
    secret,
)
from lumi_pipeline.siem.plain import Plain
from lumi_pipeline.siem.settings import DestinationSettings, Route
from lumi_pipeline.siem.transport import Transport

_LONGEST: Final = 25.0
"""Seconds that a request may take; whatever the settings say, waiting longer has no use."""

_LINE: Final = 65_536
"""Bytes of a line, its line feed included."""


def _fields(given: Given) -> dict[str, str]:
    """Fields as ``X-Sumo-Fields`` lists them: ``name=value,name=value``."""
    fields = names(given)
    for name, value in fields.items():
        for part, source in ((name, f"{given.source}: {name!r}"), (value, f"{given.source}.{name}")):
            here = Given(source, part, given.base)
            if set(header_value(here)) & {",", "="}:
                raise here.wrong("without comma and equals sign, which separate fields")
    if not fields:
        raise given.wrong("a table of texts, not empty")
    return fields


OPTIONS: Final[Mapping[str, Option]] = {
    "url": Option(secret, required=True, routable=True),
    "category": Option(header_value, routable=True),
    "source_name": Option(header_value, routable=True),
    "source_host": Option(header_value, routable=True),
    "fields": Option(_fields, routable=True),
}

_HEADERS: Final = {
    "category": "X-Sumo-Category",
    "source_name": "X-Sumo-Name",
    "source_host": "X-Sumo-Host",
}
_RULES: Final = Rules(delivered=frozenset({200}))


def open_destination(settings: DestinationSettings) -> "SumoDestination":
    """Open a destination of checked settings."""
    return SumoDestination(settings)


class SumoDestination(Plain):
    """One HTTP source, or one for each route."""

    mapping = "sumo/1"
    limits = Limits(body_bytes=900_000, events=100_000, record_bytes=_LINE - 1)

    def __init__(self, settings: DestinationSettings) -> None:
        self.settings = settings
        self._transport = Transport(replace(settings, timeout=min(settings.timeout, _LONGEST)))

    def send(self, outgoing: Outgoing) -> Outcome:
        """POST one batch."""
        return attempt(partial(self._post, outgoing.route, outgoing.body))

    def check(self) -> Sequence[str]:
        """POST no message to each source."""
        found = []
        for route in {route.options["url"]: route for route in self.settings.routes}.values():
            outcome = attempt(partial(self._post, route, self.body(b"")))
            if outcome.result is not Result.DELIVERED:
                name = _reference(route).reference
                raise SiemError(f"{self.settings.name}: {name}: {outcome.detail}; check the source's URL")
            host = urlsplit(_url(route)).hostname
            found.append(f"{host} answers {outcome.status} to an empty request")
        return found

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _post(self, route: Route, body: bytes) -> Outcome:
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        headers |= {header: str(route.options[name]) for name, header in _HEADERS.items() if route.options[name]}
        fields = route.options["fields"]
        if isinstance(fields, dict):
            headers["X-Sumo-Fields"] = ",".join(f"{name}={value}" for name, value in fields.items())
        return _RULES.judge(self._transport.post(_url(route), body, headers))


def _reference(route: Route) -> Secret:
    reference = route.options["url"]
    if not isinstance(reference, Secret):
        raise TypeError("the option 'url' was not checked")
    return reference


def _url(route: Route) -> str:
    """The secret URL; its path is what must not be told."""
    reference = _reference(route)
    try:
        return check_url(reference.read())
    except ValueError as error:
        raise SecretUnavailable(f"{reference.reference} must be {error}") from None
