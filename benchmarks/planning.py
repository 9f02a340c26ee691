"""Planning for a SIEM: landed events become gzipped bodies of requests."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from benchmarks.dataset import Dataset
from benchmarks.measuring import compare
from benchmarks.row import Row
from benchmarks.rowdicts import Row as Event
from benchmarks.rowdicts import native, ocsf, rows_of
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.plans import PlanBook
from lumi_pipeline.siem.settings import read_destinations

NAME: Final = "receiver"
_BODY: Final = 1_000_000


def measure_native(data: Dataset, runs: int) -> Row:
    """Plan in our own format."""
    return _measure(data, runs, "siem-plan", "native", native)


def measure_ocsf(data: Dataset, runs: int) -> Row:
    """Plan in OCSF."""
    return _measure(data, runs, "siem-plan-ocsf", "ocsf", ocsf)


def exports_to(data: Dataset, lake: Path, url: str, format_name: str = "native") -> Exports:
    """A lake's only destination: an HTTPS endpoint that gets everything."""
    pipeline = data.pipeline(lake)
    table = {"name": NAME, "kind": "https", "url": url, "format": format_name, "since": "beginning"}
    destinations = read_destinations([{**table, "allow_private": True}], "benchmarks", lake)
    pipeline.config = replace(pipeline.config, destinations=destinations)
    return Exports(pipeline)


def _measure(data: Dataset, runs: int, name: str, format_name: str, record: Callable[[Event], dict[str, Any]]) -> Row:
    def mine() -> Callable[[], list[Path]]:
        exports = exports_to(data, data.clone(data.landed, "plan"), "http://127.0.0.1:9/", format_name)

        def run() -> list[Path]:
            for _ in exports.plan(NAME):
                pass
            plans = PlanBook(exports.lake, NAME).since(0)
            return [Path(exports.lake.locate(batch.body.path)) for plan in plans for batch in plan.batches]

        return run

    def plain() -> Callable[[], list[Path]]:
        place = data.fresh("bodies")
        return lambda: list(write_bodies(map(record, rows_of(data.landed_files())), place))

    compared = compare(mine, plain, same_records, runs)
    return Row(
        name=name,
        what=f"planning for a SIEM: read landed events, write them as {format_name} JSON, pack, gzip and store durably",
        against="the same events as row dicts, json.dumps for each and gzip.compress for 1 MB of them, stored anyhow",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


def write_bodies(records: Iterable[dict[str, Any]], place: Path) -> Iterator[Path]:
    """Write records as the common way does; yield each file."""
    for number, body in enumerate(bodies_of(records)):
        file = place / f"{number}.ndjson.gz"
        file.write_bytes(body)
        yield file


def bodies_of(records: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Make bodies of requests as the common way does."""
    lines: list[bytes] = []
    size = 0
    for record in records:
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        if lines and size + len(line) > _BODY:
            yield gzip.compress(b"".join(lines))
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield gzip.compress(b"".join(lines))


def same_records(ours: list[Path], theirs: list[Path]) -> bool:
    """Whether both hold the same records in the same order, but for the batch's id, which only we give."""
    return all(left == right for left, right in zip_longest(map(without_batch, _records(ours)), _records(theirs)))


def _records(files: list[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        for line in gzip.decompress(file.read_bytes()).splitlines():
            yield json.loads(line)


def without_batch(record: dict[str, Any]) -> dict[str, Any]:
    """The record without what only we give."""
    del record.get("unmapped", record)["batch_id"]
    return record
