"""What the doctor finds about the log and the days on their way into it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lumi_pipeline.doctor.findings import Status
from lumi_pipeline.errors import ChainBroken
from lumi_pipeline.recorder import system_clock
from tests.databases import database, run
from tests.doctor.setups import Setup, day_over, look
from transparency.checkpoint import parse_signed_checkpoint, sign_checkpoint
from transparency.keys import SigningKey
from transparency.logview import LogView


def test_an_empty_log_is_no_problem(setup: Setup) -> None:
    for name in ("log", "log clock", "days"):
        assert look(setup, name).status == Status.OK, name


def test_an_altered_checkpoint_is_found(setup: Setup) -> None:
    setup.publish()
    assert look(setup, "log").detail.startswith("3 entries, and the checkpoint verifies")
    store = setup.pipeline.lake.store
    checkpoint = store.get("log/checkpoint")
    for altered in (checkpoint.replace(b"\n3\n", b"\n4\n"), b"nonsense\n"):
        store.put("log/checkpoint", altered)
        found = look(setup, "log")
        assert (found.status, "does not verify" in found.detail) == (Status.PROBLEM, True)
        assert "lumi fsck" in str(found.remedy)


def test_a_checkpoint_that_was_set_back_is_found(files: Setup) -> None:
    files.record(2)
    files.pipeline.run(through=day_over(2))
    store = files.pipeline.lake.store
    before = store.get("log/checkpoint")
    files.publish(1)
    store.put("log/checkpoint", before)
    found = look(files, "log")
    assert (found.status, found.detail) == (Status.WARNING, "committed and not published yet: 1 of 3 entries")
    assert found.remedy == "lumi publish"
    files.pipeline.publish()
    assert look(files, "log").status == Status.OK


def test_a_checkpoint_that_was_never_committed_is_found(files: Setup) -> None:
    files.publish()
    store, key = files.pipeline.lake.store, SigningKey.load(files.config.log_key_file)
    checkpoint = parse_signed_checkpoint(store.get("log/checkpoint")).checkpoint
    for forged, said in (
        (replace(checkpoint, root=bytes(32)), "another root than was committed for 3 entries"),
        (replace(checkpoint, size=4), "has 4 entries, but only 3 were committed"),
    ):
        store.put("log/checkpoint", sign_checkpoint(forged, [key]))
        found = look(files, "log")
        assert (found.status, said in found.detail) == (Status.PROBLEM, True)


def test_a_log_that_nothing_can_verify_is_not_called_well(files: Setup) -> None:
    files.publish()
    files.config.log_key_file.unlink()
    assert look(files, "log").status == Status.SKIPPED


def test_days_that_wait_are_found(files: Setup) -> None:
    files.publish()
    assert look(files, "days").detail == "every day that is over is sealed and published"
    found = look(files, "days", lambda: system_clock() + timedelta(days=2))
    assert (found.status, "(2 days)" in found.detail, found.remedy) == (Status.WARNING, True, "lumi run")


def test_a_day_that_is_sealed_and_not_published_is_found(files: Setup) -> None:
    files.record(1)
    pipeline = files.pipeline
    pipeline.land()
    for _ in pipeline.seal(pipeline.missing_days()):
        pass
    assert LogView(pipeline.lake.store).state().published_size == 0
    found = look(files, "days")
    assert (found.status, "sealed and not published: " in found.detail) == (Status.WARNING, True)
    assert found.remedy == "lumi publish"


def test_breaks_that_wait_for_somebody_are_found(files: Setup) -> None:
    files.record(3)
    files.pipeline.run(through=day_over(3))
    files.record(1)
    with database(files.owner, guarded=False) as connection:
        run(connection, "UPDATE audit_outbox SET actor_id = 'another' WHERE seq = (SELECT max(seq) FROM audit_outbox)")
        connection.commit()
    with pytest.raises(ChainBroken) as stopped:
        files.pipeline.run()
    found = look(files, "days")
    assert found.status == Status.PROBLEM
    assert found.detail == f"{day_over(1)} is stopped by broken chains (report {stopped.value.report_sha256})"
    assert "lumi acknowledge" in str(found.remedy)


def test_a_day_sealed_in_the_future_is_found(files: Setup) -> None:
    files.publish()
    found = look(files, "log clock", lambda: system_clock() - timedelta(hours=3))
    assert (found.status, "is still to come" in found.detail) == (Status.PROBLEM, True)
    assert look(files, "log clock").status == Status.OK
