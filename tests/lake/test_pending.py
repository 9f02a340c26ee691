"""Which landed rows belong to which day: exactly those of its date, and sensibly where dates were tampered with."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lumi_pipeline.chain import ChainEnd
from lumi_pipeline.errors import ChainBroken, LakeError, SealError
from lumi_pipeline.events import Event, to_micros
from lumi_pipeline.pending import DayRange, Pending
from lumi_pipeline.proving import prove_event
from lumi_pipeline.sealedday import load_sealed_day
from tests.lake.chains import as_table, extend, new_head, rehashed
from tests.lake.world import World, at, day

TIMES = [
    at(0, "08:00:00"),
    at(0, "12:00:00"),
    at(0, "16:00:00"),
    at(1, "08:00:00"),
    at(1, "12:00:00"),
    at(1, "16:00:00"),
]
FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def _pending(world: World, floor: int = 0) -> Pending:
    return Pending(world.pipeline().lake, floor)


# Without tampering.


def test_a_days_range_ends_where_the_next_day_begins(world: World) -> None:
    events = world.record("acme", *TIMES)
    world.pipeline().land()
    with _pending(world) as pending:
        assert pending.first_day() == day(0)
        assert pending.day_range("acme", 0, day(0)) == DayRange(0, ChainEnd(3, None))
        assert pending.day_range("acme", 3, day(1)) == DayRange(3, ChainEnd(6, events[5].integrity_hash))
        assert pending.day_range("acme", 6, day(2)) == DayRange(6, ChainEnd(6, events[5].integrity_hash))
        assert pending.day_range("acme", 0, day(-1)) == DayRange(0, ChainEnd(0, None))
        assert pending.prev_hash("acme", 3) == events[2].integrity_hash
        assert [pending.may_have_rows(day(number)) for number in range(-1, 4)] == [False, True, True, False, False]


def test_midnight_is_exact_to_the_microsecond_at_any_date(world: World) -> None:
    # Past 2300 the microseconds since 1970 no longer fit the precision of a double.
    midnights = [datetime(year, 3, 1, tzinfo=UTC) for year in (2, 1969, 1970, 2024, 2060, 2150, 2400, 5000, 9999)]
    for end in midnights:
        start = replace(new_head(f"t.{end.year}"), last_recorded_at=FIRST)
        world.put(*extend(start, [end - timedelta(microseconds=1), end]))
    assert world.pipeline().land().breaks == ()
    with _pending(world) as pending:
        for end in midnights:
            tenant_id, eve = f"t.{end.year}", end.date() - timedelta(days=1)
            assert pending.day_range(tenant_id, 0, eve - timedelta(days=1)).end.next_seq == 0
            assert pending.day_range(tenant_id, 0, eve).end.next_seq == 1
            assert pending.day_range(tenant_id, 1, end.date()).end.next_seq == 2
            assert pending.may_have_rows(eve)
            assert pending.may_have_rows(end.date())


def test_rows_come_sorted_from_all_landings_and_only_those_asked_for(world: World) -> None:
    events = []
    for hour in range(8, 14):
        for tenant_id in ("globex", "acme", "initech"):
            events += world.record(tenant_id, at(0, f"{hour:02d}:00:00"))
        if hour % 2:
            world.pipeline().land()
    wanted = {"initech": (0, 6), "acme": (2, 5), "nobody": (0, 0), "globex": (6, 6)}
    with _pending(world) as pending:
        ranges = {name: DayRange(first, ChainEnd(after, None)) for name, (first, after) in wanted.items()}
        rows = [row for table in pending.rows(ranges) for row in table.to_pylist()]
        assert list(pending.rows({})) == []
    expected = [e for e in events if e.tenant_id in {"acme", "initech"} and (e.tenant_id != "acme" or 2 <= e.seq < 5)]
    assert rows == as_table(sorted(expected, key=lambda event: (event.tenant_id, event.seq))).to_pylist()


def test_nothing_landed_is_nothing_pending(world: World) -> None:
    with _pending(world) as pending:
        assert pending.first_day() is None
        assert pending.tenants == {}
        assert list(pending.rows({"acme": DayRange(0, ChainEnd(3, None))})) == []
        assert pending.floor_after({}) == 0


def test_landings_are_done_with_once_all_their_rows_are_sealed(world: World) -> None:
    for number, tenants in enumerate([("acme", "globex"), ("acme",), ("globex",)]):
        world.record_all([(tenant_id, at(number)) for tenant_id in tenants])
        world.pipeline().land()
    with _pending(world) as pending:
        assert pending.floor_after({}) == 0
        assert pending.floor_after({"acme": 1, "globex": 1}) == 1
        assert pending.floor_after({"acme": 2, "globex": 0}) == 0
        assert pending.floor_after({"acme": 2, "globex": 1}) == 2
        assert pending.floor_after({"acme": 2, "globex": 2}) == 3
    with _pending(world, 3) as pending:
        assert pending.floor_after({}) == 3


def test_published_landings_are_cleared_away_and_unsealed_ones_are_not(world: World) -> None:
    world.record("acme", at(0))
    world.pipeline().land()
    world.record("acme", at(0, "13:00:00"), at(4, "01:00:00"))
    world.record("globex", at(4, "02:00:00"))
    world.pipeline().run()
    assert {key.split("/")[1] for key in world.store.list("landed/")} == {"000000000001"}
    assert len(list(world.store.list("landings/"))) == 2
    world.clock.now = at(5, "00:20:00")
    world.pipeline().run()
    assert list(world.store.list("landed/")) == []


@pytest.mark.parametrize("name", ["it's a*b", "br[ac]ket", "{a,b} ü%20"])
def test_the_lake_may_lie_under_any_path(world: World, name: str) -> None:
    moved = world.copy(world.directory.parent / name)
    (event,) = moved.record("acme", at(0))
    moved.pipeline().run()
    assert [report.rows for report in moved.pipeline().seal([day(0)])] == [1]
    genesis = moved.pipeline().genesis()
    assert genesis is not None
    assert prove_event(moved.pipeline().lake, genesis, event.event_id)


# With tampering.


def _rehash(world: World, event: Event) -> None:
    """Make a tampered row's own hash fit again."""
    world.tamper(
        "UPDATE audit_outbox SET integrity_hash = ? WHERE tenant_id = ? AND seq = ?",
        (rehashed(event).integrity_hash, event.tenant_id, event.seq),
    )


def _stored(world: World) -> list[Event]:
    with world.outbox.snapshot() as snapshot:
        tenants = [str(name) for (name,) in world.select("SELECT DISTINCT tenant_id FROM audit_outbox")]
        return [Event(**row) for table in snapshot.rows([(name, 0) for name in tenants]) for row in table.to_pylist()]


def _seal_everything(world: World) -> dict[str, int]:
    """Seal all complete days, accepting whatever breaks there are; count the breaks of each tenant."""
    breaks: dict[str, int] = {}
    for _ in range(9):
        try:
            world.pipeline().run()
        except ChainBroken as error:
            for found in error.breaks:
                breaks[found.tenant_id] = breaks.get(found.tenant_id, 0) + 1
            world.pipeline().acknowledge(error.day, "a test")
        else:
            return breaks
    raise AssertionError("the days are never done")


def _sealed_rows(world: World) -> dict[tuple[str, int], list[int]]:
    """Where each row was sealed: (tenant, seq) → numbers of days."""
    found: dict[tuple[str, int], list[int]] = {}
    lake = world.pipeline().lake
    for date in world.pipeline().sealed_days():
        for file in load_sealed_day(lake, date).manifest.files:
            if file.path.startswith("events/"):
                for table in lake.read_events(file):
                    for tenant_id, seq in zip(
                        *(table.column(n).to_pylist() for n in ("tenant_id", "seq")), strict=True
                    ):
                        found.setdefault((tenant_id, seq), []).append((date - day(0)).days)
    return found


@pytest.mark.parametrize("forged", [False, True], ids=["time alone", "with its hash"])
def test_a_tampered_time_costs_few_breaks_and_no_row(world: World, forged: bool) -> None:
    moments = {"first": FIRST, "1969": datetime(1969, 7, 20, tzinfo=UTC), "eve": at(-1), "next": at(2), "last": LAST}
    cases = [(name, seq) for name in moments for seq in range(6)]
    rows = [(f"{name}-{seq}", moment) for name, seq in cases for moment in TIMES]
    rows += [("honest", moment) for moment in [*TIMES, at(2), at(3, "23:00:00")]]
    world.record_all(rows)
    for name, seq in cases:
        world.tamper(
            "UPDATE audit_outbox SET recorded_at = ? WHERE tenant_id = ? AND seq = ?",
            (to_micros(moments[name]), f"{name}-{seq}", seq),
        )
    if forged:
        for event in _stored(world):
            if event.tenant_id.endswith(f"-{event.seq}"):
                _rehash(world, event)
    breaks = _seal_everything(world)
    sealed = _sealed_rows(world)
    days = world.pipeline().sealed_days()
    assert days == [day(number) for number in range(4)]
    for name, seq in cases:
        tenant_id = f"{name}-{seq}"
        assert 1 <= breaks[tenant_id] <= 3, tenant_id
        for other in range(6):
            (number,) = sealed[tenant_id, other]
            if other != seq:
                assert number == other // 3, (tenant_id, other)
            else:
                assert number <= 2, (tenant_id, other)
    assert "honest" not in breaks
    assert len(sealed) == len(rows)


def test_the_only_event_with_a_far_time_waits_for_others_to_date_it(world: World) -> None:
    world.record("acme", at(0))
    world.tamper("UPDATE audit_outbox SET recorded_at = ?", (to_micros(LAST),))
    assert len(world.pipeline().land().breaks) == 1
    assert world.pipeline().missing_days() == []
    with pytest.raises(SealError, match="9999-12-31 comes first"):
        list(world.pipeline().seal([day(0)]))
    world.record("globex", at(1))
    world.pipeline().land()
    assert world.pipeline().missing_days() == [day(1), day(2), day(3)]
    assert _seal_everything(world) == {"acme": 2}
    assert _sealed_rows(world) == {("acme", 0): [1], ("globex", 0): [1]}


def test_when_every_event_is_in_doubt_the_seal_stops_and_no_log_begins(world: World) -> None:
    world.record("acme", at(0), at(0))
    for moment in (FIRST, at(0)):
        again = world.copy(world.directory.parent / str(moment.year))
        again.tamper("UPDATE audit_outbox SET recorded_at = ?, action = 'OTHER'", (to_micros(moment),))
        with pytest.raises(
            (ChainBroken, SealError), match=rf"{moment.date()} is not sealed|event is of {moment.date()}"
        ):
            again.pipeline().run()
        assert again.pipeline().genesis() is None


def test_a_tampered_first_event_does_not_set_the_logs_first_day(world: World) -> None:
    world.record("acme", at(0), at(1))
    world.record("globex", at(1))
    world.tamper("UPDATE audit_outbox SET recorded_at = ? WHERE tenant_id = 'acme' AND seq = 0", (to_micros(FIRST),))
    world.pipeline().land()
    assert world.pipeline().missing_days() == [day(1), day(2), day(3)]
    with pytest.raises(ChainBroken) as caught:
        world.pipeline().run()
    assert caught.value.day == day(1)
    # It is possible to say better which day it was.
    configured = world.pipeline(first_day=day(0))
    assert configured.missing_days() == [day(number) for number in range(4)]
    with suppress(ChainBroken):
        configured.run()
    configured.acknowledge(day(0), "a test")
    configured.run()
    assert _sealed_rows(world) == {("acme", 0): [0], ("acme", 1): [1], ("globex", 0): [1]}


def test_events_of_other_days_stay_there_when_a_neighbour_is_tampered_with_in_another_column(world: World) -> None:
    world.record("acme", *TIMES, at(2))
    for seq in (0, 2, 3, 5):
        world.tamper("UPDATE audit_outbox SET action = 'OTHER' WHERE seq = ?", (seq,))
    assert _seal_everything(world) == {"acme": 4}
    assert _sealed_rows(world) == {("acme", seq): [seq // 3] for seq in range(7)}


def test_a_lost_event_leaves_all_others_where_they_were(world: World) -> None:
    for lost in range(7):
        world.record(f"t.{lost}", *TIMES, at(2))
    world.tamper("DELETE FROM audit_outbox WHERE tenant_id = 't.' || seq")
    # In the middle of a day the next row does not link; on the edge of a day what is lost is all that can be told.
    assert _seal_everything(world) == {f"t.{lost}": 1 if lost in {2, 3, 5, 6} else 2 for lost in range(7)}
    rows = [(lost, seq) for lost in range(7) for seq in range(7) if lost != seq]
    assert _sealed_rows(world) == {(f"t.{lost}", seq): [seq // 3] for lost, seq in rows}


def test_a_landed_file_that_vanishes_before_it_is_read_is_an_error_of_ours(world: World) -> None:
    # What has a break is sorted by a database, which opens the files late; others are open by then.
    world.record("acme", at(0), at(0))
    world.tamper("UPDATE audit_outbox SET action = 'OTHER' WHERE seq = 0")
    world.pipeline().land()
    with _pending(world) as pending:
        for key in list(world.store.list("landed/")):
            world.store.delete(key)
        with pytest.raises(LakeError):
            list(pending.rows({"acme": DayRange(0, ChainEnd(1, None))}))


def test_intact_landings_and_broken_ones_are_cut_into_the_same_tables(world: World) -> None:
    for count in (3, 50, 1, 700, 20):
        for tenant_id in ("acme", "globex", "initech"):
            world.record(tenant_id, *[at(0)] * count)
        world.pipeline().land()
    wanted = {"acme": DayRange(2, ChainEnd(760, None)), "initech": DayRange(0, ChainEnd(774, None))}
    with _pending(world) as pending:
        merged = list(pending.rows(wanted))
    world.record("globex", at(0))
    world.tamper("UPDATE audit_outbox SET action = 'OTHER' WHERE tenant_id = 'globex' AND seq = 774")
    assert world.pipeline().land().breaks
    with _pending(world) as pending:
        assert list(pending.rows(wanted)) == merged
    assert [len(table) for table in merged] == [758 + 774]
    seqs = list(zip(*(merged[0].column(name).to_pylist() for name in ("tenant_id", "seq")), strict=True))
    assert seqs == [("acme", seq) for seq in range(2, 760)] + [("initech", seq) for seq in range(774)]
