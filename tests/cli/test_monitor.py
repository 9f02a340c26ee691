"""``lumi monitor``: what it says, how it ends, what it keeps; on a disk and over a real socket."""

import fcntl
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lumi_pipeline.following import MonitorState
from lumi_pipeline.serving import LogServer
from tests.cli.system import Lumi, Ran
from tests.daylogs import KEY, NEXT_KEY, WITNESSES, DayLog
from transparency.filestore import FileStore
from transparency.keys import SigningKey
from transparency.monitor import Followed

VKEY = KEY.verifier.vkey
TODAY = datetime.now(UTC).date()
STATE = "state.json"


class Site:
    """A log on a disk whose last record is of yesterday, and how to look at it."""

    def __init__(self, directory: Path, lumi: Lumi, days: int = 5, history: str = "") -> None:
        self.directory = directory
        self.lumi = lumi
        self.log = DayLog(first_day(days), FileStore(directory / "lake"), history=history)
        self.target = str(directory / "lake" / "log")

    def monitor(self, *arguments: object, key: str | None = VKEY) -> Ran:
        trust = () if key is None else ("--key", key)
        return self.lumi("monitor", self.target, "--state", STATE, *trust, *arguments)

    def found(self, *arguments: object, key: str | None = VKEY) -> tuple[int, list[str]]:
        """Its exit code, and the reasons of its verdicts."""
        ran = self.monitor("--json", *arguments, key=key)
        verdicts: Any = ran.json["verdicts"]
        assert ran.code == ran.json["exit_code"]
        return ran.code, [verdict["reason"] for verdict in verdicts]


def first_day(days: int) -> date:
    """The first day of a log that has so many, the last of them yesterday."""
    return TODAY - timedelta(days=days)


@pytest.fixture
def site(tmp_path: Path, lumi: Lumi, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return Site(tmp_path, lumi)


def state() -> Followed | None:
    return MonitorState(Path(STATE).absolute()).followed


def test_it_follows_and_says_nothing_when_nothing_changed(site: Site) -> None:
    site.log.grow(4)
    first = site.monitor("--due", "23:59")
    assert (first.code, first.err) == (0, "")
    assert "5 entries" in first.out
    assert "followed from now on" in first.out
    assert site.monitor("--due", "23:59") == Ran(0, "", "")
    site.log.grow(1)
    ran = site.monitor()
    assert ran.code == 0
    assert f"1 new day, {site.log.last_day}, on top of the 5 seen before" in ran.out
    assert site.monitor() == Ran(0, "", "")


def test_new_records_in_order_need_not_be_told(site: Site) -> None:
    site.log.grow(3)
    assert site.monitor("--quiet", "--due", "23:59").code == 1  # two days are missing
    site.log.grow(2)
    assert site.monitor("--quiet") == Ran(0, "", "")
    kept = state()
    assert kept is not None
    assert kept.head.size == 6


def test_an_overdue_record_is_told_each_time_until_it_is_there(site: Site) -> None:
    site.log.grow(3)
    for _ in range(2):
        ran = site.monitor("--due", "00:00")
        assert ran.code == 1
        assert f"no record of {TODAY - timedelta(2)} to {TODAY - timedelta(1)}; it was due by 00:00 UTC" in ran.out
    site.log.grow(2)
    assert site.found("--due", "00:00") == (0, ["ok"])


def test_the_time_that_records_are_due_may_be_configured(site: Site, lumi: Lumi) -> None:
    Path("lumi.toml").write_text('record_due = "26:00"\n')
    ran = site.monitor()
    assert (ran.code, "is not a time of day" in ran.err) == (2, True)
    assert site.monitor("--due", "2 am").code == 2
    Path("lumi.toml").write_text('record_due = "00:00"\n')
    site.log.grow(3)
    assert "due by 00:00" in site.monitor().out
    assert lumi("--record-due", "00:01", "monitor", site.target, "--key", VKEY).code == 1


def test_declared_breaks_of_a_new_day_are_told_once(site: Site) -> None:
    site.log.grow(4)
    site.monitor()
    site.log.grow(1, {5: {"breaks": 2}})
    assert site.found() == (1, ["ok", "declared-break"])
    assert site.monitor() == Ran(0, "", "")


def test_a_key_that_is_announced_is_told_even_quietly(site: Site) -> None:
    site.log.grow(4, {3: {"next_key": None}})
    site.monitor()
    site.log.grow(1, {5: {"next_key": NEXT_KEY.verifier}})
    ran = site.monitor("--quiet")
    assert ran.code == 0
    assert f"announces the log key {NEXT_KEY.verifier.vkey}" in ran.out


def test_a_reader_of_the_old_key_learns_which_one_took_its_place(tmp_path: Path, site: Site) -> None:
    site.log.grow(4, {4: {"next_key": NEXT_KEY.verifier}})
    site.monitor()
    site.log.keys = [KEY, NEXT_KEY]
    site.log.grow(1)
    assert site.found() == (0, ["ok"])
    lines = (tmp_path / "lake/log/checkpoint").read_text().splitlines(keepends=True)
    (tmp_path / "lake/log/checkpoint").write_text("".join([*lines[:4], lines[5]]))
    ran = site.monitor()
    assert ran.code == 1
    announced = site.log.last_day - timedelta(days=1)
    assert f"signed by {NEXT_KEY.verifier.vkey}, which its record of {announced} announced" in ran.out
    assert site.found(key=NEXT_KEY.verifier.vkey) == (0, ["ok"])


def test_a_quorum_is_asked_for_and_the_log_followed_without_it(site: Site) -> None:
    policy = Path("policy")
    policy.write_text(f"log {VKEY}\nwitness w1 {WITNESSES[0].verifier.vkey}\nquorum w1\n")
    site.log.witnesses = list(WITNESSES)
    site.log.grow(4)
    ran = site.monitor("--policy", policy, "--due", "23:59", key=None)
    assert ran.code == 0
    assert "Cosigned by witness.example.org/w1 (" in ran.out
    site.log.witnesses = []
    site.log.grow(1)
    assert site.found("--policy", policy, key=None) == (1, ["ok", "witness-quorum"])
    kept = state()
    assert kept is not None
    assert kept.head.size == 6


def test_without_a_key_the_best_is_unconfirmed_and_the_first_key_is_held_on_to(site: Site, tmp_path: Path) -> None:
    site.log.grow(5)
    assert site.found(key=None) == (3, ["key-unconfirmed"])
    assert site.found(key=None) == (3, ["key-unconfirmed"])
    other = Site(tmp_path / "other", site.lumi)
    thief = SigningKey(KEY.name, b"\x09" * 32)
    other.log.keys = [thief]
    other.log.grow(5)
    assert other.found(key=None) == (1, ["checkpoint-signature"])


# --- contradictions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [0, 1])
def test_two_histories_are_an_alarm_and_both_checkpoints_are_kept(site: Site, tmp_path: Path, more: int) -> None:
    site.log.grow(4)
    site.monitor()
    before = state()
    other = Site(tmp_path / "other", site.lumi, history="another")
    other.log.grow(4 + more)
    for _ in range(2):
        ran = other.monitor()
        assert ran.code == 1
        assert "failed (split-view)" in ran.out
        assert "ALARM" in ran.out
        kept = sorted(Path(f"{STATE}.evidence").iterdir())
        assert all(str(file.absolute()) in ran.out for file in kept)
        contents = [file.read_bytes() for file in kept if file.name.startswith("checkpoint-")]
        assert sorted(contents) == sorted([site.log.checkpoint, other.log.checkpoint])
        assert len(kept) == 2 + more
        assert state() == before  # it stays at what was seen first
    assert site.monitor("--due", "23:59") == Ran(0, "", "")


def test_a_shorter_log_is_an_alarm_until_it_is_back(site: Site, tmp_path: Path) -> None:
    site.log.grow(4)
    old = site.log.checkpoint
    site.log.grow(1)
    site.monitor()
    new = site.log.checkpoint
    (tmp_path / "lake/log/checkpoint").write_bytes(old)
    ran = site.monitor()
    assert ran.code == 1
    assert "failed (rollback)" in ran.out
    assert "an older state of the same history" in ran.out
    (tmp_path / "lake/log/checkpoint").write_bytes(new)
    assert site.monitor() == Ran(0, "", "")


def test_what_breaks_a_rule_is_told_and_not_followed(site: Site) -> None:
    site.log.grow(4)
    site.monitor()
    before = state()
    site.log.append([site.log.record(6).encode()])
    assert site.found() == (1, ["day-index"])
    assert state() == before


# --- what keeps it from looking --------------------------------------------------------------------------------------


def test_what_is_no_log_is_told_from_a_log_that_is_gone(site: Site, tmp_path: Path) -> None:
    assert site.found() == (2, ["unrecognised"])
    site.log.grow(5)
    site.monitor()
    (tmp_path / "lake/log/checkpoint").rename(tmp_path / "away")
    assert site.found() == (3, ["unreachable"])
    (tmp_path / "lake/log/checkpoint").write_text("<html>")
    assert site.found() == (1, ["checkpoint-format"])
    Path(STATE).unlink()
    assert site.found() == (2, ["unrecognised"])
    site.target = "http://127.0.0.1:1/log"
    assert site.found() == (3, ["unreachable"])


@pytest.mark.parametrize("target", ["http://[::1/log", "ftp://a.example/log", "s3://", "s3://B/log"])
def test_what_can_be_no_address_is_a_matter_of_usage(site: Site, target: str) -> None:
    site.log.grow(5)
    log, site.target = site.target, target
    ran = site.monitor()
    assert (ran.code, "is not the address of a log: " in ran.err) == (2, True)
    assert site.lumi("verify", log, "--previous", target, "--key", VKEY).code == 2
    assert site.lumi("verify", target, "--key", VKEY).code == 2


def test_a_state_that_is_none_is_refused(site: Site) -> None:
    site.log.grow(5)
    site.monitor()
    text = Path(STATE).read_text()
    for damaged in ("", "{}\n", text[:-1], text.replace("audit", "adult"), "x" * 9):
        Path(STATE).write_text(damaged)
        ran = site.monitor()
        assert (ran.code, "is not the state of a monitor" in ran.err) == (2, True)
    Path(STATE).unlink()
    Path(STATE).mkdir()
    ran = site.monitor()
    assert (ran.code, ran.out, "is a directory" in ran.err) == (2, "", True)
    assert site.lumi("monitor", site.target, "--state", "/proc/none/x.json").code == 3


def test_two_runs_do_not_share_a_state(site: Site) -> None:
    site.log.grow(5)
    with Path(f"{STATE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = site.monitor()
        assert (ran.code, "another run has" in ran.err) == (3, True)
    assert site.monitor().code == 0


def test_what_was_found_is_told_before_the_state_is_kept_and_again_if_that_fails(site: Site) -> None:
    site.log.grow(4)
    site.monitor()
    site.log.grow(1, {5: {"breaks": 1}})
    Path(".tmp").rename("elsewhere")
    Path(".tmp").write_text("nobody writes files here now")
    ran = site.monitor()
    assert (ran.code, "declared-break" in ran.out, "cannot replace it" in ran.err) == (3, True, True)
    Path(".tmp").unlink()
    assert site.found() == (1, ["ok", "declared-break"])
    assert site.monitor() == Ran(0, "", "")


def test_each_log_has_a_state_of_its_own_without_asking_for_one(site: Site, tmp_path: Path) -> None:
    site.log.grow(5)
    for _ in range(2):
        ran = site.lumi("monitor", site.target, "--key", VKEY)
        assert ran.code == 0
    assert ran.out == ""
    [kept] = (tmp_path / "home/lumi/monitor").glob("*.json")
    assert json.loads(kept.read_text())["format"] == "lumi/followed/v2"


# --- over a socket ---------------------------------------------------------------------------------------------------


@pytest.fixture
def served(site: Site) -> Iterator[str]:
    def fetch(path: str) -> bytes:
        return site.log.store.get(f"log/{path}")

    with LogServer("127.0.0.1", 0, fetch, b"") as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def test_a_log_on_the_web_is_followed(site: Site, served: str) -> None:
    site.log.grow(4)
    for target in (served, f"{served}checkpoint"):
        site.target = target
        assert site.found("--due", "23:59") == (0, ["ok"])
    site.log.grow(1)
    assert "1 new day" in site.monitor().out
