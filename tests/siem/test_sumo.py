"""Sumo Logic, against a strict fake of it."""

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.destination import Assurance, Destination, Result
from lumi_pipeline.siem.options import Secret
from tests.siem.batches import encoded, event, opened, outgoing, records, table, unpacked
from tests.siem.fakes.http import Partial, ResetAfter, ResetBefore, Slow, answer
from tests.siem.fakes.sumo import FakeSumo, Message

NOTHING = (None, None, None, None)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSumo]:
    with FakeSumo() as running:
        monkeypatch.setenv("SUMO_URL", running.source)
        yield running


@pytest.fixture
def destination(fake: FakeSumo) -> Iterator[Destination]:  # noqa: ARG001 - the URL is in the environment
    destination = opened("sumo", url="env:SUMO_URL")
    yield destination
    destination.close()


def test_the_whole_request(fake: FakeSumo) -> None:
    destination = opened(
        "sumo",
        url="env:SUMO_URL",
        category="prod/audit",
        source_name="lumi",
        source_host="eu-1",
        fields={"team": "sec ops", "env": "prod"},
    )
    parts = records(destination, table(event(0), event(1)))
    sent = outgoing(destination, parts)
    outcome = destination.send(sent)
    assert (outcome.result, outcome.assurance, outcome.status) == (Result.DELIVERED, Assurance.RECEIVED, 200)
    (request,) = fake.requests
    assert (request.method, request.path) == ("POST", "/receiver/v1/http/ZaVnC4dhaV1")
    assert request.headers == {
        "host": fake.url.removeprefix("http://"),
        "user-agent": "lumi-pipeline",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": str(len(sent.body)),
        "content-type": "application/x-ndjson",
        "content-encoding": "gzip",
        "x-sumo-category": "prod/audit",
        "x-sumo-name": "lumi",
        "x-sumo-host": "eu-1",
        "x-sumo-fields": "team=sec ops,env=prod",
    }
    assert unpacked(request.body) == parts[0] + b"\n" + parts[1] + b"\n"
    metadata = ("prod/audit", "lumi", "eu-1", "team=sec ops,env=prod")
    assert fake.stored == [Message(part, metadata) for part in parts]
    assert json.loads(parts[0])["after_state"] == '{"a":\n1}'
    destination.close()


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (401, {}, (Result.BLOCKED, None)),
        (403, {}, (Result.BLOCKED, None)),
        (404, {}, (Result.BLOCKED, None)),
        (408, {}, (Result.AMBIGUOUS, None)),
        (413, {}, (Result.TOO_LARGE, None)),
        (429, {"Retry_After": "7"}, (Result.RETRY, 7.0)),
        (500, {}, (Result.RETRY, None)),
        (503, {"Retry_After": "Fri, 01 Jan 2100 00:00:00 GMT"}, (Result.RETRY, 3600.0)),
        (504, {}, (Result.AMBIGUOUS, None)),
        (302, {}, (Result.BLOCKED, None)),
    ],
)
def test_what_answers_mean(
    status: int,
    headers: dict[str, str],
    expected: tuple[Result, float | None],
    fake: FakeSumo,
    destination: Destination,
) -> None:
    fake.script(answer(status, b"secret words", **headers))
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert (outcome.result, outcome.retry_after, outcome.status) == (*expected, status)
    assert "secret" not in outcome.detail
    assert not fake.stored
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.DELIVERED
    assert fake.stored == [Message(b"{}", NOTHING)]


def test_part_of_it_may_be_there_after_408(fake: FakeSumo, destination: Destination) -> None:
    fake.script(Partial(1))
    assert destination.send(outgoing(destination, [b'"a"', b'"b"'])).result is Result.AMBIGUOUS
    assert [message.line for message in fake.stored] == [b'"a"']


@pytest.mark.parametrize("fault", [ResetBefore(), ResetAfter(stored=True), ResetAfter(stored=False)])
def test_resets_leave_doubt(fault: ResetBefore | ResetAfter, fake: FakeSumo, destination: Destination) -> None:
    fake.script(fault)
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert outcome.result is Result.AMBIGUOUS
    assert fake.secret not in outcome.detail


def test_a_request_takes_no_longer_than_25_seconds() -> None:
    long, short = (opened("sumo", url="env:SUMO_URL", timeout=seconds) for seconds in (600, 10))
    assert (long._transport._settings.timeout, short._transport._settings.timeout) == (25, 10)


def test_a_slow_answer(fake: FakeSumo) -> None:
    destination = opened("sumo", url="env:SUMO_URL", timeout=1)
    fake.script(Slow(1.2))
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.AMBIGUOUS
    destination.close()


def test_the_url_is_nowhere_but_in_the_request(
    fake: FakeSumo,
    destination: Destination,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.DELIVERED
    fake.stored.clear()
    told = [repr(destination.settings), repr(destination.settings.routes)]
    results: list[Result] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for url in (
        f"http://127.0.0.1:{port}/receiver/v1/http/{fake.secret}",
        f"{fake.url}/receiver/v1/http/wrong-{fake.secret}",
        f"https://{fake.secret}@example.com/",
        f"not a url {fake.secret}",
        f"https://exa mple/{fake.secret}",
        f"http://192.0.2.1.invalid/{fake.secret}",
    ):
        monkeypatch.setenv("SUMO_URL", url)
        outcome = destination.send(outgoing(destination, [b"{}"]))
        told.append(repr(outcome))
        results.append(outcome.result)
        with pytest.raises(SiemError) as caught:
            destination.check()
        told.append(str(caught.value))
        assert "soc" in str(caught.value)
    assert not fake.stored
    assert not [text for text in [*told, caplog.text] if fake.secret in text]
    assert results == [Result.RETRY, *[Result.BLOCKED] * 4, Result.RETRY]


def test_a_missing_secret_is_blocked(destination: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUMO_URL")
    outcome = destination.send(outgoing(destination, [b"{}"]))
    assert (outcome.result, "SUMO_URL" in outcome.detail) == (Result.BLOCKED, True)


def test_a_rotated_url_is_used_at_once(fake: FakeSumo, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.touch(0o600)
    file.write_text(f"{fake.url}/receiver/v1/http/old\n")
    destination = opened("sumo", tmp_path, url="file:url")
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.BLOCKED
    file.write_text(f"{fake.source}\n")
    assert destination.send(outgoing(destination, [b"{}"])).result is Result.DELIVERED
    destination.close()


def test_routes_have_urls_and_categories_of_their_own(fake: FakeSumo, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeSumo("other") as other:
        monkeypatch.setenv("SUMO_OTHER", other.source)
        route = {"name": "acme", "tenants": ["acme"], "url": "env:SUMO_OTHER", "category": "acme"}
        destination = opened("sumo", url="env:SUMO_URL", category="all", routes=[route])
        acme, default = destination.settings.routes
        assert (acme.options["url"], default.options["url"]) == (Secret("env:SUMO_OTHER"), Secret("env:SUMO_URL"))
        for chosen in (acme, default):
            assert destination.send(outgoing(destination, [b"{}"], chosen)).result is Result.DELIVERED
        assert other.stored == [Message(b"{}", ("acme", None, None, None))]
        assert fake.stored == [Message(b"{}", ("all", None, None, None))]
        assert len(destination.check()) == 2
        destination.close()


def test_lines_are_never_cut(fake: FakeSumo, destination: Destination) -> None:
    whole = table(event(0, after_state="x" * 60_000))
    size = len(records(destination, whole)[0])
    fitting = table(event(0, after_state="x" * (60_000 + destination.limits.record_bytes - size)), event(1))
    too_long = table(event(2, after_state="x" * (60_001 + destination.limits.record_bytes - size)), event(3))
    for events, omitted in ((fitting, [False, False]), (too_long, [True, False])):
        parts, about = encoded(destination, events)
        assert about.omitted.tolist() == omitted
        assert destination.send(outgoing(destination, parts)).result is Result.DELIVERED
    assert (len(fake.stored), fake.cut) == (4, 0)
    assert len(fake.stored[0].line) + len(b"\n") == 65_536
    assert json.loads(fake.stored[2].line)["omitted"] == ["after_state"]


def test_check(fake: FakeSumo, destination: Destination) -> None:
    assert destination.check() == ["127.0.0.1 answers 200 to an empty request"]
    assert not fake.stored
    fake.secret = "new"
    with pytest.raises(SiemError, match="soc: env:SUMO_URL: answered 401; check the source's URL"):
        destination.check()


def test_what_it_does_not_need(destination: Destination) -> None:
    assert destination.group(table(event(0))) is None
    assert destination.age is None
    assert destination.confirm(["a"], destination.settings.routes[0]) == {}
