"""A real browser for the pages' tests: headless Chromium, told what to do over its DevTools pipe.

The pipe (``--remote-debugging-pipe``) needs no port, no driver and no library: JSON texts, each ended by a NUL byte,
go in through descriptor 3 and come out of descriptor 4. Chromium ends when the pipe is closed, so an interrupted run
leaves none behind. Methods and events: https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

PATIENCE: Final = 90.0
"""Seconds that anything may take on a machine that is busy with other tests."""

_FLAGS: Final = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_KEYS: Final = {"Tab": 9, "Enter": 13, " ": 32, "Escape": 27}
_CENTRE: Final = """(selector) => {
  const element = document.querySelector(selector);
  element.scrollIntoView({ behavior: "instant", block: "center" });
  const box = element.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}"""


def find_chromium() -> str | None:
    """The path of Chromium, or None where there is none."""
    return next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


class BrowserError(Exception):
    """What Chromium refused, or an exception in the page."""


class Chromium:
    """One running browser."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # Above the two numbers that Chromium wants, so that taking one does not close the other.
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (to_browser, from_browser)]
        quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        actions = [(os.POSIX_SPAWN_DUP2, theirs[0], 3), (os.POSIX_SPAWN_DUP2, theirs[1], 4), quiet]
        root = ["--no-sandbox"] if os.getuid() == 0 else []
        command = [program, *_FLAGS, *root, f"--user-data-dir={profile}", "about:blank"]
        self.pid = os.posix_spawn(program, command, os.environ, file_actions=actions, setpgroup=0)
        for end in (to_browser, from_browser, *theirs):
            os.close(end)
        self._buffer = b""
        self._number = 0
        self.pages: dict[str, Page] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        end = time.monotonic() + 5
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.killpg(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                break
            time.sleep(0.02)
        os.close(self._read)

    @contextmanager
    def page(self, url: str = "about:blank", *, width: int = 1280, height: int = 900) -> Iterator["Page"]:
        """A page in a profile of its own, which remembers nothing of others."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session)
        page.resize(width, height)
        page.open(url)
        yield page
        del self.pages[session]
        self.call("Target.disposeBrowserContext", browserContextId=context)

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """Call a method and wait for its result; events that come meanwhile go to their pages."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._send(message)
        end = time.monotonic() + PATIENCE
        while True:
            answer = self.receive(end)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def receive(self, end: float) -> dict[str, Any]:
        """The next message; an event is noted by its page as well."""
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise BrowserError("the browser did not answer in time")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise BrowserError("the browser has ended")
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        page = self.pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.events.append((message["method"], message["params"]))
        return message

    def _send(self, message: dict[str, object]) -> None:
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]


class Page:
    """One page, and what its user can do: type, press keys, drop files, look."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session
        self.events: list[tuple[str, dict[str, Any]]] = []
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a DevTools method on this page."""
        return self._browser.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href", lambda href: href == url)

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - whatever JSON the page returns
        """The value of an expression in the page, once it is settled if it is a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def ask(self, function: str, *arguments: object) -> Any:  # noqa: ANN401 - as evaluate
        """The value of a function of the page, called with these arguments."""
        return self.evaluate(f"({function})(...{json.dumps(arguments)})")

    def until(self, expression: str, accept: Callable[[Any], object] = bool) -> Any:  # noqa: ANN401 - as evaluate
        """Wait until the expression has a value that is accepted, and return it."""
        end = time.monotonic() + PATIENCE
        while True:
            value = self.evaluate(expression)
            if accept(value):
                return value
            if time.monotonic() > end:
                raise BrowserError(f"{expression} stayed {value!r}")
            time.sleep(0.02)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key: Tab, Enter, Escape, or a character."""
        code = _KEYS.get(key, ord(key[0].upper()))
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text: str) -> None:
        """Enter text where the focus is."""
        self.call("Input.insertText", text=text)

    def drop(self, selector: str, paths: Sequence[Path]) -> None:
        """Drag files or folders from outside over an element, and let go."""
        box = self.ask(_CENTRE, selector)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for step in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=step, x=box[0], y=box[1], data=data)

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file or folder, as from the dialog that a file field opens."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def prefer(self, **features: str) -> None:
        """What the user prefers, as media features: ``prefers_color_scheme="dark"``."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=named)

    def resize(self, width: int, height: int, *, scale: float = 1) -> None:
        """Give the window another size, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def screenshot(self, *, whole: bool = False) -> bytes:
        """A PNG of what is to be seen, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def accessibility(self) -> list[dict[str, Any]]:
        """What a screen reader is told: role and name of each node that it sees."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [node for node in nodes if not node["ignored"]]
