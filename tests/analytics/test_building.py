"""The analyst database: what is in it, how it follows the lake, and that nobody ever sees half of it."""

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from lumi_pipeline.analytics import build_database, connect
from lumi_pipeline.analytics.listing import Question, newest_events
from lumi_pipeline.catalogue import CATALOGUE
from lumi_pipeline.errors import AnalystError, LakeError
from lumi_pipeline.events import SALT_SIZE
from tests.analytics.databases import EVENTS_COLUMNS, ask, assert_complete, build, columns
from tests.erasure.forgetting import ACTOR, forget, lived_in, secrets
from tests.lake.world import World, at, day, new_event


@pytest.mark.slow
def test_it_follows_the_lake_from_the_first_landing_to_the_last_sealed_day(world: World) -> None:
    report = build(world)
    assert (report.events, report.days, report.changed) == (0, {}, True)
    assert ask(world, "SELECT count(*) FROM events") == [(0,)]
    assert columns(world, "events") == EVENTS_COLUMNS

    world.record("acme", at(0), at(0, "23:59:59.999999"), at(1, "00:00:00"))
    world.record("globex", at(1))
    world.pipeline().land()
    report = build(world)
    assert (report.events, report.landed, report.rebuilt) == (4, 4, ())
    assert ask(world, "FROM days ORDER BY day") == [
        (day(0), 1, 2, False, False, None),
        (day(1), 2, 2, False, False, None),
    ]
    assert_complete(world)

    world.pipeline().run(day(0))
    report = build(world)
    assert (report.events, report.landed, report.rebuilt) == (4, 2, (day(0),))
    assert ask(world, "SELECT day, sealed, published, breaks FROM days ORDER BY day") == [
        (day(0), True, True, 0),
        (day(1), False, False, None),
    ]
    assert_complete(world)

    world.record("acme", at(4))
    world.pipeline().land()
    world.record("initech", at(4, "12:00:01"))
    world.pipeline().run(day(2))
    report = build(world)
    assert (report.events, report.landed, report.rebuilt) == (6, 2, (day(1), day(2)))
    assert ask(world, "SELECT day, tenants, events, sealed FROM days ORDER BY day") == [
        (day(0), 1, 2, True),
        (day(1), 2, 2, True),
        (day(2), 0, 0, True),
        (day(4), 2, 2, False),
    ]
    assert_complete(world)


def test_what_is_done_already_is_not_done_again(sealed: World) -> None:
    assert build(sealed).rows == 9
    written = sealed.config.analyst_db.stat()
    again = build(sealed)
    assert (again.changed, again.rows, again.rebuilt, again.events) == (False, 0, (), 9)
    assert sealed.config.analyst_db.stat() == written
    assert build(sealed, fresh=True).rows == 9
    assert_complete(sealed)


def test_publishing_alone_shows_too(world: World) -> None:
    world.record("acme", at(0))
    list(world.pipeline().seal([day(0)]))
    build(world)
    assert ask(world, "SELECT sealed, published FROM days") == [(True, False)]
    world.pipeline().publish()
    assert build(world).rebuilt == ()
    assert ask(world, "SELECT sealed, published FROM days") == [(True, True)]


def replace_part(world: World, prefix: str) -> None:
    """Let a file of the lake be another one than before, as after an erasure: another name, the same rows."""
    [*_, key] = [key for key in world.store.list(prefix) if "/part-" in key]
    with closing(duckdb.connect(str(world.config.analyst_db))) as db:
        db.execute("UPDATE lake.files SET key = replace(key, 'part-', 'part-9') WHERE key = $key", {"key": key})
        if prefix.startswith("events/"):
            db.execute("UPDATE lake.sealed_days SET content = 'another' WHERE day = $day", {"day": day(1)})
        db.execute("UPDATE activity SET after_state = 'had to be erased'")


@pytest.mark.parametrize("prefix", ["events/day=2024-02-29", "landed/"])
def test_where_files_were_replaced_nothing_of_the_old_one_is_kept(sealed: World, prefix: str) -> None:
    sealed.record("acme", at(3, "00:10:00"))
    sealed.pipeline().land()
    build(sealed)
    replace_part(sealed, prefix)
    assert b"had to be erased" in sealed.config.analyst_db.read_bytes()
    report = build(sealed)
    assert (report.rebuilt, report.rows) == ((day(0), day(1), day(2)), 10)
    assert b"had to be erased" not in sealed.config.analyst_db.read_bytes()
    assert_complete(sealed)


def test_what_was_erased_is_gone_from_it_and_still_verifies(world: World) -> None:
    lived_in(world)
    build(world)
    values = [value for value in secrets(world) if len(value) != SALT_SIZE]
    assert all(value in world.config.analyst_db.read_bytes() for value in values[:1])
    forget(world.pipeline())  # makes the database anew, besides
    data = world.config.analyst_db.read_bytes()
    assert [value for value in values if value in data] == []
    assert not build(world).changed
    assert_complete(world)
    assert ask(world, "SELECT count(*) FROM events WHERE erased_at IS NOT NULL") == [(4,)]
    with closing(connect(world.config)) as db:
        assert newest_events(db, world.pipeline().lake, Question(actor_id=ACTOR), 50).verified


def test_breaks_that_were_accepted_are_counted(world: World) -> None:
    world.record("acme", at(0), at(0, "13:00:00"))
    world.record("globex", at(0))
    world.tamper("UPDATE audit_outbox SET action = 'LOGIN' WHERE tenant_id = 'acme' AND seq = 0")
    with pytest.raises(Exception, match="lumi acknowledge"):
        world.pipeline().run(day(0))
    world.pipeline().acknowledge(day(0), "known")
    world.pipeline().run(day(0))
    build(world)
    assert ask(world, "SELECT events, breaks FROM days WHERE day = $day", day=day(0)) == [(3, 1)]
    assert ask(world, "SELECT breaks FROM days WHERE sealed", "acme") == [(1,)]
    assert ask(world, "SELECT breaks FROM days WHERE sealed", "globex") == [(0,)]


def test_the_catalogue_and_the_macros_are_there(sealed: World) -> None:
    build(sealed)
    assert ask(sealed, "SELECT count(*) FROM actions") == [(len(CATALOGUE),)]
    assert ask(sealed, "SELECT ocsf_class FROM actions WHERE action = 'LOGIN'") == [("Authentication",)]
    assert ask(sealed, "SELECT utc_hour(recorded_at) FROM timeline('acme', 'u-17') LIMIT 3") == [(9,), (9,), (18,)]
    assert ask(
        sealed, "SELECT DISTINCT utc_weekday(recorded_at) AS d FROM activity WHERE tenant_id = 'globex' ORDER BY d"
    ) == [
        (3,),
        (5,),
    ]
    documented = (
        "SELECT count(*) FROM duckdb_functions() WHERE schema_name = 'main' AND NOT internal AND comment IS NULL"
    )
    assert ask(sealed, documented) == [(0,)]
    assert ask(sealed, "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL") == []
    assert ask(sealed, "SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL") == []


def test_a_plain_client_opens_it(sealed: World, tmp_path: Path) -> None:
    """Nothing of ours is on its path, and it is in another time zone."""
    build(sealed)
    questions = (
        "SELECT count(*), min(utc_hour(recorded_at)), min(day)::VARCHAR FROM events",
        "SELECT count(*), min(utc_hour(recorded_at)), min(day)::VARCHAR FROM activity",
        "SELECT count(*), 0, max(day)::VARCHAR FROM days",
    )
    code = (
        "import duckdb, json, sys\n"
        "db = duckdb.connect(sys.argv[1], read_only=True)\n"
        "print(json.dumps([db.sql(question).fetchall()[0] for question in sys.argv[2:]]))\n"
    )
    environment = {**os.environ, "TZ": "Pacific/Kiritimati"}
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code, str(sealed.config.analyst_db), *questions],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == [[9, 0, str(day(0))], [9, 0, str(day(0))], [3, 0, str(day(2))]]


def test_who_has_it_open_keeps_what_is_there_and_others_get_the_new_one(sealed: World) -> None:
    build(sealed)
    with closing(connect(sealed.config)) as before:
        sealed.record("acme", at(3, "00:10:00"))
        sealed.pipeline().land()
        assert build(sealed).events == 10
        with closing(connect(sealed.config)) as after:
            counts = "SELECT (SELECT count(*) FROM activity), (SELECT count(*) FROM events)"
            assert (before.sql(counts).fetchall(), after.sql(counts).fetchall()) == ([(9, 9)], [(10, 10)])


KILLED = """
import os, sys
from datetime import datetime
from pathlib import Path
from tests.lake.places import LocalPlace
from tests.lake.world import World
from lumi_pipeline.analytics import build_database
directory = Path(sys.argv[1])
world = World(directory, LocalPlace.create(directory), datetime.fromisoformat(sys.argv[2]))
build_database(world.config, world.pipeline().lake, progress=lambda done, _: os._exit(9) if done == 1 else None)
"""


@pytest.mark.slow
def test_a_build_that_is_killed_leaves_the_old_one(sealed: World) -> None:
    build(sealed)
    sealed.clock.now = at(5, "01:00:00")
    sealed.record("acme", at(3, "00:10:00"), at(4))
    sealed.pipeline().run()
    arguments = [sys.executable, "-c", KILLED, str(sealed.directory), sealed.clock.now.isoformat()]
    repository = Path(__file__).resolve().parents[2]
    killed = subprocess.run(arguments, cwd=repository, capture_output=True, text=True, check=False)
    assert killed.returncode == 9, killed.stderr
    left = list(sealed.directory.glob(".analyst.duckdb.*.new"))
    assert len(left) == 1
    assert ask(sealed, "SELECT count(*), count(DISTINCT day) FROM activity") == [(9, 3)]
    assert build(sealed).rebuilt == (day(3), day(4))
    assert not left[0].exists()
    assert_complete(sealed)


@pytest.mark.parametrize("broken", [b"", b"this is not a database" * 1000])
def test_what_is_no_database_is_made_anew(sealed: World, broken: bytes) -> None:
    path = sealed.config.analyst_db
    path.write_bytes(broken)
    with pytest.raises(AnalystError, match=r"analyst build|can't be opened"):
        connect(sealed.config)
    assert build(sealed).rows == 9
    assert_complete(sealed)


@pytest.mark.slow
def test_a_truncated_or_written_to_one_is_made_anew(sealed: World) -> None:
    build(sealed)
    path = sealed.config.analyst_db
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    build(sealed)
    assert_complete(sealed)
    path.with_name(path.name + ".wal").write_bytes(b"of another program")
    assert build(sealed).rows == 9
    assert_complete(sealed)


def test_a_database_of_another_lake_is_refused_and_replaced(sealed: World, world: World) -> None:
    build(sealed)
    world.config.analyst_db.write_bytes(sealed.config.analyst_db.read_bytes())
    with pytest.raises(AnalystError, match="is of the lake"):
        connect(world.config)
    world.record("acme", at(0))
    world.pipeline().land()
    assert build(world).events == 1
    assert_complete(world)


def test_an_altered_file_is_not_read(sealed: World) -> None:
    build(sealed)
    sealed.record("acme", at(3, "00:10:00"))
    sealed.pipeline().land()
    [*_, key] = [key for key in sealed.store.list("landed/") if "/part-" in key]
    data = sealed.store.get(key)
    sealed.overwrite(key, data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(LakeError, match=f"{key} was altered"):
        build(sealed)
    assert ask(sealed, "SELECT count(*) FROM activity") == [(9,)]
    assert list(sealed.directory.glob(".analyst.duckdb.*.new")) == []


def test_what_stands_in_the_way_is_named(sealed: World) -> None:
    with pytest.raises(AnalystError, match=r"there is no analyst database .* 'lumi analyst build' makes it"):
        connect(sealed.config)
    sealed.config.analyst_db.mkdir()
    with pytest.raises(AnalystError, match="is no file"):
        build(sealed)
    sealed.config.analyst_db.rmdir()
    os.mkfifo(sealed.config.analyst_db)  # for root, a device would have been replaced by the finished database
    for attempt in (build, lambda world: connect(world.config)):
        with pytest.raises(AnalystError, match=r"is no file, .* name another in 'analyst_db'"):
            attempt(sealed)
    assert sealed.config.analyst_db.is_fifo()


def test_a_sealed_day_that_is_gone_is_no_day_without_events(sealed: World) -> None:
    build(sealed)
    for key in list(sealed.store.list(f"seals/day={day(1)}/")):
        sealed.store.delete(key)
    with pytest.raises(LakeError, match=f"seals/day={day(1)}/day.txt is missing"):
        build(sealed)
    assert ask(sealed, "SELECT count(*) FROM days") == [(3,)]


def test_a_client_that_writes_keeps_readers_out_with_a_clear_message(sealed: World) -> None:
    build(sealed)
    code = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    arguments = [sys.executable, "-I", "-c", code, str(sealed.config.analyst_db)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(AnalystError, match="another program has it open for writing"):
            connect(sealed.config)
        assert build(sealed, fresh=True).rows == 9  # a build does not mind: it replaces the file
        assert_complete(sealed)
        other.communicate("")


def test_events_that_nobody_listed_in_the_catalogue_and_odd_text_are_kept(world: World) -> None:
    odd = {"action": "NEVER_HEARD_OF", "entity_id": "'; DROP TABLE activity; --", "actor_id": 'a"b\n', "ip": None}
    world.record("acme", at(0), **odd)
    world.pipeline().land()
    build(world)
    assert ask(world, "SELECT action, entity_id, actor_id, ip FROM activity") == [
        (odd["action"], odd["entity_id"], odd["actor_id"], None)
    ]
    assert new_event("acme", **odd).entity_id == odd["entity_id"]


def test_progress_is_told(sealed: World) -> None:
    told: list[tuple[int, int]] = []
    build_database(sealed.config, sealed.pipeline().lake, progress=lambda done, days: told.append((done, days)))
    assert told == [(0, 3), (1, 3), (2, 3)]
