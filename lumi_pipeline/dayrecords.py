"""From the folded chains of a day to the records of its tenants, and what has to hold of both."""

from collections.abc import Callable, Mapping
from datetime import date

from lumi_pipeline.chain import Break, ChainEnd, ChainFold
from lumi_pipeline.errors import LakeError
from lumi_pipeline.hashing import tenant_key
from lumi_pipeline.lake import seal_prefix
from lumi_pipeline.pending import DayRange, Pending
from lumi_pipeline.records import Manifest, TenantDay
from lumi_pipeline.sealedday import SealedDay
from lumi_pipeline.tenantdays import DayTenants, SealedTenant


def day_ranges(day: date, before: SealedDay | None, pending: Pending) -> dict[str, DayRange]:
    """Every tenant's range of the day, idle ones included; who has no event yet is not a tenant yet."""
    known = before.tenants.tenants if before else {}
    ranges = {}
    for tenant_id in sorted(set(known) | set(pending.tenants)):
        record = known[tenant_id].record if tenant_id in known else None
        first = record.next if record else 0
        if tenant_id in pending.tenants:
            ranges[tenant_id] = pending.day_range(tenant_id, first, day)
        elif record:
            ranges[tenant_id] = DayRange(first, ChainEnd(first, record.head_after))
        if record is None and ranges[tenant_id].end.next_seq == 0:
            del ranges[tenant_id]
    return ranges


def check_holds_landed(tenants: DayTenants, ranges: Mapping[str, DayRange], pending: Pending) -> None:
    """Raise if any row that was landed for the day lies past what a manifest's records hold of its tenant."""
    known = tenants.tenants
    left = {t: DayRange(known[t].record.next if t in known else 0, r.end) for t, r in ranges.items()}
    for rows in pending.rows(left):
        tenant_id, seq = rows.column("tenant_id")[0], rows.column("seq")[0]
        raise LakeError(
            f"{seal_prefix(tenants.day)}manifest.json was altered: it leaves out tenant {tenant_id} seq {seq}, which "
            f"was landed for {tenants.day}. Nothing is sealed yet; move the manifest away and seal the day again"
        )


def tenant_records(
    day: date,
    fold: ChainFold,
    ranges: Mapping[str, DayRange],
    chain_ids: Mapping[str, bytes],
    prev_hash: Callable[[str, int], bytes],
) -> tuple[dict[str, SealedTenant], tuple[Break, ...]]:
    """Make every tenant's record; where the day's last row is lost, ``prev_hash`` tells what its follower links to."""
    tenants: dict[str, SealedTenant] = {}
    breaks: list[Break] = []
    for tenant_id, r in ranges.items():
        rows = fold.finish(tenant_id, r.end)
        breaks += rows.breaks
        head_after = r.end.head
        if head_after is None:
            whole = rows.state.next_seq == r.end.next_seq
            head_after = rows.state.head if whole else prev_hash(tenant_id, r.end.next_seq)
        record = TenantDay(
            day,
            tenant_key(tenant_id),
            rows.start.next_seq,
            rows.count,
            r.end.next_seq,
            rows.tree.root(),
            rows.start.head,
            head_after,
            len(rows.breaks),
        )
        tenants[tenant_id] = SealedTenant(tenant_id, chain_ids[tenant_id], record)
    breaks.sort(key=lambda b: (b.tenant_id, b.seq, b.kind))
    return tenants, tuple(breaks)


def check_gone(day: date, gone: Mapping[str, SealedTenant], fold: ChainFold) -> None:
    """Of rows that were pruned the records remain: each has to go on from the day before."""
    for tenant_id, tenant in gone.items():
        if tenant_id in fold.tenants:
            raise LakeError(
                f"{day}: rows of tenant {tenant_id}, which were pruned, are in a file of rows that were not"
            )
        state, record = fold.start(tenant_id), tenant.record
        if (state.next_seq, state.head) != (record.first, record.head_before) or not record.unbroken:
            raise LakeError(
                f"{day}: the record of tenant {tenant_id}, whose rows were pruned, does not go on from the day before"
            )


def check_totals(
    manifest: Manifest, fold: ChainFold, tenants: DayTenants, breaks: tuple[Break, ...], pruned: int
) -> None:
    """Raise unless the folded rows are as many as the manifest says, less those that were ``pruned``."""
    strangers = set(fold.tenants) - set(tenants.tenants)
    if strangers:
        raise LakeError(f"{manifest.day}: rows of tenant {min(strangers)}, which has no tenant-day record")
    rows = sum(t.count for t in fold.tenants.values()) + pruned
    if (rows, len(tenants.tenants), len(breaks)) != (manifest.events, manifest.tenants, manifest.breaks):
        raise LakeError(
            f"{manifest.day}: the files hold {rows} events, {len(tenants.tenants)} tenants and {len(breaks)} breaks, "
            f"the manifest says {manifest.events}, {manifest.tenants} and {manifest.breaks}"
        )
