"""Landing: read what the outbox gained since the last landing, verify it, keep it exactly as found.

A landing is a few Parquet files and one commit object, ``landings/<n>.json``, created only if absent: whoever creates
number n has landed; everybody else's files for n are orphans. Where reading goes on (the cursors) is derived from the
last sealed day and the landings since, so there is no cursor to lose or to set wrong.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.chain import Break, ChainEnd, ChainFold, ChainState
from lumi_pipeline.errors import ConcurrentRun, LandingError, RecordError, ReplacedOutbox, RewoundOutbox
from lumi_pipeline.events import MIN_MICROS, from_micros, to_micros
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.lake import Lake, decode_parquet, in_parts
from lumi_pipeline.outbox import Outbox, Snapshot
from lumi_pipeline.records import StoredFile, json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from transparency.encoding import Json
from transparency.errors import ObjectConflict

LANDING_FORMAT: Final = "lumi/landing/v1"
_FIELDS: Final = frozenset({"breaks", "files", "number", "previous", "system_id", "tenants"})
_TENANTS: Final = pa.schema(
    [
        ("tenant_id", pa.string()),
        ("chain_id", pa.binary(16)),
        ("first", pa.int64()),
        ("next", pa.int64()),
        ("rows", pa.int64()),
        ("head", pa.binary(32)),
        ("not_before", pa.int64()),
    ]
)
_BREAKS: Final = pa.schema([(name, pa.string()) for name in ("tenant_id", "kind", "expected", "found")] + [("seq", pa.int64())])


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one tenant's chain has been read: the next seq, the head it must link to, its latest time (µs)."""

    chain_id: bytes
    next_seq: int
    head: bytes
    not_before: int


@dataclass(frozen=True, slots=True)
class LandedTenant:
    """One tenant's share of a landing: seqs ``first`` to ``cursor.next_seq`` - 1, of which ``rows`` were there."""

    tenant_id: str
    first: int
    rows: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Landing:
    """The content of a landing's commit object. ``previous`` is the SHA-256 of the commit object before it."""

    number: int
    system_id: str
    previous: str
    files: tuple[StoredFile, ...]
    tenants: StoredFile
    breaks: StoredFile | None

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
class LandingReport:
    """What a landing did. ``number`` is None when the outbox held nothing new. ``days`` counts rows by UTC day."""

    number: int | None
    rows: int
    tenants: int
    bytes: int
    breaks: tuple[Break, ...]
    days: Mapping[date, int]
    seconds: float


def landing_key(number: int) -> str:
    """Key of a landing's commit object."""
    return f"landings/{number:012d}.json"


def landings(lake: Lake, floor: int = 0) -> Iterator[Landing]:
    """Yield the landings from number ``floor`` on, in order, each checked to follow the one before."""
    before: str | None = None
    expected: int | None = None
    for key in lake.store.list("landings/", start_after=landing_key(floor - 1) if floor else ""):
        data = lake.store.get(key)
        landing = Landing.parse(data, key)
        if expected is not None and (landing.number != expected or landing.previous != before):
            raise RecordError(f"{key} does not follow the landing before it: {landing_key(expected)} was lost or altered")
        before, expected = hashlib.sha256(data).hexdigest(), landing.number + 1
        yield landing


def landed_tenants(lake: Lake, landing: Landing) -> list[LandedTenant]:
    """Return the tenants that a landing read, with where it left each."""
    table = decode_parquet(lake.read(landing.tenants), landing.tenants.path).read()
    if not table.schema.equals(_TENANTS):
        raise RecordError(f"{landing.tenants.path} does not have the columns of landed tenants")
    return [
        LandedTenant(tenant_id, first, rows, Cursor(chain_id, after, head, not_before))
        for tenant_id, chain_id, first, after, rows, head, not_before in zip(
            *(column.to_pylist() for column in table.columns), strict=True
        )
    ]


def land(outbox: Outbox, lake: Lake, cursors: Mapping[str, Cursor], floor: int) -> LandingReport:
    """Land everything past ``cursors`` from one snapshot; ``floor`` is the first landing not sealed entirely.

    Raises :class:`~lumi_pipeline.errors.RewoundOutbox` or :class:`~lumi_pipeline.errors.ReplacedOutbox` when the
    database contradicts what was already landed, and :class:`~lumi_pipeline.errors.ConcurrentRun` when another run
    committed this landing first. Broken rows are landed as they are and reported.
    """
    started = time.monotonic()
    last = _last_landing(lake, floor)
    number, previous, system_id = (last[0].number + 1, last[1], last[0].system_id) if last else (0, "", None)
    _remove_orphans(lake, last[0] if last else None)
    with outbox.snapshot() as snapshot:
        if system_id is not None and snapshot.system_id != system_id:
            raise ReplacedOutbox(
                f"the outbox is another database ({snapshot.system_id}) than the one landed before ({system_id}); "
                "if it was restored on purpose, check it and run 'lumi landing rebase', otherwise correct 'outbox'"
            )
        ahead = _heads_ahead(snapshot, cursors)
        if not ahead:
            return LandingReport(None, 0, 0, 0, (), {}, time.monotonic() - started)
        return _land(lake, snapshot, ahead, cursors, number, previous, started)


def _land(  # noqa: PLR0913 - one call, from land()
    lake: Lake,
    snapshot: Snapshot,
    ahead: Mapping[str, Cursor],
    cursors: Mapping[str, Cursor],
    number: int,
    previous: str,
    started: float,
) -> LandingReport:
    def start(tenant_id: str) -> ChainState:
        cursor = cursors.get(tenant_id)
        if cursor is None:
            return ChainState(0, genesis_hash(tenant_id, ahead[tenant_id].chain_id), MIN_MICROS)
        return ChainState(cursor.next_seq, cursor.head, cursor.not_before)

    fold = ChainFold(start, trees=False)
    days: dict[date, int] = {}
    prefix = f"landed/{number:012d}/"
    files = []
    rows = snapshot.rows([(tenant_id, start(tenant_id).next_seq) for tenant_id in ahead])
    for part in in_parts(rows):
        fold.add(part)
        _count_days(part, days)
        files.append(lake.put_parquet(f"{prefix}part-{len(files):05d}", part))
    tenants, breaks = [], []
    for tenant_id, head in ahead.items():
        found = fold.finish(tenant_id, ChainEnd(head.next_seq, head.head))
        breaks += found.breaks
        # Rows past the head are landed too; then the cursor is past the head as well, and the next landing stops there.
        reached = max(head.next_seq, found.state.next_seq)
        cursor = Cursor(head.chain_id, reached, head.head, found.state.not_before)
        tenants.append(LandedTenant(tenant_id, found.start.next_seq, found.count, cursor))
    landing = Landing(
        number,
        snapshot.system_id,
        previous,
        tuple(files),
        lake.put_parquet(f"{prefix}tenants", _tenants_table(tenants)),
        lake.put_parquet(f"{prefix}breaks", _breaks_table(breaks)) if breaks else None,
    )
    try:
        # The commit. A crash before it leaves orphans under landed/<n>/, which the next run reads again from the outbox.
        lake.store.put_new(landing_key(number), landing.encode())
    except ObjectConflict:
        raise ConcurrentRun(
            f"another run committed landing {number} first; nothing is lost: run again to land what came since"
        ) from None
    total = sum(file.rows for file in files)
    size = sum(file.bytes for file in files)
    return LandingReport(number, total, len(tenants), size, tuple(breaks), days, time.monotonic() - started)


def _heads_ahead(snapshot: Snapshot, cursors: Mapping[str, Cursor]) -> dict[str, Cursor]:
    """Compare every chain head with our cursor; return the heads that are past it, as the cursors to reach."""
    heads = snapshot.heads()
    unseen = set(cursors)
    ahead = {}
    columns = (heads.column(name).to_pylist() for name in ("tenant_id", "chain_id", "next_seq", "head_hash"))
    for tenant_id, chain_id, next_seq, head in zip(*columns, strict=True):
        unseen.discard(tenant_id)
        cursor = cursors.get(tenant_id)
        if cursor is not None:
            _check_not_rewound(tenant_id, cursor, Cursor(chain_id, next_seq, head, 0))
        if next_seq > (cursor.next_seq if cursor else 0):
            ahead[tenant_id] = Cursor(chain_id, next_seq, head, 0)
    if unseen:
        tenant_id = min(unseen)
        raise _rewound(tenant_id, cursors[tenant_id].next_seq, "its chain head is gone from the outbox")
    return ahead


def _check_not_rewound(tenant_id: str, cursor: Cursor, head: Cursor) -> None:
    if head.chain_id != cursor.chain_id:
        raise _rewound(tenant_id, cursor.next_seq, "the chain was started anew (another chain_id)")
    if head.next_seq < cursor.next_seq:
        raise _rewound(tenant_id, cursor.next_seq, f"the chain head is back at seq {head.next_seq}")
    if head.next_seq == cursor.next_seq and head.head != cursor.head:
        found = f"the head hash was {cursor.head.hex()} when it was landed and is {head.head.hex()} now"
        raise _rewound(tenant_id, cursor.next_seq, found)


def _rewound(tenant_id: str, seq: int, found: str) -> RewoundOutbox:
    return RewoundOutbox(
        tenant_id,
        seq,
        f"tenant {tenant_id} was landed up to seq {seq}, but {found}: the outbox was rewound or rewritten. "
        "Nothing was read; compare it with the landed rows before anything else",
    )


def _last_landing(lake: Lake, floor: int) -> tuple[Landing, str] | None:
    """The newest landing and the SHA-256 of its commit object; looks from just below ``floor`` on."""
    key = max(lake.store.list("landings/", start_after=landing_key(max(floor - 2, 0)) if floor > 1 else ""), default=None)
    if key is None:
        if floor:
            raise LandingError(f"sealed days come from landings up to {floor - 1}, but their commit objects are gone")
        return None
    data = lake.store.get(key)
    return Landing.parse(data, key), hashlib.sha256(data).hexdigest()


def _remove_orphans(lake: Lake, last: Landing | None) -> None:
    """Remove what a run that lost or crashed left of the last landing's number.

    Only there: files of a higher number may be those of a run that is about to commit.
    """
    if last is not None:
        listed = [*last.files, last.tenants, *([last.breaks] if last.breaks else [])]
        lake.remove_unlisted(f"landed/{last.number:012d}/", listed)


def _count_days(part: pa.Table, days: dict[date, int]) -> None:
    counts = pc.value_counts(pc.floor_temporal(part.column("recorded_at"), unit="day")).to_pylist()
    for item in counts:
        day = item["values"].date()
        days[day] = days.get(day, 0) + item["counts"]


def _tenants_table(tenants: list[LandedTenant]) -> pa.Table:
    rows = [
        (t.tenant_id, t.cursor.chain_id, t.first, t.cursor.next_seq, t.rows, t.cursor.head, t.cursor.not_before)
        for t in tenants
    ]
    return _table(rows, _TENANTS)


def _breaks_table(breaks: list[Break]) -> pa.Table:
    return _table([(b.tenant_id, b.kind.value, b.expected, b.found, b.seq) for b in breaks], _BREAKS)


def _table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)
