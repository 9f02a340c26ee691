"""Which code hashes and encodes: kernels with the processor's SHA instructions, plain kernels, or none.

The environment variable ``LUMI_KERNELS`` decides: ``native``, ``plain``, ``off``, or (nothing) the best there is. What
was chosen is tried against ``hashlib`` before it is used. Compiling takes some seconds, once for an installation, and
loading what was compiled most of one; so few rows are not worth it, and callers have another way for them.
"""

import hashlib
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import pyarrow as pa

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.kernels.parts import BLOCK, AnyPart

if TYPE_CHECKING:
    import numpy.typing as npt

    from lumi_pipeline.kernels.columns import ColumnTable
    from lumi_pipeline.kernels.eventhash import Digests

VARIABLE: Final = "LUMI_KERNELS"
WORTH_LOADING: Final = 32_768
"""Rows that other code needs as long for as loading takes."""

_PORTION: Final = 4096
"""Rows that a thread takes at a time."""

_LINES: Final = 1024
"""Rows of CSV that a thread writes at a time: they stay in the processor's cache until somebody takes them."""

_WAITING: Final = 2 * (os.cpu_count() or 1)
"""Portions of CSV that are written or wait to be taken, at most: enough for every processor to have one."""


@dataclass(slots=True)
class _Asked:
    """Rows for which kernels were not worth loading so far."""

    rows: int = 0


_asked: Final = _Asked()
_Job = TypeVar("_Job")

_LOGGER: Final = logging.getLogger(__name__)


class Engine:
    """Hashes and encodes rows on all processors."""

    def __init__(self, *, native: bool) -> None:
        # numba and LLVM take half a second to import.
        from lumi_pipeline.kernels import (  # noqa: PLC0415
            columns,
            csvcells,
            csvlines,
            csvmarks,
            eventhash,
            filling,
            jsonlengths,
            jsonrecords,
        )

        self.native = native
        self._columns = columns
        self._kernels = eventhash
        self._json = jsonrecords
        self._lengths = jsonlengths
        self._filling = filling
        self._csv = csvlines
        self.marks = csvmarks
        self.cells = csvcells
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="kernel")

    def events(self, events: pa.Table, *messages: tuple[bytes, tuple[str, ...]]) -> "Digests":
        """Return SHA-256(tag, netstrings of the fields) of each of these messages, tag and fields, for every row.

        An array of (messages, rows, 32) bytes.
        """
        out = np.empty((len(messages), len(events), 32), np.uint8)
        chosen = events.select([name for _, fields in messages for name in fields])
        shares = [(tag, len(fields)) for tag, fields in messages]
        jobs = []
        start = 0
        batches = chosen.to_batches()  # kept until all is done: kernels read their buffers
        for batch in batches:
            table = self._columns.column_table(batch)
            target = out[:, start : start + len(batch)]
            jobs += [(table, rows, target) for rows in _portions(len(batch))]
            start += len(batch)

        def run(job: "tuple[npt.NDArray[np.int64], range, Digests]") -> None:
            self._kernels.hash_rows(job[0], shares, job[1], job[2], native=self.native)

        self.share(run, jobs)
        return out

    def prefixed(self, prefix: bytes, values: "npt.NDArray[np.uint8]") -> "Digests":
        """Return SHA-256(prefix, row) of every row of an array of two dimensions."""
        values = np.ascontiguousarray(values)
        out = np.empty((len(values), 32), np.uint8)

        def run(rows: range) -> None:
            self._kernels.hash_prefixed(prefix, values, rows, out, native=self.native)

        self.share(run, list(_portions(len(values))))
        return out

    def records(self, columns: pa.RecordBatch, parts: Sequence[AnyPart]) -> "WrittenRecords":
        """Return the records that ``parts`` make of each row; they are measured now and written when asked for."""
        kernels = self._json
        table = self._columns.column_table(columns)
        program, branches, constants = kernels.program_of(parts)
        measured = self._lengths.lengths_of(parts)
        lengths = np.zeros(len(columns), np.int64)

        def measure(rows: range) -> None:
            self._lengths.add_lengths(measured, columns, table, np.arange(rows.start, rows.stop), lengths)

        self.share(measure, _portions(len(columns)))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

        def write(rows: range, out: "npt.NDArray[np.uint8]") -> None:
            places = offsets[rows.start : rows.stop + 1] - offsets[rows.start]
            if len(out) < places[-1] + BLOCK:
                raise ValueError("there is no room for a block behind the records")
            if not kernels.write(program, branches, constants, table, rows.start, places, out):
                raise AssertionError("records were measured wrongly")

        return WrittenRecords(columns, offsets, write)

    def fill(self, content: "npt.NDArray[np.uint8]", byte: int, text: bytes) -> None:
        """Put a text in the place of every run of as many bytes that are ``byte``, which is nowhere else."""
        self._filling.fill_runs(content, byte, np.frombuffer(text, np.uint8))

    def lines(self, events: pa.Table) -> Iterator[memoryview]:
        """Yield the records of ``events.csv`` of all rows, in order, many at a time; no more than a few are held."""

        # A job keeps its batch, whose buffers the kernel reads, should nobody take what is left.
        def run(batch: pa.RecordBatch, table: "ColumnTable", rows: range) -> memoryview:  # noqa: ARG001
            lines: memoryview = self._csv.lines(table, rows)
            return lines

        running: deque[Future[memoryview]] = deque()
        for batch in events.to_batches():
            table = self._columns.column_table(batch)
            for rows in _portions(len(batch), _LINES):
                if len(running) == _WAITING:
                    yield running.popleft().result()
                running.append(self._threads.submit(run, batch, table, rows))
        while running:
            yield running.popleft().result()

    def share(self, run: Callable[[_Job], None], jobs: list[_Job]) -> None:
        """Do jobs on all processors; they leave Python's lock alone for most of their time."""
        if len(jobs) == 1:
            run(jobs[0])
        else:
            list(self._threads.map(run, jobs))


class WrittenRecords:
    """JSON records of rows, one after the other. Record i has the bytes ``offsets[i]`` to ``offsets[i + 1]``."""

    def __init__(
        self,
        columns: pa.RecordBatch,
        offsets: "npt.NDArray[np.int64]",
        write: "Callable[[range, npt.NDArray[np.uint8]], None]",
    ) -> None:
        self.offsets = offsets
        self._columns = columns  # kept, as the kernels read its buffers
        self._write = write

    def write(self, first: int, after: int, out: "npt.NDArray[np.uint8]") -> None:
        """Write records ``first`` to ``after`` - 1 to ``out``; any number of threads may, each to memory of its own.

        A block (parts.py) more than they have is overwritten.
        """
        self._write(range(first, after), out)


def engine(rows: int) -> Engine | None:
    """Return what is to hash so many rows; None if kernels can't be had or loading them isn't worth it.

    It is worth it by all the rows that were asked for in this process: many small days make a large one. Raises
    :class:`~lumi_pipeline.errors.ConfigError` if the environment asks for kernels that can't be had here.
    """
    if not _loaded.cache_info().currsize:
        _asked.rows += rows  # threads that add at once lose a few
        if _asked.rows < WORTH_LOADING:
            return None
    return _loaded(os.environ.get(VARIABLE, ""))


@cache
def _loaded(wanted: str) -> Engine | None:
    if wanted not in {"", "native", "plain", "off"}:
        raise ConfigError(f"{VARIABLE} is {wanted!r}; native, plain and off are possible")
    if wanted == "off":
        return None
    try:
        from lumi_pipeline.kernels.shani import supported  # noqa: PLC0415

        if wanted == "native" and not supported():
            raise ConfigError(f"{VARIABLE} is native, but this processor has no SHA instructions; set plain")
        made = Engine(native=wanted == "native" or (not wanted and supported()))
        check(made)
    except (ImportError, OSError, RuntimeError) as error:
        if wanted:
            raise ConfigError(f"{VARIABLE} is {wanted}, but kernels can't be had: {error}") from error
        _LOGGER.warning("hashing without compiled kernels, which takes several times as long: %s", error)
        return None
    return made


# A forked process has the engine, and none of its threads: the first to ask there makes another.
os.register_at_fork(after_in_child=_loaded.cache_clear)


def check(made: Engine) -> None:
    """Hold kernels against hashlib: a wrong hash would make findings of good events, or none of bad ones."""
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 1000):
        values = (np.arange(2 * size, dtype=np.int64) % 251).astype(np.uint8).reshape(2, size)
        found = made.prefixed(b"\x01", values)
        expected = [hashlib.sha256(b"\x01" + row.tobytes()).digest() for row in values]
        if [row.tobytes() for row in found] != expected:
            raise RuntimeError(f"SHA-256 of {size + 1} bytes is wrong")


def _portions(count: int, size: int = _PORTION) -> list[range]:
    return [range(first, min(first + size, count)) for first in range(0, count, size)]
