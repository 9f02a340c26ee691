"""The analyst's commands: lumi sql, lumi events and lumi analyst build."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lumi_pipeline.cli.app import app
from lumi_pipeline.cli.ending import execute
from lumi_pipeline.cli.results import Format
from tests.cli.system import Lumi, System, record

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built_template(published_template: System, tmp_path_factory: pytest.TempPathFactory) -> System:
    directory = tmp_path_factory.mktemp("analyst") / "system"
    shutil.copytree(published_template.directory, directory)
    assert execute(app, "lumi", ["--config", str(directory / "lumi.toml"), "analyst", "build"]) == 0
    return replace(published_template, directory=directory)


@pytest.fixture
def analyst(built_template: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A published system with its analyst database, which nothing may change; the current directory is empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUMI_CONFIG", str(built_template.directory / "lumi.toml"))
    return built_template


@pytest.fixture
def changing(published: System, lumi: Lumi) -> System:
    """Such a system in the current directory, to do anything to."""
    assert lumi("analyst", "build").code == 0
    return published


def test_a_run_builds_it_and_build_says_how_it_is(recorded: System, lumi: Lumi) -> None:
    assert "The analyst database has 60 events of 2 days" in lumi("run", "--through", recorded.days[1]).out
    assert lumi("analyst", "build").out.startswith("The analyst database is up to date: 60 events of 2 days")
    assert "2 sealed days and 60 events read" in lumi("analyst", "build", "--fresh").out
    record(recorded.outbox, recorded.days[1] + timedelta(days=1))
    assert lumi("land").code == 0
    report = lumi("analyst", "build", "--json").json
    assert (report["events"], report["landed"], report["rows"], report["rebuilt"]) == (90, 30, 30, [])
    ran = lumi("run", "--through", recorded.days[1] + timedelta(days=1), "--json").json
    assert isinstance(ran["analyst"], dict)
    assert (ran["analyst"]["landed"], ran["analyst"]["rows"]) == (0, 30)


def test_a_run_that_cannot_build_it_says_what_it_did_and_fails(recorded: System, lumi: Lumi) -> None:
    Path("analyst.duckdb").mkdir()
    ran = lumi("run", "--through", recorded.days[0])
    assert (ran.code, "Published 1 day" in ran.out) == (1, True)
    assert "the analyst database" in ran.err
    assert "error" in lumi("run", "--json").json["analyst"]  # type: ignore[operator]


@pytest.mark.usefixtures("analyst")
def test_every_format_says_the_same(lumi: Lumi) -> None:
    query = "SELECT tenant_id, count(*) AS n, NULL AS nothing, '' AS empty FROM activity GROUP BY ALL ORDER BY ALL"
    names = ["tenant_id", "n", "nothing", "empty"]
    assert lumi("sql", query).out.splitlines() == [
        "tenant_id   n  nothing  empty",
        "acme       20",
        "globex     20",
        "initech    20",
    ]
    assert lumi("sql", query, "--format", "csv").out.splitlines()[:2] == [",".join(names), 'acme,20,,""']
    lines = lumi("sql", query, "--format", "json").out.splitlines()
    assert json.loads(lines[0]) == {"tenant_id": "acme", "n": 20, "nothing": None, "empty": ""}
    for ending in ("csv", "json", "parquet"):
        assert lumi("sql", query, "-o", f"found.{ending}").out == ""
    assert pq.read_table("found.parquet").column("n").to_pylist() == [20, 20, 20]
    assert Path("found.json").read_text().splitlines() == lines
    assert len(Path("found.csv").read_text().splitlines()) == 4
    assert lumi("sql", query, "-o", "-").out == lumi("sql", query).out


@pytest.mark.usefixtures("analyst")
def test_values_of_every_kind_are_shown(lumi: Lumi) -> None:
    query = (
        "SELECT 1.50::DECIMAL(4, 2) AS d, 170141183460469231731687303715884105727::HUGEINT AS h, 'inf'::DOUBLE AS i, "
        "true AS b, unhex('00ff') AS x, DATE '2026-01-02' AS day, TIMESTAMPTZ '2026-01-02 03:04:05+01' AS z, "
        "[1, NULL] AS l, {'a': {'b': 'c'}} AS s, MAP {'k': 1} AS m, uuid() IS NOT NULL AS u, INTERVAL 1 DAY AS v, "
        "TIME '10:00:00' AS t, 'a,b\"c' AS q, '=1+1' AS f, chr(27) || '[31m' AS e, 1 AS d"
    )
    [row] = [json.loads(line) for line in lumi("sql", query, "--format", "json").out.splitlines()]
    assert row | {"v": ""} == {
        "d": 1.5,
        "h": 170141183460469231731687303715884105727,
        "i": "Infinity" if row["i"] == "Infinity" else "inf",
        "b": True,
        "x": "00ff",
        "day": "2026-01-02",
        "z": "2026-01-02T02:04:05.000000Z",
        "l": [1, None],
        "s": {"a": {"b": "c"}},
        "m": [["k", 1]],
        "u": True,
        "v": "",
        "t": "10:00:00",
        "q": 'a,b"c',
        "f": "=1+1",
        "e": "\x1b[31m",
        "d_2": 1,
    }
    [header, values] = csv.reader(io.StringIO(lumi("sql", query, "--format", "csv").out))
    assert dict(zip(header, values, strict=True))["f"] == "'=1+1"
    assert "\x1b" not in lumi("sql", query).out


@pytest.mark.usefixtures("analyst")
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "give one query"),
        ("SELECT 1; SELECT 2", "give one query"),
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM activity", '"nothing" not found'),
        ("SELECT error('late') FROM range(100000) WHERE range = 99999", "late"),
        ("COPY activity TO 'x.csv'", "only queries"),
        ("EXPLAIN ANALYZE COPY activity TO 'x.csv'", "only queries"),
        ("EXPLAIN /* */ ANALYZE COPY activity TO 'x.csv'", "only queries"),
        ("DELETE FROM activity", "only queries"),
        ("CREATE TABLE x AS SELECT 1", "only queries"),
        ("ATTACH 'x'", "only queries"),
        ("SET threads = 1", "only queries"),
        ("INSTALL httpfs", "only queries"),
        ("SELECT $user", "parameters $user"),
        ("SELECT '\udcff'", "no text in UTF-8"),
        ("PIVOT activity ON outcome USING count(*)", "ON column IN"),
        ("SELECT 'infinity'::TIMESTAMPTZ", "cast its column to text"),
    ],
)
def test_what_is_no_query_is_refused(lumi: Lumi, query: str, message: str) -> None:
    ran = lumi("sql", query)
    assert ran.code == 1, ran.out
    assert message in ran.err
    assert not Path("x.csv").exists()
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("analyst")
def test_a_file_that_could_not_be_finished_is_not_there(lumi: Lumi) -> None:
    assert lumi("sql", "SELECT error('late') FROM range(100000) WHERE range = 99999", "-o", "found.csv").code == 1
    assert lumi("sql", "SELECT INTERVAL 1 DAY AS i", "-o", "found.parquet").code in {0, 1}
    Path("found.parquet").unlink(missing_ok=True)
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("analyst")
def test_parameters_are_text_and_never_sql(lumi: Lumi) -> None:
    query = "SELECT count(*) AS n FROM activity WHERE actor_id = $who"
    assert lumi("sql", query, "--param", "who=user-1", "--format", "csv").out == "n\n10\n"
    assert lumi("sql", query, "--param", "who=' OR true --", "--format", "csv").out == "n\n0\n"
    assert lumi("sql", query, "--param", "who").code == 2
    assert lumi("sql", query, "--param", "who=a", "--param", "who=b").code == 2
    assert lumi("sql", query, "--param", "who=\udcff").code == 2
    assert lumi("sql", query).code == 1
    assert lumi("sql", query, "--param", "who=a", "--param", "whom=b").code == 1
    assert lumi("sql", "SELECT $x AS x", "--param", "x=a=b", "--format", "csv").out == "x\na=b\n"


def test_a_tenant_sees_its_rows_and_no_others(analyst: System, lumi: Lumi) -> None:
    assert lumi("sql", "SELECT DISTINCT tenant_id FROM events", "--tenant", "acme", "--format", "csv").out == (
        "tenant_id\nacme\n"
    )
    ran = lumi("sql", f"FROM read_text('{analyst.directory}/lumi.toml')", "--tenant", "acme")
    assert (ran.code, "disabled by configuration" in ran.err) == (1, True)
    assert lumi("sql", "SELECT 1", "--tenant", "nobody").code == 1


@pytest.mark.usefixtures("analyst")
def test_formats_are_told_by_name_or_ending(lumi: Lumi) -> None:
    ran = lumi("sql", "SELECT 1", "-o", "found.xls")
    assert (ran.code, "--format" in ran.err) == (2, True)
    assert lumi("sql", "SELECT 1", "--format", "xml").code == 2
    assert lumi("sql", "SELECT 1 AS a", "--json").json == {"a": 1}
    assert [form.value for form in Format] == ["table", "csv", "json", "parquet"]
    assert lumi("sql", "EXPLAIN SELECT 1").out.startswith(("╭", "┌"))
    assert lumi("sql", "SELECT tenant_id FROM activity WHERE false").out == "tenant_id\n"
    assert "activity" in lumi("sql", "SHOW ALL TABLES").out


@pytest.mark.usefixtures("recorded")
def test_without_a_database_the_next_step_is_named(lumi: Lumi) -> None:
    assert "lumi analyst build" in lumi("sql", "SELECT 1").err
    assert lumi("sql", "SELECT 1").code == 1
    ran = lumi("events")
    assert (ran.code, "lumi analyst build" in ran.err) == (3, True)
    assert lumi("analyst", "build").code == 0
    assert lumi("events").code == 0


@pytest.mark.parametrize(
    ("bytes_given", "code"), [(b"SELECT 1 AS \xc3\xa4", 0), (b"SELECT '\xff'", 1), (b"", 1), (None, 1)]
)
@pytest.mark.usefixtures("analyst")
def test_a_query_comes_from_standard_input(
    bytes_given: bytes | None, code: int, lumi: Lumi, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = None if bytes_given is None else io.TextIOWrapper(io.BytesIO(bytes_given), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", given)
    ran = lumi("sql", "-", "--json")
    assert ran.code == code, ran.err
    assert ran.out == ('{"\\u00e4": 1}\n' if code == 0 else "")


@pytest.mark.slow
@pytest.mark.usefixtures("analyst")
def test_a_large_result_flows_and_a_reader_may_leave() -> None:
    """What nobody reads any more is not computed either, and the memory does not depend on how much there is."""
    code = (
        "import resource, sys, subprocess\n"
        "arguments = [sys.executable, '-m', 'lumi_pipeline', 'sql', sys.argv[1], '--format', sys.argv[2]]\n"
        "with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ran:\n"
        "    line = ran.stdout.readline(); ran.stdout.close()\n"
        "    print(ran.wait(), ran.stderr.read().decode() or 'quiet', len(line) > 0)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)\n"
    )
    query = "SELECT range AS n, repeat('x', 1000) AS x FROM range(100000000)"
    for form in ("csv", "table"):
        ran = subprocess.run(
            [sys.executable, "-c", code, query, form],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=True,
        )
        told, megabytes = ran.stdout.splitlines()
        assert told == "141 quiet True", form
        assert int(megabytes) < 600


def test_events_are_listed_newest_first_and_page_by_page(analyst: System, lumi: Lumi) -> None:
    first = lumi("events", "--tenant", "acme", "--limit", "8")
    assert first.code == 0
    lines = first.out.splitlines()
    assert lines[0].split() == ["check", "recorded_at", "tenant", "user", "action", "entity", "outcome", "event_id"]
    assert len(lines) == 9
    assert all(line.startswith("verified  ") for line in lines[1:])
    cursor = first.err.split()[-1]
    rest = lumi("events", "--tenant", "acme", "--limit", "50", "--after", cursor)
    assert (rest.err, len(rest.out.splitlines())) == ("", 13)
    ids = [line.split()[-1] for line in (lines[1:] + rest.out.splitlines()[1:])]
    assert len(set(ids)) == 20
    assert set(ids) <= set(analyst.event_ids)
    ran = lumi("events", "--tenant", "globex", "--after", cursor)
    assert (ran.code, "another list" in ran.err) == (2, True)
    assert lumi("events", "--after", "nonsense").code == 2


@pytest.mark.usefixtures("analyst")
def test_no_event_is_said_and_what_no_event_has(analyst: System, lumi: Lumi) -> None:
    first, last = analyst.days
    for arguments, said in (
        (["--user", "user-1", "--entity", "T-2", "--to", first], "No event matches."),
        (["--user", "user-9", "--tenant", "acme"], "No event matches; none at all has that --user."),
        (["--action", "ticket_created", "--json"], "No event matches; none at all has that --action."),
        (["--tenant", "acne", "--entity-type", "tickets"], "none at all has that --tenant; none at all has that --ent"),
    ):
        ran = lumi("events", *arguments)
        assert (ran.code, said in ran.err) == (0, True), ran.err
        assert "No event" not in ran.out
    assert lumi("events", "--from", last, "--to", first).code == 2
    for option in ("--tenant", "--user", "--entity", "--entity-type", "--action"):
        ran = lumi("events", option, "\udcff")
        assert (ran.code, "is no text in UTF-8" in ran.err) == (2, True)


@pytest.mark.usefixtures("analyst")
def test_events_have_everything_for_machines(lumi: Lumi) -> None:
    lines = lumi("events", "--limit", "3", "--format", "json").out.splitlines()
    [first, second, _] = [json.loads(line) for line in lines]
    assert (first["check"], first["finding"], first["sealed"]) == ("verified", None, True)
    again = json.loads(lumi("events", "--limit", "1", "--format", "json", "--after", first["cursor"]).out)
    assert again == second
    assert lumi("events", "-o", "page.parquet").code == 0
    assert pq.read_table("page.parquet").num_rows == 50
    assert lumi("prove", first["event_id"]).code == 0


def test_events_take_days_and_times(analyst: System, lumi: Lumi) -> None:
    def count(*arguments: object) -> int:
        ran = lumi("events", "--format", "csv", *arguments)
        assert ran.code == 0, ran.err
        return len(ran.out.splitlines()) - 1

    first, last = analyst.days
    assert count("--from", last) == 30
    assert count("--to", first) == 30
    assert count("--from", first, "--to", last, "--limit", 1000) == 60
    assert count("--from", f"{first}T08:10:00Z", "--to", f"{first}T10:20:00+02:00") == 10
    assert count("--user", "user-1", "--action", "TICKET_CREATED", "--entity-type", "ticket", "--entity", "T-1") == 2
    for wrong in ("yesterday", "2026-13-01", "2026-01-01T10:00", "2026-01-01 25:00Z", "0001-01-01T00:00+23:00"):
        assert lumi("events", "--from", wrong).code == 2, wrong
    assert count("--to", "9999-12-31", "--limit", 1000) == 60
    assert lumi("events", "--limit", 0).code == 2
    assert lumi("events", "--limit", 1001).code == 2


def test_an_altered_event_ends_with_1_and_is_marked(changing: System, lumi: Lumi) -> None:
    [part] = (changing.root / f"events/day={changing.days[0]}").glob("*.parquet")
    table = pq.read_table(part)
    outcomes = pc.if_else(pc.equal(table.column("seq"), 3), "failure", table.column("outcome"))
    pq.write_table(
        table.set_column(table.schema.get_field_index("outcome"), "outcome", outcomes.cast(pa.string())), part
    )
    ran = lumi("events", "--tenant", "acme")
    assert ran.code == 1
    [line] = [line for line in ran.out.splitlines() if line.startswith("ALTERED")]
    assert " failure " in line
    assert "altered: tenant acme seq 3: integrity_hash" in ran.err
    assert "1 event of 20 not as recorded" in ran.err
    part.unlink()
    ran = lumi("events", "--tenant", "acme", "--format", "csv")
    assert ran.code == 1
    assert ran.out.count(",missing,") == 10
