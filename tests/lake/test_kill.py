"""Real processes, killed at moments that nobody chose, or started all at once: nothing is lost, and nothing differs.

A process is killed once it has written a certain number of further objects, so that kills are spread over its work
however fast the machine is.
"""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pyarrow.parquet as pq
import pytest

from tests.databases import url_of
from tests.lake.places import NewPlace
from tests.lake.world import World, at, day
from transparency.verify import verify_log

pytestmark = pytest.mark.slow

LAST = 11
TENANTS = ("acme", "globex", "initech")
PATIENCE = 60.0

RECORDING = """
from lumi_pipeline.config import load_config
from lumi_pipeline.outbox.opening import open_outbox
from lumi_pipeline.recorder import AuditRecorder

connection = open_outbox(load_config().outbox).connect()
while True:
    event = AuditRecorder(connection).record(
        tenant_id="acme", action="LOGIN", entity_type="user", entity_id="1", actor_type="user", actor_id="1")
    connection.commit()
    print(event.event_id, flush=True)
"""
"""Records events for ever, and names each once it is committed."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    """Twelve days of events, four of which in a row, and the eighth, are idle; nothing is landed."""
    random = Random(0)
    world = World.create(tmp_path_factory.mktemp("recorded") / "world", at(LAST + 1, "00:20:00"), new_place)
    for number in range(LAST + 1):
        if number not in {3, 4, 5, 6, 8}:
            times = sorted(at(number) + timedelta(seconds=random.uniform(-43200, 43199)) for _ in range(30))
            world.record_all((random.choice(TENANTS), moment) for moment in times)
    return world


@pytest.fixture(scope="module")
def undisturbed(recorded: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = recorded.copy(tmp_path_factory.mktemp("undisturbed") / "world")
    finish(start(world))
    return world


@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_again_and_again_is_completed_by_the_next(
    recorded: World, undisturbed: World, seed: int, tmp_path: Path
) -> None:
    random = Random(seed)
    world = recorded.copy(tmp_path / "world")
    kills = 0
    for _ in range(6):
        process = start(world)
        kills += killed_after(process, world, random.randrange(1, 20))
        if list(world.store.list("log/checkpoint")):
            verify_log(lambda path: world.store.get(f"log/{path}"), world.policy)
    finish(start(world))
    assert kills > 2
    assert_complete(world, undisturbed)


def test_runs_started_at_once_agree(recorded: World, undisturbed: World, tmp_path: Path) -> None:
    """Who is overtaken says so and what to do."""
    world = recorded.copy(tmp_path / "world")
    processes = [start(world) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0 or "run again" in errors, errors
    finish(start(world))
    assert_complete(world, undisturbed)


def test_no_committed_event_is_lost_when_recorder_and_landing_are_killed(tmp_path: Path, new_place: NewPlace) -> None:
    random = Random(7)
    world = World.create(tmp_path / "world", at(0), new_place)
    committed: set[str] = set()
    for _ in range(3):
        recorder = subprocess.Popen(
            [sys.executable, "-c", RECORDING],
            stdout=subprocess.PIPE,
            env={**os.environ, "LUMI_OUTBOX": url_of(world.outbox)},
            text=True,
        )
        killed_after(start(world, "land"), world, random.randrange(1, 4))
        wait_for_rows(world, len(committed) + 20)
        recorder.send_signal(signal.SIGKILL)
        committed |= set(recorder.communicate(timeout=PATIENCE)[0].splitlines())
    finish(start(world, "land"))
    finish(start(world, "verify", "--all"), code=3)  # as nothing was published
    rows = world.select("SELECT event_id FROM audit_outbox")
    assert committed <= {str(event_id) for (event_id,) in rows}
    assert len(committed) > 50
    landed = [event for key in world.store.list("landed/") if "/part-" in key for event in event_ids(world, key)]
    assert sorted(landed) == sorted(str(event_id) for (event_id,) in rows)


def start(world: World, *command: str) -> subprocess.Popen[str]:
    """Start ``lumi`` on a world as an operator would, with the machine's clock."""
    config = world.config
    environment = {
        **os.environ,
        "LUMI_ROOT": config.root,
        "LUMI_OUTBOX": config.outbox.url,
        "LUMI_ORIGIN": config.origin,
        "LUMI_LOG_KEY_FILE": str(config.log_key_file),
        "LUMI_EVIDENCE_KEY_FILE": str(config.evidence_key_file),
        "LUMI_ANALYST_DB": str(config.analyst_db),
    }
    arguments = command or ("run", "--through", str(day(LAST)))
    return subprocess.Popen(
        [sys.executable, "-m", "lumi_pipeline", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> None:
    """Wait for a process that must end with this code."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, output + errors


def killed_after(process: subprocess.Popen[str], world: World, objects: int) -> bool:
    """Kill a process when it has written so many objects; return whether it was still there to be killed."""
    goal = written(world) + objects
    while process.poll() is None and written(world) < goal:
        sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    return process.returncode == -signal.SIGKILL


def written(world: World) -> int:
    return sum(1 for _ in world.store.list(""))


def wait_for_rows(world: World, count: int) -> None:
    end = monotonic() + PATIENCE
    while world.select("SELECT count(*) FROM audit_outbox")[0] < (count,):
        assert monotonic() < end
        sleep(0.01)


def assert_complete(world: World, undisturbed: World) -> None:
    """Everything verifies; all sealed bytes are the same but for the time of sealing; and every event is in there."""
    finish(start(world, "verify", "--all"))
    assert sealed(world) == sealed(undisturbed)
    rows = world.select("SELECT event_id FROM audit_outbox")
    found = [event for key in world.store.list("events/") for event in event_ids(world, key)]
    assert sorted(found) == sorted(str(event_id) for (event_id,) in rows)


def sealed(world: World) -> dict[str, object]:
    contents: dict[str, object] = {**world.contents("events/"), **world.contents("seals/")}
    for key, data in contents.items():
        if key.endswith("day.txt"):
            assert isinstance(data, bytes)
            contents[key] = [line for line in data.splitlines() if not line.startswith(b"sealed ")]
    return contents


def event_ids(world: World, key: str) -> list[str]:
    return [str(value) for value in pq.read_table(world.parquet(key), columns=["event_id"])["event_id"].to_pylist()]
