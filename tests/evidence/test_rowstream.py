"""A tenant's rows of a day are found by the tenants' counts, wherever they lie in its files."""

from pathlib import Path

import pytest

from lumi_pipeline import cutting
from lumi_pipeline.cutting import GroupSize
from lumi_pipeline.evidence.rowstream import DayRows
from lumi_pipeline.lake import Lake
from lumi_pipeline.sealedday import load_sealed_day
from tests.lake.world import World, at, day

COUNTS = {"acme": 3, "brew": 8, "cove": 1, "dune": 6}


@pytest.mark.parametrize(("part", "group"), [(2, 2), (5, 3), (7, 4), (18, 5)])
def test_rows_of_every_tenant(part: int, group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "PART_ROWS", part)
    monkeypatch.setattr(cutting, "ROW_GROUP_ROWS", group)
    monkeypatch.setitem(Lake.put_parquet.__kwdefaults__, "limit", GroupSize(group, 2**20))
    world = World.create(tmp_path / "world", at(2, "08:00:00"))
    for name, count in COUNTS.items():
        world.record(name, *(at(0, f"09:00:{second:02}") for second in range(count)))
    world.record("bolt", at(1))
    world.pipeline().run()
    lake = world.pipeline().lake
    sealed = load_sealed_day(lake, day(0))
    assert len(sealed.event_files) >= 18 // part
    for name, count in {**COUNTS, "bolt": 0}.items():
        found = list(DayRows(lake, sealed, name).tables())
        assert [seq for table in found for seq in table.column("seq").to_pylist()] == list(range(count))
        assert all(set(table.column("tenant_id").to_pylist()) == {name} for table in found)
        assert all(0 < len(table) <= group for table in found)
