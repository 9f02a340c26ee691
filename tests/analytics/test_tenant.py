"""A tenant's connection: its own rows, and no way to anything else."""

from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from lumi_pipeline.analytics import connect
from lumi_pipeline.errors import AnalystError
from tests.analytics.databases import EVENTS_COLUMNS, ask, build
from tests.lake.world import World, at, day


@pytest.fixture(scope="module")
def built(sealed_template: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Days 0 to 2 sealed, and one event of globex landed; no test changes it."""
    world = sealed_template.copy(tmp_path_factory.mktemp("tenant") / "world")
    world.record("globex", at(3, "00:10:00"))
    world.pipeline().land()
    build(world)
    return world


def test_it_has_its_own_rows_in_the_same_tables(built: World) -> None:
    with closing(connect(built.config, "globex")) as db:
        for relation in ("events", "activity"):
            counted = f"SELECT tenant_id, seq, sealed FROM {relation} ORDER BY seq"
            assert db.sql(counted).fetchall() == [("globex", 0, True), ("globex", 1, True), ("globex", 2, False)]
        assert [row[0] for row in db.sql("DESCRIBE events").fetchall()] == EVENTS_COLUMNS
        assert db.sql("FROM days").fetchall() == [
            (day(0), 1, 1, True, True, 0),
            (day(1), 0, 0, True, True, 0),
            (day(2), 1, 1, True, True, 0),
            (day(3), 1, 1, False, False, None),
        ]
        assert db.sql("SELECT count(*) > 50 FROM actions").fetchall() == [(True,)]
        assert db.sql("SELECT utc_hour(recorded_at) FROM timeline('globex', 'u-17')").fetchall() == [(10,), (11,), (0,)]
        columns = "day, tenant_id, seq, event_id, recorded_at, actor_id, after_state, sealed"
        own = db.sql(f"SELECT {columns} FROM activity ORDER BY seq").fetchall()
    assert own == ask(built, f"SELECT {columns} FROM activity WHERE tenant_id = 'globex' ORDER BY seq")


@pytest.mark.parametrize(
    "name", ["nobody", "", "globe", "GLOBEX", "globex'--", "' OR 1=1 --", "globex' OR tenant_id = 'acme", "*", "%"]
)
def test_a_name_that_is_no_tenant_gives_nothing(built: World, name: str) -> None:
    with pytest.raises(AnalystError, match="has no event of a tenant"):
        connect(built.config, name)


def attempts(world: World) -> list[str]:
    """What somebody might try who wants to see other tenants' rows, this machine or the network."""
    database, root = world.config.analyst_db, world.config.root_path
    assert root is not None
    part = next(root.glob("events/day=*/*.parquet"))
    out = world.directory / "out"
    return [
        # The database file and the lake
        f"ATTACH '{database}'",
        f"ATTACH '{database}' AS other (READ_ONLY)",
        f"ATTACH IF NOT EXISTS '{database}' AS analyst (READ_ONLY)",
        f"ATTACH 'file:{database}' AS other (READ_ONLY)",
        f"FROM '{part}'",
        f"FROM read_parquet('{part}')",
        f"FROM read_parquet('{root}/events/*/*.parquet', hive_partitioning = true)",
        f"FROM parquet_metadata('{part}')",
        f"FROM parquet_schema('{part}')",
        f"FROM parquet_file_metadata('{part}')",
        f"FROM parquet_kv_metadata('{part}')",
        f"FROM parquet_bloom_probe('{part}', 'tenant_id', 'acme')",
        f"FROM read_blob('{database}')",
        f"FROM read_text('{world.directory}/*')",
        f"FROM read_csv('{database}', auto_detect = false, columns = {{'a': 'VARCHAR'}})",
        f"FROM sniff_csv('{database}')",
        f"FROM read_json('{root}/seals/*/manifest.json')",
        f"FROM read_ndjson_objects('{root}/landings/*.json')",
        f"FROM glob('{world.directory}/*')",
        f"SELECT * FROM query('FROM read_parquet(''{part}'')')",
        f"SELECT * FROM query_table('{part}')",
        f"COPY events FROM '{part}'",
        f"CREATE VIEW v AS FROM read_parquet('{part}')",
        f"CREATE TABLE t AS FROM read_parquet('{part}')",
        f"CREATE MACRO m() AS TABLE FROM read_parquet('{part}'); FROM m()",
        f"PREPARE p AS FROM read_parquet('{part}'); EXECUTE p",
        f"IMPORT DATABASE '{root}'",
        # Catalogues of databases that might be there too
        "FROM analyst.activity",
        "FROM analyst.main.activity",
        "FROM lake.files",
        "FROM analyst.lake.files",
        "USE analyst",
        # Writing
        f"COPY events TO '{out}.csv'",
        f"COPY events TO '{out}.parquet' (FORMAT parquet)",
        f"COPY (SELECT 1) TO '{out}' (PARTITION_BY (a))",
        f"EXPORT DATABASE '{out}'",
        f"ATTACH '{out}.duckdb' AS mine",
        f"EXPLAIN ANALYZE COPY events TO '{out}.csv'",
        f"PRAGMA profile_output = '{out}.json'",
        f"SET log_query_path = '{out}.sql'",
        f"CALL enable_logging(storage = 'file', storage_path = '{out}')",
        # Extensions and the network
        "INSTALL httpfs",
        "LOAD httpfs",
        "FORCE INSTALL spatial",
        f"LOAD '{out}.duckdb_extension'",
        "UPDATE EXTENSIONS",
        "FROM 'https://127.0.0.1:1/x.parquet'",
        "FROM read_parquet('s3://bucket/x.parquet')",
        "FROM read_csv('http://127.0.0.1:1/x.csv')",
        "ATTACH 'https://127.0.0.1:1/x.duckdb' AS remote (READ_ONLY)",
        "ATTACH 'postgres:host=127.0.0.1' AS pg (TYPE postgres)",
        "FROM sqlite_scan('outbox.db', 'audit_outbox')",
        "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
        "CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'b')",
        # Settings, and the environment
        "SET enable_external_access = true",
        "SET GLOBAL enable_external_access = true",
        "RESET enable_external_access",
        "PRAGMA enable_external_access = true",
        "SET lock_configuration = false",
        "RESET lock_configuration",
        "SET python_enable_replacements = true",
        "SET allowed_directories = ['/']",
        "SET allowed_paths = ['/etc/passwd']",
        "SET allow_unsigned_extensions = true",
        "SET allow_community_extensions = true",
        "SET autoload_known_extensions = true",
        "SET autoinstall_known_extensions = true",
        "SET temp_directory = '/'",
        "SET home_directory = '/'",
        "SET secret_directory = '/'",
        "SET extension_directory = '/'",
        "SET custom_extension_repository = 'http://127.0.0.1:1'",
        "SET disabled_filesystems = ''",
        "SET file_search_path = '/'",
        "SET memory_limit = '100GB'",
        "SELECT getenv('HOME')",
        "SELECT getvariable('x') FROM read_text('/proc/self/environ')",
        # Python's variables, in reach of whoever calls us
        "FROM secret_of_python",
        "SELECT * FROM query_table('secret_of_python')",
    ]


def test_every_way_out_is_closed(built: World, tmp_path: Path) -> None:
    secret_of_python = built.pipeline().lake.read_table  # only its name is looked for
    before = {path: path.stat().st_mtime_ns for path in built.directory.rglob("*")}
    got, told = [], []
    with closing(connect(built.config, "globex")) as db:
        for attempt in attempts(built):
            try:
                got.append((attempt, db.execute(attempt).fetchall()))
            except duckdb.Error as error:
                told.append(str(error))
    assert got == []
    assert [text for text in told if "acme" in text] == []
    assert secret_of_python
    after = {path: path.stat().st_mtime_ns for path in built.directory.rglob("*")}
    assert after == before
    assert list(tmp_path.glob("out*")) == []


def test_no_catalogue_or_setting_tells_of_others(built: World) -> None:
    """Whatever DuckDB lists of itself: neither another tenant's name nor a path of the lake is in it."""
    root = str(built.directory)
    with closing(connect(built.config)) as whole, closing(connect(built.config, "globex")) as db:
        whole.sql("SELECT count(*) FROM events").fetchall()  # which is open in this process all the while
        functions = db.sql(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table' "
            "AND function_name SIMILAR TO '(duckdb|pragma|sqlite|pg)_.*' AND len(parameters) = 0"
        ).fetchall()
        assert len(functions) > 15
        for (name,) in functions:
            try:
                told = str(db.sql(f"FROM {name}()").fetchall())
            except duckdb.Error as error:
                told = str(error)
            assert root not in told, name
            assert "acme" not in told, name
            assert "initech" not in told, name
        open_here = {
            name for (name,) in db.sql("SELECT database_name FROM duckdb_databases() WHERE NOT internal").fetchall()
        }
        assert open_here == {"memory"}
        settings = dict(db.sql("SELECT name, value FROM duckdb_settings()").fetchall())
    assert [name for name, value in settings.items() if str(Path.home()) in (value or "")] == []
    assert settings["allowed_directories"] == "[]"
    assert settings["allowed_paths"] == "[]"
    assert (settings["enable_external_access"], settings["lock_configuration"]) == ("false", "true")


def test_it_may_use_tables_of_its_own(built: World) -> None:
    with closing(connect(built.config, "globex")) as db:
        db.execute("CREATE TABLE notes AS SELECT event_id, 'odd' AS note FROM events LIMIT 1")
        assert db.sql("SELECT count(*) FROM notes JOIN activity USING (event_id)").fetchall() == [(1,)]
    with closing(connect(built.config, "globex")) as db, pytest.raises(duckdb.Error, match="notes"):
        db.sql("FROM notes").fetchall()


def test_parameters_are_values_and_never_sql(built: World) -> None:
    hostile = "u-17' OR '1'='1"
    with closing(connect(built.config)) as db:
        for column in ("tenant_id", "actor_id", "entity_id", "action"):
            found = db.sql(f"SELECT * FROM activity WHERE {column} = $value", params={"value": hostile})
            assert found.fetchall() == []
        assert (
            db.sql("SELECT * FROM timeline($tenant, $user)", params={"tenant": hostile, "user": hostile}).fetchall()
            == []
        )
