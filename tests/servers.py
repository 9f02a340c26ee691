"""Servers that the tests start themselves: nothing is assumed to run already, and nothing stays behind.

A server is a context manager that gets an empty directory, starts the server there, yields its settings (texts) and
stops it; :func:`tests.postgresql.cluster` is one. It is entered in a process of its own, the supervisor
(:mod:`tests.supervisor`), which leaves it, and removes the directory, as soon as the process it watches is gone,
however that ended. So an interrupted or killed run leaves nothing either.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

Settings = dict[str, str]
Server = Callable[..., AbstractContextManager[Settings]]

_REPOSITORY: Final = Path(__file__).parents[1]
_PATIENCE: Final = 180
"""Seconds that a server may take to start (the supervisor itself gives up before), or to stop."""

_CONTROLLER: Final = pytest.StashKey[int]()


class Unavailable(Exception):
    """The server can't run on this machine; says what to install. Raised by a server, it skips the test."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Starts servers for tests: :meth:`shared` one of a kind for the run, :meth:`private` for one test alone."""

    controller: int
    directory: Path

    def shared(self, server: Server) -> Settings:
        """The settings of the run's one server of this kind; whoever asks first starts it, the others wait.

        It is stopped when the run is over. What tests do in it they keep apart themselves: by databases, by buckets.
        """
        name = _name(server)
        answer = self.directory / f"{name}.json"
        with (self.directory / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not answer.exists():
                # Kept in the failing cases too: each test would only wait for the same failure again.
                answer.write_text(_supervised(server, self.controller, {}))
        return _settings(json.loads(answer.read_text()))

    @contextmanager
    def private(self, server: Server, **options: str | int | bool) -> Iterator[Settings]:
        """A server for one test, started with ``options`` and stopped with the block: it may be killed meanwhile."""
        answer = json.loads(_supervised(server, os.getpid(), options))
        settings = _settings(answer)
        try:
            yield settings
        finally:
            os.kill(answer["supervisor"], signal.SIGTERM)
            end = time.monotonic() + _PATIENCE
            while Path(answer["directory"]).exists():
                assert time.monotonic() < end, f"{_name(server)} does not stop; see {answer['directory']}"
                time.sleep(0.02)


def pytest_configure(config: pytest.Config) -> None:
    """Note whose end is the end of the run: this process, or the one that started this worker."""
    config.stash[_CONTROLLER] = getattr(config, "workerinput", {}).get("controller", os.getpid())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - pytest-xdist has no types
    """Tell each worker of pytest-xdist who its controller is."""
    node.workerinput["controller"] = os.getpid()


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Servers:
    """Starts servers for tests."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if hasattr(pytestconfig, "workerinput") else base) / "servers"
    directory.mkdir(exist_ok=True)
    return Servers(pytestconfig.stash[_CONTROLLER], directory)


def _name(server: Server) -> str:
    return f"{server.__module__}.{server.__qualname__}"


def _supervised(server: Server, watched: int, options: dict[str, str | int | bool]) -> str:
    command = [sys.executable, "-m", "tests.supervisor", _name(server), json.dumps(options), str(watched)]
    # Returns when the supervisor closes its output: once the server is ready, or can't be.
    done = subprocess.run(
        command, cwd=_REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=_PATIENCE, check=True
    )
    return done.stdout.decode() or json.dumps({"failed": f"{_name(server)} has a supervisor that ended without a word"})


def _settings(answer: dict[str, Settings | str]) -> Settings:
    match answer:
        case {"settings": dict(settings)}:
            return settings
        case {"unavailable": str(message)}:
            pytest.skip(message)
        case _:
            pytest.fail(f"The server did not start:\n{answer.get('failed')}", pytrace=False)
