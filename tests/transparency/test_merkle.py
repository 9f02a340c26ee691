"""Merkle trees against the published vectors and against RFC 6962's own recursive definitions."""

import json
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.errors import VerificationError
from transparency.merkle import (
    EMPTY_ROOT,
    CompactRange,
    LeafHashes,
    NodeId,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    range_nodes,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

VECTORS = Path(__file__).parents[1] / "vectors"
LEAVES = [leaf_hash(number.to_bytes(2)) for number in range(600)]


def cases(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in json.loads((VECTORS / name).read_text())]


def hashes(encoded: list[str] | None) -> list[bytes]:
    return [b64decode(text) for text in encoded or []]


def accepts(verify: Callable[[], None], reason: str) -> bool:
    try:
        verify()
    except VerificationError as refused:
        return refused.reason != reason  # another reason is as wrong as letting it pass
    return True


# RFC 6962 §2.1, word for word.
def mth(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


# RFC 6962 §2.1.1
def path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


# RFC 6962 §2.1.2
def subproof(m: int, leaves: list[bytes], b: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if b else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], b), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


@pytest.mark.parametrize("case", cases("rfc6962_inclusion.json"))
def test_inclusion_vectors(case: dict[str, Any]) -> None:
    def verify() -> None:
        leaf, root = b64decode(case["leafHash"]), b64decode(case["root"])
        verify_inclusion(leaf, case["leafIdx"], case["treeSize"], hashes(case["proof"]), root)

    assert accepts(verify, "inclusion") is not case["wantErr"]


@pytest.mark.parametrize("case", cases("rfc6962_consistency.json"))
def test_consistency_vectors(case: dict[str, Any]) -> None:
    def verify() -> None:
        old_root, new_root = b64decode(case["root1"]), b64decode(case["root2"])
        verify_consistency(case["size1"], case["size2"], old_root, new_root, hashes(case["proof"]))

    assert accepts(verify, "consistency") is not case["wantErr"]


def test_log_of_the_reference_vectors() -> None:
    log = json.loads((VECTORS / "lumi_v1.json").read_text())["log"]
    leaves = [leaf_hash(entry.encode()) for entry in log["entries"]]
    assert [leaf.hex() for leaf in leaves] == log["leaf_hashes"]
    for checkpoint in log["checkpoints"]:
        assert tree_root(leaves[: checkpoint["size"]]).hex() == checkpoint["root"]


def test_hashes_of_the_definition() -> None:
    assert sha256(b"").digest() == EMPTY_ROOT == tree_root([])
    assert leaf_hash(b"") == sha256(b"\x00").digest()
    assert node_hash(LEAVES[0], LEAVES[1]) == sha256(b"\x01" + LEAVES[0] + LEAVES[1]).digest()


@pytest.mark.parametrize("size", [*range(70), 127, 128, 129, 255, 256, 257, 600])
def test_roots_equal_the_recursive_definition(size: int) -> None:
    assert tree_root(LEAVES[:size]) == LeafHashes(LEAVES[:size]).root() == mth(LEAVES[:size])


@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 64, 65])
def test_every_inclusion_proof_equals_the_recursive_definition_and_verifies(size: int) -> None:
    reader, root = LeafHashes(LEAVES[:size]), mth(LEAVES[:size])
    for index in range(size):
        proof = inclusion_proof(reader, index, size)
        assert proof == path(index, LEAVES[:size])
        verify_inclusion(LEAVES[index], index, size, proof, root)


@pytest.mark.parametrize("new", [*range(1, 20), 31, 32, 33, 64, 65])
def test_every_consistency_proof_equals_the_recursive_definition_and_verifies(new: int) -> None:
    reader, new_root = LeafHashes(LEAVES[:new]), mth(LEAVES[:new])
    for old in range(1, new + 1):
        proof = consistency_proof(reader, old, new)
        assert proof == subproof(old, LEAVES[:new], True)
        verify_consistency(old, new, mth(LEAVES[:old]), new_root, proof)


@given(st.data())
def test_proofs_in_a_prefix_of_a_larger_tree(data: st.DataObject) -> None:
    """A proof for an earlier size needs nothing but complete subtrees, which later growth leaves alone."""
    reader = LeafHashes(LEAVES)
    size = data.draw(st.integers(1, len(LEAVES)))
    index = data.draw(st.integers(0, size - 1))
    assert inclusion_proof(reader, index, size) == path(index, LEAVES[:size])
    assert consistency_proof(reader, index + 1, size) == subproof(index + 1, LEAVES[:size], True)


@given(st.data())
def test_an_altered_inclusion_proof_never_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    index = data.draw(st.integers(0, size - 1))
    root = mth(LEAVES[:size])
    proof = inclusion_proof(LeafHashes(LEAVES[:size]), index, size)
    altered = data.draw(alterations(proof))
    other_index = data.draw(st.integers(-2, size + 2))
    assert accepts(lambda: verify_inclusion(LEAVES[index], index, size, altered, root), "inclusion") is (
        altered == proof
    )
    assert accepts(lambda: verify_inclusion(LEAVES[index], other_index, size, proof, root), "inclusion") is (
        other_index == index
    )


@given(st.data())
def test_an_altered_consistency_proof_never_verifies(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 40))
    old = data.draw(st.integers(1, new))
    old_root, new_root = mth(LEAVES[:old]), mth(LEAVES[:new])
    proof = consistency_proof(LeafHashes(LEAVES[:new]), old, new)
    altered = data.draw(alterations(proof))
    assert accepts(lambda: verify_consistency(old, new, old_root, new_root, altered), "consistency") is (
        altered == proof
    )
    if old != new:
        for roots in [(new_root, old_root), (old_root, old_root), (new_root, new_root)]:
            assert not accepts(lambda: verify_consistency(old, new, *roots, proof), "consistency")  # noqa: B023


def alterations(proof: list[bytes]) -> st.SearchStrategy[list[bytes]]:
    """The proof with a hash changed, dropped, doubled, shortened or added somewhere (or, rarely, unchanged)."""
    positions = st.integers(0, len(proof))
    added = positions.map(lambda at: [*proof[:at], LEAVES[-1], *proof[at:]])
    if not proof:
        return added
    at = st.integers(0, len(proof) - 1)
    return st.one_of(
        added,
        at.map(lambda i: [*proof[:i], sha256(proof[i]).digest(), *proof[i + 1 :]]),
        at.map(lambda i: [*proof[:i], *proof[i + 1 :]]),
        at.map(lambda i: [*proof[: i + 1], *proof[i:]]),
        at.map(lambda i: [*proof[:i], proof[i][:-1], *proof[i + 1 :]]),
        st.permutations(proof),
    )


@given(st.integers(0, 600), st.integers(0, 600))
def test_range_nodes_cover_the_range_with_the_fewest_subtrees(a: int, b: int) -> None:
    begin, end = min(a, b), max(a, b)
    nodes = range_nodes(begin, end)
    position = begin
    for level, index in nodes:
        assert index << level == position
        position = (index + 1) << level
    assert position == end
    for (left_level, left), (right_level, right) in pairwise(nodes):
        siblings = left_level == right_level and left % 2 == 0 and right == left + 1
        assert not siblings  # two siblings would have been one subtree


@given(st.lists(st.integers(0, 600), min_size=2, max_size=8))
def test_segments_computed_apart_merge_into_the_whole(cuts: list[int]) -> None:
    cuts.sort()
    segments = []
    for begin, end in pairwise(cuts):
        segment = CompactRange(begin)
        segment.extend(LEAVES[begin:end])
        assert segment.hashes == LeafHashes(LEAVES).read_nodes(range_nodes(begin, end))
        segments.append(segment)
    while len(segments) > 1:  # fold from the right, to merge ranges that are themselves merged
        right = segments.pop()
        before = right.hashes
        segments[-1].merge(right)
        assert right.hashes == before
    merged = segments[0]
    assert (merged.begin, merged.end) == (cuts[0], cuts[-1])
    assert merged.hashes == LeafHashes(LEAVES).read_nodes(range_nodes(cuts[0], cuts[-1]))
    head = CompactRange()
    head.extend(LEAVES[: cuts[0]])
    head.merge(merged)
    assert head.root() == mth(LEAVES[: cuts[-1]])


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_restored_range_goes_on_and_reports_exactly_the_new_nodes(old: int, added: int) -> None:
    seen: dict[NodeId, bytes] = {}

    def on_node(node: NodeId, digest: bytes) -> None:
        assert node not in seen
        seen[node] = digest

    tree = LeafHashes(LEAVES)
    restored = CompactRange.from_hashes(0, old, tree.read_nodes(range_nodes(0, old)), on_node=on_node)
    restored.extend(LEAVES[old : old + added])
    assert restored.root() == mth(LEAVES[: old + added])
    new = {(level, i) for level in range(10) for i in range(old >> level, (old + added) >> level)}
    assert seen == {node: tree.read_nodes([node])[0] for node in new}


def test_contracts_of_the_prover_are_checked() -> None:
    reader = LeafHashes(LEAVES[:5])
    with pytest.raises(ValueError, match="no leaf 5"):
        inclusion_proof(reader, 5, 5)
    with pytest.raises(ValueError, match="no leaf -1"):
        inclusion_proof(reader, -1, 5)
    with pytest.raises(ValueError, match="not a range"):
        consistency_proof(reader, 5, 4)
    with pytest.raises(ValueError, match="not a range"):
        range_nodes(-1, 4)
    with pytest.raises(ValueError, match="3 hashes"):
        CompactRange.from_hashes(0, 7, LEAVES[:2])
    with pytest.raises(ValueError, match="32 bytes"):
        CompactRange().append(b"short")
    with pytest.raises(ValueError, match="has no root"):
        CompactRange(3).root()
    with pytest.raises(ValueError, match="cannot follow"):
        CompactRange().merge(CompactRange(1))


def test_from_size_zero_there_is_nothing_to_prove_and_nothing_verifies() -> None:
    reader = LeafHashes(LEAVES[:5])
    assert consistency_proof(reader, 0, 5) == []
    with pytest.raises(VerificationError, match="nothing to prove"):
        verify_consistency(0, 5, EMPTY_ROOT, mth(LEAVES[:5]), [])
