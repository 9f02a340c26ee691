"""Sealing a day."""

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb

from benchmarks.dataset import Dataset
from benchmarks.landing import same_rows
from benchmarks.measuring import compare
from benchmarks.row import Row
from lumi_pipeline.cutting import ROW_GROUP_ROWS


def measure(data: Dataset, runs: int) -> Row:
    """Seal the one day of ``data`` from landed files."""

    def mine() -> Callable[[], list[Path]]:
        lake = data.clone(data.landed, "seal")
        pipeline = data.pipeline(lake)

        def run() -> list[Path]:
            list(pipeline.seal([data.last_day]))
            return sorted(lake.glob("events/*/part-*.parquet"))

        return run

    def plain() -> Callable[[], list[Path]]:
        file = data.fresh("sort") / "events.parquet"

        def run() -> list[Path]:
            sort_rows(data.landed_files(), file)
            return [file]

        return run

    compared = compare(mine, plain, same_rows, runs)
    return Row(
        name="seal",
        what="sealing a day: sort, write, read back, verify, commit to it",
        against="reading the landed Parquet, sorting and writing it with DuckDB, unverified",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


def sort_rows(files: Sequence[Path], sorted_file: Path) -> None:
    """Sort the rows of Parquet files into one file."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        rows = db.read_parquet([str(file) for file in files]).order("tenant_id, seq")
        rows.write_parquet(str(sorted_file), compression="zstd", row_group_size=ROW_GROUP_ROWS)
