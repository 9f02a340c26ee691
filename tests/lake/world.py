"""A small world to test the lake in: an outbox, a lake and keys in one directory, and a clock that stands still.

Its days lie well in the past, because the outbox asks its own database's clock whether a day is over. Day 1 is a 29
February.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa

from lumi_pipeline.config import Config, load_config
from lumi_pipeline.events import Event, NewEvent, to_micros
from lumi_pipeline.outbox.chains import chains_on
from lumi_pipeline.outbox.head import ChainHead
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.siem.settings import read_destinations
from tests.databases import begin, change, database, run, url_of
from tests.lake.places import LocalPlace, NewPlace, Place
from transparency.keys import SigningKey
from transparency.policy import Policy
from transparency.store import ObjectStore

ORIGIN = "audit.example.com/test"
LOG_KEY = SigningKey(ORIGIN, bytes(range(32)))
EVIDENCE_KEY = SigningKey(f"{ORIGIN}/evidence", bytes(range(32, 64)))
FIRST_DAY = date(2024, 2, 28)


def day(number: int) -> date:
    """The day with this number, from 0 on."""
    return FIRST_DAY + timedelta(days=number)


def at(number: int, clock: str = "12:00:00") -> datetime:
    """A time on the day with this number: ``at(1, "23:59:59.999999")``."""
    return datetime.combine(day(number), time.fromisoformat(clock), UTC)


def new_event(tenant_id: str, **columns: object) -> NewEvent:
    """An event of some kind, with every payload column filled; ``columns`` says what is to be different."""
    values: dict[str, object] = {
        "tenant_id": tenant_id,
        "action": "TICKET_CREATED",
        "entity_type": "ticket",
        "entity_id": "T-1",
        "actor_type": "user",
        "actor_id": "u-17",
        "auth_method": "saml",
        "actor_name": "Zoë Ångström",
        "ip": "203.0.113.7",
        "user_agent": "Mozilla/5.0",
        "request_id": "req-1",
        "before_state": None,
        "after_state": '{"status":"open"}',
    }
    return NewEvent(**{**values, **columns})  # type: ignore[arg-type]


class Clock:
    """The pipeline's clock: it says what ``now`` is set to."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class World:
    """A pipeline's keys in a directory, its outbox and root at a place. ``copy`` makes an independent world like it."""

    def __init__(self, directory: Path, place: Place, now: datetime) -> None:
        self.directory = directory
        self.place = place
        self.outbox = place.outbox
        self.clock = Clock(now)
        self.config: Config = load_config(env={"LUMI_OUTBOX": url_of(self.outbox)}, overrides=self._settings())

    def send_to(self, *destinations: dict[str, object]) -> None:
        """Configure ``[[destinations]]``."""
        self.config = replace(self.config, destinations=read_destinations(list(destinations), "test", self.directory))

    @classmethod
    def create(cls, directory: Path, now: datetime, new_place: NewPlace = LocalPlace.create) -> "World":
        """A new world without events."""
        directory.mkdir(parents=True, exist_ok=True)
        LOG_KEY.save_new(directory / "log.key")
        EVIDENCE_KEY.save_new(directory / "evidence.key")
        return cls(directory, new_place(directory), now)

    def copy(self, directory: Path) -> "World":
        """The same world in another directory, with a clock of its own."""
        directory.mkdir(parents=True)
        for key in self.directory.glob("*.key*"):
            shutil.copy(key, directory)
        return World(directory, self.place.copy(directory), self.clock.now)

    def _settings(self) -> dict[str, str | None]:
        return {
            "root": self.place.root,
            "origin": ORIGIN,
            "analyst_db": str(self.directory / "analyst.duckdb"),
            "log_key_file": str(self.directory / "log.key"),
            "evidence_key_file": str(self.directory / "evidence.key"),
        }

    def pipeline(
        self, wrap: Callable[[ObjectStore], ObjectStore] = lambda store: store, **settings: object
    ) -> Pipeline:
        """A new pipeline, as a new process would open it.

        ``wrap`` may put something around the lake's store; ``settings`` replace fields of the configuration.
        """
        config = replace(self.config, **settings)  # type: ignore[arg-type]
        lake = self.place.lake(config, self.clock)
        return Pipeline(config, replace(lake, store=wrap(lake.store)), self.clock, self.clock.sleep)

    @property
    def store(self) -> ObjectStore:
        """The lake's store."""
        return self.place.store

    def parquet(self, key: str) -> pa.BufferReader:
        """An object's content, for Arrow's Parquet functions."""
        return pa.BufferReader(self.store.get(key))

    @property
    def policy(self) -> Policy:
        """What a reader who knows the log's key trusts."""
        return Policy.pinning(LOG_KEY.verifier.vkey)

    def record(self, tenant_id: str, *times: datetime, **columns: object) -> list[Event]:
        """Record one event of a tenant at each of these times, in one transaction."""
        return self.record_all(((tenant_id, moment) for moment in times), **columns)

    def record_all(self, rows: Iterable[tuple[str, datetime]], **columns: object) -> list[Event]:
        """Record events of any tenants, (tenant, time) each, in one transaction."""
        rows = list(rows)
        events = [new_event(tenant_id, **columns) for tenant_id, _ in rows]
        with closing(self.outbox.connect()) as connection:
            recorded = AuditRecorder(connection).record_many(events, recorded_at=[moment for _, moment in rows])
            connection.commit()
        return recorded

    def put(self, events: Sequence[Event], head: ChainHead) -> None:
        """Put a chain of events, made elsewhere with salts and an id of their own, into the outbox."""
        values = (head.tenant_id, head.chain_id, head.next_seq, head.head_hash, to_micros(head.last_recorded_at))
        with database(self.outbox) as connection:
            begin(connection)
            run(connection, "INSERT INTO audit_chain_head VALUES (?, ?, ?, ?, ?)", values)
            chains = chains_on(connection)
            with chains.atomic():
                chains.append(events, [head])
            connection.commit()

    def tamper(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Change the outbox as a database administrator could, past the triggers; return the number of rows."""
        with database(self.outbox, guarded=False) as connection:
            begin(connection)
            changed = change(connection, sql, parameters)
            connection.commit()
        return changed

    def select(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Query the outbox; times are microseconds since 1970."""
        with database(self.outbox) as connection:
            return run(connection, sql, parameters)

    def listing(self, prefix: str = "") -> dict[str, tuple[object, bytes]]:
        """Every object of the lake under ``prefix``: key → (something that changes with every writing, bytes)."""
        return {key: (self.place.changed(key), self.store.get(key)) for key in self.store.list(prefix)}

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        """Every object of the lake under ``prefix``, by key."""
        return {key: self.store.get(key) for key in self.store.list(prefix)}

    def overwrite(self, key: str, data: bytes) -> None:
        """Change an object of the lake as somebody with access to the storage could."""
        self.place.overwrite(key, data)
