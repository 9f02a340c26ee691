"""Opening the analyst database: all of it, or what concerns one tenant and nothing else."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir
from typing import Final

import duckdb

from lumi_pipeline.analytics.building import Settings, attach, check_place
from lumi_pipeline.analytics.schema import ACTIVITY_COLUMNS, create_macros, form
from lumi_pipeline.config import Config, load_config
from lumi_pipeline.cutting import ROW_GROUP_ROWS
from lumi_pipeline.errors import AnalystError
from lumi_pipeline.events import TENANT_ID_SYNTAX
from lumi_pipeline.lake import EVENTS_PREFIX
from lumi_pipeline.stores.roots import open_lake
from transparency.encoding import excerpt

_OFFLINE: Final[Settings] = {"autoinstall_known_extensions": "false"}
"""Nothing is fetched from the network because a query happens to name it."""

_WHOLE: Final[Settings] = {
    **_OFFLINE,
    "temp_directory": str(Path(gettempdir()) / "lumi-analyst"),
    # Whoever looks at an event is to see what its file holds now, not what it held when it was looked at before.
    "enable_external_file_cache": "false",
}
# The directory for what does not fit memory stays open to COPY and read_csv when all others are closed, and others
# spill there too: so a tenant has none. Nor is it told where the operator's home is, by the default place of secrets.
_CONFINED: Final[Settings] = {**_OFFLINE, "temp_directory": "", "secret_directory": "none"}
_OF_TENANT: Final = {
    "events": "SELECT * FROM events WHERE tenant_id = $tenant ORDER BY seq",
    "actions": "SELECT * FROM actions WHERE $tenant IS NOT NULL",
    "days": """
        SELECT days.day, count(own.day) AS tenants, coalesce(any_value(own.events), 0) AS events, sealed, published,
            CASE WHEN sealed THEN coalesce(any_value(breaks.breaks), 0) END AS breaks
        FROM days
            LEFT JOIN (SELECT day, count(*) AS events FROM activity WHERE tenant_id = $tenant GROUP BY day) AS own
                ON own.day = days.day
            LEFT JOIN lake.breaks AS breaks ON breaks.day = days.day AND breaks.tenant_id = $tenant
        WHERE sealed OR own.day IS NOT NULL
        GROUP BY days.day, sealed, published ORDER BY days.day
    """,
}
_LOCK: Final = """
SET TimeZone = 'UTC';
SET python_enable_replacements = false;
SET enable_external_access = false;
SET lock_configuration = true;
"""


def connect(config: Config | None = None, tenant: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open the analyst database of a configuration, by default that of ``lumi.toml``, for reading.

    The time zone is UTC, and a lake in S3 is read with our own credentials. What is open stays as it is when the
    database is built anew; connect again to see more.

    With ``tenant`` the connection holds a copy of that tenant's rows in memory and nothing else: then access to files,
    networks, extensions and Python's variables is switched off, and the configuration is locked. Give that one to
    whoever may see one tenant only, over a protocol that passes SQL: Python code in this process can do as it pleases.

    Raises :class:`~lumi_pipeline.errors.AnalystError` when there is no database, when it is of another lake, or when it
    has no such tenant.
    """
    config = load_config() if config is None else config
    return _whole(config) if tenant is None else _of_tenant(config, tenant)


def _whole(config: Config) -> duckdb.DuckDBPyConnection:
    path = config.analyst_db
    if not path.exists():
        raise AnalystError(f"there is no analyst database {path}; 'lumi analyst build' makes it")
    check_place(path)  # a pipe would have DuckDB wait for a writer
    with explained(path):
        db = duckdb.connect(config=_WHOLE)
        db.execute("SET TimeZone = 'UTC'")
        attach(db, path)
        built = db.sql("SELECT format, root FROM lake.build").fetchall()
    if not built or built[0][0] != form():
        raise AnalystError(f"{path} was made by another version; 'lumi analyst build' makes it anew")
    if built[0][1] != config.root:
        raise AnalystError(
            f"{path} is of the lake {built[0][1]}, not of {config.root}; correct 'root' or 'analyst_db', or have it "
            "made anew: lumi analyst build"
        )
    lake = open_lake(config, lambda: datetime.now(UTC))
    if lake.file_system is not None:
        db.register_filesystem(lake.file_system(EVENTS_PREFIX))
    return db


def _of_tenant(config: Config, tenant: str) -> duckdb.DuckDBPyConnection:
    # A database of its own, which never had another open: nothing of it can linger in a cache.
    db = duckdb.connect(config=_CONFINED)
    with closing(_whole(config)) as source, explained(config.analyst_db):
        known = (
            TENANT_ID_SYNTAX.fullmatch(tenant)
            and source.execute(
                "SELECT 1 FROM activity WHERE tenant_id = $tenant LIMIT 1", {"tenant": tenant}
            ).fetchall()
        )
        if not known:
            raise AnalystError(f"{config.analyst_db} has no event of a tenant {excerpt(tenant)}")
        for name, query in _OF_TENANT.items():
            rows = source.sql(query, params={"tenant": tenant}).to_arrow_reader(ROW_GROUP_ROWS)
            db.from_arrow(rows).create(name)
        columns = ", ".join(ACTIVITY_COLUMNS)
        db.execute(f"CREATE VIEW activity AS SELECT day, {columns}, sealed FROM events")  # noqa: S608 - constants
        create_macros(db)
        db.execute(_LOCK)
    return db


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Make DuckDB's errors while opening the database ours."""
    try:
        yield
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        if "lock" in reason:
            reason += "; another program has it open for writing: have it close it, or open it read-only"
        raise AnalystError(f"the analyst database {path} can't be opened: {reason}") from None
