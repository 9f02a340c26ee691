"""Verifying the whole history, as ``lumi verify --all`` does."""

import json
import statistics

from benchmarks.command import Finished, compare_commands, run_python
from benchmarks.dataset import Dataset
from benchmarks.row import Memory, Row


def measure(data: Dataset, runs: int) -> Row:
    """Verify a published history of several days and the outbox it came from, in a process of its own."""
    lake = data.published

    def mine() -> Finished:
        return run_python(
            ["-m", "lumi_pipeline", "--config", str(data.config), "--root", str(lake), "verify", "--all", "--json"]
        )

    def plain() -> Finished:
        return run_python(["-m", "benchmarks.reading", str(lake), str(data.outbox)])

    compared = compare_commands(mine, plain, same_count, runs)
    ours, theirs = zip(*compared.results, strict=True)
    memory = Memory(*(round(statistics.median(done.peak_bytes for done in side)) for side in (ours, theirs)))
    return Row(
        name="verify-all",
        what="lumi verify --all: log, days, landings and outbox, in a process of its own",
        against="reading the same sealed Parquet and the same outbox, unverified",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
        memory=memory,
    )


def same_count(ours: Finished, theirs: Finished) -> bool:
    """Whether all verified, as many events as there were to read, in the sealed days and in the outbox alike."""
    verified, read = json.loads(ours.output), json.loads(theirs.output)
    return bool(int(verified["events"]) == read["sealed"] + read["outbox"])
