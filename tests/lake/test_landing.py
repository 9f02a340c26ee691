"""Landing: reads what is new, verifies it, keeps it as it was found, and stops when the past has changed."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict

import pyarrow as pa
import pytest

from lumi_pipeline.chain import Break, BreakKind
from lumi_pipeline.errors import LakeError, LandingError, LumiError, OutboxMissing, ReplacedOutbox, RewoundOutbox
from lumi_pipeline.events import EVENT_SCHEMA, Event
from lumi_pipeline.landings import Landing, landed_breaks, landed_tenants, landings
from tests.lake.chains import places
from tests.lake.places import NewPlace
from tests.lake.world import World, at, day

pytestmark = pytest.mark.everywhere

PAYLOAD, INTEGRITY, LINK, MISSING, TIME, HEAD = (
    BreakKind.PAYLOAD,
    BreakKind.INTEGRITY,
    BreakKind.LINK,
    BreakKind.MISSING,
    BreakKind.TIME,
    BreakKind.HEAD,
)


def _landings(world: World) -> list[Landing]:
    return list(landings(world.pipeline().lake))


def _landed(world: World, number: int) -> list[dict[str, object]]:
    """The rows of a landing, as they lie in the lake."""
    lake = world.pipeline().lake
    files = _landings(world)[number].files
    return [row for file in files for table in lake.read_events(file) for row in table.to_pylist()]


def _rows(events: list[Event]) -> list[dict[str, object]]:
    return sorted((asdict(event) for event in events), key=lambda row: (row["tenant_id"], row["seq"]))


def _outbox_rows(world: World) -> list[dict[str, object]]:
    with world.outbox.snapshot() as snapshot:
        tables = list(
            snapshot.rows(
                [(str(tenant), 0) for (tenant,) in world.select("SELECT DISTINCT tenant_id FROM audit_outbox")]
            )
        )
    return pa.concat_tables(tables).to_pylist()


def test_each_landing_holds_exactly_what_is_new(world: World) -> None:
    first = world.record("acme", at(0, "09:00:00"), at(0, "10:00:00")) + world.record("globex", at(0, "09:30:00"))
    report = world.pipeline().land()
    assert (report.number, report.rows, report.tenants, report.breaks) == (0, 3, 2, ())
    assert report.days == {day(0): 3}
    assert report.size == sum(file.size for file in _landings(world)[0].files)
    assert _landed(world, 0) == _rows(first)

    second = world.record("acme", at(0, "23:59:59.999999"), at(1, "00:00:00"), at(1, "00:00:00.000001"))
    second += world.record("initech", at(3, "12:00:00"))
    report = world.pipeline().land()
    assert (report.number, report.rows, report.tenants, report.breaks) == (1, 4, 2, ())
    assert report.days == {day(0): 1, day(1): 2, day(3): 1}
    assert _landed(world, 1) == _rows(second)
    assert _landed(world, 0) == _rows(first)

    lake = world.pipeline().lake
    shares = [
        {share.tenant_id: (share.first, share.cursor.next_seq, share.rows) for share in landed_tenants(lake, landing)}
        for landing in _landings(world)
    ]
    assert shares == [{"acme": (0, 2, 2), "globex": (0, 1, 1)}, {"acme": (2, 5, 3), "initech": (0, 1, 1)}]


def test_without_anything_new_nothing_is_written(world: World) -> None:
    assert world.pipeline().land().number is None
    assert world.listing() == {}
    world.record("acme", at(0))
    assert world.pipeline().land().number == 0
    before = world.listing()
    report = world.pipeline().land()
    assert (report.number, report.rows, report.tenants, report.size, report.days) == (None, 0, 0, 0, {})
    assert world.listing() == before


def test_landing_goes_on_after_days_were_sealed(sealed: World) -> None:
    before = sealed.listing("landings/")
    assert sealed.pipeline().land().number is None
    assert sealed.listing("landings/") == before
    new = sealed.record("acme", at(3, "00:10:00")) + sealed.record("umbrella", at(3, "00:11:00"))
    report = sealed.pipeline().land()
    assert (report.number, report.rows, report.breaks) == (1, 2, ())
    assert _landed(sealed, 1) == _rows(new)


def test_ten_thousand_small_tenants_land_at_once(world: World) -> None:
    rows = [(f"tenant-{number:05d}", at(0, f"{number % 24:02d}:00:00")) for number in range(10_000)]
    world.record_all([*rows, *rows[:2500]])
    world.tamper("UPDATE audit_outbox SET actor_id = 'other' WHERE tenant_id = 'tenant-07777'")
    report = world.pipeline().land()
    assert (report.rows, report.tenants) == (12_500, 10_000)
    assert [(found.tenant_id, found.kind) for found in report.breaks] == [("tenant-07777", INTEGRITY)]
    assert report.days == {day(0): 12_500}


def test_rows_of_any_size_and_kind_come_back_as_they_were(world: World) -> None:
    events = world.record("acme", at(0), before_state="x" * (1 << 20), after_state="é\n\U0010ffff\"'", auth_method=None)
    events += world.record("a.b-C_9", at(0), actor_name="", ip=None, user_agent=None, request_id=None, after_state=None)
    assert world.pipeline().land().breaks == ()
    assert _landed(world, 0) == _rows(events)


# The past has changed.


def _rewind(world: World) -> None:
    world.tamper("UPDATE audit_chain_head SET next_seq = 2 WHERE tenant_id = 'acme'")


def _rewrite_head(world: World) -> None:
    world.tamper("UPDATE audit_chain_head SET head_hash = zeroblob(32) WHERE tenant_id = 'acme'")


def _drop_head(world: World) -> None:
    world.tamper("DELETE FROM audit_chain_head WHERE tenant_id = 'acme'")


def _restart_chain(world: World) -> None:
    world.tamper("UPDATE audit_chain_head SET chain_id = zeroblob(16) WHERE tenant_id = 'acme'")


CHANGES: dict[str, tuple[Callable[[World], None], str]] = {
    "head behind": (_rewind, "the chain head is back at seq 2"),
    "head hash": (_rewrite_head, "and is 0{64} now"),
    "head gone": (_drop_head, "its chain head is gone from the outbox"),
    "chain restarted": (_restart_chain, "the chain was started anew"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("more", [False, True], ids=["alone", "with new events of others"])
def test_a_head_that_contradicts_what_was_landed_stops_everything(world: World, name: str, more: bool) -> None:
    change, message = CHANGES[name]
    world.record("acme", at(0, "09:00:00"), at(0, "10:00:00"), at(0, "11:00:00"))
    world.record("globex", at(0, "09:30:00"))
    world.pipeline().land()
    if more:
        world.record("globex", at(0, "12:00:00"))
    change(world)
    before = world.listing()
    with pytest.raises(RewoundOutbox, match=message) as caught:
        world.pipeline().land()
    assert (caught.value.tenant_id, caught.value.seq) == ("acme", 3)
    assert "tenant acme was landed up to seq 3" in str(caught.value)
    assert world.listing() == before


@pytest.mark.parametrize("name", CHANGES)
def test_sealed_days_pin_the_heads_as_well(sealed: World, name: str) -> None:
    change, message = CHANGES[name]
    change(sealed)
    before = sealed.listing()
    with pytest.raises(RewoundOutbox, match=message):
        sealed.pipeline().land()
    with pytest.raises(RewoundOutbox, match=message):
        sealed.pipeline().run()
    assert sealed.listing() == before


def test_another_database_is_not_landed(world: World, new_place: NewPlace) -> None:
    world.record("acme", at(0))
    world.pipeline().land()
    before = world.listing()
    other = World.create(world.directory / "other", world.clock.now, new_place)
    other.record("acme", at(0), at(0, "13:00:00"))
    world.place.take_outbox(other.place)
    with pytest.raises(ReplacedOutbox, match="the outbox is another database"):
        world.pipeline().land()
    assert world.listing() == before


def test_a_restored_backup_that_went_another_way_is_not_landed(world: World) -> None:
    world.record("acme", at(0, "09:00:00"))
    backup = world.copy(world.directory.with_name("backup"))
    world.record("acme", at(0, "10:00:00"))
    world.pipeline().land()
    before = world.contents("landings/")
    backup.record("acme", at(0, "10:00:00"), at(0, "11:00:00"))
    world.place.take_outbox(backup.place)
    with pytest.raises(RewoundOutbox, match=r"landed up to seq 2, but the row at seq 1 is another one now.*rebase -h"):
        world.pipeline().land()
    assert world.contents("landings/") == before


def test_a_new_row_that_does_not_link_to_what_is_still_there_is_landed_as_found(world: World) -> None:
    landed = world.record("acme", at(0, "09:00:00"))
    world.pipeline().land()
    world.record("acme", at(0, "10:00:00"))
    world.tamper("UPDATE audit_outbox SET prev_hash = zeroblob(32) WHERE seq = 1")
    breaks = world.pipeline().land().breaks
    assert Break("acme", 1, LINK, landed[0].integrity_hash.hex(), bytes(32).hex()) in breaks


def test_a_missing_outbox_is_said_to_be_missing(world: World) -> None:
    world.place.lose_outbox()
    with pytest.raises(OutboxMissing, match=r"there is no outbox at|does not exist"):
        world.pipeline().land()
    assert world.listing() == {}


# What was tampered with before it is landed.

# Of a tenant's rows 0 to 2, row 1 gets another value in one column. What that breaks:
CELLS: dict[str, tuple[object, list[tuple[BreakKind, int]]]] = {
    "seq": (7, [(HEAD, 3), (INTEGRITY, 7), (LINK, 2), (LINK, 7), (MISSING, 1), (MISSING, 3), (TIME, 7)]),
    "event_id": ("00000000-0000-0000-0000-000000000000", [(INTEGRITY, 1)]),
    "recorded_at": (0, [(INTEGRITY, 1), (TIME, 1)]),
    "occurred_at": (0, [(INTEGRITY, 1)]),
    "action": ("OTHER", [(INTEGRITY, 1)]),
    "entity_type": ("other", [(INTEGRITY, 1)]),
    "entity_id": ("other", [(INTEGRITY, 1)]),
    "outcome": ("failure", [(INTEGRITY, 1)]),
    "actor_type": ("system", [(INTEGRITY, 1)]),
    "actor_id": ("other", [(INTEGRITY, 1)]),
    "auth_method": (None, [(INTEGRITY, 1)]),
    "actor_name": (None, [(PAYLOAD, 1)]),
    "ip": ("", [(PAYLOAD, 1)]),
    "user_agent": ("other", [(PAYLOAD, 1)]),
    "request_id": ("other", [(PAYLOAD, 1)]),
    "before_state": ("", [(PAYLOAD, 1)]),
    "after_state": ('{"status": "open"}', [(PAYLOAD, 1)]),
    "payload_salt": (bytes(16), [(PAYLOAD, 1)]),
    "payload_hash": (bytes(32), [(INTEGRITY, 1), (PAYLOAD, 1)]),
    "prev_hash": (bytes(32), [(INTEGRITY, 1), (LINK, 1)]),
    "integrity_hash": (bytes(32), [(INTEGRITY, 1), (LINK, 2)]),
    "erased_at": (1, [(PAYLOAD, 1)]),
}


def test_a_changed_cell_of_any_column_is_landed_as_found_and_named(world: World) -> None:
    assert ["tenant_id", *CELLS] == EVENT_SCHEMA.names
    for column in CELLS:
        world.record(f"t.{column}", at(0, "09:00:00"), at(0, "10:00:00"), at(0, "11:00:00"))
    for column, (value, _) in CELLS.items():
        changed = world.tamper(
            f"UPDATE audit_outbox SET {column} = ? WHERE tenant_id = ? AND seq = 1",  # noqa: S608 - our own columns
            (value, f"t.{column}"),
        )
        assert changed == 1
    world.record("whole", at(0))
    found = world.pipeline().land().breaks
    by_tenant = {column: places(b for b in found if b.tenant_id == f"t.{column}") for column in CELLS}
    assert by_tenant == {column: sorted(expected) for column, (_, expected) in CELLS.items()}
    assert {b.tenant_id for b in found} == {f"t.{column}" for column in CELLS}
    assert _landed(world, 0) == _outbox_rows(world)
    (landing,) = _landings(world)
    assert list(landed_breaks(world.pipeline().lake, landing)) == list(found)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_outbox SET tenant_id = 'nobody' WHERE tenant_id = 'acme' AND seq = 1",
        "DELETE FROM audit_chain_head WHERE tenant_id = 'acme'",
    ],
)
def test_events_that_no_chain_head_announces_stop_the_landing(world: World, sql: str) -> None:
    world.record("acme", at(0), at(0), at(0))
    world.record("globex", at(0))
    world.tamper(sql)
    with pytest.raises(LandingError, match="no chain head for it; nothing was landed"):
        world.pipeline().run()
    assert list(world.store.list("landings/")) == []


def test_a_head_set_back_to_what_was_landed_does_not_hide_the_events_after_it(world: World) -> None:
    world.record("acme", at(0))
    with closing(world.outbox.connect()) as db:
        head = db.execute("SELECT next_seq, head_hash FROM audit_chain_head").fetchone()
    world.pipeline().land()
    world.record("acme", at(0))
    world.tamper("UPDATE audit_chain_head SET next_seq = ?, head_hash = ?", head)
    with pytest.raises(RewoundOutbox, match="tenant acme has an event at seq 1, past its chain head"):
        world.pipeline().land()


@pytest.mark.parametrize(
    ("sql", "expected", "seqs"),
    [
        ("DELETE FROM audit_outbox WHERE seq = 1", [(LINK, 2), (MISSING, 1)], [0, 2, 3, 4]),
        ("DELETE FROM audit_outbox WHERE seq IN (1, 2)", [(LINK, 3), (MISSING, 1)], [0, 3, 4]),
        ("DELETE FROM audit_outbox WHERE seq = 0", [(LINK, 1), (MISSING, 0)], [1, 2, 3, 4]),
        ("DELETE FROM audit_outbox WHERE seq = 4", [(MISSING, 4)], [0, 1, 2, 3]),
        ("DELETE FROM audit_outbox WHERE seq >= 2", [(MISSING, 2)], [0, 1]),
        ("DELETE FROM audit_outbox", [(MISSING, 0)], []),
        ("UPDATE audit_chain_head SET next_seq = 6", [(MISSING, 5)], [0, 1, 2, 3, 4]),
        ("UPDATE audit_chain_head SET next_seq = 3", [(HEAD, 3)], [0, 1, 2, 3, 4]),
        ("UPDATE audit_chain_head SET head_hash = zeroblob(32)", [(HEAD, 4)], [0, 1, 2, 3, 4]),
        ("UPDATE audit_chain_head SET chain_id = zeroblob(16)", [(LINK, 0)], [0, 1, 2, 3, 4]),
    ],
)
def test_lost_and_extra_rows_are_named_and_the_rest_is_landed(
    world: World, sql: str, expected: list[tuple[BreakKind, int]], seqs: list[int]
) -> None:
    world.record("acme", *(at(0, f"{hour:02d}:00:00") for hour in range(9, 14)))
    world.tamper(sql)
    report = world.pipeline().land()
    assert places(report.breaks) == sorted(expected)
    assert {found.tenant_id for found in report.breaks} == {"acme"}
    assert [row["seq"] for row in _landed(world, 0)] == seqs
    assert report.rows == len(seqs)


def test_a_head_back_over_rows_that_were_landed_past_it_stops_the_next_landing(world: World) -> None:
    world.record("acme", at(0, "09:00:00"), at(0, "10:00:00"))
    world.tamper("UPDATE audit_chain_head SET next_seq = 1")
    assert places(world.pipeline().land().breaks) == [(HEAD, 1)]
    with pytest.raises(RewoundOutbox, match="landed up to seq 2, but the chain head is back at seq 1"):
        world.pipeline().land()


def test_what_was_landed_once_is_not_read_again(world: World) -> None:
    world.record("acme", at(0, "09:00:00"), at(0, "10:00:00"))
    world.pipeline().land()
    before = _landed(world, 0)
    world.tamper("UPDATE audit_outbox SET action = 'OTHER' WHERE seq = 0")
    world.tamper("DELETE FROM audit_outbox WHERE seq = 1")
    assert world.pipeline().land().number is None
    world.record("acme", at(0, "11:00:00"))
    report = world.pipeline().land()
    assert (report.number, report.rows, report.breaks) == (1, 1, ())
    assert _landed(world, 0) == before


def test_a_break_does_not_hide_the_next_and_chains_go_on_from_what_was_landed(world: World) -> None:
    world.record("acme", at(0, "09:00:00"), at(0, "10:00:00"))
    world.tamper("UPDATE audit_outbox SET integrity_hash = zeroblob(32) WHERE seq = 1")
    assert places(world.pipeline().land().breaks) == [(HEAD, 1), (INTEGRITY, 1)]
    world.record("acme", at(0, "11:00:00"))
    assert places(world.pipeline().land().breaks) == [(LINK, 2)]  # to the row before it, whatever the head said
    world.record("acme", at(0, "12:00:00"))
    world.tamper("UPDATE audit_outbox SET ip = 'other' WHERE seq = 3")
    assert places(world.pipeline().land().breaks) == [(PAYLOAD, 3)]


# The lake has changed.


def _landed_twice(world: World) -> None:
    world.record("acme", at(0, "09:00:00"))
    world.pipeline().land()
    world.record("globex", at(0, "10:00:00"))
    world.pipeline().land()
    world.record("acme", at(0, "11:00:00"))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("damage", [b"", b"{}\n", None, "flip"])
def test_a_damaged_commit_object_stops_the_next_landing(world: World, number: int, damage: bytes | str | None) -> None:
    _landed_twice(world)
    key = f"landings/{number:012d}.json"
    data = world.store.get(key)
    if damage is None and number == 0:
        world.store.delete(key)
    elif damage is None:
        world.overwrite(key, world.store.get("landings/000000000000.json"))
    elif damage == "flip":
        world.overwrite(key, data.replace(b'"number":', b'"Number":'))
    else:
        assert isinstance(damage, bytes)
        world.overwrite(key, damage)
    before = world.listing()
    with pytest.raises(LumiError, match="landings/00000000000"):
        world.pipeline().land()
    assert world.listing() == before


def test_a_lost_last_landing_is_landed_again(world: World) -> None:
    _landed_twice(world)
    world.store.delete("landings/000000000001.json")
    report = world.pipeline().land()
    assert (report.number, report.rows, report.tenants, report.breaks) == (1, 2, 2, ())
    assert len(list(world.store.list("landed/000000000001/"))) == 2


@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_list_of_tenants_stops_the_next_landing(world: World, number: int) -> None:
    _landed_twice(world)
    file = _landings(world)[number].tenants
    data = world.store.get(file.path)
    for damaged in (b"", data[:-1], data[::-1], data + b"x"):
        world.overwrite(file.path, damaged)
        before = world.listing()
        with pytest.raises(LakeError, match=f"{file.path} was altered"):
            world.pipeline().land()
        assert world.listing() == before
    world.store.delete(file.path)
    with pytest.raises(LakeError, match=f"{file.path} is missing"):
        world.pipeline().land()


def test_landings_that_sealed_days_came_from_must_not_be_gone(sealed: World) -> None:
    sealed.store.delete("landings/000000000000.json")
    sealed.record("acme", at(3))
    with pytest.raises(LandingError, match="their commit objects are gone"):
        sealed.pipeline().land()


def test_a_lost_landing_between_sealed_days_and_the_newest_is_noticed(sealed: World) -> None:
    # Landing 0 is sealed entirely; 1 and 2 are not. Without 1, going on from 2 would leave out what 1 holds.
    sealed.record("acme", at(3, "00:05:00"))
    sealed.pipeline().land()
    sealed.record("globex", at(3, "00:06:00"))
    sealed.pipeline().land()
    sealed.store.delete("landings/000000000001.json")
    before = sealed.listing()
    with pytest.raises(LumiError, match=r"landings/000000000001\.json was lost"):
        sealed.pipeline().land()
    assert sealed.listing() == before


@pytest.mark.parametrize("wrong", ["head_hash = zeroblob(32)", "next_seq = next_seq - 1"])
def test_a_head_that_is_put_right_again_lets_everything_go_on(world: World, wrong: str) -> None:
    world.record("acme", at(0), at(1))
    world.record("globex", at(0))
    with closing(world.outbox.connect()) as db:
        right = db.execute("SELECT next_seq, head_hash FROM audit_chain_head WHERE tenant_id = 'acme'").fetchone()
    world.tamper(f"UPDATE audit_chain_head SET {wrong} WHERE tenant_id = 'acme'")  # noqa: S608 - constants
    assert [found.kind for found in world.pipeline().land().breaks] == [BreakKind.HEAD]
    world.tamper("UPDATE audit_chain_head SET next_seq = ?, head_hash = ? WHERE tenant_id = 'acme'", right)
    assert world.pipeline().land().breaks == ()
    world.record("acme", at(2))
    assert [len(report.breaks) for report in world.pipeline().run().seals] == [0, 0, 0, 0]
