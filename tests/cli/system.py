"""The parts of a small system that command line tests run on."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from lumi_pipeline.events import NewEvent
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.recorder import AuditRecorder

TENANTS = ("acme", "globex", "initech")
EVENTS_A_DAY = 30


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


Lumi = Callable[..., Ran]


@dataclass(frozen=True, slots=True)
class System:
    """A configured system in its own directory, which holds ``lumi.toml``."""

    directory: Path
    days: tuple[date, date]
    event_ids: tuple[str, ...]

    @property
    def root(self) -> Path:
        return self.directory / "lake"

    @property
    def outbox(self) -> Path:
        return self.directory / "outbox.db"


def record(path: Path, day: date, count: int = EVENTS_A_DAY) -> tuple[str, ...]:
    """Record events of every tenant on a day that is over."""
    start = datetime.combine(day, time(8), UTC)
    events = [
        NewEvent(
            tenant_id=TENANTS[number % len(TENANTS)],
            action="TICKET_CREATED",
            entity_type="ticket",
            entity_id=f"T-{number}",
            actor_type="user",
            actor_id=f"user-{number % 7}",
            actor_name="Ana\x1b[31m" if number == 1 else "Ana",
            after_state=json.dumps({"title": f"Ticket {number}"}),
        )
        for number in range(count)
    ]
    times = [start + timedelta(minutes=number) for number in range(count)]
    with closing(SqliteOutbox.open(path).connect()) as connection:
        AuditRecorder(connection).record_many(events, recorded_at=times)
        connection.commit()
    return tuple(event.event_id for event in events)
