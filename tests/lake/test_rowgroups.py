"""Row groups are cut by what they take once they are decoded."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.lake import describe_parquet, row_sizes
from lumi_pipeline.rowgroups import GROUP_BYTES, RowGroup, grouped, row_groups


@given(
    widths=st.lists(st.sampled_from([0, 1, 1000, 2**20, GROUP_BYTES // 2, GROUP_BYTES, GROUP_BYTES + 1]), max_size=12)
)
@settings(max_examples=30, deadline=None)
def test_groups_are_as_long_as_they_may_be(widths: list[int]) -> None:
    table, groups = grouped(pa.table({"text": pa.array(["x" * width for width in widths], pa.string())}), 4)
    assert sum(groups) == len(widths)
    sizes = row_sizes(table).tolist()
    begin = 0
    for number, rows in enumerate(groups):
        end = begin + rows
        assert rows == 1 or sum(sizes[begin:end]) <= GROUP_BYTES
        last = number == len(groups) - 1
        assert last or rows == 4 or sum(sizes[begin : end + 1]) > GROUP_BYTES
        assert 0 < rows <= 4
        begin = end


def test_a_file_says_what_its_groups_take(tmp_path: Path) -> None:
    wide = pa.table({"text": ["x" * 2**20] * 20, "number": list(range(20))})
    table, groups = grouped(wide, 1000)
    file, data = describe_parquet("part", table, groups=groups)
    place = tmp_path / "part.parquet"
    place.write_bytes(data)
    assert (file.rows, len(data) < 2**20) == (20, True)
    row = 2**20 + 8
    assert row_groups(str(place)) == [RowGroup(7, 7 * row), RowGroup(7, 7 * row), RowGroup(6, 6 * row)]
    assert pq.read_table(place).equals(wide)


@pytest.mark.parametrize(
    "said", [{}, {"lumi.group_bytes": ""}, {"lumi.group_bytes": "1 2"}, {"lumi.group_bytes": "-1"}]
)
def test_of_a_file_that_does_not_say_it_the_encoded_size_is_taken(tmp_path: Path, said: dict[str, str]) -> None:
    place = tmp_path / "part.parquet"
    pq.write_table(pa.table({"text": ["x" * 1000] * 3}).replace_schema_metadata(said), place, use_dictionary=False)
    [group] = row_groups(str(place))
    assert group.rows == 3
    assert 3000 < group.size < 6000  # statistics included
