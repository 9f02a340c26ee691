"""Verifying the outbox: every chain from its beginning, held against what was landed and sealed."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.acknowledging import declared_breaks
from lumi_pipeline.chain import Break, ChainEnd, ChainFold, ChainState, Gap
from lumi_pipeline.days import day_end
from lumi_pipeline.erasure.confirming import Erasures
from lumi_pipeline.errors import (
    LandingError,
    ReplacedOutbox,
    UnfinishedPruning,
)
from lumi_pipeline.events import MIN_MICROS, from_micros, to_micros
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.judgements import Found, judged, raise_found, spelled_out
from lumi_pipeline.lake import Lake
from lumi_pipeline.landing import heads_ahead
from lumi_pipeline.landings import Cursor, landings, read_cursors
from lumi_pipeline.outbox import Outbox, Snapshot
from lumi_pipeline.prunedgaps import read_gaps
from lumi_pipeline.pruning.confirming import AGAIN
from lumi_pipeline.sealing import Progress
from lumi_pipeline.tenantdays import DayTenants
from lumi_pipeline.verdict import Verdict
from transparency.encoding import format_timestamp
from transparency.errors import VerificationError


def verify_outbox(
    outbox: Outbox, lake: Lake, sealed: DayTenants | None, erasures: Erasures, progress: Progress | None = None
) -> Verdict:
    """Recompute every chain in the outbox from its beginning, and hold it against what was landed."""

    def check() -> Found:
        # Read before the snapshot is taken: what is landed meanwhile must not look like rows that the outbox has lost.
        last = max(landings(lake, sealed.landing_floor if sealed else 0), key=lambda x: x.number, default=None)
        cursors = read_cursors(lake, sealed)
        with outbox.snapshot() as snapshot:
            if last is not None and snapshot.system_id != last.system_id:
                raise ReplacedOutbox(
                    f"the outbox is another database than the one landed before ({last.system_id}); when it was "
                    "restored on purpose, see: lumi landing rebase -h"
                )
            heads_ahead(snapshot, cursors)
            gaps = read_gaps(lake, [day for day in lake.sealed_days() if sealed and day <= sealed.day])
            fold, breaks = _fold_outbox(snapshot, cursors, gaps, progress)
            declared = declared_breaks(lake) if breaks else set()
            undeclared = [found for found in breaks if (found.tenant_id, found.seq, found.kind.value) not in declared]
            raise_found(undeclared, list(_closing_problems(snapshot, fold, sealed)))
        erasures.check("outbox", fold.tenants)
        _check_no_leftovers(fold)
        erasures.check_carried_out("outbox", fold.tenants)
        if breaks:
            found = "\n".join(spelled_out(breaks))
            raise VerificationError("declared-break", f"{len(breaks)} break(s), all acknowledged:\n{found}")
        rows = sum(tenant.count for tenant in fold.tenants.values())
        line = f"{rows} event(s) of {len(fold.tenants)} tenant(s) in the outbox; what was landed of them is unchanged."
        return Found(line, events=rows)

    return judged("outbox", check)


def _fold_outbox(
    snapshot: Snapshot, cursors: dict[str, Cursor], gaps: Mapping[str, Sequence[Gap]], progress: Progress | None
) -> tuple[ChainFold, list[Break]]:
    heads = snapshot.heads()
    columns = (heads.column(name).to_pylist() for name in ("tenant_id", "chain_id", "next_seq", "head_hash"))
    known = {
        tenant_id: Cursor(chain_id, after, head, 0, head)
        for tenant_id, chain_id, after, head in zip(*columns, strict=True)
    }
    fold = ChainFold(lambda t: ChainState(0, genesis_hash(t, known[t].chain_id), MIN_MICROS), trees=False, gaps=gaps)
    breaks: list[Break] = []
    for table in snapshot.rows([(tenant_id, 0) for tenant_id in known]):
        fold.add(table)
        _check_landed(table, cursors)
        if progress:
            progress(len(table))
    for tenant_id, head in known.items():
        breaks += fold.finish(tenant_id, ChainEnd(head.next_seq, head.head)).breaks
    return fold, breaks


def _check_no_leftovers(fold: ChainFold) -> None:
    leftover = {tenant_id: rows.leftover for tenant_id, rows in fold.tenants.items() if rows.leftover}
    if leftover:
        raise UnfinishedPruning(
            f"the outbox still holds {sum(leftover.values())} row(s) of {len(leftover)} tenant(s), {min(leftover)} "
            "among them, of days that were pruned: it was interrupted, or a backup from before was restored; "
            f"{AGAIN}"
        )


def _closing_problems(snapshot: Snapshot, fold: ChainFold, sealed: DayTenants | None) -> Iterator[str]:
    """What keeps new events out of closed days must be as recorder and closing left it, and no chain without head."""
    closed = to_micros(snapshot.closed_before)
    if sealed is not None and closed < day_end(sealed.day):
        yield f"audit_close was altered: {from_micros(closed):%Y-%m-%d} is open, and {sealed.day} is sealed"
    headless = snapshot.headless()
    if headless is not None:
        yield f"tenant {headless} has events but no chain head, so they are never landed; restore the head"
    heads = snapshot.heads()
    times: list[int] = heads.column("last_recorded_at").cast(pa.int64()).to_numpy().tolist()
    for tenant_id, found in zip(heads.column("tenant_id").to_pylist(), times, strict=True):
        rows = fold.tenants[str(tenant_id)].state
        expected = max(rows.not_before, closed)
        if found != expected:
            yield (
                f"tenant {tenant_id} seq {rows.next_seq}: the next event could be given any time from "
                f"{format_timestamp(from_micros(found))} on, and not {format_timestamp(from_micros(expected))}; "
                "last_recorded_at of its chain head was altered"
            )


def _check_landed(rows: pa.Table, cursors: dict[str, Cursor]) -> None:
    """The last landed row of each tenant still has the hash it was landed with; the chain then pins all before it."""
    landed = pa.table(
        {
            "tenant_id": pa.array(list(cursors), pa.string()),
            "seq": pa.array([cursor.next_seq - 1 for cursor in cursors.values()], pa.int64()),
            "head": pa.array([cursor.head for cursor in cursors.values()], pa.binary()),
        }
    )
    hashes = rows.select(["tenant_id", "seq", "integrity_hash"])
    met = hashes.join(landed, ["tenant_id", "seq"], join_type="inner")
    for row in met.filter(pc.not_equal(met.column("integrity_hash").cast(pa.binary()), met.column("head"))).to_pylist():
        raise LandingError(
            f"tenant {row['tenant_id']} seq {row['seq']}: the outbox's chain was rewritten, its hash is "
            f"{row['integrity_hash'].hex()} and was landed as {row['head'].hex()}"
        )
