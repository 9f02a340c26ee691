"""Texts in JSON strings: by blocks or byte by byte, wherever in a column they lie, it is the same text."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.kernels.engine import Engine
from lumi_pipeline.kernels.parts import BLOCK, Part, RecordPart

_KERNELS = Engine(native=False)
# Most characters are plain, as in most texts, so that whole blocks are; and texts are longer and shorter than some.
_CHARACTERS = st.one_of(st.sampled_from("abcé😀\x7f"), st.sampled_from('"\\\b\f\n\r\t\x00\x01\x1f'))
_TEXTS = st.one_of(
    st.text(_CHARACTERS, max_size=100),
    st.text(st.sampled_from("abcdefgh"), max_size=100),
    st.lists(st.sampled_from(["x" * 31, "y" * 33, '"', "\x02", "é"]), max_size=6).map("".join),
)


def expected(text: str | None) -> str:
    """The JSON of a text in another way; the digits of escapes are capitals."""
    return re.sub(
        r"(?<!\\)((?:\\\\)*\\u00)(1[a-f])", lambda m: m[1] + m[2].upper(), json.dumps(text, ensure_ascii=False)
    )


def written(column: "pa.StringArray", first: int = 0) -> list[str]:
    """What the kernels write of a column's texts from number ``first`` on, a line each."""
    batch = pa.RecordBatch.from_arrays([column], ["text"])
    records = _KERNELS.records(batch, [RecordPart(Part.STRING, 0), RecordPart(Part.CONSTANT, constant=b"\n")])
    size = int(records.offsets[-1] - records.offsets[first])
    out = np.full(size + BLOCK, 0xFF, np.uint8)
    records.write(first, len(column), out)
    return out[:size].tobytes().decode().split("\n")[:-1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | _TEXTS, min_size=1, max_size=8), st.data())
def test_every_text_is_written_as_json_has_it(texts: list[str | None], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(texts) - 1))
    column = pa.array(texts, pa.string())
    assert written(column) == [expected(text) for text in texts]
    assert written(column, first) == [expected(text) for text in texts[first:]]
    assert written(column.slice(first)) == [expected(text) for text in texts[first:]]


def test_a_text_may_end_anywhere_before_the_end_of_its_column() -> None:
    for size in range(2 * BLOCK + 2):
        for behind in range(2 * BLOCK + 2):
            texts = ["a" * max(size - 1, 0) + '"', "b" * behind]
            assert written(pa.array(texts)) == [expected(text) for text in texts]


def test_more_room_is_asked_for_than_the_records_have() -> None:
    records = _KERNELS.records(pa.RecordBatch.from_pydict({"text": ["a"]}), [RecordPart(Part.STRING, 0)])
    with pytest.raises(ValueError, match="no room"):
        records.write(0, 1, np.empty(3 + BLOCK - 1, np.uint8))
