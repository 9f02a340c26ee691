"""What the tests of the log share: its key, its entries, and a look at everything in a store."""

from transparency.keys import SigningKey
from transparency.merkle import leaf_hash, tree_root
from transparency.store import ObjectStore

ORIGIN = "log.example.com/test"
SEED = bytes(range(32))


class RecordingKey(SigningKey):
    """A real signing key that notes what it signs."""

    __slots__ = ("signed",)

    def __init__(self, name: str = ORIGIN, seed: bytes = SEED) -> None:
        super().__init__(name, seed)
        self.signed: list[str] = []

    def sign(self, message: bytes) -> bytes:
        self.signed.append(message.decode())
        return super().sign(message)


def entries(count: int, start: int = 0) -> list[bytes]:
    """The entries ``start`` and on of a log that all tests write."""
    return [b"entry %d" % number for number in range(start, start + count)]


def root_of(size: int) -> bytes:
    """The root of the first ``size`` of these entries."""
    return tree_root(map(leaf_hash, entries(size)))


def snapshot(store: ObjectStore) -> dict[str, bytes]:
    """Every object in the store, by key."""
    return {key: store.get(key) for key in store.list("")}
