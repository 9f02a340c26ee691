"""Row groups are cut by what they take once they are decoded."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.cutting import SMALL_GROUPS, GroupSize, cut_groups
from lumi_pipeline.lake import describe_parquet
from lumi_pipeline.rowgroups import long_rows, row_groups

WIDTHS = (0, 1, 1000, 2**20, SMALL_GROUPS.size // 2, SMALL_GROUPS.size, SMALL_GROUPS.size + 1)


@given(widths=st.lists(st.sampled_from(WIDTHS), max_size=12))
@settings(max_examples=30, deadline=None)
def test_groups_are_as_long_as_they_may_be(widths: list[int]) -> None:
    table = pa.table({"text": pa.array(["x" * width for width in widths], pa.string())})
    limit = GroupSize(4, SMALL_GROUPS.size)
    groups = cut_groups(table, limit)
    assert sum(group.rows for group in groups) == len(widths)
    begin = 0
    for group in groups:
        end = begin + group.rows
        assert group.size == sum(widths[begin:end])
        assert 0 < group.rows <= limit.rows
        assert group.rows == 1 or group.size <= limit.size
        assert end == len(widths) or group.rows == limit.rows or group.size + widths[end] > limit.size
        begin = end


def test_a_file_says_what_its_groups_take(tmp_path: Path) -> None:
    wide = pa.table({"text": ["x" * 2**20] * 20, "number": list(range(20))})
    file, data = describe_parquet("part", wide, limit=SMALL_GROUPS)
    place = tmp_path / "part.parquet"
    place.write_bytes(data)
    assert (file.rows, len(data) < 2**20) == (20, True)
    row = 2**20 + 8
    assert row_groups(str(place)) == [GroupSize(7, 7 * row), GroupSize(7, 7 * row), GroupSize(6, 6 * row)]
    assert long_rows([str(place)])
    assert pq.read_table(place).equals(wide)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"lumi.group_bytes": ""},
        {"lumi.group_bytes": "1 2"},
        {"lumi.group_bytes": "-1"},
        {"lumi.group_bytes": "9" * 5000},
    ],
)
def test_of_a_file_that_does_not_say_it_the_encoded_size_is_taken(tmp_path: Path, said: dict[str, str]) -> None:
    place = tmp_path / "part.parquet"
    pq.write_table(pa.table({"text": ["x" * 1000] * 3}).replace_schema_metadata(said), place, use_dictionary=False)
    [group] = row_groups(str(place))
    assert group.rows == 3
    assert 3000 < group.size < 6000  # statistics included
