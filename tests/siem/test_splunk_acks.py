"""Splunk: whom acknowledgements are asked of, and what ``lumi siem check`` finds."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.destination import Assurance, Result
from lumi_pipeline.siem.destinations.splunk import SplunkDestination, open_destination
from tests.siem.fakes.http import Answer, ResetBefore, Slow, answer
from tests.siem.fakes.splunk import FakeSplunk, said
from tests.siem.sending import event, opening, outgoing

CHANNEL = "525531c3-46dc-5977-a702-958ac40cd8bd"

Opener = Callable[..., SplunkDestination]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    monkeypatch.setenv("HEC", "hunter2")
    with opening(open_destination, tmp_path, kind="splunk", url="http://127.0.0.1:9", token="env:HEC") as opener:
        yield opener


def test_indexed_is_only_said_once_it_is_acknowledged(opened: Opener) -> None:
    with FakeSplunk(ack=True) as splunk:
        destination = opened(url=splunk.url, use_ack="auto")
        route = destination.settings.routes[-1]
        first, second = (destination.send(outgoing(destination, event(seq))) for seq in range(2))
        assert (first.result, first.assurance) == (Result.DELIVERED, Assurance.INDEXED)
        assert first.ack is not None
        assert second.ack is not None
        acks = [first.ack, second.ack]
        assert destination.confirm(acks, route) == dict.fromkeys(acks, False)
        splunk.index_all()
        third = destination.send(outgoing(destination, event(2))).ack or ""
        assert destination.confirm([*acks, third], route) == {**dict.fromkeys(acks, True), third: False}
        assert destination.confirm(acks, route) == dict.fromkeys(acks, False), "an id answers once"
        poll = splunk.requests[-1]
    assert (poll.method, poll.path, poll.body) == ("POST", "/services/collector/ack", b'{"acks":[0,1]}')
    assert poll.headers["x-splunk-request-channel"] == CHANNEL
    assert "cookie" not in poll.headers


@pytest.mark.parametrize("use_ack", ["off", "on", "auto"])
def test_without_acknowledgement_events_are_received(opened: Opener, use_ack: str) -> None:
    with FakeSplunk(ack=use_ack == "off") as splunk:
        destination = opened(url=splunk.url, use_ack=use_ack)
        outcome = destination.send(outgoing(destination, event()))
    assert (outcome.result, outcome.assurance, outcome.ack) == (Result.DELIVERED, Assurance.RECEIVED, None)
    assert ("without acknowledgement" in outcome.detail) == (use_ack == "on")


def test_while_the_indexer_can_not_be_asked_nothing_is_acknowledged(opened: Opener) -> None:
    with FakeSplunk(ack=True) as splunk:
        destination = opened(url=splunk.url, use_ack="on", timeout=1)
        route = destination.settings.routes[-1]
        ack = destination.send(outgoing(destination, event())).ack or ""
        splunk.index_all()
        splunk.script(answer(503), answer(200, b"?"), ResetBefore(), Answer(said(14)))
        found = [destination.confirm([ack], route) for _ in range(5)]
        assert destination.confirm([], route) == {}
    assert found == [{ack: False}, {ack: False}, {ack: False}, {}, {ack: True}]


def test_behind_a_balancer_each_indexer_is_asked_for_its_own(opened: Opener) -> None:
    with FakeSplunk(ack=True, indexers=3) as splunk:
        route = {"name": "other", "tenants": ["acme"]}
        destination = opened(url=splunk.url, use_ack="on", routes=[route])
        other, default = destination.settings.routes
        acks = {name: [destination.send(outgoing(destination, event(), route=route)).ack or "" for _ in range(3)]
                for name, route in (("other", other), ("default", default))}  # fmt: skip
        splunk.index_all()
        assert destination.confirm(acks["other"], other) == dict.fromkeys(acks["other"], True)
        assert destination.confirm(acks["default"], default) == dict.fromkeys(acks["default"], True)
        first, second = splunk.stored[0].indexer, splunk.stored[3].indexer
        assert [stored.indexer for stored in splunk.stored] == [first] * 3 + [second] * 3
        assert first != second
        assert splunk.requests[1].headers["cookie"] == f"AWSALB={first}; AWSALBCORS={first}"


def test_first_requests_at_the_same_time_may_reach_different_indexers(opened: Opener) -> None:
    with FakeSplunk(ack=True, indexers=2) as splunk, ThreadPoolExecutor() as threads:
        destination = opened(url=splunk.url, use_ack="on")
        route = destination.settings.routes[-1]
        splunk.script(Slow(0.3), Slow(0.3))  # both are on their way before either is answered
        batches = [outgoing(destination, event(seq)) for seq in range(2)]
        acks = {outcome.ack or "" for outcome in threads.map(destination.send, batches)}
        assert {ack.partition(".")[0] for ack in acks} == {"0"}
        assert {stored.indexer for stored in splunk.stored} == {0, 1}
        splunk.index_all(indexer=1)
        assert sorted(destination.confirm([*acks], route).values()) == [False, True]
        splunk.index_all(indexer=0)
        assert sorted(destination.confirm([*acks], route).values()) == [False, True], "the other one"


def test_what_a_restarted_indexer_forgot_is_not_taken_for_what_came_later(opened: Opener) -> None:
    with FakeSplunk(ack=True) as splunk:
        destination = opened(url=splunk.url, use_ack="on")
        route = destination.settings.routes[-1]
        before = destination.send(outgoing(destination, event(0))).ack or ""
        splunk.restart()
        after = destination.send(outgoing(destination, event(1))).ack or ""
        splunk.index_all()
        assert destination.confirm([before, after], route) == {after: True}


def test_one_id_that_was_promised_twice_to_earlier_processes_is_asked_for_by_none(opened: Opener) -> None:
    with FakeSplunk(ack=True) as splunk:
        first, second, third = (opened(url=splunk.url, use_ack="on") for _ in range(3))
        acks = []
        for destination in (first, second):
            acks += [destination.send(outgoing(destination, event(seq))).ack or "" for seq in range(2)]
            splunk.restart()
        acks += [second.send(outgoing(second, event(0))).ack or ""]
        splunk.index_all()
        route = third.settings.routes[-1]
        assert [ack.partition(".")[0] for ack in acks] == ["0", "1", "0", "1", "0"]
        assert third.confirm(acks, route) == {}
        assert second.confirm(acks, route) == {acks[-1]: True}


def test_a_later_process_asks_unless_a_balancer_hides_who_promised(opened: Opener) -> None:
    for indexers in (1, 2):
        with FakeSplunk(ack=True, indexers=indexers) as splunk:
            earlier, later = (opened(url=splunk.url, use_ack="on") for _ in range(2))
            route = later.settings.routes[-1]
            acks = [earlier.send(outgoing(earlier, event(seq))).ack or "" for seq in range(2)]
            assert later.send(outgoing(later, event(2))).ack is not None
            splunk.index_all()
            assert later.confirm(acks, route) == ({} if indexers > 1 else dict.fromkeys(acks, True))
            third = opened(url=splunk.url, use_ack="on")
            assert third.confirm(acks, route) == ({} if indexers > 1 else dict.fromkeys(acks, False))


def test_check_proves_the_token_without_an_event(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "hunter3")
    with FakeSplunk({"hunter2": ["main"], "hunter3": ["main"]}) as splunk:
        destination = opened(url=splunk.url, routes=[{"name": "other", "tenants": ["acme"], "token": "env:OTHER"}])
        assert destination.check() == [
            "127.0.0.1 is healthy",
            "127.0.0.1 takes the token env:HEC",
            "127.0.0.1 takes the token env:OTHER",
        ]
        assert splunk.stored == []
        assert [(request.method, request.path, request.body) for request in splunk.requests] == [
            ("GET", "/services/collector/health", b""),
            ("POST", "/services/collector/event", b""),
            ("POST", "/services/collector/event", b""),
        ]
        splunk.disabled = {"hunter3"}
        with pytest.raises(SiemError, match=r"^siem: 127\.0\.0\.1: answered 403, code 1: .* \(route other\)$"):
            destination.check()
        splunk.health = 18
        with pytest.raises(SiemError, match="code 18: its queues are full"):
            destination.check()
        monkeypatch.delenv("OTHER")
        splunk.health = 17
        with pytest.raises(SiemError, match="the environment variable OTHER is not set"):
            destination.check()
    with pytest.raises(SiemError, match="can't be reached"):
        destination.check()


@pytest.mark.parametrize("ack", [True, False])
@pytest.mark.parametrize("use_ack", ["on", "auto"])
def test_check_tries_acknowledgements_without_using_one_up(opened: Opener, ack: bool, use_ack: str) -> None:
    with FakeSplunk(ack=ack) as splunk:
        destination = opened(url=splunk.url, use_ack=use_ack)
        if not ack and use_ack == "on":
            with pytest.raises(SiemError, match="code 14: the token has no indexer acknowledgement"):
                destination.check()
            return
        promised = destination.send(outgoing(destination, event())).ack
        splunk.index_all()
        assert destination.check()[1] == "127.0.0.1 takes the token env:HEC, " + (
            "with indexer acknowledgement"
            if ack
            else "without indexer acknowledgement: it says that events are received, not that they are indexed"
        )
        if promised is not None:
            assert destination.confirm([promised], destination.settings.routes[-1]) == {promised: True}
