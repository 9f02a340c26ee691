"""Charts as PNG images, for places that show pictures only; numbers are on their axes, in letters of our own.

Written from the specification (W3C PNG, third edition): signature, then the chunks IHDR, PLTE, IDAT and IEND, each with
its length and CRC. A pixel is one byte, an index into the palette (colour type 3), and rows are not filtered.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lumi_pipeline.analytics.report.scales import compact, spread, step, ticks

Pixels: TypeAlias = NDArray[np.uint8]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PAPER, _INK, _LINE, _BAR = 0, 1, 2, 3
_PALETTE: Final = bytes.fromhex("fffefb 55615d d9d7cd 0b5a56 dfe8e4 b6cdc9 8bafac 3f7a77 0b5a56")
"""Paper, ink, lines, bars, and the steps of the heat map from few to many: the colours of the pages."""

# Three dots wide and five high, row by row from the top, the left dot first.
_LETTERS: Final = {
    "0": "75557",
    "1": "26227",
    "2": "71747",
    "3": "71717",
    "4": "55711",
    "5": "74717",
    "6": "74757",
    "7": "71122",
    "8": "75757",
    "9": "75717",
    ".": "00002",
    "-": "00700",
    "k": "45655",
    "M": "57755",
    "G": "74557",
    "T": "72222",
    "W": "55775",
    "F": "74644",
    "S": "74717",
}
_SCALE: Final = 2
_ADVANCE: Final = 4 * _SCALE
_LEFT: Final = 40
_RIGHT: Final = 8
_WIDTH: Final = 640
_HEIGHT: Final = 180
_TOP: Final = 12
_FOOT: Final = 22
_CELL: Final = 24


def bars_png(numbers: Sequence[int], labels: Sequence[str]) -> bytes:
    """A bar for each number, with its label below where there is room. Labels are digits and ``-``, as ``10-28``."""
    pixels = np.full((_HEIGHT, _WIDTH), _PAPER, np.uint8)
    marks = ticks(max(numbers, default=0))
    bottom = _HEIGHT - _FOOT
    tall = bottom - _TOP
    for mark in marks:
        y = bottom - round(mark / marks[-1] * tall)
        pixels[y, _LEFT : _WIDTH - _RIGHT] = _LINE
        _write(pixels, compact(mark), right=_LEFT - 6, top=y - 5)
    room = (_WIDTH - _LEFT - _RIGHT) / max(len(numbers), 1)
    for index, number in enumerate(numbers):
        left = _LEFT + index * room
        wide = max(int(room * 0.75), 1)
        high = max(round(number / marks[-1] * tall), 2) if number else 0
        first = int(left + (room - wide) / 2)
        pixels[bottom - high : bottom, first : first + wide] = _BAR
    for index in spread(labels, 10):
        middle = _LEFT + (index + 0.5) * room
        right = min(round(middle + _length(labels[index]) / 2), _WIDTH - 2)
        _write(pixels, labels[index], right=right, top=bottom + 7)
    return encode_png(pixels, _PALETTE)


def week_png(hours: Sequence[Sequence[float]]) -> bytes:
    """The hours of the week: a row for each weekday, Monday first, the darker the more; white is none."""
    height, width = len(hours) * _CELL + _FOOT, _LEFT + len(hours[0]) * _CELL + _RIGHT
    pixels = np.full((height, width), _PAPER, np.uint8)
    highest = max((number for row in hours for number in row), default=0)
    for weekday, row in enumerate(hours):
        top = weekday * _CELL
        _write(pixels, "MTWTFSS"[weekday], right=_LEFT - 8, top=top + 7)
        for hour, number in enumerate(row):
            left = _LEFT + hour * _CELL
            pixels[top + 1 : top + _CELL - 1, left + 1 : left + _CELL - 1] = _LINE
            shade = step(number, highest)
            pixels[top + 2 : top + _CELL - 2, left + 2 : left + _CELL - 2] = _BAR + shade if shade else _PAPER
    for hour in range(0, len(hours[0]), 3):
        middle = _LEFT + hour * _CELL + _CELL // 2
        _write(pixels, f"{hour:02}", right=middle + _length("00") // 2, top=height - _FOOT + 6)
    return encode_png(pixels, _PALETTE)


def encode_png(pixels: Pixels, palette: bytes) -> bytes:
    """Encode a picture, an array of rows of indexes into a palette of three bytes (red, green, blue) each."""
    height, width = pixels.shape
    rows = np.zeros((height, width + 1), np.uint8)  # before each row, 0 says that it is not filtered
    rows[:, 1:] = pixels
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _length(text: str) -> int:
    return len(text) * _ADVANCE - _SCALE


def _write(pixels: Pixels, text: str, *, right: int, top: int) -> None:
    """Write a text that ends at the column ``right``; what is not in our letters stays blank."""
    top, left = max(top, 0), right - _length(text)
    for index, character in enumerate(text):
        for y, row in enumerate(_LETTERS.get(character, "")):
            for x in range(3):
                if int(row) & (4 >> x):
                    at = left + index * _ADVANCE + x * _SCALE
                    pixels[top + y * _SCALE : top + (y + 1) * _SCALE, at : at + _SCALE] = _INK
