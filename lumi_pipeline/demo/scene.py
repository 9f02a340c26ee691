"""One tenant at one moment: the clock, the state of things, and the pen that writes events.

A *script* is what a person or service does in one sitting: an iterator that performs one step, which emits exactly
one event at ``scene.now``, whenever it is advanced, and yields the seconds to wait before the next. The simulation
advances all scripts of a tenant in order of time, so every step sees the state that the steps before it left.
"""

from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import TypeAlias

from lumi_pipeline.catalogue import CATALOGUE
from lumi_pipeline.demo.cast import Link, Person, Service, Tenant
from lumi_pipeline.demo.estate import Estate
from lumi_pipeline.events import NewEvent, from_micros

Script: TypeAlias = Iterator[float]
Timed: TypeAlias = tuple[datetime, NewEvent]
"""When it was recorded, and what."""

DAY_MICROS = 86_400_000_000

_SLOWEST_REQUEST_US = 400_000
_QUEUED = 0.002
_LONGEST_QUEUE_US = 3 * 3_600_000_000


class Scene:
    """Where the scripts of one tenant play. ``now`` is in microseconds since the epoch, UTC."""

    def __init__(self, rng: Random, tenant: Tenant) -> None:
        self.rng = rng
        self.tenant = tenant
        self.estate = Estate(rng, len(tenant.people), str(tenant.number + 1))
        self.now = 0
        self.last_login: dict[str, str] = {}
        self._written: list[Timed] = []

    def emit(
        self,
        who: Person | Service,
        link: Link | None,
        action: str,
        entity_id: str,
        *,
        outcome: str = "success",
        states: tuple[str | None, str | None] = (None, None),
        occurred: int | None = None,
    ) -> str:
        """Write one event, recorded now; return its id.

        It occurred moments ago, or, once in five hundred events, waited for hours in a queue of the product, or when
        ``occurred`` (microseconds since the epoch) says. The id is a version 7 UUID (RFC 9562) of the recording time.
        """
        rng = self.rng
        if occurred is None:
            chance = rng.random()
            late = _LONGEST_QUEUE_US if chance < _QUEUED else _SLOWEST_REQUEST_US
            occurred = self.now - 2_000 - int(rng.random() * late)
        event_id = self._uuid()
        self._written.append(
            (
                from_micros(self.now),
                NewEvent(
                    tenant_id=self.tenant.tenant_id,
                    action=action,
                    entity_type=CATALOGUE[action].entity_type,
                    entity_id=entity_id,
                    actor_type=who.actor_type,
                    actor_id=who.actor_id,
                    outcome=outcome,
                    occurred_at=from_micros(occurred),
                    auth_method=who.auth_method,
                    actor_name=who.name,
                    ip=link.ip if link else None,
                    user_agent=link.user_agent if link else None,
                    request_id=f"req-{rng.getrandbits(64):016x}" if link else None,
                    before_state=states[0],
                    after_state=states[1],
                    event_id=event_id,
                ),
            )
        )
        return event_id

    def collect(self) -> list[Timed]:
        """Hand over what was written since the last call, in order of time."""
        written, self._written = self._written, []
        return written

    @property
    def waiting(self) -> int:
        """Return how many events are written and not yet collected."""
        return len(self._written)

    def _uuid(self) -> str:
        bits = self.rng.getrandbits(74)
        value = (self.now // 1000) << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & ((1 << 62) - 1)
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
