"""Landings as they lie in the lake: a commit object each, what it lists, and how far every tenant was read.

A landing counts once its commit object is there, and each names the one before by its SHA-256, so that none can be
left out or put in between unnoticed.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import pyarrow as pa

from lumi_pipeline.chain import Break, BreakKind
from lumi_pipeline.days import day_end
from lumi_pipeline.errors import LandingError, RecordError
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import StoredFile, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from lumi_pipeline.superseding import Superseded, effective, rewritten_landings
from lumi_pipeline.tenantdays import DayTenants
from transparency.encoding import excerpt

LANDING_FORMAT: Final = "lumi/landing/v1"

_FIELDS: Final = frozenset({"breaks", "files", "number", "previous", "system_id", "tenants"})
_TENANTS_TYPES: Final[Mapping[str, pa.DataType]] = {
    "tenant_id": pa.string(),
    "chain_id": pa.binary(16),
    "first": pa.int64(),
    "next": pa.int64(),
    "rows": pa.int64(),
    "head": pa.binary(32),
    "not_before": pa.int64(),
    "last_hash": pa.binary(32),
}
_TENANTS: Final = pa.schema(_TENANTS_TYPES)
_BREAKS_TYPES: Final[Mapping[str, pa.DataType]] = {
    "tenant_id": pa.string(),
    "seq": pa.int64(),
    "kind": pa.string(),
    "expected": pa.string(),
    "found": pa.string(),
}
_BREAKS: Final = pa.schema(_BREAKS_TYPES)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one tenant's chain has been read: the next seq, the head as it was found, its latest time (µs).

    ``last_hash`` is the hash of the last row itself, which the next row must link to. Where the two differ the head
    was wrong, and a head that is put right later is no contradiction.
    """

    chain_id: bytes
    next_seq: int
    head: bytes
    not_before: int
    last_hash: bytes


@dataclass(frozen=True, slots=True)
class LandedTenant:
    """One tenant's share of a landing: seqs ``first`` to ``cursor.next_seq`` - 1, of which ``rows`` were there."""

    tenant_id: str
    first: int
    rows: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Landing:
    """The content of a landing's commit object, ``superseded`` aside; ``previous`` is the SHA-256 of the one before.

    ``superseded`` are the records of erasures that rewrote some of its files.
    """

    number: int
    system_id: str
    previous: str
    files: tuple[StoredFile, ...]
    tenants: StoredFile
    breaks: StoredFile | None
    superseded: tuple[Superseded, ...] = ()

    @property
    def event_files(self) -> tuple[StoredFile, ...]:
        """The files that hold the landing's events now, in order: those it wrote, or what took their place."""
        return effective(self.files, self.superseded)

    @property
    def all_files(self) -> tuple[StoredFile, ...]:
        """Every file that the landing wrote: events, tenants, breaks."""
        return (*self.files, self.tenants, *([self.breaks] if self.breaks else []))

    def encode(self) -> bytes:
        """The commit object's bytes."""
        return encode_sealed(
            LANDING_FORMAT,
            {
                "breaks": self.breaks.to_json() if self.breaks else None,
                "files": [file.to_json() for file in self.files],
                "number": self.number,
                "previous": self.previous,
                "system_id": self.system_id,
                "tenants": self.tenants.to_json(),
            },
        )

    @classmethod
    def parse(cls, data: bytes, key: str) -> "Landing":
        """Read a commit object; :class:`~lumi_pipeline.errors.RecordError` naming ``key`` when it was altered."""
        value = parse_sealed(LANDING_FORMAT, data, _FIELDS, key)
        files, number = value["files"], value["number"]
        if not isinstance(files, list) or type(number) is not int or landing_key(number) != key:
            raise RecordError(f"{key} was altered: it describes another landing")
        return cls(
            number,
            json_text(value["system_id"]),
            json_text(value["previous"]),
            tuple(StoredFile.from_json(file) for file in files),
            StoredFile.from_json(value["tenants"]),
            None if value["breaks"] is None else StoredFile.from_json(value["breaks"]),
        )


@dataclass(frozen=True, slots=True)
class LastLanding:
    """The newest landing, and the SHA-256 of its commit object."""

    landing: Landing
    sha256: str


def landed_prefix(number: int) -> str:
    """Where a landing's files lie."""
    return f"landed/{number:012d}/"


def landing_key(number: int) -> str:
    """Key of a landing's commit object."""
    return f"landings/{number:012d}.json"


def landings(lake: Lake, floor: int = 0) -> Iterator[Landing]:
    """Yield the landings from number ``floor`` on, in order, each checked to follow the one before."""
    before: str | None = None
    expected = floor
    keys = list(lake.store.list("landings/", start_after=landing_key(floor - 1) if floor else ""))
    rewritten = rewritten_landings(lake, floor)
    for key, data in zip(keys, lake.side_by_side(lake.store.get, keys), strict=True):
        landing = Landing.parse(data, key)
        # Also the first: what follows a lost one would be read as if nothing had been in it.
        if landing.number != expected or before not in (None, landing.previous):
            raise RecordError(f"{key} does not follow the one before: {landing_key(expected)} was lost or altered")
        before, expected = hashlib.sha256(data).hexdigest(), landing.number + 1
        yield replace(landing, superseded=rewritten.get(landing.number, ()))


def landed_tenants(lake: Lake, landing: Landing) -> list[LandedTenant]:
    """Return the tenants that a landing read, with where it left each."""
    table = lake.read_table(landing.tenants, _TENANTS)
    return [
        LandedTenant(tenant_id, first, rows, Cursor(chain_id, after, head, not_before, last_hash))
        for tenant_id, chain_id, first, after, rows, head, not_before, last_hash in zip(
            *(column.to_pylist() for column in table.columns), strict=True
        )
    ]


def landed_breaks(lake: Lake, landing: Landing) -> Iterator[Break]:
    """Yield the breaks that a landing found."""
    if landing.breaks is None:
        return
    table = lake.read_table(landing.breaks, _BREAKS)
    for tenant_id, seq, kind, expected, found in zip(*(column.to_pylist() for column in table.columns), strict=True):
        try:
            yield Break(tenant_id, seq, BreakKind(kind), expected, found)
        except ValueError:
            raise RecordError(f"{landing.breaks.path}: {excerpt(kind)} is not a kind of break") from None


def read_cursors(lake: Lake, sealed: DayTenants | None) -> dict[str, Cursor]:
    """How far every tenant was read: what the last sealed day says, and what was landed since."""
    cursors = {}
    if sealed is not None:
        end = day_end(sealed.day)
        for tenant_id, tenant in sealed.tenants.items():
            head = tenant.record.head_after
            cursors[tenant_id] = Cursor(tenant.chain_id, tenant.record.next, head, end, head)
    since = landings(lake, sealed.landing_floor if sealed else 0)
    for shares in lake.side_by_side(partial(landed_tenants, lake), since):
        cursors.update({share.tenant_id: share.cursor for share in shares})
    return cursors


def last_landing(lake: Lake, floor: int) -> LastLanding | None:
    """Find the newest landing, looking from just below ``floor`` on."""
    start_after = landing_key(floor - 2) if floor > 1 else ""
    key = max(lake.store.list("landings/", start_after=start_after), default=None)
    if key is None:
        if floor:
            raise LandingError(f"sealed days come from landings up to {floor - 1}, but their commit objects are gone")
        return None
    data = lake.store.get(key)
    return LastLanding(Landing.parse(data, key), hashlib.sha256(data).hexdigest())


def tenants_table(tenants: list[LandedTenant]) -> pa.Table:
    """What a landing read of each tenant, as :func:`landed_tenants` reads it."""
    both = ((tenant, tenant.cursor) for tenant in tenants)
    rows = [(t.tenant_id, c.chain_id, t.first, c.next_seq, t.rows, c.head, c.not_before, c.last_hash) for t, c in both]
    return _table([*rows], _TENANTS)


def breaks_table(breaks: list[Break]) -> pa.Table:
    """The breaks that a landing found, as :func:`landed_breaks` reads them."""
    return _table([(b.tenant_id, b.seq, b.kind.value, b.expected, b.found) for b in breaks], _BREAKS)


def _table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    values = zip(*rows, strict=True) if rows else [()] * len(schema)
    columns = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)
