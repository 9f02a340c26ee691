"""The whole daily job: from the rows in PostgreSQL to the published root."""

import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.command import Finished, compare_commands, run_python
from benchmarks.dataset import TENANTS, Dataset
from benchmarks.landingpostgresql import fill
from benchmarks.measuring import Comparison
from benchmarks.row import Memory, Row
from benchmarks.server import postgresql
from lumi_pipeline.outbox.postgresql import PostgresOutbox
from lumi_pipeline.outboxaddress import postgresql_address


def measure(data: Dataset, runs: int) -> Row:
    """Land, seal and publish the one day of ``data`` in a new lake, in a process of its own."""
    copied = data.fresh("daily-copied")
    with _served(data) as job:

        def plain() -> Finished:
            data.fresh(copied.name)
            return run_python(["-m", "benchmarks.copying", job.url, str(copied)])

        def same(_ours: Finished, _theirs: Finished) -> bool:
            return job.is_published() and _content(job.lake.glob("events/*/*")) == _content(copied.glob("*"))

        compared = compare_commands(job.run, plain, same, runs)
    return _row(
        "daily",
        "the whole daily job: PostgreSQL to landed, verified, sealed and published day",
        "a plain copy: the same rows as Arrow (ADBC, one connection), written as the same Parquet, unverified",
        data,
        compared,
    )


def measure_growth(data: Dataset, runs: int) -> Row:
    """The same of ten times as many events as there are in another day of as many tenants."""
    tenth = data.like(events=max(1, data.events // 10))
    return _compare_jobs("daily-growth", data, tenth, f"with {tenth.events:,} events", runs)


def measure_one_tenant(data: Dataset, runs: int) -> Row:
    """The same of events that are all of one tenant."""
    many = data.like(tenants=TENANTS)
    return _compare_jobs("daily-one-tenant", data, many, f"with as many events of {TENANTS} tenants", runs)


def _compare_jobs(name: str, data: Dataset, other: Dataset, how: str, runs: int) -> Row:
    with _served(data) as job, _served(other) as usual:
        compared = compare_commands(job.run, usual.run, lambda *_: job.is_published() and usual.is_published(), runs)
    return _row(name, "the whole daily job", f"the same job {how}", data, compared)


@dataclass(frozen=True, slots=True)
class _Job:
    """The daily job on an outbox in PostgreSQL at ``url``."""

    data: Dataset
    url: str
    config: Path
    lake: Path

    def run(self) -> Finished:
        self.data.fresh(self.lake.name)
        settings = ["--config", str(self.config), "--root", str(self.lake)]
        through = self.data.last_day.isoformat()
        return run_python(["-m", "lumi_pipeline", *settings, "run", "--through", through])

    def is_published(self) -> bool:
        return (self.lake / "log" / "checkpoint").exists()


@contextmanager
def _served(data: Dataset) -> Iterator[_Job]:
    """Put the events into a PostgreSQL server."""
    with postgresql() as url:
        PostgresOutbox.init(postgresql_address(url), "lumi-operator")
        fill(url, data)
        config = data.config.with_name("postgresql.toml")  # in a file, as a command line would show the password
        config.write_text(re.sub("(?m)^outbox = .*", f'outbox = "{url}"', data.config.read_text()))
        config.chmod(0o600)
        yield _Job(data, url, config, data.fresh("daily"))


def _row(name: str, what: str, against: str, data: Dataset, compared: Comparison[Finished, Finished]) -> Row:
    ours, theirs = zip(*compared.results, strict=True)
    return Row(
        name=name,
        what=what,
        against=against,
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
