"""A log that succeeds another, whose key was stolen: it pins the days before, and goes on with the day after."""

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lumi_pipeline.cli.history import judge_history
from lumi_pipeline.cli.previous import judge_previous
from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.erasure.planning import Selection
from lumi_pipeline.errors import ConfigError, LakeError
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.proving import prove_event
from lumi_pipeline.pruning.pruner import Pruner
from lumi_pipeline.succession import earlier_logs
from lumi_pipeline.verdict import Status, Verdict
from tests.crashing import Killed
from tests.lake.crashes import Mortal
from tests.lake.world import LOG_KEY, ORIGIN, World, at, day
from transparency.checkpoint import Checkpoint, parse_signed_checkpoint, sign_checkpoint
from transparency.encoding import b64decode
from transparency.entries import evidence_key_name
from transparency.errors import VerificationError
from transparency.keys import SigningKey
from transparency.log import Log
from transparency.memorystore import MemoryStore
from transparency.policy import Policy
from transparency.store import ObjectStore

NAME = f"{ORIGIN}-2"


class Successor:
    """A copy of a world's lake without its log, and keys for another one."""

    def __init__(self, world: World, directory: Path) -> None:
        self.before = world
        self.directory = directory
        root = directory / "lake"
        shutil.copytree(world.place.root, root, ignore=shutil.ignore_patterns("log", "log-private"))
        self.key = SigningKey.generate(NAME)
        self.key.save_new(directory / "log.key")
        SigningKey.generate(evidence_key_name(NAME)).save_new(directory / "evidence.key")
        self.config = replace(
            world.config,
            root=root.as_uri(),
            origin=NAME,
            log_key_file=directory / "log.key",
            evidence_key_file=directory / "evidence.key",
        )

    @property
    def policy(self) -> Policy:
        return Policy.pinning(self.key.verifier.vkey)

    def pipeline(self, **settings: object) -> Pipeline:
        pipeline = Pipeline.open(replace(self.config, **settings), self.before.clock)  # type: ignore[arg-type]
        pipeline.sleep = self.before.clock.sleep
        return pipeline

    def verdicts(self) -> list[Verdict]:
        return list(judge_history(self.pipeline(), self.policy, None, None))


@pytest.fixture
def successor(sealed: World, tmp_path: Path) -> Successor:
    """The successor of a log of days 0 to 2, with events of day 3 in the outbox; it is shortly after midnight of 4."""
    sealed.record("acme", at(3, "08:00:00"))
    sealed.record("umbrella", at(3, "09:00:00"))
    sealed.clock.now = at(4, "00:20:00")
    (tmp_path / "successor").mkdir()
    return Successor(sealed, tmp_path / "successor")


def test_it_goes_on_with_the_day_after_and_pins_those_before(successor: Successor) -> None:
    done = successor.pipeline().succeed(successor.before.pipeline().lake, None, discard=False)
    assert (done.genesis.first_day, done.last_day, done.discarded) == (day(3), day(2), 0)
    assert (done.previous.origin, done.previous.size) == (ORIGIN, 4)
    report = successor.pipeline().run()
    assert [seal.day for seal in report.seals] == [day(3)]
    pipeline = successor.pipeline()
    assert (pipeline.sealed_days(), pipeline.lake_days()) == ([day(3)], [day(number) for number in range(4)])
    log, previous = str(successor.directory / "lake"), str(Path(successor.before.place.root) / "log")
    verdict = judge_previous(log, previous, successor.policy)
    assert (verdict.status, verdict.facts["origin"]) == (Status.VERIFIED, ORIGIN)
    assert judge_previous(log, previous, None).reason == "key-unconfirmed"

    verdicts = successor.verdicts()
    assert [v.status for v in verdicts] == [Status.VERIFIED] * len(verdicts)
    assert [v.subject for v in verdicts] == [
        "log", ORIGIN, *(str(day(number)) for number in range(4)), "landings", "outbox",
    ]  # fmt: skip
    sealed = pipeline.last_sealed()
    assert sealed is not None
    acme = sealed.tenants.tenants["acme"].record
    assert (acme.first, acme.count, acme.next) == (5, 1, 6)

    genesis = pipeline.genesis()
    assert genesis is not None
    [(event_id,)] = successor.before.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'umbrella'")
    proof = prove_event(pipeline.lake, genesis, str(event_id))
    assert verify_proof(proof, successor.policy, "proof").status is Status.VERIFIED

    successor.before.record("acme", at(4, "10:00:00"))
    successor.before.clock.now = at(5, "00:20:00")
    successor.pipeline().run()
    assert all(v.status is Status.VERIFIED for v in successor.verdicts())
    with pytest.raises(ConfigError, match="is that of audit"):
        successor.pipeline(origin=ORIGIN + "-3", log_key_file=other(successor, "-3")).succeed(
            successor.before.pipeline().lake, None, discard=False
        )


def other(successor: Successor, suffix: str) -> Path:
    """A log key of another name, with an evidence key that fits beside it."""
    path = successor.directory / f"log{suffix}.key"
    SigningKey.generate(ORIGIN + suffix).save_new(path)
    (successor.directory / "evidence.key").unlink()
    SigningKey.generate(evidence_key_name(ORIGIN + suffix)).save_new(successor.directory / "evidence.key")
    return path


def test_an_earlier_checkpoint_may_be_the_last_that_is_beyond_doubt(successor: Successor) -> None:
    old = successor.before
    old.pipeline().run()  # day 3, by whoever has the key
    shutil.rmtree(successor.directory / "lake")
    again = successor.directory / "again"
    again.mkdir()
    later = Successor(old, again)
    checkpoint = old.store.get("log-private/cosigned/000000000004")
    with pytest.raises(ConfigError, match=r"1 sealed day\(s\) that the checkpoint does not cover.*--discard-later"):
        later.pipeline().succeed(old.pipeline().lake, checkpoint, discard=False)
    done = later.pipeline().succeed(old.pipeline().lake, checkpoint, discard=True)
    assert done.discarded > 0
    assert later.pipeline().lake_days() == [day(0), day(1), day(2)]
    assert [seal.day for seal in later.pipeline().run().seals] == [day(3)]
    verdicts = later.verdicts()
    assert [v.status for v in verdicts] == [Status.VERIFIED] * len(verdicts)
    assert old.pipeline().sealed_days()[-1] == day(3), "the old lake is as it was"


def test_what_was_altered_in_the_copy_is_found_without_the_old_log(successor: Successor) -> None:
    successor.pipeline().succeed(successor.before.pipeline().lake, None, discard=False)
    successor.pipeline().run()
    lake = successor.directory / "lake"
    record = lake / f"seals/day={day(1)}/day.txt"
    data = record.read_bytes()
    record.write_bytes(data.replace(b"breaks 0", b"breaks 1"))
    [found] = [v for v in successor.verdicts() if v.subject == ORIGIN]
    assert (found.status, found.reason) == (Status.FAILED, "previous")
    record.write_bytes(data)
    [part] = (lake / f"events/day={day(1)}").iterdir()
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    assert [v.subject for v in successor.verdicts() if v.status is Status.FAILED] == [str(day(1))]


def test_what_the_thief_signs_later_changes_nothing(successor: Successor) -> None:
    """Whoever has the old key may show other logs under that name: up to the pinned size they are this one, or none."""
    successor.pipeline().succeed(successor.before.pipeline().lake, None, discard=False)
    successor.pipeline().run()
    log, old_log = str(successor.directory / "lake"), Path(successor.before.place.root) / "log"
    store = successor.before.store
    store.put("log/checkpoint", sign_checkpoint(Checkpoint(ORIGIN, 90, bytes(32)), [LOG_KEY]))
    assert judge_previous(log, str(old_log), successor.policy).status is Status.VERIFIED
    forged = MemoryStore()
    Log(forged, [LOG_KEY]).append([b"another"] * 4)
    for key in forged.list("log/tile/"):
        successor.before.overwrite(key, forged.get(key))
    verdict = judge_previous(log, str(old_log), successor.policy)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "tile")


def test_a_log_that_succeeds_none_says_so(sealed: World) -> None:
    log = str(Path(sealed.place.root) / "log")
    verdict = judge_previous(log, log, sealed.policy)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "previous")


def test_what_can_succeed_and_where(successor: Successor, world: World, tmp_path: Path) -> None:
    old = successor.before.pipeline().lake
    with pytest.raises(ConfigError, match="has no checkpoint"):
        successor.pipeline().succeed(world.pipeline().lake, None, discard=False)
    with pytest.raises(ConfigError, match="can't succeed itself"):
        successor.before.pipeline().succeed(old, None, discard=False)
    with pytest.raises(ConfigError, match=r"holds a log already|is that of"):
        successor.pipeline(root=successor.before.config.root).succeed(old, None, discard=False)
    stolen = tmp_path / "stolen"
    SigningKey(NAME, bytes.fromhex(seed_of(LOG_KEY))).save_new(stolen)
    with pytest.raises(ConfigError, match="is a key of the log before"):
        successor.pipeline(log_key_file=stolen).succeed(old, None, discard=False)
    forged = sign_checkpoint(
        parse_signed_checkpoint(successor.before.store.get("log/checkpoint")).checkpoint, [SigningKey.generate(ORIGIN)]
    )
    with pytest.raises(VerificationError, match="not signed by a trusted key"):
        successor.pipeline().succeed(old, forged, discard=False)
    (successor.directory / f"lake/seals/day={day(1)}/day.txt").unlink()
    with pytest.raises(VerificationError, match="copy it from the lake of"):
        successor.pipeline().succeed(old, None, discard=False)
    assert successor.pipeline().genesis() is None


def seed_of(key: SigningKey) -> str:
    return b64decode(key.text.split("+", 4)[4])[1:].hex()


def test_killed_at_any_write_beginning_again_completes_it(successor: Successor) -> None:
    old = successor.before
    old.pipeline().run()
    shutil.copytree(old.place.root, successor.directory / "full", ignore=shutil.ignore_patterns("log", "log-private"))
    checkpoint = old.store.get("log-private/cosigned/000000000004")
    number = 0
    while True:
        root = successor.directory / f"lake-{number}"
        shutil.copytree(successor.directory / "full", root)
        pipeline = successor.pipeline(root=root.as_uri())
        mortal = Mortal(pipeline.lake.store, after=number)
        pipeline.lake = replace(pipeline.lake, store=mortal)
        try:
            pipeline.succeed(old.pipeline().lake, checkpoint, discard=True)
        except Killed:
            done = successor.pipeline(root=root.as_uri()).succeed(old.pipeline().lake, checkpoint, discard=True)
            assert done.genesis.first_day == day(3)
            assert successor.pipeline(root=root.as_uri()).lake_days() == [day(0), day(1), day(2)]
            number += 1
            continue
        break
    assert number > 5
    assert contents(pipeline.lake.store) == contents(successor.pipeline(root=root.as_uri()).lake.store)


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list("")}


def test_a_lost_genesis_of_the_log_before_is_named(successor: Successor) -> None:
    successor.pipeline().succeed(successor.before.pipeline().lake, None, discard=False)
    [key] = successor.pipeline().lake.store.list("log-private/previous/")
    path = successor.directory / "lake" / key
    data = path.read_bytes()
    path.write_bytes(b"nonsense")
    with pytest.raises(LakeError, match="was altered"):
        raise_first(successor)
    path.unlink()
    with pytest.raises(LakeError, match=f"genesis of {ORIGIN} is missing"):
        raise_first(successor)
    path.write_bytes(data)
    raise_first(successor)


def raise_first(successor: Successor) -> None:
    pipeline = successor.pipeline()
    genesis = pipeline.genesis()
    assert genesis is not None
    earlier_logs(pipeline.lake, genesis)


def test_days_of_the_log_before_are_pruned_like_others(successor: Successor) -> None:
    """They verify by what the new log pins, and say so; what is left of them is that of before."""
    old = successor.before
    successor.pipeline().succeed(old.pipeline().lake, None, discard=False)
    successor.pipeline().run()
    old.clock.now = at(7, "00:20:00")
    successor.pipeline().run()
    Holds(successor.pipeline().operator).place("acme", "case", first=day(1), last=day(1))
    report = Pruner(successor.pipeline(retention_days=2)).prune(day(4))
    # Day 1 has events of acme alone, which are held; on days 4 to 6 nothing happened.
    assert [(plan.day, plan.kept) for plan in report.plans] == [(day(number), ()) for number in (0, 2, 3)]
    verdicts = successor.verdicts()
    assert [v.status for v in verdicts] == [Status.VERIFIED] * len(verdicts)
    assert [v.subject for v in verdicts if v.reason == "pruned"] == [str(day(number)) for number in (0, 2, 3)]
    for key in successor.pipeline().lake.store.list(f"events/day={day(1)}/"):
        (successor.directory / "lake" / key).unlink()
    assert [v.subject for v in successor.verdicts() if v.status is Status.FAILED] == [str(day(1))]


def test_what_is_erased_here_is_erased_in_the_lake_before(successor: Successor) -> None:
    """Both have the events of before; the order is copied there, and carried out with the configuration of before."""
    old = successor.before
    successor.pipeline().succeed(old.pipeline().lake, None, discard=False)
    successor.pipeline().run()
    name = "Zoë Ångström".encode()
    Eraser(successor.pipeline()).erase(Selection("acme", "u-17"), "request")
    assert {v.subject: v.status for v in successor.verdicts() if v.status is not Status.VERIFIED} == {}
    with pytest.raises(VerificationError, match="whose order is gone"):
        old.pipeline().erasures().given()
    old.store.put_new("erasures/000000/order.json", successor.pipeline().lake.store.get("erasures/000000/order.json"))
    assert Eraser(old.pipeline()).resume() is not None
    assert [v for v in judge_history(old.pipeline(), old.policy, None, None) if v.status is not Status.VERIFIED] == []
    acme = [
        table.filter(pc.equal(table.column("tenant_id"), "acme"))
        for path in (*Path(old.place.root).rglob("*.parquet"), *(successor.directory / "lake").rglob("*.parquet"))
        if "actor_name" in (table := pq.read_table(path, partitioning=None)).column_names
    ]
    assert sum(map(len, acme)) > 0
    assert all(name not in str(value).encode() for table in acme for value in table.column("actor_name").to_pylist())


def test_a_pruned_day_is_not_sealed_anew(successor: Successor, tmp_path: Path) -> None:
    """What is beyond doubt ends before days whose rows are nowhere any more: nobody could seal them again."""
    old = successor.before
    old.pipeline().run()
    old.clock.now = at(9, "00:20:00")
    old.pipeline().run()
    Pruner(old.pipeline(retention_days=2)).prune(day(4))
    (tmp_path / "again").mkdir()
    again = Successor(old, tmp_path / "again")
    checkpoint = old.store.get("log-private/cosigned/000000000004")
    before = contents(again.pipeline().lake.store)
    with pytest.raises(ConfigError, match=rf"{day(3)} was pruned.*name a later checkpoint"):
        again.pipeline().succeed(old.pipeline().lake, checkpoint, discard=True)
    assert contents(again.pipeline().lake.store) == before
