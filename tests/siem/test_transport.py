"""One request to a SIEM over HTTP: what is sent, how long it takes, and what is known when it fails."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumi_pipeline.siem.transport import MAX_ANSWER, MAX_PAUSE, Answer, NotAllowed, NotSent, Transport, Unanswered
from tests.siem.peers import (
    LARGE,
    OK,
    Peer,
    answering,
    close_after_body,
    making,
    not_reading,
    read_request,
    reading_slowly,
    reset,
)


@pytest.fixture
def transports() -> Iterator[Callable[..., Transport]]:
    with making() as make:
        yield make


# What is sent and what comes back


def test_the_whole_request_on_the_wire(transports: Callable[..., Transport]) -> None:
    seen = []

    def act(connection: socket.socket, _: int) -> None:
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nX-Id: a\r\nx-id: b\r\nContent-Length: 2\r\n\r\nok")

    with Peer(act) as peer:
        answer = transports().post(f"{peer.url}?q=1", b"body", {"X-Token": "t"})
    assert answer == Answer(202, {"x-id": "a, b", "content-length": "2"}, b"ok")
    assert seen == [
        b"POST /secret-path?q=1 HTTP/1.1\r\n"
        b"Host: 127.0.0.1:%d\r\n"
        b"User-Agent: lumi-pipeline\r\n"
        b"Accept: */*\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Content-Length: 4\r\n"
        b"X-Token: t\r\n"
        b"\r\nbody" % peer.port
    ]


def test_cookies_are_told_but_not_kept(transports: Callable[..., Transport]) -> None:
    seen = []

    def act(connection: socket.socket, _: int) -> None:
        while True:
            seen.append(read_request(connection))
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nSet-Cookie: AWSALB=one/+=; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
            )

    with Peer(act) as peer:
        transport = transports()
        answers = [transport.post(peer.url, b"", {}) for _ in range(2)]
    assert answers[0].headers["set-cookie"] == "AWSALB=one/+=; Path=/, b=2"
    assert b"Cookie" not in b"".join(seen)


def test_redirects_are_not_followed(transports: Callable[..., Transport]) -> None:
    def act(connection: socket.socket, _: int) -> None:
        while True:
            read_request(connection)
            connection.sendall(b"HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    with Peer(act) as peer:
        assert transports().post(peer.url, b"x", {}).status == 307


def test_an_answer_is_read_up_to_its_limit(transports: Callable[..., Transport]) -> None:
    def act(connection: socket.socket, _: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"y" * 65536 + b"\r\n")

    with Peer(act) as peer:
        answer = transports().post(peer.url, b"x", {})
    assert (answer.status, len(answer.body)) == (500, MAX_ANSWER)


def test_endless_headers_are_no_answer(transports: Callable[..., Transport]) -> None:
    def act(connection: socket.socket, _: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")

    with Peer(act) as peer, pytest.raises(Unanswered, match="not HTTP"):
        transports().post(peer.url, b"x", {})


def test_an_early_answer_counts_though_the_body_was_not_read(transports: Callable[..., Transport]) -> None:
    def act(connection: socket.socket, _: int) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        while connection.recv(1 << 20):
            pass

    with Peer(act) as peer:
        assert transports().post(peer.url, LARGE, {}).status == 413


@pytest.mark.parametrize("headers", [{"X-A": "é"}, {"X-A": "a\nb"}, {"X A": "b"}, {"X-A": "sesame\0"}])
def test_headers_that_http_cannot_carry(headers: dict[str, str], transports: Callable[..., Transport]) -> None:
    with Peer(answering) as peer, pytest.raises(NotAllowed) as caught:
        transports().post(peer.url, b"", headers)
    assert "header" in str(caught.value)
    assert not any(value in str(caught.value) for value in headers.values())


def test_threads_share_it(transports: Callable[..., Transport]) -> None:
    transport = transports(concurrency=8)
    statuses: list[int] = []

    def post(url: str) -> None:
        statuses.extend(transport.post(url, b"x" * 10_000, {}).status for _ in range(20))

    with Peer(answering) as peer:
        threads = [threading.Thread(target=post, args=(peer.url,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 160
        assert peer.connections <= 9


def test_threads_have_deadlines_of_their_own(transports: Callable[..., Transport]) -> None:
    def act(connection: socket.socket, _: int) -> None:
        body = read_request(connection).rpartition(b"\r\n")[2]
        time.sleep(float(body))
        connection.sendall(OK)

    transport = transports(seconds=0.8)
    outcomes: list[str] = []

    def post(url: str, body: bytes) -> None:
        try:
            outcomes.append(str(transport.post(url, body, {}).status))
        except Unanswered:
            outcomes.append("unanswered")

    with Peer(act) as peer:
        slow = threading.Thread(target=post, args=(peer.url, b"1.2"))
        slow.start()
        time.sleep(0.5)
        post(peer.url, b"0.4")
        slow.join()
    assert sorted(outcomes) == ["200", "unanswered"]


# What is known when it fails


def test_refused_connections_were_not_sent(transports: Callable[..., Transport]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/secret-path"
    with pytest.raises(NotSent, match=r"127\.0\.0\.1 can't be reached: Connection refused"):
        transports().post(url, b"x", {})


def test_names_without_an_address_were_not_sent(transports: Callable[..., Transport]) -> None:
    with pytest.raises(NotSent, match="no address"):
        transports().post("https://nowhere.invalid/secret-path", b"x", {})


def _reset_after_head(connection: socket.socket, _: int) -> None:
    connection.recv(1000)
    reset(connection)


def _reset_after_body(connection: socket.socket, _: int) -> None:
    read_request(connection)
    reset(connection)


def _reset_in_answer(connection: socket.socket, _: int) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")
    time.sleep(0.05)
    reset(connection)


def _not_http(connection: socket.socket, _: int) -> None:
    read_request(connection)
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


@pytest.mark.parametrize(
    "act",
    [_reset_after_head, _reset_after_body, close_after_body, _reset_in_answer, _not_http],
    ids=lambda act: act.__name__,
)
def test_nobody_knows_after_the_body_began(
    act: Callable[[socket.socket, int], None], transports: Callable[..., Transport]
) -> None:
    with Peer(act) as peer, pytest.raises(Unanswered) as caught:
        transports().post(peer.url, LARGE, {"X-Token": "sesame"})
    assert "127.0.0.1" in str(caught.value)
    assert not {"secret-path", "sesame"} & set(str(caught.value).replace("/", " ").split())


def test_a_reused_connection_that_dies_leaves_doubt_once_the_body_began(transports: Callable[..., Transport]) -> None:
    """The server closes after the pool has looked: what was sent meanwhile may have been read."""
    taken = threading.Event()

    def act(connection: socket.socket, _: int) -> None:
        read_request(connection)
        connection.sendall(OK)
        connection.recv(10)
        taken.set()
        reset(connection)

    with Peer(act) as peer:
        transport = transports()
        assert transport.post(peer.url, b"x", {}).status == 200
        with pytest.raises(Unanswered):
            transport.post(peer.url, b"x", {})
        assert taken.is_set()


def test_a_connection_that_was_closed_meanwhile_is_replaced(transports: Callable[..., Transport]) -> None:
    def act(connection: socket.socket, _: int) -> None:
        read_request(connection)
        connection.sendall(OK)

    with Peer(act) as peer:
        transport = transports()
        for _ in range(3):
            assert transport.post(peer.url, b"x", {}).status == 200
            time.sleep(0.05)
        assert peer.connections == 3


# How long it takes


def _silent(connection: socket.socket, _: int) -> None:
    read_request(connection)
    connection.recv(1)


def _dripping_headers(connection: socket.socket, _: int) -> None:
    read_request(connection)
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.02)


def _dripping_body(connection: socket.socket, _: int) -> None:
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"y")
        time.sleep(0.02)


def _interim_answers(connection: socket.socket, _: int) -> None:
    read_request(connection)
    while True:
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
        time.sleep(0.02)


@pytest.mark.parametrize(
    "act",
    [_silent, _dripping_headers, _dripping_body, _interim_answers, not_reading, reading_slowly],
    ids=lambda act: act.__name__,
)
def test_nothing_takes_longer_than_it_may(
    act: Callable[[socket.socket, int], None], transports: Callable[..., Transport]
) -> None:
    started = time.monotonic()
    with Peer(act) as peer:
        with pytest.raises(Unanswered, match=r"gave no answer within 0\.3 s"):
            transports(seconds=0.3).post(peer.url, LARGE, {})
        assert time.monotonic() - started < 2.5


def test_a_silent_tls_handshake_was_not_sent(transports: Callable[..., Transport]) -> None:
    with Peer(not_reading) as peer, pytest.raises(NotSent, match=r"no connection within 0\.2 s"):
        transports(seconds=0.2).post(f"https://127.0.0.1:{peer.port}", b"x", {})


def test_waiting_for_a_free_connection_counts_too(transports: Callable[..., Transport]) -> None:
    transport = transports(seconds=0.4, concurrency=1)  # which makes two connections

    def hold() -> None:
        with contextlib.suppress(Unanswered):
            transport.post(peer.url, b"x", {})

    with Peer(_silent) as peer:
        holders = [threading.Thread(target=hold) for _ in range(2)]
        for thread in holders:
            thread.start()
        time.sleep(0.1)
        started = time.monotonic()
        with pytest.raises((NotSent, Unanswered)):
            transport.post(peer.url, b"x", {})
        assert time.monotonic() - started < 2
        for thread in holders:
            thread.join()


# Retry-After

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


_DATE = re.compile(r"\A(Mon|Tue), [0-9]{1,3} (Jan|Feb) -?[0-9]{1,6} [0-9]{1,3}:[0-9]{1,3}:[0-9]{1,3} [+-A-Z0-9]{0,6}\Z")


def retry_after(value: str) -> float | None:
    return Answer(429, {"retry-after": value}, b"").retry_after(NOW)


@given(st.integers(0, 10**12), st.integers(0, 8))
def test_retry_after_in_seconds(seconds: int, zeros: int) -> None:
    assert retry_after(f" {'0' * zeros}{seconds} ") == min(seconds, MAX_PAUSE)


@given(st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds it
def test_retry_after_as_a_date(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    wanted = min(max((moment - NOW).total_seconds(), 0), MAX_PAUSE)
    assert retry_after(format_datetime(moment, usegmt=True)) == wanted


@given(st.one_of(st.text(max_size=60), st.from_regex(_DATE)))
def test_any_retry_after(value: str) -> None:
    seconds = retry_after(value)
    assert seconds is None or 0 <= seconds <= MAX_PAUSE


def test_no_retry_after() -> None:
    assert Answer(429, {}, b"").retry_after(NOW) is None
    assert retry_after("9" * 5000) == MAX_PAUSE
