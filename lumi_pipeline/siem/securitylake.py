"""The layout that Amazon Security Lake wants of a custom source: Parquet of one OCSF class, partitioned by event day.

Source: Amazon Security Lake User Guide, "Collecting data from custom sources in Security Lake": zstd, rows sorted by
time, pages of 1 MB and row groups of 256 MB at most.
"""

import json
from datetime import date, timedelta
from io import BytesIO
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import json as pajson

from lumi_pipeline.catalogue import find_action
from lumi_pipeline.siem.ocsfcolumns import OCSF_COLUMNS

_DAY: Final = 86_400_000_000
"""Microseconds."""

_BLOCK: Final = 1 << 25
"""Bytes that are parsed at a time: more than any line has."""

_PAGE: Final = 1 << 19
_STEP: Final = 64
"""Values between two looks at a page's size, so that it stays under 1 MB, whatever is in them."""


def groups(events: pa.Table) -> pa.StringArray:
    """Return class and UTC day of each event, ``3002/20260302``: what has the same may be in one object."""
    actions = events.column("action").unique()
    found = np.asarray(pc.index_in(events.column("action"), value_set=actions), np.int64)
    numbers = np.asarray(events.column("occurred_at").cast(pa.int64()), np.int64) // _DAY
    numbers, days = np.unique(numbers, return_inverse=True)
    names = [f"{find_action(str(name)).class_uid}/{_date(int(day))}" for name in actions.to_pylist() for day in numbers]
    return pa.array(np.array(names, object)[found * len(numbers) + days], pa.string())


def _date(day: int) -> str:
    found = date(1970, 1, 1) + timedelta(days=day)
    return f"{found.year:04}{found.month:02}{found.day:02}"


def parquet(content: bytes) -> bytes:
    """Return OCSF events of one class, a line each, as Parquet."""
    class_uid = int(json.loads(content[: content.index(b"\n")])["class_uid"])
    options = pajson.ParseOptions(explicit_schema=OCSF_COLUMNS[class_uid], unexpected_field_behavior="error")
    reading = pajson.ReadOptions(block_size=_BLOCK)
    table = pajson.read_json(BytesIO(content), read_options=reading, parse_options=options)
    order = np.argsort(table.column("time").to_numpy(), kind="stable")
    table = table.take(order)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=max(len(table), 1),
        compression="zstd",
        data_page_size=_PAGE,
        write_batch_size=_STEP,
        dictionary_pagesize_limit=_PAGE,
        store_schema=False,
    )
    return sink.getvalue().to_pybytes()
