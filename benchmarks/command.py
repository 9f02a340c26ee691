"""Commands in processes of their own, timed and measured by :mod:`benchmarks.launcher`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Comparison, Timing, compare

_LAUNCHER = Path(__file__).with_name("launcher.py")
_REPOSITORY = Path(__file__).resolve().parent.parent


class CommandError(Exception):
    """A command that was to be measured failed."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command printed, how long it ran (seconds) and its peak resident memory (bytes)."""

    output: str
    seconds: float
    peak_bytes: int


def run_python(arguments: Sequence[str]) -> Finished:
    """Run this Python with ``arguments`` in the repository and no setting of LUMI_ variables; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(_LAUNCHER), sys.executable, *arguments],
        cwd=_REPOSITORY,
        env={name: value for name, value in os.environ.items() if not name.startswith("LUMI_")},
        capture_output=True,
        text=True,
        check=True,
    )
    output, _, measured = done.stdout.strip().rpartition("\n")
    usage = json.loads(measured)
    if usage["code"] != 0:
        raise CommandError(f"python {' '.join(arguments)} ended with {usage['code']}:\n{output}\n{done.stderr}")
    return Finished(output.rstrip(), usage["seconds"], usage["peak_bytes"])


def compare_commands(
    mine: Callable[[], Finished], plain: Callable[[], Finished], same: Callable[[Finished, Finished], bool], runs: int
) -> Comparison[Finished, Finished]:
    """Compare two commands by the time each took, without what it takes to start the launcher."""
    compared = compare(lambda: mine, lambda: plain, same, runs)
    return Comparison(
        Timing(tuple(ours.seconds for ours, _ in compared.results)),
        Timing(tuple(theirs.seconds for _, theirs in compared.results)),
        compared.results,
    )
