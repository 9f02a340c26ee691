"""The whole daily job: from the rows in PostgreSQL to the published root."""

import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

from benchmarks.command import Finished, compare_commands, run_python
from benchmarks.dataset import Dataset
from benchmarks.landingpostgresql import fill
from benchmarks.row import Memory, Row
from benchmarks.server import postgresql
from lumi_pipeline.outbox.postgresql import PostgresOutbox
from lumi_pipeline.outboxaddress import postgresql_address


def measure(data: Dataset, runs: int) -> Row:
    """Land, seal and publish the one day of ``data`` in a new lake, in a process of its own."""
    lake, copied = data.fresh("daily"), data.fresh("daily-copied")
    with postgresql() as url:
        PostgresOutbox.init(postgresql_address(url), "lumi-operator")
        fill(url, data)
        config = data.config.with_name("postgresql.toml")  # in a file, as a command line would show the password
        config.write_text(re.sub("(?m)^outbox = .*", f'outbox = "{url}"', data.config.read_text()))
        config.chmod(0o600)

        def mine() -> Finished:
            data.fresh(lake.name)
            return run_python(
                [
                    "-m",
                    "lumi_pipeline",
                    "--config",
                    str(config),
                    "--root",
                    str(lake),
                    "run",
                    "--through",
                    data.last_day.isoformat(),
                ]
            )

        def plain() -> Finished:
            data.fresh(copied.name)
            return run_python(["-m", "benchmarks.copying", url, str(copied)])

        def same(_ours: Finished, _theirs: Finished) -> bool:
            return (lake / "log" / "checkpoint").exists() and _content(lake.glob("events/*/*")) == _content(
                copied.glob("*")
            )

        compared = compare_commands(mine, plain, same, runs)
    ours, theirs = zip(*compared.results, strict=True)
    return Row(
        name="daily",
        what="the whole daily job: PostgreSQL to landed, verified, sealed and published day",
        against="a plain copy: the same rows as Arrow (ADBC, one connection), written as the same Parquet, unverified",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
        memory=Memory(_peak(ours), _peak(theirs)),
    )


def _content(files: Iterable[Path]) -> tuple[object, ...]:
    """How many rows there are and what they add up to, whatever files they are in."""
    with duckdb.connect() as db:
        rows = db.read_parquet([str(file) for file in files], hive_partitioning=False)
        [content] = rows.aggregate("count(*), sum(hash(tenant_id, seq, after_state, integrity_hash))").fetchall()
    return tuple(content)


def _peak(side: Sequence[Finished]) -> int:
    return round(statistics.median(done.peak_bytes for done in side))
