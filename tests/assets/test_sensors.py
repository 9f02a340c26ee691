"""The gap sensor and the nightly schedule ask for what is missing, once; alerts reach a webhook and never break."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import dagster as dg
import pytest

from assets.definitions import defs
from assets.partitions import RANGE_END, RANGE_START, range_tags
from assets.resources import PipelineResource
from assets.schedules import daily_schedule
from assets.sensors import failure_alert, finding_alert, gaps
from tests.assets.worlds import resource, run
from tests.lake.world import World, at, day

DAYS = [day(0), day(1), day(2)]


def ask(world: World, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance) as context:
        answer = gaps(context, pipeline=resource(world))
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_all_missing_days_are_one_run(world: World, instance: dg.DagsterInstance) -> None:
    world.pipeline().land()
    request = ask(world, instance)
    assert isinstance(request, dg.RunRequest)
    assert request.tags == {RANGE_START: str(day(0)), RANGE_END: str(day(2))}
    assert (request.run_key, request.partition_key, request.run_config) == (None, None, {})
    assert run(world, instance, "daily", DAYS).success
    answer = ask(world, instance)
    assert isinstance(answer, dg.SkipReason)
    assert "is sealed and published" in str(answer.skip_message)


def test_the_schedule_asks_for_the_same(world: World, tmp_path: Path) -> None:
    world.pipeline().land()
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        dg.build_schedule_context(instance, scheduled_execution_time=datetime.now(UTC)) as context,
    ):
        assert daily_schedule(context, pipeline=resource(world)) == ask(world, instance)


def test_nothing_landed_is_nothing_to_do(world: World, instance: dg.DagsterInstance) -> None:
    assert isinstance(ask(world, instance), dg.SkipReason)


def test_asking_twice_asks_for_the_same(world: World, instance: dg.DagsterInstance) -> None:
    world.pipeline().land()
    before = world.contents()
    assert ask(world, instance) == ask(world, instance)
    assert world.contents() == before


def test_a_gap_after_downtime_is_filled_from_the_last_seal_on(world: World, instance: dg.DagsterInstance) -> None:
    assert run(world, instance, "daily", DAYS[:1]).success
    world.clock.now = at(6, "09:00:00")
    request = ask(world, instance)
    assert isinstance(request, dg.RunRequest)
    assert request.tags == {RANGE_START: str(day(1)), RANGE_END: str(day(5))}


def test_a_lost_database_of_dagster_costs_its_history_alone(world: World, tmp_path: Path) -> None:
    """As the runbook has it: an empty one is made, and what is due follows from the lake."""
    for name in ("lost", "empty"):
        (tmp_path / name).mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "lost")) as instance:
        assert run(world, instance, "daily", DAYS[:2]).success
    before = world.contents("seals/")
    with dg.DagsterInstance.local_temp(str(tmp_path / "empty")) as instance:
        assert instance.get_runs() == []
        request = ask(world, instance)
        assert isinstance(request, dg.RunRequest)
        assert request.tags == {RANGE_START: str(day(2)), RANGE_END: str(day(2))}
        assert run(world, instance, "daily", DAYS[2:]).success
        # Doing a day once more that the lost one had done verifies it, and changes nothing.
        assert run(world, instance, "daily", DAYS[:1]).success
    after = world.contents("seals/")
    assert {key: after[key] for key in before} == before
    assert len(world.pipeline().sealed_days()) == len(DAYS)


def test_days_sealed_and_not_published_go_first(world: World, instance: dg.DagsterInstance) -> None:
    pipeline = world.pipeline()
    pipeline.land()
    assert len(list(pipeline.seal(DAYS[:2]))) == 2
    request = ask(world, instance)
    assert isinstance(request, dg.RunRequest)
    assert request.tags == {RANGE_START: str(day(0)), RANGE_END: str(day(1))}


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_a_run_in_progress_is_waited_for(
    world: World, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    world.pipeline().land()
    job = defs.resolve_job_def("daily")
    waiting = instance.create_run_for_job(job, status=status, tags=range_tags(DAYS))
    answer = ask(world, instance)
    assert isinstance(answer, dg.SkipReason)
    assert waiting.run_id in str(answer.skip_message)


def test_a_failed_range_is_left_alone_for_an_hour(world: World, instance: dg.DagsterInstance) -> None:
    world.tamper("UPDATE audit_outbox SET actor_id = 'x' WHERE tenant_id = 'acme' AND seq = 0")
    assert not run(world, instance, "daily", DAYS).success
    answer = ask(world, instance)
    assert isinstance(answer, dg.SkipReason)
    assert "is tried again" in str(answer.skip_message)
    # Another range is another matter.
    world.clock.now = at(4, "09:00:00")
    assert isinstance(ask(world, instance), dg.RunRequest)


def test_a_broken_configuration_is_a_reason_not_a_crash(instance: dg.DagsterInstance) -> None:
    with dg.build_sensor_context(instance) as context:
        answer = gaps(context, pipeline=PipelineResource(config_file="/nowhere/lumi.toml"))
    assert isinstance(answer, dg.SkipReason)
    assert "/nowhere/lumi.toml" in str(answer.skip_message)


class Webhook(HTTPServer):
    """Receives what alerts post; ``status`` is what it answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[dict[str, object]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/s3cret"


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append(body)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("LUMI_ALERT_WEBHOOK", server.url)
        yield server
        server.shutdown()


def failed_run(world: World, instance: dg.DagsterInstance) -> dg.RunFailureSensorContext:
    world.tamper("UPDATE audit_outbox SET actor_id = 'x' WHERE tenant_id = 'acme' AND seq = 0")
    result = run(world, instance, "daily", DAYS)
    context = dg.build_run_status_sensor_context(
        "failure_alert", result.get_run_failure_event(), instance, result.dagster_run
    )
    return context.for_run_failure()


def test_a_failed_run_is_told(world: World, instance: dg.DagsterInstance, webhook: Webhook) -> None:
    context = failed_run(world, instance)
    assert failure_alert(context) is None
    [alert] = webhook.received
    assert str(alert["text"]).startswith(
        f"lumi-pipeline: daily for {day(0)} to {day(2)} failed\n{day(0)} is not sealed"
    )
    assert (alert["job"], alert["run_id"]) == ("daily", context.dagster_run.run_id)
    assert alert["days"] == [str(day(0)), str(day(2))]


def test_findings_of_a_run_that_went_on_are_told(world: World, instance: dg.DagsterInstance, webhook: Webhook) -> None:
    def alert_about(job: str) -> dg.SkipReason | None:
        result = run(world, instance, job)
        assert result.success
        context = dg.build_run_status_sensor_context(
            "finding_alert", result.get_run_success_event(), instance, result.dagster_run
        )
        answer = finding_alert(context)
        assert answer is None or isinstance(answer, dg.SkipReason)
        return answer

    assert alert_about("landing") is None
    assert webhook.received == []
    world.record("acme", at(3, "08:30:00"))
    world.tamper("UPDATE audit_outbox SET actor_id = 'x' WHERE tenant_id = 'acme' AND recorded_at = ?", (last(world),))
    assert alert_about("landing") is None
    assert webhook.received[0]["reasons"] == ["landed_events: chain_intact: 1 break(s)"]


def last(world: World) -> object:
    [(moment,)] = world.select("SELECT max(recorded_at) FROM audit_outbox WHERE tenant_id = 'acme'")
    return moment


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_refuses_breaks_nothing(
    world: World, instance: dg.DagsterInstance, webhook: Webhook, status: int
) -> None:
    webhook.status = status
    answer = failure_alert(failed_run(world, instance))
    assert isinstance(answer, dg.SkipReason)
    assert str(status) in str(answer.skip_message)
    assert "s3cret" not in str(answer.skip_message)


def test_a_webhook_out_of_reach_breaks_nothing(
    world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = failed_run(world, instance)
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}/s3cret"
    for url in (closed, "not a URL s3cret", "http://[s3cret", "ftp://s3cret/"):
        monkeypatch.setenv("LUMI_ALERT_WEBHOOK", url)
        answer = failure_alert(context)
        assert isinstance(answer, dg.SkipReason), url
        assert "s3cret" not in str(answer.skip_message)


def test_without_a_webhook_it_says_that_nobody_was_told(world: World, instance: dg.DagsterInstance) -> None:
    answer = failure_alert(failed_run(world, instance))
    assert isinstance(answer, dg.SkipReason)
    assert "LUMI_ALERT_WEBHOOK is not set" in str(answer.skip_message)
