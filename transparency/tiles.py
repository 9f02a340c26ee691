"""Tiles and entry bundles: how a log's tree lies in files (C2SP tlog-tiles), and how to read it without trusting it.

A *tile* of level L holds up to 256 consecutive hashes of the tree's level 8·L: the n-th one starts at hash 256·n.
The seven levels above, up to the tile's own root, are computed from these; that root is one hash of the tile above,
level L + 1. The *entry bundle* n holds the entries whose leaf hashes tile n of level 0 holds. Below the path prefix
of a log they are found as::

    tile/<L>/<N>            tile/entries/<N>             256 hashes or entries: never changes
    tile/<L>/<N>.p/<W>      tile/entries/<N>.p/<W>       the W < 256 there were at some published size; likewise

with N in groups of three digits, all but the last marked with an x: 1234067 is ``x001/x234/067``.

A log of 70,500 entries has the tiles::

    level 2      000.p/1                                         1 hash, of 65,536 leaves
    level 1      000 (full)         001.p/19                     275 hashes, of 256 leaves each
    level 0      000 … 255 (full)   256 … 274 (full)  275.p/100  70,500 leaf hashes
    entries      000 … 255 (full)   256 … 274 (full)  275.p/100  70,500 entries

The three partial tiles of hashes are its right edge, and 1 · 65,536 + 19 · 256 + 100 = 70,500. Entry 70,000 is number
112 of bundle 273. Its leaf hash is number 112 of ``tile/0/273``, whose own root is number 17 of ``tile/1/001.p/19``,
which is of the edge; and from the hashes of the edge follows the root that the log has signed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from transparency.encoding import MAX_INT64, excerpt
from transparency.errors import ObjectMissing, TileError, VerificationError
from transparency.merkle import EMPTY_ROOT, HASH_SIZE, CompactRange, NodeId, leaf_hash, tree_root

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
MAX_LEVEL = 63
MAX_ENTRY_SIZE = 0xFFFF
"""The most bytes an entry can have: its length is written with 16 bits."""

_MAX_CACHED_TILES = 1024
_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<number>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """The coordinates of a tile, or of an entry bundle when ``level`` is None.

    ``level`` is 0 to 63, ``index`` counts from 0, ``width`` is the number of hashes or entries, 1 to 256.
    """

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Where the tile lies below the log's prefix."""
        digits = str(self.index)
        digits = digits.zfill((len(digits) + 2) // 3 * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level is None else self.level
        return f"tile/{level}/{number}" + (f".p/{self.width}" if self.width < TILE_WIDTH else "")

    @classmethod
    def parse(cls, path: str) -> "Tile":
        """Parse what :attr:`path` returns, and nothing else; raises :class:`TileError`."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise TileError(f"{excerpt(path)} is not the path of a tile or entry bundle")
        level = None if match["level"] == "entries" else int(match["level"])
        tile = cls(level, int(re.sub("[x/]", "", match["number"])), int(match["width"] or TILE_WIDTH))
        if tile.path != path or (level or 0) > MAX_LEVEL:  # "x000/001", ".p/256", …
            raise TileError(f"{excerpt(path)} is not the path of a tile or entry bundle")
        return tile


def new_tiles(old_size: int, new_size: int) -> Iterator[Tile]:
    """Yield what has to be published when the tree grows: the tiles of ``new_size`` that ``old_size`` did not have.

    The entry bundles first, then the hashes level by level. ``new_tiles(0, size)`` are all the tiles of a tree: the
    full ones, and where a level ends inside a tile, the partial one of this very size.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a tree does not grow from {old_size} to {new_size} entries")
    yield from _new_tiles_of_level(None, old_size, new_size)
    level = 0
    while new_size >> TILE_HEIGHT * level:
        yield from _new_tiles_of_level(level, old_size >> TILE_HEIGHT * level, new_size >> TILE_HEIGHT * level)
        level += 1


def _new_tiles_of_level(level: int | None, old: int, new: int) -> Iterator[Tile]:
    """Yield the tiles that ``new`` hashes (or entries) fill and ``old`` did not."""
    for index in range(old // TILE_WIDTH, new // TILE_WIDTH):
        yield Tile(level, index)
    if new % TILE_WIDTH and new != old:
        yield Tile(level, new // TILE_WIDTH, new % TILE_WIDTH)


def encode_hashes(hashes: Sequence[bytes]) -> bytes:
    """Write a tile: its hashes, one after the other."""
    return b"".join(hashes)


def decode_hashes(data: bytes, width: int) -> list[bytes]:
    """Read a tile of ``width`` hashes; raises :class:`TileError`."""
    if len(data) != width * HASH_SIZE:
        raise TileError(f"a tile of {width} hashes has {width * HASH_SIZE} bytes, not {len(data)}")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Write an entry bundle: each entry with its length before it, 16 bits big-endian."""
    too_long = next((entry for entry in entries if len(entry) > MAX_ENTRY_SIZE), None)
    if too_long is not None:
        raise TileError(f"a log entry has at most {MAX_ENTRY_SIZE} bytes, not {len(too_long)}")
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Read an entry bundle of exactly ``width`` entries; raises :class:`TileError`."""
    entries: list[bytes] = []
    offset = 0
    for _ in range(width):
        start = offset + 2
        end = start + int.from_bytes(data[offset:start])
        if end > len(data):
            raise TileError(f"an entry bundle ends within its entry {len(entries)} of {width}")
        entries.append(data[start:end])
        offset = end
    if offset != len(data):
        raise TileError(f"an entry bundle goes on after its {width} entries")
    return entries


class TileReader:
    """Reads a log's hashes and entries through a fetch function that is not trusted, given a root that is.

    Every tile is checked against the root before anything in it is used, as ``TileHashReader`` of Go's
    ``sumdb/tlog`` does. The *right edge* comes first. Its partial tiles, one for each level that ends inside a tile,
    together hold exactly the subtrees that the root is folded from, so the root vouches for all of them at once. A
    full tile has its own root in the tile above it, which was checked before. Entries are checked by their leaf hashes
    against level 0. Whatever does not match raises :class:`VerificationError` with the reason ``tile``, what is
    malformed a :class:`TileError`.

    ``fetch`` gets a path below the log's prefix and returns the bytes; it raises :class:`ObjectMissing` when there is
    nothing, and should refuse more than the 16 MiB of the largest bundle. A partial tile that is gone is read from the
    full one that has replaced it. Tiles that were checked are remembered, up to a bound. Implements
    ``merkle.NodeReader``.
    """

    __slots__ = ("_cache", "_edge", "_fetch", "_root", "_size")

    def __init__(self, fetch: Callable[[str], bytes], size: int, root: bytes) -> None:
        """Read the tree of ``size`` entries with this root, say from a verified checkpoint; nothing is fetched yet."""
        if not 0 <= size <= MAX_INT64:
            raise ValueError(f"a tree cannot have {size} entries")
        if size == 0 and root != EMPTY_ROOT:
            raise VerificationError("tile", f"an empty log does not have the root {root.hex()}")
        self._fetch = fetch
        self._size = size
        self._root = root
        self._edge: dict[int | None, list[bytes]] | None = None
        self._cache: dict[tuple[int, int], list[bytes]] = {}

    @property
    def size(self) -> int:
        """The number of entries."""
        return self._size

    @property
    def root(self) -> bytes:
        """The trusted root."""
        return self._root

    def read_nodes(self, ids: Sequence[NodeId]) -> list[bytes]:
        """Return the hashes of the given complete subtrees; ValueError for one that the tree does not have."""
        return [self._node(level, index) for level, index in ids]

    def read_entry(self, index: int) -> bytes:
        """Return one entry; ValueError for one that the tree does not have."""
        [entry] = self.read_entries(index, index + 1)
        return entry

    def read_entries(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the entries ``start`` to ``stop - 1``, fetching bundle by bundle as they are asked for."""
        if not 0 <= start <= stop <= self._size:
            raise ValueError(f"a log of {self._size} entries does not have the entries {start} to {stop - 1}")
        while start < stop:
            index, first = divmod(start, TILE_WIDTH)
            last = min(stop - index * TILE_WIDTH, TILE_WIDTH)
            yield from self._bundle(index)[first:last]
            start = (index + 1) * TILE_WIDTH

    def _node(self, level: int, index: int) -> bytes:
        """Return the hash of a subtree: the root over those of a tile's hashes that lie in it, 2**(level mod 8)."""
        if level < 0 or index < 0 or (index + 1) << level > self._size:
            raise ValueError(f"a tree of {self._size} entries has no complete subtree {index} of level {level}")
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, offset = divmod(index << height, TILE_WIDTH)
        return tree_root(self._hashes(tile_level, tile_index)[offset : offset + (1 << height)])

    def _hashes(self, level: int, index: int) -> list[bytes]:
        """Return the checked hashes of a tile of this tree."""
        complete = (self._size >> TILE_HEIGHT * level) // TILE_WIDTH
        if index == complete:  # the partial tile after all full ones; callers ask for no other tile than the tree has
            return self._right_edge()[level]
        if (level, index) not in self._cache:
            above, offset = divmod(index, TILE_WIDTH)
            expected = self._hashes(level + 1, above)[offset]
            tile = Tile(level, index)
            hashes = self._read_tile(tile, decode_hashes)
            if tree_root(hashes) != expected:
                raise _altered(tile)
            if len(self._cache) == _MAX_CACHED_TILES:
                del self._cache[next(iter(self._cache))]
            self._cache[level, index] = hashes
        return self._cache[level, index]

    def _right_edge(self) -> dict[int | None, list[bytes]]:
        """Return the checked partial tiles by level."""
        if self._edge is None:
            edge: dict[int | None, list[bytes]] = {}
            subtrees: list[bytes] = []  # those of range_nodes(0, size), largest first: MTH(D[size]) is their fold
            for tile in reversed(list(_edge_tiles(self._size))):
                hashes = self._read_tile(tile, decode_hashes)
                below = CompactRange()
                below.extend(hashes)
                subtrees += below.hashes
                edge[tile.level] = hashes
            if CompactRange.from_hashes(0, self._size, subtrees).root() != self._root:
                paths = ", ".join(tile.path for tile in _edge_tiles(self._size))
                raise VerificationError("tile", f"{paths}: not of the log with the root {self._root.hex()}")
            self._edge = edge
        return self._edge

    def _bundle(self, index: int) -> list[bytes]:
        """Return the checked entries of a bundle of this tree."""
        tile = Tile(None, index, min(self._size - index * TILE_WIDTH, TILE_WIDTH))
        expected = self._hashes(0, index)
        entries = self._read_tile(tile, decode_bundle)
        if [leaf_hash(entry) for entry in entries] != expected:
            raise _altered(tile)
        return entries

    def _read_tile(self, tile: Tile, decode: Callable[[bytes, int], list[bytes]]) -> list[bytes]:
        """Fetch and decode a tile (or the beginning of the full one in its place), unchecked."""
        stored = tile
        try:
            data = self._fetch(tile.path)
        except ObjectMissing:
            stored = Tile(tile.level, tile.index)
            if stored == tile:
                raise
            data = self._fetch(stored.path)
        try:
            return decode(data, stored.width)[: tile.width]
        except TileError as error:
            raise TileError(f"{stored.path}: {error}") from None


def _edge_tiles(size: int) -> Iterator[Tile]:
    """Yield the partial tiles of hashes that a tree of this size has, at most one of each level, from level 0 up."""
    level = 0
    while size >> TILE_HEIGHT * level:
        index, width = divmod(size >> TILE_HEIGHT * level, TILE_WIDTH)
        if width:
            yield Tile(level, index, width)
        level += 1


def _altered(tile: Tile) -> VerificationError:
    return VerificationError("tile", f"{tile.path}: not what the root of the log commits to")
