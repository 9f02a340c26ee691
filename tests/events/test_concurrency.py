"""Many writers at once, while the pipeline reads and closes days: no gap, no fork, nothing in a closed day."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from lumi_pipeline.outbox import Outbox
from lumi_pipeline.recorder import AuditRecorder
from tests.databases import url_of
from tests.events.making import START, Clock, check_chains, new_event, stored

TENANTS = ("acme", "globex", "initech", "umbrella")


def write(outbox: Outbox, worker: int, calls: int) -> dict[str, int]:
    """Record for random tenants, sometimes for several at once, and roll a third of it back; count what stays."""
    random = Random(worker)
    kept = dict.fromkeys(TENANTS, 0)
    with closing(outbox.connect()) as connection:
        recorder = AuditRecorder(connection)
        for _ in range(calls):
            tenants = random.choices(TENANTS, k=random.randint(1, 4))
            recorder.record_many([new_event(tenant_id=tenant) for tenant in tenants])
            if random.random() < 0.3:
                connection.rollback()
                continue
            connection.commit()
            for tenant in tenants:
                kept[tenant] += 1
    return kept


def test_processes_recording_at_once_leave_whole_chains(outbox: Outbox) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        counts = pool.starmap(write, [(outbox, worker, 60) for worker in range(3)])
    expected = {tenant: sum(count[tenant] for count in counts) for tenant in TENANTS}
    assert check_chains(outbox) == expected


def test_threads_recording_while_somebody_reads_never_show_a_gap(outbox: Outbox) -> None:
    with ThreadPoolExecutor(5) as threads:
        writers = [threads.submit(write, outbox, worker, 40) for worker in range(4)]
        seen = dict.fromkeys(TENANTS, 0)
        while not all(writer.done() for writer in writers):
            for tenant, count in check_chains(outbox).items():
                assert count >= seen[tenant]
                seen[tenant] = count
        counts = [writer.result() for writer in writers]
    assert check_chains(outbox) == {tenant: sum(count[tenant] for count in counts) for tenant in TENANTS}


def test_days_closed_under_load_stay_closed(outbox: Outbox) -> None:
    days = 12
    ends = [START.replace(hour=0) + timedelta(days=number + 1) for number in range(days)]
    closed: list[int] = []

    def writer(worker: int) -> list[tuple[str, int]]:
        """Record at a clock that runs through the days, late by up to two of them; return what was done after what."""
        random = Random(worker)
        done = []
        with closing(outbox.connect()) as connection:
            for number in range(days * 6):
                clock = Clock(START + timedelta(days=number // 6) - timedelta(days=random.randint(0, 2)))
                before = len(closed)
                tenant = f"{random.choice(TENANTS)}-{number // 10}"
                event = AuditRecorder(connection, clock=clock).record_many([new_event(tenant_id=tenant)])[0]
                connection.commit()
                done.append((event.event_id, before))
        return done

    with ThreadPoolExecutor(3) as threads:
        writers = [threads.submit(writer, worker) for worker in range(3)]
        for number in range(days):
            outbox.close_day((START + timedelta(days=number)).date(), timeout=30)
            closed.append(number)
        done = [pair for finished in writers for pair in finished.result()]
    times = {event.event_id: event.recorded_at for event in stored(outbox)}
    assert len(times) == 3 * days * 6
    for event_id, closed_before in done:
        assert closed_before == 0 or times[event_id] >= ends[closed_before - 1]
    check_chains(outbox)


KILLED = """
from lumi_pipeline.config import load_config
from lumi_pipeline.outbox.opening import open_outbox
from lumi_pipeline.recorder import AuditRecorder
from tests.events.making import new_event

connection = open_outbox(load_config().outbox).connect()
recorder = AuditRecorder(connection)
while True:
    recorder.record_many([new_event(tenant_id=tenant) for tenant in ("b", "a", "b")])
    connection.commit()
    print("committed", flush=True)
"""


@pytest.mark.parametrize("after", [1, 40])
def test_a_writer_killed_anywhere_leaves_whole_chains(outbox: Outbox, after: int) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED)]
    environment = os.environ | {"LUMI_OUTBOX": url_of(outbox)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], env=environment) as process:
        assert process.stdout is not None
        for _ in range(after):
            assert process.stdout.readline() == b"committed\n"
        time.sleep(0.003)
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = after + len(process.stdout.readlines())
    counts = check_chains(outbox)
    assert counts["b"] == 2 * counts["a"]
    assert counts["a"] in {acknowledged, acknowledged + 1}
    with closing(outbox.connect()) as connection:
        AuditRecorder(connection).record_many([new_event(tenant_id="a")])
        connection.commit()
    assert check_chains(outbox)["a"] == counts["a"] + 1
