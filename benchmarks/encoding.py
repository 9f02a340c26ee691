"""Encoding for a SIEM: events in memory become gzipped bodies of requests, without a lake to read or to store them."""

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

import pyarrow as pa

from benchmarks.dataset import Dataset
from benchmarks.measuring import compare
from benchmarks.planning import NAME, bodies_of, exports_to, without_batch
from benchmarks.row import Row
from benchmarks.rowdicts import Row as Event
from benchmarks.rowdicts import native, ocsf
from lumi_pipeline.lake import Lake
from lumi_pipeline.siem.batching import Batcher
from lumi_pipeline.siem.encoding import Encoder
from lumi_pipeline.siem.opening import opened
from transparency.memorystore import MemoryStore


def measure_native(data: Dataset, runs: int) -> Row:
    """Encode in our own format."""
    return _measure(data, runs, "siem-encode", "native", native)


def measure_ocsf(data: Dataset, runs: int) -> Row:
    """Encode in OCSF."""
    return _measure(data, runs, "siem-encode-ocsf", "ocsf", ocsf)


def _measure(data: Dataset, runs: int, name: str, format_name: str, record: Callable[[Event], dict[str, Any]]) -> Row:
    events = pa.concat_tables(data.tables()).combine_chunks()
    exports = exports_to(data, data.landed, "http://127.0.0.1:9/", format_name)
    settings = exports.settings(NAME)
    with opened(settings) as destination, Encoder(destination) as encoder:
        written = int(encoder.encode(events, settings.routes[-1]).offsets[-1])
    sizes = f"{events.nbytes // len(events):,} bytes each in memory, {written // len(events):,} as {format_name} JSON"

    def mine() -> Callable[[], list[bytes]]:
        def run() -> list[bytes]:
            store = MemoryStore()
            with opened(settings) as destination, Encoder(destination) as encoder:
                batcher = Batcher(Lake(store, str), destination, encoder, "")
                batcher.add(events)
            return [store.get(batch.body.path) for batch in batcher.made.batches]

        return run

    def plain() -> Callable[[], list[bytes]]:
        return lambda: list(bodies_of(record(row) for row in events.to_pylist()))

    compared = compare(mine, plain, _same_records, runs)
    return Row(
        name=name,
        what=f"encoding for a SIEM: events ({sizes}) written, packed, hashed and gzipped",
        against="the same events as row dicts, json.dumps for each and gzip.compress for 1 MB of them",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


def _same_records(ours: list[bytes], theirs: list[bytes]) -> bool:
    return all(left == right for left, right in zip_longest(map(without_batch, _records(ours)), _records(theirs)))


def _records(bodies: list[bytes]) -> Iterator[dict[str, Any]]:
    for body in bodies:
        for line in gzip.decompress(body).splitlines():
            yield json.loads(line)
