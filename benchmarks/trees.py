"""The root of a Merkle tree."""

from collections.abc import Sequence
from hashlib import sha256

from benchmarks.dataset import Dataset
from benchmarks.measuring import compare
from benchmarks.row import Row
from transparency.merkle import leaf_hash, tree_root


def measure(data: Dataset, runs: int) -> Row:
    """Compute the root over as many 32-byte entries as there are events."""
    entries = [sha256(b"%d" % number).digest() for number in range(data.events)]
    compared = compare(
        lambda: lambda: tree_root(map(leaf_hash, entries)),
        lambda: lambda: recursive_root(entries),
        lambda ours, theirs: ours == theirs,
        runs,
    )
    return Row(
        name="tree",
        what="Merkle tree: the root over 32-byte entries",
        against="RFC 6962's recursive definition in plain Python (not pymerkle, which is no dependency here)",
        amount=data.events,
        unit="leaves",
        mine=compared.mine,
        plain=compared.plain,
    )


def recursive_root(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if len(entries) <= 1:
        return sha256(b"\x00" + entries[0]).digest() if entries else sha256().digest()
    k = 1 << ((len(entries) - 1).bit_length() - 1)
    return sha256(b"\x01" + recursive_root(entries[:k]) + recursive_root(entries[k:])).digest()
