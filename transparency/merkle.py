r"""Merkle trees of RFC 6962 (and RFC 9162): hashes, compact ranges, inclusion and consistency proofs.

The tree over the entries ``d[0] … d[n-1]`` has the root ``MTH(D[n])`` of RFC 6962 §2.1::

    MTH({})     = SHA-256("")
    MTH({d[0]}) = SHA-256(0x00 || d[0])
    MTH(D[n])   = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n])),   k the largest power of two smaller than n

A *node* is a complete subtree: level ``l``, index ``i``, covering the leaves ``[i * 2**l, (i + 1) * 2**l)``. Complete
subtrees never change while the tree grows, so they are what is stored (tiles.py), and every hash that a root or a
proof needs is folded from a few of them. The tree of 7 leaves, its nodes written (level, index)::

             (2,0)
            /     \
        (1,0)     (1,1)     (1,2)          x    = node_hash((1,2), (0,6))
        /   \     /   \     /   \          root = node_hash((2,0), x)
       0     1   2     3   4     5     6   x and root are no complete subtrees: the next leaf changes them

Leaf 2 is proven by the path (0,3), (1,0), x: each is the sibling of what was computed so far. That the tree of 3
leaves is the beginning of this one is proven by (0,2), (0,3), (1,0), x: from the first and the third follows the old
root, from all of them the new one.

First come the hashes and the checking of proofs, which is all that a proof's reader needs; then what computes roots
and makes proofs. Nothing here does any input or output: where hashes are kept is behind :class:`NodeReader`.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Protocol, TypeAlias

from transparency.errors import VerificationError

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()

LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
"""What keeps leaves and inner nodes apart (RFC 6962 §2.1)."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf, ``SHA-256(0x00 || entry)`` (RFC 6962 §2.1)."""
    return sha256(LEAF_PREFIX + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node, ``SHA-256(0x01 || left || right)`` (RFC 6962 §2.1)."""
    return sha256(NODE_PREFIX + left + right).digest()


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash ``leaf`` is number ``index`` of the tree with ``size`` leaves and this root.

    The algorithm of RFC 9162 §2.1.3.2. Which side each hash of the path goes on, and how many there are, is not for
    the path to say: it follows from ``index`` and ``size``, so a path fits one place only. Any proof that does not
    verify, whatever is wrong with it, raises :class:`VerificationError` with the reason ``inclusion``.
    """
    if not 0 <= index < size:
        raise _not_included(f"a tree of {size} leaves has no leaf {index}")
    if any(len(digest) != HASH_SIZE for digest in (leaf, root, *path)):
        raise _not_included(f"a hash is not {HASH_SIZE} bytes long")
    first, last = index, size - 1  # RFC 9162's fn and sn: the leaf and the last leaf, seen from the current level
    computed = leaf
    for sibling in path:
        if last == 0:
            raise _not_included("the path is too long")
        if first & 1 or first == last:  # a right child, or the last node of a level: the sibling is to the left
            computed = node_hash(sibling, computed)
            while first and not first & 1:  # last, and no right child: it has no sibling on this level and rises
                first, last = first >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        first, last = first >> 1, last >> 1
    if last != 0:
        raise _not_included("the path is too short")
    if computed != root:
        raise _not_included("the path leads to another root")


def _not_included(why: str) -> VerificationError:
    return VerificationError("inclusion", f"inclusion proof does not verify: {why}")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree ``(old, old_root)`` is the beginning of the tree ``(new, new_root)``.

    The algorithm of RFC 9162 §2.1.4.2. Anything that does not verify raises :class:`VerificationError` with the
    reason ``consistency``.

    ``old`` 0 never verifies. The empty tree is the beginning of every tree, so a "proof" from it says nothing about
    the new root, and accepting one would let a caller who lost its old checkpoint believe it had checked something.
    A caller that starts from nothing knows so and does not call this.
    """
    if not 0 < old <= new:
        raise _not_consistent(f"there is nothing to prove from size {old} to size {new}")
    if old == new:
        if path or old_root != new_root:
            raise _not_consistent(f"two roots, or a path, for one size {old}")
        return
    if any(len(digest) != HASH_SIZE for digest in (old_root, new_root, *path)):
        raise _not_consistent(f"a hash is not {HASH_SIZE} bytes long")
    if not path:
        raise _not_consistent("the path is too short")
    # A complete old tree (a power of two) is itself the first node, and is left out of the path: RFC 9162 step 2.
    from_old, from_new = _fold_both(old, new, [old_root, *path] if old & (old - 1) == 0 else path)
    if from_old != old_root:
        raise _not_consistent("the path leads to another old root")
    if from_new != new_root:
        raise _not_consistent("the path leads to another new root")


def _fold_both(old: int, new: int, hashes: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Compute the old and the new root from a consistency path (RFC 9162 §2.1.4.2, steps 3 to 6).

    The first hash is the largest complete subtree that ends where the old tree ends, a node of both trees. What
    joins it from the left is in both trees too; what joins it from the right came later, and is in the new one only.
    """
    first, last = old - 1, new - 1  # fn and sn: the last leaf of each tree, seen from the current level
    while first & 1:  # from the old tree's last leaf up to that subtree
        first, last = first >> 1, last >> 1
    from_old = from_new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise _not_consistent("the path is too long")
        if first & 1 or first == last:
            from_old = node_hash(sibling, from_old)
            from_new = node_hash(sibling, from_new)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            from_new = node_hash(from_new, sibling)
        first, last = first >> 1, last >> 1
    if last != 0:
        raise _not_consistent("the path is too short")
    return from_old, from_new


def _not_consistent(why: str) -> VerificationError:
    return VerificationError("consistency", f"consistency proof does not verify: {why}")


NodeId: TypeAlias = tuple[int, int]
"""A complete subtree as (level, index): ``2**level`` leaves, the first of which is leaf ``index * 2**level``."""


def range_nodes(begin: int, end: int) -> list[NodeId]:
    """Return the fewest complete subtrees that together cover the leaves ``[begin, end)``, from left to right.

    From the left the subtrees grow until the largest, then they shrink: at most two of any level. With ``begin`` 0
    they are one for every bit set in ``end``, the largest first: those of [0, 7) are (2,0), (1,2), (0,6), and those
    of [3, 7) are (0,3), (1,2), (0,6).
    """
    _check_range(begin, end)
    nodes = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:  # a subtree starts at a multiple of its own size: no larger than the lowest bit set in begin
            level = min(level, (begin & -begin).bit_length() - 1)
        nodes.append((level, begin >> level))
        begin += 1 << level
    return nodes


def _check_range(begin: int, end: int) -> None:
    if not 0 <= begin <= end:
        raise ValueError(f"[{begin}, {end}) is not a range of leaves")


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Return MTH of the leaves under the given subtrees, which must shrink from left to right.

    So do those of [0, n), and of every D[k:n] that RFC 6962's definition splits off, since k is a power of two
    no smaller than n - k. The largest of them is the left child, everything after it the right one.
    """
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


class CompactRange:
    """The leaves ``[begin, end)`` of a tree, kept as the hashes of the subtrees that ``range_nodes`` lists.

    That is all one needs to append further leaves and, with ``begin`` 0, to compute the root; it takes a few dozen
    hashes for any number of leaves. Two adjacent ranges merge into one, so that the segments of a long tree can be
    computed apart (in threads, in processes, from files) and folded together afterwards.

    ``on_node`` is called with the id and hash of every node that this object adds: each appended leaf, and each
    inner node at the moment both its children are there. A tile writer listens to it.
    """

    __slots__ = ("_begin", "_end", "_hashes", "_on_node")

    def __init__(self, begin: int = 0, *, on_node: Callable[[NodeId, bytes], None] | None = None) -> None:
        """Start an empty range at leaf ``begin``."""
        _check_range(begin, begin)
        self._begin = begin
        self._end = begin
        self._hashes: list[bytes] = []
        self._on_node = on_node

    @classmethod
    def from_hashes(
        cls,
        begin: int,
        end: int,
        hashes: Sequence[bytes],
        *,
        on_node: Callable[[NodeId, bytes], None] | None = None,
    ) -> "CompactRange":
        """Restore a range from the hashes of ``range_nodes(begin, end)``."""
        expected = len(range_nodes(begin, end))
        if len(hashes) != expected or any(len(node) != HASH_SIZE for node in hashes):
            raise ValueError(f"the range [{begin}, {end}) takes {expected} hashes of {HASH_SIZE} bytes")
        restored = cls(begin, on_node=on_node)
        restored._end = end
        restored._hashes = list(hashes)
        return restored

    @property
    def begin(self) -> int:
        """The first leaf of the range."""
        return self._begin

    @property
    def end(self) -> int:
        """The leaf after the last one; with ``begin`` 0, the size of the tree."""
        return self._end

    @property
    def hashes(self) -> list[bytes]:
        """The hashes of ``range_nodes(begin, end)``."""
        return list(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf, given by its 32-byte leaf hash, at ``end``."""
        if len(leaf) != HASH_SIZE:
            raise ValueError(f"a leaf hash has {HASH_SIZE} bytes, not {len(leaf)}")
        if self._on_node is not None:
            self._on_node((0, self._end), leaf)
        self._push((0, self._end), leaf)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaves, given by their leaf hashes, in order."""
        for leaf in leaves:
            self.append(leaf)

    def merge(self, right: "CompactRange") -> None:
        """Add the leaves of ``right``, which must begin where this range ends; ``right`` stays as it is."""
        if right._begin != self._end:
            raise ValueError(f"a range that begins at {right._begin} cannot follow one that ends at {self._end}")
        for node, digest in zip(range_nodes(right._begin, right._end), right._hashes, strict=True):
            self._push(node, digest)

    def _push(self, node: NodeId, digest: bytes) -> None:
        """Add a subtree that starts at ``end``; join it with its left sibling for as long as that is in the range.

        No two siblings stand side by side before, so only the last one can find its sibling, and none do after. It is
        the carry of adding 1 in binary: after leaf 7 the nodes (2,0), (1,2), (0,6), (0,7) become (3,0).
        """
        level, index = node
        self._end = (index + 1) << level
        while index & 1 and (index - 1) << level >= self._begin:
            digest = node_hash(self._hashes.pop(), digest)
            level, index = level + 1, index >> 1
            if self._on_node is not None:
                self._on_node((level, index), digest)
        self._hashes.append(digest)

    def root(self) -> bytes:
        """Return MTH of all leaves (RFC 6962 §2.1); only a range that begins at leaf 0 is a whole tree."""
        if self._begin != 0:
            raise ValueError(f"a range that begins at leaf {self._begin} has no root")
        return _fold(self._hashes)


def tree_root(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root of the tree with these leaves, given by their leaf hashes, in one pass and constant memory."""
    tree = CompactRange()
    tree.extend(leaf_hashes)
    return tree.root()


class NodeReader(Protocol):
    """Where a proof gets its hashes from. Implementations authenticate what they return (see ``tiles.TileReader``)."""

    def read_nodes(self, ids: Sequence[NodeId]) -> list[bytes]:
        """Return the 32-byte hashes of the given complete subtrees, in the same order."""
        ...


class LeafHashes:
    """A whole tree in memory, as a :class:`NodeReader`: every complete subtree of the given leaf hashes."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Iterable[bytes]) -> None:
        """Hash every level once; takes about 75 bytes of memory per leaf beyond the leaves themselves."""
        level = list(leaf_hashes)
        self._levels = [level]
        while len(level) > 1:
            level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            self._levels.append(level)

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self._levels[0])

    def read_nodes(self, ids: Sequence[NodeId]) -> list[bytes]:
        """Return the hashes of the given complete subtrees; IndexError for one that the tree does not have."""
        return [self._levels[level][index] for level, index in ids]

    def root(self) -> bytes:
        """Return MTH of all leaves."""
        return _fold(self.read_nodes(range_nodes(0, self.size)))


def inclusion_proof(reader: NodeReader, index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf ``index`` in the tree of the first ``size`` leaves, the lowest hash first.

    ``PATH(m, D[n])`` of RFC 6962 §2.1.1. Needs ``0 <= index < size``.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    siblings = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:  # m < k: PATH(m, D[0:k]) : MTH(D[k:n])
            siblings.append((middle, end))
            end = middle
        else:  # m >= k: PATH(m - k, D[k:n]) : MTH(D[0:k])
            siblings.append((begin, middle))
            begin = middle
    return _read_ranges(reader, siblings[::-1])


def consistency_proof(reader: NodeReader, old: int, new: int) -> list[bytes]:
    """Return the proof that the tree of ``old`` leaves is the beginning of the tree of ``new`` leaves.

    ``PROOF(m, D[n])`` of RFC 6962 §2.1.2. Needs ``0 <= old <= new``. From the empty tree there is nothing to prove
    and the proof is empty, which is what a witness is sent with ``old 0``; see :func:`verify_consistency`.
    """
    _check_range(old, new)
    if old == 0:
        return []
    subtrees = []
    begin, end = 0, new
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:  # m <= k: SUBPROOF(m, D[0:k], b) : MTH(D[k:n])
            subtrees.append((middle, end))
            end = middle
        else:  # m > k: SUBPROOF(m - k, D[k:n], false) : MTH(D[0:k])
            subtrees.append((begin, middle))
            begin = middle
    if begin:  # SUBPROOF(m, D[m], false) = {MTH(D[m])}; with b still true (begin 0) the verifier has that hash already
        subtrees.append((begin, end))
    return _read_ranges(reader, subtrees[::-1])


def _split(n: int) -> int:
    """Return RFC 6962's k: the largest power of two smaller than n (n > 1)."""
    return 1 << ((n - 1).bit_length() - 1)


def _read_ranges(reader: NodeReader, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return MTH of each range of leaves, with a single call of the reader."""
    covers = [range_nodes(begin, end) for begin, end in ranges]
    hashes = iter(reader.read_nodes([node for cover in covers for node in cover]))
    return [_fold([next(hashes) for _ in cover]) for cover in covers]
