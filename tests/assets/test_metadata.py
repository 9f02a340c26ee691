"""What people see in Dagster: tables and charts that show what is there, and nothing that a tenant smuggled in."""

import re
import xml.etree.ElementTree as ET
from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st

from assets.metadata import SHOWN_ROWS, breaks_table, hours_chart, table
from lumi_pipeline.chain import Break, BreakKind
from lumi_pipeline.profile import DayProfile
from tests.lake.world import day

SVG = "{http://www.w3.org/2000/svg}"


def test_a_table_lines_numbers_up_and_says_what_it_leaves_out() -> None:
    text = table(("tenant", "events"), [(f"t{n}", 1000 + n) for n in range(SHOWN_ROWS + 7)])
    lines = text.splitlines()
    assert lines[:3] == ["| tenant | events |", "| :-- | --: |", "| t0 | 1,000 |"]
    assert sum(line.startswith("| t") for line in lines) == SHOWN_ROWS + 1
    assert lines[-1] == "… and 7 more"
    assert table(("tenant",), []) == "none"


@given(st.text())
def test_a_cell_stays_one_cell(text: str) -> None:
    lines = table(("found",), [(text,)]).split("\n")
    assert len(lines) == 3
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", lines[2])) == 2
    assert "<" not in lines[2]


def test_breaks_are_escaped() -> None:
    text = breaks_table([Break("a|b<img src=x>", 7, BreakKind.LINK, "x\ny", "`z`")])
    assert text.splitlines()[2] == r"| a\|b&lt;img src=x&gt; | 7 | link | x y | \`z\` |"
    assert breaks_table([]) == "none"


@given(st.lists(st.integers(0, 10**12), min_size=24, max_size=24))
def test_the_chart_is_an_image_of_24_bars(by_hour: list[int]) -> None:
    chart = hours_chart(DayProfile(day(0), tuple(by_hour), {}))
    matched = re.fullmatch(r"!\[events by hour\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", chart)
    assert matched
    svg = ET.fromstring(b64decode(matched[1]))  # noqa: S314 - made by the line above
    bars = svg.findall(f"{SVG}rect")
    heights = [int(bar.attrib["height"]) for bar in bars]
    assert [bar.findtext(f"{SVG}title") for bar in bars] == [f"{h:02d}:00 {n:,}" for h, n in enumerate(by_hour)]
    assert max(heights) == (120 if any(by_hour) else 0)
    assert [height for _, height in sorted(zip(by_hour, heights, strict=True))] == sorted(heights)
