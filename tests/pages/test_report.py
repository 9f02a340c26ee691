"""The report in a real browser: it asks nobody for anything, and is to be read on paper and on telephones too."""

import struct
import zlib
from collections import Counter

import pytest

from tests.analytics.reports import HOSTILE, page, record_hostile
from tests.lake.world import World, at, day
from tests.pages.chromium import Chromium, Page

HEADINGS = [
    "Audit report: all tenants",
    "Events by day",
    "Hours of the week",
    "Events by tenant",
    "Events by action",
    "Busiest users and systems",
    "Chains, seals and log",
    "Delivery to SIEMs",
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report about two weeks, hostile names and a day that is not sealed yet among them."""
    directory = tmp_path_factory.mktemp("report")
    world = World.create(directory / "world", at(15, "12:00:00"))
    record_hostile(world)
    moments = [at(number, f"{hour:02}:30:00") for number in range(1, 16) for hour in range(6, 12) if number % 7 != 3]
    world.record_all(
        (tenant, moment) for moment in moments for tenant in ("globex", "a-tenant-with-a-rather-long-name")
    )
    world.pipeline().run(day(12))
    path = directory / "report.html"
    path.write_bytes(page(world))
    return path.as_uri()


def colours(png: bytes) -> Counter[bytes]:
    """How often each filtered row of a screenshot occurs: a blank picture has one kind, or very few."""
    at_byte, data = 8, b""
    while at_byte < len(png):
        length = int.from_bytes(png[at_byte : at_byte + 4])
        if png[at_byte + 4 : at_byte + 8] == b"IHDR":
            width, _, depth, colour = struct.unpack(">IIBB", png[at_byte + 8 : at_byte + 18])
            assert (depth, colour) in {(8, 2), (8, 6)}
            row = width * (3 if colour == 2 else 4) + 1
        elif png[at_byte + 4 : at_byte + 8] == b"IDAT":
            data += png[at_byte + 8 : at_byte + 8 + length]
        at_byte += 12 + length
    pixels = zlib.decompress(data)
    return Counter(pixels[start : start + row] for start in range(0, len(pixels), row))


def assert_readable(shown: Page) -> None:
    text = shown.evaluate("document.body.innerText")
    for heading in HEADINGS[1:]:
        assert heading in text
    assert len(colours(shown.screenshot(whole=True))) > 200
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_browser_shows_it_and_asks_nobody(browser: Chromium, address: str) -> None:
    with browser.page(address) as shown:
        requests = [what["request"]["url"] for kind, what in shown.events if kind == "Network.requestWillBeSent"]
        assert [url for url in requests if url != "data:,"] == [address]
        logged = [what for kind, what in shown.events if kind in {"Log.entryAdded", "Runtime.exceptionThrown"}]
        assert logged == []
        assert shown.evaluate("document.title") == HEADINGS[0]
        assert_readable(shown)
        text = shown.evaluate("document.body.innerText")
        assert "{content}{title}{styles}" in text
        assert HOSTILE[1][:40] in text
        assert shown.evaluate("document.scripts.length + document.images.length") == 0

        images = {
            node["name"]["value"].partition(",")[0]
            for node in shown.accessibility()
            if node["role"]["value"] == "image"
        }
        assert {"Bar chart of events by day", "Heat map of events by weekday and hour"} <= images

        shown.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert_readable(shown)
        for bar, state in ((".bar.final", "none"), (".bar.open", "dashed")):
            dashes = shown.ask("(s) => getComputedStyle(document.querySelector(s)).strokeDasharray", f".plot {bar}")
            assert (dashes == "none") == (state == "none")


def test_it_is_read_in_the_dark_on_a_telephone_and_on_paper(browser: Chromium, address: str) -> None:
    with browser.page(address) as shown:
        paper = "getComputedStyle(document.body).backgroundColor"
        light = shown.evaluate(paper)
        shown.prefer(prefers_color_scheme="dark")
        assert shown.evaluate(paper) != light
        assert_readable(shown)

        shown.resize(375, 800)
        assert_readable(shown)
        smallest = """() => Math.min(...[...document.querySelectorAll('.chart text')].map((text) =>
          text.checkVisibility() ? parseFloat(getComputedStyle(text).fontSize) : Infinity))"""
        assert shown.ask(smallest) >= 11

        # Whoever prints in the dark gets black on white all the same.
        shown.call("Emulation.setEmulatedMedia", media="print", features=[])
        shown.resize(794, 1123)
        assert shown.evaluate(paper) == "rgb(255, 255, 255)"
        assert_readable(shown)
        assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(28, 36, 34)"
        printed = shown.call("Page.printToPDF", printBackground=False)["data"]
        assert len(printed) > 20_000
