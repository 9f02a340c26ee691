"""The events of a run, drawn from a seed: what each destination is to get, whatever happens."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Final

from lumi_pipeline.events import NewEvent
from lumi_pipeline.recorder import AuditRecorder
from tests.lake.world import World

TENANTS: Final = ("acme", "globex", "hooli", "initech", "umbrella", "wayne")
_WEIGHTS: Final = (30, 5, 3, 2, 2, 1)
_ACTIONS: Final = ("LOGIN", "LOGOUT", "TICKET_CREATED", "ROLE_GRANTED", "USER_CREATED", "SOMETHING_ELSE")
_OLD: Final = 0.03
"""Share of events that occurred days before they were recorded: Datadog and Sentinel don't take their time."""

_GIANT: Final = 70_000
"""Bytes of an id that no line or field of some services holds."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands: whose it is, and which of theirs."""

    tenant_id: str
    seq: int


@dataclass(slots=True)
class Expected:
    """What was recorded. ``poison`` are ids that services refuse, ``giants`` those of events that are too large.

    ``waiting`` are events to be recorded, in the order in which they will be.
    """

    waiting: list[NewEvent]
    poison: frozenset[str]
    giants: frozenset[str]
    places: dict[str, Place] = field(default_factory=dict)

    @classmethod
    def draw(cls, random: Random, count: int, clock: Callable[[], datetime]) -> "Expected":
        """Draw so many events."""
        events = list(_events(random, count, clock))
        ids = [event.event_id for event in events]
        giants = frozenset(event.event_id for event in events if len(event.entity_id) >= _GIANT)
        poison = random.sample([event_id for event_id in ids if event_id not in giants], 2 + count // 20_000)
        return cls(events, frozenset(poison), giants)

    def record(self, world: World, portion: int) -> None:
        """Record the next events."""
        events, self.waiting = self.waiting[:portion], self.waiting[portion:]
        with closing(world.outbox.connect()) as connection:
            recorded = AuditRecorder(connection).record_many(events, recorded_at=[world.clock()] * len(events))
            connection.commit()
        for event in recorded:
            self.places[event.event_id] = Place(event.tenant_id, event.seq)


def _events(random: Random, count: int, clock: Callable[[], datetime]) -> Iterator[NewEvent]:
    giants = set(random.sample(range(count), 2))
    agents = [f"Mozilla/5.0 (X11; Linux x86_64) Gecko/{number}" for number in range(20)]
    for number in range(count):
        giant = number in giants
        yield NewEvent(
            tenant_id=random.choices(TENANTS, _WEIGHTS)[0],
            action=random.choice(_ACTIONS),
            entity_type="ticket",
            entity_id="X" * _GIANT if giant else f"T-{random.randrange(10_000)}",
            actor_type=random.choice(("user", "service", "support")),
            actor_id=f"u-{random.randrange(300)}",
            occurred_at=clock() - timedelta(days=3) if random.random() < _OLD else None,
            auth_method=random.choice(("saml", None)),
            actor_name=random.choice(("Zoë Ångström", 'Robert "\\Bobby" Tables', "李雷", None)),
            ip=f"203.0.113.{random.randrange(256)}",
            user_agent=random.choice(agents),
            after_state=_state(random),
        )


def _state(random: Random) -> str | None:
    drawn = random.random()
    if drawn < 0.002:
        return '{"text":"' + "é" * 60_000 + '"}'
    return f'{{"status": "open", "n": {random.randrange(10**6)}}}' if drawn < 0.7 else None
