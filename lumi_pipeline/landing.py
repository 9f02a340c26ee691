"""Landing: read what the outbox gained since the last landing, verify it, keep it exactly as found.

A landing is a few Parquet files and one commit object, ``landings/<n>.json``, created only if absent: whoever creates
number n has landed; everybody else's files for n are orphans. Where reading goes on (the cursors) is derived from the
last sealed day and the landings since, so there is no cursor to lose or to set wrong.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from lumi_pipeline.chain import Break, BreakKind, ChainEnd, ChainFold, ChainState
from lumi_pipeline.cutting import SMALL_GROUPS, in_parts
from lumi_pipeline.days import DAY_MICROS
from lumi_pipeline.errors import ConcurrentRun, LandingError, ReplacedOutbox, RewoundOutbox
from lumi_pipeline.events import MIN_MICROS, from_micros
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.lake import Lake
from lumi_pipeline.landings import (
    Cursor,
    LandedTenant,
    Landing,
    LastLanding,
    breaks_table,
    landed_prefix,
    landing_key,
    last_landing,
    read_cursors,
    tenants_table,
)
from lumi_pipeline.outbox import Outbox, Snapshot
from lumi_pipeline.overlapping import overlapped
from lumi_pipeline.records import StoredFile
from lumi_pipeline.tenantdays import DayTenants
from transparency.errors import ObjectConflict


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
        lake.put_parquet(f"{landed_prefix(number)}tenants", tenants_table(tenants)),
        lake.put_parquet(f"{landed_prefix(number)}breaks", breaks_table(breaks)) if breaks else None,
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
    tenants = lake.put_parquet(f"{landed_prefix(number)}tenants", tenants_table([]))
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
        return lake.put_parquet(f"{landed_prefix(number)}part-{part[0]:05d}", part[1], limit=SMALL_GROUPS)

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
