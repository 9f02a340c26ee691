"""A strict intake of Datadog Logs: it answers 202 to what it will drop, as the real one does.

Limits and statuses: Datadog API reference, "Send logs" (v2). The six attributes that hold a log's date: Datadog, "Log
Configuration: Pipelines", date attribute. What is older than 18 hours, or more than two ahead, was seen to be dropped
after a 202.
"""

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.siem.fakes.http import FakeServer, Reply, Request

_DATES: Final = ("timestamp", "date", "_timestamp", "Timestamp", "eventTime", "published_date")
_LARGEST: Final = 5_000_000
_LARGEST_LOG: Final = 1_000_000
_MOST: Final = 1000
_OLDER: Final = timedelta(hours=18)
_AHEAD: Final = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Stored:
    """A log that can be found: what was sent, the time it is listed under, and the key it came with."""

    log: dict[str, Any]
    time: datetime
    key: str


class FakeDatadog(FakeServer):
    """The intake, with the keys that are valid. ``now`` is its clock, ``intake`` the URL that logs go to."""

    def __init__(self, *keys: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__()
        self.intake = f"{self.url}/api/v2/logs"
        self.keys = set(keys or ("hunter2",))
        self.stored: list[Stored] = []
        self.dropped: list[dict[str, Any]] = []
        """Logs that were too old or too far ahead: accepted, and nowhere to be found."""
        self.truncated = 0
        self.refused: set[str] = set()
        """Event ids; a request with one of them is answered 400."""
        self._now = now

    def event_ids(self) -> list[str]:
        """The event ids of what is stored, in order, each as often as it is there."""
        with self.lock:
            return [stored.log["lumi"]["event_id"] for stored in self.stored]

    def handle(self, request: Request) -> Reply:
        logs = self._head(request) or _logs(request)
        if isinstance(logs, Reply):
            return logs
        if any(log.get("lumi", {}).get("event_id") in self.refused for log in logs):
            return _errors(400, "Bad Request")
        for log in logs:
            self._keep(log, request.headers["dd-api-key"])
        return Reply(202, b"{}", {"Content-Type": "application/json"})

    def _head(self, request: Request) -> Reply | None:
        """The refusal of a request that is none of the intake's or has no valid key; None if nothing is wrong."""
        key = request.headers.get("dd-api-key")
        if request.path.partition("?")[0] != "/api/v2/logs":
            return _errors(404, "Not Found")
        if request.method != "POST":
            return _errors(405, "Method Not Allowed")
        if key is None:
            return _errors(401, "Unauthorized")
        if key not in self.keys:
            return _errors(403, "Forbidden")
        if request.headers.get("content-type") != "application/json":
            return _errors(415, "Unsupported Media Type")
        return None

    def _keep(self, log: dict[str, Any], key: str) -> None:
        now = self._now()
        time = _date(log) or now
        if time < now - _OLDER or time > now + _AHEAD:
            self.dropped.append(log)
            return
        if len(json.dumps(log, ensure_ascii=False, separators=(",", ":")).encode()) > _LARGEST_LOG:
            self.truncated += 1
        self.stored.append(Stored(log, time, key))


def _logs(request: Request) -> list[dict[str, Any]] | Reply:
    """The logs of a body, or its refusal."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding not in {"gzip", "identity"}:
        return _errors(415, "Unsupported Media Type")
    try:
        body = gzip.decompress(request.body) if encoding == "gzip" else request.body
        logs = json.loads(body)
    except (OSError, EOFError, zlib.error, ValueError):
        return _errors(400, "Bad Request", "invalid JSON")
    logs = logs if isinstance(logs, list) else [logs]
    if len(body) > _LARGEST or len(logs) > _MOST:
        return _errors(413, "Payload Too Large")
    if not all(isinstance(log, dict) for log in logs):
        return _errors(400, "Bad Request", "a log is not an object")
    return logs


def _date(log: dict[str, Any]) -> datetime | None:
    """A log's own date: milliseconds since 1970 or ISO 8601; what can't be read does not count."""
    for name in _DATES:
        value = log.get(name)
        try:
            if isinstance(value, str):
                return datetime.fromisoformat(value).astimezone(UTC)
            if isinstance(value, int | float):
                return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
        except (ValueError, OverflowError):
            continue
    return None


def _errors(status: int, title: str, detail: str = "") -> Reply:
    error = {"status": str(status), "title": title, "detail": detail}
    return Reply(status, json.dumps({"errors": [error]}).encode(), {"Content-Type": "application/json"})
