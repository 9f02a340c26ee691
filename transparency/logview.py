"""Reading a log from the operator's own store: its state, its checkpoints and its tree. Needs no secret key."""

from collections.abc import Iterator
from dataclasses import dataclass

from transparency.checkpoint import SignedCheckpoint, parse_signed_checkpoint
from transparency.errors import FormatError, LogError, ObjectMissing
from transparency.journal import Journal
from transparency.merkle import EMPTY_ROOT
from transparency.store import ObjectStore
from transparency.tiles import TileReader

PUBLIC_PREFIX = "log/"
PRIVATE_PREFIX = "log-private/"


@dataclass(frozen=True, slots=True)
class LogState:
    """How far a log has come.

    ``committed_size`` and ``root`` (32 bytes) are those of the last commit. ``published_size`` is the size of the
    public checkpoint, 0 before the first; while it is behind, an append is being published, or waits for the next run
    to complete it.
    """

    committed_size: int
    root: bytes
    published_size: int


class LogView:
    """Reads one log: its public objects under one prefix, its journal under another (both end with ``/``)."""

    def __init__(
        self, store: ObjectStore, *, public_prefix: str = PUBLIC_PREFIX, private_prefix: str = PRIVATE_PREFIX
    ) -> None:
        """Use the objects in ``store``; nothing is read yet."""
        for prefix in (public_prefix, private_prefix):
            if not prefix.endswith("/"):
                raise ValueError(f"the prefix {prefix!r} does not end with '/'")
        self._store = store
        self._public = public_prefix
        self._journal = Journal(store, private_prefix)

    def state(self) -> LogState:
        """Return the committed size and root and the published size."""
        published = self._published_size()
        last = self._journal.last_commit()
        if last is None:
            return LogState(0, EMPTY_ROOT, published)
        return LogState(last.new_size, last.new_root, published)

    def checkpoint(self) -> bytes | None:
        """Return the public checkpoint, signed and perhaps cosigned, or None before the first. It is not verified."""
        try:
            return self._store.get(self._checkpoint_key)
        except ObjectMissing:
            return None

    def published(self) -> SignedCheckpoint | None:
        """Return the public checkpoint as read, not verified, or None; LogError when what lies there is none."""
        data = self.checkpoint()
        try:
            return None if data is None else parse_signed_checkpoint(data)
        except FormatError as error:
            raise LogError(
                f"{self._checkpoint_key} was altered: {error}; put back the newest one that the log's journal keeps "
                "(refreshed/, cosigned/)"
            ) from None

    def first_checkpoint(self, index: int) -> bytes | None:
        """Return the first checkpoint that was kept for a tree with entry ``index``, or None. It is not verified.

        Together with an inclusion proof it shows when the entry was there at the latest.
        """
        size = self._journal.first_cosigned_beyond(index)
        return None if size is None else self._journal.cosigned(size)

    def kept_checkpoints(self) -> Iterator[bytes]:
        """Yield the checkpoint that is kept for each size, the newest first, with the freshest cosignatures there are.

        They are read as they are asked for, and not verified.
        """
        return (kept.checkpoint for kept in self._journal.kept())

    def tiles(self, size: int, root: bytes) -> TileReader:
        """Return a reader of the tree with this size and root, which checks everything it reads against the root."""
        return TileReader(lambda path: self._store.get(self._public + path), size, root)

    @property
    def _checkpoint_key(self) -> str:
        return f"{self._public}checkpoint"

    def _published_size(self) -> int:
        published = self.published()
        return 0 if published is None else published.checkpoint.size
