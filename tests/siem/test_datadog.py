"""Datadog: what goes over the wire, what each answer means, and that no event is dropped for its age."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from lumi_pipeline.errors import ConfigError, SiemError
from lumi_pipeline.siem.destination import Assurance, Outcome, Result
from lumi_pipeline.siem.destinations.datadog import SITES, DatadogDestination, open_destination
from tests.siem.fakes.datadog import FakeDatadog
from tests.siem.fakes.http import Answer, Reply, ResetAfter, ResetBefore, Slow, answer
from tests.siem.sending import BATCH, NOW, event, opening, outgoing, record_of, records_of, settings_of

DATES = {"timestamp", "date", "_timestamp", "Timestamp", "eventTime", "published_date"}

Opener = Callable[..., DatadogDestination]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    monkeypatch.setenv("DD", "hunter2")
    with opening(open_destination, tmp_path, kind="datadog", url="http://127.0.0.1:9", api_key="env:DD") as opener:
        yield opener


def intake() -> FakeDatadog:
    """The intake at the time of the events."""
    return FakeDatadog(now=lambda: NOW)


def test_a_batch_goes_over_the_wire_like_this(opened: Opener) -> None:
    with intake() as datadog:
        destination = opened(url=datadog.intake, env="prod", tags=["team:sec", "eu"], service='a"b', hostname="h")
        failed = event(1, outcome="failure", entity_id='"s"', occurred_at=NOW - timedelta(seconds=1, microseconds=1))
        outcome = destination.send(outgoing(destination, event(0), failed))
        [request] = datadog.requests
        assert datadog.event_ids() == [event(0)["event_id"], event(1)["event_id"]]
        assert [stored.time for stored in datadog.stored] == [NOW, NOW - timedelta(seconds=1, milliseconds=1)]
    assert outcome == Outcome(Result.DELIVERED, "answered 202", Assurance.RECEIVED, 202)
    assert (request.method, request.path) == ("POST", "/api/v2/logs")
    assert request.headers == {
        "host": datadog.url.removeprefix("http://"),
        "user-agent": "lumi-pipeline",
        "accept": "*/*",
        "accept-encoding": "identity",
        "dd-api-key": "hunter2",
        "content-type": "application/json",
        "content-encoding": "gzip",
        "content-length": str(len(request.body)),
    }
    logs = [
        f'{{"timestamp":{ms},"ddsource":"lumi","ddtags":"env:prod,team:sec,eu,tenant:acme","hostname":"h",'
        f'"service":"a\\"b","status":"{status}","message":"LOGIN {result}: user u-1, session {entity}",'
        f'"lumi":{{"event_id":"00000000-0000-7000-8000-00000000000{seq}","tenant_id":"acme","seq":{seq},'
        f'"recorded_at":"2026-03-01T12:00:00.000000Z","occurred_at":"{occurred}","action":"LOGIN",'
        f'"entity_type":"session","entity_id":"{entity}","outcome":"{result}","actor_type":"user","actor_id":"u-1",'
        '"auth_method":null,"actor_name":null,"ip":null,"user_agent":null,"request_id":null,"before_state":null,'
        f'"after_state":null,"payload_salt":null,"payload_hash":"{"01" * 32}","prev_hash":"{"02" * 32}",'
        f'"integrity_hash":"{"03" * 32}","batch_id":"{BATCH}"}}}}'
        for seq, ms, occurred, result, status, entity in (
            (0, 1772366400000, "2026-03-01T12:00:00.000000Z", "success", "info", "s-0"),
            (1, 1772366398999, "2026-03-01T11:59:58.999999Z", "failure", "error", '\\"s\\"'),
        )
    ]
    assert gzip.decompress(request.body).decode() == f"[{','.join(logs)}]"


def test_another_format_stands_beside_what_names_the_event(opened: Opener) -> None:
    destination = opened(format="ocsf", tag_tenants=False, tags=["eu"])
    assert record_of(destination, "'{\"class_uid\":3002}'", event(outcome="unknown")) == (
        '{"timestamp":1772366400000,"ddsource":"lumi","ddtags":"eu","hostname":"lumi-pipeline","service":"lumi",'
        '"status":"info","message":"LOGIN unknown: user u-1, session s-0",'
        '"lumi":{"event_id":"00000000-0000-7000-8000-000000000000","tenant_id":"acme","seq":0,'
        f'"occurred_at":"2026-03-01T12:00:00.000000Z","action":"LOGIN","prev_hash":"{"02" * 32}",'
        f'"integrity_hash":"{"03" * 32}","batch_id":"{BATCH}"}},"ocsf":{{"class_uid":3002}}}}'
    )
    assert '"ddtags":"tenant:acme",' in record_of(opened(format="ocsf"), "'{}'", event())
    assert '"ddtags":"",' in record_of(opened(format="ocsf", tag_tenants=False), "'{}'", event())


AGES = {
    timedelta(0): True,
    -timedelta(hours=17): True,
    -timedelta(hours=17, milliseconds=1): False,
    -timedelta(days=800): False,
    timedelta(hours=1, minutes=50): True,
    timedelta(hours=1, minutes=50, milliseconds=1): False,
    datetime(1, 1, 1, tzinfo=UTC) - NOW: False,
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - NOW: False,
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - NOW: False,
}


def test_what_is_too_old_or_too_far_ahead_arrives_under_the_time_of_arrival(opened: Opener) -> None:
    with intake() as datadog:
        destination = opened(url=datadog.intake)
        age = destination.age
        assert age is not None
        assert (age.older, age.ahead) == (timedelta(hours=17), timedelta(hours=1, minutes=50))
        records = records_of(destination, *[event(seq, occurred_at=NOW + shift) for seq, shift in enumerate(AGES)])
        sent = [destination.restamp(record, NOW) for record in records]
        for record, changed, kept in zip(records, sent, AGES.values(), strict=True):
            assert (changed == record) == kept
            assert kept or changed == b"{" + record[record.index(b'"ddsource"') :]
            assert kept or not DATES & json.loads(changed).keys()
            assert destination.restamp(changed, NOW) == changed
        batch = outgoing(destination, *[event(seq) for seq in range(len(AGES))])
        batch = replace(batch, body=destination.body(b"[" + b",".join(sent) + b"]"))
        assert destination.send(batch).result is Result.DELIVERED
        assert (len(datadog.stored), datadog.dropped) == (len(AGES), [])
        for stored, (shift, kept) in zip(datadog.stored, AGES.items(), strict=True):
            assert stored.log["lumi"]["occurred_at"] == (NOW + shift).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
            assert stored.time == (NOW + shift if kept else NOW)


def test_the_fake_drops_what_is_too_old_after_accepting_it(opened: Opener) -> None:
    with intake() as datadog:
        destination = opened(url=datadog.intake)
        events = [event(0, occurred_at=NOW - timedelta(hours=18, seconds=1)), event(1)]
        assert destination.send(outgoing(destination, *events)).result is Result.DELIVERED
        assert (datadog.event_ids(), len(datadog.dropped)) == ([events[1]["event_id"]], 1)


ANSWERS: list[tuple[int, Result]] = [
    (202, Result.DELIVERED),
    (200, Result.BLOCKED),
    (301, Result.BLOCKED),
    (400, Result.REFUSED),
    (401, Result.BLOCKED),
    (403, Result.BLOCKED),
    (404, Result.BLOCKED),
    (408, Result.AMBIGUOUS),
    (413, Result.TOO_LARGE),
    (429, Result.RETRY),
    (500, Result.RETRY),
    (502, Result.AMBIGUOUS),
    (503, Result.RETRY),
    (504, Result.AMBIGUOUS),
]


def test_every_answer_has_its_meaning(opened: Opener) -> None:
    with intake() as datadog:
        datadog.script(*[Answer(Reply(status)) for status, _ in ANSWERS])
        destination = opened(url=datadog.intake)
        batch = outgoing(destination, event())
        outcomes = [destination.send(batch) for _ in ANSWERS]
    assert [(outcome.status, outcome.result) for outcome in outcomes] == ANSWERS
    for outcome in outcomes:
        assert outcome.assurance is (Assurance.RECEIVED if outcome.result is Result.DELIVERED else None)
        assert (outcome.index, outcome.ack) == (None, None)


def test_both_forms_of_retry_after_count(opened: Opener) -> None:
    with intake() as datadog:
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        datadog.script(answer(429, Retry_After="17"), answer(503, Retry_After=later))
        destination = opened(url=datadog.intake)
        assert destination.send(outgoing(destination, event())).retry_after == 17
        pause = destination.send(outgoing(destination, event())).retry_after
    assert pause is not None
    assert 50 < pause <= 60


def test_the_intake_takes_what_the_limits_allow(opened: Opener) -> None:
    with intake() as datadog:
        destination = opened(url=datadog.intake)
        assert (destination.limits.body_bytes, destination.limits.events) == (4_500_000, 1000)
        assert destination.limits.record_bytes == 1_000_000
        most = [event(seq) for seq in range(1000)]
        assert destination.send(outgoing(destination, *most)).result is Result.DELIVERED
        assert destination.send(outgoing(destination, *most, event(1000))).result is Result.TOO_LARGE
        large = event(0, before_state="x" * 500_000, after_state="y" * 600_000)
        assert destination.send(outgoing(destination, large)).result is Result.DELIVERED
        assert datadog.truncated == 0
        assert datadog.stored[-1].log["lumi"]["omitted"] == ["after_state", "before_state"]
        poison = event(7)
        datadog.refused = {str(poison["event_id"])}
        assert destination.send(outgoing(destination, event(6), poison)).result is Result.REFUSED
        assert len(datadog.stored) == 1001


def test_what_the_network_does_is_an_outcome(opened: Opener) -> None:
    with intake() as datadog:
        datadog.script(ResetBefore(), ResetAfter(stored=True), ResetAfter(stored=False), Slow(30))
        destination = opened(url=datadog.intake, timeout=1)
        batch = outgoing(destination, event())
        assert [destination.send(batch).result for _ in range(4)] == [Result.AMBIGUOUS] * 4
        assert len(datadog.stored) == 2
    assert destination.send(batch).result is Result.RETRY, "nobody listens there any more"


def test_a_secret_is_read_each_time_and_told_to_nobody_else(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "hunter4")
    with FakeDatadog("hunter3", "hunter4", now=lambda: NOW) as datadog:
        route = {"name": "other", "actions": ["LOGOUT"], "api_key": "env:OTHER", "service": "other", "env": "test"}
        destination = opened(url=datadog.intake, routes=[route])
        datadog.script(None, None, answer(403, b'{"errors":["hunter3"]}', X_Request_Id="r-1"))
        outcomes = [destination.send(outgoing(destination, event()))]
        monkeypatch.setenv("DD", "hunter3")
        outcomes += [destination.send(outgoing(destination, event())) for _ in range(2)]
        outcomes += [destination.send(outgoing(destination, event(), route=destination.settings.routes[0]))]
        monkeypatch.setenv("DD", "hunter€")
        outcomes += [destination.send(outgoing(destination, event()))]
        monkeypatch.delenv("DD")
        outcomes += [destination.send(outgoing(destination, event()))]
        found = [(stored.key, stored.log["service"], stored.log["ddtags"]) for stored in datadog.stored]
    names = [outcome.result.name for outcome in outcomes]
    assert names == ["BLOCKED", "DELIVERED", "BLOCKED", "DELIVERED", "BLOCKED", "BLOCKED"]
    assert found == [("hunter3", "lumi", "tenant:acme"), ("hunter4", "other", "env:test,tenant:acme")]
    assert outcomes[2].request_id == "r-1"
    assert "hunter" not in repr(outcomes) + repr(destination.settings)


def test_check_proves_the_key_without_an_event(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "hunter3")
    with intake() as datadog:
        destination = opened(
            url=datadog.intake, routes=[{"name": "other", "tenants": ["acme"], "api_key": "env:OTHER"}]
        )
        with pytest.raises(SiemError, match=r"^siem: 127\.0\.0\.1: answered 403 \(route other\); check the site"):
            destination.check()
        datadog.keys.add("hunter3")
        assert destination.check() == [
            "127.0.0.1 takes the key env:DD: it answers 202 to an empty batch",
            "127.0.0.1 takes the key env:OTHER: it answers 202 to an empty batch",
        ]
        assert (datadog.stored, datadog.requests[-1].body) == ([], b"[]")
        datadog.script(answer(400))
        assert destination.check()[0].endswith("it answers 400 to an empty batch")
    with pytest.raises(SiemError, match="can't be reached"):
        destination.check()
    monkeypatch.delenv("DD")
    with pytest.raises(SiemError, match="the environment variable DD is not set"):
        destination.check()


def test_the_site_names_the_intake(tmp_path: Path) -> None:
    for site in SITES:
        settings = settings_of(tmp_path, kind="datadog", api_key="env:DD", site=site)
        assert open_destination(settings)._url == f"https://http-intake.logs.{site}/api/v2/logs"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "set either 'site'"),
        ({"site": "datadoghq.eu", "url": "https://dd.example/"}, "set either 'site'"),
        ({"site": "datadog.example"}, "site must be one of datadoghq.com, us3.datadoghq.com"),
        ({"tags": ["team:sec,env:x"], "site": "datadoghq.eu"}, "tags must be a tag"),
        ({"tags": [], "site": "datadoghq.eu"}, "tags must be a list of texts"),
        ({"env": "1st", "site": "datadoghq.eu"}, "env must be a tag"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_destination(settings_of(tmp_path, kind="datadog", api_key="env:DD", **table))
