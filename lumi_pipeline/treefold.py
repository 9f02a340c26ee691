"""Appending many events to an event tree at once (docs/formats.md section 2)."""

import numpy as np

from lumi_pipeline.hashing import EVENT_LEAF_TAG, event_leaf
from lumi_pipeline.kernels.engine import Engine, engine
from lumi_pipeline.rowhash import Digests
from transparency.merkle import LEAF_PREFIX, NODE_PREFIX, CompactRange

_WORTH_FOLDING = 128
"""Leaves; of fewer, a call for every level takes longer than hashing one by one."""


def append_events(tree: CompactRange, stored: Digests) -> None:
    """Append events to their tree, given their stored integrity hashes."""
    kernels = engine(len(stored)) if len(stored) >= _WORTH_FOLDING else None
    if kernels is None:
        data = stored.tobytes()
        tree.extend(event_leaf(data[at : at + 32]) for at in range(0, len(data), 32))
        return
    leaves = kernels.prefixed(LEAF_PREFIX + EVENT_LEAF_TAG, stored)
    begin = tree.end
    tree.merge(CompactRange.from_hashes(begin, begin + len(leaves), _subtrees(kernels, begin, leaves)))


def _subtrees(kernels: Engine, begin: int, leaves: Digests) -> list[bytes]:
    """The hashes of the largest whole subtrees that the leaves from number ``begin`` on make up, from left to right.

    Level by level: what has its sibling outside the range is such a subtree; the others are joined in pairs.
    """
    left: list[bytes] = []
    right: list[bytes] = []
    nodes, first = leaves, begin
    while len(nodes):
        if first % 2:
            left.append(nodes[0].tobytes())
            nodes, first = nodes[1:], first + 1
        if len(nodes) % 2:
            right.append(nodes[-1].tobytes())
            nodes = nodes[:-1]
        if len(nodes):
            nodes = kernels.prefixed(NODE_PREFIX, np.ascontiguousarray(nodes).reshape(-1, 64))
        first //= 2
    return left + right[::-1]
