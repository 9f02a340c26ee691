"""``lumi log``: the site is written with the log and served from a disk or S3, and nothing but the log is."""

import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from threading import Thread

import pytest

from lumi_pipeline.due import format_due, parse_due
from lumi_pipeline.serving import LogServer
from lumi_pipeline.site import PAGE_KEY, SiteState, refresh_site, site_page, site_state
from tests.cli.system import Lumi, System
from tests.daylogs import DayLog
from tests.s3 import S3
from transparency.errors import StoreError
from transparency.memorystore import MemoryStore
from transparency.tiles import Tile

DUE = timedelta(hours=2)
FIRST_DAY = date(2024, 2, 28)


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_is_published_with_the_log(published: System, lumi: Lumi) -> None:
    page = published.root / PAGE_KEY
    assert page.read_bytes() == site_page(DUE)
    assert "index.html is this version's page" in lumi("fsck").out
    page.write_bytes(page.read_bytes() + b"<!-- altered -->")
    ran = lumi("fsck")
    assert (ran.code, "another version's page, or altered" in ran.out) == (0, True)
    assert lumi("publish").code == 0
    assert page.read_bytes() == site_page(DUE)
    page.unlink()
    ran = lumi("fsck")
    assert (ran.code, "There is no index.html" in ran.out) == (0, True)
    assert lumi("log", "site").out == f"Wrote {PAGE_KEY}.\n"
    assert lumi("log", "site").out == f"{PAGE_KEY} is up to date.\n"
    assert lumi("log", "site", "--json").json == {"before": "current", "key": PAGE_KEY}


def test_a_page_that_is_not_ours_stays(published: System, lumi: Lumi) -> None:
    page = published.root / PAGE_KEY
    page.write_bytes(b"<!doctype html><title>Our own</title>")
    assert lumi("publish").code == 0
    ran = lumi("log", "site")
    assert (ran.code, "did not write" in ran.err) == (1, True)
    ran = lumi("fsck")
    assert (ran.code, "not a page of this software" in ran.out) == (0, True)
    assert page.read_bytes().endswith(b"<title>Our own</title>")
    assert lumi("log", "site", "--replace").code == 0
    assert page.read_bytes() == site_page(DUE)


def test_the_page_knows_when_records_are_due(published: System, lumi: Lumi) -> None:
    assert lumi("--record-due", "13:05", "log", "site").code == 0
    page = (published.root / PAGE_KEY).read_bytes()
    assert b'data-record-due="13:05"' in page
    assert page == site_page(timedelta(hours=13, minutes=5))
    assert "index.html is this version's page" in lumi("fsck").out


@pytest.mark.parametrize("text", ["", "2:00", "24:00", "02:60", "02:00:00", "02:00\n", "\u0660\u0662:\u0660\u0660"])
def test_times_have_one_form(text: str) -> None:
    with pytest.raises(ValueError, match="time of day"):
        parse_due(text)


@pytest.mark.parametrize("text", ["00:00", "02:00", "23:59"])
def test_times_are_written_as_they_are_read(text: str) -> None:
    assert format_due(parse_due(text)) == text


def test_a_page_of_another_version_is_replaced() -> None:
    store = MemoryStore()
    assert refresh_site(store, DUE) is SiteState.MISSING
    page = store.get(PAGE_KEY)
    assert site_state(store) is SiteState.CURRENT
    for other in (page[:-20], page.replace(b'"02:00"', b'"02:99"'), page.replace(b"data-record-due", b"data-x")):
        store.put(PAGE_KEY, other)
        assert site_state(store) is SiteState.OTHER
        assert refresh_site(store, DUE) is SiteState.OTHER
        assert store.get(PAGE_KEY) == page


def test_the_page_fetches_from_where_it_lies_and_from_nowhere_else() -> None:
    page = site_page(DUE).decode()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert all(source.startswith("'sha256-") for name in ("script-src", "style-src") for source in rules[name].split())
    assert not re.findall(r'(?:src|href)="(?!#|data:,")', page)


def test_browsers_can_show_what_lies_in_s3(s3: S3) -> None:
    store = s3.store()
    DayLog(FIRST_DAY, store).grow(3)
    refresh_site(store, DUE)
    for key, kind, caching in (
        (PAGE_KEY, "text/html; charset=utf-8", "no-cache"),
        ("log/checkpoint", "text/plain; charset=utf-8", "max-age=60"),
        ("log/tile/0/000.p/4", "application/octet-stream", "public, max-age=31536000, immutable"),
    ):
        found = s3.admin.head_object(Bucket=store.bucket, Key=key)
        assert (found["ContentType"], found["CacheControl"]) == (kind, caching)


# --- the server ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Client:
    """One connection to a server, which is kept open."""

    connection: http.client.HTTPConnection

    def ask(self, path: str, method: str = "GET") -> Answer:
        self.connection.request(method, path)
        answer = self.connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


class Served:
    """A log of 300 days, and whether its store works."""

    def __init__(self) -> None:
        self.log = DayLog(FIRST_DAY)
        self.log.grow(300)
        self.broken = False

    def fetch(self, path: str) -> bytes:
        if self.broken:
            raise StoreError("the disk is gone")
        return self.log.store.get(f"log/{path}")


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with LogServer("127.0.0.1", 0, served.fetch, b"<page>") as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        yield Client(connection)
        connection.close()
        server.shutdown()
        thread.join()


def test_every_file_of_the_log_is_served_as_what_it_is(served: Served, client: Client) -> None:
    for path, data in served.log.files.items():
        answer = client.ask(f"/{path}")
        assert (answer.status, answer.body) == (200, data)
        assert answer.headers["x-content-type-options"] == "nosniff"
        tile = path.startswith("tile/")
        assert answer.headers["content-type"] == ("application/octet-stream" if tile else "text/plain; charset=utf-8")
        assert ("immutable" in answer.headers["cache-control"]) == tile
        head = client.ask(f"/{path}", "HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(data)))
    for path in ("/", "/index.html", "/?from=mail", "/index.html#2024-02-28"):
        assert client.ask(path).body == b"<page>"
    assert client.ask("/").headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/log-private/genesis.txt",
        "/../log-private/genesis.txt",
        "/%2e%2e/log-private/genesis.txt",
        "/tile/../../keys/log.key",
        "/tile/",
        "/tile/0/",
        "/tile/0/999",
        "/tile/0/0",
        "/tile/0/000.p/256",
        "/tile/0/000%00",
        "//etc/passwd",
        "/checkpoint/",
        "/log/checkpoint",
        "/index.html.bak",
        "/%ff",
        "/a" * 2000,
    ],
)
def test_nothing_but_the_log_is_served(client: Client, path: str) -> None:
    answer = client.ask(path)
    assert (answer.status, answer.body) == (404, b"There is no such file.\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_written(client: Client, method: str) -> None:
    assert client.ask("/checkpoint", method).status == 501


def test_a_store_that_fails_is_told(served: Served, client: Client) -> None:
    served.broken = True
    answer = client.ask("/checkpoint")
    assert (answer.status, b"the disk is gone" in answer.body) == (503, True)
    served.broken = False
    assert client.ask("/checkpoint").status == 200


def test_several_are_served_at_once(served: Served, client: Client) -> None:
    paths = [Tile(0, 0).path, Tile(None, 0).path, "checkpoint"] * 4
    found: list[bytes] = []

    def ask(path: str) -> None:
        connection = http.client.HTTPConnection(client.connection.host, client.connection.port, timeout=10)
        found.append(Client(connection).ask(f"/{path}").body)
        connection.close()

    threads = [Thread(target=ask, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(served.log.files[path] for path in paths)


@pytest.mark.usefixtures("published")
def test_where_nothing_can_listen_is_said(lumi: Lumi) -> None:
    with LogServer("127.0.0.1", 0, Served().fetch, b"") as server:
        ran = lumi("log", "serve", "--port", server.server_port)
    assert (ran.code, "nothing can listen at 127.0.0.1" in ran.err) == (2, True)
    assert lumi("log", "serve", "--host", "no such host").code == 2
    assert lumi("log", "serve", "--port", "65536").code == 2


@pytest.mark.usefixtures("recorded")
def test_without_a_log_there_is_nothing_to_serve(lumi: Lumi, tmp_path: Path) -> None:
    ran = lumi("log", "serve")
    assert (ran.code, "nothing is published yet" in ran.err) == (1, True)
    ran = lumi("log", "serve", tmp_path)
    assert (ran.code, "holds no log" in ran.err) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(published: System, ending: signal.Signals) -> None:
    arguments = [sys.executable, "-m", "lumi_pipeline", "log", "serve", "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        [host, port] = re.findall(r"http://([\d.]+):(\d+)/", process.stdout.readline())[0]
        with closing(http.client.HTTPConnection(host, int(port), timeout=10)) as connection:
            assert Client(connection).ask("/").body == site_page(DUE)
            assert Client(connection).ask("/checkpoint").body == (published.root / "log/checkpoint").read_bytes()
        process.send_signal(ending)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "Stopped.\n", "")
