"""Numbers and days as charts put them on axes."""

from collections.abc import Sequence
from datetime import date
from typing import Final, TypeVar

_Item = TypeVar("_Item")

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

STEPS: Final = 5
"""Shades of a heat map."""

_INTERVALS: Final = 4


def ticks(highest: int) -> list[int]:
    """Round numbers from 0 to at least ``highest``, evenly spaced, in at most four steps of 1, 2 or 5 times 10^n."""
    power = 1
    while power * 10 * _INTERVALS < highest:
        power *= 10
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step * _INTERVALS >= highest)
    return [step * n for n in range(max(-(-highest // step), 1) + 1)]


def step(number: float, highest: float) -> int:
    """The shade of a number in a heat map, from 1 (few) to ``STEPS``; 0 for none."""
    return min(int(number / highest * STEPS) + 1, STEPS) if number else 0


def compact(number: float) -> str:
    """A number in at most four characters up to 999 billion: ``7``, ``0.4``, ``1.2k``, ``35k``, ``2M``."""
    scaled = number
    for unit in ("", "k", "M", "G"):
        # As it will be rounded: 999.5 would have four digits, 9.95 would be 10.0.
        if scaled < 999.5 or unit == "G":
            rounded = f"{scaled:.1f}".removesuffix(".0") if scaled < 9.95 else f"{scaled:.0f}"
            return f"{rounded}{unit}"
        scaled /= 1000
    raise AssertionError


def percent(part: int, whole: int) -> str:
    """A share: ``12 %``, ``0.4 %``; what is there is never 0, and what is not all never 100."""
    if part in {0, whole} or not whole:
        return "100 %" if part and part == whole else "0 %"
    share = 100 * part / whole
    # As they would be rounded: to 0.0 and to 100.
    if share < 0.05:
        return "< 0.1 %"
    if share > 99.5:
        return "> 99 %"
    return f"{share:.1f} %" if share < 10 else f"{share:.0f} %"


def short_day(day: date) -> str:
    """``28 Oct``."""
    return f"{day.day} {MONTHS[day.month - 1]}"


def long_day(day: date) -> str:
    """``28 Oct 2026``."""
    return f"{short_day(day)} {day.year}"


def month_of(day: date) -> str:
    """``Oct 2026``."""
    return f"{MONTHS[day.month - 1]} {day.year}"


def week_of(day: date) -> date:
    """The Monday of a day's week; of the calendar's first days, its first day."""
    return date.fromordinal(max(day.toordinal() - day.weekday(), 1))


def spread(items: Sequence[_Item], most: int) -> list[int]:
    """Indexes of at most ``most`` items at even distances, the first among them."""
    step = max(-(-len(items) // most), 1)
    return list(range(0, len(items), step))
