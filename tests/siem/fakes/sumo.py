"""A strict HTTP Logs and Metrics Source of Sumo Logic: who knows the URL may send, and lines become messages.

Limits and statuses: Sumo Logic documentation, "HTTP Logs and Metrics Source", "Upload Data to an HTTP Source" and
"Troubleshooting HTTP Sources". It takes what the real one takes without a word: lines that are too long are cut, and
behind a used-up ingest budget everything is dropped with a 200.
"""

import gzip
import re
import zlib
from dataclasses import dataclass
from typing import Final

from tests.siem.fakes.http import FakeServer, Reply, Request

_LARGEST: Final = 1_000_000
_LONGEST: Final = 65_536
_FIELDS: Final = re.compile(r"[^,=]+=[^,=]+(,[^,=]+=[^,=]+)*")
_METRICS: Final = ("application/vnd.sumologic.",)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that can be searched, and its metadata: category, name, host and fields, as the headers gave them."""

    line: bytes
    metadata: tuple[str | None, str | None, str | None, str | None]


class FakeSumo(FakeServer):
    """One collector. ``secret`` is the end of the URL that is valid."""

    def __init__(self, secret: str = "ZaVnC4dhaV1") -> None:  # noqa: S107 - made for the test
        super().__init__()
        self.secret = secret
        self.stored: list[Message] = []
        self.cut = 0
        """How many lines were too long."""
        self.over_budget = False
        """Whether what is sent is dropped."""

    @property
    def source(self) -> str:
        """The secret URL."""
        return f"{self.url}/receiver/v1/http/{self.secret}"

    def handle(self, request: Request) -> Reply:
        return self._take(request, None, 200)

    def handle_part(self, request: Request, count: int) -> Reply:
        """Processing takes too long, and the first messages are there nevertheless."""
        return self._take(request, count, 408)

    def _take(self, request: Request, count: int | None, status: int) -> Reply:
        if request.path != f"/receiver/v1/http/{self.secret}":
            return Reply(401 if request.path.startswith("/receiver/v1/http/") else 404)
        if request.method != "POST":
            return Reply(405)
        if request.headers.get("content-type", "").startswith(_METRICS):
            return Reply(400, b"not a metric")
        fields = request.headers.get("x-sumo-fields")
        if fields is not None and not _FIELDS.fullmatch(fields):
            return Reply(400, b"fields")
        encoding = request.headers.get("content-encoding", "identity")
        if encoding not in {"gzip", "identity"}:
            return Reply(415)
        try:
            content = gzip.decompress(request.body) if encoding == "gzip" else request.body
            content.decode("utf-8")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError):
            return Reply(400, b"not text")
        if len(content) > _LARGEST:
            return Reply(413)
        if not self.over_budget:
            metadata = tuple(request.headers.get(f"x-sumo-{name}") for name in ("category", "name", "host", "fields"))
            category, name, host, fields = metadata
            for line in [line for line in content.split(b"\n") if line][:count]:
                self.cut += len(line) > _LONGEST
                for start in range(0, len(line), _LONGEST):
                    self.stored.append(Message(line[start : start + _LONGEST], (category, name, host, fields)))
        return Reply(status)
