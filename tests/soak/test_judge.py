"""The judge sees what it is there to see: the damage that is done without the lock, and any made by hand."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.postgresql import PrivatePostgresql, cluster
from tests.servers import Servers
from tests.soak.driver import crowd, outcome
from tests.soak.judge import Evidence, judge
from tests.soak.ledger import Knowledge, Ledger
from tests.soak.load import Load

pytestmark = pytest.mark.slow

SECONDS = 4  # enough for some dozens of events on a machine that does other things as well
FEW: dict[str, float] = {"tenants": 3, "slow": 0.5, "odd": 0.3, "longest": 0.1}


@pytest.fixture
def server(servers: Servers) -> Iterator[PrivatePostgresql]:
    with servers.private(cluster) as settings:
        yield PrivatePostgresql(settings["url"], programs=Path(settings["programs"]), data=Path(settings["data"]))


def test_without_the_lock_recordings_collide(server: PrivatePostgresql, tmp_path: Path) -> None:
    url = server.create_database()
    load = Load.prepare(url, tmp_path, SECONDS, **FEW, locking=False)
    with crowd(load, 6) as people:
        people.finish()
    findings = judge(outcome(load, url))
    assert any("OutboxTampered" in complaint for complaint in findings.complaints)
    # The primary key still keeps two events from being the same one, so nothing worse comes of it.
    assert findings.kinds().keys() == {"complaints"}


def test_without_lock_and_primary_key_chains_fork(server: PrivatePostgresql, tmp_path: Path) -> None:
    url = server.create_database()
    load = Load.prepare(url, tmp_path, SECONDS, **FEW, locking=False)
    with psycopg.connect(url) as connection:
        connection.execute("ALTER TABLE audit_outbox DROP CONSTRAINT audit_outbox_pkey")
    with crowd(load, 6) as people:
        people.finish()
    found = judge(outcome(load, url)).kinds()
    assert {"gaps", "broken"} <= found.keys()
    # Landing sees it too: as breaks, or as a head that went back.
    assert found.keys() & {"breaks", "complaints"}


@pytest.fixture(scope="module")
def sound(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A short run of which nothing is to be said."""
    with servers.private(cluster) as settings:
        url = settings["url"]
        load = Load.prepare(url, tmp_path_factory.mktemp("sound"), SECONDS, **{**FEW, "longest": 0.05})
        with crowd(load, 4) as people:
            people.finish()
        evidence = outcome(load, url)
    assert judge(evidence).kinds() == {}
    assert len(evidence.landed) > 50
    return evidence


def lose_a_landed_row(evidence: Evidence) -> Evidence:
    return replace(evidence, landed=evidence.landed[:20] + evidence.landed[21:])


def lose_the_last_row(evidence: Evidence) -> Evidence:
    last = evidence.stored[-1]
    return replace(
        evidence,
        landed=[row for row in evidence.landed if row[1] != last],
        stored=evidence.stored[:-1],
        ordinary=evidence.ordinary - {last.event_id},
    )


def land_a_row_twice(evidence: Evidence) -> Evidence:
    return replace(evidence, landed=[*evidence.landed, evidence.landed[3]])


def leave_a_gap(evidence: Evidence) -> Evidence:
    gone = evidence.stored[1]
    return replace(
        evidence,
        landed=[row for row in evidence.landed if row[1] != gone],
        stored=[event for event in evidence.stored if event != gone],
        known=replace(evidence.known, committed={**evidence.known.committed, gone.event_id: 0}),
    )


def change_a_landed_row(evidence: Evidence) -> Evidence:
    number, event = evidence.landed[7]
    changed = (number, replace(event, actor_name="Somebody Else"))
    return replace(evidence, landed=[*evidence.landed[:7], changed, *evidence.landed[8:]])


def bring_back_what_was_rolled_back(evidence: Evidence) -> Evidence:
    there = evidence.landed[0][1].event_id
    committed = {event: at for event, at in evidence.known.committed.items() if event != there}
    return replace(evidence, known=replace(evidence.known, committed=committed, absent={there}))


def add_what_nobody_recorded(evidence: Evidence) -> Evidence:
    there = evidence.landed[0][1].event_id
    committed = {event: at for event, at in evidence.known.committed.items() if event != there}
    return replace(evidence, known=replace(evidence.known, committed=committed))


def set_a_head_back(evidence: Evidence) -> Evidence:
    tenant, head = next(iter(evidence.heads.items()))
    return replace(evidence, heads={**evidence.heads, tenant: replace(head, next_seq=head.next_seq - 1)})


def record_without_the_business(evidence: Evidence) -> Evidence:
    return replace(evidence, ordinary=set(list(evidence.ordinary)[1:]))


def reopen_a_day(evidence: Evidence) -> Evidence:
    number, last = evidence.landed[-1]
    return replace(evidence, closed={number - 1: last.recorded_at.date().isoformat()})


def report_a_break(evidence: Evidence) -> Evidence:
    return replace(evidence, breaks=1)


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (lose_a_landed_row, {"lost", "gaps", "broken", "differing"}),
        (lose_the_last_row, {"lost", "broken"}),
        (land_a_row_twice, {"duplicated", "gaps", "broken", "differing"}),
        (leave_a_gap, {"lost", "gaps", "broken", "parted"}),
        (change_a_landed_row, {"broken", "differing"}),
        (bring_back_what_was_rolled_back, {"undone"}),
        (add_what_nobody_recorded, {"unheard"}),
        (set_a_head_back, {"broken"}),
        (record_without_the_business, {"parted"}),
        (reopen_a_day, {"reopened"}),
        (report_a_break, {"breaks"}),
    ],
)
def test_damage_is_seen(sound: Evidence, damage: Callable[[Evidence], Evidence], kinds: set[str]) -> None:
    assert judge(damage(sound)).kinds().keys() == kinds


def test_what_a_ledger_says_of_each_way_to_end(tmp_path: Path) -> None:
    path = tmp_path / "writer.ledger"
    ledger = Ledger(path)
    ends = {
        "done": ["committing", "committed"],
        "refused": ["committing", "refused"],
        "killed": ["committing"],
        "killed-before": [],
        "lost": ["committing", "lost"],
        "lost-then-refused": ["committing", "lost", "committing", "refused"],
        "lost-then-done": ["committing", "lost", "committed"],
        "complained": ["complaint"],
    }
    for group, words in ends.items():
        ledger.begin(group, [f"{group}-1", f"{group}-2"])
        for word in words:
            ledger.note(word, group, "1.5")
    path.write_bytes(path.read_bytes() + b"committed killed 1.")
    known = Knowledge.read([path])
    groups = [{event.rpartition("-")[0] for event in events} for events in (known.committed, known.unknown)]
    assert groups == [{"done", "lost-then-done"}, {"killed", "lost", "lost-then-refused"}]
    assert {event.rpartition("-")[0] for event in known.absent} == {"refused", "killed-before", "complained"}
    assert known.complaints == ["1.5"]
