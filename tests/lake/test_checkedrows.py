"""Rows of several files by tenant and seq: long ones are looked up where they lie, which gives the same as sorting."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumi_pipeline import checkedrows, stretches
from lumi_pipeline.checkedrows import checked_views, sorted_events
from lumi_pipeline.cutting import GroupSize
from lumi_pipeline.errors import LakeError
from lumi_pipeline.lake import Lake
from lumi_pipeline.recorder import system_clock
from lumi_pipeline.stores.roots import LakeAddress
from tests.lake.rows import events

TENANTS = ("acme", "globex", "zoë")
BOTH = "SELECT landed.* FROM landed WHERE seq % 7 != 3 UNION ALL SELECT sealed.* FROM sealed"


def lake_in(directory: Path) -> Lake:
    return LakeAddress(str(directory), None, None, None).open(system_clock)


@given(data=st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_looked_up_as_sorted(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_in(tmp_path_factory.mktemp("lake"))
    rows = data.draw(st.permutations([(tenant, seq) for tenant in TENANTS for seq in range(8)]))
    ends = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    files = []
    for number, (begin, end) in enumerate(zip([0, *ends], [*ends, len(rows)], strict=True)):
        table = events(rows[begin:end], str(number) * 10)
        files.append(lake.put_parquet(f"landed/{number:012d}/part-00000", table, limit=GroupSize(3, 2**20)))
    sealed = [lake.put_parquet("events/day=2024-02-28/part-00000", events([("acme", 100), ("acme", 101)]))]
    found = []
    for long, held in ((False, 2**20), (True, 2**20), (True, 1)):
        monkeypatch.setattr(checkedrows, "long_rows", lambda _, long=long: long)
        monkeypatch.setattr(stretches, "HELD_BYTES", held)
        with checked_views(lake, {"landed": files, "sealed": sealed}) as views:
            found.append(pa.concat_tables(sorted_events(views, BOTH)))
    assert found[0].num_rows == 8 * 3 - 3 + 2
    assert found[1].equals(found[0])
    assert found[2].equals(found[0])


@pytest.mark.parametrize("empty", ["landed", "sealed"])
def test_long_rows_beside_a_view_of_no_files(tmp_path: Path, empty: str) -> None:
    lake = lake_in(tmp_path)
    table = events([("acme", seq) for seq in range(9)], "x" * 10_000)
    files = [lake.put_parquet("landed/000000000000/part-00000", table)]
    with checked_views(lake, {"landed": [], "sealed": [], "landed" if empty == "sealed" else "sealed": files}) as views:
        found = pa.concat_tables(sorted_events(views, BOTH))
    assert found["seq"].to_pylist() == [seq for seq in range(9) if seq % 7 != 3 or empty == "landed"]


@pytest.mark.slow
def test_long_rows_that_fit_no_vector_come_out_in_order(tmp_path: Path) -> None:
    # DuckDB would need a gigabyte for a vector of these: more than it may have.
    lake = lake_in(tmp_path)
    rows = [("acme", seq) for seq in range(600)]
    files = [
        lake.put_parquet(f"landed/{number:012d}/part-00000", events(rows[number::2], "x" * 2**20)) for number in (0, 1)
    ]
    with checked_views(lake, {"landed": files}) as views:
        seqs = [seq for table in sorted_events(views, "SELECT * FROM landed") for seq in table["seq"].to_pylist()]
    assert seqs == list(range(600))


def test_a_file_that_is_gone_since_it_was_checked_is_an_error_of_ours(tmp_path: Path) -> None:
    lake = lake_in(tmp_path)
    file = lake.put_parquet("landed/000000000000/part-00000", events([("acme", 0)], "x" * 10_000))
    with checked_views(lake, {"landed": [file]}) as views:
        Path(views.places[file]).unlink()
        with pytest.raises(LakeError):
            list(sorted_events(views, "SELECT * FROM landed"))
