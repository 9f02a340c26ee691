"""Charts as inline SVG: bars over time, a bar beside a name, and the hours of the week.

Widths are percentages of the place that a chart gets and heights are pixels, so a chart fits a telephone as well as
a sheet of paper, and its letters stay as large as those around it. Colours come from the page's style sheet; whatever
a colour says is said by a form or a number too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lumi_pipeline.analytics.report.markup import Markup, joined, make
from lumi_pipeline.analytics.report.scales import STEPS, WEEKDAYS, compact, spread, step, ticks

_HEIGHT: Final = 190
_TOP: Final = 22
_BOTTOM: Final = 26
_FEWEST: Final = 12
"""Places for bars: fewer bars than that stay slim, in the middle."""

_FILLED: Final = 0.76
_LABELS: Final = 10
_ROW: Final = 26
_EVERY: Final = 3


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its label on the axis, its number, what a pointer on it is told, and whether it is final or marked."""

    label: str
    number: int
    told: str
    final: bool = True
    marked: bool = False


def bar_chart(bars: Sequence[Bar], said: str) -> Markup:
    """Bars over time. What is not final is dashed; a warning sign stands above what is marked.

    ``said`` is what somebody hears who does not see it.
    """
    marks = ticks(max((bar.number for bar in bars), default=0))
    top = marks[-1]
    places = max(len(bars), _FEWEST)
    offset = (places - len(bars)) / 2
    scale = [_grid_line(mark, top) for mark in marks]
    drawn = [_bar(bar, (offset + index) / places * 100, 100 / places, top) for index, bar in enumerate(bars)]
    shown = spread(bars, _LABELS)
    labels = [
        _text(
            bars[index].label,
            (offset + index + 0.5) / places * 100,
            _HEIGHT - 6,
            "middle",
            "label" if order % 2 == 0 else "label wide",
        )
        for order, index in enumerate(shown)
    ]
    axis = [_text(compact(mark), 100, _level(mark, top) + 4, "end", "label") for mark in marks]
    return make(
        "div",
        make("svg", *axis, class_="axis", height=_HEIGHT),
        make("svg", *scale, *drawn, *labels, class_="plot", width="100%", height=_HEIGHT),
        class_="chart",
        role="img",
        aria_label=said,
    )


def share_bar(part: int, whole: int) -> Markup:
    """A bar as long as a part of a whole, for a table that has the number beside it."""
    width = 100 * part / whole if whole else 0.0
    bar = make("rect", width=f"{width:.2f}%", height="100%", rx=2, class_="bar")
    return make("svg", bar, class_="share", width="100%", height=7, aria_hidden="true")


def week_chart(hours: Sequence[Sequence[float]], present: Sequence[bool], said: str) -> Markup:
    """The hours of the week: a row for each weekday, Monday first, a column for each hour.

    The more events, the darker; every cell has its number too, where there is room for it. Weekdays that are not
    ``present`` are crossed out instead of looking idle.
    """
    highest = max((number for row in hours for number in row), default=0)
    height = len(WEEKDAYS) * _ROW
    cells: list[Markup] = []
    for weekday, row in enumerate(hours):
        y = weekday * _ROW
        if not present[weekday]:
            told = make("title", f"{WEEKDAYS[weekday]}: not in this period")
            middle = y + _ROW / 2
            cells.append(make("line", told, x1="0.5%", x2="99.5%", y1=middle, y2=middle, class_="none"))
            continue
        cells += [_cell(weekday, hour, number, highest) for hour, number in enumerate(row)]
    names = [_text(name, 100, n * _ROW + _ROW / 2 + 4, "end", "label") for n, name in enumerate(WEEKDAYS)]
    clock = [
        _text(f"{hour:02}", (hour + 0.5) / len(hours[0]) * 100, height + 17, "middle", "label")
        for hour in range(0, len(hours[0]), _EVERY)
    ]
    return make(
        "div",
        make("svg", *names, class_="axis", height=height + 24),
        make("svg", *cells, *clock, class_="plot", width="100%", height=height + 24),
        class_="chart week",
        role="img",
        aria_label=said,
    )


def warning_sign(x: str = "0", y: float = 0) -> Markup:
    """A triangle with an exclamation mark, its middle at ``x``."""
    paths = (
        make("path", d="M0 1L6.5 12.5H-6.5z", class_="sign-form"),
        make("path", d="M0 5v3.6M0 10.4v.3", class_="sign-stroke"),
    )
    return make("svg", *paths, x=x, y=y, width=1, height=14, overflow="visible", class_="warning")


def sample(kind: str) -> Markup:
    """A small piece of a chart, for its legend: ``final``, ``open``, ``warning``, or a step of the scale."""
    if kind == "warning":
        inside = warning_sign("50%", 1)
    else:
        inside = make("rect", x=1, y=1, width=12, height=12, rx=2, class_=f"bar {kind}")
    return make("svg", inside, class_="sample", width=14, height=14, aria_hidden="true")


def legend_steps() -> Markup:
    """The scale of :func:`week_chart`, from few to many."""
    return joined(*(sample(f"step-{step}") for step in range(1, STEPS + 1)))


def _level(number: int, top: int) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - number / top)


def _grid_line(mark: int, top: int) -> Markup:
    y = _level(mark, top)
    return make("line", x1="0", x2="100%", y1=y, y2=y, class_="base" if mark == 0 else "grid")


def _bar(bar: Bar, x: float, width: float, top: int) -> Markup:
    y = _level(bar.number, top)
    height = _HEIGHT - _BOTTOM - y
    # What is there is seen, be it ever so little beside the rest.
    height = max(height, 1.5) if bar.number else 0
    gap = width * (1 - _FILLED) / 2
    rect = make(
        "rect",
        make("title", bar.told),
        x=f"{x + gap:.3f}%",
        y=_HEIGHT - _BOTTOM - height,
        width=f"{width * _FILLED:.3f}%",
        height=height,
        class_="bar final" if bar.final else "bar open",
    )
    if not bar.marked:
        return rect
    return joined(rect, warning_sign(f"{x + width / 2:.3f}%", _HEIGHT - _BOTTOM - height - 17))


def _cell(weekday: int, hour: int, number: float, highest: float) -> Markup:
    shade = step(number, highest)
    told = f"{WEEKDAYS[weekday]} {hour:02}:00 UTC: {compact(number)}"
    y = weekday * _ROW
    rect = make(
        "rect",
        make("title", told),
        x=f"{hour / 24 * 100:.3f}%",
        y=y,
        width=f"{100 / 24:.3f}%",
        height=_ROW,
        class_=f"cell step-{shade}",
    )
    if not number:
        return rect
    middle = f"{(hour + 0.5) / 24 * 100:.3f}%"
    text = make("text", compact(number), x=middle, y=y + _ROW / 2 + 3.5, text_anchor="middle", class_=f"in-{shade}")
    return joined(rect, text)


def _text(text: str, x: float, y: float, anchor: str, kind: str) -> Markup:
    return make("text", text, x=f"{x:.3f}%", y=y, text_anchor=anchor, class_=kind)
