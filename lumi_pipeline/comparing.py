"""Compare a database with everything that was landed from it, in one snapshot.

What makes two chains equal is their last hash, once it is known that one of them is a chain: each row's hash covers the
row and the hash before it. So the database's own rows are recomputed from the genesis hash that the lake knows, up to
where the tenant was landed, and only the hash there is compared. That takes one pass over the outbox, whatever the size
of the lake, and no look at the lake's files. Only tenants that this does not settle are compared row by row, column by
column: those behind from their last row on, and those that differ there from the start. So are those that were landed
with breaks, because what a hash pins is then another chain than the one that was landed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.chain import BreakKind, ChainFold, ChainState, Gap, TenantRows
from lumi_pipeline.events import MIN_MICROS
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.lake import Lake
from lumi_pipeline.landedrows import Difference, LandedRows
from lumi_pipeline.landings import Cursor, landed_breaks, landings
from lumi_pipeline.outbox import Snapshot
from lumi_pipeline.prunedgaps import read_gaps
from lumi_pipeline.rebasing import Finding, Head, Kind, RowsFound, judge
from lumi_pipeline.sealedday import load_manifest, load_sealed_day

Progress = Callable[[int], None]

_Gaps: TypeAlias = Mapping[str, Sequence[Gap]]

_CUT: Final = frozenset({BreakKind.LINK, BreakKind.MISSING, BreakKind.TIME})
"""What the first row past the landed ones must not have, if it goes on from them."""


def compare(
    snapshot: Snapshot,
    lake: Lake,
    days: Sequence[date],
    cursors: Mapping[str, Cursor],
    *,
    broken: Collection[str],
    progress: Progress | None = None,
) -> tuple[Finding, ...]:
    """Say how every tenant of the database and of the lake stands, sorted by tenant.

    ``days`` are the sealed days, ``cursors`` what :func:`known_cursors` returned, ``broken`` the tenants that were
    landed with breaks. Raises
    :class:`~lumi_pipeline.errors.LakeError` when files that have to be looked at are damaged.
    """
    heads = _read_heads(snapshot)
    gaps = read_gaps(lake, days)
    landed, past = _fold(snapshot, cursors, gaps, progress)
    firsts = {t: first for t, cursor in cursors.items() if (first := _unsettled(landed.tenants.get(t), cursor)) >= 0}
    firsts |= {t: 0 for t in broken if t in cursors}
    differences = _differences(snapshot, lake, days, cursors, firsts, gaps)
    # A tenant whose rows are not even a prefix: where it parted is looked for from its beginning on.
    parted = {t: 0 for t, first in firsts.items() if first and t in differences and differences[t].first == first}
    differences |= _differences(snapshot, lake, days, cursors, parted, gaps)
    findings = [
        judge(t, cursor, heads.get(t), _rows(cursor, landed.tenants.get(t), past.tenants.get(t), differences.get(t)))
        for t, cursor in cursors.items()
    ]
    findings += [Finding(t, Kind.NEW, 0, 0, 0, 0, head.next_seq) for t, head in heads.items() if t not in cursors]
    return tuple(sorted(findings, key=lambda found: found.tenant_id))


def tenants_with_breaks(lake: Lake, days: Sequence[date], floor: int) -> set[str]:
    """Tenants whose chains were broken when they were landed, in sealed days or in landings from ``floor`` on."""
    broken = {found.tenant_id for landing in landings(lake, floor) for found in landed_breaks(lake, landing)}
    for manifest in lake.side_by_side(partial(load_manifest, lake), days):
        if manifest.breaks:
            tenants = load_sealed_day(lake, manifest.day).tenants.tenants
            broken |= {tenant_id for tenant_id, tenant in tenants.items() if tenant.record.breaks}
    return broken


def known_cursors(snapshot: Snapshot, cursors: Mapping[str, Cursor]) -> dict[str, Cursor]:
    """Add to the tenants that were landed those whose head hides rows of theirs: it says where their chain begins."""
    heads = _read_heads(snapshot)
    known = dict(cursors)
    for tenant_id in snapshot.past_heads():
        if tenant_id not in known:
            chain_id = heads[tenant_id].chain_id
            genesis = genesis_hash(tenant_id, chain_id)
            known[tenant_id] = Cursor(chain_id, 0, genesis, MIN_MICROS, genesis)
    return known


def _read_heads(snapshot: Snapshot) -> dict[str, Head]:
    heads = snapshot.heads()
    columns = (heads.column(name).to_pylist() for name in ("tenant_id", "chain_id", "next_seq", "head_hash"))
    return {t: Head(chain_id, next_seq, head) for t, chain_id, next_seq, head in zip(*columns, strict=True)}


def _fold(
    snapshot: Snapshot, cursors: Mapping[str, Cursor], gaps: _Gaps, progress: Progress | None
) -> tuple[ChainFold, ChainFold]:
    """Recompute the database's chains: up to the cursors, and, as chains that go on from them, past the cursors."""
    landed = ChainFold(
        lambda t: ChainState(0, genesis_hash(t, cursors[t].chain_id), MIN_MICROS), trees=False, gaps=gaps
    )
    past = ChainFold(
        lambda t: ChainState(cursors[t].next_seq, cursors[t].last_hash, cursors[t].not_before), trees=False
    )
    tenants = pa.array(list(cursors), pa.string())
    limits = np.array([cursor.next_seq for cursor in cursors.values()], np.int64)
    for table in snapshot.rows([(tenant_id, 0) for tenant_id in cursors]):
        places = pc.index_in(table.column("tenant_id"), value_set=tenants).to_numpy()
        below = np.asarray(table.column("seq").to_numpy()) < limits[places]
        landed.add(table.filter(pa.array(below)))
        past.add(table.filter(pa.array(~below)))
        if progress:
            progress(len(table))
    return landed, past


def _unsettled(rows: TenantRows | None, cursor: Cursor) -> int:
    """The seq from which on a tenant's rows have to be looked at one by one; -1 where hashes have settled it."""
    if rows is None:
        return 0 if cursor.next_seq else -1
    if rows.breaks or rows.erased:
        return 0
    reached = rows.state
    if reached.next_seq == cursor.next_seq:
        return -1 if reached.head == cursor.last_hash else 0
    return reached.next_seq - 1


def _differences(  # noqa: PLR0917 - both sides, and what of them
    snapshot: Snapshot,
    lake: Lake,
    days: Sequence[date],
    cursors: Mapping[str, Cursor],
    firsts: Mapping[str, int],
    gaps: _Gaps,
) -> dict[str, Difference]:
    if not firsts:
        return {}
    with LandedRows(lake, days, cursors, firsts) as landed:
        return landed.compare(_without(gaps, _only_landed(snapshot, cursors, firsts)))


def _only_landed(snapshot: Snapshot, cursors: Mapping[str, Cursor], firsts: Mapping[str, int]) -> Iterable[pa.Table]:
    return snapshot.rows([(t, first) for t, first in firsts.items() if first < cursors[t].next_seq])


def _without(gaps: _Gaps, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Leave out rows that were pruned: an older dump has them, and they are neither landed ones nor others.

    What was recorded in their places later, after such a dump was restored, is another row.
    """
    for table in tables:
        kept = np.ones(len(table), np.bool_)
        seq = np.asarray(table.column("seq").to_numpy())
        recorded = np.asarray(table.column("recorded_at").cast(pa.int64()).to_numpy())
        for tenant_id in map(str, table.column("tenant_id").unique().to_pylist()):
            for gap in gaps.get(tenant_id, ()):
                of_tenant = pc.equal(table.column("tenant_id"), pa.scalar(tenant_id)).to_numpy()
                within = (seq >= gap.first) & (seq < gap.end.next_seq) & (recorded < gap.end.not_before)
                kept &= ~(np.asarray(of_tenant, np.bool_) & within)
        yield table.filter(pa.array(kept))


def _rows(
    cursor: Cursor, landed: TenantRows | None, past: TenantRows | None, difference: Difference | None
) -> RowsFound:
    continues = past is None or not any(found.seq == cursor.next_seq and found.kind in _CUT for found in past.breaks)
    last = past or landed
    first = cursor.next_seq if difference is None or difference.first is None else difference.first
    return RowsFound(
        first,
        difference.missing if difference else 0,
        difference.others if difference else 0,
        past.count if past else 0,
        continues,
        last.state.next_seq if last else 0,
    )
