"""Units of work are done the same wherever they are done, in order, and also when workers die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lumi_pipeline.compute import Compute, Dask, Inline, Processes, open_compute, parse_compute
from lumi_pipeline.errors import ComputeError, ConfigError, EventRejected
from tests.computing import Unit, die, die_once, refuse_third, square
from tests.daskcluster import REPOSITORY

CALLER = """
import sys
from pathlib import Path
from lumi_pipeline.compute import Processes
from tests.computing import Unit, linger
place = Path(sys.argv[1])
if __name__ == "__main__":
    list(Processes(2).map(linger, [Unit(number, place) for number in range(2)]))
"""


@pytest.fixture(params=["inline", "processes", "dask"])
def compute(request: pytest.FixtureRequest) -> Compute:
    if request.param == "dask":
        return open_compute(f"dask:{request.getfixturevalue('scheduler')}")
    return open_compute({"inline": "inline", "processes": "processes:2"}[request.param])


def units(place: Path, count: int = 12) -> list[Unit]:
    return [Unit(number, place) for number in range(count)]


def test_results_come_in_the_order_of_the_units(compute: Compute, tmp_path: Path) -> None:
    results = list(compute.map(square, units(tmp_path)))
    assert [result for result, _ in results] == [number**2 for number in range(12)]
    here = {process for _, process in results} == {os.getpid()}
    assert here == isinstance(compute, Inline)
    assert list(compute.map(square, [])) == []


def test_units_are_taken_as_they_are_needed(compute: Compute, tmp_path: Path) -> None:
    taken = []

    def endless() -> Iterator[Unit]:
        while True:
            taken.append(len(taken))
            yield Unit(taken[-1], tmp_path)

    results = compute.map(square, endless())
    assert [next(results)[0] for _ in range(3)] == [0, 1, 4]
    assert len(taken) <= 3 + 4
    results.close()  # type: ignore[attr-defined]


def test_what_a_unit_raises_is_raised_as_it_was(compute: Compute, tmp_path: Path) -> None:
    results = compute.map(refuse_third, units(tmp_path))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(EventRejected, match="three is refused") as caught:
        next(results)
    assert caught.value.column == "ip"


def test_a_killed_worker_loses_nothing(compute: Compute, tmp_path: Path) -> None:
    if isinstance(compute, Inline):
        pytest.skip("there is no worker")
    assert list(compute.map(die_once, units(tmp_path))) == list(range(12))
    assert (tmp_path / "died").exists()


@pytest.mark.slow
def test_a_killed_caller_leaves_no_worker(tmp_path: Path) -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path[1:]])},
    )
    try:
        wait_until(lambda: len(list(tmp_path.glob("worker-*"))) == 2)
    finally:
        caller.kill()
        caller.wait()
    workers = [int(mark.name.removeprefix("worker-")) for mark in tmp_path.glob("worker-*")]
    try:
        wait_until(lambda: not any(is_running(worker) for worker in workers))
    finally:
        for worker in filter(is_running, workers):
            os.kill(worker, signal.SIGKILL)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_a_unit_that_kills_every_worker_ends_with_an_error(compute: Compute, tmp_path: Path) -> None:
    if isinstance(compute, Inline):
        pytest.skip("there is no worker")
    with pytest.raises(ComputeError, match="died"):
        list(compute.map(die, units(tmp_path)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "process:2",
        "processes:0",
        "processes:",
        "processes:1000",
        "dask:",
        "dask:host:1",
        "dask:http://h:1",
        "dask:tcp://u:p@h:1",
        "inline ",
        "dask:tcp://h",
    ],
)
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"compute: .* is no place to compute"):
        parse_compute(text, "compute")


def test_places_are_what_they_say() -> None:
    assert open_compute("inline") == Inline()
    assert open_compute("processes:16") == Processes(16)
    assert open_compute("dask:tls://scheduler.example:8786") == Dask("tls://scheduler.example:8786")


def test_without_a_scheduler_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="distributed is not installed; it is in the extra [dask]")
    monkeypatch.setattr("lumi_pipeline.compute._CONNECTING", "1s")
    with pytest.raises(ComputeError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(Dask("tcp://127.0.0.1:9").map(square, units(tmp_path)))
