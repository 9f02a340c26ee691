"""What a terminal gets that a pipe does not: colours and progress bars."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lumi_pipeline.cli.output import count, rate, safe, size
from lumi_pipeline.cli.progress import PATIENCE, progress
from tests.cli.system import System

REPOSITORY = Path(__file__).resolve().parents[2]


def on_a_terminal(command: list[str], directory: Path, **environment: str) -> str:
    """Run a command with a terminal for its output and return everything that it showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            ready, _, _ = select.select([ours], [], [], 60)
            assert ready, "the command hangs"
            try:
                data = os.read(ours, 4096)
            except OSError:  # Linux: the other side was closed
                break
            if not data:
                break
            shown += data
        process.wait(timeout=20)
    os.close(ours)
    return shown.decode()


@pytest.mark.parametrize("arguments", [["verify", "lake"], ["verify", "missing"], ["land", "--config", "missing"]])
def test_colours_on_a_terminal_unless_unwanted(published: System, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "lumi_pipeline", *arguments]
    assert "\x1b[" in on_a_terminal(command, published.directory)
    assert "\x1b[" not in on_a_terminal(command, published.directory, NO_COLOR="1")


def test_what_is_in_a_csv_cannot_command_a_terminal(published: System) -> None:
    lumi = [sys.executable, "-m", "lumi_pipeline"]
    subprocess.run([*lumi, "analyst", "build"], cwd=published.directory, check=True, capture_output=True)
    query = [
        *lumi,
        "sql",
        "SELECT DISTINCT actor_name AS n FROM activity WHERE length(actor_name) > 3",
        "--format",
        "csv",
    ]
    assert on_a_terminal(query, published.directory).split() == ["n", "Ana\\x1b[31m"]
    piped = subprocess.run(query, cwd=published.directory, check=True, capture_output=True, text=True)
    assert piped.stdout.split() == ["n", "Ana\x1b[31m"]


SLOW = f"""
import time
from lumi_pipeline.cli.output import say
from lumi_pipeline.cli.progress import progress
with progress("Counting", "sheep", 40) as meter:
    meter.advance(10)
    time.sleep({PATIENCE} + 0.5)
    say("half way")
    meter.reach(40)
say("done")
"""


@pytest.mark.slow
def test_a_bar_for_what_takes_longer_than_a_moment(tmp_path: Path) -> None:
    shown = on_a_terminal([sys.executable, "-c", SLOW], tmp_path)
    assert "Counting" in shown
    assert "10/40" in shown
    assert "half way" in shown
    assert shown.rstrip().endswith("done")


def test_no_bar_for_what_is_quick_nor_in_pipes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quick = SLOW.replace(f"time.sleep({PATIENCE} + 0.5)", "")
    assert on_a_terminal([sys.executable, "-c", quick], tmp_path).split() == ["half", "way", "done"]
    with progress("Counting", "sheep", 40) as meter:
        meter.advance(10)
        time.sleep(0.01)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zürich – 東京 …", "Zürich – 東京 …"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("over\rwritten", "over\\rwritten"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("half \ud800", "half \\ud800"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_foreign_text_is_shown_harmlessly(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_numbers_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1536, 1 << 20, 5 << 40, 1 << 60)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "1.0 MiB",
        "5.0 TiB",
        "1048576.0 TiB",
    ]
    assert (count(1, "entry", "entries"), count(2000, "entry", "entries")) == ("1 entry", "2,000 entries")
    assert (rate(0, 0.0), rate(1000, 0.5)) == ("0.0 s", "0.5 s, 2,000/s")
