"""Which keys sign receipts, and which they are checked with: all that the log began with or announced."""

from datetime import timedelta
from pathlib import Path

import pytest

from lumi_pipeline.errors import ConfigError, LumiError
from lumi_pipeline.rotation import Role
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.backfill import find_gap
from lumi_pipeline.siem.evidencekeys import EvidenceKeys
from lumi_pipeline.siem.exports import Exports
from tests.lake.world import EVIDENCE_KEY, World, at, day
from transparency.keys import SigningKey
from transparency.note import parse_note

STRANGER = SigningKey(EVIDENCE_KEY.name, b"\1" * 32)
PERIOD = Period(day(0), day(1))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World.create(tmp_path_factory.mktemp("keys") / "world", at(1, "01:00:00"))
    world.record("acme", at(0))
    to_files(world, world.directory / "files")
    world.pipeline().run()
    deliver(world)
    world.record("acme", at(1))
    world.clock.now = at(2, "01:00:00")
    return world


@pytest.fixture
def world(template: World, tmp_path: Path) -> World:
    """Two days that are over, of which the first is sealed, and a destination that has got the first one's event."""
    world = template.copy(tmp_path / "world")
    to_files(world, tmp_path / "files")
    return world


def to_files(world: World, path: Path) -> None:
    world.send_to({"name": "files", "kind": "file", "path": str(path), "since": "beginning"})


def deliver(world: World) -> Exports:
    exports = Exports(world.pipeline())
    list(exports.plan("files"))
    exports.deliver("files")
    return exports


def next_key(world: World) -> SigningKey:
    return SigningKey.load(world.directory / "evidence.key.next")


def after_midnight(world: World, number: int) -> None:
    """Seal and publish what is over shortly after day ``number`` has begun, and deliver."""
    world.clock.now = at(number, "01:00:00")
    world.pipeline().run()
    deliver(world)


def signers(exports: Exports, number: int) -> list[bytes]:
    return [line.key_id for line in parse_note(exports.receipts("files").read(number).note).signatures]


def test_through_a_replacement_all_receipts_verify_and_both_keys_sign_in_between(world: World) -> None:
    after_midnight(world, 2)
    world.pipeline().rotate(Role.EVIDENCE)
    new = next_key(world)
    world.record("acme", at(2))
    after_midnight(world, 3)  # the record that announces it
    world.record("acme", at(3))
    after_midnight(world, 4)
    assert world.pipeline().known_evidence_keys() == (EVIDENCE_KEY.verifier, new.verifier)
    world.record("acme", at(34))
    after_midnight(world, 35)
    (world.directory / "evidence.key.next").rename(world.directory / "evidence.key")
    assert world.pipeline().known_evidence_keys() == (new.verifier, EVIDENCE_KEY.verifier)

    exports = Exports(world.pipeline())
    old = EVIDENCE_KEY.verifier.key_id
    assert [signers(exports, number) for number in range(5)] == [
        [old], [old], [old], [old, new.verifier.key_id], [new.verifier.key_id],
    ]  # fmt: skip
    statement = exports.statement("files", Period(day(0), day(34)))
    assert (statement.counts["delivered"], statement.counts["missing"]) == (5, 0)


def test_a_key_that_is_not_the_logs_signs_nothing(world: World) -> None:
    world.pipeline().run()
    stranger = world.directory / "stranger.key"
    STRANGER.save_new(stranger)
    exports = Exports(world.pipeline(evidence_key_file=stranger))
    list(exports.plan("files"))
    with pytest.raises(ConfigError, match=r"signs with .*; use that key"):
        exports.deliver("files")


def test_a_key_that_nothing_announced_stops_all_that_rests_on_receipts(world: World) -> None:
    world.pipeline().run()
    forging = Exports(world.pipeline())
    forging.keys = EvidenceKeys(lambda: [STRANGER], lambda: [EVIDENCE_KEY.verifier])
    list(forging.plan("files"))
    forging.deliver("files")
    exports = Exports(world.pipeline())
    refused = r"siem/files/receipts/000000000001\.jsonl: it is signed by .*no evidence key of this log.*restore"
    for act in (
        lambda: exports.statement("files", PERIOD),
        lambda: find_gap(exports, "files", PERIOD),
        lambda: exports.status("files"),
        lambda: exports.digest("files"),
    ):
        world.clock.now += timedelta(hours=2)
        with pytest.raises(LumiError, match=refused):
            act()


def test_who_only_looks_needs_no_secret(world: World) -> None:
    world.pipeline().run()
    deliver(world)
    missing = world.directory / "missing.key"
    assert Exports(world.pipeline(evidence_key_file=missing)).status("files").receipts == 2
    # Without the log's key there is nothing to check with, and that is said.
    keyless = Exports(world.pipeline(evidence_key_file=missing, log_key_file=missing))
    with pytest.raises(LumiError, match=r"no evidence key of this log .*there is no key at"):
        keyless.status("files")


def test_a_log_that_does_not_verify_names_no_keys(world: World) -> None:
    world.pipeline().run()
    deliver(world)
    *_, bundle = world.store.list("log/tile/entries/")
    world.overwrite(bundle, world.store.get(bundle)[:-1] + b"x")
    with pytest.raises(LumiError, match="lumi fsck"):
        Exports(world.pipeline(evidence_key_file=world.directory / "missing.key")).status("files")
