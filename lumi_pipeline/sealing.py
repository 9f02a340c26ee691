"""Sealing: turn a closed day's landed rows into the final partition and the record that commits to it.

The order of the durable writes is the safety: event files (named after their content) → tenant-day records → manifest
(create-only: whoever creates it has fixed what the day consists of) → day record (create-only: fixes the sealing time).
Sealing a day that is sealed is a verification: everything is recomputed from the stored bytes and nothing is written.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from lumi_pipeline.acknowledging import break_report, is_acknowledged, keep_report
from lumi_pipeline.chain import Break, ChainEnd, ChainFold, ChainState
from lumi_pipeline.dayrecords import check_gone, check_holds_landed, check_totals, day_ranges, tenant_records
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.erasure.confirming import Erasures
from lumi_pipeline.errors import ChainBroken, ConcurrentRun, LakeError, LumiError
from lumi_pipeline.events import from_micros
from lumi_pipeline.genesis import write_genesis
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.lake import Lake, describe_parquet, events_prefix, seal_prefix
from lumi_pipeline.pending import DayRange, Pending
from lumi_pipeline.pruned import Pruned
from lumi_pipeline.pruning.confirming import Prunings
from lumi_pipeline.records import Manifest, StoredFile
from lumi_pipeline.rotation import Role, due, pending_rotations
from lumi_pipeline.sealedday import SealedDay, event_files, load_manifest, load_sealed_day
from lumi_pipeline.sealunits import UNIT_ROWS, Elsewhere, cut_units, join_units, seal_unit, store_rows
from lumi_pipeline.tenantdays import DayTenants, read_day_tenants
from transparency.entries import DayRecord, Genesis, day_index
from transparency.errors import ObjectConflict, ObjectMissing
from transparency.keys import VerifierKey

SHOWN_BREAKS: Final = 5
"""How many breaks an error message spells out; the report holds them all."""

_STRETCH: Final = 64
_WRITERS: Final = 16

Progress = Callable[[int], None]
"""Called with a number of rows each time so many more were verified."""


@dataclass(frozen=True, slots=True)
class SealReport:
    """What a day consists of. ``fresh`` is False when it had been sealed already and was verified instead.

    ``pruned`` says what of its rows is gone.
    """

    day: date
    index: int
    fresh: bool
    rows: int
    tenants: int
    size: int
    files: int
    map_root: bytes
    manifest_sha256: str
    breaks: tuple[Break, ...]
    seconds: float
    pruned: Pruned | None = None


@dataclass(frozen=True, slots=True)
class _Draft:
    """A day worked out: what it will be, and the objects that fix it (key, bytes) unless they are there already."""

    sealed: SealedDay
    tenants: tuple[str, bytes] | None
    manifest: tuple[str, bytes] | None
    started: float


class Sealer:
    """Seals days in order, each on top of the one before; also verifies days that are sealed."""

    def __init__(
        self,
        lake: Lake,
        genesis: Genesis,
        clock: Callable[[], datetime],
        erasures: Erasures,
        prunings: Prunings,
        *,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """``elsewhere`` is who is to seal the rows of a day of several units, unless that is done here."""
        self._lake = lake
        self._elsewhere = elsewhere
        self.erasures = erasures
        self.prunings = prunings
        self._genesis = genesis
        self._clock = clock

    def seal(self, days: Sequence[date], before: SealedDay | None, pending: Pending) -> Iterator[SealReport]:
        """Seal consecutive days that are closed and landed entirely, the first of them on top of ``before``.

        Raises :class:`~lumi_pipeline.errors.ChainBroken` when a day's chains are broken and nobody accepted that, and
        :class:`~lumi_pipeline.errors.ConcurrentRun` when another run sealed a day first.
        """
        # Keys that were ordered to take over: the first record announces them. Which record that is, is decided by who
        # creates it; a run that finds it made without them announces them in the next.
        ordered = pending_rotations(self._lake, before.record.day if before else None)
        self.erasures.known()
        for stretch in _stretches(days, pending):
            drafts: list[_Draft] = []
            failure: LumiError | None = None
            try:
                for day in stretch:
                    announced = due(ordered, day)
                    drafts.append(self._draft(day, before, pending, announced))
                    before = drafts[-1].sealed
                    ordered = [rotation for rotation in ordered if announced.get(rotation.role) != rotation.key]
            except LumiError as error:
                failure = error  # the days before the one that failed are sealed all the same
            if drafts and drafts[0].sealed.record.day == self._genesis.first_day:
                # Only now: a first day that was made up by a tampered event must not become the log's for good.
                write_genesis(self._lake, self._genesis)
            self._put_all([draft.tenants for draft in drafts if draft.tenants])
            self.erasures.check_unchanged()
            try:
                # Fixes what the days consist of. A crash before it leaves files that nothing lists, and the next run
                # starts over; a crash in between leaves manifests that the next run verifies and builds on.
                self._put_all([draft.manifest for draft in drafts if draft.manifest])
            except ObjectConflict:
                self._tidy(stretch)
                raise ConcurrentRun(
                    f"another run is sealing {stretch[0]} and was first; run again to carry on from there"
                ) from None
            for draft in drafts:
                yield self._finish(draft)
            if failure is not None:
                raise failure

    def verify(
        self, day: date, before: SealedDay | None, progress: Progress | None = None
    ) -> tuple[SealedDay, SealReport]:
        """Recompute a sealed day from its stored bytes; raise an error that names what differs. Writes nothing."""
        started = time.monotonic()
        stored = load_sealed_day(self._lake, day)
        tenants, breaks = self.recompute(stored.manifest, before, progress, stored=stored)
        if self._record(day, before, tenants, stored.manifest, sealed=stored.record) != stored.record:
            raise LakeError(f"{seal_prefix(day)}day.txt was altered: it is not the record that the stored rows give")
        sealed = SealedDay(tenants, stored.record, stored.manifest, breaks, stored.superseded, stored.pruned)
        return sealed, seal_report(sealed, fresh=False, seconds=time.monotonic() - started)

    def recompute(
        self,
        manifest: Manifest,
        before: SealedDay | None,
        progress: Progress | None = None,
        *,
        stored: SealedDay | None = None,
    ) -> tuple[DayTenants, tuple[Break, ...]]:
        """Recompute the tenant-day records of a manifest's events and hold the stored ones against them.

        ``stored`` is the day, if it is sealed already: then its files may be others by now, and what was to be erased
        has to be.
        """
        expected = stored.tenants if stored else read_day_tenants(self._lake, manifest)
        gone = stored.gone if stored else {}
        ranges = {
            tenant_id: DayRange(t.record.first, ChainEnd(t.record.next, t.record.head_after))
            for tenant_id, t in expected.tenants.items()
            if tenant_id not in gone
        }
        chain_ids = {tenant_id: t.chain_id for tenant_id, t in expected.tenants.items()}
        fold = self._fold(manifest.day, before, chain_ids)
        for file in stored.event_files if stored else event_files(manifest):
            for table in self._lake.read_events(file):
                fold.add(table)
                if progress:
                    progress(len(table))
        records, breaks = tenant_records(manifest.day, fold, ranges, chain_ids, lambda *_: b"")
        check_gone(manifest.day, gone, fold)
        tenants = DayTenants(manifest.day, {**records, **gone}, expected.landing_floor)
        for tenant_id in sorted(
            set(tenants.tenants) | set(expected.tenants) | set(before.tenants.tenants if before else ())
        ):
            if tenants.tenants.get(tenant_id) != expected.tenants.get(tenant_id):
                raise LakeError(
                    f"{manifest.day}: the stored rows of tenant {tenant_id} do not give its stored tenant-day record"
                )
            if tenant_id not in expected.tenants:
                raise LakeError(f"{manifest.day}: tenant {tenant_id} has no record, although it had one the day before")
        check_totals(manifest, fold, tenants, breaks, sum(t.record.count for t in gone.values()))
        if stored is not None:
            self.prunings.check_day(stored)
        self.erasures.check(str(manifest.day), fold.tenants)
        if stored is not None:
            self.erasures.check_carried_out(str(manifest.day), fold.tenants)
        return tenants, breaks

    def _draft(
        self, day: date, before: SealedDay | None, pending: Pending, announced: Mapping[Role, VerifierKey]
    ) -> "_Draft":
        """Work out a day from its landed rows. Writes event files, which count for nothing until they are listed."""
        started = time.monotonic()
        try:
            manifest = load_manifest(self._lake, day)
        except ObjectMissing:
            tenants, breaks, files = self._build(day, before, pending)
        else:
            # A run crashed between manifest and day record: what the manifest fixed stands, if it verifies and leaves
            # nothing out.
            tenants, breaks = self.recompute(manifest, before)
            check_holds_landed(tenants, day_ranges(day, before, pending), pending)
            if breaks:
                self._require_acknowledgement(day, breaks)
            record = self._record(day, before, tenants, manifest, announced=announced)
            return _Draft(SealedDay(tenants, record, manifest, breaks), None, None, started)
        stored, data = describe_parquet(f"{seal_prefix(day)}tenant_days", tenants.table())
        manifest = Manifest(
            day,
            sum(file.rows for file in files),
            len(tenants.tenants),
            len(breaks),
            tuple(sorted([*files, stored])),
            _software(),
        )
        record = self._record(day, before, tenants, manifest, announced=announced)
        return _Draft(
            SealedDay(tenants, record, manifest, breaks),
            (stored.path, data),
            (f"{seal_prefix(day)}manifest.json", manifest.encode()),
            started,
        )

    def _build(
        self, day: date, before: SealedDay | None, pending: Pending
    ) -> tuple[DayTenants, tuple[Break, ...], list[StoredFile]]:
        """Write the day's event files and fold what can be read back of them."""
        chain_ids = {tenant_id: t.chain_id for tenant_id, t in before.tenants.tenants.items()} if before else {}
        chain_ids.update({tenant_id: cursor.chain_id for tenant_id, cursor in pending.tenants.items()})
        fold = self._fold(day, before, chain_ids)
        ranges = day_ranges(day, before, pending)
        stretches = pending.stretches(ranges)
        if stretches is None:
            files = list(store_rows(self._lake, f"{events_prefix(day)}part-0", pending.rows(ranges), fold))
        else:
            starts = {tenant_id: fold.start(tenant_id) for tenant_id in ranges}
            rows = sum(r.end.next_seq - r.first for r in ranges.values())
            units = cut_units(day, stretches, starts, rows)
            # A single unit would only wait for workers to start, once for each day of a backlog.
            elsewhere = self._elsewhere if rows > UNIT_ROWS else None
            here = (seal_unit(self._lake, unit, pending.places) for unit in units)
            sealed = list(elsewhere.seal(units) if elsewhere else here)
            files = [file for unit in sealed for file in unit.files]
            if not join_units(fold, sealed):
                fold = self._fold(day, before, chain_ids)
                for file in files:
                    for table in self._lake.read_events(file):
                        fold.add(table)
        self.erasures.check(f"{day} is not sealed", fold.tenants)
        floor = pending.floor_after({tenant_id: r.end.next_seq for tenant_id, r in ranges.items()})
        records, breaks = tenant_records(day, fold, ranges, chain_ids, pending.prev_hash)
        if breaks:
            self._require_acknowledgement(day, breaks)
        return DayTenants(day, records, floor), breaks, files

    def _finish(self, draft: "_Draft") -> SealReport:
        """Write the day record of a day whose manifest is fixed."""
        sealed = draft.sealed
        day = sealed.manifest.day
        # Nothing unlisted may stay in a sealed day's partition, where a reader of plain Parquet would count it.
        self._lake.remove_unlisted(events_prefix(day), sealed.manifest.files)
        self._lake.remove_unlisted(seal_prefix(day), sealed.manifest.files)
        try:
            # The day is sealed from here on. A crash before leaves a manifest, and the next run writes this record.
            self._lake.store.put_new(f"{seal_prefix(day)}day.txt", sealed.record.encode())
        except ObjectConflict:
            raise ConcurrentRun(f"another run sealed {day} first; run again to carry on from there") from None
        return seal_report(sealed, fresh=True, seconds=time.monotonic() - draft.started)

    def _tidy(self, days: Sequence[date]) -> None:
        """Remove what this run wrote for days whose manifests another run has fixed differently."""
        for day in days:
            with suppress(ObjectMissing):
                files = load_manifest(self._lake, day).files
                self._lake.remove_unlisted(events_prefix(day), files)
                self._lake.remove_unlisted(seal_prefix(day), files)

    def _put_all(self, objects: Sequence[tuple[str, bytes]]) -> None:
        """Create several objects, none of which depends on another; together they wait less for the disk or network."""
        if len(objects) == 1:
            self._lake.store.put_new(*objects[0])
        elif objects:
            with ThreadPoolExecutor(_WRITERS) as pool:
                for _ in pool.map(lambda item: self._lake.store.put_new(*item), objects):
                    pass

    def _fold(self, day: date, before: SealedDay | None, chain_ids: Mapping[str, bytes]) -> ChainFold:
        known = before.tenants.tenants if before else {}

        def start(tenant_id: str) -> ChainState:
            tenant = known.get(tenant_id)
            if tenant is not None:
                return ChainState(tenant.record.next, tenant.record.head_after, day_start(day))
            if tenant_id not in chain_ids:
                raise LakeError(f"{day}: rows of tenant {tenant_id}, which has no tenant-day record")
            return ChainState(0, genesis_hash(tenant_id, chain_ids[tenant_id]), day_start(day))

        return ChainFold(start, until=day_end(day))

    def _require_acknowledgement(self, day: date, breaks: tuple[Break, ...]) -> None:
        report = break_report(day, breaks)
        if is_acknowledged(self._lake, report):
            return
        keep_report(self._lake, report)
        shown = "".join(f"\n  {b}" for b in breaks[:SHOWN_BREAKS])
        more = f"\n  … and {len(breaks) - SHOWN_BREAKS} more" if len(breaks) > SHOWN_BREAKS else ""
        raise ChainBroken(
            day,
            breaks,
            report.sha256,
            f"{day} is not sealed: {len(breaks)} break(s) in its chains{shown}{more}\n"
            f"The full report is {report.key}. Repair the cause, or accept exactly this report with "
            f"'lumi acknowledge --day {day} --reason …'",
        )

    def _record(
        self,
        day: date,
        before: SealedDay | None,
        tenants: DayTenants,
        manifest: Manifest,
        *,
        sealed: DayRecord | None = None,
        announced: Mapping[Role, VerifierKey] = MappingProxyType({}),
    ) -> DayRecord:
        """The day's public record, which announces these keys; ``sealed`` gives an existing record's own choices."""
        midnight = from_micros(day_end(day))
        earliest = max(midnight, before.record.sealed) if before else midnight
        return DayRecord(
            origin=self._genesis.origin,
            day=day,
            index=day_index(self._genesis.first_day, day),
            map_root=tenants.tenant_map().root,
            manifest=hashlib.sha256(manifest.encode()).digest(),
            breaks=manifest.breaks,
            sealed=max(sealed.sealed if sealed else self._clock().astimezone(UTC), earliest),
            next_key=sealed.next_key if sealed else announced.get(Role.LOG),
            next_evidence_key=sealed.next_evidence_key if sealed else announced.get(Role.EVIDENCE),
        )


def seal_report(sealed: SealedDay, *, fresh: bool, seconds: float) -> SealReport:
    """Sum up a sealed day."""
    manifest = sealed.manifest
    return SealReport(
        day=manifest.day,
        index=sealed.record.index,
        fresh=fresh,
        rows=manifest.events,
        tenants=manifest.tenants,
        size=sum(file.size for file in manifest.files),
        files=len(manifest.files),
        map_root=sealed.record.map_root,
        manifest_sha256=sealed.record.manifest.hex(),
        breaks=sealed.breaks,
        seconds=seconds,
        pruned=sealed.pruned,
    )


def _stretches(days: Sequence[date], pending: Pending) -> Iterator[list[date]]:
    """Split days into those with rows, each alone, and stretches of idle days, which are cheap and written together."""
    idle: list[date] = []
    for day in days:
        if pending.may_have_rows(day):
            if idle:
                yield idle
                idle = []
            yield [day]
        else:
            idle.append(day)
            if len(idle) == _STRETCH:
                yield idle
                idle = []
    if idle:
        yield idle


@cache
def _software() -> dict[str, str]:
    return {"lumi-pipeline": version("lumi-pipeline"), "pyarrow": pa.__version__}
