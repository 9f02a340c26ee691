"""The load: what 16 applications do to one database, drawn from a seed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import psycopg
from psycopg import IsolationLevel, sql

from lumi_pipeline.events import NewEvent, uuid7
from lumi_pipeline.outbox.postgresql import PostgresOutbox
from lumi_pipeline.outboxaddress import OutboxAddress, postgresql_address

WRITERS: Final = 16
TENANTS: Final = 50
DAY_SECONDS: Final = 0.7
"""The writers' clocks run through a day in this time, so that many days end, and are closed, while they write."""

ORDINARY: Final = "INSERT INTO ordinary_outbox (event_id) SELECT unnest(%s::uuid[])"
"""The same events in an outbox as tutorials have it, written in the same transactions."""

_PASSWORD: Final = "only-for-tests"
_SETUP: Final = (
    # Deadlocks are part of the load; waiting for their discovery is not.
    "ALTER DATABASE {database} SET deadlock_timeout = '100ms'",
    """
    CREATE TABLE ordinary_outbox (
        id bigserial PRIMARY KEY, event_id uuid NOT NULL UNIQUE, xid xid8 NOT NULL DEFAULT pg_current_xact_id()
    )
    """,
    "CREATE INDEX ON ordinary_outbox (xid, id)",
    "GRANT SELECT, INSERT ON ordinary_outbox TO lumi_writer",
    "GRANT USAGE ON SEQUENCE ordinary_outbox_id_seq TO lumi_writer",
    "CREATE ROLE soak_writer LOGIN PASSWORD {password} IN ROLE lumi_writer",
    "CREATE ROLE soak_pipeline LOGIN PASSWORD {password} IN ROLE lumi_pipeline",
)


@dataclass(frozen=True, slots=True)
class Load:
    """One run: which database, as whom, until when (Unix seconds), and how.

    ``slow`` is the share of transactions that stay open a while, ``odd`` that of those that do something unusual. The
    rest is one event, committed at once. Without ``locking`` the recorder's lock is left out, to see what that does.
    """

    writer_url: str
    pipeline_url: str
    directory: Path
    began: float
    until: float
    first_midnight: datetime
    slow: float = 0.25
    odd: float = 0.3
    longest: float = 1.5
    tenants: int = TENANTS
    locking: bool = True

    @classmethod
    def prepare(cls, url: str, directory: Path, seconds: float, **how: float) -> "Load":
        """Make the tables and roles in the database at ``url``, its administrator's; the run begins now."""
        PostgresOutbox.init(postgresql_address(url), "operator")
        values = {"database": sql.Identifier(url.rpartition("/")[2]), "password": sql.Literal(_PASSWORD)}
        with psycopg.connect(url) as connection:
            for statement in _SETUP:
                connection.execute(sql.SQL(statement).format(**values))
        now = time.time()
        host = url.rpartition("@")[2]
        roles = [f"postgresql://{role}:{_PASSWORD}@{host}" for role in ("soak_writer", "soak_pipeline")]
        days = timedelta(days=seconds / DAY_SECONDS + 100)
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - days
        return cls(roles[0], roles[1], directory, now, now + seconds, midnight, **how)  # type: ignore[arg-type]

    @property
    def lake(self) -> Path:
        return self.directory / "lake"

    @property
    def address(self) -> OutboxAddress:
        """Where the pipeline finds the outbox."""
        return postgresql_address(self.pipeline_url)

    def is_over(self) -> bool:
        return time.time() >= self.until

    def clock(self, late: timedelta = timedelta()) -> Callable[[], datetime]:
        """A writer's clock, which may be ``late``; a day of it is over long before the database's own."""
        return lambda: self.first_midnight + timedelta(days=(time.time() - self.began) / DAY_SECONDS) - late


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction: its calls of the recorder, then a pause, then its end.

    ``undone`` is recorded in a savepoint that is rolled back; ``twice`` records an event again, which is refused and
    caught. Both leave the transaction as it was. ``hurry`` is how long a call may take (seconds) where it is cut off.
    """

    calls: tuple[tuple[NewEvent, ...], ...]
    pause: float
    isolation: IsolationLevel
    ending: str
    late: timedelta
    undone: tuple[NewEvent, ...] = ()
    twice: bool = False
    hurry: float | None = None

    @property
    def group(self) -> str:
        return self.calls[0][0].event_id

    @property
    def event_ids(self) -> list[str]:
        return [event.event_id for call in self.calls for event in call]


def draw(load: Load, random: Random) -> Plan:
    """Draw the next transaction."""
    odd = random.random() < load.odd
    shape = random.random() if odd else 1.0
    if shape < 0.35:  # several tenants, locked together
        calls = [random.choices(range(load.tenants), k=random.randint(2, 8))]
    elif shape < 0.6:  # several tenants one after the other, in any order: deadlocks
        calls = [[_tenant(load, random)] for _ in range(random.randint(2, 4))]
    else:
        calls = [[_tenant(load, random)]]
    isolations = [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE] if random.random() < 0.1 else [None]
    slow = random.random() < load.slow
    return Plan(
        tuple(tuple(map(_event, call)) for call in calls),
        min(0.02 * 1.0 / max(random.random(), 1e-9), load.longest) if slow else 0.0,
        random.choice(isolations) or IsolationLevel.READ_COMMITTED,
        random.choice(["rollback", "exception"]) if random.random() < 0.02 else random.choice(["commit", "block"]),
        timedelta(hours=random.choice([0, 0, 0, 5, 40])),
        tuple(_event(_tenant(load, random)) for _ in range(2)) if odd and random.random() < 0.1 else (),
        odd and random.random() < 0.1,
        random.choice([0.002, 0.02]) if odd and random.random() < 0.1 else None,
    )


def _tenant(load: Load, random: Random) -> int:
    """One tenant is busier than all others."""
    return 0 if random.random() < 0.15 else random.randrange(load.tenants)


def _event(tenant: int) -> NewEvent:
    return NewEvent(
        tenant_id=f"tenant-{tenant:03d}",
        action="TICKET_CREATED",
        entity_type="ticket",
        entity_id="T-1",
        actor_type="user",
        actor_id="u-17",
        actor_name="Zoë Ångström",
        ip="203.0.113.7",
        after_state='{"status": "open"}',
        event_id=uuid7(),
    )
