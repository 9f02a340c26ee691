"""Replacing keys: a day record announces the next one, both sign for 30 days, then it alone; old proofs stay good."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lumi_pipeline.cli.history import judge_published
from lumi_pipeline.cli.logs import judge_log
from lumi_pipeline.errors import ConcurrentRun, ConfigError, LakeError, SealError
from lumi_pipeline.lake import seal_prefix
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.proving import prove_event
from lumi_pipeline.rotating import Phase
from lumi_pipeline.rotation import Role, order_rotation, restore_orders
from lumi_pipeline.sealedday import read_day_record
from lumi_pipeline.verdict import Status, Verdict
from tests.interleaving import interleave, operations_of
from tests.lake.crashes import Act, crashes, kind, perform
from tests.lake.test_race import Serial
from tests.lake.world import EVIDENCE_KEY, LOG_KEY, ORIGIN, World, at, day
from transparency.checkpoint import parse_signed_checkpoint
from transparency.entries import DayRecord
from transparency.errors import VerificationError
from transparency.keys import SigningKey, VerifierKey
from transparency.policy import Policy
from transparency.store import ObjectStore
from transparency.verify import LogVerdict, verify_log

LOG, EVIDENCE = Role.LOG, Role.EVIDENCE


@pytest.fixture
def begun(world: World) -> World:
    """Day 0 is sealed and published; it is shortly after midnight of day 1."""
    world.clock.now = at(1, "00:20:00")
    world.record("acme", at(0))
    world.pipeline().run()
    return world


def after_midnight(world: World, number: int) -> Pipeline:
    """The pipeline shortly after day ``number`` has begun."""
    world.clock.now = at(number, "00:20:00")
    return world.pipeline()


def next_key(world: World, role: Role = LOG) -> SigningKey:
    return SigningKey.load(world.directory / f"{role.value}.key.next")


def signers(world: World) -> list[bytes]:
    """The key ids of the log's signatures on the public checkpoint."""
    note = parse_signed_checkpoint(world.store.get("log/checkpoint")).note
    return [line.key_id for line in note.signatures if line.name == ORIGIN]


def verified(world: World, *keys: VerifierKey) -> LogVerdict:
    policy = Policy.pinning(*(key.vkey for key in keys))
    return verify_log(lambda path: world.store.get(f"log/{path}"), policy)


def own_verdicts(world: World) -> list[Status]:
    pipeline = world.pipeline()
    return [judge_published(pipeline, pipeline.trust()).status]


def proof_of(world: World, seq: int) -> bytes:
    [(event_id,)] = world.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = ?", (seq,))
    pipeline = world.pipeline()
    genesis = pipeline.genesis()
    assert genesis is not None
    return prove_event(pipeline.lake, genesis, str(event_id))


def run(pipeline: Pipeline) -> object:
    return pipeline.run()


def publish(pipeline: Pipeline) -> object:
    return pipeline.publish()


def seal(pipeline: Pipeline) -> object:
    return list(pipeline.seal([day(1)]))


def rotate(pipeline: Pipeline) -> object:
    return pipeline.rotate(LOG)


def test_a_replacement_from_its_order_to_the_old_keys_end(begun: World) -> None:
    old, old_evidence = LOG_KEY.verifier, EVIDENCE_KEY.verifier
    first_proof = proof_of(begun, 0)

    def state(pipeline: Pipeline) -> tuple[Phase, Phase]:
        return pipeline.key_state(LOG).phase, pipeline.key_state(EVIDENCE).phase

    pipeline = begun.pipeline()
    assert state(pipeline) == (Phase.STEADY, Phase.STEADY)
    for role in Role:
        assert pipeline.rotate(role).phase is Phase.ORDERED
    new, new_evidence = next_key(begun).verifier, next_key(begun, EVIDENCE).verifier
    assert (begun.directory / "log.key.next").stat().st_mode & 0o777 == 0o600
    assert [key.verifier for key in begun.pipeline().evidence_keys()] == [old_evidence]

    begun.record("acme", at(1))
    after_midnight(begun, 2).run()
    record = read_day_record(begun.pipeline().lake, day(1))
    assert (record.next_key, record.next_evidence_key) == (new, new_evidence)
    assert record.encode().endswith(f"\nnext-key {new.vkey}\nnext-evidence-key {new_evidence.vkey}\n".encode())
    assert state(begun.pipeline()) == (Phase.ANNOUNCED, Phase.ANNOUNCED)
    assert signers(begun) == [old.key_id]
    with pytest.raises(VerificationError, match="not signed by a trusted key, but by"):
        verified(begun, new)

    after_midnight(begun, 3).run()
    assert state(begun.pipeline()) == (Phase.BOTH, Phase.BOTH)
    assert signers(begun) == [old.key_id, new.key_id]
    assert [key.verifier for key in begun.pipeline().evidence_keys()] == [old_evidence, new_evidence]
    assert begun.pipeline().key_state(LOG).alone_from == day(32)
    for keys in ((old,), (new,), (old, new)):
        assert verified(begun, *keys).log_keys == (old, new)
    assert own_verdicts(begun) == [Status.VERIFIED]

    after_midnight(begun, 32).run()
    assert signers(begun) == [old.key_id, new.key_id]
    begun.record("acme", at(32, "01:00:00"))
    after_midnight(begun, 33).run()
    assert state(begun.pipeline()) == (Phase.ALONE, Phase.ALONE)
    assert signers(begun) == [new.key_id]
    assert [key.verifier for key in begun.pipeline().evidence_keys()] == [new_evidence]
    assert "mv " in str(begun.pipeline().key_state(LOG).advice())

    for role in Role:
        path = begun.directory / f"{role.value}.key.next"
        path.rename(path.with_suffix(""))
    assert state(begun.pipeline()) == (Phase.STEADY, Phase.STEADY)
    after_midnight(begun, 34).run()
    assert signers(begun) == [new.key_id]
    assert own_verdicts(begun) == [Status.VERIFIED]
    assert begun.store.get("log/log.vkey") == f"{old.vkey}\n".encode()

    # Nothing old has stopped verifying, and what is new needs the genesis' key as well.
    assert verify_proof(first_proof, Policy.pinning(old.vkey), "old").status is Status.VERIFIED
    proof = proof_of(begun, 2)
    assert verify_proof(proof, Policy.pinning(old.vkey, new.vkey), "new").status is Status.VERIFIED
    alone = verify_proof(proof, Policy.pinning(new.vkey), "new")
    assert (alone.reason, "trust the old one as well" in alone.lines[0]) == ("genesis-key", True)
    replaced = verify_proof(proof, Policy.pinning(old.vkey), "new")
    assert replaced.reason == "checkpoint-signature"
    assert "It has probably replaced that key since" in replaced.lines[1]
    unknown = verify_proof(proof, None, "new")
    assert (unknown.status, unknown.reason) == (Status.INCOMPLETE, "key-unconfirmed")
    assert "It has probably replaced that key since" in unknown.lines[0]
    stranger = SigningKey.generate(ORIGIN).verifier.vkey
    wrong = verify_proof(proof, Policy.pinning(stranger), "new")
    assert (wrong.reason, "not the keys of this log" in wrong.lines[1]) == ("checkpoint-signature", True)

    def judged(policy: Policy | None) -> Verdict:
        return judge_log(lambda path: begun.store.get(f"log/{path}"), policy, "log")

    log = judged(Policy.pinning(old.vkey))
    assert (log.status, log.reason) == (Status.FAILED, "checkpoint-signature")
    assert f"{old.vkey}, was replaced: its record of {day(1)} announces {new.vkey}" in log.lines[1]
    assert "is in none of its records" in judged(Policy.pinning(stranger)).lines[1]
    nobody = judged(None)
    assert (nobody.status, nobody.reason) == (Status.INCOMPLETE, "key-unconfirmed")
    assert new.fingerprint in nobody.lines[-1]
    assert judged(Policy.pinning(new.vkey)).status is Status.VERIFIED
    trusted = begun.pipeline().trust()
    assert trusted is not None
    assert verify_proof(proof, trusted, "new").status is Status.VERIFIED
    assert begun.pipeline().known_evidence_keys() == (new_evidence, old_evidence)

    again = begun.pipeline().rotate(LOG)
    assert (again.phase, again.signs) == (Phase.ORDERED, (new,))


def test_days_sealed_at_once_announce_a_key_once_and_leave_readers_their_time(begun: World) -> None:
    begun.pipeline().rotate(LOG)
    begun.record("acme", at(20))
    after_midnight(begun, 45).run()
    records = [read_day_record(begun.pipeline().lake, day(number)) for number in range(45)]
    assert [record.day for record in records if record.next_key] == [day(1)]
    assert signers(begun) == [LOG_KEY.verifier.key_id, next_key(begun).verifier.key_id]
    assert begun.pipeline().key_state(LOG).alone_from == day(45 + 29)
    after_midnight(begun, 45 + 29).run()
    assert len(signers(begun)) == 2
    after_midnight(begun, 45 + 30).run()
    assert signers(begun) == [next_key(begun).verifier.key_id]


def test_an_order_is_not_carried_out_before_its_day(begun: World) -> None:
    key = SigningKey.generate(ORIGIN)
    key.save_new(begun.directory / "log.key.next")
    order_rotation(begun.pipeline().lake, LOG, day(3), key.verifier)
    after_midnight(begun, 6).run()
    records = [read_day_record(begun.pipeline().lake, day(number)) for number in range(6)]
    assert [record.day for record in records if record.next_key] == [day(3)]


def test_one_key_can_be_replaced_without_the_other(begun: World) -> None:
    begun.pipeline().rotate(EVIDENCE)
    after_midnight(begun, 3).run()
    assert signers(begun) == [LOG_KEY.verifier.key_id]
    assert len(begun.pipeline().evidence_keys()) == 2
    assert [begun.pipeline().key_state(role).phase for role in Role] == [Phase.STEADY, Phase.BOTH]


def test_a_replacement_is_refused_while_another_is_under_way_and_before_the_log_begins(world: World) -> None:
    with pytest.raises(SealError, match="nothing is sealed yet"):
        world.pipeline().rotate(LOG)
    world.record("acme", at(0))
    world.pipeline().run()
    world.pipeline().rotate(LOG)
    made = next_key(world).verifier
    for number in (4, 5, 6):
        with pytest.raises(ConfigError, match=r"the log key is being replaced already: .*log.key.next"):
            world.pipeline().rotate(LOG)
        after_midnight(world, number + 1).run()
    assert next_key(world).verifier == made


def test_an_order_is_an_event_of_the_operators_chain(begun: World) -> None:
    begun.pipeline().rotate(LOG)
    [(action, state)] = begun.select("SELECT action, after_state FROM audit_outbox WHERE tenant_id = 'lumi-operator'")
    assert action == "LOG_KEY_ROTATED"
    assert next_key(begun).verifier.vkey in str(state)
    assert "PRIVATE" not in str(state)


def test_an_interrupted_order_goes_on_with_the_key_that_was_made(begun: World, tmp_path: Path) -> None:
    writes = perform(begun.copy(tmp_path / "counted"), rotate)
    assert [kind(write) for write in writes] == ["commit outbox", "put_new log-private/rotations/N-N-N-log"]
    for crash in crashes(begun, rotate, tmp_path):
        made = next_key(crash.world)
        state = crash.world.pipeline().key_state(LOG)
        if state.phase is Phase.MADE:
            assert "go on with: lumi keys rotate --log" in str(state.advice())
            state = crash.world.pipeline().rotate(LOG)
        assert (state.phase, state.rotation and state.rotation.key) == (Phase.ORDERED, made.verifier), crash.moment
        after_midnight(crash.world, 3).run()
        assert signers(crash.world) == [LOG_KEY.verifier.key_id, made.verifier.key_id], crash.moment


@pytest.mark.parametrize("act", [seal, publish], ids=["sealing-the-announcement", "publishing-the-day-after"])
def test_killed_at_any_write_around_a_replacement_the_next_run_makes_the_same_bytes(
    begun: World, act: Act, tmp_path: Path
) -> None:
    for role in Role:
        begun.pipeline().rotate(role)
    if act is publish:
        after_midnight(begun, 2).run()
        list(after_midnight(begun, 3).seal([day(2)]))
    else:
        after_midnight(begun, 2).land()
    expected = begun.copy(tmp_path / "expected")
    act(expected.pipeline())
    for crash in crashes(begun, act, tmp_path):
        act(crash.world.pipeline())
        assert crash.world.contents("log") == expected.contents("log"), crash.moment
        assert crash.world.contents("seals") == expected.contents("seals"), crash.moment


@pytest.mark.slow
def test_ordered_while_a_day_is_being_sealed_it_is_announced_once_and_for_all(begun: World, tmp_path: Path) -> None:
    begun.record("acme", at(1))
    after_midnight(begun, 2).land()

    def running(world: World, act: Act) -> Callable[[ObjectStore], object]:
        def run(store: ObjectStore) -> object:
            store = Serial(store)
            list(store.list("nothing/"))
            return act(world.pipeline(lambda _: store))

        return run

    counted = begun.copy(tmp_path / "counted")
    announcing = set()
    total = operations_of(running(counted, seal), counted.store)
    for pause in sorted({*range(0, total, 9), total}):
        world = begun.copy(tmp_path / str(pause))
        outcomes = interleave(world.store, [running(world, seal), running(world, rotate)], [0] * pause + [1] * 1000)
        for outcome in outcomes:
            assert not isinstance(outcome, BaseException) or isinstance(outcome, ConcurrentRun), repr(outcome)
        list(after_midnight(world, 4).seal([day(2), day(3)]))
        records = [read_day_record(world.pipeline().lake, day(number)) for number in range(4)]
        [announced] = [record.day for record in records if record.next_key]
        announcing.add(announced)
        assert world.pipeline().key_state(LOG).phase is Phase.ANNOUNCED
    assert announcing == {day(1), day(2)}


def test_a_key_that_is_not_here_is_missed_before_anything_is_decided(begun: World) -> None:
    begun.pipeline().rotate(LOG)
    path = begun.directory / "log.key.next"
    path.rename(path.with_suffix(".elsewhere"))
    commits = list(begun.store.list("log-private/commits/"))
    with pytest.raises(ConfigError, match=r"announces audit.* as the next log key, and .*log\.key\.next does not hold"):
        after_midnight(begun, 2).run()
    assert list(begun.store.list("log-private/commits/")) == commits
    path.with_suffix(".elsewhere").rename(path)
    begun.pipeline().publish()
    path.rename(path.with_suffix(".elsewhere"))
    with pytest.raises(ConfigError, match=r"signs with audit.*, but .*log\.key \(or \.next\) holds .*use that key"):
        after_midnight(begun, 3).run()
    assert len(list(begun.store.list("log-private/commits/"))) == len(commits) + 1
    path.with_suffix(".elsewhere").rename(path)
    begun.pipeline().publish()
    assert len(signers(begun)) == 2


@pytest.mark.parametrize("role", Role)
def test_who_can_write_to_the_lake_can_slip_in_no_key(begun: World, role: Role) -> None:
    """Neither into a record that is not public yet, nor by an order of their own."""
    name = ORIGIN if role is LOG else EVIDENCE_KEY.name
    theirs = SigningKey.generate(name).verifier
    list(after_midnight(begun, 2).seal([day(1)]))
    key = f"{seal_prefix(day(1))}day.txt"
    record = DayRecord.parse(begun.store.get(key))
    forged = replace(record, next_key=theirs) if role is LOG else replace(record, next_evidence_key=theirs)
    begun.overwrite(key, forged.encode())
    with pytest.raises(ConfigError, match=r"if nobody ordered that key .* the record was altered"):
        begun.pipeline().publish()
    begun.overwrite(key, record.encode())
    begun.pipeline().publish()
    begun.store.put_new(f"log-private/rotations/{day(2)}-{role.value}", f"{theirs.vkey}\n".encode())
    with pytest.raises(ConfigError, match="if nobody ordered that key"):
        after_midnight(begun, 3).run()
    assert signers(begun) == [LOG_KEY.verifier.key_id]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("2024-02-29-log", b"nonsense\n"),
        ("2024-02-29-log", LOG_KEY.verifier.vkey.encode()),
        ("2024-02-29-lag", f"{LOG_KEY.verifier.vkey}\n".encode()),
        ("2024-2-29-log", f"{LOG_KEY.verifier.vkey}\n".encode()),
        ("2024-02-29_log", f"{LOG_KEY.verifier.vkey}\n".encode()),
    ],
)
def test_what_is_no_order_is_told(begun: World, name: str, data: bytes) -> None:
    begun.store.put_new(f"log-private/rotations/{name}", data)
    with pytest.raises(LakeError, match="is no order to replace a key"):
        after_midnight(begun, 2).run()


def test_orders_that_were_lost_follow_from_the_records(begun: World) -> None:
    begun.pipeline().rotate(LOG)
    begun.pipeline().rotate(EVIDENCE)
    after_midnight(begun, 3).run()
    orders = begun.contents("log-private/rotations/")
    for key in orders:
        begun.store.delete(key)
    assert own_verdicts(begun) == [Status.FAILED]
    pipeline = begun.pipeline()
    restore_orders(pipeline.lake, pipeline.sealed_days())
    assert begun.contents("log-private/rotations/") == orders
    assert own_verdicts(begun) == [Status.VERIFIED]


def test_only_a_tree_that_our_key_signed_makes_an_earlier_key_trusted(begun: World) -> None:
    """Otherwise somebody who can write to the lake could put a log there that claims our key took over from theirs."""
    new = SigningKey.generate(ORIGIN)
    (begun.directory / "log.key").unlink()
    new.save_new(begun.directory / "log.key")
    trusted = begun.pipeline().trust()
    assert trusted is not None
    assert trusted.log_keys == (new.verifier,)
