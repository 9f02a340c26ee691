"""The jobs, run for real: ranges in one run, empty days, broken chains, tampered files."""

import re
from base64 import b64decode

import dagster as dg
import pytest

from assets.backlog import backlog
from assets.failures import plain_failures
from lumi_pipeline.errors import ConcurrentRun, LakeError, OutboxLocked
from lumi_pipeline.lake import events_prefix
from tests.assets.worlds import checks, failure, materialised, run
from tests.lake.world import World, at, day

THREE_DAYS = [day(0), day(1), day(2)]
ALL_CHECKS = [
    "landed_events.chain_intact",
    "landed_events.heads_equal",
    "published_day.index_is_day",
    "published_day.log_consistent",
    "sealed_events.chain_intact",
    "sealed_events.counts_reconcile",
    "sealed_events.manifest_matches_bytes",
    "sealed_events.root_recomputes",
]


@pytest.mark.everywhere
def test_a_range_is_done_in_one_run(world: World, instance: dg.DagsterInstance) -> None:
    result = run(world, instance, "daily", THREE_DAYS)
    assert result.success
    assert checks(result) == dict.fromkeys(ALL_CHECKS, True)
    assert instance.get_runs_count() == 1

    [landed] = materialised(instance, "landed_events").values()
    assert landed["dagster/row_count"] == 7
    assert landed["tenants"] == 2
    assert f"| {day(0)} | 4 |" in str(landed["by_day"])

    sealed = materialised(instance, "sealed_events")
    assert {key: metadata["dagster/row_count"] for key, metadata in sealed.items()} == {
        str(day(0)): 4,
        str(day(1)): 0,
        str(day(2)): 2,
    }
    assert [sealed[str(d)]["index"] for d in THREE_DAYS] == [1, 2, 3]
    first = sealed[str(day(0))]
    assert "| acme | 3 |" in str(first["by_tenant"])
    assert str(first["by_hour"]).startswith("![events by hour](data:image/svg+xml;base64,")
    assert first["breaks"] == "none"
    assert first["what_was_done"] == "sealed"

    published = materialised(instance, "published_day")
    checkpoint = world.contents("log/checkpoint")["log/checkpoint"].decode()
    assert list(published) == [str(d) for d in THREE_DAYS]
    assert {metadata["log_size"] for metadata in published.values()} == {4}
    assert all(checkpoint in str(metadata["checkpoint"]) for metadata in published.values())
    assert world.pipeline().unpublished_days() == []

    database = materialised(instance, "analyst_database")
    assert {key: metadata["dagster/row_count"] for key, metadata in database.items()} == {
        str(day(0)): 4,
        str(day(1)): 0,
        str(day(2)): 2,
    }
    about = database[str(day(2))]
    assert (about["events_in_all"], about["events_read_now"], about["not_sealed_yet"]) == (7, 7, 1)
    assert about["file"] == str(world.config.analyst_db)
    assert world.config.analyst_db.stat().st_size == about["bytes"]
    for chart in ("events_by_day", "hours_of_the_week"):
        [encoded] = re.findall(r"\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", str(about[chart]))
        assert b64decode(encoded).startswith(b"\x89PNG\r\n\x1a\n")
    assert f"the most 4 on {day(0)}" in str(about["events_by_day"])


def test_one_day_at_a_time_ends_in_the_same_log(world: World, instance: dg.DagsterInstance) -> None:
    for each in THREE_DAYS:
        assert run(world, instance, "daily", [each]).success
    assert [record["log_size"] for record in materialised(instance, "published_day").values()] == [2, 3, 4]


def test_again_it_verifies_and_changes_nothing(world: World, instance: dg.DagsterInstance) -> None:
    assert run(world, instance, "daily", THREE_DAYS).success
    before = world.contents()
    result = run(world, instance, "daily", THREE_DAYS)
    assert result.success
    assert checks(result) == dict.fromkeys(ALL_CHECKS, True)
    assert world.contents() == before
    sealed = materialised(instance, "sealed_events")[str(day(0))]
    assert str(sealed["what_was_done"]).startswith("verified again")


def test_landing_alone(world: World, instance: dg.DagsterInstance) -> None:
    result = run(world, instance, "landing")
    assert result.success
    assert checks(result) == {"landed_events.chain_intact": True, "landed_events.heads_equal": True}
    assert materialised(instance, "landed_events")[""]["landing"] == "0"
    assert materialised(instance, "sealed_events") == {}


@pytest.mark.everywhere
def test_a_broken_chain_stops_its_day_and_nothing_before_it(world: World, instance: dg.DagsterInstance) -> None:
    world.tamper("UPDATE audit_outbox SET actor_id = 'somebody else' WHERE tenant_id = 'globex' AND seq = 1")
    result = run(world, instance, "daily", THREE_DAYS)

    assert not result.success
    told = failure(result, "sealed_events")
    assert str(told.description).startswith(f"{day(2)} is not sealed: 1 break(s)")
    assert told.metadata["day"].value == str(day(2))
    lines = str(told.metadata["breaks"].value).splitlines()
    assert lines[0] == "| tenant | seq | kind | expected | found |"
    assert lines[2].startswith("| globex | 1 | integrity-hash | ")
    assert len(lines) == 3
    # Nothing is retried, what was done is shown, and landing had said it already.
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert list(materialised(instance, "sealed_events")) == [str(day(0)), str(day(1))]
    assert materialised(instance, "published_day") == {}
    assert checks(result) == {"landed_events.chain_intact": False, "landed_events.heads_equal": True}

    # The next run publishes the days before; after it the broken one is next again.
    assert backlog(world.pipeline()) == [day(0), day(1)]
    assert run(world, instance, "daily", backlog(world.pipeline())).success
    assert list(materialised(instance, "published_day")) == [str(day(0)), str(day(1))]
    assert backlog(world.pipeline()) == [day(2)]


def test_acknowledged_breaks_are_a_warning(world: World, instance: dg.DagsterInstance) -> None:
    world.tamper("UPDATE audit_outbox SET actor_id = 'somebody else' WHERE tenant_id = 'globex' AND seq = 1")
    assert not run(world, instance, "daily", THREE_DAYS).success
    world.pipeline().acknowledge(day(2), "a test changed it")

    result = run(world, instance, "daily", THREE_DAYS)
    assert result.success
    [found] = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert (found.asset_key.to_user_string(), found.check_name) == ("sealed_events", "chain_intact")
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "globex (1)" in str(found.description)
    assert "| globex | 1 | integrity-hash |" in str(materialised(instance, "sealed_events")[str(day(2))]["breaks"])
    assert backlog(world.pipeline()) == []
    # The weekly audit lists the day, and does not fail because of it: nothing has changed since.
    audit = run(world, instance, "audit_everything")
    failed = [event.step_failure_data.user_failure_data for event in audit.all_events if event.is_step_failure]
    assert not any(told is None or "declared break" in str(told.description) for told in failed)
    [record] = instance.fetch_observations(dg.AssetKey("published_day"), limit=10).records
    assert record.event_log_entry.asset_observation is not None
    assert f"| {day(2)} | failed | declared-break |" in str(
        record.event_log_entry.asset_observation.metadata["verdicts"].value
    )


def test_a_rewritten_head_fails_the_other_check(world: World, instance: dg.DagsterInstance) -> None:
    world.tamper("UPDATE audit_chain_head SET head_hash = zeroblob(32) WHERE tenant_id = 'acme'")
    result = run(world, instance, "landing")
    assert result.success
    assert checks(result) == {"landed_events.chain_intact": True, "landed_events.heads_equal": False}


@pytest.mark.everywhere
def test_an_altered_file_stops_before_publication(world: World, instance: dg.DagsterInstance) -> None:
    pipeline = world.pipeline()
    pipeline.land()
    assert len(list(pipeline.seal(THREE_DAYS))) == 3
    [part] = world.contents(events_prefix(day(2)))
    world.overwrite(part, world.contents(part)[part] + b"\0")
    result = run(world, instance, "daily", THREE_DAYS)
    assert not result.success
    assert "was altered" in str(failure(result, "sealed_events").description)
    assert world.contents("log/") == {}


def test_a_day_that_is_not_over_is_refused(world: World, instance: dg.DagsterInstance) -> None:
    result = run(world, instance, "daily", [*THREE_DAYS, day(3)])
    assert "is not over yet" in str(failure(result, "sealed_events").description)


def test_days_out_of_order_are_refused(world: World, instance: dg.DagsterInstance) -> None:
    result = run(world, instance, "daily", [day(1)])
    assert "sealed in order" in str(failure(result, "sealed_events").description)


@pytest.mark.everywhere
def test_the_audit_verifies_everything(world: World, instance: dg.DagsterInstance) -> None:
    assert run(world, instance, "daily", THREE_DAYS).success
    assert run(world, instance, "audit_everything").success
    [record] = instance.fetch_observations(dg.AssetKey("published_day"), limit=10).records
    assert record.event_log_entry.asset_observation is not None
    metadata = record.event_log_entry.asset_observation.metadata
    assert metadata["checked"].value == metadata["verified"].value


def test_the_audit_fails_on_what_does_not_verify(world: World, instance: dg.DagsterInstance) -> None:
    assert run(world, instance, "daily", THREE_DAYS).success
    [part] = world.contents(events_prefix(day(2)))
    world.overwrite(part, world.contents(part)[part] + b"\0")
    told = failure(run(world, instance, "audit_everything"), "verify_history")
    assert part in str(told.description)
    assert f"| {day(2)} | failed |" in str(told.metadata["verdicts"].value)


def test_an_audit_that_cannot_look_is_no_success(world: World, instance: dg.DagsterInstance) -> None:
    assert run(world, instance, "daily", THREE_DAYS).success
    world.place.lose_outbox()
    told = failure(run(world, instance, "audit_everything"), "verify_history")
    assert "| outbox | incomplete |" in str(told.metadata["verdicts"].value)


@pytest.mark.everywhere
def test_a_missing_outbox_is_told_plainly(world: World, instance: dg.DagsterInstance) -> None:
    world.place.lose_outbox()
    told = failure(run(world, instance, "landing"), "landed_events")
    assert re.search("there is no outbox at|does not exist", str(told.description))
    assert told.metadata["error"].value == "OutboxMissing"


@pytest.mark.parametrize("error", [OutboxLocked("held"), ConcurrentRun("first")])
def test_what_passes_by_itself_is_tried_again(error: Exception) -> None:
    with pytest.raises(dg.RetryRequested), plain_failures(0):
        raise error
    with pytest.raises(dg.Failure, match=r"held|first"), plain_failures(2):
        raise error


def test_what_does_not_pass_by_itself_is_not() -> None:
    with pytest.raises(dg.Failure) as told, plain_failures(0):
        raise LakeError("altered")
    assert not told.value.allow_retries
    with pytest.raises(ZeroDivisionError), plain_failures(0):
        raise ZeroDivisionError


def test_a_late_event_of_a_closed_day_is_part_of_the_next(world: World, instance: dg.DagsterInstance) -> None:
    assert run(world, instance, "daily", THREE_DAYS).success
    world.record("newcomer", at(3, "09:00:00"))
    world.clock.now = at(4, "00:15:00")
    assert backlog(world.pipeline()) == [day(3)]
    assert run(world, instance, "daily", [day(3)]).success
    assert materialised(instance, "sealed_events")[str(day(3))]["dagster/row_count"] == 2
