"""What a writer knows of its own transactions, in a file that survives its end.

A group is the events of one transaction. A line says what is about to happen or has happened to a group; a process that
is killed leaves lines that say how far it came, and that decides what may be in the outbox afterwards.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


class Ledger:
    """Appends to one file; every line is with the operating system before :meth:`note` returns."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def begin(self, group: str, events: Iterable[str]) -> None:
        """The transaction begins, perhaps once more, and is going to record these events."""
        self.note("begun", group, ",".join(events))

    def note(self, word: str, group: str = "-", detail: str = "-") -> None:
        """``committing`` before COMMIT is sent, ``committed`` after its success; ``refused`` after its refusal;
        ``lost`` when no answer came; ``count`` for the figures; ``complaint`` for what must not happen."""
        line = " ".join([word, group, detail.replace("\n", " | ")])
        os.write(self._file, f"{line}\n".encode())


@dataclass(slots=True)
class Knowledge:
    """All ledgers together: events that have to be there (and when that was known), may be there, must not."""

    committed: dict[str, float] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Self:
        known = cls()
        for path in paths:
            text = path.read_text(encoding="utf-8")
            # A writer is killed between two lines or inside one: half a line tells of nothing that was done after it.
            known.add([line for line in text.splitlines(keepends=True) if line.endswith("\n")])
        return known

    def add(self, lines: Sequence[str]) -> None:
        """Take in the lines of one ledger."""
        events: dict[str, list[str]] = {}
        committed: dict[str, float] = {}
        in_doubt: dict[str, str] = {}
        for line in lines:
            word, group, detail = line.rstrip("\n").split(" ", 2)
            match word:
                case "begun":
                    events[group] = detail.split(",")
                case "committing" if in_doubt.get(group) != "lost":
                    in_doubt[group] = word
                case "lost":
                    in_doubt[group] = word
                case "refused" if in_doubt.get(group) != "lost":
                    del in_doubt[group]
                case "committed":
                    committed[group] = float(detail)
                case "count":
                    self.counts[detail] += 1
                case "complaint":
                    self.complaints.append(detail)
        for group, ids in events.items():
            if group in committed:
                self.committed.update(dict.fromkeys(ids, committed[group]))
            else:
                (self.unknown if group in in_doubt else self.absent).update(ids)
        self.counts["transactions"] += len(committed)


def now() -> str:
    """This moment, as ``committed`` notes it."""
    return f"{time.time():.6f}"
