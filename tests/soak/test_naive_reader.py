"""Why seqs are allocated under a lock: what other ways of reading an outbox lose, or wait for, on the same load."""

import os
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from lumi_pipeline.recorder import AuditRecorder
from tests.events.making import new_event
from tests.postgresql import PrivatePostgresql, cluster
from tests.servers import Servers
from tests.soak.driver import crowd, outcome
from tests.soak.judge import judge
from tests.soak.load import ORDINARY, Load
from tests.soak.readers import Reader, by_chain, by_id, by_watermark, polling

ASKED = os.environ.get("SOAK_SECONDS")
LOADS: dict[str, dict[str, float]] = {
    "fast transactions": {"slow": 0, "odd": 0},
    "slow transactions": {"slow": 1, "odd": 0, "longest": 0.5},
}


@pytest.fixture(scope="module")
def server(servers: Servers) -> Iterator[PrivatePostgresql]:
    with servers.private(cluster, fsync=True) as settings:
        yield PrivatePostgresql(settings["url"], programs=Path(settings["programs"]), data=Path(settings["data"]))


def test_an_id_that_becomes_visible_late_is_passed_over_and_a_seq_never_is(
    private_postgresql: PrivatePostgresql, tmp_path: Path
) -> None:
    url = private_postgresql.create_database()
    Load.prepare(url, tmp_path, 0)
    ordinary, watermark, chain = by_id(), by_watermark(), by_chain(["early", "late"])
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(psycopg.connect(url)) for _ in range(3))
        third.autocommit = True

        def poll() -> list[int]:
            for reader in (ordinary, watermark, chain):
                reader.poll(third)
            return [reader.rows for reader in (ordinary, watermark, chain)]

        held = write(first, "early")
        committed = write(second, "late")
        second.commit()
        # The watermark waits for the first transaction, although the second is long over.
        assert poll() == [1, 0, 1]
        first.commit()
        assert poll() == [1, 2, 2]
    assert ordinary.seen.keys() == {committed}
    assert watermark.seen.keys() == chain.seen.keys() == {held, committed}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOADS)
def test_ids_in_order_lose_events_and_chains_none(
    name: str, private_postgresql: PrivatePostgresql, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = private_postgresql.create_database()
    load = Load.prepare(url, tmp_path, min(float(ASKED or 4), 60), **LOADS[name])
    readers = {
        "by id": by_id(),
        "by watermark": by_watermark(),
        "by chain": by_chain(f"tenant-{number:03d}" for number in range(load.tenants)),
    }
    with polling(url, list(readers.values())), crowd(load) as people:
        people.finish()
    evidence = outcome(load, url)
    committed = evidence.known.committed
    lost = {way: len(committed.keys() - reader.seen.keys()) for way, reader in readers.items()}
    if ASKED:
        with capsys.disabled():
            report(name, readers, committed, load.until - load.began)
    assert judge(evidence).kinds() == {}
    assert lost["by watermark"] == lost["by chain"] == 0
    # How many depends on the machine; that it is some is certain with so many transactions.
    assert lost["by id"] > 0
    assert {way: reader.rows - len(reader.seen) for way, reader in readers.items()} == dict.fromkeys(readers, 0)


@pytest.mark.slow
def test_one_open_transaction_holds_up_a_watermark_and_no_chain_but_its_own(
    private_postgresql: PrivatePostgresql, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = private_postgresql.create_database()
    seconds = 1.5
    Load.prepare(url, tmp_path, 0)
    readers = {"by id": by_id(), "by watermark": by_watermark(), "by chain": by_chain(["open", "busy"])}
    committed: dict[str, float] = {}
    with psycopg.connect(url) as opened, psycopg.connect(url) as busy, polling(url, list(readers.values())):
        held = write(opened, "open")
        until = time.time() + seconds
        while time.time() < until:
            event = write(busy, "busy")
            busy.commit()
            committed[event] = time.time()
            time.sleep(0.02)
        opened.commit()
        committed[held] = time.time()
    if ASKED:
        with capsys.disabled():
            report(f"one transaction open for {seconds} s", readers, committed, seconds)
    longest = {way: max(delays(reader, committed)) for way, reader in readers.items() if way != "by id"}
    assert longest["by watermark"] > seconds * 0.9
    assert longest["by chain"] < seconds * 0.5


def write(connection: psycopg.Connection, tenant: str) -> str:
    """Record in both outboxes, and leave the transaction open."""
    event = AuditRecorder(connection).record_many([new_event(tenant_id=tenant)])[0]
    connection.execute(ORDINARY, ([event.event_id],))
    return event.event_id


def delays(reader: Reader, committed: Mapping[str, float]) -> list[float]:
    """Seconds from when a writer knew of its commit until the reader saw the event."""
    return [max(seen - committed[event], 0.0) for event, seen in reader.seen.items() if event in committed]


def report(name: str, readers: Mapping[str, Reader], committed: Mapping[str, float], seconds: float) -> None:
    print(f"\n\n{name}: {len(committed)} events in {seconds:.0f} s")
    for way, reader in readers.items():
        lost = len(committed.keys() - reader.seen.keys())
        late = sorted(delays(reader, committed))
        print(
            f"  {way:<14}lost {lost:>6} ({lost / len(committed):6.1%})   seen after {statistics.median(late):.3f} s"
            f" (median), {late[int(len(late) * 0.99)]:.3f} s (99 %), {late[-1]:.3f} s (longest)"
        )
