"""Whatever is changed in the outbox, before it was landed or after its day was sealed, is found and named."""

import re
from pathlib import Path

import pytest

from lumi_pipeline.chain import BreakKind
from lumi_pipeline.errors import ChainBroken, LakeError, LandingError, RewoundOutbox
from lumi_pipeline.events import COLUMNS
from lumi_pipeline.outboxverification import verify_outbox
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.verdict import Status, Verdict
from tests.lake.judging import judge
from tests.lake.places import NewPlace
from tests.lake.world import World, at, day

ACME = [
    at(0, "09:00:00"),
    at(0, "10:00:00"),
    at(1, "11:00:00"),
    at(2, "00:01:00"),
    at(2, "00:02:00"),
    at(2, "00:10:00"),
]
"""When acme's events were recorded."""

OTHER_VALUES = {
    "tenant_id": "'another'",
    "seq": "seq + 1000",
    "event_id": "'01890000-0000-7000-8000-000000000000'",
    "recorded_at": "recorded_at + 1",
    "occurred_at": "occurred_at + -1",
    "action": "'TICKET_DELETED'",
    "entity_type": "'user'",
    "entity_id": "'T-2'",
    "outcome": "'failure'",
    "actor_type": "'system'",
    "actor_id": "'u-18'",
    "auth_method": "NULL",
    "actor_name": "'Zoe Angstrom'",
    "ip": "NULL",
    "user_agent": "''",
    "request_id": "request_id || ' '",
    "before_state": "'null'",
    "after_state": '\'{"status": "open"}\'',
    "payload_salt": "zeroblob(16)",
    "payload_hash": "zeroblob(32)",
    "prev_hash": "zeroblob(32)",
    "integrity_hash": "zeroblob(32)",
    "erased_at": "recorded_at",
}
"""For every column another value that a recorder could have written; each is a small change where one is possible."""


def recorded(directory: Path, new_place: NewPlace) -> World:
    """Two days of events and a third that is open. Nothing is landed."""
    world = World.create(directory, at(2, "00:20:00"), new_place)
    world.record_all(
        [
            *(("acme", moment) for moment in ACME[:5]),
            ("globex", at(0, "10:00:00")),
            ("initech", at(2, "00:03:00")),
        ]
    )
    return world


@pytest.fixture(scope="module")
def recorded_template(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    return recorded(tmp_path_factory.mktemp("recorded") / "world", new_place)


@pytest.fixture(scope="module")
def sealed_template(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    """Two days are sealed, and the events of the third are landed; then one more was recorded."""
    world = recorded(tmp_path_factory.mktemp("sealed") / "world", new_place)
    world.pipeline().run()
    world.record("acme", ACME[5])
    return world


@pytest.fixture
def unlanded(recorded_template: World, tmp_path: Path) -> World:
    return recorded_template.copy(tmp_path / "world")


@pytest.fixture
def landed(sealed_template: World, tmp_path: Path) -> World:
    return sealed_template.copy(tmp_path / "world")


def verdict_on(world: World) -> Verdict:
    pipeline = world.pipeline()
    days = pipeline.sealed_days()
    sealed = load_sealed_day(pipeline.lake, days[-1]).tenants if days else None
    return verify_outbox(world.outbox, pipeline.lake, sealed, pipeline.erasures())


def test_every_column_has_another_value() -> None:
    assert set(OTHER_VALUES) == set(COLUMNS)


def test_unchanged_it_verifies(landed: World) -> None:
    assert verdict_on(landed).status is Status.VERIFIED


@pytest.mark.parametrize("seq", [1, 3, 5], ids=["sealed", "landed", "recorded"])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_changed_row_is_found(landed: World, column: str, seq: int) -> None:
    assert change(landed, column, seq) == 1
    verdict = verdict_on(landed)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "chain-broken")
    assert re.search(rf"tenant acme seq {seq}\b", "\n".join(verdict.lines))


@pytest.mark.parametrize("column", [column for column in COLUMNS if column not in {"tenant_id", "seq"}])
def test_a_row_that_is_changed_before_it_is_landed_stops_the_seal(unlanded: World, column: str) -> None:
    """Of its day; what comes before is sealed and published."""
    assert change(unlanded, column, 2) == 1
    with pytest.raises(ChainBroken) as stopped:
        unlanded.pipeline().run()
    assert stopped.value.day == day(1)
    assert ("acme", 2) in {(found.tenant_id, found.seq) for found in stopped.value.breaks}
    assert "tenant acme seq 2" in str(stopped.value)
    assert unlanded.pipeline().sealed_days() == [day(0)]
    assert verdict_on(unlanded).status is Status.FAILED


def test_a_row_that_is_given_to_another_tenant_before_it_is_landed_stops_the_seal(unlanded: World) -> None:
    assert change(unlanded, "tenant_id", 2) == 1
    with pytest.raises(LandingError, match="tenant another, but no chain head"):
        unlanded.pipeline().run()
    assert "tenant another has events but no chain head" in "\n".join(verdict_on(unlanded).lines)


def test_a_row_that_is_moved_past_the_head_before_it_is_landed_stops_everything(unlanded: World) -> None:
    """It is landed as it is found; from then on the chain's head is behind what was landed."""
    assert change(unlanded, "seq", 2) == 1
    report = unlanded.pipeline().land()
    assert ("acme", 2, BreakKind.MISSING) in {(found.tenant_id, found.seq, found.kind) for found in report.breaks}
    with pytest.raises(RewoundOutbox, match="tenant acme was landed up to seq 1003"):
        unlanded.pipeline().run()
    assert verdict_on(unlanded).status is Status.FAILED


def change(world: World, column: str, seq: int) -> int:
    return world.tamper(
        f"UPDATE audit_outbox SET {column} = {OTHER_VALUES[column]} WHERE tenant_id = 'acme' AND seq = ?",  # noqa: S608
        [seq],
    )


# Everything else that is in the database.

REST = ", ".join(COLUMNS[3:])
ELSEWHERE = {
    "head: tenant": ("UPDATE audit_chain_head SET tenant_id = 'another' WHERE tenant_id = 'acme'", "acme"),
    "head: chain": ("UPDATE audit_chain_head SET chain_id = zeroblob(16) WHERE tenant_id = 'acme'", "acme"),
    "head: forward": ("UPDATE audit_chain_head SET next_seq = next_seq + 1 WHERE tenant_id = 'acme'", "acme seq 6"),
    "head: back": ("UPDATE audit_chain_head SET next_seq = 5 WHERE tenant_id = 'acme'", "acme was landed up to seq 5"),
    "head: far back": (
        "UPDATE audit_chain_head SET next_seq = 1 WHERE tenant_id = 'acme'",
        "acme was landed up to seq 5",
    ),
    "head: hash": ("UPDATE audit_chain_head SET head_hash = zeroblob(32) WHERE tenant_id = 'acme'", "acme seq 5"),
    "head: hash, all landed": (
        "UPDATE audit_chain_head SET head_hash = zeroblob(32) WHERE tenant_id = 'globex'",
        "globex was landed up to seq 1",
    ),
    "head: time": (
        "UPDATE audit_chain_head SET last_recorded_at = last_recorded_at - 1 WHERE tenant_id = 'acme'",
        "acme seq 6",
    ),
    "head: later": (
        "UPDATE audit_chain_head SET last_recorded_at = last_recorded_at + 1 WHERE tenant_id = 'acme'",
        "acme seq 6",
    ),
    "head: closed day opened": (
        "UPDATE audit_chain_head SET last_recorded_at = last_recorded_at - 1 WHERE tenant_id = 'globex'",
        "globex seq 1",
    ),
    "head: gone": ("DELETE FROM audit_chain_head WHERE tenant_id = 'acme'", "acme"),
    "head: invented": (
        "INSERT INTO audit_chain_head SELECT 'another', chain_id, 3, head_hash, 0 FROM audit_chain_head LIMIT 1",
        "another seq 0",
    ),
    "row: gone": ("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 3", "acme seq 3"),
    "row: first gone": ("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 0", "acme seq 0"),
    "row: last gone": ("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 5", "acme seq 5"),
    "row: all gone": ("DELETE FROM audit_outbox WHERE tenant_id = 'globex'", "globex seq 0"),
    "row: one more": (
        f"INSERT INTO audit_outbox SELECT tenant_id, 6, 'another', {REST} FROM audit_outbox WHERE seq = 5",  # noqa: S608
        "acme seq 6",
    ),
    "row: of nobody": (
        f"INSERT INTO audit_outbox SELECT 'another', 0, 'another', {REST} FROM audit_outbox WHERE seq = 5",  # noqa: S608
        "another",
    ),
    "closed: opened again": ("UPDATE audit_close SET closed_before = closed_before - 1", "audit_close"),
    "closed: later": ("UPDATE audit_close SET closed_before = closed_before + 3600000000", "globex seq 1"),
    "closed: gone": ("DELETE FROM audit_close", "audit_close"),
    "identity: another": ("UPDATE audit_identity SET system_id = 'another'", "another database"),
    "identity: gone": ("DELETE FROM audit_identity", "another database"),
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_change_anywhere_else_is_found(landed: World, what: str) -> None:
    sql, place = ELSEWHERE[what]
    assert landed.tamper(sql) == 1
    verdict = verdict_on(landed)
    assert verdict.status is Status.FAILED
    assert place in "\n".join(verdict.lines)


HEADS_BEFORE_LANDING = {
    "chain": ("UPDATE audit_chain_head SET chain_id = zeroblob(16) WHERE tenant_id = 'acme'", ("acme", 0)),
    "forward": ("UPDATE audit_chain_head SET next_seq = next_seq + 1 WHERE tenant_id = 'globex'", ("globex", 1)),
    "hash": ("UPDATE audit_chain_head SET head_hash = zeroblob(32) WHERE tenant_id = 'globex'", ("globex", 0)),
}


@pytest.mark.parametrize("what", HEADS_BEFORE_LANDING)
def test_a_head_that_is_changed_before_its_rows_are_landed_stops_the_seal(unlanded: World, what: str) -> None:
    sql, place = HEADS_BEFORE_LANDING[what]
    assert unlanded.tamper(sql) == 1
    with pytest.raises(ChainBroken) as stopped:
        unlanded.pipeline().run()
    assert place in {(found.tenant_id, found.seq) for found in stopped.value.breaks}
    assert unlanded.pipeline().sealed_days() == []


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM audit_chain_head WHERE tenant_id = 'globex'",
        "UPDATE audit_chain_head SET tenant_id = 'another' WHERE tenant_id = 'globex'",
    ],
)
def test_a_chain_without_a_head_stops_everything(unlanded: World, sql: str) -> None:
    unlanded.tamper(sql)
    with pytest.raises(LandingError, match="tenant globex, but no chain head"):
        unlanded.pipeline().run()
    verdict = verdict_on(unlanded)
    assert verdict.status is Status.FAILED
    assert "tenant globex has events but no chain head" in verdict.lines[0]


# Rewriting by somebody who can do all that a recorder can: the new chain is in perfect order.


def rewrite(world: World, seq: int) -> None:
    """Take acme's events from ``seq`` on away and record others in their place."""
    [[head]] = world.select("SELECT prev_hash FROM audit_outbox WHERE tenant_id = 'acme' AND seq = ?", [seq])
    world.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq >= ?", [seq])
    world.tamper(
        "UPDATE audit_chain_head SET next_seq = ?, head_hash = ?, last_recorded_at = 0 WHERE tenant_id = 'acme'",
        [seq, head],
    )
    world.record("acme", *ACME[seq:], actor_id="somebody-else")


@pytest.mark.parametrize("seq", [1, 2, 3], ids=["sealed", "sealed-last", "landed"])
@pytest.mark.parametrize("more", [False, True], ids=["same-length", "longer"])
def test_a_rewritten_chain_is_found_and_never_landed(landed: World, seq: int, more: bool) -> None:
    """Its hashes hold no key, so what pins it is what was landed before."""
    landed.pipeline().land()
    rewrite(landed, seq)
    if more:
        landed.record("acme", at(2, "00:11:00"))
    verdict = verdict_on(landed)
    assert verdict.status is Status.FAILED
    assert "tenant acme" in verdict.lines[0]
    with pytest.raises(RewoundOutbox, match="tenant acme was landed up to seq 6"):
        landed.pipeline().land()


# A manifest that lies there before its day is sealed, as a crash may leave it, or somebody with access to the lake.


def plant(source: World, target: World) -> str:
    """Copy from one lake to another all of day 1 but its record; return the manifest's key."""
    for prefix in ("events", "seals"):
        for key, data in source.contents(f"{prefix}/day={day(1)}/").items():
            if key.endswith((".parquet", "manifest.json")):
                target.store.put_new(key, data)
    return f"seals/day={day(1)}/manifest.json"


@pytest.fixture
def day_sealed(tmp_path: Path, new_place: NewPlace) -> World:
    """Day 0 is sealed, day 1 is over, and nothing was recorded in it yet."""
    world = World.create(tmp_path / "day-sealed", at(2, "00:20:00"), new_place)
    world.record("acme", *ACME[:2])
    world.pipeline().run(through=day(0))
    return world


def test_a_manifest_that_leaves_out_what_was_landed_is_not_sealed(day_sealed: World, tmp_path: Path) -> None:
    """Nobody is bound by it yet; without it the day is sealed as it was landed."""
    idle = day_sealed.copy(tmp_path / "idle")
    idle.pipeline().run()
    day_sealed.record("acme", ACME[2])
    manifest = plant(idle, day_sealed)
    with pytest.raises(LakeError, match=rf"{manifest} was altered: it leaves out tenant acme seq 2"):
        day_sealed.pipeline().run()
    day_sealed.store.delete(manifest)
    day_sealed.pipeline().run()
    assert [verdict for verdict in judge(day_sealed) if verdict.status is not Status.VERIFIED] == []


def test_a_manifest_with_breaks_that_nobody_accepted_is_not_sealed(day_sealed: World, tmp_path: Path) -> None:
    day_sealed.record("acme", ACME[2])
    broken = day_sealed.copy(tmp_path / "broken")
    assert change(broken, "actor_id", 2) == 1
    with pytest.raises(ChainBroken):
        broken.pipeline().run()
    broken.pipeline().acknowledge(day(1), "accepted there, not here")
    broken.pipeline().run()
    manifest = plant(broken, day_sealed)
    with pytest.raises(ChainBroken, match="tenant acme seq 2"):
        day_sealed.pipeline().run()
    day_sealed.store.delete(manifest)
    day_sealed.pipeline().run()
    assert [verdict for verdict in judge(day_sealed) if verdict.status is not Status.VERIFIED] == []
