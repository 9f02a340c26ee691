"""Offline verification of a log, of a day in it, and of its published files."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from transparency.checkpoint import Checkpoint, sign_checkpoint
from transparency.encoding import b64decode
from transparency.entries import DayRecord, Genesis, evidence_key_name
from transparency.errors import ObjectMissing, VerificationError
from transparency.growth import grow
from transparency.keys import SigningKey
from transparency.log import Log
from transparency.memorystore import MemoryStore
from transparency.merkle import EMPTY_ROOT, LeafHashes, inclusion_proof, leaf_hash
from transparency.policy import Policy
from transparency.proof import TlogProof
from transparency.tiles import TileReader
from transparency.verify import VerifiedDay, fsck, verify_day_inclusion, verify_log

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())
ORIGIN = "example.com/log"
KEY = SigningKey(ORIGIN, b"\x01" * 32)
NEW_KEY = SigningKey(ORIGIN, b"\x02" * 32)
EVIDENCE = SigningKey(evidence_key_name(ORIGIN), b"\x03" * 32).verifier
NEW_EVIDENCE = SigningKey(evidence_key_name(ORIGIN), b"\x04" * 32).verifier
FIRST_DAY = date(2024, 2, 1)
GENESIS = Genesis(ORIGIN, FIRST_DAY, KEY.verifier, EVIDENCE)
POLICY = Policy.pinning(KEY.verifier.vkey)

Files = dict[str, bytes]


def record(number: int, /, **change: Any) -> DayRecord:  # noqa: ANN401
    day = FIRST_DAY + timedelta(days=number - 1)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    made = DayRecord(ORIGIN, day, number, number.to_bytes(32), bytes(32), 0, midnight + timedelta(minutes=15))
    return replace(made, **change)


def log_of(size: int) -> list[bytes]:
    return [GENESIS.encode(), *(record(index).encode() for index in range(1, size))]


def publish(entries: Sequence[bytes], keys: Sequence[SigningKey] = (KEY,), origin: str = ORIGIN) -> Files:
    """The files of a log with just these entries, good or bad."""
    growth = grow(TileReader(reading({}), 0, EMPTY_ROOT), entries)
    checkpoint = sign_checkpoint(Checkpoint(origin, growth.new_size, growth.new_root), keys)
    return {**growth.files, "checkpoint": checkpoint}


def reading(files: Files) -> Callable[[str], bytes]:
    def fetch(path: str) -> bytes:
        if path not in files:
            raise ObjectMissing(path)
        return files[path]

    return fetch


def reason_of(files: Files, policy: Policy = POLICY) -> str:
    with pytest.raises(VerificationError) as caught:
        verify_log(reading(files), policy)
    return caught.value.reason


# --- a whole log -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 600])
def test_a_log_verifies_at_any_size(size: int) -> None:
    progress: list[tuple[int, int]] = []
    records: list[DayRecord] = []
    verdict = verify_log(
        reading(publish(log_of(size))), POLICY, lambda done, total: progress.append((done, total)), records.append
    )
    assert verdict.checkpoint.size == size
    assert verdict.genesis == GENESIS
    assert verdict.last_day == (FIRST_DAY + timedelta(days=size - 2) if size > 1 else None)
    assert (verdict.breaks, verdict.broken_days) == (0, ())
    assert (verdict.log_keys, verdict.evidence_keys) == ((KEY.verifier,), (EVIDENCE,))
    assert not verdict.policy.split_view_excluded
    assert records == [record(index) for index in range(1, size)]
    assert progress == sorted(set(progress))
    assert progress[-1] == (size, size)


@pytest.mark.parametrize("checkpoint", VECTORS["log"]["checkpoints"])
def test_the_log_of_the_reference_vectors(checkpoint: dict[str, Any]) -> None:
    entries = [entry.encode() for entry in VECTORS["log"]["entries"][: checkpoint["size"]]]
    key = SigningKey.parse(VECTORS["log"]["secret_key"])
    files = publish(entries, [key], key.name)
    assert files["checkpoint"] == checkpoint["signed"].encode()
    files["checkpoint"] = checkpoint["cosigned"].encode()
    log, witness = VECTORS["log"]["vkey"], VECTORS["log"]["witness_vkey"]
    policy = Policy.parse(f"log {log}\nwitness w {witness}\nquorum w\n".encode())
    verdict = verify_log(reading(files), policy)
    assert verdict.policy.split_view_excluded
    assert verdict.checkpoint.root.hex() == checkpoint["root"]


LARGE = publish(log_of(600))


@pytest.mark.parametrize("path", LARGE)
def test_any_altered_file_is_found(path: str) -> None:
    data = LARGE[path]
    for position in {0, 1, 2, len(data) // 3, len(data) // 2, len(data) - 1}:
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        reason = reason_of({**LARGE, path: flipped})
        assert reason.startswith("checkpoint-") if path == "checkpoint" else reason == "tile"
    for altered in (b"", data[:-1], data[1:], data + b"\x00", data + data[-1:]):
        reason = reason_of({**LARGE, path: altered})
        assert reason.startswith("checkpoint-") if path == "checkpoint" else reason == "tile"


@pytest.mark.parametrize("path", [path for path in LARGE if path != "checkpoint"])
def test_any_missing_file_is_named(path: str) -> None:
    files = {name: data for name, data in LARGE.items() if name != path}
    with pytest.raises(VerificationError, match=path) as caught:
        verify_log(reading(files), POLICY)
    assert caught.value.reason == "tile"


def test_a_full_tile_does_not_stand_in_for_the_partial_one() -> None:
    small, large = publish(log_of(100)), publish(log_of(256))
    files = {**large, "checkpoint": small["checkpoint"]}
    assert reason_of(files) == "tile"


def test_without_a_checkpoint_there_is_no_log() -> None:
    with pytest.raises(ObjectMissing):
        verify_log(reading({}), POLICY)


def test_a_log_needs_a_genesis() -> None:
    files = {"checkpoint": sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), [KEY])}
    assert reason_of(files) == "genesis"


OTHER_GENESIS = replace(
    GENESIS,
    origin="example.com/other",
    key=SigningKey("example.com/other", b"\x01" * 32).verifier,
    evidence_key=SigningKey("example.com/other/evidence", b"\x03" * 32).verifier,
)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([b""], "genesis"),
        ([b"lumi/log/v1\n"], "genesis"),
        ([GENESIS.encode() + b"\n"], "genesis"),
        ([record(1).encode()], "genesis"),
        ([OTHER_GENESIS.encode()], "genesis-origin"),
        ([GENESIS.encode(), b""], "day-record"),
        ([GENESIS.encode(), GENESIS.encode()], "day-record"),
        ([GENESIS.encode(), record(1).encode()[:-1]], "day-record"),
        ([GENESIS.encode(), record(1, origin="example.com/other").encode()], "day-origin"),
        ([GENESIS.encode(), record(2).encode()], "day-index"),  # the first day left out
        ([GENESIS.encode(), record(1).encode(), record(3).encode()], "day-index"),
        ([GENESIS.encode(), record(1).encode(), record(1).encode()], "day-index"),  # a day told twice
        ([GENESIS.encode(), record(2, index=1).encode()], "day-index"),
        ([GENESIS.encode(), record(1, index=2).encode()], "day-index"),
        ([GENESIS.encode(), record(1, day=FIRST_DAY - timedelta(days=1)).encode()], "day-index"),
        (
            [GENESIS.encode(), record(1, sealed=record(2).sealed + timedelta(1)).encode(), record(2).encode()],
            "day-sealed",
        ),
    ],
)
def test_entries_follow_the_rules(entries: list[bytes], reason: str) -> None:
    assert reason_of(publish(entries)) == reason


def test_a_rule_broken_in_a_later_bundle_is_found() -> None:
    entries = log_of(600)
    entries[520] = record(520, map_root=bytes(32), day=record(519).day).encode()
    assert reason_of(publish(entries)) == "day-index"


def test_declared_breaks_are_told() -> None:
    entries = log_of(6)
    entries[2], entries[4] = record(2, breaks=3).encode(), record(4, breaks=1).encode()
    verdict = verify_log(reading(publish(entries)), POLICY)
    assert verdict.breaks == 4
    assert verdict.broken_days == (record(2).day, record(4).day)


def test_an_equal_sealing_time_is_in_order() -> None:
    entries = [GENESIS.encode(), record(1, sealed=record(2).sealed).encode(), record(2).encode()]
    verify_log(reading(publish(entries)), POLICY)


# --- replacing keys --------------------------------------------------------------------------------------------------

ROTATED = log_of(40)
ROTATED[5] = record(5, next_key=NEW_KEY.verifier, next_evidence_key=NEW_EVIDENCE).encode()
NEW_POLICY = Policy.pinning(NEW_KEY.verifier.vkey)
BOTH_POLICY = Policy.pinning(NEW_KEY.verifier.vkey, KEY.verifier.vkey)


@pytest.mark.parametrize("policy", [POLICY, NEW_POLICY, BOTH_POLICY])
def test_during_a_rotation_either_key_verifies(policy: Policy) -> None:
    verdict = verify_log(reading(publish(ROTATED, [KEY, NEW_KEY])), policy)
    assert verdict.log_keys == (KEY.verifier, NEW_KEY.verifier)
    assert verdict.evidence_keys == (EVIDENCE, NEW_EVIDENCE)


def test_after_a_rotation_the_new_key_suffices_and_the_announcement_links_it() -> None:
    files = publish(ROTATED, [NEW_KEY])
    verify_log(reading(files), NEW_POLICY)
    verify_log(reading(files), BOTH_POLICY)
    assert reason_of(files, POLICY) == "checkpoint-signature"


def test_a_trusted_key_that_the_log_never_announced() -> None:
    files = publish(log_of(7), [NEW_KEY])
    assert reason_of(files, NEW_POLICY) == "log-key"
    assert reason_of(files, BOTH_POLICY) == "log-key"


def test_a_new_key_is_valid_from_the_next_record_on() -> None:
    assert reason_of(publish(ROTATED[:6], [NEW_KEY]), NEW_POLICY) == "log-key"
    verify_log(reading(publish(ROTATED[:6], [KEY, NEW_KEY])), BOTH_POLICY)
    verify_log(reading(publish(ROTATED[:7], [NEW_KEY])), NEW_POLICY)


# --- one day ---------------------------------------------------------------------------------------------------------

VECTOR_KEY = VECTORS["log"]["vkey"]


@pytest.mark.parametrize("name", VECTORS["proofs"])
@pytest.mark.parametrize("witnessed", [False, True])
def test_the_days_of_the_reference_proofs(name: str, *, witnessed: bool) -> None:
    proof = TlogProof.parse(VECTORS["proofs"][name].encode())
    extra = json.loads(proof.extra or b"")
    policy = Policy.pinning(VECTOR_KEY)
    if witnessed:
        policy = Policy.parse(f"log {VECTOR_KEY}\nwitness w {VECTORS['log']['witness_vkey']}\nquorum w".encode())
    day = verify_day_inclusion(
        policy,
        proof.checkpoint,
        extra["genesis"].encode(),
        [b64decode(node) for node in extra["genesis_path"]],
        extra["day_record"].encode(),
        proof.index,
        proof.path,
    )
    assert day.policy.split_view_excluded is witnessed
    assert day.record.map_root.hex() == VECTORS["days"][proof.index - 1]["map_root"]
    assert day.checkpoint.size == 3


def verify_day(
    entries: Sequence[bytes],
    number: int,
    /,
    policy: Policy = POLICY,
    keys: Sequence[SigningKey] = (KEY,),
    **change: Any,  # noqa: ANN401
) -> VerifiedDay:
    """Verify the day at index ``number`` of a log with these entries, with some part of the proof changed."""
    tree = LeafHashes(leaf_hash(entry) for entry in entries)
    parts: dict[str, Any] = {
        "policy": policy,
        "checkpoint": sign_checkpoint(Checkpoint(ORIGIN, tree.size, tree.root()), keys),
        "genesis": entries[0],
        "genesis_path": inclusion_proof(tree, 0, tree.size),
        "day_record": entries[number],
        "index": number,
        "path": inclusion_proof(tree, number, tree.size),
        **change,
    }
    return verify_day_inclusion(**parts)


@pytest.mark.parametrize(("size", "index"), [(2, 1), (3, 1), (3, 2), (300, 256)])
def test_a_day_verifies(size: int, index: int) -> None:
    day = verify_day(log_of(size), index)
    assert day.record == record(index)
    assert day.genesis == GENESIS


TREE = LeafHashes(leaf_hash(entry) for entry in log_of(9))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"checkpoint": b""}, "checkpoint-format"),
        ({"checkpoint": b"a\nb\nc\n\n\xe2\x80\x94 a AAAAAAA=\n"}, "checkpoint-format"),
        ({"checkpoint": sign_checkpoint(Checkpoint(ORIGIN, 9, TREE.root()), [NEW_KEY])}, "checkpoint-signature"),
        ({"checkpoint": publish(log_of(9), [SigningKey("b", b"\x01" * 32)], "b")["checkpoint"]}, "checkpoint-origin"),
        ({"policy": Policy(())}, "checkpoint-origin"),
        ({"policy": NEW_POLICY}, "checkpoint-signature"),
        ({"genesis": log_of(9)[1]}, "genesis-inclusion"),
        ({"genesis": replace(GENESIS, first_day=date(2024, 2, 2)).encode()}, "genesis-inclusion"),
        ({"genesis_path": []}, "genesis-inclusion"),
        ({"genesis_path": inclusion_proof(TREE, 1, 9)}, "genesis-inclusion"),
        ({"genesis_path": [*inclusion_proof(TREE, 0, 9), bytes(32)]}, "genesis-inclusion"),
        ({"day_record": log_of(9)[4]}, "day-inclusion"),
        ({"index": 4}, "day-inclusion"),
        ({"index": 9}, "day-inclusion"),
        ({"path": inclusion_proof(TREE, 4, 9)}, "day-inclusion"),
        ({"path": [b""]}, "day-inclusion"),
        ({"index": 0, "day_record": log_of(9)[0], "path": inclusion_proof(TREE, 0, 9)}, "day-record"),
    ],
)
def test_each_part_of_a_proof_is_checked(change: dict[str, Any], reason: str) -> None:
    verify_day(log_of(9), 3)
    with pytest.raises(VerificationError) as caught:
        verify_day(log_of(9), 3, **change)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([GENESIS.encode() + b"\n", record(1).encode()], "genesis"),
        ([OTHER_GENESIS.encode(), record(1).encode()], "genesis-origin"),
        ([replace(GENESIS, key=NEW_KEY.verifier).encode(), record(1).encode()], "genesis-key"),
        ([GENESIS.encode(), record(1, origin="example.com/other").encode()], "day-origin"),
        ([GENESIS.encode(), record(1, index=2).encode()], "day-index"),
        ([GENESIS.encode(), record(2, index=1).encode()], "day-index"),
        ([GENESIS.encode(), record(2).encode()], "day-index"),
        ([GENESIS.encode(), record(1, day=date.min).encode()], "day-index"),
        ([GENESIS.encode(), b"lumi/day/v1\n"], "day-record"),
    ],
)
def test_what_the_log_commits_to_is_checked(entries: list[bytes], reason: str) -> None:
    with pytest.raises(VerificationError) as caught:
        verify_day(entries, 1)
    assert caught.value.reason == reason


def test_pinning_both_keys_links_the_genesis() -> None:
    assert verify_day(ROTATED, 20, BOTH_POLICY, [NEW_KEY]).policy.log_key == NEW_KEY.verifier
    with pytest.raises(VerificationError, match="trust the old one as well") as caught:
        verify_day(ROTATED, 20, NEW_POLICY, [NEW_KEY])
    assert caught.value.reason == "genesis-key"


# --- the published files ---------------------------------------------------------------------------------------------


def published_in_steps() -> MemoryStore:
    """A log published at several sizes, so with partial files of each of them."""
    store = MemoryStore()
    entries = log_of(523)
    log = Log(store, [KEY])
    done = 0
    for size in (1, 2, 5, 200, 256, 258, 512, 523):
        log.append(entries[done:size])
        done = size
    return store


STEPS = {key: store.get(key) for store in [published_in_steps()] for key in store.list("log/")}


def store_of(objects: Files) -> MemoryStore:
    store = MemoryStore()
    for key, data in objects.items():
        store.put_new(key, data)
    return store


def test_fsck_of_a_log_as_published() -> None:
    report = fsck(store_of({**STEPS, "log/index.html": b"<!doctype html>", "elsewhere": b"x"}), POLICY)
    assert report.problems == ()
    assert report.objects == len(STEPS) + 1
    assert report.log.checkpoint.size == 523
    assert {"log/tile/entries/000.p/5", "log/tile/0/001.p/2", "log/tile/1/000.p/1"} <= set(STEPS)


CURRENT = {f"log/{path}" for path in publish(log_of(523))}


def alterations(data: bytes) -> list[bytes]:
    return [data[:-1] + bytes([data[-1] ^ 1]), data + b"\x00", b""]


@pytest.mark.parametrize("key", sorted(STEPS.keys() & CURRENT - {"log/checkpoint"}))
def test_fsck_fails_on_an_altered_tile_of_the_tree(key: str) -> None:
    for altered in alterations(STEPS[key]):
        with pytest.raises(VerificationError, match=key.removeprefix("log/")) as caught:
            fsck(store_of({**STEPS, key: altered}), POLICY)
        assert caught.value.reason == "tile"


@pytest.mark.parametrize("key", sorted(STEPS.keys() - CURRENT))
def test_fsck_finds_an_altered_file_of_an_earlier_size(key: str) -> None:
    for altered in alterations(STEPS[key]):
        problems = fsck(store_of({**STEPS, key: altered}), POLICY).problems
        assert [problem.key for problem in problems] == [key]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tile/0/003", "beyond the published 523 entries"),
        ("tile/0/002.p/12", "beyond the published 523 entries"),
        ("tile/1/000.p/3", "beyond the published 523 entries"),
        ("tile/entries/999", "beyond the published 523 entries"),
        ("tile/63/000.p/1", "beyond the published 523 entries"),
        ("tile/0/000.p/100", "not what the entries"),
        ("tile/entries/000.p/100", "not what the entries"),
        ("tile/0/000.p/256", "does not belong"),
        ("tile/64/000", "does not belong"),
        ("tile/0/x000/001", "does not belong"),
        ("tile/0", "does not belong"),
        ("checkpoint.old", "does not belong"),
        (".htaccess", "does not belong"),
        ("log.vkey.bak", "does not belong"),
    ],
)
def test_fsck_reports_what_does_not_belong(path: str, message: str) -> None:
    [problem] = fsck(store_of({**STEPS, f"log/{path}": b"x"}), POLICY).problems
    assert problem.key == f"log/{path}"
    assert message in problem.message


def test_fsck_accepts_any_partial_file_that_is_right() -> None:
    report = fsck(store_of({**STEPS, "log/tile/0/000.p/3": STEPS["log/tile/0/000"][: 3 * 32]}), POLICY)
    assert report.problems == ()


@pytest.mark.parametrize("data", [b"", b"x", STEPS["log/log.vkey"][:-1], f"{NEW_KEY.verifier.vkey}\n".encode(), None])
def test_fsck_checks_the_published_key(data: bytes | None) -> None:
    objects = {key: content for key, content in STEPS.items() if key != "log/log.vkey"}
    if data is not None:
        objects["log/log.vkey"] = data
    [problem] = fsck(store_of(objects), POLICY).problems
    assert problem.key == "log/log.vkey"


def test_fsck_accepts_the_first_key_after_a_rotation() -> None:
    files = publish(ROTATED, [NEW_KEY])
    objects = {f"log/{path}": data for path, data in files.items()} | {
        "log/log.vkey": f"{KEY.verifier.vkey}\n".encode()
    }
    assert fsck(store_of(objects), NEW_POLICY).problems == ()


def test_fsck_under_another_prefix() -> None:
    objects = {f"public/{path}": data for path, data in publish(log_of(3)).items()}
    objects["public/log.vkey"] = f"{KEY.verifier.vkey}\n".encode()
    assert fsck(store_of(objects), POLICY, prefix="public/").objects == 4
