"""Dagster's own records in PostgreSQL: looked at before Dagster does, which ends in a traceback for every mistake.

Dagster connects through SQLAlchemy and psycopg2. So does this module, so that both read a URL in the same way.
"""

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import sqlalchemy
from dagster._core.instance import InstanceRef
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from lumi_pipeline.errors import ConfigError, LumiError

_DRIVERS: Final = ("postgresql", "postgresql+psycopg2")
_HOST: Final = re.compile(r"[A-Za-z0-9._:,-]*")
_UTC: Final = frozenset({"utc", "etc/utc", "gmt", "etc/gmt", "uct", "etc/uct", "zulu", "etc/zulu", "universal"})

LOCK: Final = int.from_bytes(b"lumi/tab", "big")
"""The advisory lock that is held while tables may be created. Its number only has to be nobody else's."""

_CONNECT_TIMEOUT: Final = 10
_LOCK_TIMEOUT: Final = 60
"""Seconds. Creating the tables takes about one."""


class DagsterUnavailable(LumiError):
    """The database with Dagster's own records does not answer. What the pipeline itself wrote is not in there."""


@contextmanager
def plain_outages() -> Iterator[None]:
    """Turn what Dagster raises when it can't read or write its records, in whatever database, into one message."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, SQLAlchemyError):
            cause = cause.__cause__
        if cause is None:
            raise
        raise DagsterUnavailable(
            f"Dagster can't keep its records: {_reason(cause)}. What was sealed or published by then is so; once that "
            "works, run again to carry on"
        ) from None


@contextmanager
def starting(ref: InstanceRef) -> Iterator[None]:
    """Let one process at a time, on whatever machine, make an instance whose tables may not be there yet.

    Dagster's own retries don't cover every way in which two first starts can meet. Nothing happens for an instance
    that ``ref`` does not put on PostgreSQL by a URL. Raises :class:`ConfigError` for settings that can't work, and
    :class:`DagsterUnavailable`; no message holds the password.
    """
    data = ref.storage_data
    given = data.config_dict.get("postgres_url") if data and data.class_name == "DagsterPostgresStorage" else None
    if given is None:
        yield
        return
    name, url = _url(given)
    engine = sqlalchemy.create_engine(
        url, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_TIMEOUT} | dict(url.query)
    )
    try:
        connection = engine.connect()
    except SQLAlchemyError as error:
        raise DagsterUnavailable(
            f"Dagster's database, which {name} names, can't be used: {_reason(error)}; correct the URL or start the "
            "server. Without it, 'lumi run' does the same work and keeps no records of Dagster's"
        ) from None
    with connection:
        _check_time_zone(connection, name)
        _lock(connection)
        # Held until the connection ends, so a process that is killed here holds nobody up.
        yield


def _url(given: object) -> tuple[str, sqlalchemy.URL]:
    """The name of the setting and the URL that it has; says what is wrong with it, never what it is."""
    name = "postgres_url in dagster.yaml"
    if isinstance(given, Mapping):
        name = str(given.get("env"))
        given = os.environ.get(name)
        if not given:
            raise ConfigError(
                f"{name} is not set; dagster.yaml keeps Dagster's records in the PostgreSQL database that it names, as "
                "postgresql://user:password@host/database"
            )
    if importlib.util.find_spec("dagster_postgres") is None:
        raise ConfigError(
            "dagster.yaml keeps Dagster's records in PostgreSQL, and dagster-postgres is not installed: "
            "pip install 'lumi-pipeline[dagster-postgres]'"
        )
    try:
        url = sqlalchemy.make_url(str(given))
    except (ArgumentError, ValueError):  # not chained: it may quote what it could not read
        url = None
    # Where a password has an @ in it, what follows that is taken for the host and would be told with the error.
    if url is None or url.drivername not in _DRIVERS or not _HOST.fullmatch(url.host or ""):
        raise ConfigError(
            f"{name} is not a URL of PostgreSQL; write it as postgresql://user:password@host/database, with %40 for an "
            "@ in the password and %25 for a %"
        )
    return name, url


def _check_time_zone(connection: sqlalchemy.Connection, name: str) -> None:
    zone, database = connection.execute(sqlalchemy.text("SELECT current_setting('TimeZone'), current_database()")).one()
    if zone.lower() not in _UTC:
        raise ConfigError(
            f"the database that {name} names works in the time zone {zone}, and Dagster's times would be wrong by the "
            f"difference to UTC; set it once: ALTER DATABASE \"{database}\" SET timezone TO 'UTC'"
        )


def _lock(connection: sqlalchemy.Connection) -> None:
    connection.execute(sqlalchemy.text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}s'"))
    try:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK})
    except DBAPIError as error:
        raise DagsterUnavailable(
            f"another process has been setting up Dagster's database for {_LOCK_TIMEOUT} seconds: {_reason(error)}"
        ) from None


def _reason(error: SQLAlchemyError) -> str:
    """What PostgreSQL or its library said, on one line."""
    return " ".join(str(getattr(error, "orig", error)).split())
