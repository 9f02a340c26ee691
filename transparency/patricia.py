r"""The tenant map: a Merkle Patricia tree with 32-byte keys and values (docs/formats.md, "Tenant map").

The hashes, with ``v(n)`` the unsigned LEB128 varint of n::

    empty tree   SHA-256("")
    leaf         SHA-256(0x00 || v(32) || key || v(32) || value)
    inner node   SHA-256(0x01 || v(B) || left || right)

``B`` is the first bit (0 is the most significant bit of byte 0) at which the keys below the node differ; in the left
half that bit is 0. Nodes with a single child do not exist, so the shape of the tree is fixed by its set of keys, and
a key can sit in one place only. This is the tree of the ``mpt`` package of FiloSottile/torchwood.

A path leads from a leaf to the root, ``v(B1) H1 v(B2) H2 …``: B strictly decreasing, H the other child. Whether H is
right or left is not written down: bit B of the key says it. With the keys 000…, 010…, 011… and 1…, in bits::

              B=0                   the path of 010…:  v(2) 011…  v(1) 000…  v(0) 1…
             /   \                  the path of 000…:  v(1) (B=2)  v(0) 1…
          B=1     1…
         /   \
      000…   B=2                    where a lookup of 001… ends: B=0 left, B=1 left, at 000…, which is another
            /   \                   key; so 001… is absent, and that leaf with its path is the proof
         010…   011…

Proofs hold even against who built the tree. From a given root a lookup has one way to go at every node, by the bit
of the key that the node's own hash fixes, so it ends at one leaf: no two values can be proven for a key, nor both its
presence and its absence. A leaf hung where a lookup of its key does not come by can never be proven at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

from transparency.encoding import decode_varint, encode_varint
from transparency.errors import EncodingError, ProofFormatError, VerificationError
from transparency.merkle import EMPTY_ROOT, HASH_SIZE

KEY_SIZE = 32
VALUE_SIZE = 32
_KEY_BITS = 8 * KEY_SIZE
_LEAF_TAG = b"\x00"
_INNER_TAG = b"\x01"
_VARINTS = [encode_varint(bit) for bit in range(_KEY_BITS)]
_SIZE_PREFIX = encode_varint(KEY_SIZE)

MAX_PROOF_SIZE = 2 * (1 + KEY_SIZE) + _KEY_BITS * (2 + HASH_SIZE)
"""No proof is longer than the other leaf of an absence proof and one step for each bit of the key (in bytes)."""


@dataclass(frozen=True, slots=True)
class _Leaf:
    key: bytes
    value: bytes
    digest: bytes


@dataclass(frozen=True, slots=True, eq=False, repr=False)  # the defaults would walk the whole subtree
class _Inner:
    bit: int
    left: "_Leaf | _Inner"
    right: "_Leaf | _Inner"
    digest: bytes


_Node = _Leaf | _Inner


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a path towards the root: the node's bit, and the hash of its other child."""

    bit: int
    sibling: bytes


class TenantMap:
    """The tree over one set of keys and values, ready to give proofs. Immutable."""

    __slots__ = ("_root",)

    def __init__(self, root: _Node | None) -> None:
        """Wrap a finished tree; use :meth:`build`."""
        self._root = root

    @classmethod
    def build(cls, items: Mapping[bytes, bytes]) -> "TenantMap":
        """Build the tree of these keys and values, 32 bytes each (ValueError otherwise), in O(n log n)."""
        keys = sorted(items)
        if not keys:
            return cls(None)
        # In key order neighbours share the longest prefixes, so one pass from left to right is enough. Waiting on the
        # stack, from the root down, are the nodes whose left half is done and whose right half is still growing, with
        # their bits, which rise. A key that differs from the one before it in bit B ends all right halves below B.
        waiting: list[tuple[int, _Node]] = []
        node: _Node = _leaf(keys[0], items[keys[0]])
        for previous, key in pairwise(keys):
            bit = _first_difference(previous, key)
            node = _close(waiting, node, below=bit)
            waiting.append((bit, node))
            node = _leaf(key, items[key])
        return cls(_close(waiting, node, below=-1))

    @property
    def root(self) -> bytes:
        """The 32-byte root hash."""
        return EMPTY_ROOT if self._root is None else self._root.digest

    def prove(self, key: bytes) -> bytes:
        """Return the proof that ``key`` is in the map with its value, or else the proof that it is not in the map.

        The bytes do not say which of the two they are: who verifies has to know what is claimed. In a map of one key
        its presence is proven by no bytes at all, as is the absence of any key in the empty map, under another root.
        """
        _check_size("key", key, KEY_SIZE)
        if self._root is None:
            return b""
        steps = []
        node = self._root
        while isinstance(node, _Inner):  # from the root down; the proof lists the steps from the leaf up
            near, far = (node.right, node.left) if _bit(key, node.bit) else (node.left, node.right)
            steps.append(_VARINTS[node.bit] + far.digest)
            node = near
        path = b"".join(reversed(steps))
        if node.key == key:
            return path
        return _SIZE_PREFIX + node.key + _SIZE_PREFIX + node.value + path


def verify_presence(root: bytes, key: bytes, value: bytes, proof: bytes) -> None:
    """Check that the map with this root holds ``value`` under ``key``.

    Raises :class:`ProofFormatError` for bytes that are not a path, and :class:`VerificationError` (reason
    ``tenant-map``) when the path does not lead from this key and value to the root.
    """
    _check_size("key", key, KEY_SIZE)
    _check_size("value", value, VALUE_SIZE)
    _check_proof_size(proof)
    if _path_root(_leaf_digest(key, value), key, _parse_path(proof, 0)) != root:
        raise VerificationError(
            "tenant-map", "tenant map proof does not verify: it leads to another root than the one committed to"
        )


def verify_absence(root: bytes, key: bytes, proof: bytes) -> None:
    """Check that the map with this root does not hold ``key``.

    The proof shows the leaf that a lookup of ``key`` ends at, and that this is the leaf of another key. Errors as
    :func:`verify_presence`.
    """
    _check_size("key", key, KEY_SIZE)
    _check_proof_size(proof)
    if not proof:
        if root != EMPTY_ROOT:
            raise _not_absent("it is empty, and the map is not")
        return
    other, offset = _parse_bytes32(proof, 0)
    value, offset = _parse_bytes32(proof, offset)
    path = _parse_path(proof, offset)
    if other == key:
        raise _not_absent("it shows the very key that should be absent")
    if any(_bit(key, step.bit) != _bit(other, step.bit) for step in path):
        raise _not_absent("a lookup of the key does not end at the leaf that it shows")
    if _path_root(_leaf_digest(other, value), other, path) != root:
        raise _not_absent("it leads to another root than the one committed to")


def _not_absent(why: str) -> VerificationError:
    return VerificationError("tenant-map", f"tenant map absence proof does not verify: {why}")


def _leaf(key: bytes, value: bytes) -> _Leaf:
    _check_size("key", key, KEY_SIZE)
    _check_size("value", value, VALUE_SIZE)
    return _Leaf(key, value, _leaf_digest(key, value))


def _leaf_digest(key: bytes, value: bytes) -> bytes:
    return sha256(_LEAF_TAG + _SIZE_PREFIX + key + _SIZE_PREFIX + value).digest()


def _inner_digest(bit: int, left: bytes, right: bytes) -> bytes:
    return sha256(_INNER_TAG + _VARINTS[bit] + left + right).digest()


def _close(waiting: list[tuple[int, _Node]], node: _Node, *, below: int) -> _Node:
    """Make the waiting nodes whose bit is after ``below``: ``node`` is the last one's right half, that one the next's.

    Return the topmost of them, or ``node`` itself if there are none.
    """
    while waiting and waiting[-1][0] > below:
        bit, left = waiting.pop()
        node = _Inner(bit, left, node, _inner_digest(bit, left.digest, node.digest))
    return node


def _first_difference(a: bytes, b: bytes) -> int:
    """Return the first bit at which two different keys differ, 0 for the most significant bit of byte 0."""
    return _KEY_BITS - (int.from_bytes(a) ^ int.from_bytes(b)).bit_length()


def _bit(key: bytes, bit: int) -> int:
    """Return the given bit of the key, 0 or 1."""
    return key[bit >> 3] >> (7 - (bit & 7)) & 1


def _check_size(what: str, data: bytes, size: int) -> None:
    if len(data) != size:
        raise ValueError(f"a {what} of the tenant map has {size} bytes, not {len(data)}")


def _check_proof_size(proof: bytes) -> None:
    if len(proof) > MAX_PROOF_SIZE:
        raise ProofFormatError(f"a tenant map proof has at most {MAX_PROOF_SIZE} bytes, not {len(proof)}")


def _path_root(digest: bytes, key: bytes, path: Sequence[_Step]) -> bytes:
    """Return the root that the path leads to from the leaf with this hash and key."""
    for step in path:
        if _bit(key, step.bit):
            digest = _inner_digest(step.bit, step.sibling, digest)
        else:
            digest = _inner_digest(step.bit, digest, step.sibling)
    return digest


def _parse_path(proof: bytes, offset: int) -> list[_Step]:
    """Parse everything from ``offset`` on as the steps of a path, bits strictly decreasing."""
    steps = []
    below = _KEY_BITS
    while offset < len(proof):
        bit, offset = _parse_varint(proof, offset)
        if bit >= below:
            raise ProofFormatError(f"tenant map proof: bit {bit} where one below {below} must follow")
        sibling, offset = _take(proof, offset, HASH_SIZE)
        steps.append(_Step(bit, sibling))
        below = bit
    return steps


def _parse_bytes32(proof: bytes, offset: int) -> tuple[bytes, int]:
    """Parse ``v(32)`` and 32 bytes; return these and the offset after them."""
    size, offset = _parse_varint(proof, offset)
    if size != KEY_SIZE:
        raise ProofFormatError(f"tenant map proof: a key or value of {size} bytes where {KEY_SIZE} must follow")
    return _take(proof, offset, size)


def _parse_varint(proof: bytes, offset: int) -> tuple[int, int]:
    try:
        return decode_varint(proof, offset)
    except EncodingError as error:
        raise ProofFormatError(f"tenant map proof: {error}") from error


def _take(proof: bytes, offset: int, size: int) -> tuple[bytes, int]:
    end = offset + size
    if end > len(proof):
        raise ProofFormatError(f"tenant map proof: cut off at byte {len(proof)}")
    return proof[offset:end], end
