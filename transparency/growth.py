"""How a log's tree grows: the new root, the new tiles, and the proof that nothing old was touched.

Pure, but for reading the old tiles: nothing is written and nothing signed. Of the old tree only the right edge, the
last partial bundle and what a proof needs are read, however long it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from transparency.merkle import (
    CompactRange,
    NodeId,
    NodeReader,
    consistency_proof,
    leaf_hash,
    range_nodes,
    verify_consistency,
)
from transparency.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, TileReader, encode_bundle, encode_hashes, new_tiles


@dataclass(frozen=True, slots=True)
class Growth:
    """A tree that was extended: its size and root before and after, and the files that publish the difference.

    ``files`` maps paths below the log's prefix (tlog-tiles) to contents: the entry bundles and tiles that the new size
    has and the old one had not.
    """

    old_size: int
    old_root: bytes
    new_size: int
    new_root: bytes
    files: Mapping[str, bytes]


def grow(old: TileReader, entries: Sequence[bytes]) -> Growth:
    """Append ``entries`` (at most 65,535 bytes each) to the tree that ``old`` reads.

    The same tree and entries always give the same bytes. The old hashes are read through tiles that are checked
    against the old root, the new tree is folded from them, and then the consistency of the two roots is verified as
    anybody else would do it. So a returned ``Growth`` never contradicts what was signed before, whatever happened to
    the stored tiles; :class:`~transparency.errors.VerificationError` or ``TileError`` says what is wrong with them.
    """
    nodes: dict[NodeId, bytes] = {}
    frontier = CompactRange.from_hashes(
        0, old.size, old.read_nodes(range_nodes(0, old.size)), on_node=nodes.__setitem__
    )
    frontier.extend(leaf_hash(entry) for entry in entries)
    new_size, new_root = frontier.end, frontier.root()
    grown = _Grown(old, nodes)
    if old.size > 0:  # every tree is an extension of the empty one
        proof = consistency_proof(grown, old.size, new_size)
        verify_consistency(old.size, new_size, old.root, new_root, proof)
    contents = _Contents(old, entries, grown)
    files = {tile.path: contents.of(tile) for tile in new_tiles(old.size, new_size)}
    return Growth(old.size, old.root, new_size, new_root, files)


@dataclass(frozen=True, slots=True)
class _Grown:
    """The nodes of the extended tree, as a NodeReader: new ones from memory, old ones from the old tree's tiles."""

    old: NodeReader
    new: Mapping[NodeId, bytes]

    def read_nodes(self, ids: Sequence[NodeId]) -> list[bytes]:
        return [self.new[node] if node in self.new else self.old.read_nodes([node])[0] for node in ids]


@dataclass(frozen=True, slots=True)
class _Contents:
    """What the files of the extended tree contain: its entries and nodes, old ones in partial files included."""

    old: TileReader
    entries: Sequence[bytes]
    nodes: NodeReader

    def of(self, tile: Tile) -> bytes:
        first = tile.index * TILE_WIDTH
        numbers = range(first, first + tile.width)
        if tile.level is None:
            return encode_bundle(list(self._entries(numbers)))
        return encode_hashes(self.nodes.read_nodes([(TILE_HEIGHT * tile.level, number) for number in numbers]))

    def _entries(self, numbers: range) -> Iterable[bytes]:
        size = self.old.size
        if numbers.start < size:
            yield from self.old.read_entries(numbers.start, min(numbers.stop, size))
        yield from self.entries[max(numbers.start - size, 0) : max(numbers.stop - size, 0)]
