"""What was written in place of committed files, by an erasure or a pruning, has to give the hashes of before.

The record of a superseded file lies beside it, and whoever can write the one can write the other. So before a reader
uses rows of such a file, everything that was committed is recomputed: of a sealed day the tenant-day records, which the
log pins, of a landing the ends of its chains. Rows may have lost their payload where an order names them; that these
orders were given is for ``lumi verify --all`` to say, which asks the operator's chain.
"""

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.chain import BreakKind, ChainEnd, ChainFold, ChainState, TenantRows
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.erasure.orders import OrderedRows, Outcome, read_orders
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import MIN_MICROS
from lumi_pipeline.lake import Lake
from lumi_pipeline.landings import Landing, landed_breaks, landed_tenants
from lumi_pipeline.records import StoredFile
from lumi_pipeline.sealedday import SealedDay


def check_rewritten_day(lake: Lake, sealed: SealedDay) -> None:
    """Recompute what is there of a sealed day whose files are not those that it was sealed with; nothing otherwise.

    Raises :class:`~lumi_pipeline.errors.LakeError` when its rows are not those that the day was sealed with.
    """
    if not sealed.superseded and sealed.pruned is None:
        return
    day, known = sealed.record.day, sealed.present

    def start(tenant_id: str) -> ChainState:
        if tenant_id not in known:
            raise LakeError(f"{day}: rows of tenant {tenant_id}, which has no tenant-day record, or was pruned")
        record = known[tenant_id].record
        return ChainState(record.first, record.head_before, day_start(day))

    fold = ChainFold(start, until=day_end(day))
    for file in sealed.event_files:
        for table in lake.read_events(file):
            fold.add(table)
    for tenant_id, tenant in known.items():
        record = tenant.record
        rows = fold.finish(tenant_id, ChainEnd(record.next, record.head_after))
        if (rows.count, rows.tree.root(), len(rows.breaks)) != (record.count, record.root, record.breaks):
            raise LakeError(
                f"{day}: the rows of tenant {tenant_id} in files that an erasure or a pruning wrote do not give what "
                "the day was sealed with: they were altered; restore them from a backup, and erase again"
            )
    _check_erased(lake, str(day), fold.tenants)


def check_rewritten_landing(lake: Lake, landing: Landing) -> None:
    """Recompute a landing some of whose files were superseded; nothing is done for another one."""
    if not landing.superseded:
        return
    firsts = _first_links(lake, landing.event_files)
    fold = ChainFold(lambda t: ChainState(*firsts[t], MIN_MICROS), trees=False)
    for file in landing.event_files:
        for table in lake.read_events(file):
            fold.add(table)
    found: set[tuple[str, int, BreakKind]] = set()
    counts = {}
    for share in landed_tenants(lake, landing):
        if share.rows:
            rows = fold.finish(share.tenant_id, ChainEnd(share.cursor.next_seq, share.cursor.last_hash))
            found |= {(b.tenant_id, b.seq, b.kind) for b in rows.breaks}
            counts[share.tenant_id] = share.rows
    expected = {(b.tenant_id, b.seq, b.kind) for b in landed_breaks(lake, landing)}
    if {t: rows.count for t, rows in fold.tenants.items()} != counts or not found <= expected:
        raise LakeError(
            f"landing {landing.number}: files that an erasure wrote do not hold the rows that were landed: they were "
            "altered; restore them from a backup, and erase again"
        )
    _check_erased(lake, f"landing {landing.number}", fold.tenants)


def _check_erased(lake: Lake, where: str, tenants: Mapping[str, TenantRows]) -> None:
    ordered = OrderedRows(known.order for known in read_orders(lake) if known.outcome is not Outcome.VOID)
    for tenant_id, rows in tenants.items():
        given = ordered.of(tenant_id)
        if any(moment not in given.get(seq, ()) for seq, moment in rows.erased.items()):
            raise LakeError(
                f"{where}: payloads of tenant {tenant_id} are gone that no erasure names; see 'lumi verify'"
            )


def _first_links(lake: Lake, files: Iterable[StoredFile]) -> dict[str, tuple[int, bytes]]:
    """Of each tenant's first row its seq, and the hash that it links to: what is before lies in an earlier landing."""
    firsts: dict[str, tuple[int, bytes]] = {}
    for file in files:
        table = lake.open_events(file).read(columns=["tenant_id", "seq", "prev_hash"])
        for tenant_id in map(str, table.column("tenant_id").unique().to_pylist()):
            if tenant_id not in firsts:
                at = pc.index(table.column("tenant_id"), pa.scalar(tenant_id)).as_py()
                firsts[tenant_id] = (table.column("seq")[at].as_py(), table.column("prev_hash")[at].as_py())
    return firsts
