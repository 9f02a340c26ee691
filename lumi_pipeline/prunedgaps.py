"""Where chains have gaps because days of theirs were pruned: read from the tenant-day records, which stay.

A gap begins and ends with hashes of the sealed records, so what is left of a chain is verified around it as before:
the last row in front links to where the gap begins, the first row behind to where it ends.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from lumi_pipeline.chain import ChainState, Gap
from lumi_pipeline.days import day_end
from lumi_pipeline.lake import Lake
from lumi_pipeline.pruned import pruned_keys
from lumi_pipeline.sealedday import load_sealed_day


def read_gaps(lake: Lake, days: Collection[date]) -> dict[str, list[Gap]]:
    """The gaps that the pruned ones of these sealed days left, by tenant, in order; those that touch are one."""
    gaps: dict[str, list[Gap]] = {}
    for day in sorted(pruned_keys(lake).keys() & set(days)):
        for tenant_id, tenant in load_sealed_day(lake, day).gone.items():
            record = tenant.record
            end = ChainState(record.next, record.head_after, day_end(day))
            known = gaps.setdefault(tenant_id, [])
            if known and (known[-1].end.next_seq, known[-1].end.head) == (record.first, record.head_before):
                known[-1] = Gap(known[-1].first, known[-1].prev_hash, end)
            else:
                known.append(Gap(record.first, record.head_before, end))
    return gaps


def first_pruned(lake: Lake, days: Sequence[date], ranges: Mapping[str, tuple[int, int]]) -> tuple[date, str] | None:
    """A pruned day that held rows of these ranges (tenant → first seq, the one behind the last), and whose.

    None where all of the rows are there.
    """
    for day in sorted(pruned_keys(lake).keys() & set(days), reverse=True):
        gone = load_sealed_day(lake, day)
        for tenant_id, (first, after) in ranges.items():
            tenant = gone.gone.get(tenant_id)
            if tenant is not None and tenant.record.first < after and tenant.record.next > first:
                return day, tenant_id
        known = gone.tenants.tenants
        if all(first >= known[t].record.next if t in known else True for t, (first, _) in ranges.items()):
            return None  # all of them lie behind this day, and so behind those before it
    return None
