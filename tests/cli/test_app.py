"""What holds for every command: help with examples, errors as one message, and how interruptions end."""

import os
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import click
import pytest

from lumi_pipeline.cli.app import app
from lumi_pipeline.cli.command import Command, VerifyingCommand
from lumi_pipeline.cli.ending import execute
from lumi_pipeline.cli.options import Given
from tests.cli.system import Lumi, System

LUMI = [sys.executable, "-m", "lumi_pipeline"]
HEAVY = ("pyarrow", "duckdb", "polars", "numpy", "httpx", "nacl", "rich", "dagster")
REPOSITORY = Path(__file__).resolve().parents[2]


def commands(command: click.Command = app, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """Every command and group, by the words that name it."""
    found = {path: command}
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            found |= commands(child, (*path, name))
    return found


COMMANDS = commands()


def example_lines(command: click.Command) -> list[str]:
    return [line.strip() for line in (command.epilog or "").split("\n")[2:]]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_has_a_working_example(path: tuple[str, ...], lumi: Lumi) -> None:
    for flag in ("-h", "--help"):
        ran = lumi(*path, flag)
        assert ran.code == 0
        assert "Example" in ran.out
    lines = example_lines(COMMANDS[path])
    assert lines
    for line in lines:
        assert line in ran.out
        program, *arguments = shlex.split(line)
        assert program == "lumi"
        parse(arguments)


def parse(arguments: list[str]) -> None:
    """Parse a command line down to its last command, without running anything."""
    command: click.Command = app
    context = app.make_context("lumi", arguments)
    context.obj = Given()
    while isinstance(command, click.Group):
        name, child, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert child is not None
        context = child.make_context(name, rest, parent=context)
        command = child


def test_help_starts_without_the_heavy_libraries() -> None:
    code = f"import sys, lumi_pipeline.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("command", [["run"], ["verify", "--all"], ["keys", "show"]])
def test_configuration_mistakes_are_matters_of_usage(recorded: System, lumi: Lumi, command: list[str]) -> None:
    with (recorded.directory / "lumi.toml").open("a") as file:
        file.write('rooot = "elsewhere"\n')
    ran = lumi(*command)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert "did you mean 'root'?" in ran.err
    assert ran.out == ""


def test_usage_mistakes_name_the_help(lumi: Lumi) -> None:
    ran = lumi("sael")
    assert (ran.code, "'seal'" in ran.err, "Try: lumi -h" in ran.err) == (2, True, True)
    assert lumi("seal", "--dya", "2026-01-01").code == 2
    assert lumi().code == 2


def test_the_nearer_option_wins(recorded: System, lumi: Lumi, monkeypatch: pytest.MonkeyPatch) -> None:
    other = recorded.directory / "other.toml"
    other.write_text('origin = "other.test/log"\nlog_key_file = "k"\nevidence_key_file = "e"\n')
    assert "other.test/log" in lumi("keys", "new", "--config", other).out
    assert "other.test/log" in lumi("--config", other, "keys", "show").out
    assert "log.test/lumi" in lumi("--config", other, "keys", "show", "--config", "lumi.toml").out
    monkeypatch.setenv("LUMI_CONFIG", str(other))
    assert "other.test/log" in lumi("keys", "show").out
    assert "log.test/lumi is needed" in lumi("--origin", "log.test/lumi", "keys", "show").err


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def test_a_reader_that_leaves_is_no_verdict(published: System) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*LUMI, "fsck", "--json"]
    ran = subprocess.run(
        command, cwd=published.directory, env=environment(), stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_interruption_ends_quietly(recorded: System) -> None:
    pipe = recorded.directory / "slow.tlog-proof"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [*LUMI, "verify", pipe],
        cwd=recorded.directory,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell ignores interruptions, and what it starts would too.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads before this
    )
    with pipe.open("wb"):  # returns once the command has opened the pipe for reading
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (130, "interrupted")


@pytest.mark.parametrize(("kind", "code"), [(VerifyingCommand, 3), (Command, 1)])
def test_a_mistake_of_ours_is_no_verdict(
    kind: type[Command], code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def mistake() -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(app.commands, "mistaken", kind("mistaken", callback=mistake))
    assert execute(app, "lumi", ["mistaken"]) == code
    err = capfd.readouterr().err
    assert "ZeroDivisionError" in err
    assert err.splitlines()[-1].startswith("error: this is a mistake in lumi-pipeline itself")
