"""Writing bundles from a real lake: what is in them, what is refused, and that nothing half-made is left behind."""

import hashlib
import io
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from lumi_pipeline.errors import EvidenceError, LumiError
from lumi_pipeline.evidence.bundlefiles import NAMES
from lumi_pipeline.evidence.csvblocks import read_events
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.writer import BundleReport, write_bundle
from lumi_pipeline.verdict import Status, Verdict
from tests.lake.world import EVIDENCE_KEY, LOG_KEY, World, at, day
from transparency.note import parse_note, verify_note

TENANT = "acme"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Five published days: acme comes on day 1, is idle on day 2, and has hostile texts on day 3."""
    made = World.create(tmp_path_factory.mktemp("evidence") / "world", at(5, "08:00:00"))
    made.record("bolt", at(0), at(1), at(3))
    made.record(TENANT, *(at(1, f"09:00:{second:02}") for second in range(20)))
    made.record(TENANT, at(3, "10:00:00"), entity_id='=1+1,"x"\r\n', actor_name="", user_agent=None)
    made.record(TENANT, at(4, "11:00:00"))
    made.pipeline().run()
    return made


def write(world: World, out: Path, first: int = 0, last: int = 4, *, zipped: bool = False) -> BundleReport:
    asked = Asked(TENANT, day(first), day(last))
    return write_bundle(world.pipeline(), asked, out, lambda path: judge_bundle(path, world.policy), zipped=zipped)


def test_a_bundle_of_every_kind_of_day(world: World, tmp_path: Path) -> None:
    report = write(world, tmp_path)
    assert report.path == tmp_path / f"evidence-acme-{day(0)}-{day(4)}"
    assert (report.rows, report.days, report.verdict.reason) == (22, 5, "ok")
    assert {file.name for file in report.path.iterdir()} == NAMES
    verdict = judge_bundle(report.path, world.policy)
    assert (verdict.status, verdict.reason) == (Status.VERIFIED, "ok")
    with (report.path / "events.csv").open("rb") as file:
        [table] = read_events(file, 0)
    assert table.column("seq").to_pylist() == list(range(22))
    assert table.column("entity_id")[20].as_py() == '=1+1,"x"\r\n'
    assert (table.column("actor_name")[20].as_py(), table.column("user_agent")[20].as_py()) == ("", None)


def test_its_sums_are_right_and_signed(world: World, tmp_path: Path) -> None:
    path = write(world, tmp_path).path
    sums = (path / "SHA256SUMS").read_text()
    for line in sums.splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == digest
    note = parse_note((path / "SHA256SUMS.sig").read_bytes())
    assert note.text == sums
    assert verify_note(note, [EVIDENCE_KEY.verifier]) == [EVIDENCE_KEY.verifier]


def test_the_readme_tells_what_was_asked_and_found(world: World, tmp_path: Path) -> None:
    text = (write(world, tmp_path).path / "README.txt").read_text()
    for words in ("acme", f"{day(0)} to {day(4)}", "22", "not a tenant yet", "20 rows", LOG_KEY.verifier.fingerprint):
        assert words in text
    assert "{" not in text


def test_a_zip_holds_the_same_files_and_verifies(world: World, tmp_path: Path) -> None:
    report = write(world, tmp_path, zipped=True)
    assert report.path.suffix == ".zip"
    assert judge_bundle(report.path, world.policy).reason == "ok"
    with zipfile.ZipFile(io.BytesIO(report.path.read_bytes())) as archive:
        assert set(archive.namelist()) == NAMES
    assert [file.name for file in tmp_path.iterdir()] == [report.path.name]


def test_the_script_in_it_agrees(world: World, tmp_path: Path) -> None:
    path = write(world, tmp_path).path
    command = [sys.executable, str(path / "verify.py"), "--key", LOG_KEY.verifier.vkey]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("tenant", "first", "last", "words"),
    [
        ("acme", 3, 1, "before it begins"),
        ("acme", -1, 1, "the log begins with"),
        ("acme", 0, 5, "the last published day"),
        ("acmee", 0, 1, "did you mean acme"),
    ],
)
def test_what_cant_be_proved_is_refused(  # noqa: PLR0917 - a case
    world: World, tmp_path: Path, tenant: str, first: int, last: int, words: str
) -> None:
    asked = Asked(tenant, day(first), day(last))
    with pytest.raises(EvidenceError, match=words):
        write_bundle(world.pipeline(), asked, tmp_path, lambda path: judge_bundle(path, world.policy))
    assert list(tmp_path.iterdir()) == []


def test_evidence_is_never_overwritten(world: World, tmp_path: Path) -> None:
    before = (write(world, tmp_path).path / "README.txt").read_bytes()
    with pytest.raises(EvidenceError, match="never overwritten"):
        write(world, tmp_path)
    assert (tmp_path / f"evidence-acme-{day(0)}-{day(4)}" / "README.txt").read_bytes() == before


def test_what_does_not_verify_is_not_left_behind(world: World, tmp_path: Path) -> None:
    def refuse(path: Path) -> Verdict:
        return Verdict(str(path), Status.FAILED, "event-tree", ("the rows are others.",))

    with pytest.raises(EvidenceError, match="does not verify, so it was not written: the rows are others"):
        write_bundle(world.pipeline(), Asked(TENANT, day(0), day(4)), tmp_path, refuse)
    assert list(tmp_path.iterdir()) == []


def test_altered_rows_of_the_lake_never_become_evidence(world: World, tmp_path: Path) -> None:
    altered = world.copy(tmp_path / "altered")
    key = next(key for key in altered.contents(f"events/day={day(1)}/") if key.endswith(".parquet"))
    data = altered.store.get(key)
    altered.overwrite(key, data[:100] + bytes([data[100] ^ 1]) + data[101:])
    with pytest.raises(LumiError, match="altered"):
        write(altered, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_crash_left_is_replaced(world: World, tmp_path: Path) -> None:
    left = tmp_path / f".evidence-acme-{day(0)}-{day(4)}.new"
    left.mkdir()
    (left / "events.csv").write_bytes(b"half")
    assert write(world, tmp_path).verdict.reason == "ok"
    assert not left.exists()


def test_declared_breaks_are_written_and_named(tmp_path: Path) -> None:
    broken = World.create(tmp_path / "broken", at(1, "08:00:00") + timedelta(days=1))
    events = broken.record(TENANT, at(0, "09:00:00"), at(0, "09:00:01"), at(0, "09:00:02"))
    broken.record(TENANT, at(1))
    broken.tamper("UPDATE audit_outbox SET entity_id = 'other' WHERE event_id = ?", (events[1].event_id,))
    pipeline = broken.pipeline()
    with pytest.raises(LumiError):
        pipeline.run()
    pipeline.acknowledge(day(0), "edited by hand, see ticket 7")
    broken.pipeline().run()
    asked = Asked(TENANT, day(0), day(1))
    report = write_bundle(broken.pipeline(), asked, tmp_path, lambda path: judge_bundle(path, broken.policy))
    assert report.verdict.reason == "declared-break"
    assert any("integrity-hash at seq 1" in line for line in report.verdict.lines)
    assert "1 declared breaks" in (report.path / "README.txt").read_text()
