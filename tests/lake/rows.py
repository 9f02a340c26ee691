"""Made-up rows of event files."""

from collections.abc import Sequence

import pyarrow as pa

from lumi_pipeline.events import EVENT_SCHEMA


def events(rows: Sequence[tuple[str, int]], payload: str | None = None) -> pa.Table:
    """Rows (tenant, seq) that nobody hashed."""
    columns = []
    for field in EVENT_SCHEMA:
        if field.name == "tenant_id":
            column = pa.array([tenant_id for tenant_id, _ in rows], pa.string())
        elif field.name == "seq":
            column = pa.array([seq for _, seq in rows], pa.int64())
        elif pa.types.is_fixed_size_binary(field.type):
            column = pa.array([bytes(field.type.byte_width)] * len(rows), field.type)
        elif pa.types.is_timestamp(field.type):
            column = pa.array([0] * len(rows), pa.int64()).cast(field.type)
        elif field.name == "after_state":
            column = pa.array([payload] * len(rows), field.type)
        else:
            column = pa.array([f"{tenant_id}/{seq}" for tenant_id, seq in rows], pa.string()).cast(field.type)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=EVENT_SCHEMA)
