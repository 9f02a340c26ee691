"""A tenant's pull feed as a part of an erasure. What a customer has fetched already is out of reach."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.erasure.orders import Order
from lumi_pipeline.erasure.parts import Touched
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.siem.feed import FeedRecords
from lumi_pipeline.siem.feedentries import FeedBook, FeedEntry
from lumi_pipeline.siem.feederased import ErasedEntry, erased_entries
from lumi_pipeline.siem.gzipping import compress, decompress
from lumi_pipeline.siem.source import Source
from lumi_pipeline.siem.sqltext import BATCH_ID
from lumi_pipeline.stores.purging import purge

_MAX_CONTENT: Final = 1 << 30


class FeedPart:
    """The objects under ``feeds/TENANT/``."""

    name = "feed"

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._lake = pipeline.lake

    def look(self, tenant_id: str, events: Mapping[int, str]) -> Touched:
        """Find the entries that bring them."""
        entries = list(self._entries(tenant_id, events))
        found = sum(sum(1 for seq in events if entry.first <= seq < entry.next) for entry in entries)
        told = f"a customer may have fetched the feed of {tenant_id}, and keeps what was fetched"
        return Touched(len(entries), sum(entry.size for entry in entries), found, (told,) if entries else ())

    def erase(self, order: Order) -> Touched:
        """Write the objects that bring them anew, and delete the old ones."""
        objects = size = events = 0
        prefix = FeedBook(self._lake, order.tenant_id).prefix
        for entry in self._entries(order.tenant_id, order.events):
            records = erased_entries(self._lake, order.tenant_id, entry.number)
            record = next((record for record in records if record.erasure == order.number), None)
            if record is None:
                before = records[-1].path if records else entry.path
                record = self._rewrite(entry, before or "", order)
                objects, size, events = objects + 1, size + record.size, events + record.erased
                records = [*records, record]
            current = records[-1].path
            # A crash before this leaves objects that do not count any more, or not yet.
            for folder in ("events", "erased"):
                for key in list(self._lake.store.list(f"{prefix}{folder}/{entry.number:012d}-")):
                    if key != prefix + current:
                        purge(self._lake.store, key)
        return Touched(objects, size, events)

    def _rewrite(self, entry: FeedEntry, path: str, order: Order) -> ErasedEntry:
        prefix = FeedBook(self._lake, order.tenant_id).prefix
        data = self._lake.store.get(prefix + path)
        fresh = self._records(entry, order)
        lines = []
        for line in decompress(data, _MAX_CONTENT).split(b"\n")[:-1]:
            event_id = json.loads(line)["event_id"]
            lines.append(fresh.get(event_id, line))
        content = b"".join(line + b"\n" for line in lines)
        body = compress(content)
        digest = hashlib.sha256(body).hexdigest()
        path = f"erased/{entry.number:012d}-{digest[:16]}.ndjson.gz"
        record = ErasedEntry(
            entry.number, order.tenant_id, order.number, order.event_id, len(fresh), path, len(body), digest
        )
        self._lake.store.put_new(prefix + path, body)
        # A crash before this leaves an object that no record names.
        self._lake.store.put_new(record.key, record.encode())
        return record

    def _records(self, entry: FeedEntry, order: Order) -> dict[str, bytes]:
        """The lines of an entry's events that are erased, by event id, as they are from now on."""
        source = Source.open(self._lake, tuple(self._pipeline.lake_days()))
        ids = pa.array(list(order.events.values()), pa.string())
        tables = source.rows({order.tenant_id: (entry.first, entry.next)})
        parts = [table.filter(pc.is_in(table.column("event_id"), ids)) for table in tables]
        rows = pa.concat_tables(parts) if parts else EVENT_SCHEMA.empty_table()
        if not len(rows):
            return {}
        with FeedRecords() as records:
            lines = records.of(rows).replace(BATCH_ID.encode(), entry.batch_id.encode()).split(b"\n")[:-1]
        return dict(zip(map(str, rows.column("event_id").to_pylist()), lines, strict=True))

    def _entries(self, tenant_id: str, events: Collection[int]) -> Iterator[FeedEntry]:
        """Yield the entries whose objects bring any of these seqs."""
        if not events:
            return
        low, high = min(events), max(events)
        for entry in FeedBook(self._lake, tenant_id).entries():
            if entry.path is None or entry.next <= low or entry.first > high:
                continue
            if any(entry.first <= seq < entry.next for seq in events):
                yield entry
