"""Landing: read what the outbox gained since the last landing, verify it, keep it exactly as found.

A landing is a few Parquet files and one commit object, ``landings/<n>.json``, created only if absent: whoever creates
number n has landed; everybody else's files for n are orphans. Where reading goes on (the cursors) is derived from the
last sealed day and the landings since, so there is no cursor to lose or to set wrong.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa

from lumi_pipeline.chain import Break, BreakKind, ChainEnd, ChainFold, ChainState
from lumi_pipeline.days import DAY_MICROS, day_end
from lumi_pipeline.errors import ConcurrentRun, LandingError, RecordError, ReplacedOutbox, RewoundOutbox
from lumi_pipeline.events import MIN_MICROS, from_micros
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.lake import Lake, in_parts
from lumi_pipeline.outbox import Outbox, Snapshot
from lumi_pipeline.overlapping import overlapped
from lumi_pipeline.records import StoredFile, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from lumi_pipeline.superseding import Superseded, effective, rewritten_landings
from lumi_pipeline.tenantdays import DayTenants
from transparency.encoding import excerpt
from transparency.errors import ObjectConflict

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


@dataclass(frozen=True, slots=True)
class LandingReport:
    """What a landing did. ``number`` is None when the outbox held nothing new. ``days`` counts rows by UTC day."""

    number: int | None
    rows: int
    tenants: int
    size: int
    breaks: tuple[Break, ...]
    days: Mapping[date, int]
    seconds: float


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


def land(outbox: Outbox, lake: Lake, sealed: DayTenants | None) -> LandingReport:
    """Land from one snapshot everything past what was landed already; ``sealed`` is the last sealed day, if any.

    Raises :class:`~lumi_pipeline.errors.RewoundOutbox` or :class:`~lumi_pipeline.errors.ReplacedOutbox` when the
    database contradicts what was already landed, and :class:`~lumi_pipeline.errors.ConcurrentRun` when another run
    committed this landing first. Broken rows are landed as they are and reported.
    """
    started = time.monotonic()
    last = last_landing(lake, sealed.landing_floor if sealed else 0)
    number, previous = (last.landing.number + 1, last.sha256) if last else (0, "")
    if last:
        _keep_only(lake, last.landing)
    # Only after the number is fixed: when another run takes that number from here on, ours is in conflict with it. The
    # other way round, the rows it landed would be landed once more, under the number after it.
    cursors = read_cursors(lake, sealed)
    with outbox.snapshot() as snapshot:
        if last and snapshot.system_id != last.landing.system_id:
            raise ReplacedOutbox(
                f"the outbox is another database ({snapshot.system_id}) than the one landed before "
                f"({last.landing.system_id}); nothing was read. Correct 'outbox', or put the original database back; "
                "when the database was restored on purpose, see: lumi landing rebase -h"
            )
        ahead = heads_ahead(snapshot, cursors)
        _check_announced(snapshot, ahead)
        if not ahead:
            return LandingReport(None, 0, 0, 0, (), {}, time.monotonic() - started)
        fold = ChainFold(_start(cursors, ahead), trees=False)
        rows = snapshot.rows([(tenant_id, fold.start(tenant_id).next_seq) for tenant_id in ahead])
        files, days = _keep(lake, number, rows, fold)
        tenants, breaks = _settle(fold, ahead)
        _check_continued(snapshot, cursors, breaks)
    landing = Landing(
        number,
        snapshot.system_id,
        previous,
        files,
        lake.put_parquet(f"{landed_prefix(number)}tenants", _tenants_table(tenants)),
        lake.put_parquet(f"{landed_prefix(number)}breaks", _breaks_table(breaks)) if breaks else None,
    )
    try:
        # The commit. A crash before it leaves orphans under landed/<n>/; the next run reads from the outbox again.
        lake.store.put_new(landing_key(number), landing.encode())
    except ObjectConflict:
        _keep_only(lake, Landing.parse(lake.store.get(landing_key(number)), landing_key(number)))
        raise ConcurrentRun(
            f"another run committed landing {number} first; nothing is lost: run again to land what came since"
        ) from None
    _keep_only(lake, landing)
    size, events = sum(file.size for file in files), sum(file.rows for file in files)
    return LandingReport(number, events, len(tenants), size, tuple(breaks), days, time.monotonic() - started)


def land_system(lake: Lake, last: LastLanding, system_id: str) -> Landing:
    """Commit a landing without events after ``last``: from here on landing reads the database ``system_id``.

    Raises :class:`~lumi_pipeline.errors.ConcurrentRun` when another run committed a landing of something else first.
    """
    number = last.landing.number + 1
    _keep_only(lake, last.landing)
    tenants = lake.put_parquet(f"{landed_prefix(number)}tenants", _tenants_table([]))
    landing = Landing(number, system_id, last.sha256, (), tenants, None)
    try:
        # The commit. A crash before it leaves a file that nothing lists; until then landing refuses the database.
        lake.store.put_new(landing_key(number), landing.encode())
    except ObjectConflict:
        landing = Landing.parse(lake.store.get(landing_key(number)), landing_key(number))
        if landing.system_id != system_id:
            raise ConcurrentRun(f"another run committed landing {number} first; look again") from None
    return landing


def _start(cursors: Mapping[str, Cursor], heads: Mapping[str, Cursor]) -> Callable[[str], ChainState]:
    """Where each tenant's chain goes on: behind its cursor, or at its genesis."""

    def start(tenant_id: str) -> ChainState:
        cursor = cursors.get(tenant_id)
        if cursor is None:
            return ChainState(0, genesis_hash(tenant_id, heads[tenant_id].chain_id), MIN_MICROS)
        return ChainState(cursor.next_seq, cursor.last_hash, cursor.not_before)

    return start


def _keep(
    lake: Lake, number: int, rows: Iterator[pa.Table], fold: ChainFold
) -> tuple[tuple[StoredFile, ...], dict[date, int]]:
    """Verify and write the rows part by part; return the files, and how many rows lie in each UTC day."""
    days: dict[date, int] = {}

    def verified() -> Iterator[tuple[int, pa.Table]]:
        for part in enumerate(in_parts(rows)):
            fold.add(part[1])
            _count_days(part[1], days)
            yield part

    def keep(part: tuple[int, pa.Table]) -> StoredFile:
        return lake.put_parquet(f"{landed_prefix(number)}part-{part[0]:05d}", part[1])

    return tuple(overlapped(keep, verified())), days


def _settle(fold: ChainFold, heads: Mapping[str, Cursor]) -> tuple[list[LandedTenant], list[Break]]:
    """Hold every tenant's rows against its head; return how far each was read, and all breaks."""
    tenants, breaks = [], []
    for tenant_id, head in heads.items():
        found = fold.finish(tenant_id, ChainEnd(head.next_seq, head.head))
        breaks += found.breaks
        # Rows past the head are landed too; then the cursor is past the head, and the next landing stops there until
        # the head is put right.
        reached = max(head.next_seq, found.state.next_seq)
        last_hash = found.state.head if found.state.next_seq == reached else head.head
        cursor = Cursor(head.chain_id, reached, head.head, found.state.not_before, last_hash)
        tenants.append(LandedTenant(tenant_id, found.start.next_seq, found.count, cursor))
    return tenants, breaks


def heads_ahead(snapshot: Snapshot, cursors: Mapping[str, Cursor]) -> dict[str, Cursor]:
    """Compare every chain head with our cursor; return those past it, or put right since, as the cursors to reach.

    Raises :class:`~lumi_pipeline.errors.RewoundOutbox` when a head is behind what was landed, or differs there.
    """
    heads = snapshot.heads()
    unseen = set(cursors)
    ahead = {}
    columns = (heads.column(name).to_pylist() for name in ("tenant_id", "chain_id", "next_seq", "head_hash"))
    for tenant_id, chain_id, next_seq, head in zip(*columns, strict=True):
        unseen.discard(tenant_id)
        cursor = cursors.get(tenant_id)
        if cursor is not None:
            _check_not_rewound(tenant_id, cursor, Cursor(chain_id, next_seq, head, 0, head))
        if next_seq > (cursor.next_seq if cursor else 0) or (cursor is not None and head != cursor.head):
            ahead[tenant_id] = Cursor(chain_id, next_seq, head, 0, head)
    if unseen:
        tenant_id = min(unseen)
        raise _rewound(tenant_id, cursors[tenant_id].next_seq, "its chain head is gone from the outbox")
    return ahead


def _check_announced(snapshot: Snapshot, ahead: Mapping[str, Cursor]) -> None:
    """Rows that no chain head announces would never be asked for; without this they would be lost in silence."""
    headless = snapshot.headless()
    if headless is not None:
        raise LandingError(
            f"the outbox holds events of tenant {headless}, but no chain head for it; nothing was landed. Somebody "
            "removed the head: restore it from a backup"
        )
    for tenant_id, seq in snapshot.past_heads().items():
        if tenant_id not in ahead:
            raise RewoundOutbox(
                tenant_id,
                seq,
                f"tenant {tenant_id} has an event at seq {seq}, past its chain head; nothing was landed. The head was "
                "set back, or the event was put there past the recorder: compare both with a backup; when the database "
                "was restored on purpose, see: lumi landing rebase -h",
            )


def _check_continued(snapshot: Snapshot, cursors: Mapping[str, Cursor], breaks: Sequence[Break]) -> None:
    """Tell a new row that was tampered with from a database that went on another way than what was landed.

    The latter is what an older dump looks like once applications have recorded past our cursor. The rows written until
    now count for nothing.
    """
    for found in breaks:
        cursor = cursors.get(found.tenant_id)
        if cursor is None or found.kind is not BreakKind.LINK or found.seq != cursor.next_seq:
            continue
        rows = snapshot.rows([(found.tenant_id, cursor.next_seq - 1)], chunk_rows=1)
        last = next(((row["seq"][0].as_py(), row["integrity_hash"][0].as_py()) for row in rows), None)
        if last is not None and last[0] == cursor.next_seq - 1 and last[1] != cursor.last_hash:
            raise _rewound(found.tenant_id, cursor.next_seq, f"the row at seq {last[0]} is another one now")


def _check_not_rewound(tenant_id: str, cursor: Cursor, head: Cursor) -> None:
    if head.chain_id != cursor.chain_id:
        raise _rewound(tenant_id, cursor.next_seq, "the chain was started anew (another chain_id)")
    if head.next_seq < cursor.next_seq:
        raise _rewound(tenant_id, cursor.next_seq, f"the chain head is back at seq {head.next_seq}")
    if head.next_seq == cursor.next_seq and head.head not in {cursor.head, cursor.last_hash}:
        found = f"the head hash was {cursor.head.hex()} when it was landed and is {head.head.hex()} now"
        raise _rewound(tenant_id, cursor.next_seq, found)


def _rewound(tenant_id: str, seq: int, found: str) -> RewoundOutbox:
    return RewoundOutbox(
        tenant_id,
        seq,
        f"tenant {tenant_id} was landed up to seq {seq}, but {found}: the outbox was rewound or rewritten. "
        "Nothing was read; when the database was restored on purpose, see: lumi landing rebase -h",
    )


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


def _keep_only(lake: Lake, landing: Landing) -> None:
    """Remove what runs that lost or crashed wrote for the number of a committed landing.

    Only for that: files of a higher number may be those of a run that is about to commit. A crash before this leaves
    files that count for nothing; the next landing removes them.
    """
    lake.remove_unlisted(landed_prefix(landing.number), landing.all_files)


def _count_days(part: pa.Table, days: dict[date, int]) -> None:
    numbers = np.asarray(part.column("recorded_at").cast(pa.int64()).to_numpy()) // DAY_MICROS
    for number, count in zip(*np.unique(numbers, return_counts=True), strict=True):
        day = from_micros(int(number) * DAY_MICROS).date()
        days[day] = days.get(day, 0) + int(count)


def _tenants_table(tenants: list[LandedTenant]) -> pa.Table:
    both = ((tenant, tenant.cursor) for tenant in tenants)
    rows = [(t.tenant_id, c.chain_id, t.first, c.next_seq, t.rows, c.head, c.not_before, c.last_hash) for t, c in both]
    return _table([*rows], _TENANTS)


def _breaks_table(breaks: list[Break]) -> pa.Table:
    return _table([(b.tenant_id, b.seq, b.kind.value, b.expected, b.found) for b in breaks], _BREAKS)


def _table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    values = zip(*rows, strict=True) if rows else [()] * len(schema)
    columns = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)
