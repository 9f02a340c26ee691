"""The log's public site in a real browser: what it says of logs that grow, are late, lie or fork, and what it takes."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lumi_pipeline.serving import LogServer
from lumi_pipeline.site import site_page
from tests.daylogs import KEY, NEXT_KEY, WITNESSES, DayLog
from tests.pages.chromium import Chromium, Page
from transparency.checkpoint import Checkpoint, parse_signed_checkpoint, sign_checkpoint
from transparency.errors import ObjectMissing
from transparency.growth import grow
from transparency.keys import SigningKey
from transparency.memorystore import MemoryStore
from transparency.merkle import EMPTY_ROOT, LeafHashes, consistency_proof, inclusion_proof, leaf_hash, range_nodes
from transparency.tiles import Tile, TileReader, new_tiles

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())
PAGE = site_page(timedelta(hours=2))
VKEY = KEY.verifier.vkey
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TODAY = NOW.date()
POLICY = f"log {VKEY}\n" + "".join(f"witness w{i} {key.verifier.vkey}\n" for i, key in enumerate(WITNESSES))
SETTLED = "!$('again').disabled && $('verdict-title').textContent"


class Site:
    """A log on a server, and a visitor's window. ``files`` is what the server has; it may be changed at any time."""

    def __init__(self, page: Page, address: str, files: Mapping[str, bytes]) -> None:
        self.page = page
        clock = f"Date.now = () => {int(NOW.timestamp()) * 1000}"
        page.call("Page.addScriptToEvaluateOnNewDocument", source=clock)
        self.address = address
        self.files = dict(files)

    def visit(self, path: str = "") -> str:
        """Open the page, or load it again, and wait for its verdict."""
        self.page.open("about:blank")
        self.page.open(f"{self.address}{path}")
        return self.settled()

    def settled(self) -> str:
        return str(self.page.until(SETTLED))

    def again(self) -> str:
        self.page.evaluate("$('again').click()")
        return self.settled()

    def trust(self, keys: str) -> str:
        """Put keys into their field, as by pasting, and wait for the verdict under them."""
        self.page.ask(
            "(keys) => { $('again').disabled = true; $('keys').value = keys; page.trust.changed(); }",
            keys,
        )
        return self.settled()

    def text(self, selector: str) -> str:
        return str(self.page.ask("(selector) => document.querySelector(selector).innerText", selector))

    def shows(self, selector: str, part: str) -> None:
        self.page.until(f"document.querySelector({json.dumps(selector)}).innerText", lambda text: part in text)

    def label(self, number: int) -> str:
        """What the button of the day so many days ago says."""
        return str(self.page.evaluate(f"document.querySelector('[data-day=\"{day_number(number)}\"]').ariaLabel"))

    def asked(self) -> list[str]:
        """Everything that the window asked any server for."""
        return [facts["request"]["url"] for name, facts in self.page.events if name == "Network.requestWillBeSent"]


def day_number(days_ago: int) -> int:
    return (TODAY - timedelta(days_ago) - datetime(1970, 1, 1, tzinfo=UTC).date()).days


def log_until(days_ago: int, days: int, **options: Any) -> DayLog:  # noqa: ANN401
    """A log of so many days, to be grown, whose last one is so many days ago."""
    return DayLog(TODAY - timedelta(days=days_ago + days - 1), **options)


@contextmanager
def opened(browser: Chromium, files: Mapping[str, bytes]) -> Iterator[Site]:
    def fetch(path: str) -> bytes:
        if path not in site.files:
            raise ObjectMissing(path)
        return site.files[path]

    with LogServer("127.0.0.1", 0, fetch, PAGE) as server, browser.page() as page:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        site = Site(page, server.url, files)
        yield site
        server.shutdown()
        thread.join()
    told = [facts for name, facts in page.events if name in {"Runtime.exceptionThrown", "Runtime.consoleAPICalled"}]
    told += [facts for name, facts in page.events if name == "Log.entryAdded" and "404" not in facts["entry"]["text"]]
    assert told == []


def late(log: DayLog, number: int, hours: int) -> dict[str, Any]:
    return {"sealed": log.record(number).sealed + timedelta(hours=hours)}


# --- what it says of a log -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_visitor_confirms_the_key_and_comes_back(browser: Chromium) -> None:
    log = log_until(1, 20, witnesses=WITNESSES)
    log.grow(19)
    with opened(browser, log.files) as site:
        assert site.visit() == "Consistent, key unconfirmed"
        assert "key-unconfirmed" in site.text("#verdict-reason")
        assert KEY.verifier.fingerprint in site.text("#signers").replace(" ", "").replace("\n", "")
        assert "not checked" in site.text("#signers")
        assert "first visit" in site.text("#memory")
        site.page.evaluate("$('again').disabled = true; document.querySelector('#trust-offer button').click()")
        assert site.settled() == "Verified, with a finding: 1 record overdue"
        log.grow(1)
        site.files = log.files
        assert site.visit() == "Verified"
        assert "1 entry more: nothing old was changed" in site.text("#memory")
        assert site.trust(POLICY + "group both all w0 w1\nquorum both\n") == "Verified"
        assert site.text("#signers").count("verified") == 2
        assert "is excluded" in site.text("#signers")
        assert site.visit() == "Verified"
        assert "nothing was added since" in site.text("#memory")
        assert "It has followed the log since" in site.text("#memory")
        assert all(url.startswith((site.address, "about:", "data:,")) for url in site.asked())
        page = site.page.evaluate("[$('origin').textContent, document.title]")
        assert page == [log.genesis.origin, f"Verified – {log.genesis.origin}"]


def test_days_are_told_apart_in_words_and_signs(browser: Chromium) -> None:
    log = log_until(3, 40)
    log.grow(
        40,
        {
            20: late(log, 20, 5),
            30: {"breaks": 2},
            35: {"next_key": NEXT_KEY.verifier},
            40: {**late(log, 40, 3), "breaks": 1},
        },
    )
    with opened(browser, log.files) as site:
        assert site.visit("#genesis") == "Consistent, key unconfirmed"
        title = site.trust(VKEY)
        assert title == "Verified, with a finding: 2 days with declared breaks, 2 records overdue"
        assert site.label(23) == f"{day_words(23)}: recorded late, 5 hours 15 minutes after the day’s end"
        assert site.label(13).endswith(": recorded; 2 declared breaks")
        assert site.label(8).endswith(": recorded; announces a key")
        assert site.label(3).endswith("recorded late, 3 hours 15 minutes after the day’s end; 1 declared break")
        assert site.label(4).endswith(": recorded")
        assert site.label(2).endswith(": no record, and it is overdue")
        assert site.label(1).endswith(": no record, and it is overdue")
        assert site.label(0).endswith(": no record yet; it is not due")
        signs = site.page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('[data-day]')].map((day) =>"
            " [day.dataset.day, [...day.querySelectorAll('use')].map((use) => use.getAttribute('href').slice(6))]))"
        )
        assert [signs[str(day_number(ago))] for ago in (23, 13, 8, 4, 3, 2)] == [
            ["late"],
            ["breaks"],
            ["key"],
            [],
            ["late", "breaks"],
            ["missing"],
        ]
        assert "40 days recorded" in site.text("#counts")
        assert "2 late" in site.text("#counts")
        site.page.evaluate("document.querySelector('#notable details')?.setAttribute('open', '')")
        assert site.text("#notable").count("declared break") == 2


def day_words(days_ago: int) -> str:
    return f"{TODAY - timedelta(days_ago):%A, %-d %B %Y}"


def test_a_day_is_shown_with_its_proof_by_click_key_and_link(browser: Chromium) -> None:
    log = log_until(1, 300)
    log.grow(300)
    with opened(browser, log.files) as site:
        site.visit()
        site.shows("#day", day_words(1))
        assert log.record(300).encode().decode() == site.page.evaluate("document.querySelector('#day pre').textContent")
        site.page.evaluate(f"document.querySelector('[data-day=\"{day_number(9)}\"]').click()")
        site.shows("#day", day_words(9))
        tree = LeafHashes(
            [leaf_hash(log.genesis.encode()), *(leaf_hash(log.record(i).encode()) for i in range(1, 301))]
        )
        path = site.page.evaluate("[...document.querySelectorAll('#day .path li')].map((item) => item.textContent)")
        assert path == site.page.ask("(path) => path.map((hex) => encodeBase64(decodeHex(hex, 32)))", hexes(tree, 292))
        assert f"proved by {len(path)} hashes" in site.text("#day")
        assert site.page.evaluate("location.hash") == f"#{TODAY - timedelta(9)}"
        # From there: a week back, the same day of the month before, its first day; Enter shows it.
        site.page.evaluate(f"document.querySelector('[data-day=\"{day_number(9)}\"]').focus()")
        for key in ("ArrowUp", "PageUp", "Home", "ArrowRight", "Enter"):
            site.page.press(key)
        second = (TODAY - timedelta(16)).replace(day=1) - timedelta(1)
        second = second.replace(day=2)
        site.shows("#day", f"{second:%A, %-d %B %Y}")
        assert site.page.evaluate("document.querySelectorAll('#calendar [tabindex=\"0\"]').length") == 1
        site.page.open(f"{site.address}#{log.genesis.first_day}")
        site.settled()
        site.shows("#day", f"{log.genesis.first_day:%A, %-d %B %Y}")
        site.page.evaluate("$('genesis').click()")
        site.shows("#day", "lumi/log/v1")
        assert "proved by" in site.text("#day")


def hexes(tree: LeafHashes, index: int) -> list[str]:
    return [node.hex() for node in inclusion_proof(tree, index, tree.size)]


@pytest.mark.slow
def test_ten_years_are_checked_and_each_can_be_looked_at(browser: Chromium) -> None:
    log = log_until(1, 3650)
    log.grow(3650, {100: late(log, 100, 9)})
    with opened(browser, log.files) as site:
        site.visit()
        assert site.trust(VKEY) == "Verified"
        assert "All 3,651 entries were recomputed" in site.text("#verdict-text")
        years = site.page.evaluate("[...document.querySelectorAll('#years button')].map((year) => year.innerText)")
        assert [year[:4] for year in years[1:]] == [str(TODAY.year - i) for i in range(len(years) - 1)]
        assert len(years) >= 11
        site.page.evaluate("document.querySelectorAll('#years button')[5].click()")
        assert site.text("#calendar caption") == f"December {TODAY.year - 4}"
        assert site.page.evaluate("document.querySelectorAll('#calendar table').length") == 12
        site.page.evaluate("document.querySelector('#notable button').click()")
        shown = log.genesis.first_day + timedelta(99)
        site.shows("#day", f"{shown:%A, %-d %B %Y}")
        assert f"{shown:%B %Y}" in site.text("#calendar")
        assert not [url for url in site.asked() if url.count("tile/") != 1 and "tile" in url]


# --- what it notices -------------------------------------------------------------------------------------------------


def both_shown(site: Site, *checkpoints: bytes) -> None:
    shown = site.page.evaluate("[...document.querySelectorAll('#alarm pre')].map((text) => text.textContent)")
    assert shown == [checkpoint.decode() for checkpoint in checkpoints]


@pytest.mark.parametrize("more", [0, 3])
def test_another_history_is_an_alarm_that_stays(browser: Chromium, more: int) -> None:
    log, other = log_until(1, 20), log_until(1, 20 + more, history="other")
    log.grow(20)
    other.genesis = log.genesis
    other.grow(20 + more)
    with opened(browser, log.files) as site:
        site.visit()
        assert site.trust(VKEY) == "Verified"
        site.files = other.files
        for title in (site.again(), site.visit()):
            assert title == "Alarm: this log shows two histories"
            assert "split-view" in site.text("#verdict-reason")
            both_shown(site, log.checkpoint, other.checkpoint)
            assert "contradicts" in site.text("#memory")
        site.page.evaluate("[...document.querySelectorAll('#memory button')].at(-1).click()")
        assert site.page.until(SETTLED, lambda title: str(title).startswith("Verified"))
        assert site.page.evaluate("$('alarm').childElementCount") == 0


def test_a_log_that_got_shorter_or_became_another_is_an_alarm(browser: Chromium) -> None:
    log = log_until(1, 20)
    old = log.grow(18)
    log.grow(2)
    with opened(browser, log.files) as site:
        site.visit()
        site.trust(VKEY)
        site.files["checkpoint"] = old
        assert site.again() == "Alarm: this log is shorter than it was"
        assert "an older state of the same history" in site.text("#alarm")
        both_shown(site, log.checkpoint, old)
        del site.files["tile/0/000.p/21"]
        site.again()
        assert "can’t be found out any more" in site.text("#alarm")
        site.files = log.files
        assert site.again() == "Verified"
        key = SigningKey("other.example.com/log", bytes(32))
        checkpoint = sign_checkpoint(Checkpoint(key.name, 21, bytes(32)), [key])
        site.files.update({"checkpoint": checkpoint, "log.vkey": f"{key.verifier.vkey}\n".encode()})
        assert site.trust("") == "Alarm: this address now serves another log"


def test_a_checkpoint_is_remembered_only_once_everything_was_verified(browser: Chromium) -> None:
    log = log_until(1, 20)
    log.grow(19)
    with opened(browser, log.files) as site:
        site.visit()
        site.trust(VKEY)
        kept = site.page.evaluate("localStorage.getItem(memoryKey())")
        log.grow(1)
        site.files = {**log.files, "tile/entries/000.p/21": log.files["tile/entries/000.p/21"][:-1] + b"?"}
        assert site.again() == "This log does not verify"
        assert site.page.evaluate("localStorage.getItem(memoryKey())") == kept
        site.files = log.files
        assert site.again() == "Verified"
        assert (
            json.loads(site.page.evaluate("localStorage.getItem(memoryKey())"))["checkpoint"] == log.checkpoint.decode()
        )


@pytest.mark.slow
def test_whatever_is_wrong_with_the_files_is_named(browser: Chromium) -> None:
    log = log_until(1, 300)
    log.grow(300)
    good = log.files
    flipped = {path: data[:-1] + bytes([data[-1] ^ 1]) for path, data in good.items()}
    lines = good["checkpoint"].decode().split("\n")
    cases: list[tuple[dict[str, bytes | None], str]] = [
        *(({path: flipped[path]}, "tile") for path in good if path.startswith("tile/")),
        *(({path: None}, "tile") for path in good if path.startswith("tile/")),
        ({"tile/entries/000": good["tile/entries/000"] + b"x"}, "tile"),
        ({"checkpoint": flipped["checkpoint"]}, "checkpoint-format"),
        ({"checkpoint": "\n".join([lines[0], "300", *lines[2:]]).encode()}, "checkpoint-signature"),
        ({"checkpoint": b"<html>"}, "checkpoint-format"),
        ({"checkpoint": sign_checkpoint(Checkpoint(log.genesis.origin, 0, EMPTY_ROOT), [KEY])}, "genesis"),
        ({"checkpoint": sign_checkpoint(Checkpoint(log.genesis.origin, 2**62, EMPTY_ROOT), [KEY])}, "day-index"),
        ({"checkpoint": None}, "unreachable"),
    ]
    with opened(browser, good) as site:
        site.visit()
        assert site.trust(VKEY) == "Verified"
        site.page.evaluate("localStorage.removeItem(memoryKey())")
        for change, reason in cases:
            site.files = {path: data for path, data in {**good, **change}.items() if data is not None}
            title = site.again()
            if reason != "unreachable":
                assert site.text("#verdict-reason") == f"Reason {reason}", (change.keys(), title)
            assert title in {"This log does not verify", "The log can’t be read"}
        site.files = good
        assert site.again() == "Verified"


def test_where_no_log_is_that_is_said_and_nothing_empty_is_shown(browser: Chromium) -> None:
    log = log_until(1, 3)
    log.grow(3)
    with opened(browser, {}) as site:
        assert site.visit() == "The log can’t be read"
        assert f"There is no signed checkpoint at {site.address}checkpoint: " in site.text("#verdict-text")
        assert not site.page.evaluate("$('head').checkVisibility()")
        site.files = {path: data for path, data in log.files.items() if not path.startswith("tile/entries/")}
        assert site.again() == "This log does not verify"
        assert site.text("#verdict-text").startswith("tile/entries/")
        assert site.page.evaluate("$('head').checkVisibility()")


def test_a_rule_that_is_broken_is_named(browser: Chromium) -> None:
    broken: dict[str, dict[str, Any]] = {
        "day-index": {"index": 11},
        "day-origin": {"origin": "b"},
        "day-sealed": {"sealed": NOW},
    }
    with opened(browser, log_with({12: {"breaks": 1, "index": 13}})) as site:
        site.visit()
        for reason, change in broken.items():
            site.files = log_with({12: change})
            assert site.trust(VKEY) == "This log does not verify"
            assert site.text("#verdict-reason") == f"Reason {reason}"
        site.files = log_with({12: {"day": TODAY - timedelta(100)}})
        site.again()
        assert site.text("#verdict-reason") == "Reason day-index"


def log_with(changes: dict[int, dict[str, Any]]) -> dict[str, bytes]:
    log = log_until(1, 20)
    log.grow(20, changes)
    return log.files


@pytest.mark.slow
def test_a_trusted_key_must_have_been_the_logs_to_sign_with(browser: Chromium) -> None:
    log = log_until(1, 5, keys=[NEXT_KEY])
    log.store.put_new("log/log.vkey", f"{NEXT_KEY.verifier.vkey}\n".encode())
    log.grow(5)
    with opened(browser, log.files) as site:
        site.visit()
        assert site.text("#verdict-reason") == "Reason log-key"
        site.trust(NEXT_KEY.verifier.vkey)
        assert site.text("#verdict-reason") == "Reason log-key"
        site.trust(VKEY)
        assert site.text("#verdict-reason") == "Reason checkpoint-signature"
        site.trust(SigningKey("other", bytes(32)).verifier.vkey)
        assert site.text("#verdict-reason") == "Reason checkpoint-origin"
        site.page.evaluate("$('keys').value = ''; $('keys').focus()")
        site.page.type("nonsense")
        assert "can’t be read" in site.text("#keys-problem")


@pytest.mark.slow
def test_a_quorum_that_is_missing_is_no_success(browser: Chromium) -> None:
    log = log_until(1, 5, witnesses=WITNESSES[:1])
    log.grow(5)
    with opened(browser, log.files) as site:
        site.visit()
        assert site.trust(f"{POLICY}quorum w1\n") == "Too few of your witnesses have cosigned"
        assert site.text("#verdict-reason") == "Reason witness-quorum"
        assert site.trust(f"{POLICY}quorum w0\n") == "Verified"


# --- what a visitor brings -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> dict[str, bytes]:
    """The log of the reference vectors, which there are proof files of."""
    entries = [entry.encode() for entry in VECTORS["log"]["entries"]]
    files = grow(TileReader(MemoryStore().get, 0, EMPTY_ROOT), entries).files
    published = VECTORS["log"]["checkpoints"][1]["cosigned"].encode()
    return {**files, "checkpoint": published, "log.vkey": f"{VECTORS['log']['vkey']}\n".encode()}


def bring(site: Site, data: str) -> str:
    site.page.evaluate("$('file-said').replaceChildren()")
    site.page.ask("(text) => { $('paste').value = text; $('paste-form').requestSubmit(); }", data)
    return str(site.page.until("document.querySelector('#file-said .result')?.innerText"))


def test_proof_files_and_checkpoints_are_held_against_the_log(
    browser: Chromium, reference: dict[str, bytes], tmp_path: Path
) -> None:
    proofs = VECTORS["proofs"]
    with opened(browser, reference) as site:
        site.visit()
        for proof in proofs.values():
            assert "Reason key-unconfirmed" in bring(site, proof)
        site.trust(VECTORS["log"]["vkey"])
        for name, proof in proofs.items():
            said = bring(site, proof)
            assert ("Reason ok" in said, "is the one that this site shows" in said) == (True, True), name
        [event] = [proof for proof in proofs.values() if "RECOMMENDATION" in site_facts(proof)][:1]
        assert "acme" in bring(site, event)
        assert "Reason day-inclusion" in bring(site, event.replace("\nindex 1\n", "\nindex 2\n"))
        assert "Reason malformed" in bring(site, event.replace("\nextra ey", "\nextra eY"))
        assert "Reason unrecognised" in bring(site, "hello")
        assert "Reason ok" in bring(site, VECTORS["log"]["checkpoints"][0]["signed"])
        assert "extends its checkpoint" in site.text("#file-said")
        assert "<b>evil</b>" in bring(
            site, VECTORS["log"]["checkpoints"][0]["signed"].replace("audit.", "<b>evil</b>.")
        )
        assert "Reason checkpoint-origin" in site.text("#file-said")
        key = SigningKey.parse(VECTORS["log"]["secret_key"])
        for size, reason in ((2, "split-view"), (3, "split-view")):
            forked = sign_checkpoint(Checkpoint(key.name, size, bytes(32)), [key])
            said = bring(site, forked.decode())
            assert f"Reason {reason}" in said
            assert forked.decode().split("\n")[2] in said
        longer = sign_checkpoint(Checkpoint(key.name, 4, bytes(32)), [key])
        assert "could not be compared" in bring(site, longer.decode())
        path = tmp_path / "event.tlog-proof"
        path.write_text(event)
        site.page.evaluate("$('file-said').replaceChildren()")
        site.page.drop("#drop", [path])
        site.shows("#file-said", "Reason ok")
        site.page.evaluate("$('file-said').replaceChildren()")
        site.page.choose("#file", path)
        site.shows("#file-said", "Reason ok")


def site_facts(proof: str) -> str:
    return base64.b64decode(proof.split("\n")[1].removeprefix("extra ")).decode()


# --- where it lies ---------------------------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_any_web_server_serves_it_below_any_path(browser: Chromium, tmp_path: Path) -> None:
    log = log_until(1, 10)
    log.grow(10)
    root = tmp_path / "public" / "transparency"
    for path, data in {**log.files, "index.html": PAGE}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path))) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with browser.page() as page:
            site = Site(page, f"http://127.0.0.1:{server.server_port}/public/transparency/", {})
            for path in ("", "index.html", "?from=mail"):
                assert site.visit(path) == "Consistent, key unconfirmed"
            addresses = page.evaluate(
                "['/', '/log', '/log/', '/a/log/index.html'].map((pathname) => logAddress({origin: 'o', pathname}))"
            )
            assert addresses == ["o/", "o/log/", "o/log/", "o/a/log/"]
        server.shutdown()
        thread.join()


def test_from_a_disk_it_says_what_it_needs(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_bytes(PAGE)
    with browser.page(path.as_uri()) as page:
        assert page.until("$('verdict-title').textContent") == "This page needs a web server"
        assert "lumi log serve" in page.evaluate("$('from-disk').innerText")
        assert page.evaluate("getComputedStyle($('days')).display") == "none"


def test_a_screen_reader_is_told_what_everything_is(browser: Chromium) -> None:
    log = log_until(1, 40)
    log.grow(40)
    with opened(browser, log.files) as site:
        site.visit()
        nodes = site.page.accessibility()
        named = {"button", "textbox", "checkbox", "table", "region", "article", "progressbar"}
        nameless = [
            node["role"]["value"] for node in nodes if node["role"]["value"] in named and not node["name"]["value"]
        ]
        assert nameless == []
        names = [node["name"]["value"] for node in nodes if node["role"]["value"] == "button"]
        assert f"{day_words(1)}: recorded" in names
        assert site.page.evaluate("$('announcer').textContent") == "Consistent, key unconfirmed"
        site.page.evaluate("document.activeElement.blur()")
        site.page.press("Tab")
        assert site.page.evaluate("document.activeElement.textContent") == "Skip to the days"
        site.page.resize(390, 844)
        assert site.page.evaluate("document.documentElement.scrollWidth") <= 390


# --- its trees -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_trees_are_those_of_the_log(browser: Chromium) -> None:
    """Paths of tiles, roots, and both kinds of proofs, against the log's own code."""
    log = log_until(1, 600)
    log.grow(600)
    leaves = [
        leaf_hash(entry) for entry in TileReader(lambda p: log.files[p], 601, parse(log).root).read_entries(0, 601)
    ]
    tree = LeafHashes(leaves)
    with opened(browser, log.files) as site:
        site.visit()
        page = site.page
        wanted = [
            ["entries" if tile.level is None else tile.level, tile.index, tile.width] for tile in new_tiles(0, 70500)
        ]
        paths = page.ask("(tiles) => tiles.map(([level, index, width]) => tilePath(level, index, width))", wanted)
        assert paths == [tile.path for tile in new_tiles(0, 70500)]
        assert page.evaluate("tilePath(0, 1234067, 256)") == Tile(0, 1234067).path
        ranges = [(begin, end) for end in range(40) for begin in range(end + 1)] + [(300, 3652060)]
        found = page.ask("(ranges) => ranges.map(([begin, end]) => rangeNodes(begin, end))", ranges)
        assert [[tuple(node) for node in nodes] for nodes in found] == [range_nodes(*each) for each in ranges]
        made = page.evaluate(
            "(async () => { const tree = new LogTree(fetchTreeFile, 601, decodeBase64("
            f"{json.dumps(log.checkpoint.decode().splitlines()[2])}, 32));"
            " const hex = (path) => path.map(encodeHex);"
            " const olds = Array.from({length: 86}, (_, i) => 7 * i + 1);"
            " return [await Promise.all(olds.map(async (old) => hex(await tree.consistencyPath(old)))),"
            " await Promise.all(olds.map(async (next) => hex(await tree.inclusionPath(next - 1))))]; })()"
        )
        assert made[0] == [[node.hex() for node in consistency_proof(tree, old, 601)] for old in range(1, 602, 7)]
        assert made[1] == [hexes(tree, index) for index in range(0, 601, 7)]


def parse(log: DayLog) -> Checkpoint:
    return parse_signed_checkpoint(log.checkpoint).checkpoint
