"""The proof index of a sealed day: what proving one event needs, so that nobody has to read the day for it.

``index/day=<day>/events.idx`` tells where each event id is, and has the event trees' nodes of level 10. It is derived
from the day's files and is no evidence: missing, old or altered, it costs time and never gives a wrong proof, because
whoever proves checks the row by its hashes and the path by the day's record. It begins with 16 bytes that say what it
is and two numbers r and n; then come r keys in order, for each key the number of its row, and n nodes, tenant by
tenant. Numbers and keys are 32 bits, little-endian. An id's key are its last 8 hex digits, rows are numbered as in
:mod:`~lumi_pipeline.dayrows`, and a tenant has as many nodes as there are whole groups of 1,024 among its events.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from hashlib import sha256
from itertools import accumulate
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lumi_pipeline.errors import LakeError
from lumi_pipeline.hashing import EVENT_LEAF_TAG
from lumi_pipeline.kernels.engine import engine
from lumi_pipeline.lake import Lake, reading
from lumi_pipeline.records import StoredFile
from lumi_pipeline.rowhash import Digests, digest_column
from lumi_pipeline.sealedday import SealedDay, load_sealed_day
from transparency.errors import ObjectMissing
from transparency.merkle import HASH_SIZE, LEAF_PREFIX, NODE_PREFIX

INDEXES: Final = "index/"
"""The prefix of all of them."""

LEVEL: Final = 10
"""Of the nodes: each covers 1,024 events, so they add 0.03 bytes an event, and a proof reads 1,024 events' hashes."""

_MAGIC: Final = b"lumi-index/1\n\0\0\0"
_HEADER: Final = struct.Struct("<16sII")
_WORD: Final = np.dtype("<u4")
_ID_SIZE: Final = 36
_DIGITS: Final = 8
"""The last digits of a UUID are random in every version that is in use, so keys spread evenly."""

_WINDOW: Final = 4096
"""Keys read at first: 16 KB, twice what 10 million keys usually stray from where they are expected."""

_NIBBLES: Final = np.zeros(256, _WORD)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_WEIGHTS: Final = (1 << np.arange(4 * (_DIGITS - 1), -1, -4)).astype(_WORD)


class ProofIndex:
    """An opened proof index; what it says is not known to be true."""

    def __init__(self, file: BinaryIO, rows: int, nodes: int) -> None:
        self._file = file
        self.rows = rows
        self.nodes = nodes

    def find(self, event_id: str) -> list[int]:
        """The numbers of the rows that may hold an event: as a rule one or none; some others' keys are the same."""
        key = int(event_id[-_DIGITS:], 16)
        width = _WINDOW
        while True:
            first = max(0, key * self.rows // 2**32 - width // 2)
            after = min(self.rows, first + width)
            keys = self._words(first, after - first)
            if (first == 0 or keys[0] < key) and (after == self.rows or keys[-1] > key):
                break
            width *= 4
        begin, end = np.searchsorted(keys, [key, key + 1])
        return [int(row) for row in self._words(self.rows + first + int(begin), int(end - begin)) if row < self.rows]

    def read_nodes(self, first: int, count: int) -> list[bytes]:
        """Nodes by their numbers in the file."""
        data = self._read(_HEADER.size + 2 * _WORD.itemsize * self.rows + first * HASH_SIZE, count * HASH_SIZE)
        return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]

    def _words(self, first: int, count: int) -> npt.NDArray[np.uint32]:
        return np.frombuffer(self._read(_HEADER.size + first * _WORD.itemsize, count * _WORD.itemsize), _WORD)

    def _read(self, start: int, size: int) -> bytes:
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) != size:
            raise LakeError("a proof index was cut while it was read")
        return data


@contextmanager
def open_index(lake: Lake, day: date) -> Iterator[ProofIndex | None]:
    """Open a day's proof index; None where there is none, or something else."""
    try:
        file = lake.open(index_key(day))
    except ObjectMissing:
        yield None
        return
    with file:
        head = file.read(_HEADER.size)
        magic, rows, nodes = _HEADER.unpack(head) if len(head) == _HEADER.size else (b"", 0, 0)
        size = _HEADER.size + 2 * rows * _WORD.itemsize + nodes * HASH_SIZE
        whole = magic == _MAGIC and file.seek(0, 2) == size
        yield ProofIndex(file, rows, nodes) if whole else None


def index_key(day: date) -> str:
    """Where a day's proof index lies."""
    return f"{INDEXES}day={day.isoformat()}/events.idx"


def index_missing(lake: Lake, days: Iterable[date]) -> None:
    """Write the proof index of each of these sealed days that has events and no index."""
    there = set(lake.store.list(INDEXES))
    with_events = {key.split("/")[1] for key in lake.store.list("events/day=")}
    for day in days:
        if index_key(day) not in there and f"day={day.isoformat()}" in with_events:
            index_day(lake, load_sealed_day(lake, day))


def index_day(lake: Lake, sealed: SealedDay) -> None:
    """Write the proof index of a sealed day. A crash before its end leaves none; the next run makes it."""
    if not sealed.event_files:
        return
    counts = [tenant.record.count for _, tenant in sorted(sealed.present.items())]
    lake.store.put(index_key(sealed.record.day), _encode(lake, sealed.event_files, counts))


def _encode(lake: Lake, files: Sequence[StoredFile], counts: Sequence[int]) -> bytes:
    keys: list[npt.NDArray[np.uint32]] = []

    def leaves() -> Iterator[Digests]:
        for file in files:
            with reading(file.path), lake.open(file.path) as source:
                parquet = pq.ParquetFile(source)
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group, columns=["event_id", "integrity_hash"])
                    keys.append(_keys(table.column("event_id")))
                    yield _hashed(LEAF_PREFIX + EVENT_LEAF_TAG, digest_column(table.column("integrity_hash")))

    nodes = b"".join(found.tobytes() for found in _nodes(leaves(), counts))
    unsorted = np.concatenate(keys or [np.empty(0, _WORD)])
    pairs = unsorted.astype(np.uint64) << np.uint64(32) | np.arange(len(unsorted), dtype=np.uint64)
    pairs.sort()
    header = _HEADER.pack(_MAGIC, len(pairs), len(nodes) // HASH_SIZE)
    return b"".join((header, (pairs >> np.uint64(32)).astype(_WORD).tobytes(), pairs.astype(_WORD).tobytes(), nodes))


def _keys(ids: "pa.ChunkedArray[pa.StringScalar]") -> npt.NDArray[np.uint32]:
    """The keys of a column of ids; 0 for what is no UUID and so can't be asked for."""
    of_size = pc.if_else(pc.equal(pc.binary_length(ids), pa.scalar(_ID_SIZE)), ids, "0" * _ID_SIZE)
    keys = [np.empty(0, _WORD)]
    for chunk in of_size.cast(pa.binary()).cast(pa.binary(_ID_SIZE)).chunks:
        data = np.frombuffer(memoryview(chunk.buffers()[1]), np.uint8)[chunk.offset * _ID_SIZE :]
        digits = _NIBBLES[data[: len(chunk) * _ID_SIZE].reshape(-1, _ID_SIZE)[:, -_DIGITS:]]
        keys.append(digits @ _WEIGHTS)
    return np.concatenate(keys)


def _nodes(leaves: Iterable[Digests], counts: Sequence[int]) -> Iterator[Digests]:
    """The nodes of consecutive trees with so many leaves each, out of the leaves of all."""
    ends = accumulate(count for count in counts if count)
    end = next(ends, 0)
    at = 0
    held = np.empty((0, HASH_SIZE), np.uint8)
    for block in leaves:
        while len(block) and at < end:
            taken, block = block[: end - at], block[end - at :]  # noqa: PLW2901 - the rest of it
            at += len(taken)
            held = np.concatenate([held, taken])
            whole = len(held) >> LEVEL << LEVEL
            if whole:
                yield _folded(held[:whole])
            held = held[whole:]
            if at == end:
                held = held[:0]
                end = next(ends, end)


def _folded(nodes: Digests) -> Digests:
    for _ in range(LEVEL):
        nodes = _hashed(NODE_PREFIX, nodes.reshape(-1, 2 * HASH_SIZE))
    return nodes


def _hashed(prefix: bytes, values: npt.NDArray[np.uint8]) -> Digests:
    kernels = engine(len(values))
    if kernels is not None:
        return kernels.prefixed(prefix, values)
    digests = b"".join(sha256(prefix + value.tobytes()).digest() for value in values)
    return np.frombuffer(digests, np.uint8).reshape(-1, HASH_SIZE)
