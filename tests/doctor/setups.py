"""What the doctor's tests look at: a whole configuration on files, or on servers, with an owner who can break it."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from lumi_pipeline.config import Config, load_config
from lumi_pipeline.days import last_complete_day
from lumi_pipeline.doctor.checkup import checks_of, examine
from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, Result, Status
from lumi_pipeline.events import NewEvent
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.opening import init_outbox
from lumi_pipeline.outboxaddress import OutboxAddress, postgresql_address, sqlite_address
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.recorder import AuditRecorder, system_clock
from tests.databases import OPERATOR
from tests.postgresql import Postgresql
from transparency.entries import evidence_key_name
from transparency.keys import SigningKey

ORIGIN = "audit.example.com/doctor"
PASSWORD = "kept-to-itself"


@dataclass(frozen=True, slots=True)
class Setup:
    """A configuration that works. ``owner`` is its outbox as the database's owner reaches it."""

    config: Config
    owner: Outbox
    owner_url: str
    url: str

    def having(self, **settings: object) -> "Setup":
        """The same with other settings."""
        return replace(self, config=replace(self.config, **settings))  # type: ignore[arg-type]

    @property
    def pipeline(self) -> Pipeline:
        """A pipeline as the configuration says."""
        return Pipeline.open(self.config)

    def record(self, days_ago: int, count: int = 3) -> None:
        """Record events of two tenants on a day in the past, as the application does."""
        start = datetime.combine(day_over(days_ago), time(8), UTC)
        events = [
            NewEvent(
                tenant_id=f"tenant-{number % 2}",
                action="LOGIN",
                entity_type="session",
                entity_id=f"s-{number}",
                actor_type="user",
                actor_id="u",
            )
            for number in range(count)
        ]
        times = [start + timedelta(minutes=number) for number in range(count)]
        with closing(self.owner.connect()) as connection:
            AuditRecorder(connection).record_many(events, recorded_at=times)
            connection.commit()

    def publish(self, days: int = 2) -> None:
        """Record on so many days up to yesterday; land, seal and publish them."""
        for days_ago in range(days, 0, -1):
            self.record(days_ago)
        self.pipeline.run()

    def administer(self, *statements: LiteralString) -> None:
        """Run statements on PostgreSQL as its administrator."""
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


def day_over(ago: int) -> date:
    """A day that is over and may be sealed: the last one for 1, which shortly after midnight is not yesterday."""
    return last_complete_day(system_clock()) - timedelta(ago - 1)


def on_files(directory: Path, root: str | None = None) -> Setup:
    """SQLite and files, or another root."""
    address = sqlite_address(directory / "outbox.db")
    owner = init_outbox(address, OPERATOR)
    assert address.path is not None
    address.path.chmod(0o600)
    return Setup(_config(directory, root or str(directory / "lake"), address.url), owner, address.url, address.url)


@contextmanager
def on_servers(directory: Path, postgresql: Postgresql, root: str) -> Iterator[Setup]:
    """PostgreSQL, reached by a login that has ``lumi_pipeline`` alone, and a root in S3 (or a directory)."""
    owner_url = postgresql.create_database()
    owner = init_outbox(postgresql_address(owner_url), OPERATOR)
    name = sql.Identifier(login := f"login_{uuid4().hex}")
    with psycopg.connect(owner_url, autocommit=True) as administrator:
        administrator.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, PASSWORD))
        administrator.execute(sql.SQL("GRANT lumi_pipeline TO {}").format(name))
    url = f"postgresql://{login}:{PASSWORD}@{owner_url.rpartition('@')[2]}"
    try:
        yield Setup(_config(directory, root, url), owner, owner_url, url)
    finally:
        with psycopg.connect(owner_url, autocommit=True) as administrator:
            administrator.execute(sql.SQL("DROP OWNED BY {}").format(name))
            administrator.execute(sql.SQL("DROP ROLE {}").format(name))


def login_of(setup: Setup) -> sql.Identifier:
    """The role that the pipeline connects as."""
    return sql.Identifier(setup.url.partition("://")[2].partition(":")[0])


def address_of(setup: Setup, *, owner: bool) -> OutboxAddress:
    """The outbox of a setup on servers, as its owner or as the pipeline reaches it."""
    return postgresql_address(setup.owner_url if owner else setup.url)


def look(setup: Setup, name: str, clock: Callable[[], datetime] = system_clock) -> Finding:
    """What one check finds, run after those that it needs; it has to be one finding."""
    [found] = look_at_all(setup, name, clock)
    return found


def look_at_all(setup: Setup, name: str, clock: Callable[[], datetime] = system_clock) -> list[Finding]:
    """All that one check finds."""
    examination = Examination(setup.config, clock)
    checks = _with_needs(checks_of(examination), name)
    return [result.finding for result in examine(examination, checks) if result.name == name]


def look_at_everything(setup: Setup, clock: Callable[[], datetime] = system_clock) -> list[Result]:
    """All that all checks find."""
    return list(examine(Examination(setup.config, clock)))


def told(results: Sequence[Result], *statuses: Status) -> dict[str, str]:
    """The details of the findings that stand so, by check."""
    return {result.name: result.finding.detail for result in results if result.finding.status in statuses}


def _config(directory: Path, root: str, url: str) -> Config:
    log_key, evidence_key = directory / "log.key", directory / "evidence.key"
    for path, name in ((log_key, ORIGIN), (evidence_key, evidence_key_name(ORIGIN))):
        SigningKey.generate(name).save_new(path)
    settings: dict[str, str | None] = {
        "root": root,
        "origin": ORIGIN,
        "log_key_file": str(log_key),
        "evidence_key_file": str(evidence_key),
    }
    return load_config(Path("/dev/null"), {"LUMI_OUTBOX": url}, settings)


def _with_needs(checks: Sequence[Check], name: str) -> list[Check]:
    wanted = {name}
    for check in reversed(checks):
        if check.name in wanted:
            wanted.update(check.needs)
    assert any(check.name == name for check in checks), name
    return [check for check in checks if check.name in wanted]


@contextmanager
def mounted(point: Path, *options: str) -> Iterator[None]:
    """A small file system in memory at ``point``; skips where nobody may mount."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    point.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", point], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system can't be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", point], check=True)
