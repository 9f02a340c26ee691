"""The format once more, for the tests alone: the encodings and trees of docs/formats.md, recursive and slow.

Nothing here imports the project, so a mistake in its writer can't hide in the corpus as well.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence

EMPTY = hashlib.sha256(b"").digest()


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def net(*values: str | None) -> bytes:
    parts = []
    for value in values:
        data = b"" if value is None else value.encode()
        parts.append(b"-," if value is None else str(len(data)).encode() + b":" + data + b",")
    return b"".join(parts)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def canonical(value: object) -> bytes:
    """Canonical JSON and an LF. Python's own escapes happen to be those of the format."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def tree_root(entries: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1."""
    if len(entries) < 2:
        return sha(b"\x00", entries[0]) if entries else EMPTY
    k = _split(len(entries))
    return sha(b"\x01", tree_root(entries[:k]), tree_root(entries[k:]))


def tree_path(entries: Sequence[bytes], index: int) -> list[bytes]:
    """RFC 6962 section 2.1.1."""
    if len(entries) == 1:
        return []
    k = _split(len(entries))
    if index < k:
        return [*tree_path(entries[:k], index), tree_root(entries[k:])]
    return [*tree_path(entries[k:], index - k), tree_root(entries[:k])]


def _split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def varint(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n % 128 + 128, n // 128])


def bit(key: bytes, number: int) -> int:
    return int.from_bytes(key) >> (255 - number) & 1


def map_leaf(key: bytes, value: bytes) -> bytes:
    return sha(b"\x00", varint(32), key, varint(32), value)


def map_root(pairs: Mapping[bytes, bytes]) -> bytes:
    if not pairs:
        return EMPTY
    if len(pairs) == 1:
        return map_leaf(*next(iter(pairs.items())))
    at, left, right = _branch(pairs)
    return sha(b"\x01", varint(at), map_root(left), map_root(right))


def map_path(pairs: Mapping[bytes, bytes], key: bytes) -> tuple[bytes, bytes]:
    """The leaf's key that looking ``key`` up ends at, and its path."""
    if len(pairs) == 1:
        return next(iter(pairs)), b""
    at, left, right = _branch(pairs)
    mine, other = (right, left) if bit(key, at) else (left, right)
    found, path = map_path(mine, key)
    return found, path + varint(at) + map_root(other)


def map_proof(pairs: Mapping[bytes, bytes], key: bytes) -> bytes:
    """The proof of presence where the key is there, of absence where it is not."""
    if not pairs:
        return b""
    found, path = map_path(pairs, key)
    return path if found == key else varint(32) + found + varint(32) + pairs[found] + path


def _branch(pairs: Mapping[bytes, bytes]) -> tuple[int, dict[bytes, bytes], dict[bytes, bytes]]:
    at = next(number for number in range(256) if len({bit(key, number) for key in pairs}) == 2)
    left = {key: value for key, value in pairs.items() if not bit(key, at)}
    return at, left, {key: value for key, value in pairs.items() if key not in left}
