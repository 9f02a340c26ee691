"""The tenant-day records of one day as they are stored: one row a tenant, private, listed in the day's manifest."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import pyarrow as pa

from lumi_pipeline.errors import RecordError
from lumi_pipeline.hashing import tenant_key
from lumi_pipeline.lake import Lake, seal_prefix
from lumi_pipeline.records import Manifest, StoredFile, TenantDay
from transparency.encoding import parse_decimal
from transparency.errors import EncodingError
from transparency.patricia import TenantMap

_SCHEMA_TYPES: Final[Mapping[str, pa.DataType]] = {
    "tenant_id": pa.string(),
    "tenant_key": pa.binary(32),
    "chain_id": pa.binary(16),
    "first": pa.int64(),
    "count": pa.int64(),
    "next": pa.int64(),
    "root": pa.binary(32),
    "head_before": pa.binary(32),
    "head_after": pa.binary(32),
    "breaks": pa.int64(),
}
_SCHEMA: Final = pa.schema(_SCHEMA_TYPES)
_FLOOR_KEY: Final = b"lumi.landing_floor"


@dataclass(frozen=True, slots=True)
class SealedTenant:
    """One tenant's record of a day, with the chain_id that its genesis hash comes from."""

    tenant_id: str
    chain_id: bytes
    record: TenantDay


@dataclass(frozen=True, slots=True)
class DayTenants:
    """All tenants of a sealed day, and the first landing that still holds rows of a later day."""

    day: date
    tenants: Mapping[str, SealedTenant]
    landing_floor: int

    def tenant_map(self) -> TenantMap:
        """The day's tenant map: tenant key → SHA-256 of the record's bytes."""
        return TenantMap.build(
            {t.record.key: hashlib.sha256(t.record.encode()).digest() for t in self.tenants.values()}
        )

    def table(self) -> pa.Table:
        """The records as the table that is stored, sorted by tenant_id."""
        rows = [
            (
                t.tenant_id,
                t.record.key,
                t.chain_id,
                t.record.first,
                t.record.count,
                t.record.next,
                t.record.root,
                t.record.head_before,
                t.record.head_after,
                t.record.breaks,
            )
            for _, t in sorted(self.tenants.items())
        ]
        columns = zip(*rows, strict=True) if rows else [()] * len(_SCHEMA)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=_SCHEMA)
        return table.replace_schema_metadata({_FLOOR_KEY: str(self.landing_floor).encode()})


def stored_tenants(manifest: Manifest) -> StoredFile:
    """The file of the manifest that holds the tenant-day records."""
    prefix = seal_prefix(manifest.day)
    found = [file for file in manifest.files if file.path.startswith(prefix)]
    if len(found) != 1:
        raise RecordError(f"the manifest of {manifest.day} lists {len(found)} files of tenant-day records, not one")
    return found[0]


def read_day_tenants(lake: Lake, manifest: Manifest) -> DayTenants:
    """Read a sealed day's tenant-day records, checked against the manifest."""
    file = stored_tenants(manifest)
    table = lake.read_table(file, _SCHEMA)
    try:
        floor = parse_decimal((table.schema.metadata or {}).get(_FLOOR_KEY, b"").decode("ascii"))
    except (UnicodeDecodeError, EncodingError) as error:
        raise RecordError(f"{file.path}: landing floor: {error}") from None
    tenants: dict[str, SealedTenant] = {}
    columns = [column.to_pylist() for column in table.columns]
    for tenant_id, key, chain_id, first, count, after, root, head_before, head_after, breaks in zip(
        *columns, strict=True
    ):
        if key != tenant_key(tenant_id):
            raise RecordError(f"{file.path}: the tenant key of {tenant_id} is not its own")
        if tenant_id in tenants:
            raise RecordError(f"{file.path} has two records of {tenant_id}")
        record = TenantDay(manifest.day, key, first, count, after, root, head_before, head_after, breaks)
        tenants[tenant_id] = SealedTenant(tenant_id, chain_id, record)
    return DayTenants(manifest.day, tenants, floor)
