"""Any HTTPS endpoint, against a strict receiver."""

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from lumi_pipeline.errors import ConfigError, SiemError
from lumi_pipeline.siem.destination import Assurance, Destination, Result
from tests.siem.batches import NOW, event, opened, outgoing, records, table, unpacked
from tests.siem.fakes.http import ResetAfter, ResetBefore, answer
from tests.siem.fakes.https import FakeReceiver


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeReceiver]:
    monkeypatch.setenv("TOKEN", "hunter2")
    with FakeReceiver({"authorization": "Bearer hunter2"}) as running:
        yield running


@pytest.fixture
def destination(fake: FakeReceiver) -> Iterator[Destination]:
    destination = opened("https", url=fake.endpoint, token="env:TOKEN")
    yield destination
    destination.close()


def test_the_whole_request(fake: FakeReceiver) -> None:
    destination = opened("https", url=f"{fake.endpoint}", token="env:TOKEN", headers={"X-Team": "sec"})
    parts = records(destination, table(event(0), event(1)))
    sent = outgoing(destination, parts)
    outcome = destination.send(sent)
    assert (outcome.result, outcome.assurance, outcome.status, outcome.request_id) == (
        Result.DELIVERED,
        Assurance.RECEIVED,
        202,
        "r-1",
    )
    (request,) = fake.requests
    assert request.headers == {
        "host": fake.url.removeprefix("http://"),
        "user-agent": "lumi-pipeline",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(sent.body)),
        "x-team": "sec",
        "content-type": "application/x-ndjson",
        "content-encoding": "gzip",
        "content-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(sent.body).digest()).decode()}:",
        "idempotency-key": sent.delivery_id,
        "authorization": "Bearer hunter2",
    }
    assert unpacked(request.body) == parts[0] + b"\n" + parts[1] + b"\n"
    assert fake.stored == [json.loads(part) for part in parts]
    destination.close()


def test_an_array(fake: FakeReceiver) -> None:
    destination = opened("https", url=fake.endpoint, token="env:TOKEN", body="array")
    parts = records(destination, table(event(0), event(1)))
    assert destination.send(outgoing(destination, parts)).result is Result.DELIVERED
    assert fake.requests[0].headers["content-type"] == "application/json"
    assert unpacked(fake.requests[0].body) == b"[" + parts[0] + b"," + parts[1] + b"]"
    assert destination.suffix == "json.gz"
    destination.close()


def test_basic_authentication_and_own_headers(fake: FakeReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "pässword")
    fake.expected = {"authorization": "Basic " + base64.b64encode("lumi:pässword".encode()).decode()}
    basic = opened("https", url=fake.endpoint, username="lumi", password="env:PASSWORD")
    assert basic.send(outgoing(basic, [b"{}"], number=1)).result is Result.DELIVERED
    fake.expected = {"x-api-key": "hunter2"}
    header = opened("https", url=fake.endpoint, token="env:TOKEN", header="X-Api-Key")
    assert header.send(outgoing(header, [b"{}"], number=2)).result is Result.DELIVERED
    assert "authorization" not in fake.requests[1].headers
    basic.close()
    header.close()


@pytest.mark.parametrize("with_public", [False, True])
def test_a_signature_that_an_independent_implementation_verifies(
    with_public: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519", reason="cryptography is missing")
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    seed = key.private_bytes_raw() + (public if with_public else b"")
    monkeypatch.setenv("KEY", f"whsk_{base64.b64encode(seed).decode()}")
    with FakeReceiver(public_key=public, now=NOW.timestamp) as fake:
        destination = opened("https", url=fake.endpoint, webhook_key="env:KEY")
        sent = outgoing(destination, [b"{}"])
        assert destination.send(sent).result is Result.DELIVERED
        headers = fake.requests[0].headers
        assert (headers["webhook-id"], headers["webhook-timestamp"]) == (sent.delivery_id, "1772452800")
        assert headers["webhook-signature"].startswith("v1a,")
        later = outgoing(destination, [b"{}"], number=2, moment=NOW + timedelta(hours=1))
        assert destination.send(later).result is Result.BLOCKED
        destination.close()


@pytest.mark.parametrize("key", ["whsk_", "whsk_AAAA", "whsk_" + "A" * 56, "whsk_" + "A" * 86 + "==", "hunter2!"])
def test_keys_that_are_none(key: str, fake: FakeReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", key)
    destination = opened("https", url=fake.endpoint, webhook_key="env:KEY")
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert (outcome.result, "env:KEY is not a webhook key" in outcome.detail) == (Result.BLOCKED, True)
    assert key not in outcome.detail.replace("whsk_ and", "")
    destination.close()


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, (Result.DELIVERED, None)),
        (204, {"Retry_After": "3"}, (Result.DELIVERED, 3.0)),
        (301, {}, (Result.BLOCKED, None)),
        (308, {}, (Result.BLOCKED, None)),
        (400, {}, (Result.REFUSED, None)),
        (401, {}, (Result.BLOCKED, None)),
        (403, {}, (Result.BLOCKED, None)),
        (404, {}, (Result.BLOCKED, None)),
        (405, {}, (Result.BLOCKED, None)),
        (408, {}, (Result.AMBIGUOUS, None)),
        (409, {}, (Result.RETRY, None)),
        (410, {}, (Result.BLOCKED, None)),
        (413, {}, (Result.TOO_LARGE, None)),
        (415, {}, (Result.BLOCKED, None)),
        (422, {}, (Result.REFUSED, None)),
        (425, {}, (Result.RETRY, None)),
        (429, {"Retry_After": "7"}, (Result.RETRY, 7.0)),
        (429, {"Retry_After": "Fri, 01 Jan 2100 00:00:00 GMT"}, (Result.RETRY, 3600.0)),
        (429, {"Retry_After": "Thu, 01 Jan 2015 00:00:00 GMT"}, (Result.RETRY, 0.0)),
        (429, {"Retry_After": "soon"}, (Result.RETRY, None)),
        (500, {}, (Result.RETRY, None)),
        (501, {}, (Result.BLOCKED, None)),
        (502, {}, (Result.AMBIGUOUS, None)),
        (503, {"Retry_After": "9999999999"}, (Result.RETRY, 3600.0)),
        (504, {}, (Result.AMBIGUOUS, None)),
        (599, {}, (Result.RETRY, None)),
    ],
)
def test_what_answers_mean(
    status: int,
    headers: dict[str, str],
    expected: tuple[Result, float | None],
    fake: FakeReceiver,
    destination: Destination,
) -> None:
    fake.script(answer(status, b"", **headers))
    outcome = destination.send(outgoing(destination, [b'{"secret":"words"}']))
    assert (outcome.result, outcome.retry_after, outcome.status) == (*expected, status)
    assert (outcome.assurance is Assurance.RECEIVED) == (expected[0] is Result.DELIVERED)


def test_a_refusal_may_quote_the_event_but_its_outcome_does_not(fake: FakeReceiver, destination: Destination) -> None:
    fake.refused.add("bad")
    outcome = destination.send(outgoing(destination, [b'{"event_id":"bad","secret":"words"}']))
    assert (outcome.result, outcome.detail) == (Result.REFUSED, "answered 422")


@pytest.mark.parametrize("fault", [ResetBefore(), ResetAfter(stored=True), ResetAfter(stored=False)])
def test_a_repeated_delivery_is_recognised(
    fault: ResetBefore | ResetAfter, fake: FakeReceiver, destination: Destination
) -> None:
    fake.script(fault)
    sent = outgoing(destination, [b"{}"])
    assert [destination.send(sent).result for _ in range(2)] == [Result.AMBIGUOUS, Result.DELIVERED]
    assert fake.stored == [{}]


def test_secrets_that_no_header_can_carry(
    fake: FakeReceiver, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hünter2")
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert (outcome.result, outcome.detail) == (
        Result.BLOCKED,
        "env:TOKEN holds other characters than ASCII; no header can carry it",
    )
    assert not fake.requests


def test_private_addresses_are_blocked_unless_allowed(fake: FakeReceiver) -> None:
    destination = opened("https", url=fake.endpoint, allow_private=False)
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert (outcome.result, "allow_private" in outcome.detail) == (Result.BLOCKED, True)
    destination.close()


@pytest.mark.parametrize("body", ["ndjson", "array"])
def test_check(body: str, fake: FakeReceiver) -> None:
    destination = opened("https", url=fake.endpoint, token="env:TOKEN", body=body)
    assert destination.check() == ["127.0.0.1 answers 202 to an empty batch"]
    assert not fake.stored
    fake.expected = {"authorization": "Bearer other"}
    with pytest.raises(SiemError, match=r"soc: 127\.0\.0\.1: answered 401; check the URL and the credentials"):
        destination.check()
    destination.close()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"username": "u"}, ("'username'", "'password'")),
        ({"password": "env:P"}, ("'username'", "'password'")),
        ({"username": "u", "password": "env:P", "token": "env:T"}, ("'token'", "'username'")),
        ({"token": "env:T", "header": "X-Key", "headers": {"x-key": "a"}}, ("'header'", "'headers'")),
    ],
)
def test_settings_that_contradict_each_other(options: dict[str, object], named: tuple[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        opened("https", url="https://siem.example/", **options)
    assert all(name in str(caught.value) for name in ("soc", *named))
