"""A sealed day as it is stored: its public record, its private manifest and its tenants, checked against each other."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from lumi_pipeline.chain import Break
from lumi_pipeline.errors import LakeError, RecordError
from lumi_pipeline.lake import Lake, events_prefix, seal_prefix
from lumi_pipeline.pruned import Pruned, pruned_prefix, read_pruned
from lumi_pipeline.records import Manifest, StoredFile
from lumi_pipeline.superseding import Superseded, day_records, effective, read_records
from lumi_pipeline.tenantdays import DayTenants, SealedTenant, read_day_tenants, stored_tenants
from transparency.entries import DayRecord
from transparency.errors import EntryError


@dataclass(frozen=True, slots=True)
class SealedDay:
    """A day's state as the next day builds on it: its tenants, its public record, and the breaks found in it.

    ``superseded`` are the records of erasures that rewrote some of its files, ``pruned`` says which rows are gone.
    """

    tenants: DayTenants
    record: DayRecord
    manifest: Manifest
    breaks: tuple[Break, ...] = ()
    superseded: tuple[Superseded, ...] = ()
    pruned: Pruned | None = None

    @property
    def event_files(self) -> tuple[StoredFile, ...]:
        """The files that hold the day's events now, in order: those of the manifest, or what took their place."""
        return _current(event_files(self.manifest), self.superseded, self.pruned)

    @property
    def present(self) -> Mapping[str, SealedTenant]:
        """The tenants whose events of the day are all there: those that were not pruned, and those without any."""
        tenants = self.tenants.tenants
        if self.pruned is None:
            return tenants
        kept = set(self.pruned.kept)
        return {t: sealed for t, sealed in tenants.items() if t in kept or not sealed.record.count}

    @property
    def gone(self) -> Mapping[str, SealedTenant]:
        """The tenants whose events of the day were pruned."""
        present = self.present
        return {t: sealed for t, sealed in self.tenants.tenants.items() if t not in present}


def read_day_record(lake: Lake, day: date) -> DayRecord:
    """The public record of a sealed day; :class:`~transparency.errors.ObjectMissing` when it isn't sealed."""
    return DayRecord.parse(lake.store.get(f"{seal_prefix(day)}day.txt"))


def load_sealed_day(lake: Lake, day: date) -> SealedDay:
    """Read a sealed day's record, manifest and tenants, checked against each other (the events are not read)."""
    key = f"{seal_prefix(day)}day.txt"
    try:
        record = DayRecord.parse(lake.store.get(key))
    except EntryError as error:
        raise LakeError(f"{key} was altered: {error}; restore it, from the log if it is published") from None
    if record.day != day:
        raise LakeError(f"{key} was altered: it is the record of {record.day}")
    manifest = load_manifest(lake, day)
    if hashlib.sha256(manifest.encode()).digest() != record.manifest:
        raise LakeError(f"{seal_prefix(day)}manifest.json is not the one that {key} names: one of the two was altered")
    tenants = read_day_tenants(lake, manifest)
    if record.breaks != manifest.breaks:
        raise LakeError(f"{seal_prefix(day)}day.txt was altered: it does not have the breaks of the manifest")
    if tenants.tenant_map().root != record.map_root:
        raise LakeError(f"{key} was altered: its tenant map is not that of {stored_tenants(manifest).path}")
    superseded, pruned = _changes(lake, manifest)
    sealed = SealedDay(tenants, record, manifest, superseded=superseded, pruned=pruned)
    check_pruned(sealed)
    return sealed


def load_manifest(lake: Lake, day: date) -> Manifest:
    """Read a day's manifest, checked only for its form and its day."""
    key = f"{seal_prefix(day)}manifest.json"
    try:
        manifest = Manifest.parse(lake.store.get(key))
    except RecordError as error:
        raise LakeError(f"{key} was altered: {error}; restore it from a backup") from None
    if manifest.day != day:
        raise LakeError(f"{key} was altered: it is the manifest of {manifest.day}")
    for file in manifest.files:
        if not file.path.startswith((events_prefix(day), seal_prefix(day))):
            raise LakeError(
                f"{seal_prefix(day)}manifest.json was altered: {file.path} is not in the folders of the day"
            )
    return manifest


def event_files(manifest: Manifest) -> tuple[StoredFile, ...]:
    """The event files that a day was sealed with, in order."""
    prefix = events_prefix(manifest.day)
    return tuple(file for file in manifest.files if file.path.startswith(prefix))


def current_files(lake: Lake, day: date) -> tuple[StoredFile, ...]:
    """The files that hold a sealed day's events now, in order; what they hold is not checked."""
    manifest = load_manifest(lake, day)
    return _current(event_files(manifest), *_changes(lake, manifest))


def _changes(lake: Lake, manifest: Manifest) -> tuple[tuple[Superseded, ...], Pruned | None]:
    """What became of a day's events since it was sealed."""
    # An idle day has nothing that could have been rewritten, and there may be years of them.
    if not event_files(manifest):
        return (), None
    keys = list(lake.store.list(seal_prefix(manifest.day)))
    last = max((key for key in keys if key.startswith(pruned_prefix(manifest.day))), default=None)
    superseded = read_records(lake, day_records(manifest.day), keys)
    return superseded, None if last is None else read_pruned(lake, last)


def _current(
    files: Sequence[StoredFile], superseded: Sequence[Superseded], pruned: Pruned | None
) -> tuple[StoredFile, ...]:
    return effective(files if pruned is None else pruned.files, superseded, others_gone=pruned is not None)


def check_pruned(sealed: SealedDay) -> None:
    """Raise :class:`~lumi_pipeline.errors.LakeError` unless what was pruned is about this day as it was sealed."""
    pruned = sealed.pruned
    if pruned is None:
        return
    there = {t for t, tenant in sealed.present.items() if tenant.record.count}
    rows = sum(tenant.record.count for tenant in sealed.gone.values())
    kept = sum(file.rows for file in pruned.files)
    fits = (pruned.root, pruned.manifest) == (sealed.record.map_root, sealed.record.manifest.hex())
    if not fits or set(pruned.kept) != there or (pruned.events, kept) != (rows, sealed.manifest.events - rows):
        raise LakeError(f"{pruned.key} was altered: it is not about the day as it was sealed; restore it from a backup")
