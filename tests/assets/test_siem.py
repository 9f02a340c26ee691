"""Delivery as Dagster runs it: today's partition as a matter of course, past days as a backfill."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from assets.resources import PipelineResource
from assets.schedules import siem_reconcile_schedule
from assets.sensors import siem_waiting
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.exports import Exports
from tests.assets.worlds import checks, failure, materialised, resource, run
from tests.lake.world import World, at, day
from tests.siem.fakes.http import Answer, FakeServer, Reply

TODAY = day(3)


class Receiver(FakeServer):
    """Takes whatever it is sent, and remembers how many requests that were."""

    def handle(self, request: object) -> Reply:  # noqa: ARG002 - whatever it is
        return Reply(200)


def send_to(world: World, url: str, **settings: object) -> None:
    hook = {"name": "hook", "kind": "https", "url": url, "allow_private": True, "since": "beginning", "timeout": 5}
    world.send_to({**hook, **settings})


@pytest.mark.everywhere
def test_what_was_landed_is_planned_and_sent(world: World, instance: dg.DagsterInstance) -> None:
    with Receiver() as receiver:
        send_to(world, receiver.url)
        world.pipeline().land()
        result = run(world, instance, "siem_delivery", [TODAY])
        assert result.success
        assert checks(result) == {"siem_batches.all_planned": True, "siem_deliveries.deliveries_reconcile": True}
        [sent] = materialised(instance, "siem_deliveries").values()
        assert sent["dagster/row_count"] == 1
        assert "| hook | 1 | 0 | 0 |" in str(sent["by_destination"])
        assert len(receiver.requests) == 3  # one for each day on which something was recorded

        assert run(world, instance, "siem_delivery", [TODAY]).success
        assert len(receiver.requests) == 3


def test_a_backfill_of_past_days_sends_what_is_lacking(world: World, instance: dg.DagsterInstance) -> None:
    with Receiver() as receiver:
        send_to(world, receiver.url)
        world.pipeline().land()
        receiver.chooser = lambda: Answer(Reply(503))
        assert run(world, instance, "siem_delivery", [TODAY]).success
        receiver.chooser = lambda: None
        world.clock.now = at(3, "13:30:00")
        result = run(world, instance, "siem_delivery", [day(0), day(1), day(2)])
        assert result.success
        assert checks(result) == {"siem_batches.all_planned": True, "siem_deliveries.deliveries_reconcile": True}
        sent = materialised(instance, "siem_deliveries")
        assert {key: sent[str(key)]["dagster/row_count"] for key in (day(0), day(1), day(2))} == {
            day(0): 4,
            day(1): 0,
            day(2): 2,
        }
        with Exports(world.pipeline()).account("hook", Period(day(0), day(2))) as account:
            assert account.missing() == []
            assert sum(one.delivered for one in account.days()) == 6


def test_a_destination_that_is_down_fails_no_run_and_keeps_no_other_waiting(
    world: World, instance: dg.DagsterInstance
) -> None:
    with Receiver() as receiver:
        url = {"kind": "https", "allow_private": True, "since": "beginning"}
        dead = {**url, "name": "dead", "url": "http://127.0.0.1:9/"}
        world.send_to(dead, {**url, "name": "hook", "url": receiver.url})
        world.pipeline().land()
        world.clock.now = at(3, "12:31:00")
        assert run(world, instance, "siem_delivery", [TODAY]).success
        assert len(receiver.requests) == 3
        status = Exports(world.pipeline()).status("dead")
        assert status.open_events == 7


def test_the_sensor_asks_when_something_is_waiting(world: World, instance: dg.DagsterInstance) -> None:
    def ask() -> str:
        context = dg.build_sensor_context(instance=instance, resources={"pipeline": resource(world)})
        found = siem_waiting(context)
        assert isinstance(found, dg.RunRequest | dg.SkipReason)
        return found.partition_key or "" if isinstance(found, dg.RunRequest) else str(found.skip_message)

    assert ask() == "Neither a destination nor a feed is configured."
    with Receiver() as receiver:
        send_to(world, receiver.url)
        assert ask() == "Every destination and feed has whatever it can be given now."
        world.pipeline().land()
        assert ask() == str(TODAY)
        run(world, instance, "siem_delivery", [TODAY])
        assert ask() == "Every destination and feed has whatever it can be given now."


def test_the_schedule_asks_for_yesterday(world: World) -> None:
    context = dg.build_schedule_context(
        scheduled_execution_time=at(3, "01:30:00"), resources={"pipeline": resource(world)}
    )
    assert isinstance(siem_reconcile_schedule(context), dg.SkipReason)
    send_to(world, "https://siem.example.com")
    found = siem_reconcile_schedule(context)
    assert isinstance(found, dg.RunRequest)
    assert found.partition_key == str(day(2))


def test_a_configuration_that_can_not_be_read_is_a_reason(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    missing = PipelineResource(config_file=str(tmp_path / "lumi.toml"))
    context = dg.build_sensor_context(instance=instance, resources={"pipeline": missing})
    assert isinstance(siem_waiting(context), dg.SkipReason)


def test_feeds_are_published_and_the_sensor_sees_what_they_lack(world: World, instance: dg.DagsterInstance) -> None:
    world.config = replace(world.config, feeds=("acme",))
    world.pipeline().land()
    context = dg.build_sensor_context(instance=instance, resources={"pipeline": resource(world)})
    assert isinstance(siem_waiting(context), dg.RunRequest)
    assert run(world, instance, "siem_delivery", [TODAY]).success
    [published] = materialised(instance, "tenant_feeds").values()
    assert published["dagster/row_count"] == 5
    assert isinstance(siem_waiting(context), dg.SkipReason)
    assert list(world.store.list("feeds/globex/")) == []


def test_a_destination_that_is_damaged_keeps_no_other_waiting(world: World, instance: dg.DagsterInstance) -> None:
    with Receiver() as receiver:
        both = {"kind": "https", "url": receiver.url, "allow_private": True, "since": "beginning", "timeout": 5}
        world.send_to({**both, "name": "damaged"}, {**both, "name": "hook"})
        world.pipeline().land()
        world.store.put_new("siem/damaged/plans/000000000000.json", b"{")
        context = dg.build_sensor_context(instance=instance, resources={"pipeline": resource(world)})
        assert isinstance(siem_waiting(context), dg.RunRequest)
        result = run(world, instance, "siem_delivery", [TODAY])
        assert len(receiver.requests) == 3
        assert checks(result)["siem_batches.all_planned"] is False
        assert not result.success
        assert "siem/damaged/plans/000000000000.json was altered" in str(failure(result, "siem_deliveries").description)
