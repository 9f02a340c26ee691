"""Cutting encoded records into batches: as many to a request as it may hold, to the byte."""

from typing import Final

import numpy as np
import numpy.typing as npt

from lumi_pipeline.siem.destination import Framing, Limits

SEPARATORS: Final = {Framing.LINES: "\n", Framing.ARRAY: ","}
"""What every record is followed by as it is encoded."""


ENDS: Final = {Framing.LINES: (b"", b"\n"), Framing.ARRAY: (b"[", b"]")}
"""What a request begins with, and what it ends with in the place of the last separator."""


def record_starts(framing: Framing) -> int:
    """Where the first record begins in a framed content."""
    return len(ENDS[framing][0])


def cut(
    offsets: npt.NDArray[np.int64], borders: npt.NDArray[np.bool_], limits: Limits, framing: Framing
) -> list[tuple[int, int]]:
    """Cut n records into consecutive batches [first, end) that keep the limits; each as large as it can be.

    ``offsets`` are the n + 1 positions of the records, separators included; no record is larger than a request may be.
    ``borders[i]`` says that record i must not be in one batch with the record before it.
    """
    count = len(borders)
    # A JSON array has one bracket more than its records have separators.
    room = limits.body_bytes - record_starts(framing)
    walls = [*np.flatnonzero(borders).tolist(), count]
    batches: list[tuple[int, int]] = []
    start = 0
    for wall in walls:
        while start < wall:
            by_bytes = int(np.searchsorted(offsets, offsets[start] + room, side="right")) - 1
            end = max(min(wall, start + limits.events, by_bytes), start + 1)
            batches.append((start, end))
            start = end
    return batches
