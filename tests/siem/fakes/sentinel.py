"""A strict Logs Ingestion API with the token endpoint before it: one data collection rule, its streams and tables.

Statuses, limits and error codes: Microsoft Learn, "Logs Ingestion API in Azure Monitor" and "Azure Monitor service
limits"; the API's definition, version 2023-01-01; the live tests of Azure's SDK for .NET (413
``ContentLengthLimitExceeded``, 1048576 bytes). Microsoft identity platform, "OAuth 2.0 client credentials flow". What
the real service does silently is done and noted: long fields are cut, unknown columns dropped, old times replaced.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

from tests.siem.fakes.http import FakeServer, Reply, Request

_LARGEST: Final = 1_048_576
_FIELD: Final = 65_536
_SPAN: Final = timedelta(minutes=30)
_PATH: Final = re.compile(r"/dataCollectionRules/([^/]+)/streams/([^/?]+)\?api-version=2023-01-01")
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "long": (int,),
    "datetime": (str,),
    "dynamic": (dict, list, str, int, float, bool),
}


class FakeSentinel(FakeServer):
    """Login and ingestion on one address. ``streams`` are the rule's, with the types of their columns by name."""

    def __init__(
        self,
        streams: Mapping[str, Mapping[str, str]],
        *,
        directory: str = "11111111-2222-3333-4444-555555555555",
        client: tuple[str, str] = ("app", "hunter2"),
        dcr: str = "dcr-0123456789abcdef0123456789abcdef",
        auxiliary: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        self.streams = streams
        self.directory = directory
        self.client = client
        self.dcr = dcr
        self.scope = "https://monitor.azure.com/.default"
        self.expires_in = 3599
        self.tokens: list[str] = []
        """The tokens that were given out, in order."""
        self.valid: set[str] = set()
        self.stored: dict[str, list[dict[str, Any]]] = {name: [] for name in streams}
        """Rows by stream."""
        self.times_replaced = 0
        self.lost: list[str] = []
        """What was silently dropped or cut."""
        self.refused: set[str] = set()
        """Event ids; a request with one of them is answered 400."""
        self._auxiliary = auxiliary
        self._now = now

    def handle(self, request: Request) -> Reply:
        if request.method != "POST":
            return _error(405, "MethodNotAllowed")
        if request.path.endswith("/oauth2/v2.0/token"):
            return self._token(request)
        return self._ingest(request)

    def ingested(self) -> list[Request]:
        """The requests that were no requests for a token."""
        return [request for request in self.requests if not request.path.endswith("/token")]

    def _token(self, request: Request) -> Reply:
        if request.path != f"/{self.directory}/oauth2/v2.0/token":
            return _login_error(400, "invalid_request", "AADSTS90002: Tenant not found.")
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return _login_error(400, "invalid_request", "AADSTS900144: body")
        form = dict(parse_qsl(request.body.decode(), strict_parsing=True))
        if form.keys() != {"grant_type", "client_id", "client_secret", "scope"}:
            return _login_error(400, "invalid_request", "AADSTS900144: parameters")
        if form["grant_type"] != "client_credentials":
            return _login_error(400, "unsupported_grant_type", "AADSTS70003")
        if form["client_id"] != self.client[0]:
            return _login_error(400, "unauthorized_client", "AADSTS700016: Application not found.")
        if form["client_secret"] != self.client[1]:
            quoted = f"AADSTS7000215: Invalid client secret provided: {form['client_secret']}"
            return _login_error(401, "invalid_client", quoted)
        if form["scope"] != self.scope:
            return _login_error(400, "invalid_scope", "AADSTS70011")
        self.tokens.append(f"token.{len(self.tokens)}")
        self.valid.add(self.tokens[-1])
        body = {"token_type": "Bearer", "expires_in": self.expires_in, "access_token": self.tokens[-1]}
        return Reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _ingest(self, request: Request) -> Reply:
        found = _PATH.fullmatch(request.path)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.valid:
            return _error(401, "InvalidAuthenticationToken")
        if found is None or found[1] != self.dcr:
            return _error(404, "NotFound")
        if found[2] not in self.streams:
            return _error(400, "InvalidStream")
        rows = self._rows(request)
        if isinstance(rows, Reply):
            return rows
        if any(row.get("EventId") in self.refused for row in rows):
            return _error(400, "InvalidPayload", "an event is " + str(rows))
        times = [_time(row["TimeGenerated"]) for row in rows if "TimeGenerated" in row]
        if self._auxiliary and times and max(times) - min(times) > _SPAN:
            return _error(400, "RecordsTimeRangeIsMoreThan30Minutes")
        for row in rows:
            self.stored[found[2]].append(self._kept(row, self.streams[found[2]]))
        return Reply(204, b"", {"x-ms-request-id": "c0ffee"})

    def _rows(self, request: Request) -> list[dict[str, Any]] | Reply:
        """The rows of a request, or why it is refused."""
        if request.headers.get("content-type") != "application/json":
            return _error(415, "UnsupportedMediaType")
        if request.headers.get("content-encoding", "identity") not in {"gzip", "identity"}:
            return _error(400, "InvalidContentEncoding")
        try:
            UUID(request.headers["x-ms-client-request-id"])
            is_gzip = request.headers.get("content-encoding") == "gzip"
            body = gzip.decompress(request.body) if is_gzip else request.body
            if max(len(body), len(request.body)) > _LARGEST:
                return _error(413, "ContentLengthLimitExceeded")
            rows = json.loads(body)
        except (KeyError, ValueError, OSError, EOFError, zlib.error):
            return _error(400, "InvalidRequest")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return _error(400, "InvalidPayload")
        return rows

    def _kept(self, row: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
        """A row as the table has it."""
        kept: dict[str, Any] = {}
        for name, value in row.items():
            size = len(value.encode()) if isinstance(value, str) else len(json.dumps(value).encode())
            if name not in columns or (value is not None and type(value) not in _TYPES[columns[name]]):
                self.lost.append(f"{name} is no column of that type")
            elif size > _FIELD:
                self.lost.append(f"{name} was cut")
            elif value is not None:
                kept[name] = _time(value) if columns[name] == "datetime" else value
        now = self._now()
        if not now - timedelta(days=2) <= kept.get("TimeGenerated", now) <= now + timedelta(days=1):
            kept["TimeGenerated"] = now
            self.times_replaced += 1
        return kept


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


def _error(status: int, code: str, message: str = "") -> Reply:
    body = {"error": {"code": code, "message": message}}
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json", "x-ms-error-code": code})


def _login_error(status: int, error: str, description: str) -> Reply:
    body = {"error": error, "error_description": description, "error_codes": []}
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json"})
