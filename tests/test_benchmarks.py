"""The benchmarks run, compare only what gives the same, and neither side of a ratio is spared its work."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from benchmarks.chains import Chains, first_links, verify_columns, verify_rows
from benchmarks.cli import bench
from benchmarks.command import CommandError, run_python
from benchmarks.csvrows import portions
from benchmarks.dataset import Dataset
from benchmarks.landing import copy_rows, same_rows
from benchmarks.lookup import find_event
from benchmarks.measuring import DisagreementError, Speedup, Timing, compare
from benchmarks.proofs import choose_events, prove_all, same_event
from benchmarks.report import markdown_lines, table_lines
from benchmarks.row import Memory, Row
from benchmarks.sealing import sort_rows
from benchmarks.suite import NAMES, run_suite
from benchmarks.trees import event_root, pymerkle_root
from lumi_pipeline.events import Event
from lumi_pipeline.evidence.cells import HEADER, LineWriter
from tests.lake import places
from tests.lake.chains import as_table, chain, erased, rehashed
from tests.lake.world import at

COMMANDS = ("verify-all", "prove-cold", "verify-proof-cold", "evidence-write", "evidence-verify")
SERVED = (
    "land-postgresql",
    "record",
    "record-16",
    "record-hot",
    "record-batch",
    "daily",
    "daily-growth",
    "daily-one-tenant",
)
LIKE_OTHERS = ("record-16", "daily-one-tenant")
"""Rows that take long to measure, and do what others do with other figures."""

EVENTS = 400


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def data(home: Path) -> Dataset:
    return Dataset(home, home / "lakes", EVENTS, days=1)


def test_rows_measured_in_process(home: Path, data: Dataset) -> None:
    assert data.directory.is_dir()  # made here, found there
    names = [name for name in NAMES if name not in COMMANDS + SERVED]
    asked: list[str] = []
    rows = list(run_suite(names, home, EVENTS, 1, asked.append))
    assert [row.name for row in rows] == asked == names
    assert [row.name for row in rows if row.speedup is None] == ["verify-proof"]
    assert not list(home.glob("run-*")), "the lakes of a run stay behind"


@pytest.mark.slow
def test_rows_measured_in_processes(home: Path) -> None:
    rows = list(run_suite(COMMANDS, home, EVENTS, 1, lambda _: None))
    assert tuple(row.name for row in rows) == COMMANDS
    for row in rows:
        assert row.memory is not None
        assert 20 << 20 < row.memory.mine < 2 << 30


@pytest.mark.slow
def test_rows_measured_on_a_server(home: Path) -> None:
    told: list[str] = []
    names = SERVED if places.thorough else tuple(name for name in SERVED if name not in LIKE_OTHERS)
    rows = list(run_suite(names, home, EVENTS, 1, told.append))
    if missing := [line for line in told if "is left out" in line]:
        pytest.skip(missing[0])
    assert tuple(row.name for row in rows) == names
    assert all(row.speedup is not None for row in rows)


def test_rows_without_a_server_are_left_out_with_the_reason(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRESQL_BIN", str(home / "nowhere"))
    told: list[str] = []
    assert [row.name for row in run_suite(["record", "tree"], home, EVENTS, 1, told.append)] == ["tree"]
    (reason,) = [line for line in told if "left out" in line]
    assert reason.startswith("record is left out: PostgreSQL's server is not installed")


def test_the_command_prints_a_table_and_keeps_every_figure(tmp_path: Path) -> None:
    file = tmp_path / "figures" / "bench.json"
    options = ["--quick", "--events", "50", "--json", str(file), "--data", str(tmp_path)]
    done = CliRunner().invoke(bench, [*options, "--only", "tree", "--only", "chain"])
    assert done.exit_code == 0, done.output
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert (figures["format"], figures["events"]) == ("lumi/bench/v1", 50)
    assert {"cpu", "cores", "load", "memory_bytes", "python", "libraries"} <= figures["machine"].keys()
    assert figures["machine"]["libraries"]["pyarrow"] == pa.__version__
    assert [row["name"] for row in figures["rows"]] == ["chain", "tree"]
    for row in figures["rows"]:
        assert len(row["seconds"]) == len(row["against_seconds"]) == figures["runs"] > 1
    assert "50 events" in done.stdout
    assert str(figures["machine"]["cpu"]) in done.stdout


def test_ways_that_differ_are_not_compared() -> None:
    with pytest.raises(DisagreementError):
        compare(lambda: lambda: 1, lambda: lambda: 2, lambda ours, theirs: ours == theirs, 1)


def test_ways_take_turns_and_only_their_runs_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    calls: list[str] = []

    def way(name: str, seconds: float) -> Callable[[], Callable[[], None]]:
        def spend(spent: float, call: str) -> None:
            nonlocal now
            now += spent
            calls.append(call)

        def prepare() -> Callable[[], None]:
            spend(100, f"prepare {name}")
            return lambda: spend(seconds, name)

        return prepare

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    compared = compare(way("mine", 2), way("plain", 5), lambda *_: True, 3)
    assert [call for call in calls if " " not in call] == ["mine", "plain", "plain", "mine", "mine", "plain"]
    assert compared.mine == Timing((2, 2, 2))
    assert compared.plain == Timing((5, 5, 5))


def test_a_ratio_is_taken_within_each_pair() -> None:
    speedup = Speedup.of(Timing((1.0, 2.0, 4.0)), Timing((3.0, 8.0, 20.0)))
    assert (speedup.median, speedup.least, speedup.most) == (4.0, 3.0, 5.0)


def history() -> list[Event]:
    times = [at(0, f"0{hour}:00:00") for hour in range(8)]
    return [*chain("acme", *times), *chain("brew", *times)]


def _tampered() -> Iterator[tuple[str, list[Event]]]:
    events = history()
    yield "payload-hash", [replace(event, ip="203.0.113.99") if i == 3 else event for i, event in enumerate(events)]
    yield "payload-hash", [replace(event, erased_at=at(1)) if i == 3 else event for i, event in enumerate(events)]
    yield (
        "integrity-hash",
        [replace(event, action="TICKET_CLOSED") if i == 9 else event for i, event in enumerate(events)],
    )
    yield "link", [rehashed(event, action="TICKET_CLOSED") if i == 9 else event for i, event in enumerate(events)]
    yield "missing", [event for i, event in enumerate(events) if i != 4]
    early = rehashed(events[5], recorded_at=events[5].recorded_at - timedelta(hours=3))
    yield "time", [*events[:5], early, *events[6:]]


@pytest.mark.parametrize(("kind", "events"), list(_tampered()))
def test_both_verifications_find_the_same_breaks(kind: str, events: list[Event]) -> None:
    starts = first_links([as_table(history())])
    tables = [as_table(events[:6]), as_table(events[6:])]
    found = verify_rows(tables, starts)
    assert found == verify_columns(tables, starts)
    assert kind in {name for _, _, name in found.breaks}


def test_both_verifications_accept_intact_and_erased_rows() -> None:
    events = history()
    tables = [as_table([erased(events[0], at(1)), *events[1:]])]
    starts = first_links(tables)
    ends = {"acme": (8, events[7].integrity_hash), "brew": (8, events[15].integrity_hash)}
    assert verify_rows(tables, starts) == verify_columns(tables, starts) == Chains(set(), ends)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 100])
def test_both_trees_have_the_same_root(size: int) -> None:
    hashes = [sha256(b"%d" % number).digest() for number in range(size)]
    assert pymerkle_root(hashes) == event_root(np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32))


def test_files_with_other_rows_are_told_apart(data: Dataset, tmp_path: Path) -> None:
    copied, ordered = tmp_path / "copied.parquet", tmp_path / "sorted.parquet"
    copy_rows(data.outbox, copied)
    sort_rows(data.landed_files(), ordered)
    assert same_rows(data.landed_files(), [copied])
    assert same_rows([ordered], [copied])
    assert not same_rows([ordered], [copied, copied])


def test_both_ways_of_writing_csv_give_the_same_bytes(data: Dataset) -> None:
    tables = data.tables()
    rows = iter([row for table in tables for row in table.to_pylist()])
    with LineWriter() as writer:
        expected = b"".join([HEADER, *(lines for table in tables for lines in writer.lines(table))])
    assert b"".join(portion for portion, _ in portions(rows)) == expected


def test_a_proof_and_another_event_are_told_apart(data: Dataset) -> None:
    first, second = choose_events(data, 2)
    (proof,) = prove_all(data, [first])
    assert same_event(proof, find_event(data.published, first))
    assert not same_event(proof, find_event(data.published, second))


def test_a_command_is_not_charged_for_its_parents_memory() -> None:
    held = bytearray(300 << 20)
    done = run_python(["-c", "print('a line without an end', end='')"])
    assert done.output == "a line without an end"
    assert 0 < done.peak_bytes < 100 << 20 < len(held)
    assert done.seconds > 0


def test_a_command_that_fails_is_no_figure() -> None:
    with pytest.raises(CommandError, match=r"ended with 3:\n.*half a result"):
        run_python(["-c", "import sys; print('half a result'); sys.exit(3)"])


def test_the_table_says_faster_and_slower_in_words() -> None:
    row = Row(
        name="chain",
        what="verify",
        against="a loop",
        amount=1000,
        unit="events",
        mine=Timing((0.5, 0.5)),
        plain=Timing((6.0, 6.0)),
        memory=Memory(3 << 30, 5 << 20),
    )
    alone = Row(name="alone", what="ours", against=None, amount=1, unit="proofs", mine=Timing((2.0,)), plain=None)
    header, faster, slower, lonely, *about = table_lines([row, replace(row, mine=Timing((9.0, 9.0))), alone])
    assert header.split() == ["time", "rate", "instead", "ratio", "(from", "–", "to)", "peak", "instead"]
    for words in ("500 ms", "2,000 events/s", "6.00 s", "12× as fast", "(12 – 12)", "3.0 GiB", "5 MiB"):
        assert words in faster
    assert "1.50× the time" in slower
    assert lonely.split() == ["alone", "2.00", "s", "0", "proofs/s", "–", "–"]
    assert "instead: a loop" in "\n".join(about)
    title, ruler, first, *_, last = markdown_lines([row, alone])
    assert title.count("|") == ruler.count("|") == first.count("|")
    assert "| 12× as fast | (12 – 12) |" in first
    assert last == "- `alone`: ours; instead: there is nothing comparable"


def test_an_unknown_row_is_refused() -> None:
    done = CliRunner().invoke(bench, ["--only", "everything"])
    assert done.exit_code == 2
    assert "verify-all" in done.output


def test_the_module_is_the_command() -> None:
    assert "--quick" in run_python(["-m", "benchmarks", "--help"]).output
