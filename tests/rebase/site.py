"""A pipeline over an outbox that is lost, restored and recorded to, in either kind of database; the lake is on disk."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lumi_pipeline.cli.history import judge_history
from lumi_pipeline.config import Config, load_config
from lumi_pipeline.landings import landings
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.opening import open_outbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.outboxaddress import postgresql_address
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.records import StoredFile
from lumi_pipeline.sealedday import load_manifest
from lumi_pipeline.stores.roots import open_lake
from lumi_pipeline.verdict import Status
from tests.databases import database, new_postgresql_outbox, run, url_of
from tests.lake.world import EVIDENCE_KEY, LOG_KEY, ORIGIN, Clock, at, new_event
from tests.postgresql import Postgresql
from transparency.filestore import FileStore
from transparency.policy import Policy
from transparency.store import ObjectStore

TENANTS = ("acme", "globex", "initech")


class Site:
    """Keys and a lake in a directory, the outbox that is in use, and every event that was ever committed to one."""

    def __init__(self, directory: Path, outbox: Outbox, server: Postgresql | None, now: datetime) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for key, name in ((LOG_KEY, "log.key"), (EVIDENCE_KEY, "evidence.key")):
            if not (directory / name).exists():
                key.save_new(directory / name)
        self.directory = directory
        self.outbox = outbox
        self.server = server
        self.clock = Clock(now)
        self.committed: list[str] = []

    @property
    def config(self) -> Config:
        return load_config(
            env={"LUMI_OUTBOX": url_of(self.outbox)},
            overrides={
                "root": str(self.directory / "lake"),
                "origin": ORIGIN,
                "log_key_file": str(self.directory / "log.key"),
                "evidence_key_file": str(self.directory / "evidence.key"),
            },
        )

    @property
    def store(self) -> FileStore:
        return FileStore(self.directory / "lake")

    def pipeline(self, wrap: Callable[[ObjectStore], ObjectStore] = lambda store: store) -> Pipeline:
        """A new pipeline, as a new process would open it."""
        lake = open_lake(self.config, self.clock)
        return Pipeline(self.config, replace(lake, store=wrap(lake.store)), self.clock)

    def record(self, tenant_id: str, *times: datetime, **columns: object) -> list[str]:
        """Record an event of a tenant at each of these times."""
        events = [new_event(tenant_id, **columns) for _ in times]
        with closing(self.outbox.connect()) as connection:
            AuditRecorder(connection).record_many(events, recorded_at=times)
            connection.commit()
        self.committed += [event.event_id for event in events]
        return [event.event_id for event in events]

    def backup(self) -> Outbox:
        """A copy of the outbox as it is now; it has the same identity."""
        if self.server is not None:
            return open_outbox(postgresql_address(self.server.create_database(url_of(self.outbox))))
        path = self.directory / f"backup-{len(list(self.directory.glob('backup-*')))}.db"
        assert isinstance(self.outbox, SqliteOutbox)
        with closing(self.outbox.connect()) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = WAL")
        return SqliteOutbox.open(path)

    def empty(self) -> Outbox:
        """A freshly initialised outbox elsewhere."""
        if self.server is not None:
            return new_postgresql_outbox(self.server.create_database())
        return SqliteOutbox.init(self.directory / f"backup-{len(list(self.directory.glob('backup-*')))}.db")

    def restore(self, outbox: Outbox, *, other_system: bool = False) -> None:
        """Go on with another outbox; ``other_system`` makes it look like one on another server."""
        self.outbox = outbox
        if other_system:
            self.sql("UPDATE audit_identity SET system_id = 'other'")

    def sql(
        self, statement: str, parameters: Sequence[object] = (), *, guarded: bool = True
    ) -> list[tuple[object, ...]]:
        """Run a statement in the outbox, past the triggers unless ``guarded``."""
        with database(self.outbox, guarded=guarded) as connection:
            rows = run(connection, statement, parameters)
            connection.commit()
        return rows

    def tamper(self, statement: str, parameters: Sequence[object] = ()) -> None:
        """Change the outbox as an administrator could, who puts the triggers back afterwards."""
        if isinstance(self.outbox, SqliteOutbox):
            self.sql(statement, parameters, guarded=False)
            SqliteOutbox.init(self.outbox.path)
        else:
            with database(self.outbox) as connection:
                run(connection, "ALTER TABLE audit_outbox DISABLE TRIGGER audit_outbox_append_only")
                run(connection, statement, parameters)
                run(connection, "ALTER TABLE audit_outbox ENABLE ALWAYS TRIGGER audit_outbox_append_only")
                connection.commit()

    def copy(self, directory: Path) -> "Site":
        """An independent site in the same state."""
        directory.mkdir(parents=True)
        for key in ("log.key", "evidence.key"):
            shutil.copy(self.directory / key, directory)
        if (self.directory / "lake").exists():
            shutil.copytree(self.directory / "lake", directory / "lake")
        if self.server is None:
            outbox: Outbox = SqliteOutbox(directory / "outbox.db")
            backup = self.backup()
            assert isinstance(backup, SqliteOutbox)
            backup.path.rename(directory / "outbox.db")
        else:
            outbox = self.backup()
        copied = Site(directory, outbox, self.server, self.clock.now)
        copied.committed = list(self.committed)
        return copied

    def everything(self) -> dict[str, object]:
        """All that a run can change: the objects of the lake, the rows of the outbox, its triggers."""
        found: dict[str, object] = {key: self.store.get(key) for key in self.store.list("")}
        for table in ("audit_identity", "audit_close", "audit_chain_head", "audit_outbox"):
            found[table] = sorted(map(repr, self.sql(f"SELECT * FROM {table}")))  # noqa: S608 - constants
        found["triggers"] = self.triggers()
        return found

    def triggers(self) -> list[tuple[object, ...]]:
        """What guards the outbox."""
        if self.server is None:
            return self.sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
        return self.sql("SELECT tgname::text, tgenabled::text FROM pg_trigger WHERE tgrelid = 'audit_outbox'::regclass")

    def landed_ids(self) -> Counter[str]:
        """How often each event is in the lake: in sealed days, and landed since."""
        lake = self.pipeline().lake
        ids: Counter[str] = Counter()
        sealed: dict[str, int] = {}
        for day in lake.sealed_days():
            for file in load_manifest(lake, day).files:
                if file.path.startswith("events/"):
                    self._count(file, ids, sealed, {})
        before = dict(sealed)
        for landing in landings(lake):
            for file in landing.files:
                if file.path in set(self.store.list("landed/")):
                    self._count(file, ids, {}, before)
        return ids

    def _count(self, file: StoredFile, ids: Counter[str], reached: dict[str, int], skipped: dict[str, int]) -> None:
        for table in self.pipeline().lake.read_events(file):
            for row in table.select(["tenant_id", "seq", "event_id"]).to_pylist():
                if row["seq"] >= skipped.get(row["tenant_id"], 0):
                    ids[row["event_id"]] += 1
                    reached[row["tenant_id"]] = row["seq"] + 1

    def assert_whole(self) -> None:
        """Go on as usual; then everything verifies, and every event ever committed is in the lake exactly once."""
        guards = self.triggers()
        for tenant_id in TENANTS:
            self.record(tenant_id, self.clock.now)
        assert self.pipeline().land().breaks == ()
        self.clock.now = at(6, "00:20:00")
        report = self.pipeline().run()
        assert report.seals
        assert all(not seal.breaks for seal in report.seals)
        policy = Policy.pinning(LOG_KEY.verifier.vkey)
        verdicts = list(judge_history(self.pipeline(), policy, None, None))
        assert [(v.subject, v.status, v.lines) for v in verdicts if v.status is not Status.VERIFIED] == []
        ids = self.landed_ids()
        assert [event_id for event_id in self.committed if ids[event_id] != 1] == []
        assert max(ids.values()) == 1
        findings = self.pipeline().rebaser().check()
        assert findings.is_accepted
        assert self.triggers() == guards
