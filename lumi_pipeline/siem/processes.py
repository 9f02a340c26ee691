"""Which process this is, so that another one on the same machine can tell whether it has ended.

A process number alone would not do: numbers are used again, and containers have their own. So the name also says since
when the machine runs, in which namespace the number counts, and when the process was started (proc(5): ``boot_id``,
``ns/pid``, ``stat`` field 22). Where that can't be read, on other systems than Linux, nobody is taken for dead.
"""

import os
import re
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_NAME: Final = re.compile(r"process (\d+) .*\[([0-9a-f-]+) (\d+) (\d+)\]")


def this_process(machine: str) -> str:
    """Name this process in words for people, and in brackets what tells it from all others."""
    number = os.getpid()
    place, started = _place(), _started(number)
    known = f" [{place} {started}]" if place is not None and started is not None else ""
    return f"process {number} on {machine}{known}"


def for_people(name: str) -> str:
    """The name without what is in brackets."""
    return name.partition(" [")[0]


def has_ended(name: str) -> bool:
    """Whether a process of this name ran on this machine, since it was started, and runs no more."""
    found = _NAME.fullmatch(name)
    if found is None or f"{found[2]} {found[3]}" != _place():
        return False
    return _started(int(found[1])) != int(found[4]) and _started(os.getpid()) is not None


def _place() -> str | None:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return None
    return f"{boot} {namespace.removeprefix('pid:[').removesuffix(']')}"


def _started(number: int) -> int | None:
    """When a process was started, in ticks since the machine was; None where there is none."""
    try:
        # The name in parentheses is the program's own choice, and may hold anything.
        fields = (_PROC / str(number) / "stat").read_bytes().rpartition(b") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])
