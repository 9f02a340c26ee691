"""The process that keeps one server of the tests running for as long as another process lives.

Started as ``python -m tests.supervisor module.function options-as-JSON pid``. It detaches itself, answers on its
output with one JSON object (``settings``, or ``unavailable``, or ``failed``) and closes it.
"""

import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from tests.servers import Unavailable

_PATIENCE = 150
"""Seconds until a server that does not start is given up."""


def main(name: str, options: str, watched: int) -> None:
    """Run the server that ``name`` stands for until the process ``watched`` is gone, or until SIGTERM."""
    if os.fork():
        os._exit(0)
    os.setsid()  # what the terminal sends to the tests is not for the server
    answer = os.fdopen(os.dup(1), "w")  # not inherited by the server, or nobody would ever see its end
    for number, act in ((signal.SIGTERM, _stop), (signal.SIGALRM, _give_up), (signal.SIGHUP, signal.SIG_IGN)):
        signal.signal(number, act)
    module, _, function = name.rpartition(".")
    with _directory() as directory:
        log = os.open(directory / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        place = directory / "server"
        place.mkdir()
        try:
            signal.alarm(_PATIENCE)
            server = getattr(importlib.import_module(module), function)
            with server(place, **json.loads(options)) as settings:
                signal.alarm(0)
                _answer(answer, settings=settings, supervisor=os.getpid(), directory=str(directory))
                _wait_for_the_end_of(watched)
        except Unavailable as unavailable:
            _answer(answer, unavailable=str(unavailable))
        except Exception:  # noqa: BLE001 - whatever it is, the test that asked for the server is told
            logs = [log.read_text(errors="replace")[-5000:] for log in sorted(directory.glob("**/*.log"))]
            _answer(answer, failed="\n".join([traceback.format_exc(), *logs]))


@contextmanager
def _directory() -> Iterator[Path]:
    # Not in pytest's own directory: only its owner may enter that, and some servers refuse to run as root.
    directory = Path(tempfile.mkdtemp(prefix="lumi-server-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        # A server that is being stopped may still remove files of its own.
        while directory.exists():
            shutil.rmtree(directory, ignore_errors=True)


def _answer(answer: TextIO, **values: object) -> None:
    if not answer.closed:
        with answer:
            json.dump(values, answer)


def _wait_for_the_end_of(pid: int) -> None:
    if sys.platform == "linux":
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        select.select([process], [], [])
        return
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.2)


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit


def _give_up(_signal: int, _frame: FrameType | None) -> NoReturn:
    message = f"the server was not ready after {_PATIENCE} seconds"
    raise TimeoutError(message)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
