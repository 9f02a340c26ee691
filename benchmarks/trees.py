"""The root of an event tree."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from pymerkle import InmemoryTree  # type: ignore[import-untyped]

from benchmarks.dataset import Dataset
from benchmarks.measuring import compare
from benchmarks.row import Row
from lumi_pipeline.hashing import EVENT_LEAF_TAG
from lumi_pipeline.rowhash import Digests
from lumi_pipeline.treefold import append_events
from transparency.merkle import CompactRange


def measure(data: Dataset, runs: int) -> Row:
    """Compute the root over as many integrity hashes as there are events."""
    hashes = [sha256(b"%d" % number).digest() for number in range(data.events)]
    stored = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)
    compared = compare(
        lambda: lambda: event_root(stored),
        lambda: lambda: pymerkle_root(hashes),
        lambda ours, theirs: ours == theirs,
        runs,
    )
    return Row(
        name="tree",
        what="Merkle tree: the root over so many events' hashes",
        against="pymerkle, the same leaves appended one by one, and its root",
        amount=data.events,
        unit="leaves",
        mine=compared.mine,
        plain=compared.plain,
    )


def event_root(stored: Digests) -> bytes:
    """The root as sealing computes it."""
    tree = CompactRange()
    append_events(tree, stored)
    return tree.root()


def pymerkle_root(hashes: Sequence[bytes]) -> bytes:
    """The root of the same tree by pymerkle, whose leaves and nodes are those of RFC 6962 too."""
    tree = InmemoryTree(algorithm="sha256")
    for digest in hashes:
        tree.append_entry(EVENT_LEAF_TAG + digest)
    return bytes(tree.get_root())
