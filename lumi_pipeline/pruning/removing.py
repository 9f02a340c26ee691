"""Taking the rows of pruned days out of lake and outbox, once it is on record that they leave.

Everything here may be done twice. A crash in between leaves files that do not count any more, and rows of the outbox
that its chains go around; both are found by verification, which then says that a pruning is unfinished.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.cutting import in_parts
from lumi_pipeline.errors import OutboxLocked
from lumi_pipeline.lake import REWRITTEN, Lake, events_prefix
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.erasing import purge_older_copies
from lumi_pipeline.outbox.pruning import RowsToPrune, prune_rows
from lumi_pipeline.proofindex import INDEXES, index_key, open_index
from lumi_pipeline.pruned import KEPT, pruned_keys
from lumi_pipeline.records import StoredFile
from lumi_pipeline.sealedday import SealedDay, current_files, load_sealed_day
from lumi_pipeline.stores.purging import purge
from transparency.encoding import parse_day
from transparency.errors import EncodingError


def write_kept(lake: Lake, sealed: SealedDay, kept: Sequence[str]) -> tuple[StoredFile, ...]:
    """Write the rows of these tenants into files of their own, which count for nothing until a record names them."""
    if not kept:
        return ()
    wanted = pa.array(kept, pa.string())

    def rows() -> Iterator[pa.Table]:
        for file in sealed.event_files:
            for table in lake.read_events(file):
                chosen = table.filter(pc.is_in(table.column("tenant_id"), wanted))
                if len(chosen):
                    yield chosen

    prefix = f"{events_prefix(sealed.record.day)[:-1]}{KEPT}"
    return tuple(lake.put_parquet(f"{prefix}{number:05d}", part) for number, part in enumerate(in_parts(rows())))


def days_to_clear(lake: Lake) -> list[date]:
    """Days in whose folders there are files that a pruning left, or wrote in vain; the lake is listed once."""
    pruned = pruned_keys(lake)
    keys: dict[date, set[str]] = {}
    for key in lake.store.list("events/day="):
        try:
            day = parse_day(key.removeprefix("events/day=").partition("/")[0])
        except EncodingError:
            continue  # nobody's; verification names it
        if day in pruned or KEPT in key:
            keys.setdefault(day, set()).add(key)
    indexes = set(lake.store.list(INDEXES))
    indexed = [day for day in pruned if index_key(day) in indexes]
    found = {day for day, there in keys.items() if there - {file.path for file in current_files(lake, day)}}
    return sorted(found | {day for day in indexed if _is_stale(lake, day, current_files(lake, day))})


def clear_day(lake: Lake, sealed: SealedDay) -> None:
    """Delete what does not count any more of a day, or never did, with every version that is kept of it.

    What nobody of ours wrote stays, for verification to name.
    """
    current = {file.path for file in sealed.event_files}
    ours = {file.path for file in sealed.manifest.files} if sealed.pruned else set()
    for key in list(lake.store.list(events_prefix(sealed.record.day))):
        if key not in current and (key in ours or KEPT in key or (sealed.pruned is not None and REWRITTEN in key)):
            purge(lake.store, key)
    if _is_stale(lake, sealed.record.day, sealed.event_files):
        lake.discard(index_key(sealed.record.day))  # the next publishing writes another one, of what stays


def _is_stale(lake: Lake, day: date, files: Sequence[StoredFile]) -> bool:
    with open_index(lake, day) as index:
        return index is not None and index.rows != sum(file.rows for file in files)


def remove_rows(outbox: Outbox, days: Mapping[date, SealedDay]) -> int:
    """Remove the rows of pruned days from the outbox; return how many there were."""
    removed = 0
    with closing(outbox.connect()) as connection, outbox.explained():
        for day, sealed in sorted(days.items()):
            if sealed.pruned is not None:
                gone = sorted(sealed.gone.items())
                ranges = [(tenant_id, tenant.record.first, tenant.record.next) for tenant_id, tenant in gone]
                removed += prune_rows(connection, RowsToPrune(day, sealed.pruned.event_id, ranges))
    return removed


def leave_no_copy(outbox: Outbox) -> None:
    """Leave nothing of removed rows in the files of the outbox, where it lies in files of ours."""
    try:
        with closing(outbox.connect()) as connection, outbox.explained():
            purge_older_copies(connection)
    except OutboxLocked:
        raise OutboxLocked(
            "the rows are removed from the outbox, but its files still hold older copies of them, because another "
            "connection reads or writes; let it end its transaction, then run 'lumi prune' again"
        ) from None


def load_days(lake: Lake, days: Sequence[date]) -> dict[date, SealedDay]:
    """These sealed days as they are now."""
    return {day: load_sealed_day(lake, day) for day in days}
