"""Where cells end, found 64 bytes at a time, against a reader of one byte after the other."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.kernels.csvmarks import SLACK, find_marks

PIECES = [b'"', b'""', b",", b"\r\n", b"\r", b"\n", b"\0", b"a", b"x" * 30, b"y" * 63, b'"a"', b'"a,""\r\n"', b"\xff"]
LIKELY = [b",", b"\r\n", b"a", b"x" * 30, b"y" * 63, b',"a"', b',"a,""\r\n",', b',""', b',""""', b"\xff"]


def one_by_one(data: bytes) -> tuple[list[int], int]:
    """The marks before the first byte that is wrong, and where that is."""
    marks = []
    inside = closed = False
    before = b"\n"
    for at in range(len(data)):
        byte = data[at : at + 1]
        if byte == b"\0" or (closed and byte not in b',\r"'):
            return marks, at
        closed = False
        if byte == b'"':
            if not inside and before not in b',\n"':
                return marks, at
            closed = inside
            inside = not inside
        elif byte in b",\r\n" and not inside:
            marks.append(at)
        before = byte
    return marks, len(data)


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(LIKELY), max_size=12) | st.lists(st.sampled_from(PIECES), max_size=12),
    behind=st.sampled_from(b'"\0,\n'),
)
def test_as_one_by_one(pieces: list[bytes], behind: int) -> None:
    data = b"".join(pieces)
    room = np.frombuffer(data + bytes([behind]) * SLACK, np.uint8)
    marks = np.empty(len(data), np.int32)
    found, good = find_marks(room.ctypes.data, len(data), marks)
    expected, wrong = one_by_one(data)
    assert good == wrong
    assert [mark for mark in marks[:found].tolist() if mark < good] == expected
