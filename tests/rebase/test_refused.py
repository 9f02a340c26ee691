"""What keeps a restored outbox from being accepted is said before anything is changed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from lumi_pipeline.cli.app import app
from lumi_pipeline.cli.ending import execute
from lumi_pipeline.errors import LakeError, OutboxError, RecordError
from lumi_pipeline.outbox.opening import open_outbox
from lumi_pipeline.outbox.repairs import repairs_on
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.outboxaddress import postgresql_address
from lumi_pipeline.rebase import RebaseReport
from tests.databases import url_of
from tests.lake.world import at
from tests.rebase.site import Site


def accept(site: Site) -> RebaseReport:
    return site.pipeline().rebaser().accept("restored on purpose", rerecord=True)


@pytest.fixture
def behind(site: Site) -> Site:
    """A dump that lost an event of acme, landed since, and went another way for globex."""
    older = site.backup()
    site.record("acme", at(3, "08:00:00"))
    site.record("globex", at(3, "08:00:00"))
    site.pipeline().land()
    site.restore(older, other_system=True)
    site.record("globex", at(3, "09:00:00"))
    return site


def test_a_role_that_does_not_own_the_tables_may_look_and_not_repair(behind: Site, private_role: str) -> None:
    owner = behind.outbox
    url = url_of(owner).replace("postgres:only-for-tests@", f"{private_role}:secret@")
    behind.restore(open_outbox(postgresql_address(url)))
    assert len(behind.pipeline().rebaser().check().repairs) == 2
    objects = {key: behind.store.get(key) for key in behind.store.list("")}
    with pytest.raises(OutboxError, match=f"role {private_role} may not repair.*owner of its tables, postgres"):
        accept(behind)
    assert {key: behind.store.get(key) for key in behind.store.list("")} == objects
    behind.restore(owner)
    assert accept(behind).number == 0
    behind.assert_whole()


def test_accepting_without_repairs_takes_the_pipelines_role_alone(site: Site, private_role: str) -> None:
    copy = site.backup()
    site.pipeline().run()
    site.restore(copy, other_system=True)
    url = url_of(copy).replace("postgres:only-for-tests@", f"{private_role}:secret@")
    site.restore(open_outbox(postgresql_address(url)))
    assert accept(site).number == 0
    site.restore(copy)
    site.assert_whole()


@pytest.fixture
def private_role(request: pytest.FixtureRequest) -> Iterator[str]:
    """A role with the pipeline's rights; PostgreSQL alone has roles."""
    site: Site = request.getfixturevalue("site")
    if site.server is None:
        pytest.skip("SQLite has no roles")
    name = f"lander_{uuid4().hex}"
    role = sql.Identifier(name)
    with psycopg.connect(site.server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret' IN ROLE lumi_pipeline").format(role))
        yield name
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_file_that_nobody_may_write_to_is_not_repaired(tmp_path: Path) -> None:
    SqliteOutbox.init(tmp_path / "outbox.db")
    with (
        closing(sqlite3.connect(f"file:{tmp_path}/outbox.db?mode=ro", uri=True)) as connection,
        pytest.raises(OutboxError, match="the outbox is read-only here"),
    ):
        repairs_on(connection).check()


@pytest.mark.parametrize("prefix", ["landed/000000000001/part-", "landed/000000000002/part-", "landings/000000000001"])
@pytest.mark.parametrize("damage", [b"", b"x", None], ids=["cut", "altered", "gone"])
def test_a_damaged_lake_changes_nothing_in_the_database(behind: Site, prefix: str, damage: bytes | None) -> None:
    behind.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'initech'")
    (key,) = behind.store.list(prefix)
    path = behind.store.path(key)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage and path.read_bytes()[:-1] + damage)
    before = behind.everything()
    with pytest.raises((LakeError, RecordError), match=prefix[:-5]):
        accept(behind)
    assert behind.everything() == before


def test_a_damaged_sealed_day_changes_nothing_in_the_database(site: Site) -> None:
    site.restore(site.empty())
    (key,) = site.store.list("events/day=2024-02-28/")
    site.store.path(key).write_bytes(b"")
    before = site.everything()
    with pytest.raises(LakeError, match=key):
        accept(site)
    assert site.everything() == before


def test_a_damaged_record_of_a_rebase_is_named(behind: Site) -> None:
    accept(behind)
    key = "rebases/000000000000/found.json"
    path = behind.store.path(key)
    path.write_bytes(path.read_bytes().replace(b"restored", b"Restored"))
    behind.record("acme", at(3, "09:00:00"))
    behind.sql("UPDATE audit_chain_head SET next_seq = 1 WHERE tenant_id = 'acme'")
    with pytest.raises(RecordError, match=f"{key} was altered"):
        accept(behind)


# The command.


def lumi(
    site: Site, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, str, str]:
    config = site.config
    monkeypatch.setenv("LUMI_OUTBOX", url_of(site.outbox))
    settings = ["--root", config.root, "--origin", config.origin, "--log-key-file", str(config.log_key_file)]
    capfd.readouterr()
    code = execute(app, "lumi", [*settings, "landing", "rebase", *arguments])
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def test_the_command_looks_and_accepts(
    behind: Site, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = lumi(behind, capfd, monkeypatch)
    assert code == 1
    assert "acme: landed events are missing; landed up to seq 6, 1 event missing from seq 5 on" in out
    assert (
        "globex: other events where some were landed; landed up to seq 4, 1 event in their place from seq 3 on" in out
    )
    assert "lumi landing rebase --accept --rerecord --reason TEXT" in out
    code, out, err = lumi(behind, capfd, monkeypatch, "--accept", "--reason", "because")
    assert (code, out) == (1, "")
    assert "tenant globex from seq 3 on" in err
    code, out, _ = lumi(behind, capfd, monkeypatch, "--accept", "--rerecord", "--reason", "because")
    assert code == 0
    assert "Rebase 0: 2 tenants repaired, 2 events put back." in out
    assert "1 event had taken the place of landed ones: 1 recorded again" in out
    code, out, _ = lumi(behind, capfd, monkeypatch)
    assert code == 0
    assert "Nothing to do" in out
    behind.assert_whole()


def test_the_command_says_it_in_json(
    behind: Site, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = lumi(behind, capfd, monkeypatch, "--json")
    assert code == 1
    assert '"counts": {"behind": 1, "forked": 1, "same": 1}' in out
    assert '"first": 5, "forked": 0, "kind": "behind", "landed": 6, "missing": 1, "new": 0, "tenant": "acme"' in out
    code, out, _ = lumi(behind, capfd, monkeypatch, "--accept", "--rerecord", "--reason", "because", "--json")
    assert code == 0
    assert '"put_back": 2, "recorded": 1, "resumed": false, "taken_out": 1' in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--accept"], "--accept needs a --reason"),
        (["--accept", "--reason", " "], "--accept needs a --reason"),
        (["--rerecord"], "without it nothing is changed"),
        (["--reason", "because"], "without it nothing is changed"),
    ],
)
def test_the_command_is_refused_without_what_it_needs(
    site: Site, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    code, out, err = lumi(site, capfd, monkeypatch, *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_command_that_can_not_look_did_not_complete(
    site: Site, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site.restore(SqliteOutbox(tmp_path / "nothing.db"))
    code, _, err = lumi(site, capfd, monkeypatch)
    assert code == 3
    assert "there is no outbox at" in err
