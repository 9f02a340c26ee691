"""Verifying our whole history: whatever was done to it is found and named, and one failure does not hide the next."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lumi_pipeline.cli.history import judge_history
from lumi_pipeline.errors import LumiError
from lumi_pipeline.events import EVENT_SCHEMA, Event
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.lake import Lake, describe_parquet
from lumi_pipeline.landings import landing_key, landings
from lumi_pipeline.outboxverification import verify_outbox
from lumi_pipeline.proving import prove_event
from lumi_pipeline.records import StoredFile
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.verdict import Status, Verdict, worst
from lumi_pipeline.verification import verify_days, verify_landings
from tests.lake.chains import as_table, chain, rehashed
from tests.lake.judging import judge
from tests.lake.world import ORIGIN, World, at, day
from transparency.keys import SigningKey
from transparency.memorystore import MemoryStore
from transparency.policy import Policy

VERIFIED, FAILED, INCOMPLETE = Status.VERIFIED, Status.FAILED, Status.INCOMPLETE


def _by_subject(verdicts: list[Verdict]) -> dict[str, Verdict]:
    return {verdict.subject: verdict for verdict in verdicts}


def _statuses(world: World) -> dict[str, Status]:
    return {verdict.subject: verdict.status for verdict in judge(world)}


@pytest.fixture
def busy(sealed: World) -> World:
    """Three sealed days, and a landing that is not sealed yet."""
    sealed.record("acme", at(3, "00:05:00"), at(3, "00:06:00"))
    sealed.record("umbrella", at(3, "00:07:00"))
    sealed.pipeline().land()
    return sealed


def test_an_intact_history_verifies_part_by_part(busy: World) -> None:
    before = busy.listing()
    verdicts = judge(busy)
    assert [verdict.subject for verdict in verdicts] == [
        "log",
        str(day(0)),
        str(day(1)),
        str(day(2)),
        "landings",
        "outbox",
    ]
    assert all((verdict.status, verdict.reason) == (VERIFIED, "ok") for verdict in verdicts), verdicts
    assert all(line for verdict in verdicts for line in verdict.lines)
    assert worst([verdict.status for verdict in verdicts]) is VERIFIED
    assert busy.listing() == before


def test_a_history_that_has_only_begun_verifies_too(world: World) -> None:
    assert worst(list(_statuses(world).values())) is not FAILED
    world.record("acme", at(0))
    assert _statuses(world)["outbox"] is VERIFIED
    world.pipeline().land()
    found = _statuses(world)
    assert (found["landings"], found["outbox"]) == (VERIFIED, VERIFIED)
    assert list(world.pipeline().seal([day(0)]))
    assert {verdict.subject: verdict.status for verdict in judge(world) if verdict.subject != "log"} == {
        str(day(0)): VERIFIED,
        "landings": VERIFIED,
        "outbox": VERIFIED,
    }


def test_without_a_trusted_key_the_log_is_consistent_and_unconfirmed(busy: World) -> None:
    log = _by_subject(list(judge_history(busy.pipeline(), None, None, None)))["log"]
    assert (log.status, log.reason) == (INCOMPLETE, "key-unconfirmed")
    other = Policy.pinning(SigningKey(ORIGIN, bytes(32)).verifier.vkey)
    assert _by_subject(list(judge_history(busy.pipeline(), other, None, None)))["log"].status is FAILED


def test_days_can_be_verified_by_themselves(busy: World) -> None:
    pipeline = busy.pipeline()
    genesis = pipeline.genesis()
    assert genesis is not None
    rows: list[int] = []
    for number, events in enumerate([4, 2, 3]):
        (verdict,) = verify_days(pipeline.lake, pipeline.sealer(genesis), genesis, [day(number)], rows.append)
        assert (verdict.subject, verdict.status) == (str(day(number)), VERIFIED)
        assert verdict.facts["events"] == str(events)
    assert sum(rows) == 9


def test_a_failed_day_does_not_hide_the_next_failure(busy: World) -> None:
    for number in (0, 2):
        (key,) = busy.store.list(f"events/day={day(number)}/")
        busy.overwrite(key, b"damaged")
    busy.tamper("UPDATE audit_outbox SET ip = 'x' WHERE tenant_id = 'umbrella'")
    found = _by_subject(judge(busy))
    assert {name: verdict.status for name, verdict in found.items()} == {
        "log": VERIFIED,
        str(day(0)): FAILED,
        str(day(1)): VERIFIED,
        str(day(2)): FAILED,
        "landings": VERIFIED,
        "outbox": FAILED,
    }
    assert f"events/day={day(0)}/" in found[str(day(0))].lines[0]
    assert f"events/day={day(2)}/" in found[str(day(2))].lines[0]
    assert "tenant umbrella seq 0" in "".join(found["outbox"].lines)


def test_a_day_whose_day_before_cannot_be_read_is_not_called_verified(busy: World) -> None:
    (key,) = busy.store.list(f"seals/day={day(0)}/tenant_days")
    busy.overwrite(key, b"damaged")
    found = _by_subject(judge(busy))
    assert found[str(day(0))].status is FAILED
    assert (found[str(day(1))].status, found[str(day(1))].reason) == (INCOMPLETE, "day-before")
    assert found[str(day(2))].status is VERIFIED
    assert worst([verdict.status for verdict in found.values()]) is FAILED


# Files that were forged together with everything that names them.


def _forge(world: World, number: int, name: str, edit: Callable[[pa.Table], pa.Table | bytes]) -> None:
    """Replace a sealed day's file, and fit the manifest and the day record to it."""
    sealed = load_sealed_day(world.pipeline().lake, day(number))
    (old,) = [file for file in sealed.manifest.files if name in file.path]
    edited = edit(pq.read_table(world.parquet(old.path)))
    prefix = old.path.rpartition("-")[0]
    if isinstance(edited, pa.Table):
        new, data = describe_parquet(prefix, edited)
    else:
        digest = hashlib.sha256(edited).hexdigest()
        new, data = StoredFile(f"{prefix}-{digest[:16]}.parquet", len(edited), old.rows, digest), edited
    world.store.delete(old.path)
    world.store.put_new(new.path, data)
    files = tuple(sorted(new if file == old else file for file in sealed.manifest.files))
    manifest = replace(sealed.manifest, files=files)
    record = replace(sealed.record, manifest=hashlib.sha256(manifest.encode()).digest())
    world.overwrite(f"seals/day={day(number)}/manifest.json", manifest.encode())
    world.overwrite(f"seals/day={day(number)}/day.txt", record.encode())


def _cell(column: str, value: object) -> Callable[[pa.Table], pa.Table]:
    def edit(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        rows[0][column] = value
        return pa.Table.from_pylist(rows, schema=table.schema)

    return edit


def _not_utf8(column: str) -> Callable[[pa.Table], pa.Table]:
    def edit(table: pa.Table) -> pa.Table:
        damaged = pa.array([b"\xff%d" % row for row in range(len(table))], pa.binary())
        text = pa.Array.from_buffers(pa.string(), len(table), damaged.buffers())
        return table.set_column(table.schema.get_field_index(column), column, text)

    return edit


def _late(table: pa.Table) -> pa.Table:
    times = pa.array([2**62] * len(table), pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return table.set_column(table.schema.get_field_index("recorded_at"), "recorded_at", times)


def _twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table]).replace_schema_metadata(table.schema.metadata)


def _reordered(table: pa.Table) -> pa.Table:
    return table.take(list(range(len(table)))[::-1])


EVENT_FORGERIES: dict[str, Callable[[pa.Table], pa.Table | bytes]] = {
    **{f"null {name}": _cell(name, None) for name in ("tenant_id", "seq", "recorded_at", "action", "actor_name")},
    **{f"null {name}": _cell(name, None) for name in ("payload_hash", "prev_hash", "integrity_hash")},
    **{f"other {name}": _cell(name, "other") for name in ("tenant_id", "event_id", "auth_method", "after_state")},
    **{f"other {name}": _cell(name, bytes(32)) for name in ("payload_hash", "prev_hash", "integrity_hash")},
    "other payload_salt": _cell("payload_salt", bytes(16)),
    "other recorded_at": _cell("recorded_at", at(0, "09:00:00.000001")),
    "other occurred_at": _cell("occurred_at", at(5)),
    "other seq": _cell("seq", 7),
    "negative seq": _cell("seq", -(2**63)),
    "largest seq": _cell("seq", 2**63 - 1),
    "erased_at": _cell("erased_at", at(5)),
    "not UTF-8": _not_utf8("action"),
    "tenants not UTF-8": _not_utf8("tenant_id"),
    "a time past the calendar": _late,
    "rows twice": _twice,
    "rows in another order": _reordered,
    "a row less": lambda table: table.slice(1),
    "no rows": lambda table: table.slice(0, 0),
    "a column less": lambda table: table.drop_columns(["ip"]),
    "a column more": lambda table: table.append_column("more", pa.array(["x"] * len(table))),
    "a wider type": lambda table: table.set_column(0, "tenant_id", table.column(0).cast(pa.large_string())),
    "not Parquet": lambda _: b"PAR1 this is not PAR1",
    "nothing": lambda _: b"",
}  # fmt: skip
TENANT_COLUMNS = (
    "tenant_id", "tenant_key", "chain_id", "first", "count", "next", "root", "head_before", "head_after", "breaks",
)  # fmt: skip
TENANT_FORGERIES: dict[str, Callable[[pa.Table], pa.Table | bytes]] = {
    **{f"null {name}": _cell(name, None) for name in TENANT_COLUMNS},
    **{f"other {name}": _cell(name, 5) for name in ("first", "count", "next", "breaks")},
    **{f"negative {name}": _cell(name, -1) for name in ("first", "count", "next", "breaks")},
    **{f"other {name}": _cell(name, bytes(32)) for name in ("tenant_key", "root", "head_before", "head_after")},
    "other chain_id": _cell("chain_id", bytes(16)),
    "other tenant": _cell("tenant_id", "other"),
    "not UTF-8": _not_utf8("tenant_id"),
    "twice": _twice,
    "a tenant less": lambda table: table.slice(1),
    "none": lambda table: table.slice(0, 0),
    "without its metadata": lambda table: table.replace_schema_metadata({}),
    "with other metadata": lambda table: table.replace_schema_metadata({b"lumi.landing_floor": b"-1"}),
    "a column less": lambda table: table.drop_columns(["breaks"]),
    "not Parquet": lambda _: b"x" * 100,
}


@pytest.mark.parametrize("which", ["part-", "tenant_days-"])
def test_forged_files_fail_their_day_and_end_in_no_traceback(sealed: World, tmp_path: Path, which: str) -> None:
    forgeries = EVENT_FORGERIES if which == "part-" else TENANT_FORGERIES
    ((event_id,),) = sealed.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 0")
    genesis = sealed.pipeline().genesis()
    assert genesis is not None
    for count, (name, edit) in enumerate(forgeries.items()):
        world = sealed.copy(tmp_path / str(count))
        _forge(world, 0, which, edit)
        pipeline = world.pipeline()
        (verdict,) = verify_days(pipeline.lake, pipeline.sealer(genesis), genesis, [day(0)])
        assert verdict.status is FAILED, (name, verdict)
        assert str(day(0)) in verdict.lines[0], (name, verdict)
        # Whoever asks for a proof gets none, or one that fails; never a traceback.
        try:
            data = prove_event(pipeline.lake, genesis, str(event_id))
        except LumiError:
            pass
        else:
            assert b"tlog-proof" in data


def test_a_day_rewritten_from_beginning_to_end_is_not_the_one_that_was_published(world: World, tmp_path: Path) -> None:
    world.clock.now = at(1, "00:30:00")
    world.record("acme", at(0))
    world.pipeline().run()
    other = world.copy(tmp_path / "other")
    world.record("acme", at(1), at(1, "13:00:00"), at(2))
    other.record("acme", at(1), at(2))
    for each in (world, other):
        each.clock.now = at(3, "00:30:00")
        each.pipeline().run()
        assert worst(list(_statuses(each).values())) is VERIFIED
    for folder in ("events", "seals"):
        for key in world.contents(f"{folder}/day={day(1)}/"):
            world.store.delete(key)
        for key, data in other.contents(f"{folder}/day={day(1)}/").items():
            world.store.put_new(key, data)
    found = _by_subject(judge(world))
    # By itself the other day is as good as the real one. But the log holds the real one, and so does the day after it.
    assert found[str(day(1))].status is VERIFIED
    assert found["log"].status is FAILED
    assert f"seals/day={day(1)}/day.txt" in "".join(found["log"].lines)
    assert found[str(day(2))].status is FAILED
    assert "tenant acme" in found[str(day(2))].lines[0]


def test_random_damage_inside_a_stored_file_is_an_error_of_ours_or_harmless() -> None:
    """Even where hashes fit, so that nothing stands before the Parquet reader."""
    rng = random.Random(5)
    events = chain("acme", *[at(0)] * 30)
    file, data = describe_parquet("events/part-00000", as_table(events))
    store = MemoryStore()
    lake = Lake(store, str)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 1, 8])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        bytes_ = bytes(damaged[: rng.choice([len(damaged)] * 9 + [rng.randrange(len(damaged))])])
        digest = hashlib.sha256(bytes_).hexdigest()
        forged = StoredFile(f"events/{digest}", len(bytes_), file.rows, digest)
        store.put_new(forged.path, bytes_)
        try:
            for table in lake.read_events(forged):
                assert table.schema.equals(EVENT_SCHEMA)
                table.to_pylist()
        except LumiError as error:
            assert forged.path in str(error)  # noqa: PT017 - or it is harmless
            refused += 1
    assert refused > 100


# What is landed and not yet sealed.


def test_landed_rows_that_were_changed_with_their_commit_object_break_their_chain(busy: World) -> None:
    lake = busy.pipeline().lake
    landing = list(landings(lake))[1]
    (part,) = landing.files
    rows = pq.read_table(busy.parquet(part.path))
    forged, data = describe_parquet(part.path.rpartition("-")[0], _cell("actor_id", "other")(rows))
    busy.store.delete(part.path)
    busy.store.put_new(forged.path, data)
    busy.overwrite(landing_key(1), replace(landing, files=(forged,)).encode())
    found = _by_subject(judge(busy))
    assert (found["landings"].status, found["landings"].reason) == (FAILED, "chain-broken")
    assert "tenant acme seq 5: integrity-hash" in "".join(found["landings"].lines)
    assert {name for name, verdict in found.items() if verdict.status is not VERIFIED} == {"landings"}


@pytest.mark.parametrize("column", ["tenant_id", "seq", "recorded_at", "integrity_hash", "action"])
def test_landed_rows_with_nulls_are_an_error_of_ours(busy: World, column: str) -> None:
    landing = list(landings(busy.pipeline().lake))[1]
    (part,) = landing.files
    rows = pq.read_table(busy.parquet(part.path))
    forged, data = describe_parquet(part.path.rpartition("-")[0], _cell(column, None)(rows))
    busy.store.put_new(forged.path, data)
    busy.store.delete(part.path)
    busy.overwrite(landing_key(1), replace(landing, files=(forged,)).encode())
    pipeline = busy.pipeline()
    sealed = load_sealed_day(pipeline.lake, day(2)).tenants
    assert verify_landings(pipeline.lake, sealed, pipeline.erasures()).status is FAILED
    busy.clock.now = at(4, "00:30:00")
    with pytest.raises(LumiError):
        busy.pipeline().run()


@pytest.mark.parametrize("key", ["landed/stray", "landed/x/part-0.parquet", "landed/000000000000/part-0.parquet"])
def test_what_does_not_belong_among_landed_files_is_named(busy: World, key: str) -> None:
    busy.store.put_new(key, b"x")
    found = _by_subject(judge(busy))["landings"]
    assert found.status is FAILED
    assert key in found.lines[0]


# The outbox.


def _stored(world: World, tenant_id: str) -> list[Event]:
    with world.outbox.snapshot() as snapshot:
        return [Event(**row) for table in snapshot.rows([(tenant_id, 0)]) for row in table.to_pylist()]


OUTBOX: dict[str, tuple[str, str]] = {
    "a sealed row's core": ("UPDATE audit_outbox SET action = 'X' WHERE tenant_id = 'acme' AND seq = 1", "acme seq 1"),
    "a sealed row's payload": ("UPDATE audit_outbox SET ip = 'X' WHERE tenant_id = 'acme' AND seq = 1", "acme seq 1"),
    "a sealed row lost": ("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 1", "acme seq 1"),
    "the last landed row lost": ("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 6", "acme seq 6"),
    "a whole tenant lost": ("DELETE FROM audit_outbox WHERE tenant_id = 'globex'", "globex seq 0"),
    "a row that is new": ("UPDATE audit_outbox SET seq = 2 WHERE tenant_id = 'globex' AND seq = 1", "globex seq 1"),
    "a head behind": ("UPDATE audit_chain_head SET next_seq = 1 WHERE tenant_id = 'globex'", "globex was landed up to"),
    "another head": ("UPDATE audit_chain_head SET head_hash = zeroblob(32) WHERE tenant_id = 'acme'", "tenant acme"),
    "a head gone": ("DELETE FROM audit_chain_head WHERE tenant_id = 'globex'", "tenant globex"),
    "another chain_id": ("UPDATE audit_chain_head SET chain_id = zeroblob(16) WHERE tenant_id = 'acme'", "tenant acme"),
    "another database": ("UPDATE audit_identity SET system_id = 'other'", "another database"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTBOX)
def test_changes_of_the_outbox_are_found_and_named(busy: World, name: str) -> None:
    sql, named = OUTBOX[name]
    assert busy.tamper(sql) >= 1
    found = _by_subject(judge(busy))
    assert found["outbox"].status is FAILED
    assert named in "".join(found["outbox"].lines)
    assert {subject for subject, verdict in found.items() if verdict.status is not VERIFIED} == {"outbox"}


def test_a_chain_rewritten_in_the_outbox_with_all_its_hashes_differs_from_what_was_landed(busy: World) -> None:
    ((chain_id,),) = busy.select("SELECT chain_id FROM audit_chain_head WHERE tenant_id = 'acme'")
    assert isinstance(chain_id, bytes)
    head = genesis_hash("acme", chain_id)
    for event in _stored(busy, "acme"):
        forged = rehashed(event, prev_hash=head, **({"actor_id": "somebody-else"} if event.seq == 3 else {}))
        head = forged.integrity_hash
        busy.tamper(
            "UPDATE audit_outbox SET actor_id = ?, prev_hash = ?, integrity_hash = ? WHERE tenant_id = ? AND seq = ?",
            (forged.actor_id, forged.prev_hash, forged.integrity_hash, "acme", forged.seq),
        )
    busy.tamper("UPDATE audit_chain_head SET head_hash = ? WHERE tenant_id = 'acme'", (head,))
    found = _by_subject(judge(busy))["outbox"]
    assert found.status is FAILED
    assert "tenant acme was landed up to seq 7" in found.lines[0]
    # Also when events that follow have moved the head on.
    busy.record("acme", at(3, "00:20:00"))
    found = _by_subject(judge(busy))["outbox"]
    assert found.status is FAILED
    assert "tenant acme seq 6: the outbox's chain was rewritten" in found.lines[0]


def test_an_outbox_that_is_away_leaves_the_verification_incomplete(busy: World) -> None:
    busy.place.lose_outbox()
    found = _by_subject(judge(busy))
    assert found["outbox"].status is INCOMPLETE
    assert {subject for subject, verdict in found.items() if verdict.status is not VERIFIED} == {"outbox"}
    sealed = load_sealed_day(busy.pipeline().lake, day(2)).tenants
    pipeline = busy.pipeline()
    verdict = verify_outbox(busy.outbox, pipeline.lake, sealed, pipeline.erasures())
    assert (verdict.status, verdict.reason) == (INCOMPLETE, "unavailable")


def test_events_recorded_since_the_last_landing_are_verified_and_no_finding(busy: World) -> None:
    busy.record("acme", at(3, "00:30:00"))
    busy.record("newcomer", at(3, "00:30:00"))
    assert worst(list(_statuses(busy).values())) is VERIFIED
