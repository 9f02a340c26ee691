"""The tamper drill: every attack on a small world is detected; and a drill with a check that sees nothing says so."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from lumi_pipeline.drill.attack import Area, Attack
from lumi_pipeline.drill.attacks import ATTACKS
from lumi_pipeline.drill.checks import CHECKS, DAYS, FSCK
from lumi_pipeline.drill.running import DrillReport, Outcome, hold_drill
from lumi_pipeline.drill.scratch import Trial
from lumi_pipeline.errors import DrillError
from lumi_pipeline.outboxaddress import postgresql_address
from lumi_pipeline.verdict import Status, Verdict
from tests.lake.world import World, at, day
from tests.logs import snapshot
from tests.s3 import S3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three published days, the last of them idle, and an event that is not sealed yet."""
    made = World.create(tmp_path_factory.mktemp("drill") / "world", at(3, "08:00:00"))
    made.record("bolt", at(0), at(1))
    made.record("acme", *(at(0, f"09:00:{second:02}") for second in range(3)))
    made.record("acme", *(at(1, f"09:00:{second:02}") for second in range(7)))
    made.pipeline().run()
    made.record("acme", at(3, "07:00:00"))
    made.pipeline().land()
    return made


@pytest.fixture(scope="module")
def report(world: World, tmp_path_factory: pytest.TempPathFactory) -> DrillReport:
    before = everything(world)
    scratch = tmp_path_factory.mktemp("scratch")
    held = hold_drill(world.pipeline(), scratch=scratch)
    assert everything(world) == before
    assert list(scratch.iterdir()) == []
    return held


def everything(world: World) -> dict[str, tuple[bytes, int]]:
    """Every file of a world, with how many names it has: a hard link to the original would be one more."""
    files = [
        path for path in world.directory.rglob("*") if path.is_file() and path.suffix not in {".db-shm", ".db-wal"}
    ]
    return {str(path): (path.read_bytes(), path.stat().st_nlink) for path in files}


def only(*names: str) -> list[Attack]:
    return [attack for attack in ATTACKS if attack.name in names]


def says_nothing(_: Trial) -> Iterable[Verdict]:
    return [Verdict("nothing", Status.VERIFIED, "ok", ())]


def test_every_attack_is_detected(report: DrillReport) -> None:
    assert (report.target.day, report.target.tenant_id, report.target.count) == (day(1), "acme", 7)
    undetected = [finding.attack.name for finding in report.findings if finding.outcome is Outcome.UNDETECTED]
    assert undetected == []
    assert (report.detected, report.status) == (report.expected, Status.VERIFIED)
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) > 60
    assert {finding.attack.area for finding in report.findings} == set(Area)


def test_what_is_beyond_the_checks_is_told_as_such(report: DrillReport) -> None:
    beyond = {finding.attack.name for finding in report.findings if finding.outcome is Outcome.BEYOND}
    assert beyond == {"unlanded-undone", "operator"} == {attack.name for attack in ATTACKS if attack.beyond}


REASONS = {
    "cell": "altered",
    "cell-hashes": "log-object",
    "outbox-cell": "chain-broken",
    "outbox-chain": "altered",
    "reopened": "outbox-altered",
    "tile": "tile",
    "checkpoint-key": "checkpoint-signature",
    "second-record": "day-index",
    "split-view-kept": "split-view",
    "split-view-witness": "witness-quorum",
    "proof-field": "integrity-hash",
    "proof-genesis": "genesis-inclusion",
    "evidence-row-dropped": "row-missing",
    "evidence-saved-again": "csv-resaved",
    "evidence-proofs": "tenant-map",
    "evidence-re-summed": "bundle-signature",
    "evidence-re-signed": "evidence-key",
    "evidence-insider": "integrity-hash",
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_is_that_of_the_attack(report: DrillReport, name: str) -> None:
    [finding] = [finding for finding in report.findings if finding.attack.name == name]
    assert finding.reason == REASONS[name]


MESSAGES = {
    "cell-manifest": "manifest.json is not the one that",
    "row-deleted": "stored rows of tenant acme do not give",
    "payload": "stored rows of tenant acme do not give",
    "foreign-row": "another-tenant",
    "file-added": "not part of the sealed day",
    "split-view": "is not the entry that the log holds",
    "landing": "digest does not match",
    "head-back": "tenant acme",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_message_is_about_what_was_done(report: DrillReport, name: str) -> None:
    """Not about something that the drill itself broke on the way."""
    [finding] = [finding for finding in report.findings if finding.attack.name == name]
    assert MESSAGES[name] in finding.message


@pytest.mark.parametrize("disabled", CHECKS)
def test_a_check_that_sees_nothing_is_noticed(world: World, tmp_path: Path, disabled: str) -> None:
    attacks = [attack for attack in ATTACKS if disabled in attack.checks and not attack.beyond][:1]
    held = hold_drill(world.pipeline(), attacks=attacks, checks={**CHECKS, disabled: says_nothing}, scratch=tmp_path)
    assert Counter(finding.outcome for finding in held.findings) == {Outcome.UNDETECTED: 1}
    assert (held.detected, held.expected, held.status) == (0, 1, Status.FAILED)


def test_an_attack_that_does_nothing_is_not_detected(world: World, tmp_path: Path) -> None:
    idle = Attack("idle", Area.LAKE, "Nothing", lambda _: None, (DAYS, FSCK))
    assert hold_drill(world.pipeline(), attacks=[idle], scratch=tmp_path).status is Status.FAILED


def test_an_outbox_on_a_server_is_not_attacked_and_that_is_no_success(world: World, tmp_path: Path) -> None:
    elsewhere = world.pipeline(outbox=postgresql_address("postgresql://nobody@nowhere.invalid/app"))
    held = hold_drill(elsewhere, attacks=only("tile", "outbox-cell", "landing"), scratch=tmp_path)
    outcomes = {finding.attack.name: finding.outcome for finding in held.findings}
    assert outcomes == {"tile": Outcome.DETECTED, "landing": Outcome.DETECTED, "outbox-cell": Outcome.NOT_TRIED}
    assert (held.detected, held.expected, held.status) == (2, 2, Status.INCOMPLETE)


def test_a_lake_in_s3_is_attacked_in_copies_on_the_disk(s3: S3, world: World, tmp_path: Path) -> None:
    source = world.pipeline(root=f"s3://{s3.bucket()}/lake")
    for key, data in world.contents().items():
        source.lake.store.put_new(key, data)
    before = snapshot(source.lake.store)
    one_of_each = {attack.area: attack for attack in ATTACKS if not attack.beyond}
    held = hold_drill(source, attacks=list(one_of_each.values()), scratch=tmp_path)
    assert {finding.outcome for finding in held.findings} == {Outcome.DETECTED}
    assert {finding.attack.area for finding in held.findings} == set(Area) - {Area.OPERATOR}
    assert snapshot(source.lake.store) == before
    assert list(tmp_path.iterdir()) == []


def test_the_copies_are_kept_if_asked(world: World, tmp_path: Path) -> None:
    held = hold_drill(world.pipeline(), day(1), keep=True, attacks=only("tile", "outbox-cell"), scratch=tmp_path)
    assert held.kept is not None
    names = {path.name for path in held.kept.iterdir() if path.is_dir()}
    assert "untouched" in names
    assert len(names) >= 3
    own = world.config.log_key_file.read_bytes()
    assert all(own not in path.read_bytes() for path in held.kept.rglob("*") if path.is_file())


def test_a_history_that_does_not_verify_is_no_place_for_a_drill(world: World, tmp_path: Path) -> None:
    broken = world.copy(tmp_path / "broken")
    key = f"seals/day={day(0)}/day.txt"
    broken.overwrite(key, broken.store.get(key).replace(b"breaks 0", b"breaks 1"))
    with pytest.raises(DrillError, match="the untouched copy does not verify"):
        hold_drill(broken.pipeline(), attacks=only("tile"), scratch=tmp_path)


def test_a_day_that_cannot_be_attacked_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(DrillError, match="not sealed and published"):
        hold_drill(world.pipeline(), day(9), scratch=tmp_path)
    with pytest.raises(DrillError, match="4 events in one tenant"):
        hold_drill(world.pipeline(), day(2), scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []
