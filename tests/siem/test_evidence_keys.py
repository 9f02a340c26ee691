"""Which keys receipts are checked with: the configured one, and all that the log began with or announced."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lumi_pipeline.errors import LumiError
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.backfill import backfill, find_gap
from lumi_pipeline.siem.evidencekeys import announced_keys
from lumi_pipeline.siem.exports import Exports
from tests.lake.world import EVIDENCE_KEY, World, at, day
from transparency.entries import DayRecord
from transparency.keys import SigningKey
from transparency.note import parse_note, verify_note

SECOND, THIRD = (SigningKey(EVIDENCE_KEY.name, bytes([number]) * 32) for number in (1, 2))
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


def announcing(pipeline: Pipeline, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A pipeline whose next day record names the evidence key that is to follow."""
    encode = DayRecord.encode

    def announce(record: DayRecord) -> bytes:
        return encode(replace(record, next_evidence_key=key.verifier))

    monkeypatch.setattr(DayRecord, "encode", announce)
    return pipeline


def configure(world: World, key: SigningKey) -> None:
    path = world.directory / f"{key.verifier.key_id.hex()}.key"
    key.save_new(path)
    world.config = replace(world.config, evidence_key_file=path)


def test_after_two_replacements_all_receipts_still_verify(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        announcing(world.pipeline(), SECOND, patch).run()
    assert announced_keys(world.pipeline()) == (EVIDENCE_KEY.verifier, SECOND.verifier)
    configure(world, SECOND)
    deliver(world)
    # The third is configured before a record announces it, and the file of the second is not its own.
    configure(world, THIRD)
    world.record("acme", at(2, "00:30:00"))
    world.pipeline().land()
    exports = deliver(world)
    notes = [parse_note(exports.receipts("files").read(number).note) for number in range(3)]
    for note, key in zip(notes, (EVIDENCE_KEY, SECOND, THIRD), strict=True):
        assert verify_note(note, [key.verifier]) == [key.verifier]
    statement = exports.statement("files", Period(day(0), day(2)))
    assert (statement.counts["delivered"], statement.counts["missing"]) == (3, 0)


def test_a_key_that_nothing_announced_stops_all_that_rests_on_receipts(world: World) -> None:
    configure(world, SECOND)
    world.pipeline().run()
    deliver(world)
    configure(world, THIRD)
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
    *_, bundle = world.store.list("log/tile/entries/")
    configure(world, SECOND)
    world.overwrite(bundle, world.store.get(bundle)[:-1] + b"x")
    with pytest.raises(LumiError, match="lumi fsck"):
        Exports(world.pipeline()).statement("files", PERIOD)


def test_a_backfill_with_another_key_verifies_what_was_sent_before(world: World) -> None:
    world.pipeline().run()
    configure(world, SECOND)
    exports = Exports(world.pipeline())
    report = backfill(exports, "files", find_gap(exports, "files", PERIOD), timedelta(0))
    assert (report.delivery.events, report.statement.counts["delivered"]) == (1, 2)
