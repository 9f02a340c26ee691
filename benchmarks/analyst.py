"""The analyst database: building it, finding one user's newest events with it, and asking what investigations ask."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb

from benchmarks.dataset import Dataset
from benchmarks.measuring import compare
from benchmarks.row import Row
from lumi_pipeline.analytics import build_database, connect
from lumi_pipeline.analytics.investigation import Investigation, load, names
from lumi_pipeline.analytics.listing import Question, newest_events
from lumi_pipeline.analytics.schema import create_macros
from lumi_pipeline.config import Config

_LIMIT = 50
_USERS = 5
"""Users that one run asks for in turn."""


def newest(data: Dataset, runs: int) -> Row:
    """List the newest events of users, verified, against finding them in the Parquet files."""
    lake = data.pipeline(data.published).lake
    config = configured(data, "newest")
    build_database(config, lake)
    with closing(connect(config)) as db:
        users = choose_users(db, _USERS)
        files = parquet_files(data.published)

        def mine() -> list[list[str]]:
            pages = [newest_events(db, lake, Question(tenant_id=t, actor_id=a), _LIMIT) for t, a in users]
            return [[str(shown.event["event_id"]) for shown in page.events if not shown.finding] for page in pages]

        def plain() -> list[list[str]]:
            return [find_newest(files, tenant_id, actor_id) for tenant_id, actor_id in users]

        compared = compare(lambda: mine, lambda: plain, lambda ours, theirs: ours == theirs, runs)
    return Row(
        name="analyst-newest",
        what=f"newest {_LIMIT} events of one user, read from the lake and verified, in process",
        against="the same query on the sealed Parquet with DuckDB, unverified",
        amount=len(users),
        unit="pages",
        mine=compared.mine,
        plain=compared.plain,
    )


def investigate(data: Dataset, runs: int) -> Row:
    """Ask every investigation that takes no more than a period, against the same SQL on the Parquet files."""
    config = configured(data, "investigate")
    build_database(config, data.pipeline(data.published).lake)
    files = parquet_files(data.published)
    asked = [one for one in map(load, names()) if not any(parameter.required for parameter in one.parameters)]
    with closing(connect(config)) as db, parquet_database(files) as parquet:
        compared = compare(
            lambda: lambda: answers(db, asked), lambda: lambda: answers(parquet, asked), lambda a, b: a == b, runs
        )
    return Row(
        name="analyst-investigate",
        what="every investigation that takes no more than a period, over all days and tenants, in process",
        against="the same SQL with DuckDB on a view of the sealed Parquet",
        amount=len(asked),
        unit="questions",
        mine=compared.mine,
        plain=compared.plain,
    )


def build(data: Dataset, runs: int) -> Row:
    """Build the analyst database anew."""
    lake = data.pipeline(data.published).lake

    def mine() -> Callable[[], int]:
        config = configured(data, "build")
        return lambda: build_database(config, lake).events

    def plain() -> Callable[[], int]:
        file = data.fresh("copy") / "copy.duckdb"
        return lambda: copy_events(parquet_files(data.published), file)

    compared = compare(mine, plain, lambda ours, theirs: ours == theirs, runs)
    return Row(
        name="analyst-build",
        what="lumi analyst build: check the files, sort and index all days",
        against="copying the same Parquet into a DuckDB table, unchecked and unsorted",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


def answers(db: duckdb.DuckDBPyConnection, asked: Sequence[Investigation]) -> dict[str, list[str]]:
    """The ids of the events that each investigation reports, in alphabetical order."""
    found = {}
    for investigation in asked:
        batches = investigation.run(db, investigation.bind({})).batches
        found[investigation.name] = sorted(str(id_) for b in batches for id_ in b.column("event_id").to_pylist())
    return found


@contextmanager
def parquet_database(files: Sequence[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """What an investigation needs, without the analyst database: a view of the files, and the macros."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.from_parquet(list(files), hive_partitioning=True).create_view("activity")
        create_macros(db)
        yield db


def configured(data: Dataset, name: str) -> Config:
    """The configuration of the published lake, with an analyst database that does not exist yet."""
    return replace(data.pipeline(data.published).config, analyst_db=data.fresh(name) / "analyst.duckdb")


def choose_users(db: duckdb.DuckDBPyConnection, number: int) -> list[tuple[str, str]]:
    """Users (tenant, actor) who are neither the busiest nor the idlest, the same ones each time."""
    query = "SELECT tenant_id, actor_id FROM activity GROUP BY ALL ORDER BY count(*) DESC, tenant_id, actor_id"
    users = db.sql(query).fetchall()
    step = max(1, len(users) // (number + 1))
    return users[step::step][:number]


def parquet_files(lake: Path) -> list[str]:
    return [str(file) for file in sorted(lake.glob("events/*/part-*.parquet"))]


def find_newest(files: Sequence[str], tenant_id: str, actor_id: str) -> list[str]:
    """Return the ids of a user's newest events, newest first."""
    with duckdb.connect() as db:
        query = (
            "SELECT * FROM read_parquet($files) WHERE tenant_id = $tenant AND actor_id = $actor "
            "ORDER BY recorded_at DESC, tenant_id DESC, seq DESC LIMIT $limit"
        )
        parameters = {"files": list(files), "tenant": tenant_id, "actor": actor_id, "limit": _LIMIT}
        return [str(id_) for id_ in db.sql(query, params=parameters).to_arrow_table().column("event_id").to_pylist()]


def copy_events(files: Sequence[str], database: Path) -> int:
    """Copy the rows of Parquet files into a table; return how many there are."""
    with duckdb.connect(str(database)) as db:
        db.from_parquet(list(files)).create("events")
        ((rows,),) = db.sql("SELECT count(*) FROM events").fetchall()
    return int(rows)
