"""Take the payload of chosen events out of the files of the lake: each in turn is written anew and superseded.

For each folder: the new files, then the record that names old and new (create-only), then the old ones go. A crash
before the record leaves new files that count for nothing, which the next run writes again or removes; a crash after it
leaves old ones that do not count any more, which the next run deletes. New files carry the number of the erasure in
their names, and nobody but that erasure removes files so named, so that runs beside it do no harm.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.cutting import LARGE_GROUPS, SMALL_GROUPS
from lumi_pipeline.erasure.eventfiles import EventFiles, Folder
from lumi_pipeline.erasure.orders import Order
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import PAYLOAD_COLUMNS
from lumi_pipeline.lake import REWRITTEN, Lake, check_values, describe_parquet, reading
from lumi_pipeline.records import StoredFile
from lumi_pipeline.stores.purging import purge
from lumi_pipeline.superseding import LANDED_RECORDS, Replacement, Superseded, record_name, rewritten_prefix
from transparency.errors import ObjectConflict

_RECORDS: Final = ("seals/day=", LANDED_RECORDS, "rebases/")
"""Where records of superseded files lie."""


@dataclass(slots=True)
class Rewritten:
    """How many files were written anew, their bytes, and the rows that lost their payload in them."""

    files: int = 0
    size: int = 0
    rows: int = 0

    def add(self, replaced: Iterable[Replacement]) -> None:
        """Count more of them."""
        for file in replaced:
            self.files += 1
            self.size += file.new.size
            self.rows += file.erased


def rewrite_lake(lake: Lake, files: EventFiles, order: Order) -> Rewritten:
    """Erase the events of an order from every file that still holds their payload; return what was written."""
    holding: dict[Folder, set[str]] = defaultdict(set)
    for row in files.rows(order.tenant_id, list(order.events.values())):
        if row.erased_at is None:
            holding[files.files[row.path][0]].add(row.path)
    done = Rewritten()
    for folder, paths in sorted(holding.items(), key=lambda item: item[0].records):
        with suppress(_Gone):  # whatever there is instead is found in the next round
            done.add(_supersede(lake, folder, [files.files[path][1] for path in sorted(paths)], order).files)
    return done


def remove_replaced(lake: Lake, order: Order) -> None:
    """Delete what an erasure has replaced, and what an interrupted run of it wrote in vain."""
    kept: set[str] = set()
    name = record_name(order.number)
    for key in [key for prefix in _RECORDS for key in lake.store.list(prefix) if key.endswith(f"/{name}")]:
        for replaced in Superseded.parse(lake.store.get(key), key).files:
            kept.add(replaced.new.path)
            _remove(lake, replaced)
    marked = f"{REWRITTEN}{order.number:06d}-"
    for prefix in ("events/", "landed/", "rebases/"):
        for key in list(lake.store.list(prefix)):
            if marked in key and key not in kept:
                lake.discard(key)


def _remove(lake: Lake, replaced: Replacement) -> None:
    """Delete a file that was replaced, if it is still there, once what replaced it is known to be whole."""
    if replaced.old.path in set(lake.store.list(replaced.old.path)):
        lake.read(replaced.new)
        purge(lake.store, replaced.old.path)


class _Gone(Exception):
    """A file was replaced by another run of this erasure, pruned, or cleared away with a landing that was sealed."""


def _supersede(lake: Lake, folder: Folder, files: Collection[StoredFile], order: Order) -> Superseded:
    key = folder.records.removesuffix("superseded-") + record_name(order.number)
    replaced = [_rewrite(lake, file, order) for file in files]
    record = Superseded(order.number, order.event_id, tuple(replaced))
    try:
        lake.store.put_new(key, record.encode())
    except ObjectConflict:
        # Written by another run of the same erasure, whose Parquet library gave other bytes: its files count.
        record = Superseded.parse(lake.store.get(key), key)
    for file in record.files:
        _remove(lake, file)
    return record


def _rewrite(lake: Lake, file: StoredFile, order: Order) -> Replacement:
    try:
        parquet = lake.open_events(file)
    except LakeError:
        if file.path not in set(lake.store.list(file.path)):
            raise _Gone from None
        raise
    with reading(file.path):
        table = parquet.read()
        check_values(table, file.path)
    erased, rows = erase_payload(table, order)
    limit = SMALL_GROUPS if file.path.startswith("landed/") else LARGE_GROUPS
    new, data = describe_parquet(rewritten_prefix(file.path, order.number), erased, limit=limit)
    lake.store.put_new(new.path, data)
    return Replacement(file, new, rows)


def erase_payload(table: pa.Table, order: Order) -> tuple[pa.Table, int]:
    """Null the payload of an order's events in a table of events; return it, and how many of them had one."""
    ids = pa.array(list(order.events.values()), pa.string())
    chosen = pc.and_(
        pc.equal(table.column("tenant_id"), pa.scalar(order.tenant_id)),
        pc.and_(pc.is_in(table.column("event_id"), ids), pc.is_null(table.column("erased_at"))),
    )
    for name in PAYLOAD_COLUMNS:
        field = table.schema.field(name)
        emptied = pc.if_else(chosen, pa.scalar(None, field.type), table.column(name))
        table = table.set_column(table.schema.get_field_index(name), field, emptied)
    field = table.schema.field("erased_at")
    moment = pa.scalar(order.at, field.type)
    marked = pc.if_else(chosen, moment, table.column("erased_at"))
    table = table.set_column(table.schema.get_field_index("erased_at"), field, marked)
    return table, int(pc.sum(chosen.cast(pa.int64())).as_py() or 0)
