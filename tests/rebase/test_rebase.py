"""Accepting a restored outbox: whatever was restored, it agrees with the lake afterwards and nothing is lost."""

from contextlib import closing
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from lumi_pipeline.days import day_end
from lumi_pipeline.errors import ForkedOutbox, LandingError, ReplacedOutbox, RewoundOutbox, TimeRefused
from lumi_pipeline.events import from_micros
from lumi_pipeline.rebase import RebaseReport
from lumi_pipeline.rebasing import Finding, Kind
from lumi_pipeline.recorder import AuditRecorder
from tests.databases import OPERATOR
from tests.lake.world import at, day, new_event
from tests.rebase.site import Site


def find(site: Site) -> dict[str, Finding]:
    return {found.tenant_id: found for found in site.pipeline().rebaser().check().tenants}


def kinds(site: Site) -> dict[str, Kind]:
    return {tenant_id: found.kind for tenant_id, found in find(site).items()}


def accept(site: Site, *, rerecord: bool = False) -> RebaseReport:
    return site.pipeline().rebaser().accept("restored on purpose", rerecord=rerecord)


def evidence(site: Site, tenant_id: str, number: int = 0) -> list[dict[str, object]]:
    prefix = f"rebases/{number:012d}/forked/{tenant_id}/"
    return [row for key in site.store.list(prefix) for row in pq.read_table(site.store.path(key)).to_pylist()]


def stored(site: Site, tenant_id: str) -> list[dict[str, object]]:
    with site.outbox.snapshot() as snapshot:
        return [row for table in snapshot.rows([(tenant_id, 0)]) for row in table.to_pylist()]


# Nothing to do, or nothing but to accept it.


def test_the_database_that_was_landed_needs_nothing(site: Site) -> None:
    site.record("globex", at(3, "09:00:00"))
    site.record("hooli", at(3, "09:00:00"))
    before = site.everything()
    assert kinds(site) == {"acme": Kind.SAME, "globex": Kind.AHEAD, "hooli": Kind.NEW, "initech": Kind.SAME}
    assert accept(site).number is None
    assert site.everything() == before
    site.assert_whole()


def test_looking_changes_nothing(site: Site) -> None:
    older = site.backup()
    site.record("acme", at(3, "08:00:00"))
    site.pipeline().run()
    site.restore(older, other_system=True)
    site.record("acme", at(3, "09:00:00"))
    before = site.everything()
    findings = site.pipeline().rebaser().check()
    assert (findings.other_system, findings.days_open) == (True, True)
    assert findings.forks[0] == Finding("acme", Kind.FORKED, 6, 5, 0, 1, 0)
    assert site.everything() == before


def test_another_server_with_the_same_content_is_accepted_and_its_sealed_days_are_closed(site: Site) -> None:
    older = site.backup()
    site.pipeline().run()
    site.restore(older, other_system=True)
    site.record("initech", at(3, "09:00:00"))
    assert kinds(site) == {"acme": Kind.SAME, "globex": Kind.SAME, "initech": Kind.AHEAD}
    report = accept(site)
    assert (report.number, report.mended) == (0, ())
    assert site.outbox.closed_before() == from_micros(day_end(day(2)))
    with closing(site.outbox.connect()) as connection, pytest.raises(TimeRefused):
        AuditRecorder(connection).record_many([new_event("acme")], recorded_at=[at(2, "23:00:00")])
    site.assert_whole()


def test_a_new_outbox_in_place_of_one_that_was_never_landed_needs_nothing(site: Site) -> None:
    for key in list(site.store.list("")):
        site.store.delete(key)
    assert set(kinds(site).values()) == {Kind.NEW}
    assert accept(site).number is None


def test_the_acceptance_is_an_event_of_the_operator(site: Site) -> None:
    landed = site.pipeline().rebaser().check().system_id
    site.restore(site.backup(), other_system=True)
    new = site.pipeline().rebaser().check().system_id
    accept(site)
    (event,) = stored(site, OPERATOR)
    assert (event["action"], event["entity_type"], event["entity_id"]) == ("LANDING_REBASED", "outbox", new)
    state = str(event["after_state"])
    assert '"reason":"restored on purpose"' in state
    assert '"tenants":{"same":"3"}' in state
    assert landed in state
    accept(site)
    assert len(stored(site, OPERATOR)) == 1


# Rows are missing.


def test_an_older_dump_gets_back_what_it_lost(site: Site) -> None:
    older = site.backup()
    site.record("acme", at(3, "08:00:00"), at(3, "09:00:00"))
    site.record("globex", at(3, "09:00:00"))
    site.pipeline().land()
    newer = stored(site, "acme")
    site.restore(older, other_system=True)
    with pytest.raises(ReplacedOutbox, match="see: lumi landing rebase -h"):
        site.pipeline().land()
    assert kinds(site) == {"acme": Kind.BEHIND, "globex": Kind.BEHIND, "initech": Kind.SAME}
    report = accept(site)
    assert {m.tenant_id: (m.put_back, m.taken_out) for m in report.mended} == {"acme": (2, 0), "globex": (1, 0)}
    assert stored(site, "acme") == newer
    site.assert_whole()


def test_a_dump_from_before_the_sealed_days_gets_everything_back(site: Site) -> None:
    oldest = site.backup()
    site.sql("SELECT 1")
    site.record("acme", at(3, "08:00:00"))
    site.clock.now = at(4, "00:20:00")
    site.pipeline().run()
    whole = stored(site, "acme")
    site.restore(oldest, other_system=True)
    site.tamper("DELETE FROM audit_outbox WHERE seq > 0")
    for table, change in (("audit_chain_head", "next_seq = 1"), ("audit_close", "closed_before = closed_before")):
        site.sql(f"UPDATE {table} SET {change}")  # noqa: S608 - constants
    accept(site)
    assert stored(site, "acme") == whole
    site.assert_whole()


def test_a_lost_outbox_is_rebuilt_from_the_lake(site: Site) -> None:
    before = {tenant_id: stored(site, tenant_id) for tenant_id in ("acme", "globex", "initech")}
    site.restore(site.empty())
    assert set(kinds(site).values()) == {Kind.HEAD_MISSING}
    accept(site)
    assert {tenant_id: stored(site, tenant_id) for tenant_id in before} == before
    site.assert_whole()


@pytest.mark.parametrize("seqs", [(0,), (1, 2), (4,), (0, 1, 2, 3, 4)], ids=str)
def test_rows_that_were_deleted_come_back(site: Site, seqs: tuple[int, ...]) -> None:
    site.record("acme", at(3, "09:00:00"))
    before = stored(site, "acme")
    site.tamper(f"DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq IN ({', '.join(map(str, seqs))})")  # noqa: S608
    assert find(site)["acme"] == Finding("acme", Kind.BEHIND, 5, min(seqs), len(seqs), 0, 1)
    accept(site)
    assert stored(site, "acme") == before
    site.assert_whole()


# Other rows are in their place.


def test_events_recorded_on_an_older_dump_come_after_those_that_were_landed(site: Site) -> None:
    older = site.backup()
    site.record("acme", at(3, "08:00:00"), at(3, "09:00:00"))
    site.pipeline().land()
    landed = stored(site, "acme")
    site.restore(older)
    ids = site.record("acme", at(3, "08:30:00"), at(3, "08:31:00"), at(3, "10:00:00"), occurred_at=at(0), ip="::1")
    taken = stored(site, "acme")[5:]
    assert find(site)["acme"] == Finding("acme", Kind.FORKED, 7, 5, 0, 3, 0)
    (mended,) = accept(site, rerecord=True).mended
    assert (mended.put_back, mended.taken_out, mended.recorded, mended.known, mended.unfit) == (2, 3, 3, 0, 0)
    assert evidence(site, "acme") == taken
    now = stored(site, "acme")
    assert now[:7] == landed
    assert [row["event_id"] for row in now[7:]] == ids
    assert [row["recorded_at"] for row in now[7:]] == [at(3, "09:00:00"), at(3, "09:00:00"), at(3, "10:00:00")]
    unchanged = ("occurred_at", "ip", "actor_name", "after_state", "action", "entity_id", "outcome", "auth_method")
    assert [[row[name] for name in unchanged] for row in now[7:]] == [[row[n] for n in unchanged] for row in taken]
    site.assert_whole()


def test_forks_are_left_alone_until_recording_again_is_asked_for(site: Site) -> None:
    older = site.backup()
    site.record("acme", at(3, "08:00:00"))
    site.record("globex", at(3, "08:00:00"))
    site.pipeline().land()
    site.restore(older, other_system=True)
    site.record("acme", at(3, "09:00:00"))
    before = site.everything()
    with pytest.raises(ForkedOutbox, match=r"tenant acme from seq 5 on.*With --rerecord"):
        accept(site)
    assert site.everything() == before
    accept(site, rerecord=True)
    site.assert_whole()


def test_events_never_get_into_a_day_that_was_sealed_meanwhile(site: Site) -> None:
    older = site.backup()
    site.record("acme", at(2, "20:00:00"))
    site.pipeline().run()
    site.restore(older, other_system=True)
    site.record("acme", at(2, "21:00:00"))
    site.record("globex", at(2, "21:00:00"))
    found = find(site)
    assert (found["acme"].kind, found["globex"]) == (Kind.FORKED, Finding("globex", Kind.FORKED, 3, 3, 0, 1, 0))
    accept(site, rerecord=True)
    assert stored(site, "acme")[-1]["recorded_at"] == at(3, "00:00:00")
    assert stored(site, "globex")[-1]["recorded_at"] == at(3, "00:00:00")
    site.assert_whole()


def test_an_event_recorded_twice_under_one_id_counts_once(site: Site) -> None:
    older = site.backup()
    repeated = new_event("acme")
    for outbox, times in ((site.outbox, ("08:00:00", "09:00:00")), (older, ("08:30:00", "08:40:00"))):
        with closing(outbox.connect()) as connection:
            events = [new_event("acme"), repeated] if outbox is older else [repeated, new_event("acme")]
            AuditRecorder(connection).record_many(events, recorded_at=[at(3, time) for time in times])
            connection.commit()
        site.committed += [event.event_id for event in events if event is not repeated]
        if outbox is site.outbox:
            site.pipeline().land()
    site.committed.append(repeated.event_id)
    site.restore(older)
    (mended,) = accept(site, rerecord=True).mended
    assert (mended.taken_out, mended.recorded, mended.known) == (2, 1, 1)
    assert len(evidence(site, "acme")) == 2
    site.assert_whole()


def test_a_chain_that_was_started_anew_goes_on_from_the_landed_one(site: Site) -> None:
    before = stored(site, "acme")
    site.restore(site.empty())
    ids = site.record("acme", at(3, "08:00:00"), at(3, "09:00:00"))
    assert kinds(site)["acme"] == Kind.STARTED_ANEW
    accept(site, rerecord=True)
    now = stored(site, "acme")
    assert now[:5] == before
    assert [row["event_id"] for row in now[5:]] == ids
    site.assert_whole()


def test_the_operators_own_chain_may_fork_too(site: Site) -> None:
    site.restore(site.backup(), other_system=True)
    accept(site)
    older = site.backup()
    site.record(OPERATOR, at(3, "12:00:01"))
    site.pipeline().land()
    site.restore(older)
    ids = site.record(OPERATOR, at(3, "12:00:02"))
    assert kinds(site)[OPERATOR] == Kind.FORKED
    assert accept(site, rerecord=True).number == 1
    assert [row["action"] for row in stored(site, OPERATOR)] == [
        "LANDING_REBASED",
        "TICKET_CREATED",
        "TICKET_CREATED",
        "LANDING_REBASED",
    ]
    assert stored(site, OPERATOR)[2]["event_id"] == ids[0]
    site.assert_whole()


ERASED = (
    "actor_name = NULL, ip = NULL, user_agent = NULL, request_id = NULL, before_state = NULL, after_state = NULL,"
    " payload_salt = NULL, erased_at = recorded_at"
)


@pytest.mark.parametrize(
    "change",
    [
        "action = 'OTHER'",
        "ip = '198.51.100.1'",
        "after_state = NULL",
        ERASED,
    ],
)
def test_an_altered_row_is_kept_and_gives_way_to_the_one_that_was_landed(site: Site, change: str) -> None:
    before = stored(site, "acme")
    site.tamper(f"UPDATE audit_outbox SET {change} WHERE tenant_id = 'acme' AND seq = 1")  # noqa: S608 - constants
    altered = stored(site, "acme")[1]
    site.record("acme", at(3, "08:00:00"))
    assert find(site)["acme"] == Finding("acme", Kind.FORKED, 5, 1, 0, 1, 1)
    (mended,) = accept(site, rerecord=True).mended
    assert (mended.put_back, mended.taken_out, mended.recorded, mended.known) == (1, 1, 0, 1)
    assert evidence(site, "acme") == [altered]
    assert stored(site, "acme")[:5] == before
    site.assert_whole()


def test_a_row_that_no_recorder_writes_is_kept_as_evidence_alone(site: Site) -> None:
    older = site.backup()
    site.record("acme", at(3, "08:00:00"))
    site.pipeline().land()
    site.restore(older)
    site.record("acme", at(3, "08:00:00"), at(3, "08:00:00"))
    site.tamper("UPDATE audit_outbox SET action = 'lower' WHERE tenant_id = 'acme' AND seq = 6")
    (mended,) = accept(site, rerecord=True).mended
    assert (mended.taken_out, mended.recorded, mended.unfit) == (2, 1, 1)
    assert [row["action"] for row in evidence(site, "acme")] == ["TICKET_CREATED", "lower"]
    site.committed.pop()
    site.assert_whole()


def test_what_went_another_way_and_past_the_landed_rows_is_recorded_again_as_a_whole(site: Site) -> None:
    older = site.backup()
    site.record("acme", at(3, "08:00:00"))
    site.pipeline().land()
    site.restore(older)
    site.record("acme", *(at(3, "09:00:00") + timedelta(minutes=n) for n in range(20)))
    assert find(site)["acme"] == Finding("acme", Kind.FORKED, 6, 5, 0, 20, 0)
    (mended,) = accept(site, rerecord=True).mended
    assert (mended.put_back, mended.recorded) == (1, 20)
    site.assert_whole()


# The head is wrong.

ITS_FIRST = "(SELECT prev_hash FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 0)"
OF_GLOBEX = "(SELECT chain_id FROM audit_chain_head WHERE tenant_id = 'globex')"
HEADS: dict[str, tuple[str, Kind]] = {
    "gone": ("DELETE FROM audit_chain_head WHERE tenant_id = 'acme'", Kind.HEAD_MISSING),
    "back": ("UPDATE audit_chain_head SET next_seq = 2 WHERE tenant_id = 'acme'", Kind.HEAD_ALTERED),
    "hash": (f"UPDATE audit_chain_head SET head_hash = {ITS_FIRST} WHERE tenant_id = 'acme'", Kind.HEAD_ALTERED),  # noqa: S608
    "chain_id": (f"UPDATE audit_chain_head SET chain_id = {OF_GLOBEX} WHERE tenant_id = 'acme'", Kind.HEAD_ALTERED),  # noqa: S608
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_is_wrong_is_put_right(site: Site, name: str) -> None:
    change, kind = HEADS[name]
    select = "SELECT * FROM audit_chain_head WHERE tenant_id = 'acme'"
    before = site.sql(select)
    site.sql(change)
    with pytest.raises(RewoundOutbox, match="see: lumi landing rebase -h"):
        site.pipeline().land()
    assert kinds(site)["acme"] == kind
    (mended,) = accept(site).mended
    assert (mended.put_back, mended.taken_out) == (0, 0)
    assert site.sql(select) == before
    site.assert_whole()


@pytest.mark.parametrize("tenant_id", ["acme", "hooli"], ids=["landed before", "never landed"])
def test_events_that_the_head_hides_are_announced_again(site: Site, tenant_id: str) -> None:
    select = "SELECT next_seq, head_hash FROM audit_chain_head WHERE tenant_id = ?"
    site.record(tenant_id, at(3, "08:00:00"))
    start = stored(site, tenant_id)[-1]
    before = site.sql(select, (tenant_id,))
    change = "UPDATE audit_chain_head SET next_seq = ?, head_hash = ? WHERE tenant_id = ?"
    site.sql(change, (start["seq"], start["prev_hash"], tenant_id))
    with pytest.raises(RewoundOutbox, match="past its chain head"):
        site.pipeline().land()
    assert kinds(site)[tenant_id] == Kind.HEAD_ALTERED
    accept(site)
    assert site.sql(select, (tenant_id,)) == before
    site.assert_whole()


def test_a_planted_row_that_was_landed_and_taken_away_again_comes_back_as_it_was_landed(site: Site) -> None:
    site.record("acme", at(3, "08:00:00"))
    head = site.sql("SELECT next_seq - 1, tenant_id FROM audit_chain_head WHERE tenant_id = 'acme'")
    planted = stored(site, "acme")[-1]
    site.record("acme", at(3, "08:00:00"))
    site.sql(
        "UPDATE audit_chain_head SET next_seq = 6, head_hash = ? WHERE tenant_id = 'acme'", (planted["integrity_hash"],)
    )
    assert head == [(5, "acme")]
    assert len(site.pipeline().land().breaks) == 1
    whole = stored(site, "acme")
    site.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 6")
    with pytest.raises(RewoundOutbox):
        site.pipeline().land()
    accept(site)
    assert stored(site, "acme") == whole
    site.record("acme", at(3, "09:00:00"))
    assert site.pipeline().land().breaks == ()


# What was landed broken stays so.


def test_rows_that_were_landed_altered_come_back_as_they_were_landed(site: Site) -> None:
    site.record("acme", at(3, "08:00:00"), at(3, "09:00:00"))
    site.tamper("UPDATE audit_outbox SET action = 'OTHER' WHERE tenant_id = 'acme' AND seq = 5")
    assert len(site.pipeline().land().breaks) == 1
    assert site.pipeline().rebaser().check().is_accepted
    whole = stored(site, "acme")
    older = site.backup()
    site.restore(older)
    site.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq >= 4")
    site.sql("UPDATE audit_chain_head SET next_seq = 4 WHERE tenant_id = 'acme'")
    assert find(site)["acme"] == Finding("acme", Kind.BEHIND, 7, 4, 3, 0, 0)
    accept(site)
    assert stored(site, "acme") == whole
    assert site.pipeline().land().breaks == ()


def test_a_fork_that_outgrew_what_was_landed_keeps_the_landed_rows_and_moves_the_others(site: Site) -> None:
    older = site.backup()
    site.record("acme", at(3, "08:00:00"))
    site.pipeline().land()
    site.restore(older)
    site.record("acme", at(3, "09:00:00"), at(3, "10:00:00"))
    with pytest.raises(RewoundOutbox, match="the row at seq 5 is another one now"):
        site.pipeline().land()
    found = find(site)["acme"]
    assert (found.kind, found.first, found.forked) == (Kind.FORKED, 5, 2)
    (mended,) = accept(site, rerecord=True).mended
    assert (mended.put_back, mended.recorded) == (1, 2)
    assert site.pipeline().land().breaks == ()
    ids = site.landed_ids()
    assert [ids[event_id] for event_id in site.committed] == [1] * len(site.committed)


def test_rows_that_were_lost_before_they_were_landed_stay_announced(site: Site) -> None:
    site.record("acme", at(3, "08:00:00"), at(3, "09:00:00"))
    site.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq IN (3, 6)")
    accept(site)
    (found,) = site.pipeline().land().breaks
    assert (found.tenant_id, found.seq, found.kind.value) == ("acme", 6, "missing")


def test_events_of_a_tenant_that_nobody_knows_remain_for_the_landing_to_refuse(site: Site) -> None:
    site.record("hooli", at(3, "08:00:00"))
    site.sql("DELETE FROM audit_chain_head WHERE tenant_id = 'hooli'")
    accept(site)
    with pytest.raises(LandingError, match="no chain head for it"):
        site.pipeline().land()


def test_restoring_again_and_again_loses_nothing(site: Site) -> None:
    backups = [site.backup()]
    for hour in range(4):
        site.record("acme", at(3, f"0{hour + 1}:00:00"))
        site.record("globex", at(3, f"0{hour + 1}:30:00"))
        site.pipeline().land()
        backups.append(site.backup())
    for number, backup in enumerate((backups[2], backups[0], backups[4], backups[1])):
        site.restore(backup, other_system=number % 2 == 0)
        site.record("acme", at(3, "06:00:00"))
        accept(site, rerecord=True)
        site.pipeline().land()
    site.assert_whole()
