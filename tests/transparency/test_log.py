"""Appending, publishing and reading a log; what it refuses, and what a damaged journal cannot make it sign."""

import json
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import transparency
from tests.crashing import CrashingStore
from tests.logs import ORIGIN, SEED, RecordingKey, entries, root_of, snapshot
from transparency.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from transparency.encoding import b64encode
from transparency.errors import (
    ConcurrentAppend,
    EncodingError,
    FormatError,
    LogError,
    ObjectConflict,
    ObjectMissing,
    TransparencyError,
    VerificationError,
)
from transparency.filestore import FileStore
from transparency.journal import Commit
from transparency.keys import ALG_COSIGNATURE, SigningKey
from transparency.log import Log
from transparency.logview import LogState, LogView
from transparency.memorystore import MemoryStore
from transparency.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from transparency.note import Note, Signature, format_note, parse_note
from transparency.store import ObjectStore
from transparency.tiles import new_tiles

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())["log"]


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else FileStore(tmp_path / "root")


@pytest.fixture
def key() -> RecordingKey:
    return RecordingKey()


def replace(store: ObjectStore, key: str, data: bytes) -> None:
    """What no program of ours does, but an attacker or a broken disk may."""
    store.delete(key)
    store.put_new(key, data)


def test_the_reference_log_is_written_byte_for_byte(store: ObjectStore) -> None:
    key = SigningKey.parse(VECTORS["secret_key"])
    reference = [entry.encode() for entry in VECTORS["entries"]]
    log = Log(store, [key])
    log.append(reference[:2])
    log.append(reference[2:])
    written = snapshot(store)
    assert set(written) == {
        "log-private/commits/000000000000",
        "log-private/commits/000000000002",
        "log-private/cosigned/000000000002",
        "log-private/cosigned/000000000003",
        "log/checkpoint",
        "log/log.vkey",
        "log/tile/0/000.p/2",
        "log/tile/0/000.p/3",
        "log/tile/entries/000.p/2",
        "log/tile/entries/000.p/3",
    }
    for size, made in zip((2, 3), VECTORS["checkpoints"], strict=True):
        assert made["size"] == size
        assert written[f"log-private/cosigned/{size:012}"].decode() == made["signed"]
        leaves = b"".join(bytes.fromhex(leaf) for leaf in VECTORS["leaf_hashes"][:size])
        assert written[f"log/tile/0/000.p/{size}"] == leaves
    assert written["log/checkpoint"] == written["log-private/cosigned/000000000003"]
    assert written["log/log.vkey"].decode() == VECTORS["vkey"] + "\n"
    root = VECTORS["checkpoints"][1]["root"]
    assert written["log-private/commits/000000000002"].decode() == (
        f'{{"new_root":"{root}","new_size":3,"staging":"staging/000000000002-{root}"}}'
    )


def test_an_empty_log(store: ObjectStore, key: RecordingKey) -> None:
    log = Log(store, [key])
    assert log.origin == ORIGIN
    assert log.state() == log.recover() == log.append([]) == LogState(0, EMPTY_ROOT, 0)
    assert log.checkpoint() is None
    assert log.first_checkpoint(0) is None
    assert snapshot(store) == {}
    assert key.signed == []


@pytest.mark.parametrize("cuts", [[1300], [1, 1300], [1, 255, 256, 257, 512, 600, 1300], [256, 512], [*range(1, 20)]])
def test_what_was_appended_is_published_and_proven(key: RecordingKey, cuts: list[int]) -> None:
    store = MemoryStore()
    sizes, state = [0, *cuts], LogState(0, EMPTY_ROOT, 0)
    for old, new in pairwise(sizes):
        state = Log(store, [key]).append(entries(new - old, old), old_size=old)
        assert state == LogState(new, root_of(new), new)
    size = sizes[-1]
    log = LogView(store)
    assert log.state() == state
    published = log.checkpoint()
    assert published is not None
    assert open_checkpoint(published, [key.verifier]).checkpoint == Checkpoint(ORIGIN, size, root_of(size))
    tiles = log.tiles(size, state.root)
    assert list(tiles.read_entries(0, size)) == entries(size)
    for index in {0, size // 2, size - 1}:
        verify_inclusion(leaf_hash(entries(1, index)[0]), index, size, inclusion_proof(tiles, index, size), state.root)
    for old in cuts:
        verify_consistency(old, size, root_of(old), state.root, consistency_proof(tiles, old, size))
        assert list(log.tiles(old, root_of(old)).read_entries(0, old)) == entries(old)
        for tile in new_tiles(0, old):  # every tile of every published size stays
            store.get(f"log/{tile.path}")
    assert key.signed == [Checkpoint(ORIGIN, size, root_of(size)).text for size in cuts]
    assert not list(store.list("log-private/staging/"))
    private = {key for key in store.list("") if not key.startswith("log/")}
    assert len(private) == 2 * len(cuts)


def test_the_first_checkpoint_of_each_entry_is_kept(key: RecordingKey) -> None:
    store = MemoryStore()
    log = Log(store, [key])
    for old, new in ((0, 1), (1, 4), (4, 5)):
        log.append(entries(new - old, old))
    for index, size in enumerate([1, 4, 4, 4, 5]):
        kept = log.first_checkpoint(index)
        assert kept is not None
        assert open_checkpoint(kept, [key.verifier]).checkpoint.size == size
    assert log.first_checkpoint(5) is None


def test_two_logs_in_one_store_keep_apart(key: RecordingKey) -> None:
    store = MemoryStore()
    Log(store, [key]).append(entries(3))
    other = Log(store, [RecordingKey("other")], public_prefix="two/log/", private_prefix="two/private/")
    assert other.append(entries(1)).committed_size == 1
    assert LogView(store).state().committed_size == 3
    with pytest.raises(ValueError, match="does not end with"):
        LogView(store, public_prefix="log")


def test_entries_made_for_another_size_are_not_appended(key: RecordingKey) -> None:
    store = MemoryStore()
    log = Log(store, [key])
    log.append(entries(3), old_size=0)
    before = snapshot(store)
    for wrong in (0, 2, 4):
        with pytest.raises(ConcurrentAppend, match=f"made for a log of {wrong} entries, but it has 3"):
            log.append(entries(1), old_size=wrong)
    assert snapshot(store) == before
    assert len(key.signed) == 1


def test_what_cannot_be_an_append_is_refused_before_anything_is_written(key: RecordingKey) -> None:
    store = MemoryStore()
    with pytest.raises(LogError, match="entry 1 of the append has 65536 bytes"):
        Log(store, [key]).append([b"", bytes(65536)])
    with pytest.raises(LogError, match="100001 entries are too much for one append"):
        Log(store, [key]).append([b""] * 100_001)
    assert set(snapshot(store)) <= {"log/log.vkey"}
    assert key.signed == []


def test_the_smallest_and_largest_entries_are_kept(key: RecordingKey) -> None:
    log = Log(MemoryStore(), [key])
    state = log.append([b"", bytes(65535), b"\xff\x00"])
    assert list(log.tiles(3, state.root).read_entries(0, 3)) == [b"", bytes(65535), b"\xff\x00"]


def unreachable(_: bytes) -> bytes:
    raise ConnectionError


ATTEMPTS: list[Callable[[Log], LogState]] = [lambda log: log.append(entries(2, 1)), lambda log: log.recover()]


class TestSigners:
    def test_only_keys_that_can_sign_for_one_log(self) -> None:
        one, other = SigningKey(ORIGIN, SEED), SigningKey("other", SEED)
        keys: list[Sequence[SigningKey]] = [[], [one, other], [SigningKey(ORIGIN, SEED, ALG_COSIGNATURE)]]
        for signers in keys:
            with pytest.raises(LogError, match="keys of one name"):
                Log(MemoryStore(), signers)

    def test_another_key_appends_nothing(self, key: RecordingKey) -> None:
        store = MemoryStore()
        Log(store, [key]).append(entries(3))
        before = snapshot(store)
        same_name, other_name = RecordingKey(seed=bytes(32)), RecordingKey("other")
        for wrong in (same_name, other_name):
            for attempt in ATTEMPTS:
                with pytest.raises(LogError):
                    attempt(Log(store, [wrong]))
            assert wrong.signed == []
        assert snapshot(store) == before

    def test_another_key_does_not_complete_the_first_append(self, key: RecordingKey) -> None:
        store = MemoryStore()
        with pytest.raises(ConnectionError):
            Log(store, [key], cosign=unreachable).append(entries(3))
        wrong = RecordingKey(seed=bytes(32))
        with pytest.raises(LogError, match="begun with another key"):
            Log(store, [wrong]).recover()
        assert wrong.signed == []
        assert Log(store, [key]).recover().published_size == 3

    def test_a_key_is_replaced_with_both_signing_for_a_while(self, key: RecordingKey) -> None:
        store, new = MemoryStore(), RecordingKey(seed=bytes(32))
        Log(store, [key]).append(entries(1))
        with pytest.raises(LogError, match="both while it is being replaced"):
            Log(store, [new]).append(entries(1, 1))
        Log(store, [key, new]).append(entries(1, 1))
        log = Log(store, [new])
        log.append(entries(1, 2))
        both, alone = log.first_checkpoint(1), log.checkpoint()
        assert both is not None
        assert alone is not None
        for verifier in (key.verifier, new.verifier):
            open_checkpoint(both, [verifier])
        open_checkpoint(alone, [new.verifier])
        with pytest.raises(VerificationError):
            open_checkpoint(alone, [key.verifier])
        assert store.get("log/log.vkey").decode() == key.verifier.vkey + "\n"


def add_line(checkpoint: bytes, signature: bytes = b"time and signature") -> bytes:
    note = parse_note(checkpoint)
    return format_note(Note(note.text, (*note.signatures, Signature("witness", b"\x00" * 4, signature))))


class TestCosigning:
    def test_what_the_hook_adds_is_published_and_kept(self, key: RecordingKey) -> None:
        store, seen = MemoryStore(), []

        def cosign(checkpoint: bytes) -> bytes:
            size = open_checkpoint(checkpoint, [key.verifier]).checkpoint.size
            assert list(LogView(store).tiles(size, root_of(size)).read_entries(0, size)) == entries(size)  # public
            assert LogView(store).state().published_size < size
            seen.append(size)
            return add_line(checkpoint)

        Log(store, [key], cosign=cosign).append(entries(2))
        log = Log(store, [key], cosign=cosign)
        log.append(entries(1, 2))
        log.recover()
        assert seen == [2, 3]
        for size in seen:
            assert b"witness" in store.get(f"log-private/cosigned/{size:012}")
        assert log.checkpoint() == store.get("log-private/cosigned/000000000003")

    def test_a_hook_that_fails_leaves_the_append_for_the_next_run(self, key: RecordingKey) -> None:
        store = MemoryStore()
        Log(store, [key]).append(entries(1))
        for attempt in ATTEMPTS:
            with pytest.raises(ConnectionError):
                attempt(Log(store, [key], cosign=unreachable))
            assert LogView(store).state() == LogState(3, root_of(3), 1)
        assert Log(store, [key], cosign=add_line).append(entries(1, 3)) == LogState(4, root_of(4), 4)
        assert b"witness" in store.get("log-private/cosigned/000000000003")

    def test_a_hook_that_answers_with_something_else_publishes_nothing(self, key: RecordingKey) -> None:
        store = MemoryStore()
        other = sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), [SigningKey(ORIGIN, SEED)])
        answers = [other, b"", b"garbage", add_line(parse_note_only(other, key))]
        for answer in answers:
            with pytest.raises(TransparencyError):
                Log(store, [key], cosign=lambda _, answer=answer: answer).append(entries(3))  # type: ignore[misc]
            assert LogView(store).checkpoint() is None
            assert not list(store.list("log-private/cosigned/"))
        assert Log(store, [key]).recover() == LogState(3, root_of(3), 3)


def parse_note_only(checkpoint: bytes, key: SigningKey) -> bytes:
    """The right text with the log's own signature left out."""
    text = Checkpoint(key.name, 3, root_of(3)).text
    assert parse_note(checkpoint).text != text
    return format_note(Note(text, (Signature("witness", b"\x01" * 4, b"a signature"),)))


class TestDamage:
    """The journal or the tiles were changed behind our back: nothing that could contradict a signature is signed."""

    @pytest.fixture
    def store(self, key: RecordingKey) -> ObjectStore:
        store = MemoryStore()
        for old, new in ((0, 1), (1, 300), (300, 302)):
            Log(store, [key]).append(entries(new - old, old))
        key.signed.clear()
        return store

    @staticmethod
    def assert_refused(store: ObjectStore, key: RecordingKey, error: type[Exception], match: str) -> None:
        before = snapshot(store)
        with pytest.raises(error, match=match):
            Log(store, [key]).append([b"new"])
        assert snapshot(store) == before
        assert key.signed == []

    @pytest.mark.parametrize("lost", [["302"], ["300", "302"], ["1", "300", "302"], ["0", "1", "300", "302"]])
    def test_lost_commits(self, store: ObjectStore, key: RecordingKey, lost: list[str]) -> None:
        """An older backup of the private objects beside newer public ones would sign a second root for a size."""
        for size in {"302": 300, "300": 1, "1": 0}.items():
            if size[0] in lost:
                store.delete(f"log-private/commits/{size[1]:012}")
        self.assert_refused(store, key, LogError, "a checkpoint of 302 entries was signed")
        store.delete("log/checkpoint")
        self.assert_refused(store, key, LogError, "a checkpoint of 302 entries was signed")

    def test_a_commit_that_is_none(self, store: ObjectStore, key: RecordingKey) -> None:
        good = store.get("log-private/commits/000000000300")
        for bad in (b"", b"{}", b"[]", good[:-1], good + b"\n", good.replace(b":302", b":300"), good * 40):
            replace(store, "log-private/commits/000000000300", bad)
            self.assert_refused(store, key, LogError, "log-private/commits/000000000300")

    def test_a_commit_whose_size_is_true(self) -> None:
        """Which Python takes for the number 1."""
        good = Commit(0, 1, bytes(32)).encode()
        assert Commit.parse(0, good) == Commit(0, 1, bytes(32))
        with pytest.raises(EncodingError):
            Commit.parse(0, good.replace(b":1,", b":true,"))

    def test_a_commit_to_another_size(self, store: ObjectStore, key: RecordingKey) -> None:
        good = store.get("log-private/commits/000000000300")
        for size in (b":301", b":303"):
            replace(store, "log-private/commits/000000000300", good.replace(b":302", size))
            self.assert_refused(store, key, LogError, "entries was signed|is missing")

    def test_a_commit_with_another_root(self, store: ObjectStore, key: RecordingKey) -> None:
        good = store.get("log-private/commits/000000000300")
        replace(store, "log-private/commits/000000000300", good.replace(root_of(302).hex().encode(), b"00" * 32))
        self.assert_refused(store, key, LogError, "log-private/cosigned/000000000302 is not a checkpoint")

    def test_a_lost_checkpoint(self, store: ObjectStore, key: RecordingKey) -> None:
        store.delete("log-private/cosigned/000000000302")
        self.assert_refused(store, key, LogError, "log-private/cosigned/000000000302 is missing")

    @pytest.mark.parametrize("path", ["0/000", "0/001.p/46", "1/000.p/1", "entries/001.p/46"])
    def test_altered_tiles(self, store: ObjectStore, key: RecordingKey, path: str) -> None:
        data = store.get(f"log/tile/{path}")
        replace(store, f"log/tile/{path}", data[:-1] + bytes([data[-1] ^ 1]))
        if path == "0/000":  # full, and below what the new tree's hashes are made of: nobody needs to read it
            Log(store, [key]).append([b"new"])
            assert [parse.split("\n")[1] for parse in key.signed] == ["303"]
        else:
            self.assert_refused(store, key, VerificationError, r"\.p/")

    def test_lost_tiles(self, store: ObjectStore, key: RecordingKey) -> None:
        store.delete("log/tile/0/001.p/46")
        self.assert_refused(store, key, ObjectMissing, "log/tile/0/001")

    def test_somebody_elses_tile_in_the_way(self, store: ObjectStore, key: RecordingKey) -> None:
        store.put_new("log/tile/0/001.p/47", b"mine")
        with pytest.raises(ObjectConflict, match=r"log/tile/0/001\.p/47"):
            Log(store, [key]).append([b"new"])
        assert LogView(store).state().published_size == 302
        store.delete("log/tile/0/001.p/47")
        assert Log(store, [key]).recover().published_size == 303

    def test_somebody_elses_checkpoint_in_the_way(self, store: ObjectStore, key: RecordingKey) -> None:
        """Signed by our key, for a size that comes: with a commit to another root it must not be signed again."""
        with pytest.raises(ConnectionError):
            Log(store, [key], cosign=unreachable).append([b"new"])
        key.signed.clear()
        foreign = sign_checkpoint(Checkpoint(ORIGIN, 303, bytes(32)), [SigningKey(ORIGIN, SEED)])
        store.put_new("log-private/cosigned/000000000303", foreign)
        before = snapshot(store)
        with pytest.raises(LogError, match="000000000303 is not a checkpoint of"):
            Log(store, [key]).recover()
        assert snapshot(store) == before
        assert key.signed == []

    def test_altered_staging(self, store: ObjectStore, key: RecordingKey) -> None:
        with pytest.raises(ConnectionError):
            Log(store, [key], cosign=unreachable).append([b"new"])
        key.signed.clear()
        [staging] = store.list("log-private/staging/")
        good = store.get(staging)
        bad = [b"", b"{}", b'{"entries":["Xg=="]}', b'{"entries":["bmV3","bmV3"]}', b'{"entries":[1]}']
        bad += [b'{"entries":"bmV3"}', b'{"entries":["bmV3"],"x":1}', good + b"\n", b'{"entries":[]}']
        for data in bad:
            replace(store, staging, data)
            before = snapshot(store)
            with pytest.raises(LogError, match="staging/000000000302"):
                Log(store, [key]).recover()
            assert snapshot(store) == before
        assert key.signed == []
        replace(store, staging, good)
        assert Log(store, [key]).recover().published_size == 303

    def test_lost_staging(self, store: ObjectStore, key: RecordingKey) -> None:
        with pytest.raises(ConnectionError):
            Log(store, [key], cosign=unreachable).append([b"new"])
        key.signed.clear()
        [staging] = store.list("log-private/staging/")
        store.delete(staging)
        self.assert_refused(store, key, LogError, "cosigned/000000000303 is missing")

    def test_an_old_checkpoint_is_replaced_by_the_newest(self, store: ObjectStore, key: RecordingKey) -> None:
        newest = store.get("log/checkpoint")
        store.put("log/checkpoint", store.get("log-private/cosigned/000000000300"))
        assert Log(store, [key]).recover().published_size == 302
        assert store.get("log/checkpoint") == newest
        store.delete("log/checkpoint")
        Log(store, [key]).recover()
        assert store.get("log/checkpoint") == newest
        assert key.signed == []

    def test_strangers_in_the_journal_are_left_alone(self, store: ObjectStore, key: RecordingKey) -> None:
        strangers = ["commits/README", "cosigned/1", "staging/notes", "staging/abc-def"]
        for name in strangers:
            store.put_new(f"log-private/{name}", b"?")
        assert Log(store, [key]).append([b"new"]).published_size == 303
        for name in strangers:
            assert store.get(f"log-private/{name}") == b"?"


class OvertakenStore(CrashingStore):
    """Just before the first commit of the run that uses it, another run goes through."""

    def __init__(self, inner: ObjectStore, other: Callable[[ObjectStore], object]) -> None:
        super().__init__(inner)
        self._other: Callable[[ObjectStore], object] | None = other

    def put_new(self, key: str, data: bytes) -> None:
        if key.startswith("log-private/commits/") and self._other is not None:
            other, self._other = self._other, None
            other(self._inner)
        super().put_new(key, data)


def test_the_loser_of_a_race_is_told_who_won(key: RecordingKey) -> None:
    store = MemoryStore()
    Log(store, [key]).append(entries(1))
    loser = RecordingKey()
    overtaken = OvertakenStore(store, lambda inner: Log(inner, [key]).append(entries(2, 1)))
    with pytest.raises(
        ConcurrentAppend, match=r"from 1 to 3 entries first, with root .*=; nothing of this run"
    ) as lost:
        Log(overtaken, [loser]).append([b"other"])
    assert b64encode(root_of(3)) in str(lost.value)
    assert "run it again" in str(lost.value)
    assert loser.signed == []
    assert LogView(store).state() == LogState(3, root_of(3), 3)
    assert not list(store.list("log-private/staging/"))


def test_two_runs_with_the_same_entries_are_one(key: RecordingKey) -> None:
    store, reference = MemoryStore(), MemoryStore()
    for log_store in (store, reference):
        Log(log_store, [key]).append(entries(1))
    overtaken = OvertakenStore(store, lambda inner: Log(inner, [key]).append(entries(2, 1)))
    assert Log(overtaken, [key]).append(entries(2, 1)) == LogState(3, root_of(3), 3)
    Log(reference, [key]).append(entries(2, 1))
    assert snapshot(store) == snapshot(reference)


def test_the_examples_of_the_readme_show_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(transparency.__file__).parent / "README.md").read_text()
    lies, days = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(lies, {})  # noqa: S102 - our own text
    reasons = re.findall(r"^another \w+: ([\w-]+):", capsys.readouterr().out, re.MULTILINE)
    assert reasons == ["inclusion", "inclusion", "tile", "checkpoint-signature"]
    exec(days, {})  # noqa: S102
    assert capsys.readouterr().out == "2026-11-21 False\n"
    for example, true, false in (
        (lies, 'leaf_hash(b"second")', 'leaf_hash(b"2nd")'),
        (days, "initech, ten", "acme, ten"),
    ):
        assert true in example
        with pytest.raises((VerificationError, FormatError)):
            exec(example.replace(true, false), {})  # noqa: S102


def test_the_readme_names_every_file() -> None:
    package = Path(transparency.__file__).parent
    readme = (package / "README.md").read_text()
    files = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    assert files == set(re.findall(r"`(\w+\.py)`", readme.split("## The parts")[1].split("## An order")[0]))
