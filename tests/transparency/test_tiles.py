"""Tiles, entry bundles and the reader that trusts none of them."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transparency.errors import ObjectMissing, TileError, VerificationError
from transparency.merkle import (
    EMPTY_ROOT,
    CompactRange,
    LeafHashes,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    range_nodes,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from transparency.tiles import (
    MAX_ENTRY_SIZE,
    Tile,
    TileReader,
    decode_bundle,
    decode_hashes,
    encode_bundle,
    encode_hashes,
    new_tiles,
)

SIZE = 256 * 256 + 256 * 3 + 5
ENTRIES = [b"entry %d" % number for number in range(SIZE)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
TREE = LeafHashes(LEAVES)
# Around every place where a tile or a level of tiles begins or ends.
SIZES = [0, 1, 2, 255, 256, 257, 511, 512, 600, 65535, 65536, 65537, 65536 + 256, SIZE]


def content(tile: Tile) -> bytes:
    """A tile by its definition in tlog-tiles, taken from the whole tree."""
    first, last = tile.index * 256, tile.index * 256 + tile.width
    if tile.level is None:
        return b"".join(len(entry).to_bytes(2, "big") + entry for entry in ENTRIES[first:last])
    return b"".join(TREE.read_nodes([(8 * tile.level, index) for index in range(first, last)]))


def published(*sizes: int) -> dict[str, bytes]:
    """What a log holds that published these sizes, one after the other."""
    files: dict[str, bytes] = {}
    for old, new in zip((0, *sizes), sizes, strict=False):
        for tile in new_tiles(old, new):
            assert tile.path not in files
            files[tile.path] = content(tile)
    return files


def fetch_from(files: dict[str, bytes]) -> Callable[[str], bytes]:
    def fetch(path: str) -> bytes:
        if path not in files:
            raise ObjectMissing(path)
        return files[path]

    return fetch


def reader_of(files: dict[str, bytes], size: int) -> TileReader:
    return TileReader(fetch_from(files), size, tree_root(LEAVES[:size]))


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(63, 999), "tile/63/999"),
        (Tile(5, 1000, 1), "tile/5/x001/000.p/1"),
        (Tile(None, 0, 255), "tile/entries/000.p/255"),
        (Tile(None, 1234067), "tile/entries/x001/x234/067"),
        (Tile(0, 2**63 // 256), "tile/0/x036/x028/x797/x018/x963/968"),
    ],
)
def test_paths(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


WRONG_LEVELS = ["tile/00/000", "tile/64/000", "tile/100/000", "tile/-1/000", "tile/8/0/000", "tile/data/000"]
WRONG_NUMBERS = ["tile/0/0", "tile/0/00", "tile/0/1000", "tile/0/x000/001", "tile/0/001/001", "tile/0/x001"]
WRONG_NUMBERS += ["tile/0/x01/001", "tile/0/\uff10\uff100", "tile/0/000\n", "tile/0/../1/000", "tile/0/000/"]
WRONG_WIDTHS = ["tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/1000", "tile/0/000.p/"]


@pytest.mark.parametrize("path", ["", "checkpoint", "/tile/0/000", *WRONG_LEVELS, *WRONG_NUMBERS, *WRONG_WIDTHS])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(TileError, match="not the path"):
        Tile.parse(path)


@given(
    st.builds(
        Tile,
        st.none() | st.integers(0, 63),
        st.integers(0, 2**55),
        st.integers(1, 256),
    )
)
def test_every_path_parses_back(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize("size", SIZES)
def test_tiles_of_a_size_are_those_of_the_specification(size: int) -> None:
    expected = set()
    for level in (None, 0, 1, 2, 3):
        count = size // 256 ** (level or 0)
        expected |= {Tile(level, index) for index in range(count // 256)}
        expected |= {Tile(level, count // 256, count % 256)} if count % 256 else set()
    assert set(new_tiles(0, size)) == expected


@given(st.integers(0, SIZE), st.integers(0, SIZE))
def test_growth_publishes_exactly_the_tiles_that_were_not_there(a: int, b: int) -> None:
    old, new = min(a, b), max(a, b)
    added = list(new_tiles(old, new))
    assert len(added) == len(set(added))
    assert set(added) == set(new_tiles(0, new)) - set(new_tiles(0, old))


def test_growth_is_never_negative() -> None:
    with pytest.raises(ValueError, match="does not grow"):
        list(new_tiles(2, 1))


@given(st.lists(st.binary(max_size=40), max_size=256))
def test_bundles_read_back(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries), len(entries)) == entries


def test_the_longest_entry_is_kept_and_a_longer_one_refused() -> None:
    assert decode_bundle(encode_bundle([bytes(MAX_ENTRY_SIZE)]), 1) == [bytes(65535)]
    with pytest.raises(TileError, match="65536"):
        encode_bundle([b"", bytes(MAX_ENTRY_SIZE + 1)])


@pytest.mark.parametrize(
    ("data", "width"),
    [(b"", 1), (b"\x00", 1), (b"\x00\x02a", 1), (b"\x00\x01a", 2), (b"\x00\x01ab", 1), (b"\x00\x01a\x00", 1)],
)
def test_malformed_bundles_are_refused(data: bytes, width: int) -> None:
    with pytest.raises(TileError, match="entry bundle"):
        decode_bundle(data, width)


@given(st.binary(max_size=80), st.integers(1, 256))
def test_any_bytes_decode_or_are_refused(data: bytes, width: int) -> None:
    for decode, encode in ((decode_bundle, encode_bundle), (decode_hashes, encode_hashes)):
        with suppress(TileError):
            assert encode(decode(data, width)) == data


@pytest.mark.parametrize("size", SIZES)
def test_every_node_and_entry_reads_back(size: int) -> None:
    reader = reader_of(published(size) if size else {}, size)
    step = max(1, size // 100)
    for level in range(18):
        nodes = [(level, index) for index in {*range(0, size >> level, step), (size >> level) - 1} if index >= 0]
        assert reader.read_nodes(nodes) == TREE.read_nodes(nodes)
        with pytest.raises(ValueError, match="no complete subtree"):
            reader.read_nodes([(level, size >> level)])
    assert list(reader.read_entries(0, size)) == ENTRIES[:size]
    for index in range(0, size, step):
        assert reader.read_entry(index) == ENTRIES[index]
    with pytest.raises(ValueError, match="does not have"):
        reader.read_entry(size)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_proofs_from_tiles_verify(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([257, 600, 65537, SIZE]))
    old = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, size - 1))
    reader = reader_of(FILES, size)
    verify_inclusion(LEAVES[index], index, size, inclusion_proof(reader, index, size), reader.root)
    verify_consistency(old, size, root_of(old), reader.root, consistency_proof(reader, old, size))
    start, stop = sorted((index, data.draw(st.integers(0, size))))
    assert list(reader.read_entries(start, stop)) == ENTRIES[start:stop]


def test_all_sizes_that_were_published_stay_readable() -> None:
    for size in SIZES:
        reader = reader_of(FILES, size)
        assert reader.read_nodes(range_nodes(0, size)) == TREE.read_nodes(range_nodes(0, size))
        assert list(reader.read_entries(max(0, size - 300), size)) == ENTRIES[max(0, size - 300) : size]


def test_partial_tiles_that_are_gone_are_read_from_the_full_ones() -> None:
    files = {path: data for path, data in published(300, 600).items() if ".p/44" not in path}
    assert "tile/0/001" in files
    assert list(reader_of(files, 300).read_entries(0, 300)) == ENTRIES[:300]
    del files["tile/0/001"]
    with pytest.raises(ObjectMissing, match="tile/0/001"):
        reader_of(files, 300).read_entry(0)


def damaged() -> list[tuple[str, str, bytes]]:
    """Every file of a log of 600 entries, in every way it can be wrong."""
    files = published(600)
    found = []
    for path, data in files.items():
        found.append((path, "flipped", data[:-1] + bytes([data[-1] ^ 1])))
        found.append((path, "cut", data[:-1]))
        found.append((path, "extended", data + b"\x00"))
        found.append((path, "empty", b""))
        found += [(path, other, files[other]) for other in files if other != path and len(files[other]) == len(data)]
    return found


@pytest.mark.parametrize(("path", "how", "data"), [pytest.param(*case, id="-".join(case[:2])) for case in damaged()])
def test_no_altered_tile_is_ever_believed(path: str, how: str, data: bytes) -> None:
    """Whatever is done to any one file, everything that is read is true, or an error that names the file."""
    assert how
    reader = reader_of(published(600) | {path: data}, 600)
    reads: list[tuple[Callable[[], object], object]] = []
    for index in {*range(0, 600, 20), 255, 256, 511, 512, 599}:
        reads.append((partial(reader.read_entry, index), ENTRIES[index]))
        nodes = [(level, index >> level) for level in range(10) if index >> level < 600 >> level]
        reads += [(partial(reader.read_nodes, [node]), TREE.read_nodes([node])) for node in nodes]
    refused: list[TileError | VerificationError] = []
    for read, truth in reads:
        try:
            assert read() == truth
        except (TileError, VerificationError) as error:
            refused.append(error)
    assert refused
    for refusal in refused:
        assert path in str(refusal)
        assert isinstance(refusal, TileError) or refusal.reason == "tile"


def test_a_whole_other_log_is_not_believed() -> None:
    """Consistent in itself, tile by tile, up to a root that is not the trusted one."""
    forged = [b"forged %d" % number for number in range(600)]
    tree = LeafHashes([leaf_hash(entry) for entry in forged])
    files = {}
    for tile in new_tiles(0, 600):
        numbers = range(tile.index * 256, tile.index * 256 + tile.width)
        if tile.level is None:
            files[tile.path] = encode_bundle([forged[number] for number in numbers])
        else:
            files[tile.path] = encode_hashes(tree.read_nodes([(8 * tile.level, number) for number in numbers]))
    assert list(TileReader(fetch_from(files), 600, tree.root()).read_entries(0, 600)) == forged
    with pytest.raises(VerificationError, match="not of the log with the root"):
        reader_of(files, 600).read_entry(0)


def test_tiles_are_fetched_from_the_top_and_once() -> None:
    fetched: list[str] = []

    def fetch(path: str) -> bytes:
        fetched.append(path)
        return FILES[path]

    reader = TileReader(fetch, SIZE, root_of(SIZE))
    reader.read_nodes([(0, 5), (3, 1), (0, 300)])
    edge = ["tile/2/000.p/1", "tile/1/001.p/3", "tile/0/259.p/5"]
    assert fetched == [*edge, "tile/1/000", "tile/0/000", "tile/0/001"]
    reader.read_nodes([(0, 7), (8, 1), (16, 0)])
    assert len(fetched) == 6


def test_an_empty_log_has_the_empty_root() -> None:
    assert list(TileReader(fetch_from({}), 0, EMPTY_ROOT).read_entries(0, 0)) == []
    with pytest.raises(VerificationError, match="empty log"):
        TileReader(fetch_from({}), 0, LEAVES[0])
    with pytest.raises(ValueError, match="cannot have"):
        TileReader(fetch_from({}), -1, EMPTY_ROOT)


def root_of(size: int) -> bytes:
    return CompactRange.from_hashes(0, size, TREE.read_nodes(range_nodes(0, size))).root()


FILES = published(*SIZES[1:])
