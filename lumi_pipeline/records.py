"""The two private commitments behind a day record: tenant-day records and the manifest (docs/formats.md §3, §5)."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from lumi_pipeline.errors import RecordError
from transparency.encoding import (
    Json,
    b64decode,
    b64encode,
    canonical_json,
    decode_text,
    hex_decode,
    parse_canonical_json,
    parse_day,
    parse_decimal,
)
from transparency.errors import EncodingError

TENANT_DAY_TAG: Final = "lumi/tenant-day/v1"
MANIFEST_FORMAT: Final = "lumi/manifest/v1"
_MAX_RECORD = 2048
_MAX_MANIFEST = 64 * 2**20
_FIELDS = ("day", "tenant", "first", "count", "next", "root", "head-before", "head-after", "breaks")


@dataclass(frozen=True, slots=True)
class TenantDay:
    """What one tenant's chain did on one day; its bytes are what the tenant map commits to.

    ``key`` is the 32-byte tenant key, ``root`` the event tree's root, heads are integrity hashes (or the genesis hash).
    """

    day: date
    key: bytes
    first: int
    count: int
    next: int
    root: bytes
    head_before: bytes
    head_after: bytes
    breaks: int

    def encode(self) -> bytes:
        """The record's exact bytes."""
        return (
            f"{TENANT_DAY_TAG}\nday {self.day.isoformat()}\ntenant {self.key.hex()}\nfirst {self.first}\n"
            f"count {self.count}\nnext {self.next}\nroot {b64encode(self.root)}\nhead-before {self.head_before.hex()}\n"
            f"head-after {self.head_after.hex()}\nbreaks {self.breaks}\n"
        ).encode()

    @classmethod
    def parse(cls, data: bytes) -> "TenantDay":
        """Read a record; raise :class:`~lumi_pipeline.errors.RecordError` unless it is exactly in form."""
        try:
            lines = decode_text(data, _MAX_RECORD, "it").split("\n")
            fields = [line.partition(" ") for line in lines[1:-1]]
            if lines[0] != TENANT_DAY_TAG or lines[-1] != "" or tuple(name for name, _, _ in fields) != _FIELDS:
                raise EncodingError("its lines are not those of a tenant-day record")
            day, key, first, count, after, root, head_before, head_after, breaks = (value for _, _, value in fields)
            return cls(
                parse_day(day),
                hex_decode(key, 32),
                parse_decimal(first),
                parse_decimal(count),
                parse_decimal(after),
                b64decode(root, 32),
                hex_decode(head_before, 32),
                hex_decode(head_after, 32),
                parse_decimal(breaks),
            )
        except EncodingError as error:
            raise RecordError(f"not a tenant-day record: {error}") from None

    @property
    def unbroken(self) -> bool:
        """Whether the record claims an intact chain, and its own numbers agree with that."""
        return self.breaks == 0 and self.next == self.first + self.count


@dataclass(frozen=True, slots=True, order=True)
class StoredFile:
    """A file of the lake as the manifest pins it: key, size in bytes, rows, hexadecimal SHA-256."""

    path: str
    size: int
    rows: int
    sha256: str

    def to_json(self) -> dict[str, Json]:
        """The file as a JSON object of a manifest or a landing."""
        return {"bytes": str(self.size), "path": self.path, "rows": str(self.rows), "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Json) -> "StoredFile":
        """Read what :meth:`to_json` wrote; raise :class:`~lumi_pipeline.errors.RecordError` otherwise."""
        if not isinstance(value, dict) or set(value) != {"bytes", "path", "rows", "sha256"}:
            raise RecordError("a file is described by bytes, path, rows and sha256")
        path, digest = json_text(value["path"]), json_text(value["sha256"])
        hex_decode(digest, 32)
        return cls(path, json_count(value["bytes"]), json_count(value["rows"]), digest)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The private inventory of a sealed day; its SHA-256 is in the public day record."""

    day: date
    events: int
    tenants: int
    breaks: int
    files: tuple[StoredFile, ...]
    software: dict[str, str]

    def encode(self) -> bytes:
        """The manifest's exact bytes: canonical JSON and a line feed."""
        software: dict[str, Json] = dict(self.software)
        value: Json = {
            "breaks": self.breaks,
            "day": self.day.isoformat(),
            "events": str(self.events),
            "files": [file.to_json() for file in sorted(self.files)],
            "format": MANIFEST_FORMAT,
            "software": software,
            "tenants": str(self.tenants),
        }
        return canonical_json(value).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Read a manifest; raise :class:`~lumi_pipeline.errors.RecordError` unless it is canonical and complete."""
        try:
            if not data.endswith(b"\n"):
                raise EncodingError("it does not end in a line feed")
            value = parse_canonical_json(data[:-1], _MAX_MANIFEST)
            names = {"breaks", "day", "events", "files", "format", "software", "tenants"}
            if not isinstance(value, dict) or set(value) != names or value["format"] != MANIFEST_FORMAT:
                raise EncodingError("its fields are not those of a manifest")
            files, software, breaks = value["files"], value["software"], value["breaks"]
            if not isinstance(files, list) or not isinstance(software, dict) or type(breaks) is not int or breaks < 0:
                raise EncodingError("a field has the wrong type")
            parsed = tuple(StoredFile.from_json(file) for file in files)
            if list(parsed) != sorted(parsed) or len({file.path for file in parsed}) != len(parsed):
                raise EncodingError("its files are not sorted by path, each once")
            return cls(
                parse_day(json_text(value["day"])),
                json_count(value["events"]),
                json_count(value["tenants"]),
                breaks,
                parsed,
                {name: json_text(version) for name, version in software.items()},
            )
        except (EncodingError, RecordError) as error:
            raise RecordError(f"not a manifest: {error}") from None


def json_text(value: Json) -> str:
    """``value`` if it is text; :class:`~lumi_pipeline.errors.RecordError` otherwise."""
    if not isinstance(value, str):
        raise RecordError(f"expected text, found {type(value).__name__}")
    return value


def json_count(value: Json) -> int:
    """A count that is written as decimal text, as everything counted in int64 is."""
    try:
        return parse_decimal(json_text(value))
    except EncodingError as error:
        raise RecordError(str(error)) from None
