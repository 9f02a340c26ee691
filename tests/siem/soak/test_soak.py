"""Nothing is lost on the way to a SIEM: every kind of destination at once, under faults, while senders are killed.

``make soak`` sends SIEM_SOAK_EVENTS events; otherwise there are a few thousand. What became of them is printed then.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final

import pytest

from lumi_pipeline.errors import LeaseHeld
from lumi_pipeline.siem.account import Period
from tests.lake.world import World
from tests.s3 import S3
from tests.siem.soak.clock import FastClock
from tests.siem.soak.expected import Expected
from tests.siem.soak.judge import Verdict, judge, read_receipts
from tests.siem.soak.sender import Job, Senders, sending
from tests.siem.soak.targets import Target, targets

pytestmark = pytest.mark.slow

ASKED: Final = os.environ.get("SIEM_SOAK_EVENTS")
EVENTS: Final = int(ASKED or 1500)
SEED: Final = os.environ.get("SIEM_SOAK_SEED", "1")
SENDERS: Final = 4
PORTIONS: Final = 6
"""Events are recorded and landed in so many parts, while others are under way."""

LONGEST: Final = 100 + EVENTS / 100
"""Seconds after which something hangs."""


def test_every_event_arrives_everywhere(tmp_path: Path, s3: S3, capsys: pytest.CaptureFixture[str]) -> None:
    clock = FastClock()
    world = World.create(tmp_path / "world", clock())
    world.clock = clock  # type: ignore[assignment]
    random = Random(SEED)
    expected = Expected.draw(random, EVENTS, clock)
    began = time.monotonic()
    with targets(tmp_path, clock, expected, SEED, s3) as all_targets:
        tables = [{"name": target.name, "allow_private": True, **target.settings} for target in all_targets]
        world.send_to(*({**table, "since": "beginning"} for table in tables))
        job = Job(world.config, clock, tmp_path / "complaints", SEED)
        with disturbed(all_targets), sending(job, SENDERS) as senders:
            go_on(world, expected, senders, random)
            finish(job, all_targets, began + LONGEST)
        root = tmp_path / "world" / "lake"
        verdicts = {target.name: close(job, root, target, expected) for target in all_targets}
        report(capsys, verdicts, all_targets, senders.killed, time.monotonic() - began)
        check(job, all_targets, verdicts)
    assert not job.complaints.exists(), job.complaints.read_text()


@contextmanager
def disturbed(all_targets: list[Target]) -> Iterator[None]:
    """Let what else happens at the services happen, time and again."""
    stopped = threading.Event()

    def disturb() -> None:
        while not stopped.wait(0.1):
            for target in all_targets:
                target.disturb()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def go_on(world: World, expected: Expected, senders: Senders, random: Random) -> None:
    """Record and land everything, part by part, and kill senders meanwhile."""
    kills = 3 + EVENTS // 4000
    for _ in range(PORTIONS):
        expected.record(world, -(-EVENTS // PORTIONS))
        world.pipeline().land()
        for _ in range(-(-kills // PORTIONS)):
            time.sleep(random.uniform(0.05, 0.6))
            senders.kill(random)


def finish(job: Job, all_targets: list[Target], end: float) -> None:
    """Wait until there is nothing left to send but to the broken one."""
    left = {target.name for target in all_targets if not target.broken}
    while left:
        assert time.monotonic() < end, f"not everything is delivered: {left}"
        time.sleep(0.2)
        exports = job.exports()
        status = {name: exports.status(name) for name in left}
        left = {name for name, found in status.items() if found.unplanned or found.open_events}
        assert not [found.reason for found in status.values() if found.hold is not None and found.hold.settings]


def close(job: Job, root: Path, target: Target, expected: Expected) -> Verdict:
    """Let the last receipts be written, then judge."""
    while True:
        try:
            job.exports().deliver(target.name, timedelta(0))
        except LeaseHeld:
            time.sleep(0.1)
        else:
            break
    receipts = read_receipts(root, target.name)
    return judge(expected.places, target.poison, target.arrived(), receipts)


def check(job: Job, all_targets: list[Target], verdicts: dict[str, Verdict]) -> None:
    """Nothing is lost, and our own account says the same as what is there."""
    period = Period(job.clock.start.date(), job.clock().date())  # of three days, where the machine is slow
    for target in all_targets:
        verdict = verdicts[target.name]
        with job.exports().account(target.name, period) as account:
            days, missing = account.days(), account.missing()
        assert not missing
        assert sum(day.quarantined for day in days) == verdict.quarantined, target.name
        if target.broken:
            assert (verdict.arrived, sum(day.open for day in days)) == (0, EVENTS)
            continue
        assert verdict.faults() == {}, "\n".join((target.name, *verdict.witnesses))
        assert target.lost_on_arrival() == 0, target.name
        assert sum(day.delivered for day in days) == verdict.expected
        assert sum(day.duplicates for day in days) == verdict.marked
        if target.ordered:
            assert verdict.disordered == 0, target.name


def report(
    capsys: pytest.CaptureFixture[str],
    verdicts: dict[str, Verdict],
    all_targets: list[Target],
    killed: int,
    took: float,
) -> None:
    """Print what was done and found, where somebody asked for a run."""
    if not ASKED:
        return
    columns = (
        "expected",
        "arrived",
        "lost",
        "duplicates",
        "marked",
        "unmarked",
        "disordered",
        "quarantined",
        "misjudged",
    )
    with capsys.disabled():
        print(f"\n\n{EVENTS:,} events, {killed} senders killed, {took:.0f} s (seed {SEED})")
        print(f"  {'':<14}" + "".join(f"{name:>12}" for name in columns) + f"{'requests':>12}")
        for target in all_targets:
            verdict = verdicts[target.name]
            ordered = " (ordered)" if target.ordered else " (broken)" if target.broken else ""
            numbers = "".join(f"{getattr(verdict, name):>12,}" for name in columns)
            print(f"  {target.name:<14}{numbers}{target.requests():>12,}{ordered}")
        for target in all_targets:
            if target.faults:
                print(
                    f"  {target.name}: " + ", ".join(f"{count} {name}" for name, count in sorted(target.faults.items()))
                )
