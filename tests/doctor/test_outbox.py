"""What the doctor finds about an outbox, in whatever database it is."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import pytest

from lumi_pipeline.doctor.findings import Status
from lumi_pipeline.events import NewEvent
from lumi_pipeline.outboxaddress import postgresql_address, sqlite_address
from lumi_pipeline.recorder import AuditRecorder, system_clock
from tests.databases import OPERATOR, database, run
from tests.doctor.setups import Setup, look, look_at_everything, on_files, told

OPERATORS = NewEvent(
    tenant_id=OPERATOR, action="LOGIN", entity_type="s", entity_id="s", actor_type="system", actor_id="a"
)


def contents(setup: Setup) -> list[list[tuple[object, ...]]]:
    queries = (
        "SELECT * FROM audit_identity",
        "SELECT * FROM audit_close",
        "SELECT * FROM audit_chain_head ORDER BY tenant_id",
        "SELECT * FROM audit_outbox ORDER BY tenant_id, seq",
    )
    with database(setup.owner) as connection:
        return [run(connection, query) for query in queries]


def test_a_working_outbox_is_well_and_stays_as_it_is(setup: Setup) -> None:
    setup.record(2)
    before = contents(setup)
    results = look_at_everything(setup)
    well = told(results, Status.OK)
    assert "3 event(s) of 2 tenant(s)" in well["outbox"]
    assert {"outbox protected", "outbox clock", "outbox recording", "outbox identity"} <= well.keys()
    assert contents(setup) == before


def test_a_new_outbox_without_events_can_be_tried_too(setup: Setup) -> None:
    for name in ("outbox protected", "outbox recording", "outbox identity"):
        assert look(setup, name).status == Status.OK, name
    assert all(not rows for rows in contents(setup)[2:])


def test_an_outbox_that_is_not_there_is_one_problem_and_nothing_else_is_tried(setup: Setup) -> None:
    box = setup.config.outbox
    if box.path is not None:
        box.path.unlink()
    else:
        box = postgresql_address(box.url.rpartition("/")[0] + "/no_such_database")
    broken = setup.having(outbox=box)
    found = look(broken, "outbox")
    assert found.status == Status.PROBLEM
    assert "lumi outbox init" in str(found.remedy)
    for name in ("outbox protected", "outbox durable", "outbox clock", "outbox recording", "outbox identity"):
        skipped = look(broken, name)
        assert (skipped.status, skipped.detail) == (Status.SKIPPED, "not tried: see outbox")


def test_tables_of_another_version_are_found(setup: Setup) -> None:
    with database(setup.owner) as connection:
        run(connection, "ALTER TABLE audit_outbox ADD COLUMN more text")
        connection.commit()
    found = look(setup, "outbox")
    assert found.status == Status.PROBLEM
    assert "is not the one this version knows" in found.detail


def test_another_database_than_was_landed_is_found(setup: Setup) -> None:
    setup.record(1)
    setup.pipeline.land()
    assert look(setup, "outbox identity").detail.endswith("as landed before")
    with database(setup.owner) as connection:
        run(connection, "UPDATE audit_identity SET system_id = 'another'")
        connection.commit()
    found = look(setup, "outbox identity")
    assert found.status == Status.PROBLEM
    assert "another database" in found.detail
    assert "lumi landing rebase" in str(found.remedy)


@pytest.mark.parametrize(
    ("lead", "status", "said"),
    [
        (0.0, Status.OK, "within"),
        (5.0, Status.WARNING, "5.0 s ahead of the database's clock"),
        (-5.0, Status.WARNING, "5.0 s behind the database's clock"),
        (90.0, Status.PROBLEM, "more than 60 s: recording here is refused"),
        (-90.0, Status.PROBLEM, "more than 60 s: days are closed and sealed late"),
    ],
)
def test_a_clock_that_is_off_is_found(setup: Setup, lead: float, status: Status, said: str) -> None:
    found = look(setup, "outbox clock", lambda: system_clock() + timedelta(seconds=lead))
    assert found.status == status
    assert said in found.detail
    assert (found.remedy is None) == (status == Status.OK)


def test_recording_is_not_judged_by_a_clock_that_is_ahead(setup: Setup) -> None:
    found = look(setup, "outbox recording", lambda: system_clock() + timedelta(seconds=90))
    assert (found.status, found.detail) == (Status.SKIPPED, "not tried: see outbox clock")


@pytest.mark.slow
def test_it_waits_for_nobody_for_long(setup: Setup) -> None:
    """Another transaction holds the chain that is tried (and in SQLite everything)."""
    with closing(setup.owner.connect()) as connection:
        AuditRecorder(connection).record_many([OPERATORS])
        found = look(setup, "outbox recording")
        connection.rollback()
    assert found.status == Status.SKIPPED
    assert found.detail.startswith("not tried: ")
    assert look(setup, "outbox recording").status == Status.OK


def test_others_record_meanwhile(setup: Setup) -> None:
    stop, errors, recorded = Event(), list[BaseException](), 0

    def write() -> None:
        nonlocal recorded
        try:
            with closing(setup.owner.connect()) as connection:
                while not stop.is_set():
                    AuditRecorder(connection).record_many([replace(OPERATORS, event_id=_id(recorded))])
                    connection.commit()
                    recorded += 1
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    writer = Thread(target=write)
    writer.start()
    try:
        found = [look(setup, name) for name in ("outbox protected", "outbox recording") for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    assert errors == []
    assert Status.PROBLEM not in {finding.status for finding in found}
    assert recorded > 0


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def test_an_outbox_elsewhere_is_never_taken_for_this_one(files: Setup) -> None:
    other = files.config.log_key_file.parent / "other"
    other.mkdir()
    assert look(files.having(outbox=sqlite_address(other / "outbox.db")), "outbox").status == Status.PROBLEM
    assert look(files.having(outbox=on_files(other).config.outbox), "outbox").status == Status.OK
