"""The private journal of a log: what it staged, what it committed, and every checkpoint it ever signed.

Below the log's private prefix, with sizes padded to twelve digits so that listings come in order::

    staging/<old size>-<hex new root>   the entries of an append, from before it is committed until it is published
    commits/<old size>                  create-only: the one append that extends the tree of this size
    cosigned/<size>                     create-only, kept for ever: the signed checkpoint of this size, with the
                                        witnesses' signatures if there were any
    refreshed/<size>/<number>           create-only, kept for ever: the same checkpoint with fresher signatures of
                                        witnesses, numbered from 1 on; the highest number is the one to publish

Commits form a chain from size 0. The journal decides what is part of the log; everything public follows from it.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from transparency.encoding import b64decode, b64encode, canonical_json, hex_decode, parse_canonical_json
from transparency.errors import ConcurrentAppend, EncodingError, LogError, ObjectConflict, ObjectMissing
from transparency.merkle import EMPTY_ROOT, HASH_SIZE
from transparency.store import ObjectStore
from transparency.tiles import MAX_ENTRY_SIZE

SIZE_DIGITS = 12
MAX_SIZE = 10**SIZE_DIGITS - 1
"""The most entries a log can have, given how its sizes are written in keys."""

MAX_STAGED_ENTRIES = 100_000
MAX_STAGED_BYTES = 256 * 1024 * 1024
_MAX_COMMIT_BYTES = 4096
_SIZE = re.compile(rf"[0-9]{{{SIZE_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A signed checkpoint of the journal. ``number`` is 0 as it was kept first, else that of its refreshing."""

    size: int
    number: int
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """The decision that the tree of ``old_size`` entries is extended to ``new_size`` with ``new_root``."""

    old_size: int
    new_size: int
    new_root: bytes

    @property
    def staging(self) -> str:
        """Where the entries are staged, below the private prefix: named by content, so replays meet each other."""
        return f"staging/{_padded(self.old_size)}-{self.new_root.hex()}"

    def encode(self) -> bytes:
        """Return the commit object: canonical JSON."""
        return canonical_json(
            {"new_root": self.new_root.hex(), "new_size": self.new_size, "staging": self.staging}
        ).encode()

    @classmethod
    def parse(cls, old_size: int, data: bytes) -> "Commit":
        """Parse the commit object of ``old_size``; raises :class:`EncodingError`."""
        match parse_canonical_json(data, _MAX_COMMIT_BYTES):
            case {"new_root": str(root), "new_size": int(new_size)}:
                commit = cls(old_size, int(new_size), hex_decode(root, HASH_SIZE))  # int: JSON's true is one to Python
                if commit.encode() == data and new_size > old_size:
                    return commit
        raise EncodingError(f"not a commit that follows size {old_size}")


class Journal:
    """Reads and writes the journal of one log. Damage is a :class:`LogError` that names the key."""

    __slots__ = ("_prefix", "_store")

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        """Use the objects under ``prefix``, which ends with ``/``."""
        self._store = store
        self._prefix = prefix

    def last_commit(self) -> Commit | None:
        """Return the commit that made the tree what it is, or None for an empty log."""
        sizes = self._sizes("commits/")
        return self.commit_after(sizes[-1]) if sizes else None

    def commit_after(self, old_size: int) -> Commit:
        """Return the commit that extends the tree of this size."""
        key = self.commit_key(old_size)
        try:
            return Commit.parse(old_size, self._store.get(key))
        except EncodingError as error:
            raise LogError(f"{key}: {error}; restore it from a backup of the log's private objects") from None

    def root_at(self, size: int) -> bytes:
        """Return the root that was committed for a size."""
        if size == 0:
            return EMPTY_ROOT
        before = [old_size for old_size in self._sizes("commits/") if old_size < size]
        if before and (commit := self.commit_after(before[-1])).new_size == size:
            return commit.new_root
        raise LogError(
            f"{self._prefix}commits/: no commit leads to size {size}; restore the missing ones from a backup"
        )

    def commit(self, commit: Commit) -> None:
        """Make the decision, durably, unless another one was made: then raise :class:`ConcurrentAppend`."""
        try:
            self._store.put_new(self.commit_key(commit.old_size), commit.encode())
        except ObjectConflict:
            winner = self.commit_after(commit.old_size)
            raise ConcurrentAppend(
                f"another run extended the log from {winner.old_size} to {winner.new_size} entries first, with root "
                f"{b64encode(winner.new_root)}; nothing of this run was signed or published; run it again"
            ) from None

    def stage(self, commit: Commit, entries: Sequence[bytes]) -> None:
        """Keep the entries of a commit that is about to be made."""
        data = canonical_json({"entries": [b64encode(entry) for entry in entries]}).encode()
        if len(entries) > MAX_STAGED_ENTRIES or len(data) > MAX_STAGED_BYTES:
            raise LogError(
                f"{len(entries)} entries are too much for one append; the limits are {MAX_STAGED_ENTRIES} entries "
                f"and {MAX_STAGED_BYTES} bytes"
            )
        self._store.put_new(self._prefix + commit.staging, data)

    def staged(self, commit: Commit) -> list[bytes] | None:
        """Return the entries of a commit, or None when they were cleared, which says that it was published."""
        key = self._prefix + commit.staging
        try:
            value = parse_canonical_json(self._store.get(key), MAX_STAGED_BYTES)
            match value:
                case {"entries": list(texts), **rest} if not rest:
                    return [_decode_entry(text) for text in texts]
        except ObjectMissing:
            return None
        except EncodingError as error:
            raise LogError(f"{key}: {error}; restore it from a backup") from None
        raise LogError(f"{key}: not the staged entries of an append; restore it from a backup")

    def unstage(self, commit: Commit) -> None:
        """Remove the staged entries of a commit that was not made."""
        with suppress(ObjectMissing):
            self._store.delete(self._prefix + commit.staging)

    def clear_staging(self, through: int) -> None:
        """Remove what was staged on top of sizes up to ``through``: they have their successors, all published."""
        prefix = f"{self._prefix}staging/"
        for key in list(self._store.list(prefix)):
            size = key.removeprefix(prefix).split("-")[0]
            if _SIZE.fullmatch(size) and int(size) <= through:
                with suppress(ObjectMissing):  # another run clears the same
                    self._store.delete(key)

    def cosigned(self, size: int) -> bytes | None:
        """Return the checkpoint that is kept for a size, or None."""
        try:
            return self._store.get(self.cosigned_key(size))
        except ObjectMissing:
            return None

    def keep_cosigned(self, size: int, checkpoint: bytes) -> bytes:
        """Keep a checkpoint for ever; return the one that is kept, another run's if that was first."""
        key = self.cosigned_key(size)
        try:
            self._store.put_new(key, checkpoint)
        except ObjectConflict:
            return self._store.get(key)
        return checkpoint

    def newest_cosigned(self) -> int:
        """Return the largest size that a checkpoint is kept for, 0 for none."""
        return max(self._sizes("cosigned/"), default=0)

    def newest_kept(self) -> Kept | None:
        """Return the checkpoint to publish: of the largest size, the one that was refreshed last; None for none."""
        return next(self.kept(), None)

    def kept(self) -> Iterator[Kept]:
        """Yield the checkpoint of each size as it was refreshed last, the largest size first."""
        for size in reversed(self._sizes("cosigned/")):
            number = max(self.refreshed(size), default=0)
            key = self.refreshed_key(size, number) if number else self.cosigned_key(size)
            yield Kept(size, number, self._store.get(key))

    def refreshed(self, size: int) -> list[int]:
        """Return the numbers under which the checkpoint of a size was kept again, in order."""
        return self._sizes(f"refreshed/{_padded(size)}/")

    def keep_refreshed(self, kept: Kept) -> None:
        """Keep a checkpoint with fresher cosignatures; ObjectConflict when another run has taken its number."""
        self._store.put_new(self.refreshed_key(kept.size, kept.number), kept.checkpoint)

    def first_cosigned_beyond(self, index: int) -> int | None:
        """Return the smallest size that a checkpoint is kept for and whose tree has entry ``index``."""
        return next(iter(self._sizes("cosigned/", beyond=index)), None)

    def cosigned_key(self, size: int) -> str:
        """Return the key of the checkpoint that is kept for a size."""
        return f"{self._prefix}cosigned/{_padded(size)}"

    def refreshed_key(self, size: int, number: int) -> str:
        """Return the key of a refreshed checkpoint."""
        return f"{self._prefix}refreshed/{_padded(size)}/{_padded(number)}"

    def commit_key(self, old_size: int) -> str:
        """Return the key of the commit that extends the tree of this size."""
        return f"{self._prefix}commits/{_padded(old_size)}"

    def _sizes(self, folder: str, beyond: int | None = None) -> list[int]:
        """Return the sizes (or numbers) after ``beyond`` that objects in this folder are named after, in order."""
        prefix = self._prefix + folder
        start_after = "" if beyond is None else prefix + _padded(beyond)
        names = (key.removeprefix(prefix) for key in self._store.list(prefix, start_after=start_after))
        return [int(name) for name in names if _SIZE.fullmatch(name)]


def _padded(size: int) -> str:
    if not 0 <= size <= MAX_SIZE:
        raise LogError(f"a log has at most {MAX_SIZE} entries, not {size}")
    return f"{size:0{SIZE_DIGITS}}"


def _decode_entry(text: object) -> bytes:
    if not isinstance(text, str):
        raise EncodingError("a staged entry is base64 text")
    entry = b64decode(text)
    if len(entry) > MAX_ENTRY_SIZE:
        raise EncodingError(f"a staged entry has at most {MAX_ENTRY_SIZE} bytes, not {len(entry)}")
    return entry
