"""The proof index finds what searching the files finds, and whatever is wrong with it, no proof becomes wrong."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.dayrows import read_day_rows
from lumi_pipeline.errors import LakeError, ProofNotFound
from lumi_pipeline.eventplace import find_event
from lumi_pipeline.events import uuid7
from lumi_pipeline.proofindex import _nodes, index_key
from lumi_pipeline.proving import prove_event
from lumi_pipeline.sealedday import event_files, load_manifest
from tests.lake.world import World, at, day
from transparency.merkle import LeafHashes

COUNTS = {"acme": 2500, "blue": 1024, "cyan": 1023, "delta": 3, "echo": 2048}
SAME_END = ["00000000-0000-4000-8000-0000deadbeef", "00000000-0000-4000-8000-0001deadbeef"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three sealed days: one with many events, an idle one, one with few."""
    world = World.create(tmp_path_factory.mktemp("index") / "world", at(3, "00:20:00"))
    world.record_all((tenant_id, at(0)) for tenant_id, count in COUNTS.items() for _ in range(count))
    world.record("acme", at(2), at(2))
    for event_id in SAME_END:
        world.record("blue", at(2), event_id=event_id)
    world.pipeline().run()
    return world


@pytest.fixture
def world(built: World, tmp_path: Path) -> World:
    return built.copy(tmp_path / "world")


def ids_of(world: World, tenant_id: str) -> list[str]:
    rows = world.select("SELECT event_id FROM audit_outbox WHERE tenant_id = ? ORDER BY seq", (tenant_id,))
    return [str(event_id) for (event_id,) in rows]


def some_ids(world: World) -> Iterator[str]:
    """Those at the edges of tenants and of groups of 1,024, and some in between."""
    random = Random(7)
    for tenant_id in COUNTS:
        ids = ids_of(world, tenant_id)
        numbers = {0, 1, 1022, 1023, 1024, 2047, 2048, len(ids) - 1, *random.sample(range(len(ids)), 2)}
        yield from (ids[number] for number in sorted(numbers) if number < len(ids))


def prove(world: World, event_id: str) -> bytes:
    pipeline = world.pipeline()
    genesis = pipeline.genesis()
    assert genesis is not None
    return prove_event(pipeline.lake, genesis, event_id)


@pytest.mark.slow
def test_it_leads_to_what_searching_the_files_finds(world: World) -> None:
    ids = [*list(some_ids(world))[::4], *SAME_END]
    proofs = [prove(world, event_id) for event_id in ids]
    for key in list(world.store.list("index/")):
        world.store.delete(key)
    assert proofs == [prove(world, event_id) for event_id in ids]


def test_it_does_without_reading_the_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def searched(*_: object) -> None:
        raise AssertionError("the files were searched")

    monkeypatch.setattr("lumi_pipeline.eventplace._by_search", searched)
    for event_id in [*some_ids(world), *SAME_END]:
        assert find_event(world.pipeline().lake, event_id).event["event_id"] == event_id


def test_idle_days_have_none_and_what_is_missing_is_made_by_the_next_run(world: World) -> None:
    before = world.contents("index/")
    assert set(before) == {index_key(day(0)), index_key(day(2))}
    world.store.delete(index_key(day(0)))
    world.pipeline().run()
    assert world.contents("index/") == before


@pytest.mark.slow
def test_an_altered_index_never_makes_a_wrong_proof(world: World) -> None:
    random = Random(3)
    key = index_key(day(2))
    intact = world.store.get(key)
    event_id = SAME_END[0]
    proof = prove(world, event_id)
    altered = [
        intact[:place] + bytes([intact[place] ^ 1 << random.randrange(8)]) + intact[place + 1 :]
        for place in range(0, len(intact), 2)
    ]
    altered += [b"", intact[:10], intact[:-1], intact + b"\0", bytes(len(intact)), intact[:16] + b"\xff" * 8]
    for data in altered:
        world.overwrite(key, data)
        assert prove(world, event_id) == proof


def test_an_altered_node_never_makes_a_wrong_proof(world: World) -> None:
    key = index_key(day(0))
    intact = world.store.get(key)
    event_id = ids_of(world, "acme")[2300]
    proof = prove(world, event_id)
    for place in range(len(intact) - 5 * 32, len(intact), 32):
        world.overwrite(key, intact[:place] + bytes([intact[place] ^ 4]) + intact[place + 1 :])
        assert prove(world, event_id) == proof


def test_the_index_of_other_rows_never_makes_a_wrong_proof(world: World) -> None:
    event_id = ids_of(world, "acme")[-1]
    proof = prove(world, event_id)
    world.overwrite(index_key(day(2)), world.store.get(index_key(day(0))))
    assert prove(world, event_id) == proof


def test_an_altered_row_is_no_event_to_prove(world: World) -> None:
    lake = world.pipeline().lake
    [file] = event_files(load_manifest(lake, day(2)))
    altered = world.store.get(file.path).replace(b"T-1", b"T-2")
    assert altered != world.store.get(file.path)
    world.overwrite(file.path, altered)
    with pytest.raises(LakeError, match="altered"):
        prove(world, SAME_END[0])


def test_what_no_day_holds_is_not_found(world: World) -> None:
    with pytest.raises(ProofNotFound, match="no sealed day"):
        prove(world, uuid7())


def test_rows_are_those_of_the_files(world: World) -> None:
    lake = world.pipeline().lake
    files = event_files(load_manifest(lake, day(0)))
    whole = read_day_rows(lake, files, range(sum(COUNTS.values())))
    for rows in (range(1, 2), range(2499, 2503), range(6000, 6598), range(5, 5)):
        assert read_day_rows(lake, files, rows).equals(whole.slice(rows.start, len(rows)))
    with pytest.raises(LakeError, match="no row 6598"):
        read_day_rows(lake, files, range(6597, 6599))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2600), max_size=6), st.integers(1, 3000))
def test_nodes_are_those_of_the_trees(counts: list[int], size: int) -> None:
    leaves = [sha256(str(number).encode()).digest() for number in range(sum(counts))]
    array = np.frombuffer(b"".join(leaves), np.uint8).reshape(-1, 32)
    blocks = [array[first : first + size] for first in range(0, len(array), size)]
    expected = []
    for number, count in enumerate(counts):
        tree = LeafHashes(leaves[sum(counts[:number]) : sum(counts[: number + 1])])
        expected += tree.read_nodes([(10, index) for index in range(count >> 10)])
    assert b"".join(nodes.tobytes() for nodes in _nodes(blocks, counts)) == b"".join(expected)
