"""Delivery to a receiver on this machine, in a process of its own."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx

from benchmarks.dataset import Dataset
from benchmarks.measuring import compare
from benchmarks.planning import NAME, bodies_of, exports_to
from benchmarks.receiver import end_of_run, lines_of, receiving
from benchmarks.row import Row
from benchmarks.rowdicts import native, rows_of
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.opening import opened

_HEADERS: Final = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}


def deliver(data: Dataset, runs: int) -> Row:
    """Deliver what is planned."""
    with receiving() as url:
        planned = _planned(data, url)

        def mine() -> Callable[[], int]:
            exports = exports_to(data, data.clone(planned, "deliver"), url)

            def run() -> int:
                _deliver(exports)
                return end_of_run(url)

            return run

        def plain() -> Callable[[], int]:
            files = sorted(planned.glob(f"siem/{NAME}/batches/*/batch-*.gz"))

            def run() -> int:
                with httpx.Client() as client:
                    for file in files:
                        client.post(url, content=file.read_bytes(), headers=_HEADERS).raise_for_status()
                return end_of_run(url)

            return run

        compared = compare(mine, plain, lambda *both: all(lines_of(url, run) == data.events for run in both), runs)
    return Row(
        name="siem-deliver",
        what="delivering planned batches to a local receiver: lease, ledger and receipts, each step durable",
        against="posting the same stored bodies with httpx, one after the other, with no memory of it",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


def send(data: Dataset, runs: int) -> Row:
    """Plan, then deliver."""
    with receiving() as url:

        def mine() -> Callable[[], int]:
            exports = exports_to(data, data.clone(data.landed, "send"), url)

            def run() -> int:
                for _ in exports.plan(NAME):
                    pass
                _deliver(exports)
                return end_of_run(url)

            return run

        def plain() -> Callable[[], int]:
            files = data.landed_files()

            def run() -> int:
                with httpx.Client() as client:
                    for body in bodies_of(map(native, rows_of(files))):
                        client.post(url, content=body, headers=_HEADERS).raise_for_status()
                return end_of_run(url)

            return run

        compared = compare(mine, plain, lambda *both: all(lines_of(url, run) == data.events for run in both), runs)
    return Row(
        name="siem-send",
        what="planning and delivering landed events to a local receiver",
        against="row dicts, json.dumps for each, gzip.compress and httpx.post for 1 MB of them, with no memory of it",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


def _planned(data: Dataset, url: str) -> Path:
    """A lake in which everything is planned and nothing delivered."""
    lake = data.clone(data.landed, "planned")
    for _ in exports_to(data, lake, url).plan(NAME):
        pass
    return lake


def _deliver(exports: Exports) -> None:
    # Without the digest, which would be an event in the data set.
    with opened(exports.settings(NAME)) as destination:
        exports.deliverer(destination).run(timedelta(0))
