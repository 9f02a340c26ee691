"""One browser for a run's tests of pages, and one page of the verifier in it for everything that needs no clean one."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lumi_pipeline.pages import verifier_page
from tests.pages.chromium import Chromium, Page, find_chromium

_HELPERS = """
globalThis.bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
// For each input: true if it is taken, false if it is refused as our own errors refuse; any other error is told.
globalThis.accepts = (check, inputs) => inputs.map((input) => {
  try {
    return check(input) !== false;
  } catch (error) {
    return error instanceof FormatError || error instanceof VerificationError ? false : String(error.stack);
  }
});
globalThis.chosen = (data) => new ChosenFile(new File([bytesOf(data)], "file"));
globalThis.judgeFiles = (name, files, archive, keys) => {
  const file = (path, data) => ({ path, file: chosen(data) });
  const folder = () => ({ name, files: Object.entries(files).map(([path, data]) => file(path, data)) });
  return judge(archive === null ? folder() : { name, ...file(name, archive) }, keys.join("\\n"));
};
void 0;
"""


class Verifier:
    """The verifier page's own functions, called with Python's values."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.evaluate(_HELPERS)

    def ask(self, function: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever JSON it returns
        """The value of a function of the page; bytes travel as base64, for ``bytesOf`` there."""
        return self.page.ask(function, *map(_plain, arguments))

    def accepts(self, check: str, inputs: Sequence[object]) -> list[bool]:
        """Which of the inputs a function of the page takes; an error that is not ours fails the test."""
        answers = self.ask(f"(inputs) => accepts({check}, inputs)", inputs)
        strange = [(given, answer) for given, answer in zip(inputs, answers, strict=True) if type(answer) is not bool]
        assert not strange, strange[0]
        return list(answers)

    def judge(
        self,
        files: Mapping[str, bytes] | None,
        archive: bytes | None = None,
        keys: Sequence[str] = (),
        name: str = "bundle",
    ) -> dict[str, Any]:
        """The verdict about a folder's files, or about one file."""
        verdict: dict[str, Any] = self.ask("judgeFiles", name, files, archive, keys)
        return verdict


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with Chromium(program, tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="session")
def verifier_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page as a reader has it: a file on disk."""
    path: Path = tmp_path_factory.mktemp("page") / "verify.html"
    path.write_bytes(verifier_page())
    return path.as_uri()


@pytest.fixture(scope="session")
def verifier(browser: Chromium, verifier_url: str) -> Iterator[Verifier]:
    with browser.page(verifier_url) as page:
        yield Verifier(page)


@pytest.fixture
def fresh(browser: Chromium, verifier_url: str) -> Iterator[Page]:
    """The page just opened, with nothing remembered, by somebody who likes no motion."""
    with browser.page(verifier_url) as page:
        page.prefer(prefers_reduced_motion="reduce")
        yield page
