"""Where requests to a SIEM may go, and that it is the right one: addresses, proxies, TLS."""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumi_pipeline.siem.addresses import is_public
from lumi_pipeline.siem.transport import NotAllowed, NotSent, Transport, Unanswered
from tests.siem.peers import (
    LARGE,
    OK,
    Peer,
    answering,
    close_after_body,
    making,
    read_request,
    reading_slowly,
)


@pytest.fixture
def transports() -> Iterator[Callable[..., Transport]]:
    with making() as make:
        yield make


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give names addresses, as a name server would."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def lookup(host: str, *args: object, **kwargs: object) -> object:
        found = [real(address, *args, **kwargs) for address in known.get(host, [host])]  # type: ignore[arg-type]
        return [entry for entries in found for entry in entries]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    def name(host: str, *addresses: str) -> None:
        known[host] = list(addresses)

    return name


# Where it may go


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0.0.0.0",  # noqa: S104
        "0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::8.8.8.8]",
        "[2002:7f00:1::]",
    ],
)
def test_addresses_that_only_this_machine_reaches(host: str, transports: Callable[..., Transport]) -> None:
    with pytest.raises(NotAllowed, match="no public address; set allow_private = true"):
        transports(allow_private=False).post(f"https://{host}/secret-path", b"x", {})


def test_a_zone_leads_nowhere(transports: Callable[..., Transport]) -> None:
    with pytest.raises(NotSent):
        transports(allow_private=False).post("https://[fe80::1%25lo]/", b"x", {})


def test_one_private_address_among_several_is_enough(
    transports: Callable[..., Transport], named: Callable[..., None]
) -> None:
    named("siem.example", "93.184.215.14", "10.0.0.1")
    with pytest.raises(NotAllowed, match=r"siem\.example is 10\.0\.0\.1"):
        transports(allow_private=False).post("https://siem.example/", b"x", {})


def test_the_next_address_is_tried(transports: Callable[..., Transport], named: Callable[..., None]) -> None:
    named("siem.example", "127.0.0.9", "127.0.0.1")
    with Peer(answering) as peer:
        assert transports().post(f"http://siem.example:{peer.port}", b"x", {}).status == 200


def test_no_http_to_public_addresses(transports: Callable[..., Transport], named: Callable[..., None]) -> None:
    named("siem.example", "127.0.0.1", "93.184.215.14")
    for url in ("http://93.184.215.14/", "http://[::ffff:93.184.215.14]/", "http://siem.example/"):
        with pytest.raises(NotAllowed, match="without TLS"):
            transports().post(url, b"x", {})


@pytest.mark.parametrize(
    "url", ["ftp://siem.example/", "https://", "https://[::1/", "https://a:b/", "//x", "https://é/"]
)
def test_what_is_no_url(url: str, transports: Callable[..., Transport]) -> None:
    with pytest.raises(NotAllowed, match="URL"):
        transports().post(url, b"x", {})


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_address_counts_the_same_however_ipv6_carries_it(address: ipaddress.IPv4Address) -> None:
    public = is_public(address)
    assert is_public(ipaddress.IPv6Address(f"::ffff:{address}")) == public
    assert is_public(ipaddress.IPv6Address(f"64:ff9b::{address}")) == public
    assert not public or address.is_global


def test_public_addresses() -> None:
    for text in ("8.8.8.8", "93.184.215.14", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"):
        assert is_public(ipaddress.ip_address(text)), text


def test_proxies_of_the_environment_do_not_count(
    transports: Callable[..., Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Peer(close_after_body) as proxy, Peer(answering) as peer:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert transports().post(peer.url, b"x", {}).status == 200
        assert proxy.connections == 0


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> "Authority":
    return Authority(tmp_path_factory.mktemp("tls"))


class Authority:
    """A certificate authority made for the tests."""

    def __init__(self, directory: Path) -> None:
        x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - skipped if not installed
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        self._x509, self._hashes, self._serialization, self._ec = x509, hashes, serialization, ec
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A test's authority")])
        certificate = self._build(self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
        self.file = directory / "ca.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, name: str, lasting: timedelta = timedelta(days=1)) -> ssl.SSLContext:
        """A server's context with a certificate for a DNS name."""
        key = self._ec.generate_private_key(self._ec.SECP256R1())
        subject = self._x509.Name([])
        names = self._x509.SubjectAlternativeName([self._x509.DNSName(name)])
        certificate = self._build(subject, key.public_key(), names, lasting)
        file = self._directory / f"{name}-{lasting.total_seconds():.0f}.pem"
        encoding, plain = self._serialization.Encoding.PEM, self._serialization.NoEncryption()
        private = key.private_bytes(encoding, self._serialization.PrivateFormat.PKCS8, plain)
        file.write_bytes(certificate.public_bytes(encoding) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _build(self, subject: object, key: object, extension: object, lasting: timedelta = timedelta(days=1)) -> object:
        now = datetime.now(UTC)
        builder = self._x509.CertificateBuilder(
            self._name, subject, key, self._x509.random_serial_number(), now - timedelta(days=2), now + lasting
        )
        return builder.add_extension(extension, critical=True).sign(self._key, self._hashes.SHA256())


def test_tls_verifies_the_name_though_it_connects_to_an_address(
    authority: Authority, transports: Callable[..., Transport], named: Callable[..., None]
) -> None:
    named("siem.example", "127.0.0.1")
    named("other.example", "127.0.0.1")
    asked: list[str] = []
    context = authority.server("siem.example")
    context.sni_callback = lambda _, name, __: asked.append(str(name))
    with Peer(answering, context) as peer:
        transport = transports(ca_file=str(authority.file))
        assert transport.post(f"https://siem.example:{peer.port}/secret-path", b"x", {}).status == 200
        # The connection to this address is still open, and good for the other name only.
        with pytest.raises(NotSent, match=r"certificate is not trusted here.*other\.example"):
            transport.post(f"https://other.example:{peer.port}/secret-path", b"x", {})
        with pytest.raises(NotSent, match="certificate is not trusted"):
            transport.post(f"https://127.0.0.1:{peer.port}/", b"x", {})
        with pytest.raises(NotSent, match="certificate is not trusted"):
            transports().post(f"https://siem.example:{peer.port}/", b"x", {})
    assert asked[:2] == ["siem.example", "other.example"]


def test_certificates_that_are_over(
    authority: Authority, transports: Callable[..., Transport], named: Callable[..., None]
) -> None:
    named("siem.example", "127.0.0.1")
    with (
        Peer(answering, authority.server("siem.example", timedelta(days=-1))) as peer,
        pytest.raises(NotSent, match="expired"),
    ):
        transports(ca_file=str(authority.file)).post(f"https://siem.example:{peer.port}/", b"x", {})


def test_large_bodies_and_deadlines_over_tls(
    authority: Authority, transports: Callable[..., Transport], named: Callable[..., None]
) -> None:
    named("siem.example", "127.0.0.1")
    context = authority.server("siem.example")
    with Peer(answering, context) as peer, Peer(reading_slowly, context) as slow:
        transport = transports(ca_file=str(authority.file))
        assert transport.post(f"https://siem.example:{peer.port}/", LARGE, {}).status == 200
        started = time.monotonic()
        with pytest.raises(Unanswered, match="within"):
            transports(ca_file=str(authority.file), seconds=0.3).post(f"https://siem.example:{slow.port}/", LARGE, {})
        assert time.monotonic() - started < 2.5


def test_no_tls_where_tls_is_expected(transports: Callable[..., Transport]) -> None:
    with Peer(lambda connection, _: connection.sendall(OK)) as peer, pytest.raises(NotSent, match="TLS failed"):
        transports().post(f"https://127.0.0.1:{peer.port}/", b"x", {})


def test_ca_files_that_cannot_be_used(tmp_path: Path, transports: Callable[..., Transport]) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    for name, reason in (("missing.pem", "No such file"), ("empty.pem", "TLS failed")):
        with pytest.raises(NotAllowed, match=f"the CA file {tmp_path / name} can't be used: {reason}"):
            transports(ca_file=str(tmp_path / name)).post("https://siem.example/", b"x", {})


def test_a_proxy_connects_and_sees_no_more_than_the_name(
    authority: Authority, transports: Callable[..., Transport]
) -> None:
    asked = []

    def act(connection: socket.socket, _: int) -> None:
        head = connection.recv(10_000)
        asked.append(head.partition(b"\r\n")[0])
        if b"siem.example" not in head:
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with authority.server("siem.example").wrap_socket(connection, server_side=True) as inner:
            inner.sendall(OK if read_request(inner) else b"")

    with Peer(act) as proxy:
        options = {"ca_file": str(authority.file), "proxy": f"http://127.0.0.1:{proxy.port}", "allow_private": False}
        transport = transports(**options)
        assert transport.post("https://siem.example/secret-path", b"x", {}).status == 200
        with pytest.raises(NotSent, match=r"the proxy refuses to connect to other\.example \(403\)"):
            transport.post("https://other.example/", b"x", {})
        for url in ("https://127.0.0.1/", "https://0x7f.1/", "http://siem.example/"):
            with pytest.raises(NotAllowed):
                transport.post(url, b"x", {})
    assert asked == [b"CONNECT siem.example:443 HTTP/1.1", b"CONNECT other.example:443 HTTP/1.1"]
