"""Attacks on a sealed day: its Parquet file, its tenant-day records, its manifest and its record."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.drill.attack import Area, Attack
from lumi_pipeline.drill.checks import DAYS, FSCK, LANDINGS
from lumi_pipeline.drill.rows import (
    Edit,
    Row,
    add_row,
    change_cell,
    change_payload,
    change_tenant,
    cut_tail,
    delete_row,
    duplicate_row,
    rehash,
    swap_rows,
)
from lumi_pipeline.drill.scratch import Trial
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.hashing import event_leaf
from lumi_pipeline.lake import describe_parquet, events_prefix, seal_prefix
from lumi_pipeline.records import Manifest, StoredFile
from lumi_pipeline.rowhash import digest_column
from lumi_pipeline.sealedday import load_manifest
from lumi_pipeline.tenantdays import DayTenants, read_day_tenants, stored_tenants
from transparency.entries import DayRecord
from transparency.merkle import LeafHashes


class Cover(IntEnum):
    """How far somebody goes to cover up what was done to the rows."""

    FILE = 0
    MANIFEST = 1
    RECORD = 2
    HASHES = 3


def edit_rows(edit: Edit, cover: Cover) -> Callable[[Trial], None]:
    """Return the attack that edits the rows of the attacked tenant in the lake, and covers it up."""

    def act(trial: Trial) -> None:
        target, store = trial.target, trial.store
        table = pa.concat_tables(trial.lake.read_events(target.file))
        mine = table.slice(target.start, target.count).to_pylist()
        first = mine[0]["prev_hash"]
        rows = edit(mine)
        if cover is Cover.HASHES:
            rows = rehash(rows, first)
        after = table.slice(target.start + target.count)
        edited = pa.concat_tables(
            [table.slice(0, target.start), pa.Table.from_pylist(rows, schema=EVENT_SCHEMA), after]
        ).combine_chunks()
        prefix = target.file.path.rpartition("-")[0]
        file, data = describe_parquet(prefix, edited)
        if cover is Cover.FILE:
            store.put(target.file.path, data)
            return
        store.delete(target.file.path)
        store.put_new(file.path, data)
        files = [file]
        if cover is Cover.HASHES:
            files.append(_put_tenants(trial, rows, edited))
        _put_manifest(trial, files, record=cover >= Cover.RECORD)

    return act


def _put_tenants(trial: Trial, rows: list[Row], edited: pa.Table) -> StoredFile:
    """Make the tenant's record of the day fit the rows."""
    own = edited.filter(pc.equal(edited.column("tenant_id"), pa.scalar(trial.target.tenant_id)))
    leaves = LeafHashes([event_leaf(digest.tobytes()) for digest in digest_column(own.column("integrity_hash"))])
    tenants = read_day_tenants(trial.lake, load_manifest(trial.lake, trial.target.day))
    tenant = tenants.tenants[trial.target.tenant_id]
    record = replace(tenant.record, root=leaves.root(), head_after=rows[-1]["integrity_hash"])
    return _store_tenants(
        trial, replace(tenants, tenants={**tenants.tenants, tenant.tenant_id: replace(tenant, record=record)})
    )


def _store_tenants(trial: Trial, tenants: DayTenants) -> StoredFile:
    file, data = describe_parquet(f"{seal_prefix(trial.target.day)}tenant_days", tenants.table())
    trial.store.delete(stored_tenants(load_manifest(trial.lake, trial.target.day)).path)
    trial.store.put_new(file.path, data)
    return file


def _put_manifest(trial: Trial, files: list[StoredFile], *, record: bool) -> Manifest:
    """List other files in the manifest in place of those of the same kind; make the day record fit it or not."""
    day = trial.target.day
    old = load_manifest(trial.lake, day)
    gone = {trial.target.file.path} if any(file.path.startswith(events_prefix(day)) for file in files) else set()
    if any(file.path.startswith(seal_prefix(day)) for file in files):
        gone.add(stored_tenants(old).path)
    kept = [*(file for file in old.files if file.path not in gone), *files]
    events = sum(file.rows for file in kept if file.path.startswith(events_prefix(day)))
    manifest = replace(old, files=tuple(sorted(kept)), events=events)
    trial.store.put(f"{seal_prefix(day)}manifest.json", manifest.encode())
    if record:
        root = read_day_tenants(trial.lake, manifest).tenant_map().root
        _put_record(trial, manifest=hashlib.sha256(manifest.encode()).digest(), map_root=root)
    return manifest


def _put_record(trial: Trial, **changes: object) -> None:
    key = f"{seal_prefix(trial.target.day)}day.txt"
    record = DayRecord.parse(trial.store.get(key))
    trial.store.put(key, replace(record, **changes).encode())  # type: ignore[arg-type]


def _alter_manifest(trial: Trial) -> None:
    key = f"{seal_prefix(trial.target.day)}manifest.json"
    manifest = Manifest.parse(trial.store.get(key))
    trial.store.put(key, replace(manifest, events=manifest.events - 1).encode())


def _altered_tenants(trial: Trial) -> DayTenants:
    tenants = read_day_tenants(trial.lake, load_manifest(trial.lake, trial.target.day))
    tenant = tenants.tenants[trial.target.tenant_id]
    record = replace(tenant.record, count=tenant.record.count - 1)
    return replace(tenants, tenants={**tenants.tenants, tenant.tenant_id: replace(tenant, record=record)})


def _alter_tenants(trial: Trial) -> None:
    _, data = describe_parquet("tenant_days", _altered_tenants(trial).table())
    trial.store.put(stored_tenants(load_manifest(trial.lake, trial.target.day)).path, data)


def _alter_tenants_and_record(trial: Trial) -> None:
    _put_manifest(trial, [_store_tenants(trial, _altered_tenants(trial))], record=True)


def _alter_record(trial: Trial) -> None:
    _put_record(trial, map_root=hashlib.sha256(b"another map").digest())


def _add_file(trial: Trial) -> None:
    data = trial.store.get(trial.target.file.path)
    trial.store.put_new(f"{events_prefix(trial.target.day)}part-00099-{'0' * 16}.parquet", data)


def _alter_landing(trial: Trial) -> None:
    key = max(trial.store.list("landings/"))
    trial.store.put(key, trial.store.get(key).replace(b'"rows":"', b'"rows":"1', 1))


_DAY: Final = (DAYS,)
_AND: Final = "; manifest, day record made to fit"

ATTACKS: Final = (
    Attack(
        "cell", Area.LAKE, "Another actor in one row of a sealed Parquet file", edit_rows(change_cell, Cover.FILE), _DAY
    ),
    Attack(
        "cell-manifest",
        Area.LAKE,
        "The same, and the manifest is made to fit",
        edit_rows(change_cell, Cover.MANIFEST),
        _DAY,
    ),
    Attack("cell-record", Area.LAKE, "The same, and the day record too", edit_rows(change_cell, Cover.RECORD), _DAY),
    Attack(
        "cell-hashes",
        Area.LAKE,
        "The same, and all hashes, the tenant's record and the map",
        edit_rows(change_cell, Cover.HASHES),
        (FSCK,),
    ),
    Attack("row-deleted", Area.LAKE, f"A row taken out{_AND}", edit_rows(delete_row, Cover.RECORD), _DAY),
    Attack("row-added", Area.LAKE, f"A row put in with right hashes{_AND}", edit_rows(add_row, Cover.RECORD), _DAY),
    Attack("rows-swapped", Area.LAKE, f"Two rows exchanged{_AND}", edit_rows(swap_rows, Cover.RECORD), _DAY),
    Attack("row-duplicated", Area.LAKE, f"A row put in twice{_AND}", edit_rows(duplicate_row, Cover.RECORD), _DAY),
    Attack(
        "tail-cut", Area.LAKE, f"The tenant's last two rows left out{_AND}", edit_rows(cut_tail, Cover.RECORD), _DAY
    ),
    Attack(
        "payload", Area.LAKE, f"Only the payload of a row changed{_AND}", edit_rows(change_payload, Cover.RECORD), _DAY
    ),
    Attack(
        "foreign-row", Area.LAKE, f"A row of another tenant put in{_AND}", edit_rows(change_tenant, Cover.RECORD), _DAY
    ),
    Attack("file-added", Area.LAKE, "A second Parquet file laid beside the sealed one", _add_file, _DAY),
    Attack("manifest", Area.SEALS, "One event fewer in the manifest", _alter_manifest, _DAY),
    Attack("tenant-days", Area.SEALS, "One event fewer in a tenant's record of the day", _alter_tenants, _DAY),
    Attack("tenant-days-record", Area.SEALS, f"The same{_AND}", _alter_tenants_and_record, _DAY),
    Attack("day-record", Area.SEALS, "Another map root in the day record", _alter_record, (FSCK,)),
    Attack("landing", Area.LANDINGS, "More rows in what the last landing committed", _alter_landing, (LANDINGS,)),
)
