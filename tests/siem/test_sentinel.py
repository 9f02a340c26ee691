"""Microsoft Sentinel, against a strict fake of its login and its Logs Ingestion API."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from uuid import NAMESPACE_OID, uuid5

import pyarrow as pa
import pytest

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.destination import Assurance, Destination, Result
from lumi_pipeline.siem.sentinelcolumns import stream_declaration, table_schema
from tests.siem.batches import NOW, encoded, event, opened, outgoing, records, table, unpacked
from tests.siem.fakes.http import Answer, Fault, Reply, ResetAfter, ResetBefore, answer
from tests.siem.fakes.sentinel import FakeSentinel

STREAM = "Custom-LumiAudit_CL"
TIMES = {"TimeGenerated": "datetime", "EventTime": "datetime", "RecordedTime": "datetime"}
TEXTS = (
    *("EventId", "TenantKey", "Action", "EntityType", "EntityId", "Outcome", "ActorType", "ActorId", "AuthMethod"),
    *("ActorName", "IpAddress", "UserAgent", "RequestId", "BeforeState", "AfterState", "PayloadSalt", "PayloadHash"),
    *("PrevHash", "IntegrityHash", "BatchId"),
)
NATIVE = {**TIMES, **dict.fromkeys(TEXTS, "string"), "Seq": "long", "Omitted": "dynamic"}
SHORT = ("EventId", "TenantKey", "Action", "PrevHash", "IntegrityHash", "BatchId")
OCSF = {**TIMES, **dict.fromkeys(SHORT, "string"), "Seq": "long", "Event": "dynamic"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSentinel]:
    monkeypatch.setenv("CLIENT_SECRET", "hunter2")
    with FakeSentinel({STREAM: NATIVE}, now=lambda: NOW) as running:
        yield running


@pytest.fixture
def made(fake: FakeSentinel) -> Iterator[Callable[..., Destination]]:
    destinations = []

    def make(**options: object) -> Destination:
        base = {
            "endpoint": fake.url,
            "login": fake.url,
            "dcr": fake.dcr,
            "stream": STREAM,
            "directory": fake.directory,
            "client_id": "app",
            "client_secret": "env:CLIENT_SECRET",
        }
        destinations.append(opened("sentinel", **(base | options)))
        return destinations[-1]

    yield make
    for destination in destinations:
        destination.close()


def test_the_whole_exchange(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    destination = made()
    parts = records(destination, table(event(0), event(1, erased_at=NOW, payload_salt=None, actor_name=None)))
    sent = outgoing(destination, parts)
    outcome = destination.send(sent)
    assert (outcome.result, outcome.assurance, outcome.status, outcome.request_id) == (
        Result.DELIVERED,
        Assurance.RECEIVED,
        204,
        "c0ffee",
    )
    login, ingest = fake.requests
    common = {
        "host": fake.url.removeprefix("http://"),
        "user-agent": "lumi-pipeline",
        "accept": "*/*",
        "accept-encoding": "identity",
    }
    assert (login.method, login.path) == ("POST", "/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token")
    assert login.headers == common | {
        "content-length": str(len(login.body)),
        "content-type": "application/x-www-form-urlencoded",
    }
    assert login.body == (
        b"grant_type=client_credentials&client_id=app&client_secret=hunter2"
        b"&scope=https%3A%2F%2Fmonitor.azure.com%2F.default"
    )
    assert (ingest.method, ingest.path) == (
        "POST",
        f"/dataCollectionRules/{fake.dcr}/streams/{STREAM}?api-version=2023-01-01",
    )
    assert ingest.headers == common | {
        "content-length": str(len(sent.body)),
        "content-type": "application/json",
        "content-encoding": "gzip",
        "authorization": "Bearer token.0",
        "x-ms-client-request-id": str(uuid5(NAMESPACE_OID, sent.delivery_id)),
    }
    assert unpacked(ingest.body) == b"[" + parts[0] + b"," + parts[1] + b"]"
    assert json.loads(parts[0]) == {
        "TimeGenerated": "2026-03-02T12:00:00.000000Z",
        "EventTime": "2026-03-02T12:00:00.000000Z",
        "RecordedTime": "2026-03-02T12:00:00.000007Z",
        "EventId": "019cc9f2-0000-7000-8000-000000000000",
        "TenantKey": "acme",
        "Seq": 0,
        "Action": "LOGIN",
        "EntityType": "session",
        "EntityId": "S-1",
        "Outcome": "success",
        "ActorType": "user",
        "ActorId": "u-17",
        "AuthMethod": None,
        "ActorName": 'Zoë "Ångström"',
        "IpAddress": "203.0.113.7",
        "UserAgent": "Mozilla/5.0",
        "RequestId": "req-1",
        "BeforeState": None,
        "AfterState": '{"a":\n1}',
        "PayloadSalt": "01" * 16,
        "PayloadHash": "02" * 32,
        "PrevHash": "03" * 32,
        "IntegrityHash": "04" * 32,
        "BatchId": "0" * 64,
        "Omitted": None,
    }
    assert (len(fake.stored[STREAM]), fake.lost, fake.times_replaced) == (2, [], 0)


def test_ocsf_is_one_column(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    fake.streams = {STREAM: OCSF}
    destination = made(format="ocsf")
    assert destination.limits.record_bytes == destination.limits.field_bytes == 64_000
    (record,) = records(destination, table(event(0)), "'{\"class_uid\":3002}'")
    assert destination.send(outgoing(destination, [record])).result is Result.DELIVERED
    (row,) = fake.stored[STREAM]
    assert (row["Event"], row["Seq"], fake.lost) == ({"class_uid": 3002}, 0, [])


@pytest.mark.parametrize(("name", "columns"), [("native", NATIVE), ("ocsf", OCSF)])
def test_schemas_to_create_the_table_with(name: str, columns: Mapping[str, str]) -> None:
    schema = table_schema("LumiAudit_CL", name)["properties"]["schema"]  # type: ignore[index,call-overload]
    assert schema["name"] == "LumiAudit_CL"  # type: ignore[index,call-overload]
    declared = stream_declaration(STREAM, name)[STREAM]["columns"]  # type: ignore[index,call-overload]
    assert schema["columns"] == declared  # type: ignore[index,call-overload]
    assert {column["name"]: column["type"] for column in declared} == columns  # type: ignore[index,call-overload,union-attr]


def send_at_once(destination: Destination, number: int) -> list[Result]:
    """Send batches from as many threads."""
    results: list[Result] = []

    def send(batch: int) -> None:
        results.append(destination.send(outgoing(destination, [b"{}"], number=batch)).result)

    threads = [threading.Thread(target=send, args=(batch,)) for batch in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_threads_share_a_token_and_its_replacement(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    destination = made(concurrency=8)
    assert send_at_once(destination, 8) == [Result.DELIVERED] * 8
    assert fake.tokens == ["token.0"]
    fake.valid.clear()
    assert send_at_once(destination, 8) == [Result.DELIVERED] * 8
    assert fake.tokens == ["token.0", "token.1"]


def test_a_token_is_replaced_before_it_expires(
    fake: FakeSentinel, made: Callable[..., Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("lumi_pipeline.siem.entratoken.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("lumi_pipeline.siem.connecting.Exchange.left", lambda _: 5.0)
    destination = made()
    for passed, tokens in ((0, 1), (3298, 1), (2, 2)):
        clock[0] += passed
        assert destination.send(outgoing(destination, [b"{}"])).result is Result.DELIVERED
        assert len(fake.tokens) == tokens


def test_a_401_that_a_new_token_does_not_help_against(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    fake.script(None, answer(401), None, answer(401))
    destination = made()
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert (outcome.result, outcome.detail) == (
        Result.BLOCKED,
        "answered 401; give the application a new client secret",
    )
    assert len(fake.requests) == 4


@pytest.mark.parametrize(
    ("fault", "result", "pause"),
    [
        (answer(429, Retry_After="7"), Result.RETRY, 7.0),
        (answer(503), Result.RETRY, None),
        (answer(504), Result.RETRY, None),
        (answer(408), Result.RETRY, None),
        (answer(200, b"<html>"), Result.RETRY, None),
        (answer(200, b'{"access_token": "a\\nb", "expires_in": 1}'), Result.RETRY, None),
        (answer(200, b"[" * 60_000), Result.RETRY, None),
        (ResetBefore(), Result.RETRY, None),
        (ResetAfter(), Result.RETRY, None),
        (answer(404), Result.BLOCKED, None),
        (answer(400, b'{"error": "<b>", "error_description": "hunter2"}'), Result.BLOCKED, None),
    ],
)
def test_without_a_token_nothing_is_sent(
    fault: Fault, result: Result, pause: float | None, fake: FakeSentinel, made: Callable[..., Destination]
) -> None:
    fake.script(fault)
    destination = made()
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert (outcome.result, outcome.retry_after) == (result, pause)
    assert outcome.detail.startswith("no token: 127.0.0.1 ")
    assert "hunter2" not in outcome.detail
    assert not fake.ingested()
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.DELIVERED


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"client_id": "other"}, "answered 400 unauthorized_client AADSTS700016"),
        ({"directory": "other"}, "answered 400 invalid_request AADSTS90002"),
        ({"scope": "https://monitor.azure.us/.default"}, "answered 400 invalid_scope AADSTS70011"),
        ({"client_secret": "env:WRONG"}, "answered 401 invalid_client AADSTS7000215"),
        ({"client_secret": "env:MISSING"}, "environment variable MISSING is not set"),
    ],
)
def test_credentials_that_are_refused(
    options: dict[str, str], words: str, made: Callable[..., Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG", "sesame")
    destination = made(**options)
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert (outcome.result, words in outcome.detail, "sesame" in outcome.detail) == (Result.BLOCKED, True, False)
    with pytest.raises(SiemError) as caught:
        destination.check()
    assert (words in str(caught.value), "sesame" in str(caught.value)) == (True, False)


def test_a_rotated_secret_is_used_without_a_restart(
    fake: FakeSentinel, made: Callable[..., Destination], monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = made()
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.DELIVERED
    fake.client, fake.valid = ("app", "new & näher"), set()
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.BLOCKED
    monkeypatch.setenv("CLIENT_SECRET", "new & näher")
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.DELIVERED


@pytest.mark.parametrize(
    ("fault", "result", "detail"),
    [
        (answer(200), Result.BLOCKED, "answered 200"),
        (answer(400, x_ms_error_code="InvalidPayload"), Result.REFUSED, "answered 400 InvalidPayload"),
        (answer(400, b'{"error": {"code": "Odd", "message": "x"}}'), Result.REFUSED, "answered 400 Odd"),
        (answer(400, b'{"error": {"code": "a secret!"}}'), Result.REFUSED, "answered 400"),
        (answer(400, b'{"error": ["x"]}'), Result.REFUSED, "answered 400"),
        (answer(400, b"["), Result.REFUSED, "answered 400"),
        (answer(400, x_ms_error_code="ContentLengthLimitExceeded"), Result.TOO_LARGE, None),
        (answer(413), Result.TOO_LARGE, "answered 413"),
        (answer(400, x_ms_error_code="InvalidStream"), Result.BLOCKED, None),
        (answer(403), Result.BLOCKED, None),
        (answer(404), Result.BLOCKED, "answered 404; check endpoint, dcr and stream"),
        (answer(408), Result.AMBIGUOUS, "answered 408"),
        (answer(429), Result.RETRY, "answered 429"),
        (answer(500), Result.RETRY, "answered 500"),
        (answer(502), Result.AMBIGUOUS, "answered 502"),
        (answer(503), Result.RETRY, "answered 503"),
        (answer(504), Result.AMBIGUOUS, "answered 504"),
        (ResetBefore(), Result.AMBIGUOUS, None),
        (ResetAfter(), Result.AMBIGUOUS, None),
        (Answer(Reply(400, b"[" * 60_000)), Result.REFUSED, "answered 400"),
    ],
)
def test_what_answers_mean(
    fault: Fault, result: Result, detail: str | None, fake: FakeSentinel, made: Callable[..., Destination]
) -> None:
    fake.script(None, fault)
    destination = made()
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert (outcome.result, outcome.detail) == (result, detail or outcome.detail)
    assert len(outcome.detail) < 150


def test_retry_after_is_told(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    fake.script(None, answer(429, Retry_After="11"))
    destination = made()
    assert destination.send(outgoing(destination, [b"{}"])).retry_after == 11


def test_an_event_that_is_refused_is_not_quoted(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    fake.refused.add("bad")
    destination = made()
    outcome = destination.send(outgoing(destination, [b'{"EventId":"bad"}']))
    assert (outcome.result, outcome.detail) == (Result.REFUSED, "answered 400 InvalidPayload")


def test_auxiliary_tables_get_half_hours(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    fake._auxiliary = True
    offsets = [timedelta(0), timedelta(minutes=29, seconds=59), timedelta(minutes=30), timedelta(microseconds=-1)]
    events = table(*(event(i, occurred_at=NOW + offset) for i, offset in enumerate(offsets)))
    destination = made(plan="auxiliary")
    groups = destination.group(pa.concat_tables([events.slice(0, 1), events.slice(1)]))
    assert groups is not None
    labels = groups.to_pylist()
    assert labels == ["2026-03-02T12:00Z", "2026-03-02T12:00Z", "2026-03-02T12:30Z", "2026-03-02T11:30Z"]
    parts = records(destination, events)
    for label in dict.fromkeys(labels):
        chosen = [part for part, own in zip(parts, labels, strict=True) if own == label]
        assert destination.send(outgoing(destination, chosen)).result is Result.DELIVERED
    whole = destination.send(outgoing(destination, parts))
    assert (whole.result, whole.detail) == (Result.REFUSED, "answered 400 RecordsTimeRangeIsMoreThan30Minutes")
    assert destination.group(events.slice(0, 0)).to_pylist() == []  # type: ignore[union-attr]
    assert made().group(events) is None
    assert made().mapping != destination.mapping


def test_old_times_are_replaced_and_kept_beside(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    destination = made()
    age = destination.age
    assert age is not None
    old, ahead = NOW - age.older - timedelta(seconds=1), NOW + age.ahead + timedelta(seconds=1)
    rows = [event(0, occurred_at=old), event(1, occurred_at=ahead), event(2, occurred_at=NOW - age.older)]
    parts = [destination.restamp(part, NOW) for part in records(destination, table(*rows))]
    assert destination.send(outgoing(destination, parts)).result is Result.DELIVERED
    assert fake.times_replaced == 2
    assert [row["EventTime"] for row in fake.stored[STREAM]] == [old, ahead, NOW - age.older]


def test_fields_are_never_cut(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    destination = made()
    events = table(event(0, after_state="ä" * 32_000, before_state='"' * 64_000), event(1, after_state="ä" * 32_001))
    parts, about = encoded(destination, events)
    assert (about.omitted.tolist(), about.refused.tolist()) == ([False, True], [])
    assert destination.send(outgoing(destination, parts)).result is Result.DELIVERED
    assert (fake.lost, fake.stored[STREAM][1]["Omitted"]) == ([], ["after_state"])


def test_routes_have_streams_of_their_own(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    fake.streams = {STREAM: NATIVE, "Custom-Acme_CL": NATIVE}
    fake.stored["Custom-Acme_CL"] = []
    destination = made(routes=[{"name": "acme", "tenants": ["acme"], "stream": "Custom-Acme_CL"}])
    for number, route in enumerate(destination.settings.routes):
        assert destination.send(outgoing(destination, [b"{}"], route, number)).result is Result.DELIVERED
    assert {name: len(rows) for name, rows in fake.stored.items()} == {STREAM: 1, "Custom-Acme_CL": 1}
    assert destination.check() == [
        "127.0.0.1 gives a token",
        "127.0.0.1, stream Custom-Acme_CL answers 204 to an empty batch",
        f"127.0.0.1, stream {STREAM} answers 204 to an empty batch",
    ]
    assert len(fake.tokens) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dcr": "dcr-" + "f" * 32}, "answered 404 NotFound; check endpoint, dcr and stream"),
        ({"stream": "Custom-Other_CL"}, "answered 400 InvalidStream; check endpoint, dcr and stream"),
    ],
)
def test_check_says_what_to_correct(options: dict[str, str], words: str, made: Callable[..., Destination]) -> None:
    with pytest.raises(SiemError, match=words):
        made(**options).check()


def test_check_accepts_a_refusal_of_nothing(fake: FakeSentinel, made: Callable[..., Destination]) -> None:
    fake.script(None, answer(400, x_ms_error_code="EmptyPayload"))
    assert made().check()[1] == f"127.0.0.1, stream {STREAM} answers 400 to an empty batch"
