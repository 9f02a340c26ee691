"""Sealing: what a day consists of, to the byte, and that it is fixed once and for all."""

import hashlib
import json
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lumi_pipeline.errors import ChainBroken, LakeError, OutboxLocked, SealError, TimeRefused
from lumi_pipeline.events import Event
from lumi_pipeline.hashing import event_leaf, genesis_hash, tenant_key
from lumi_pipeline.lake import Lake
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.records import Manifest, TenantDay
from lumi_pipeline.sealedday import SealedDay, load_sealed_day
from tests.databases import begin, database, run
from tests.lake.chains import chain_id, extend, new_head
from tests.lake.world import EVIDENCE_KEY, LOG_KEY, ORIGIN, World, at, day, new_event
from transparency.encoding import b64encode
from transparency.entries import DayRecord, Genesis
from transparency.merkle import EMPTY_ROOT, tree_root
from transparency.patricia import TenantMap

GOLDEN = Path(__file__).with_name("golden_world.json")


def _sealed(world: World, number: int) -> SealedDay:
    return load_sealed_day(world.pipeline().lake, day(number))


def _rows(world: World, number: int) -> list[dict[str, object]]:
    """A sealed day's rows in the order of its files."""
    lake = world.pipeline().lake
    files = [file for file in _sealed(world, number).manifest.files if file.path.startswith("events/")]
    return [row for file in files for table in lake.read_events(file) for row in table.to_pylist()]


def _insert(world: World, histories: Mapping[str, list[Event]]) -> None:
    """Put events with chosen salts and chain ids into the outbox."""
    for events in histories.values():
        _, head = extend(new_head(events[0].tenant_id), [event.recorded_at for event in events])
        world.put(events, head)


def _check_against_rows(world: World, days: int) -> None:
    """Every record of days 0 to ``days`` - 1 follows from the stored rows, each on top of the day before."""
    before: dict[str, TenantDay] = {}
    outbox = world.select(
        "SELECT tenant_id, seq, integrity_hash, recorded_at FROM audit_outbox ORDER BY tenant_id, seq"
    )
    found = []
    for number in range(days):
        sealed = _sealed(world, number)
        rows = _rows(world, number)
        assert rows == sorted(rows, key=lambda row: (row["tenant_id"], row["seq"]))
        assert all(row["recorded_at"].date() == day(number) for row in rows)
        found += [(row["tenant_id"], row["seq"], row["integrity_hash"]) for row in rows]
        records = {name: tenant.record for name, tenant in sealed.tenants.tenants.items()}
        assert set(records) == set(before) | {str(row["tenant_id"]) for row in rows}
        for name, record in records.items():
            mine = [row for row in rows if row["tenant_id"] == name]
            first = before[name].next if name in before else 0
            chain = sealed.tenants.tenants[name].chain_id
            head = before[name].head_after if name in before else genesis_hash(name, chain)
            leaves = [event_leaf(row["integrity_hash"]) for row in mine]
            assert record == TenantDay(
                day(number), tenant_key(name), first, len(mine), first + len(mine), tree_root(leaves), head,
                mine[-1]["integrity_hash"] if mine else head, 0,
            )  # fmt: skip
            if not mine:
                assert record.root == EMPTY_ROOT
        values = {record.key: hashlib.sha256(record.encode()).digest() for record in records.values()}
        assert sealed.record.map_root == TenantMap.build(values).root
        _check_manifest(world, sealed, len(rows), len(records))
        before = records
    assert sorted(found) == [row[:3] for row in outbox if row[3] < at(days, "00:00:00").timestamp() * 1_000_000]


def _check_manifest(world: World, sealed: SealedDay, rows: int, tenants: int) -> None:
    name = f"seals/day={sealed.manifest.day}/manifest.json"
    data = world.store.get(name)
    assert hashlib.sha256(data).digest() == sealed.record.manifest
    manifest = Manifest.parse(data)
    assert (manifest.events, manifest.tenants, manifest.breaks) == (rows, tenants, sealed.record.breaks)
    assert set(manifest.software) == {"lumi-pipeline", "pyarrow"}
    keys = {
        key
        for prefix in ("events", "seals")
        for key in world.store.list(f"{prefix}/day={sealed.manifest.day}/")
        if key.endswith(".parquet")
    }
    assert {file.path for file in manifest.files} == keys
    for file in manifest.files:
        stored = world.store.get(file.path)
        assert (len(stored), hashlib.sha256(stored).hexdigest()) == (file.size, file.sha256)
        assert pq.ParquetFile(world.parquet(file.path)).metadata.num_rows == file.rows


# What is sealed.


def test_a_whole_world_to_the_byte(world: World) -> None:
    """Everything here is fixed: times, salts, chain ids, keys. These bytes change only with the published format."""
    histories = {
        "alpha": [at(0, "00:00:00"), at(0, "23:59:59.999999"), at(1, "00:00:00"), at(3, "12:00:00")],
        "beta": [at(0, "12:00:00"), at(0, "12:00:00"), at(0, "12:00:00")],
        "gamma": [at(1, "06:00:00")],
    }
    _insert(world, {name: extend(new_head(name), times)[0] for name, times in histories.items()})
    world.clock.now = at(4, "00:20:03.000000")
    world.pipeline().run()
    _check_against_rows(world, 4)
    genesis = world.store.get("log-private/genesis.txt").decode()
    found: dict[str, object] = {"genesis": genesis, "days": []}
    days = []
    for number in range(4):
        sealed = _sealed(world, number)
        lines = sealed.record.encode().decode().split("\n")
        # The manifest pins files, and with them the version of the Parquet library; the rest does not depend on it.
        assert lines[5] == f"manifest {b64encode(sealed.record.manifest)}"
        days.append(
            {
                "day_record": "\n".join([*lines[:5], *lines[6:]]),
                "events": [row["integrity_hash"].hex() for row in _rows(world, number)],
                "tenant_day_records": {
                    name: tenant.record.encode().decode() for name, tenant in sealed.tenants.tenants.items()
                },
            }
        )
    found["days"] = days
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert Genesis.parse(genesis.encode()) == Genesis(ORIGIN, day(0), LOG_KEY.verifier, EVIDENCE_KEY.verifier)


def test_idle_tenants_new_tenants_and_days_without_events(sealed: World) -> None:
    _check_against_rows(sealed, 3)
    assert {number: set(_sealed(sealed, number).tenants.tenants) for number in range(3)} == {
        0: {"acme", "globex"},
        1: {"acme", "globex"},
        2: {"acme", "globex", "initech"},
    }
    sealed.clock.now = at(6, "01:00:00")
    sealed.record("initech", at(5, "00:00:00"))
    reports = sealed.pipeline().run().seals
    assert [(report.day, report.rows, report.tenants, report.files) for report in reports] == [
        (day(3), 0, 3, 1),
        (day(4), 0, 3, 1),
        (day(5), 1, 3, 2),
    ]
    _check_against_rows(sealed, 6)
    assert list(sealed.store.list(f"events/day={day(3)}")) == []


def test_a_random_history_in_many_landings_is_sealed_row_by_row(world: World) -> None:
    rng = random.Random(7)
    tenants = [f"tenant-{number}" for number in range(9)]
    clock = at(0, "00:00:00")
    for _ in range(9):
        rows = []
        for _ in range(rng.randrange(1, 30)):
            clock += timedelta(seconds=rng.choice([0, 1, 60, 3600, 14400]), microseconds=rng.choice([0, 1]))
            rows.append((rng.choice(tenants), clock))
        world.record_all(rows)
        world.pipeline().land()
        world.clock.now = clock
        if rng.random() < 0.4 and world.pipeline().missing_days():
            world.pipeline().run()
    last = clock.date()
    world.clock.now = clock + timedelta(days=1, minutes=20)
    world.pipeline().run()
    days = world.pipeline().sealed_days()
    assert days[-1] == last
    assert len(days) > 4
    _check_against_rows(world, len(days))


def test_rows_lie_in_plain_hive_partitions(sealed: World) -> None:
    for number, rows in enumerate([4, 2, 3]):
        (key,) = sealed.store.list(f"events/day={day(number)}/")
        assert key.split("/")[-2] == f"day={day(number)}"
        assert pq.read_table(sealed.parquet(key)).num_rows == rows


def test_files_that_no_manifest_lists_do_not_stay_in_a_sealed_partition(world: World) -> None:
    world.record("acme", at(0))
    for key in (
        f"events/day={day(0)}/part-00000-0123456789abcdef.parquet",
        f"seals/day={day(0)}/tenant_days-00.parquet",
    ):
        world.store.put_new(key, b"left by a run that crashed")
    assert [report.day for report in world.pipeline().seal([day(0)])] == [day(0)]
    _check_against_rows(world, 1)


# When a day is sealed.


def test_events_around_midnight_in_one_landing_belong_to_their_own_days(world: World) -> None:
    times = [
        at(0, "23:59:59.999998"), at(0, "23:59:59.999999"), at(1, "00:00:00"), at(1, "00:00:00"),
        at(1, "00:00:00.000001"), at(1, "23:59:59.999999"), at(2, "00:00:00"),
    ]  # fmt: skip
    world.record("acme", *times)
    world.record("globex", at(0, "23:59:59.999999"))
    world.record("initech", at(1, "00:00:00"))
    world.clock.now = at(2, "00:16:00")
    assert len(world.pipeline().run().seals) == 2
    assert [(row["tenant_id"], row["seq"]) for row in _rows(world, 0)] == [("acme", 0), ("acme", 1), ("globex", 0)]
    assert [(row["tenant_id"], row["seq"]) for row in _rows(world, 1)] == [
        ("acme", 2), ("acme", 3), ("acme", 4), ("acme", 5), ("initech", 0),
    ]  # fmt: skip
    _check_against_rows(world, 2)


def test_a_closed_day_takes_no_event_any_more(world: World) -> None:
    world.record("acme", at(0))
    list(world.pipeline().seal([day(0)]))
    for tenant_id in ("acme", "somebody-new"):
        with pytest.raises(TimeRefused, match="the end of the last closed day"):
            world.record(tenant_id, at(0, "23:59:59.999999"))
    with database(world.outbox) as connection:
        # An application whose clock still stands in the closed day.
        for tenant_id in ("acme", "somebody-new"):
            (event,) = AuditRecorder(connection, clock=lambda: at(0, "23:59:00")).record_many([new_event(tenant_id)])
            assert event.recorded_at == at(1, "00:00:00")
        connection.commit()
    list(world.pipeline().seal([day(1)]))
    assert [(row["tenant_id"], row["seq"]) for row in _rows(world, 1)] == [("acme", 1), ("somebody-new", 0)]
    _check_against_rows(world, 2)


def test_closing_waits_for_a_transaction_that_is_open_over_midnight(world: World) -> None:
    world.record("acme", at(0))
    with database(world.outbox) as late, ThreadPoolExecutor(1) as pool:
        AuditRecorder(late).record_many([new_event("acme")], recorded_at=[at(0, "23:59:59")])
        with pytest.raises(OutboxLocked, match="its events may still belong to that day"):
            world.outbox.close_day(day(0), timeout=0.05)
        assert world.outbox.closed_before() < at(0)
        seal = pool.submit(lambda: [report.rows for report in world.pipeline().seal([day(0)])])
        with pytest.raises(TimeoutError):
            seal.result(timeout=0.3)
        late.commit()
        # The transaction committed while the seal waited for it, so its event is in the day.
        assert seal.result(timeout=60) == [2]
    assert [row["seq"] for row in _rows(world, 0)] == [0, 1]


def test_a_transaction_begun_before_midnight_records_into_the_day_that_is_open(world: World) -> None:
    world.record("acme", at(0))
    with database(world.outbox) as late:
        begin(late)
        run(late, "SELECT count(*) FROM audit_outbox")
        late.commit()
        list(world.pipeline().seal([day(0)]))
        (event,) = AuditRecorder(late, clock=lambda: at(0, "23:59:59")).record_many([new_event("acme")])
        late.commit()
    assert event.recorded_at.date() == day(1)


def test_missed_days_are_sealed_in_order_and_published_at_once(world: World) -> None:
    world.record("acme", at(0))
    world.clock.now = at(9, "00:30:00")
    world.record("acme", at(5))
    report = world.pipeline().run()
    assert [seal.day for seal in report.seals] == [day(number) for number in range(9)]
    assert [seal.index for seal in report.seals] == list(range(1, 10))
    assert report.publication is not None
    assert (report.publication.size, report.publication.days) == (10, tuple(day(number) for number in range(9)))
    assert list(world.store.list("log-private/commits/")) == ["log-private/commits/000000000000"]
    _check_against_rows(world, 9)


def test_through_seals_no_further(world: World) -> None:
    world.record("acme", at(0))
    assert [seal.day for seal in world.pipeline().run(through=day(1)).seals] == [day(0), day(1)]
    assert world.pipeline().missing_days() == [day(2), day(3)]
    assert world.pipeline().run(through=day(0)).seals == ()
    assert [seal.day for seal in world.pipeline().run().seals] == [day(2), day(3)]


def test_a_day_that_is_not_over_is_refused(world: World) -> None:
    world.record("acme", at(0))
    before = world.listing()
    for wrong in (day(4), day(5), date.max):
        with pytest.raises(SealError, match=f"{wrong} is not over yet; the last .*{day(3)}"):
            list(world.pipeline().seal([wrong]))
        with pytest.raises(SealError, match=f"{wrong} is not over yet"):
            world.pipeline().run(through=wrong)
        with pytest.raises(SealError, match=f"{wrong} is not over yet"):
            world.pipeline().missing_days(wrong)
    assert {key for key in world.listing() if not key.startswith("land")} == set(before)
    assert world.outbox.closed_before() < at(0)


def test_within_the_grace_after_midnight_a_day_is_sealed_only_when_asked_for(world: World) -> None:
    world.record("acme", at(0))
    world.clock.now = at(1, "00:14:59")
    assert world.pipeline().missing_days() == []
    assert world.pipeline().run().seals == ()
    assert world.pipeline().missing_days(day(0)) == [day(0)]
    world.clock.now = at(1, "00:15:00")
    assert world.pipeline().missing_days() == [day(0)]
    assert [seal.day for seal in world.pipeline().run().seals] == [day(0)]


def test_days_are_sealed_in_order_without_gaps(world: World) -> None:
    world.record("acme", at(0))
    for days in ([day(1)], [day(0), day(2)], [day(-1)], [day(-1), day(0)]):
        with pytest.raises(SealError, match=f"days are sealed in order, without a gap: {day(0)} comes first"):
            list(world.pipeline().seal(days))
        assert world.pipeline().sealed_days() == []
    assert [seal.day for seal in world.pipeline().seal([day(1), day(0)])] == [day(0), day(1)]
    with pytest.raises(SealError, match=f"{day(2)} comes first"):
        list(world.pipeline().seal([day(3)]))


def test_the_first_day_can_be_set_but_not_past_an_event(world: World) -> None:
    world.record("acme", at(1))
    with pytest.raises(SealError, match=f"'first_day' is {day(2)}, but there are events of {day(1)}"):
        world.pipeline(first_day=day(2)).run()
    assert list(world.store.list("seals/")) == list(world.store.list("log")) == []
    reports = world.pipeline(first_day=day(-1)).run().seals
    assert [(report.day, report.index, report.tenants, report.rows) for report in reports] == [
        (day(-1), 1, 0, 0),
        (day(0), 2, 0, 0),
        (day(1), 3, 1, 1),
        (day(2), 4, 1, 0),
        (day(3), 5, 1, 0),
    ]
    assert reports[0].map_root == TenantMap.build({}).root == hashlib.sha256(b"").digest()
    # From then on it is fixed, whatever the configuration says.
    assert world.pipeline(first_day=day(2)).sealed_days()[0] == day(-1)


def test_without_any_event_there_is_nothing_to_seal(world: World) -> None:
    assert world.pipeline().missing_days() == []
    report = world.pipeline().run()
    assert (report.landing.number, report.seals, report.publication) == (None, (), None)
    with pytest.raises(SealError, match="there is no event yet"):
        list(world.pipeline().seal([day(0)]))
    assert world.listing() == {}


def test_a_first_event_of_today_leaves_nothing_to_seal_yet(world: World) -> None:
    world.record("acme", at(4))
    assert world.pipeline().run().seals == ()
    assert world.pipeline().missing_days() == []
    world.clock.now = at(5, "00:15:00")
    assert [seal.day for seal in world.pipeline().run().seals] == [day(4)]


# A sealed day is fixed.


def test_sealing_a_sealed_day_verifies_it_and_writes_nothing(sealed: World) -> None:
    first = {report.day: report for report in sealed.pipeline().seal([day(0), day(1), day(2)])}
    before = sealed.listing()
    outbox = sealed.select("SELECT * FROM audit_chain_head")
    sealed.clock.now = at(3, "05:00:00")
    reports = list(sealed.pipeline().seal([day(2), day(0), day(1)]))
    assert [report.day for report in reports] == [day(0), day(1), day(2)]
    for report in reports:
        assert not report.fresh
        assert {**asdict(report), "seconds": 0} == {**asdict(first[report.day]), "seconds": 0}
    assert sealed.pipeline().run().seals == ()
    assert sealed.listing() == before
    assert sealed.select("SELECT * FROM audit_chain_head") == outbox


def test_a_fresh_seal_and_its_verification_report_the_same(world: World) -> None:
    world.record("acme", at(0), at(1))
    fresh = list(world.pipeline().seal([day(0), day(1)]))
    again = list(world.pipeline().seal([day(0), day(1)]))
    assert [report.fresh for report in fresh + again] == [True, True, False, False]
    assert [{**asdict(r), "seconds": 0, "fresh": 0} for r in fresh] == [
        {**asdict(r), "seconds": 0, "fresh": 0} for r in again
    ]


def test_what_changes_in_the_outbox_afterwards_does_not_reach_a_sealed_day(sealed: World) -> None:
    before = sealed.contents()
    sealed.tamper("UPDATE audit_outbox SET action = 'OTHER' WHERE seq = 0")
    assert [report.rows for report in sealed.pipeline().seal([day(0)])] == [4]
    assert sealed.contents() == before


def test_the_sealing_time_is_never_before_midnight_nor_before_that_of_the_day_before(world: World) -> None:
    world.record("acme", at(0))
    world.clock.now = at(3, "08:00:00")
    list(world.pipeline().seal([day(0)]))
    world.clock.now = at(2, "07:00:00")  # a clock that was set back
    list(world.pipeline().seal([day(1)]))
    world.clock.now = at(3, "00:00:00")
    list(world.pipeline().seal([day(2)]))
    assert [_sealed(world, number).record.sealed for number in range(3)] == [at(3, "08:00:00")] * 3


def test_the_log_does_not_change_its_name(sealed: World) -> None:
    sealed.clock.now = at(4, "01:00:00")
    with pytest.raises(Exception, match=f"the log here is {ORIGIN}, but 'origin' is other.example.com"):
        list(sealed.pipeline(origin="other.example.com").seal([day(3)]))


# Broken chains.


def test_a_break_stops_its_day_and_the_days_before_are_published(world: World) -> None:
    world.record("acme", at(0), at(1), at(2, "10:00:00"), at(2, "11:00:00"), at(3))
    world.record("globex", at(2))
    world.tamper("UPDATE audit_outbox SET after_state = 'x' WHERE seq = 3")
    with pytest.raises(ChainBroken) as caught:
        world.pipeline().run()
    error = caught.value
    assert error.day == day(2)
    ((found),) = error.breaks
    assert (found.tenant_id, found.seq) == ("acme", 3)
    message = str(error)
    assert f"{day(2)} is not sealed: 1 break(s) in its chains" in message
    assert f"tenant acme seq 3: payload-hash: expected {found.expected}, found {found.found}" in message
    assert f"lumi acknowledge --day {day(2)} --reason" in message
    report = world.store.get(f"seals/day={day(2)}/breaks-{error.report_sha256}.json")
    assert hashlib.sha256(report).hexdigest() == error.report_sha256
    assert world.pipeline().sealed_days() == [day(0), day(1)]
    assert world.pipeline().unpublished_days() == []
    assert world.store.get("log/checkpoint").decode().split("\n")[1] == "3"
    # Again: the same finding, and nothing more is written.
    before = world.listing()
    with pytest.raises(ChainBroken, match=error.report_sha256):
        world.pipeline().run()
    assert {key: value for key, value in world.listing().items() if key != "log/checkpoint"} == {
        key: value for key, value in before.items() if key != "log/checkpoint"
    }


def test_a_break_on_the_first_day_leaves_no_log_behind(world: World) -> None:
    world.record("acme", at(0), at(1))
    world.tamper("UPDATE audit_outbox SET action = 'OTHER' WHERE seq = 0")
    with pytest.raises(ChainBroken):
        world.pipeline().run()
    assert list(world.store.list("log")) == []
    assert world.pipeline().genesis() is None


def test_a_message_names_a_handful_of_breaks_and_the_report_all(world: World) -> None:
    world.record_all([(f"tenant-{number}", at(0)) for number in range(9)])
    world.tamper("UPDATE audit_outbox SET action = 'OTHER'")
    with pytest.raises(ChainBroken, match="… and 4 more") as caught:
        list(world.pipeline().seal([day(0)]))
    assert len(caught.value.breaks) == 9
    report = json.loads(world.store.get(f"seals/day={day(0)}/breaks-{caught.value.report_sha256}.json"))
    assert [(row["tenant"], row["seq"]) for row in report["breaks"]] == [(f"tenant-{n}", "0") for n in range(9)]


# Damage to what was landed stops a seal, and is named.


def test_damaged_landed_files_stop_the_seal(world: World) -> None:
    world.record("acme", at(0))
    world.pipeline().land()
    (key,) = [key for key in world.store.list("landed/") if "/part-" in key]
    data = world.store.get(key)
    for damaged in (b"", data[:-1], data[::-1]):
        world.overwrite(key, damaged)
        with pytest.raises(LakeError, match=f"{key} was altered"):
            list(world.pipeline().seal([day(0)]))
    world.store.delete(key)
    with pytest.raises(LakeError, match=f"{key} is missing"):
        list(world.pipeline().seal([day(0)]))
    assert list(world.store.list("seals/")) == list(world.store.list("events/")) == []


def test_a_day_whose_manifest_was_written_is_finished_from_it(world: World) -> None:
    world.record("acme", at(0), at(0, "13:00:00"))
    pipeline = world.pipeline()
    list(pipeline.seal([day(0)]))
    record = DayRecord.parse(world.store.get(f"seals/day={day(0)}/day.txt"))
    world.store.delete(f"seals/day={day(0)}/day.txt")
    before = world.listing(f"seals/day={day(0)}/manifest")
    (report,) = world.pipeline().seal([day(0)])
    assert report.fresh
    assert report.manifest_sha256 == record.manifest.hex()
    assert world.listing(f"seals/day={day(0)}/manifest") == before
    lake: Lake = world.pipeline().lake
    assert load_sealed_day(lake, day(0)).record.map_root == record.map_root


def test_chain_ids_are_kept_with_the_records(world: World) -> None:
    _insert(world, {"acme": extend(new_head("acme"), [at(0)])[0]})
    list(world.pipeline().seal([day(0)]))
    assert _sealed(world, 0).tenants.tenants["acme"].chain_id == chain_id("acme")
