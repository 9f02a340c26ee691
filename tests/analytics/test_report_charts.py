"""The parts of charts: scales, shares, markup, and PNG images as another decoder reads them."""

import struct
import zlib
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.analytics.report.charts import Bar, bar_chart, week_chart
from lumi_pipeline.analytics.report.markup import foreign, make
from lumi_pipeline.analytics.report.png import bars_png, week_png
from lumi_pipeline.analytics.report.scales import compact, percent, spread, ticks, week_of
from tests.analytics.reports import Found

COUNTS = st.integers(0, 10**12)


@given(COUNTS)
def test_an_axis_reaches_the_highest_number_in_few_round_steps(highest: int) -> None:
    marks = ticks(highest)
    assert marks[0] == 0
    assert highest <= marks[-1] <= max(2 * highest, 1)
    assert 2 <= len(marks) <= 5
    assert str(marks[1]).rstrip("0") in {"1", "2", "5"}


@given(st.integers(0, 10**12 - 10**9))
def test_numbers_fit_their_place(number: int) -> None:
    assert len(compact(number)) <= 4


@pytest.mark.parametrize(
    ("number", "written"),
    [
        *[(0, "0"), (0.04, "0"), (0.4, "0.4"), (9.96, "10"), (999, "999"), (999.6, "1k"), (1000, "1k")],
        *[(1249, "1.2k"), (9960, "10k"), (999_499, "999k"), (999_999, "1M"), (35_400_000, "35M"), (10**12, "1000G")],
    ],
)
def test_numbers_are_short(number: float, written: str) -> None:
    assert compact(number) == written


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [
        *[(0, 0, "0 %"), (0, 7, "0 %"), (7, 7, "100 %"), (1, 3, "33 %"), (1, 30, "3.3 %")],
        *[(1, 10**6, "< 0.1 %"), (10**6 - 1, 10**6, "> 99 %")],
    ],
)
def test_a_share_is_never_none_nor_all_by_rounding(part: int, whole: int, written: str) -> None:
    assert percent(part, whole) == written


def test_labels_are_spread_and_weeks_begin_on_monday() -> None:
    assert spread(range(3), 10) == [0, 1, 2]
    assert spread(range(31), 10) == [0, 4, 8, 12, 16, 20, 24, 28]
    assert spread([], 10) == []
    assert week_of(date(2024, 2, 29)) == date(2024, 2, 26)
    assert week_of(date(1, 1, 1)) == date(1, 1, 1)


@settings(max_examples=40)
@given(st.text(max_size=40), st.text(max_size=200))
def test_text_stays_text(attribute: str, content: str) -> None:
    found = Found()
    found.feed(make("p", content, foreign(content), title=attribute).text)
    found.close()
    assert set(found.tags) <= {"p", "bdi", "wbr"}
    assert [name for name, _ in found.attributes] == ["title"]
    assert found.open == []


@given(st.lists(COUNTS, max_size=40))
def test_bars_stay_within_their_chart(numbers: list[int]) -> None:
    found = Found()
    found.feed(bar_chart([Bar("1 Jan", n, str(n), final=n % 2 == 0, marked=n % 3 == 0) for n in numbers], "said").text)
    assert ("role", "img") in found.attributes
    for name, value in found.attributes:
        if name in {"y", "height", "y1", "y2"}:
            assert 0 <= float(value) <= 190
        elif name == "x" and value.endswith("%"):
            assert 0 <= float(value[:-1]) <= 100


def test_a_week_without_events_is_empty_not_wrong() -> None:
    found = Found()
    found.feed(week_chart([[0.0] * 24] * 7, [True] * 6 + [False], "said").text)
    assert found.attributes.count(("class", "cell step-0")) == 6 * 24
    assert found.attributes.count(("class", "none")) == 1


def decode(png: bytes) -> list[list[tuple[int, int, int]]]:
    """Read a PNG of indexed colours, every checksum included."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        kind, data, crc = png[at + 4 : at + 8], png[at + 8 : at + 8 + length], png[at + 8 + length : at + 12 + length]
        assert int.from_bytes(crc) == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert form == [8, 3, 0, 0, 0]
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == height * (width + 1)
    colours = [tuple(chunks[b"PLTE"][i : i + 3]) for i in range(0, len(chunks[b"PLTE"]), 3)]
    lines = [rows[y * (width + 1) : (y + 1) * (width + 1)] for y in range(height)]
    assert {line[0] for line in lines} == {0}
    return [[colours[index] for index in line[1:]] for line in lines]  # type: ignore[misc]


BAR = (0x0B, 0x5A, 0x56)


def test_a_png_has_its_bars() -> None:
    rows = decode(bars_png([10, 0, 5], ["10-01", "10-02", "10-03"]))
    heights = [sum(row[x] == BAR for row in rows) for x in (100, 340, 500)]
    assert heights[1] == 0
    assert heights[0] == pytest.approx(2 * heights[2], abs=1)


@pytest.mark.parametrize("numbers", [[], [0], [1], [7] * 600, [10**15, 1]])
def test_any_numbers_make_a_png(numbers: list[int]) -> None:
    rows = decode(bars_png(numbers, ["10-01"] * len(numbers)))
    assert any(pixel == BAR for row in rows for pixel in row) == any(numbers)


def test_the_week_as_a_png_is_darkest_where_most_happens() -> None:
    hours = [[0.0] * 24 for _ in range(7)]
    hours[2][5] = 4.0
    rows = decode(week_png(hours))
    assert rows[2 * 24 + 12][40 + 5 * 24 + 12] == BAR
    assert rows[2 * 24 + 12][40 + 6 * 24 + 12] == (0xFF, 0xFE, 0xFB)
    decode(week_png([[0.0] * 24] * 7))
