"""Folding many events into a tree at once gives the tree of folding them one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline import treefold
from lumi_pipeline.hashing import event_leaf
from lumi_pipeline.kernels.engine import Engine
from transparency.merkle import CompactRange

_KERNELS = Engine(native=False)


@given(begin=st.integers(0, 70), sizes=st.lists(st.integers(0, 300), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_as_one_by_one(begin: int, sizes: list[int]) -> None:
    rows = np.random.default_rng(begin).integers(0, 256, (begin + sum(sizes), 32), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(treefold, "engine", lambda _: _KERNELS)
        tree, at = CompactRange(), 0
        for size in (begin, *sizes):
            treefold.append_events(tree, rows[at : at + size])
            at += size
    expected = CompactRange()
    expected.extend(event_leaf(row.tobytes()) for row in rows)
    assert (tree.end, tree.hashes, tree.root()) == (expected.end, expected.hashes, expected.root())
