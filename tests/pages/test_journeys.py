"""What people do with the page, in a real browser, from a file on disk."""

import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lumi_pipeline.pages import verifier_page
from tests.evidence.corpus.bundle import bundle
from tests.evidence.corpus.case import PINNED, zipped
from tests.evidence.corpus.world import LOG_KEY, WITNESS, World, chains
from tests.pages.chromium import BrowserError, Chromium, Page
from tests.pages.evidence import large_bundle, write

KEYS = f"{LOG_KEY.vkey}\n{WITNESS.vkey}\n"
DONE = (
    "$('progress').hidden && !$('result').hidden && document.activeElement.id === 'verdict' && $('verdict').textContent"
)
HOSTILE = '<img src="https://evil.example/x" onerror="document.title=\'taken\'"><script>document.title="taken"</script>'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(bundle(World(chains(), witnesses=(WITNESS,)).publish()), tmp_path)


def _trust(page: Page, keys: str) -> None:
    page.evaluate("$('keys').focus()")
    page.type(keys)


def _wait(page: Page) -> str:
    return str(page.until(DONE))


def _text(page: Page, selector: str) -> str:
    return str(page.ask("(selector) => document.querySelector(selector).innerText", selector))


def test_a_folder_is_dropped(fresh: Page, folder: Path) -> None:
    _trust(fresh, KEYS)
    fresh.drop(".zone", [folder])
    assert _wait(fresh) == "Verified"
    assert fresh.evaluate("document.title") == f"Verified: {folder.name}"
    facts = _text(fresh, ".facts")
    for fact in (
        "acme",
        "2026-11-01 to 2026-11-04, 4 days (3 with events, 1 without events)",
        "13 events",
        WITNESS.name,
        "excluded",
    ):
        assert fact in facts
    assert LOG_KEY.vkey in facts
    assert fresh.evaluate("document.querySelectorAll('tbody tr.day-holds').length") == 4
    assert fresh.evaluate("document.querySelectorAll('.checks .mark.good').length") == 14


def test_the_files_of_a_folder_are_dropped_or_a_zip_file(fresh: Page, folder: Path, tmp_path: Path) -> None:
    _trust(fresh, KEYS)
    fresh.drop(".zone", sorted(folder.iterdir()))
    assert _wait(fresh) == "Verified"
    archive = tmp_path / f"{folder.name}.zip"
    archive.write_bytes(zipped({path.name: path.read_bytes() for path in folder.iterdir()}))
    fresh.drop("footer", [archive])  # anywhere in the window
    fresh.until("document.title", lambda title: title == f"Verified: {archive.name}")


def test_a_folder_or_a_file_is_chosen(fresh: Page, folder: Path) -> None:
    fresh.choose("#folder", folder)
    assert _wait(fresh) == "Consistent, key unconfirmed"
    assert "fingerprint below" in _text(fresh, ".said")
    fresh.choose("#file", folder / "events.csv")
    fresh.until("$('verdict')?.textContent", lambda title: title == "A file is missing")
    assert "README.txt" in _text(fresh, ".detail")


def test_two_folders_at_once_are_not_guessed_about(fresh: Page, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    fresh.drop(".zone", [folder, tmp_path / "other"])
    fresh.until("$('notice').textContent", lambda text: "one folder at a time" in text)


def test_keys_are_told_what_they_are_and_a_verdict_whose_keys_changed_is_marked(fresh: Page, folder: Path) -> None:
    fresh.drop(".zone", [folder])
    _wait(fresh)
    assert fresh.evaluate("$('stale').hidden")
    _trust(fresh, LOG_KEY.vkey[:-4])
    assert fresh.evaluate("$('keys').getAttribute('aria-invalid')") == "true"
    assert "line 1" in _text(fresh, "#keys-problem")
    fresh.evaluate("$('again').click()")
    assert "can’t be read" in _text(fresh, "#notice")
    _trust(fresh, LOG_KEY.vkey[-4:])
    assert fresh.evaluate("$('keys-problem').textContent") == ""
    assert LOG_KEY.name in _text(fresh, "#key-list")
    fresh.evaluate("$('again').click()")
    assert _wait(fresh) == "Verified"
    assert fresh.evaluate("$('stale').hidden")


def test_keys_are_remembered_only_if_the_reader_says_so(browser: Chromium, verifier_url: str) -> None:
    with browser.page(verifier_url) as page:
        _trust(page, KEYS)
        page.open(verifier_url)
        assert page.evaluate("$('keys').value") == ""
        page.evaluate("$('remember').click()")
        _trust(page, KEYS)
        page.open(verifier_url)
        assert page.evaluate("[$('keys').value, $('remember').checked]") == [KEYS, True]
        page.evaluate("$('remember').click()")
        page.open(verifier_url)
        assert page.evaluate("[$('keys').value, $('remember').checked, localStorage.length]") == ["", False, 0]


def test_everything_is_done_with_the_keyboard(fresh: Page, folder: Path) -> None:
    stops: dict[str, bool] = {}
    for _ in range(6):
        fresh.press("Tab")
        name = str(fresh.evaluate("document.activeElement.id || document.activeElement.className"))
        stops[name] = bool(fresh.evaluate(VISIBLE_FOCUS))
        if name == "keys":
            fresh.type(KEYS)
    assert list(stops)[:5] == ["skip", "keys", "remember", "folder", "file"]
    assert all(list(stops.values())[:5]), stops
    fresh.evaluate("$('file').focus()")
    fresh.call("Page.setInterceptFileChooserDialog", enabled=True)
    fresh.press(" ")
    opened = _event(fresh, "Page.fileChooserOpened")
    fresh.call(
        "DOM.setFileInputFiles", files=[str(path) for path in folder.iterdir()], backendNodeId=opened["backendNodeId"]
    )
    assert _wait(fresh) == "Verified"
    fresh.press("Tab")  # on from the verdict
    assert fresh.evaluate("document.activeElement.getAttribute('aria-label')") == "Table of the days"
    fresh.press("Tab")
    fresh.type("rec-")
    fresh.press("Enter")
    fresh.until("$('query-status').textContent", lambda text: "with this text" in text)


VISIBLE_FOCUS = """(() => {
  const at = document.activeElement;
  return [at, at.parentElement, at.previousElementSibling].some((element) => {
    const style = element && getComputedStyle(element);
    return style && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  });
})()"""


def _event(page: Page, method: str) -> dict[str, Any]:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for name, parameters in page.events:
            if name == method:
                return parameters
        page.evaluate("0")
        time.sleep(0.05)
    raise BrowserError(f"{method} did not come")


def test_every_control_has_a_name_and_the_page_a_structure(fresh: Page, folder: Path) -> None:
    fresh.drop(".zone", [folder])
    _wait(fresh)
    nodes = fresh.accessibility()
    controls = ("button", "textbox", "searchbox", "checkbox", "link", "progressbar", "region", "table")
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
    nameless = [role for role, name in named if role in controls and not name and role != "table"]
    assert not nameless
    names = [name for _, name in named]
    for name in (
        "Keys, one a line",
        "Remember them in this browser",
        "Choose the evidence folder, or drop evidence here",
        "Choose a ZIP file or a proof file",
        "Find events with this text in any column",
        "Table of the days",
    ):
        assert name in names, name
    roles = [role for role, _ in named]
    assert {"main", "banner", "contentinfo", "status", "columnheader", "rowheader"} <= set(roles)
    levels = [
        int(prop["value"]["value"])
        for node in nodes
        if node["role"]["value"] == "heading"
        for prop in node["properties"]
        if prop["name"] == "level"
    ]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_readable_in_light_and_dark(fresh: Page, tmp_path: Path, scheme: str) -> None:
    broken = bundle(World(chains()).publish())
    broken.rows[3]["actor_id"] = "somebody else"
    fresh.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    _trust(fresh, KEYS.split("\n", maxsplit=1)[0])
    fresh.drop(".zone", [write(broken, tmp_path)])
    assert _wait(fresh) == "Events were altered"
    faint = fresh.evaluate(CONTRASTS)
    assert not faint
    dark = fresh.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark))) < 200) is (scheme == "dark")
    assert "DOES NOT VERIFY" in _text(fresh, ".verdict").upper()  # said in words too


CONTRASTS = """(() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
    if (!own || element.tagName === "SCRIPT" || element.getClientRects().length === 0) continue;
    const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push([element.tagName, element.className, element.textContent.slice(0, 30), ratio]);
  }
  return faint;
})()"""


def test_it_fits_small_screens(browser: Chromium, verifier_url: str, folder: Path) -> None:
    with browser.page(verifier_url, width=360, height=640) as page:
        page.prefer(prefers_reduced_motion="reduce")
        page.drop(".zone", [folder])
        _wait(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_verdict_on_paper_keeps_its_marks_and_is_light_and_says_when(fresh: Page, folder: Path) -> None:
    _trust(fresh, KEYS)
    fresh.drop(".zone", [folder])
    assert _wait(fresh) == "Verified"
    assert re.search(r"When\n20\d\d-\d\d-\d\d \d\d:\d\d UTC by this computer", _text(fresh, ".facts"))
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    fresh.call("Emulation.setEmulatedMedia", media="print", features=dark)
    assert fresh.evaluate("getComputedStyle(document.body).color") == "rgb(28, 36, 34)"
    marks = "[...document.querySelectorAll('.mark')].map((mark) => getComputedStyle(mark).printColorAdjust)"
    assert set(fresh.evaluate(marks)) == {"exact"}
    assert not fresh.evaluate("$('search-title').checkVisibility()")


def test_hostile_text_is_shown_as_text(fresh: Page, tmp_path: Path) -> None:
    broken = bundle(World(chains()).publish())
    broken.rows[3]["actor_id"] = HOSTILE
    broken.evidence["days"][0]["breaks"] = []
    folder = write(broken, tmp_path)
    (folder / HOSTILE.replace("/", "_")).write_bytes(b"")
    _trust(fresh, PINNED[0])
    fresh.drop(".zone", [folder])
    assert _wait(fresh) == "Events were altered"
    fresh.evaluate("document.querySelectorAll('details').forEach((element) => (element.open = true))")
    assert HOSTILE in _text(fresh, "#verdict-parts")
    assert fresh.evaluate("document.querySelectorAll('#verdict-parts img, #verdict-parts script').length") == 0
    assert fresh.evaluate("document.title").startswith("Does not verify")


def test_nothing_is_asked_of_any_network_and_nothing_could_be(fresh: Page, folder: Path) -> None:
    fresh.drop(".zone", [folder])
    _wait(fresh)
    asked = [parameters["request"]["url"] for name, parameters in fresh.events if name == "Network.requestWillBeSent"]
    assert not [url for url in asked if not url.startswith(("file:///", "blob:"))]
    assert len([url for url in asked if url.startswith("file:")]) <= 1
    # And what if some text of the page wanted to? Its policy refuses, in the page and in its workers.
    refused = fresh.evaluate(
        """(async () => {
          const attempts = `[
            () => fetch("https://evil.example/"),
            () => fetch("http://127.0.0.1:9/"),
            () => opened(new WebSocket("wss://evil.example/")),
            () => opened(new EventSource("https://evil.example/")),
          ]`;
          const text = `
            const opened = (s) => new Promise((done, fail) => Object.assign(s, { onopen: done, onerror: fail }));
            const directives = [];
            addEventListener("securitypolicyviolation", (event) => directives.push(event.effectiveDirective));
            const run = async () => {
              let refused = 0;
              for (const attempt of ${attempts}) {
                try {
                  await attempt();
                } catch {
                  refused++;
                }
              }
              await new Promise((resolve) => setTimeout(resolve, 100));
              return [refused, directives];
            };
          `;
          const inWorker = new Promise((resolve) => {
            const worker = new Worker(URL.createObjectURL(new Blob([text, "run().then((n) => postMessage(n))"])));
            worker.onmessage = ({ data }) => resolve(data);
          });
          const violations = [];
          document.addEventListener("securitypolicyviolation", (event) => violations.push(event.effectiveDirective));
          for (const tag of ["img", "script", "iframe", "link"]) {
            const element = document.createElement(tag);
            element[tag === "link" ? "href" : "src"] = "https://evil.example/";
            element.rel = "stylesheet";
            document.body.append(element);
          }
          const inline = document.createElement("script");
          inline.textContent = "globalThis.injected = true";
          document.body.append(inline);
          await new Promise((resolve) => setTimeout(resolve, 100));
          return [await inWorker, violations.sort(), globalThis.injected === undefined];
        })()"""
    )
    assert refused == [
        [4, ["connect-src"] * 4],
        ["frame-src", "img-src", "script-src-elem", "script-src-elem", "style-src-elem"],
        True,
    ]
    reached = [
        parameters
        for name, parameters in fresh.events
        if name == "Network.responseReceived" and parameters["response"]["url"].startswith("http")
    ]
    assert not reached


def test_nothing_in_the_page_points_anywhere() -> None:
    text = verifier_page().decode()
    assert text == verifier_page().decode()
    links = set(re.findall(r"https?://[^\s\"'<>)]*", text))
    assert links <= {"http://www.w3.org/2000/svg"}  # a name of a namespace, which nothing fetches
    assert "default-src 'none'" in text
    assert "unsafe" not in text.split("</head>")[0].split("<style>")[0]


@pytest.mark.slow
def test_a_hundred_thousand_rows_with_progress_and_a_way_out(fresh: Page, tmp_path: Path) -> None:
    folder = write(large_bundle(100_000), tmp_path)
    _trust(fresh, PINNED[0])
    fresh.drop(".zone", [folder])
    fresh.until("$('progress-bar').value", lambda value: 0 < value < 1)
    assert re.search(
        r"[\d,]+ events · [\d.]+ MB of [\d.]+ MB · [\d,]+ a second · about .* left", _text(fresh, "#progress-text")
    )
    fresh.evaluate("$('cancel').click()")
    assert "Stopped" in _text(fresh, "#notice")
    assert fresh.evaluate("$('progress').hidden && $('result').hidden")
    fresh.drop(".zone", [folder])
    assert _wait(fresh) == "Verified"
    assert "100,000 events of acme on 1 day" in _text(fresh, ".summary")
    fresh.evaluate("$('query').focus()")
    fresh.type("rec-9999")
    fresh.press("Enter")
    fresh.until("$('query-status').textContent", lambda text: text.startswith("11 events"))
