"""Records of parts and of choices between parts: measured and written, they are what the parts say."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.kernels.engine import Engine
from lumi_pipeline.kernels.parts import BLOCK, AnyPart, Choice, Part, RecordPart

_KERNELS = Engine(native=False)
_BRANCHES = 3
_COLUMNS = ("text", "number", "first", "second")
_LEAVES = st.one_of(
    st.binary(max_size=70).map(lambda text: RecordPart(Part.CONSTANT, constant=text)),
    st.just(RecordPart(Part.RAW, 0, b"<")),
    st.just(RecordPart(Part.NUMBER, 1)),
)


def _choices(parts: st.SearchStrategy[AnyPart]) -> st.SearchStrategy[AnyPart]:
    branch = st.lists(parts, max_size=3).map(tuple)
    return st.builds(Choice, st.sampled_from([2, 3]), st.tuples(*[branch] * _BRANCHES))


_PARTS: st.SearchStrategy[AnyPart] = st.recursive(_LEAVES, _choices, max_leaves=12)
_ROWS = st.tuples(
    st.none() | st.sampled_from(["", "short", "y" * 100]),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, _BRANCHES - 1),
    st.integers(0, _BRANCHES - 1),
)


def expected(parts: Sequence[AnyPart], row: tuple[str | None, int, int, int]) -> bytes:
    """What a row's record is, made one part after the other."""
    record = b""
    for part in parts:
        if isinstance(part, Choice):
            number = row[part.column]
            assert isinstance(number, int)
            record += expected(part.branches[number], row)
        elif part.part is Part.RAW:
            record += b"" if row[0] is None else part.constant + row[0].encode()
        else:
            record += str(row[1]).encode() if part.part is Part.NUMBER else part.constant
    return record


@settings(max_examples=80, deadline=None)
@given(st.lists(_PARTS, max_size=5), st.lists(_ROWS, min_size=1, max_size=6))
def test_choices_within_choices(parts: list[AnyPart], rows: list[tuple[str | None, int, int, int]]) -> None:
    kinds = [pa.string(), pa.int64(), pa.int64(), pa.int64()]
    arrays = [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), kinds, strict=True)]
    records = _KERNELS.records(pa.RecordBatch.from_arrays(arrays, list(_COLUMNS)), parts)
    wanted = [expected(parts, row) for row in rows]
    assert np.diff(records.offsets).tolist() == [len(record) for record in wanted]
    out = np.zeros(int(records.offsets[-1]) + BLOCK, np.uint8)
    records.write(0, len(rows), out)
    assert out[: records.offsets[-1]].tobytes() == b"".join(wanted)
