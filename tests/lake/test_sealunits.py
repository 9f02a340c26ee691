"""A day that is sealed in units gives the same files and records, wherever its units are worked on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lumi_pipeline import sealing
from lumi_pipeline.chain import ChainFold, ChainState, TenantRows
from lumi_pipeline.compute import open_compute
from lumi_pipeline.dayrecords import day_ranges
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.errors import ChainBroken, LakeError
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.landings import Landing, landing_key
from lumi_pipeline.pending import Pending
from lumi_pipeline.sealunits import Elsewhere, SealedUnit, SealUnit, cut_units, join_units, seal_unit
from lumi_pipeline.stores.roots import LakeAddress
from lumi_pipeline.superseding import rewritten_prefix
from tests.computing import Doomed, die_after
from tests.lake.places import NewPlace
from tests.lake.world import World, at, day

TENANTS = ("acme", "globex", "initech")
LANDED = (7, 1, 30, 17)
ROWS = len(TENANTS) * sum(LANDED)
_Unit = TypeVar("_Unit")
_Result = TypeVar("_Result")


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three tenants' events of one day, and some of the next, in four landings."""
    return land(World.create(tmp_path_factory.mktemp("units") / "world", at(2)))


def land(world: World) -> World:
    for hour, count in enumerate(LANDED):
        for tenant_id in TENANTS:
            world.record(tenant_id, *[at(0) + timedelta(hours=hour)] * count)
        world.pipeline().land()
    world.record("acme", at(1), at(1))
    world.pipeline().land()
    return world


@contextmanager
def cut(world: World, unit_rows: int) -> Iterator[tuple[Pending, list[SealUnit]]]:
    with Pending(world.pipeline().lake, 0) as pending:
        ranges = day_ranges(day(0), None, pending)
        stretches = pending.stretches(ranges)
        assert stretches is not None
        starts = {tenant_id: start(pending, tenant_id) for tenant_id in ranges}
        yield pending, list(cut_units(day(0), stretches, starts, ROWS, unit_rows))


def start(pending: Pending, tenant_id: str) -> ChainState:
    return ChainState(0, genesis_hash(tenant_id, pending.tenants[tenant_id].chain_id), day_start(day(0)))


def empty(pending: Pending) -> ChainFold:
    return ChainFold(lambda tenant_id: start(pending, tenant_id), until=day_end(day(0)))


def summary(fold: ChainFold) -> dict[str, tuple[object, ...]]:
    return {
        tenant_id: (rows.start, rows.state, rows.count, rows.tree.root(), rows.erased, rows.breaks)
        for tenant_id, rows in fold.tenants.items()
    }


def stored_rows(world: World, units: Sequence[SealedUnit]) -> pa.Table:
    paths = [file.path for unit in units for file in unit.files]
    assert paths == sorted(paths), "readers take a day's files in the order of their names"
    return pa.concat_tables([pq.read_table(world.parquet(path)) for path in paths])


@pytest.mark.parametrize("unit_rows", [3, 7, 55, 56, 1000])
def test_units_joined_tell_what_folding_all_rows_in_order_tells(landed: World, unit_rows: int) -> None:
    lake = landed.pipeline().lake
    with cut(landed, unit_rows) as (pending, units):
        sizes = [sum(stretch.after - stretch.first for stretch in unit.stretches) for unit in units]
        assert sizes == [unit_rows] * (ROWS // unit_rows) + [ROWS % unit_rows] * (ROWS % unit_rows > 0)
        whole, apart = empty(pending), empty(pending)
        rows = pa.concat_tables(pending.rows(day_ranges(day(0), None, pending)))
        whole.add(rows)
        sealed = [seal_unit(lake, unit, pending.places) for unit in units]
        assert join_units(apart, sealed)
        assert summary(apart) == summary(whole)
        assert stored_rows(landed, sealed).equals(rows)


def test_files_of_a_day_with_many_units_can_be_superseded(landed: World) -> None:
    with cut(landed, 3) as (pending, units):
        assert len(units) > 10
        [file] = seal_unit(landed.pipeline().lake, units[-1], pending.places).files
    assert rewritten_prefix(file.path, 1) == f"{units[-1].prefix}0000-erased-000001"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["processes:2", "dask"])
def test_units_give_the_same_wherever_they_are_worked_on(
    landed: World, place: str, request: pytest.FixtureRequest
) -> None:
    compute = open_compute(f"dask:{request.getfixturevalue('scheduler')}" if place == "dask" else place)
    with cut(landed, 20) as (pending, units):
        here = [seal_unit(landed.pipeline().lake, unit, pending.places) for unit in units]
        there = list(Elsewhere(compute, LakeAddress.of(landed.config)).seal(units))
        assert [unit.files for unit in there] == [unit.files for unit in here]
        apart, together = empty(pending), empty(pending)
        assert join_units(apart, there)
        assert join_units(together, here)
        assert summary(apart) == summary(together)


class Dying:
    """Two processes, one of which is killed once it has written and before it can say so."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def map(self, work: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Iterator[_Result]:
        return open_compute("processes:2").map(die_after, (Doomed(work, unit, self._place) for unit in units))


@pytest.mark.slow
@pytest.mark.everywhere
def test_a_unit_whose_worker_was_killed_is_done_again(new_place: NewPlace, tmp_path: Path) -> None:
    world = land(World.create(tmp_path / "world", at(2), new_place))
    with cut(world, 50) as (pending, units):
        there = list(Elsewhere(Dying(tmp_path), LakeAddress.of(world.config)).seal(units))
        assert (tmp_path / "died").exists()
        written = world.listing("events/")
        here = [seal_unit(world.pipeline().lake, unit, pending.places) for unit in units]
        assert [unit.files for unit in there] == [unit.files for unit in here]
        assert world.listing("events/") == written, "nothing is written twice"


@pytest.mark.slow
def test_the_pipeline_seals_the_same_day_with_workers(
    landed: World, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "UNIT_ROWS", 10)  # so that a day this small is worth starting workers
    records = []
    for compute in ("inline", "processes:2"):
        world = landed.copy(tmp_path_factory.mktemp("worlds") / "world")
        report = world.pipeline(compute=compute).run(day(1))
        assert [seal.rows for seal in report.seals] == [ROWS, 2]
        records.append({key: world.store.get(key) for key in (*world.store.list("seals/"), *world.store.list("log/"))})
    assert records[0].keys() == records[1].keys()
    manifests = [{key: found for key, found in record.items() if "manifest" in key} for record in records]
    assert manifests[0] == manifests[1]


def test_units_that_do_not_follow_each_other_are_not_joined(landed: World) -> None:
    lake = landed.pipeline().lake
    with cut(landed, 20) as (pending, units):
        first, second, *_ = [seal_unit(lake, unit, pending.places) for unit in units]
        [(tenant_id, rows)] = second.tenants.items()
        assert (tenant_id, rows.start.next_seq) == ("acme", 20)
        late = replace(rows.start, not_before=0)
        for other in (
            replace(rows.start, next_seq=21),
            replace(rows.start, head=bytes(32)),
            late,
        ):
            apart = empty(pending)
            altered = TenantRows(other, rows.state, rows.tree, rows.count)
            assert not join_units(apart, [first, replace(second, tenants={tenant_id: altered})])
            assert apart.tenants["acme"].count == 20
        assert join_units(empty(pending), [seal_unit(lake, unit, pending.places) for unit in units])


def test_a_file_with_others_rows_in_a_tenants_place_is_an_error_of_ours(landed: World) -> None:
    lake = landed.pipeline().lake
    with cut(landed, 1000) as (pending, [unit]):
        starts = {tenant_id: state for tenant_id, state in unit.starts.items() if tenant_id != "globex"}
        with pytest.raises(LakeError, match="tenant globex in the place of another's"):
            seal_unit(lake, replace(unit, starts=starts), pending.places)


def test_a_break_that_landing_did_not_see_is_told_as_ever(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Somebody who can write to the lake puts another file and commit object in the place of what was landed.
    world = World.create(tmp_path_factory.mktemp("broken") / "world", at(2))
    world.record("acme", at(0), at(0), at(0))
    world.pipeline().land()
    lake = world.pipeline().lake
    landing = Landing.parse(world.store.get(landing_key(0)), landing_key(0))
    [table] = lake.read_events(landing.files[0])
    actions = table.column("action").to_pylist()
    altered = table.set_column(5, "action", pa.array([actions[0], "OTHER", actions[2]]))
    file = lake.put_parquet("landed/000000000000/part-00000", altered)
    world.overwrite(landing_key(0), replace(landing, files=(file,)).encode())
    with pytest.raises(ChainBroken, match="tenant acme seq 1: integrity-hash"):
        world.pipeline().run(day(0))
