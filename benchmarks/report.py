"""The table that people read and the JSON that is kept."""

from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.machine import is_busy
from benchmarks.measuring import Speedup, Timing
from benchmarks.row import Row

FORMAT = "lumi/bench/v1"

_HEADER = ("", "time", "rate", "instead", "ratio", "(from – to)", "peak", "instead")


def to_json(
    rows: Sequence[Row], machine: dict[str, object], events: int, runs: int, began: datetime
) -> dict[str, object]:
    """Everything that was measured, every run of it."""
    return {
        "format": FORMAT,
        "began": began.astimezone(UTC).isoformat(timespec="seconds"),
        "events": events,
        "runs": runs,
        "machine": machine,
        "rows": [row.to_json() for row in rows],
    }


def machine_lines(machine: dict[str, object]) -> list[str]:
    """What it was measured on, in a few lines."""
    libraries = machine["libraries"]
    versions = [f"{name} {number}" for name, number in libraries.items()] if isinstance(libraries, dict) else []
    memory = machine["memory_bytes"]
    size = _size(memory) if isinstance(memory, int) else "?"
    lines = [
        f"{machine['cpu']}, {machine['cores']} core(s), {size}, {machine['system']}",
        ", ".join([str(machine["python"]), *versions]),
    ]
    if is_busy(machine):
        lines.append(f"Other programs were at work (load {machine['load']}): trust the ratios, and no time by itself.")
    return lines


def table_lines(rows: Sequence[Row]) -> list[str]:
    """The table, and below it what each row is about."""
    cells = [_HEADER, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEADER))]
    lines = [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in cells
    ]
    about = [f"{row.name.ljust(widths[0])}  {row.what}\n{' ' * widths[0]}  {_against(row)}" for row in rows]
    return [line.rstrip() for line in [*lines, "", *about]]


def markdown_lines(rows: Sequence[Row]) -> list[str]:
    """The same as a Markdown table, and what each row is about as a list."""
    lines = [f"| {' | '.join(cells)} |" for cells in (_HEADER, *map(_cells, rows))]
    ruler = "|---|" + "---:|" * (len(_HEADER) - 1)
    return [lines[0], ruler, *lines[1:], "", *(f"- `{row.name}`: {row.what}; {_against(row)}" for row in rows)]


def _against(row: Row) -> str:
    return f"instead: {row.against}" if row.against else "instead: there is nothing comparable"


def _cells(row: Row) -> tuple[str, ...]:
    speedup = row.speedup
    memory = row.memory
    return (
        row.name,
        _time(row.mine, row.amount),
        f"{row.amount / row.mine.median:,.0f} {row.unit}/s",
        _time(row.plain, row.amount) if row.plain else "–",
        _ratio(speedup.median) if speedup else "–",
        _spread(speedup) if speedup else "",
        _size(memory.mine) if memory else "",
        _size(memory.plain) if memory and memory.plain else "",
    )


def _time(timing: Timing, amount: int) -> str:
    """The time of a run; of one proof among several, that of one."""
    seconds = timing.median / amount if amount < 100 else timing.median
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _ratio(speedup: float) -> str:
    return f"{_digits(speedup)}× as fast" if speedup >= 1 else f"{_digits(1 / speedup)}× the time"


def _spread(speedup: Speedup) -> str:
    ends = (speedup.least, speedup.most) if speedup.median >= 1 else (1 / speedup.most, 1 / speedup.least)
    return f"({_digits(ends[0])} – {_digits(ends[1])})"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 10 else f"{value:.2f}"


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
