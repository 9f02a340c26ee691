"""Splunk: what goes over the wire, and what each answer means."""

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.siem.destination import Assurance, Outcome, Result
from lumi_pipeline.siem.destinations.splunk import SplunkDestination, open_destination
from tests.siem.fakes.http import Answer, Partial, Reply, ResetAfter, ResetBefore, Slow, answer
from tests.siem.fakes.splunk import FakeSplunk, said
from tests.siem.sending import BATCH, event, opening, outgoing, record_of

CHANNEL = "525531c3-46dc-5977-a702-958ac40cd8bd"

Opener = Callable[..., SplunkDestination]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    monkeypatch.setenv("HEC", "hunter2")
    with opening(open_destination, tmp_path, kind="splunk", url="http://127.0.0.1:9", token="env:HEC") as opener:
        yield opener


def test_a_batch_goes_over_the_wire_like_this(opened: Opener) -> None:
    with FakeSplunk() as splunk:
        destination = opened(url=splunk.url, index="main", host='a"b', source="lümi")
        outcome = destination.send(outgoing(destination, event(0), event(1, actor_name="O'Brien\n")))
        [request] = splunk.requests
        ids = splunk.event_ids()
    assert outcome == Outcome(Result.DELIVERED, "answered 200", Assurance.RECEIVED, 200)
    assert (request.method, request.path) == ("POST", "/services/collector/event")
    assert request.headers == {
        "host": splunk.url.removeprefix("http://"),
        "user-agent": "lumi-pipeline",
        "accept": "*/*",
        "accept-encoding": "identity",
        "authorization": "Splunk hunter2",
        "x-splunk-request-channel": CHANNEL,
        "content-type": "application/json",
        "content-encoding": "gzip",
        "content-length": str(len(request.body)),
    }
    assert gzip.decompress(request.body).decode() == "".join(
        '{"time":1772366400.000000,"host":"a\\"b","source":"lümi","sourcetype":"lumi:native","index":"main","event":'
        f'{{"event_id":"00000000-0000-7000-8000-00000000000{seq}","tenant_id":"acme","seq":{seq},'
        '"recorded_at":"2026-03-01T12:00:00.000000Z","occurred_at":"2026-03-01T12:00:00.000000Z","action":"LOGIN",'
        f'"entity_type":"session","entity_id":"s-{seq}","outcome":"success","actor_type":"user","actor_id":"u-1",'
        f'"auth_method":null,"actor_name":{name},"ip":null,"user_agent":null,"request_id":null,"before_state":null,'
        f'"after_state":null,"payload_salt":null,"payload_hash":"{"01" * 32}","prev_hash":"{"02" * 32}",'
        f'"integrity_hash":"{"03" * 32}","batch_id":"{BATCH}"}},"fields":'
        f'{{"event_id":"00000000-0000-7000-8000-00000000000{seq}","tenant_id":"acme","seq":"{seq}","action":"LOGIN",'
        f'"batch_id":"{BATCH}"}}}}\n'
        for seq, name in ((0, "null"), (1, '"O\'Brien\\n"'))
    )
    assert ids == ["00000000-0000-7000-8000-000000000000", "00000000-0000-7000-8000-000000000001"]


def test_index_is_left_out_and_any_format_is_wrapped(opened: Opener) -> None:
    destination = opened(format="ocsf")
    assert record_of(destination, "'{\"class_uid\":3002}'", event()) == (
        '{"time":1772366400.000000,"host":"lumi-pipeline","source":"lumi","sourcetype":"lumi:ocsf",'
        '"event":{"class_uid":3002},"fields":{"event_id":"00000000-0000-7000-8000-000000000000","tenant_id":"acme",'
        f'"seq":"0","action":"LOGIN","batch_id":"{BATCH}"}}}}'
    )


@pytest.mark.parametrize(
    ("occurred", "time"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), None),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), None),
        (datetime(1970, 1, 1, tzinfo=UTC), "0.000000"),
        (datetime(1970, 1, 1, 0, 0, 1, 7, tzinfo=UTC), "1.000007"),
        (datetime(2100, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "4133980799.999999"),
        (datetime(2101, 1, 1, tzinfo=UTC), None),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), None),
    ],
)
def test_time_is_exact_or_left_out(opened: Opener, occurred: datetime, time: str | None) -> None:
    record = record_of(opened(), "'0'", event(occurred_at=occurred))
    assert record.startswith('{"host":' if time is None else f'{{"time":{time},"host":')
    assert json.loads(record)["event"] == 0


def test_routes_have_tokens_indexes_and_channels_of_their_own(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "hunter3")
    with FakeSplunk({"hunter2": ["main"], "hunter3": ["second"]}) as splunk:
        route = {"name": "other", "tenants": ["acme"], "token": "env:OTHER", "index": "second", "sourcetype": "own"}
        destination = opened(url=splunk.url, routes=[route])
        other, default = destination.settings.routes
        for chosen in (other, default):
            assert destination.send(outgoing(destination, event(), route=chosen)).result is Result.DELIVERED
        first, second = splunk.stored
    assert (first.token, first.envelope["index"], first.envelope["sourcetype"]) == ("hunter3", "second", "own")
    assert (second.token, "index" in second.envelope, second.envelope["sourcetype"]) == (
        "hunter2",
        False,
        "lumi:native",
    )
    assert second.channel == CHANNEL != first.channel


ANSWERS: list[tuple[Reply, Result, int | None]] = [
    (said(0), Result.DELIVERED, None),
    (said(1), Result.BLOCKED, None),
    (said(2), Result.BLOCKED, None),
    (said(3), Result.BLOCKED, None),
    (said(4), Result.BLOCKED, None),
    (said(5), Result.BLOCKED, None),
    (said(6, 0), Result.REFUSED, 0),
    (said(6, 2), Result.PARTIAL, 2),
    (said(6, 3), Result.REFUSED, None),
    (said(6), Result.REFUSED, None),
    (said(7, 1), Result.BLOCKED, None),
    (said(7, 3), Result.AMBIGUOUS, None),
    (said(8), Result.RETRY, None),
    (said(9), Result.RETRY, None),
    (said(9, 0), Result.RETRY, None),
    (said(9, 2), Result.AMBIGUOUS, None),
    (said(10), Result.BLOCKED, None),
    (said(11), Result.BLOCKED, None),
    (said(12, 1), Result.PARTIAL, 1),
    (said(12, 0), Result.REFUSED, 0),
    (said(13, 1), Result.PARTIAL, 1),
    (said(14), Result.BLOCKED, None),
    (said(15, 1), Result.PARTIAL, 1),
    (said(16), Result.BLOCKED, None),
    (said(18), Result.RETRY, None),
    (said(19), Result.RETRY, None),
    (said(20), Result.RETRY, None),
    (said(21), Result.BLOCKED, None),
    (said(22), Result.BLOCKED, None),
    (said(23), Result.RETRY, None),
    (said(24), Result.DELIVERED, None),
    (said(25), Result.DELIVERED, None),
    (said(26), Result.RETRY, None),
    (said(27), Result.RETRY, None),
    (Reply(200, b"<html>Sign in</html>"), Result.BLOCKED, None),
    (Reply(200, b'{"code":99}'), Result.BLOCKED, None),
    (Reply(200, b"[" * 60_000), Result.BLOCKED, None),
    (Reply(200, b'{"code":true}'), Result.BLOCKED, None),
    (Reply(400, b'{"text":"?","code":28}'), Result.BLOCKED, None),
    (Reply(204), Result.BLOCKED, None),
    (Reply(302, b"", {"Location": "http://127.0.0.1/"}), Result.BLOCKED, None),
    (Reply(404), Result.BLOCKED, None),
    (Reply(405), Result.BLOCKED, None),
    (Reply(408), Result.AMBIGUOUS, None),
    (Reply(413), Result.TOO_LARGE, None),
    (Reply(429), Result.RETRY, None),
    (Reply(500), Result.RETRY, None),
    (Reply(502), Result.AMBIGUOUS, None),
    (Reply(503), Result.RETRY, None),
    (Reply(504), Result.AMBIGUOUS, None),
]


def test_every_answer_has_its_meaning(opened: Opener) -> None:
    with FakeSplunk() as splunk:
        splunk.script(*[Answer(reply) for reply, _, _ in ANSWERS])
        destination = opened(url=splunk.url)
        batch = outgoing(destination, event(0), event(1), event(2))
        outcomes = [destination.send(batch) for _ in ANSWERS]
    found = [(reply, outcome.result, outcome.index) for (reply, _, _), outcome in zip(ANSWERS, outcomes, strict=True)]
    assert found == ANSWERS
    for (reply, result, _), outcome in zip(ANSWERS, outcomes, strict=True):
        received = result in {Result.DELIVERED, Result.PARTIAL}
        assert outcome.assurance is (Assurance.RECEIVED if received else None)
        assert outcome.status == reply.status
        assert outcome.detail.startswith(f"answered {reply.status}")


def test_a_collector_under_pressure_is_left_alone_for_a_while(opened: Opener) -> None:
    with FakeSplunk() as splunk:
        destination = opened(url=splunk.url)
        for splunk.code in (24, 25):
            assert destination.send(outgoing(destination, event())).retry_after == 10
        splunk.script(Answer(Reply(200, said(24).body, {"Retry-After": "3"})))
        assert destination.send(outgoing(destination, event())).retry_after == 3
        assert len(splunk.stored) == 2


def test_both_forms_of_retry_after_count(opened: Opener) -> None:
    with FakeSplunk() as splunk:
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
        splunk.script(answer(429, said(26).body, Retry_After="17"), answer(503, Retry_After=later))
        destination = opened(url=splunk.url)
        assert destination.send(outgoing(destination, event())).retry_after == 17
        pause = destination.send(outgoing(destination, event())).retry_after
    assert pause is not None
    assert 50 < pause <= 60


@pytest.mark.parametrize(("cloud", "status"), [(True, 400), (False, 413)])
def test_a_body_that_is_too_large_is_told_from_a_bad_first_event(opened: Opener, cloud: bool, status: int) -> None:
    large = [event(seq, before_state="x" * 100_000) for seq in range(4)]
    with FakeSplunk(largest=350_000, cloud=cloud) as splunk:
        destination = opened(url=splunk.url)
        outcome = destination.send(outgoing(destination, *large))
        assert (outcome.result, outcome.status, outcome.index) == (Result.TOO_LARGE, status, None)
        assert splunk.stored == []
        assert destination.send(outgoing(destination, *large[:2])).result is Result.DELIVERED


def test_events_before_a_bad_one_stay(opened: Opener) -> None:
    events = [event(seq) for seq in range(4)]
    with FakeSplunk() as splunk:
        splunk.refused = {str(events[2]["event_id"])}
        destination = opened(url=splunk.url)
        outcome = destination.send(outgoing(destination, *events))
        assert (outcome.result, outcome.index) == (Result.PARTIAL, 2)
        assert splunk.event_ids() == [one["event_id"] for one in events[:2]]
        outcome = destination.send(outgoing(destination, *events[2:]))
        assert (outcome.result, outcome.index) == (Result.REFUSED, 0)
        splunk.script(Partial(1))
        outcome = destination.send(outgoing(destination, events[0], events[3]))
        assert (outcome.result, outcome.index) == (Result.PARTIAL, 1)
        assert len(splunk.stored) == 3


def test_an_index_that_the_token_may_not_write_to_blocks(opened: Opener) -> None:
    with FakeSplunk() as splunk:
        destination = opened(url=splunk.url, index="secret")
        outcome = destination.send(outgoing(destination, event(0), event(1)))
        assert (outcome.result, splunk.stored) == (Result.BLOCKED, [])
    assert outcome.detail == (
        "answered 400, code 7: the index does not exist or the token may not write to it: correct either"
    )


def test_the_fake_stops_reading_at_an_unknown_key() -> None:
    """As Splunk does, with a success: so that a key too many would be counted as a loss."""
    with FakeSplunk() as splunk:
        body = b'{"event":1,"fields":{"event_id":"a"},"extra":1}\n{"event":2,"fields":{"event_id":"b"}}\n'
        host, _, port = splunk.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as connection:
            head = "POST /services/collector/event HTTP/1.1\r\nAuthorization: Splunk hunter2\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert (splunk.event_ids(), splunk.dropped) == (["a"], 1)


def test_what_the_network_does_is_an_outcome(opened: Opener) -> None:
    with FakeSplunk() as splunk:
        splunk.script(ResetBefore(), ResetAfter(stored=True), ResetAfter(stored=False), Slow(30))
        destination = opened(url=splunk.url, timeout=1)
        batch = outgoing(destination, event())
        stored = []
        for _ in range(4):
            assert destination.send(batch).result is Result.AMBIGUOUS
            stored.append(len(splunk.stored))
        assert stored == [0, 1, 1, 2]
    assert destination.send(batch).result is Result.RETRY, "nobody listens there any more"


def test_a_secret_is_read_each_time_and_told_to_nobody_else(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeSplunk({"hunter3": ["main"]}) as splunk:
        destination = opened(url=splunk.url)
        echo = answer(403, b'{"text":"hunter2 hunter3","code":4}', X_Request_Id="r-1")
        splunk.script(None, None, echo)
        outcomes = [destination.send(outgoing(destination, event()))]
        monkeypatch.setenv("HEC", "hunter3")
        outcomes += [destination.send(outgoing(destination, event())) for _ in range(2)]
        monkeypatch.setenv("HEC", "hunter€")
        outcomes += [destination.send(outgoing(destination, event()))]
        monkeypatch.delenv("HEC")
        outcomes += [destination.send(outgoing(destination, event()))]
    assert [outcome.result.name for outcome in outcomes] == ["BLOCKED", "DELIVERED", "BLOCKED", "BLOCKED", "BLOCKED"]
    assert outcomes[2].request_id == "r-1"
    assert "hunter" not in repr(outcomes) + repr(destination.settings)


@pytest.mark.parametrize(
    "url",
    ["https://splunk.example:8088/services/collector", "https://splunk.example/?token=1", "splunk.example:8088"],
)
def test_the_url_is_that_of_the_collector(opened: Opener, url: str) -> None:
    with pytest.raises(ConfigError, match="url must be"):
        opened(url=url)
