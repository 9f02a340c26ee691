"""Sealing a day's rows in units: each is consecutive rows of the day, to be verified and written by itself.

Units are cut the same way wherever they are worked on, so the files are the same. A unit may be worked on twice: files
are named after their content, so it writes them once.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import chain, groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pyarrow as pa

from lumi_pipeline.chain import ChainFold, ChainState, TenantRows
from lumi_pipeline.compute import Compute
from lumi_pipeline.cutting import ROW_GROUP_ROWS, in_parts
from lumi_pipeline.days import day_end
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import to_micros
from lumi_pipeline.lake import Lake, events_prefix
from lumi_pipeline.overlapping import overlapped
from lumi_pipeline.records import StoredFile
from lumi_pipeline.stores.roots import LakeAddress
from lumi_pipeline.stretches import Stretch, read_stretches
from transparency.merkle import CompactRange

UNIT_ROWS: Final = 40 * ROW_GROUP_ROWS
"""Rows of a unit: enough that starting one costs little, few enough that a large day has some for everybody."""

_PART_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class SealUnit:
    """Rows of a day that are written as the files ``<prefix><number>``.

    ``starts`` are the states that the chains of its tenants are in before the day; without that of the first tenant
    if ``earlier``, the number of that tenant's rows in the units before, is not 0.
    """

    day: date
    prefix: str
    stretches: tuple[Stretch, ...]
    starts: Mapping[str, ChainState]
    earlier: int


@dataclass(frozen=True, slots=True)
class SealedUnit:
    """The files that were written, and what verifying them showed of each tenant."""

    files: tuple[StoredFile, ...]
    tenants: Mapping[str, TenantRows]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Who works on units, and where he finds the lake."""

    compute: Compute
    address: LakeAddress

    def seal(self, units: Iterable[SealUnit]) -> Iterator[SealedUnit]:
        """Yield what :func:`seal_unit` gives for each unit, in order."""
        return self.compute.map(_seal_at, (_LakeUnit(self.address, unit) for unit in units))


@dataclass(frozen=True, slots=True)
class _LakeUnit:
    address: LakeAddress
    unit: SealUnit


def cut_units(
    day: date, stretches: Iterable[Stretch], starts: Mapping[str, ChainState], rows: int, unit_rows: int = UNIT_ROWS
) -> Iterator[SealUnit]:
    """Cut the ``rows`` rows of a day into units of ``unit_rows`` each but the last."""
    digits = len(str(max(rows - 1, 0) // unit_rows))
    pieces = _cut(stretches, unit_rows)
    seen: dict[str, int] = {}
    for number, found in groupby(pieces, lambda piece: piece[0]):
        unit = tuple(stretch for _, stretch in found)
        earlier = seen.get(unit[0].tenant_id, 0)
        tenants = {stretch.tenant_id for stretch in unit} - seen.keys()
        yield SealUnit(
            day,
            f"{events_prefix(day)}part-{number:0{digits}d}",
            unit,
            {tenant_id: starts[tenant_id] for tenant_id in tenants},
            earlier,
        )
        last = unit[-1].tenant_id
        own = sum(stretch.after - stretch.first for stretch in unit if stretch.tenant_id == last)
        seen = {last: own + (earlier if last == unit[0].tenant_id else 0)}


def _cut(stretches: Iterable[Stretch], unit_rows: int) -> Iterator[tuple[int, Stretch]]:
    """Yield the stretches, cut where a unit is full, each with the number of its unit."""
    at = 0
    for stretch in stretches:
        first = stretch.first
        while first < stretch.after:
            after = min(stretch.after, first + unit_rows - at % unit_rows)
            yield at // unit_rows, Stretch(stretch.tenant_id, stretch.stream, stretch.file, first, after)
            at += after - first
            first = after


def seal_unit(lake: Lake, unit: SealUnit, places: Mapping[StoredFile, str]) -> SealedUnit:
    """Write a unit's rows and verify what can be read back; ``places`` is where the landed files lie, checked."""

    def start(tenant_id: str) -> ChainState:
        if tenant_id not in unit.starts:
            raise LakeError(f"{unit.day}: a landed file holds rows of tenant {tenant_id} in the place of another's")
        return unit.starts[tenant_id]

    rows = read_stretches(unit.stretches, places)
    fold = ChainFold(start, until=day_end(unit.day))
    if unit.earlier:
        first = next(rows)
        rows = chain([first], rows)
        seq, prev_hash, recorded_at = (first.column(name)[0].as_py() for name in ("seq", "prev_hash", "recorded_at"))
        state = ChainState(seq, prev_hash, to_micros(recorded_at))
        fold.tenants[unit.stretches[0].tenant_id] = TenantRows(state, state, CompactRange(unit.earlier))
    return SealedUnit(tuple(store_rows(lake, unit.prefix, rows, fold)), fold.tenants)


def join_units(fold: ChainFold, units: Iterable[SealedUnit]) -> bool:
    """Take what was found of each unit, in order, into the fold of the day, which has no rows yet.

    False if anything is broken, the place between two units included; then folding the files in order tells what.
    """
    for unit in units:
        for tenant_id, rows in unit.tenants.items():
            known = fold.tenants.setdefault(tenant_id, rows)
            if rows.breaks or (known is not rows and not known.take(rows)):
                return False
    return True


def store_rows(lake: Lake, prefix: str, rows: Iterator[pa.Table], fold: ChainFold) -> Iterator[StoredFile]:
    """Write rows as files, yield those, and fold what can be read back of them. All of that goes on at once."""

    def keep(part: tuple[int, pa.Table]) -> StoredFile:
        return lake.put_parquet(f"{prefix}{part[0]:0{_PART_DIGITS}d}", part[1])

    def read_back(file: StoredFile) -> tuple[StoredFile, list[pa.Table]]:
        return file, list(lake.read_events(file, threads=False))

    with closing(overlapped(read_back, overlapped(keep, enumerate(in_parts(rows))))) as stored:
        for file, tables in stored:
            for table in tables:
                fold.add(table)
            yield file


def _seal_at(found: _LakeUnit) -> SealedUnit:
    lake = found.address.open(lambda: datetime.now(UTC))
    files = list(dict.fromkeys(stretch.file for stretch in found.unit.stretches))
    with TemporaryDirectory(prefix="lumi-") as directory:
        places = dict(zip(files, lake.fetch_events(files, Path(directory)), strict=True))
        return seal_unit(lake, found.unit, places)
