"""What a demo tenant manages: recommendations with their savings, tickets, budgets, commitments.

The state is kept so that the events agree with each other: what is dismissed was open, ``before_state`` is what the
event before left behind, a ticket names the recommendation it was written for. Every collection is bounded, whatever
the number of events; the oldest unfinished business is forgotten.
"""

import json
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | None

HIGH_IMPACT_USD = 5_000
MEDIUM_IMPACT_USD = 500
RESERVED = 6
"""High-impact recommendations that nobody but the insider of the planted story comes across."""

_OPEN = 4_000
_BACKLOG = 1_000
_KINDS = (
    ("rightsize_instance", "i", 180.0),
    ("stop_idle_database", "db", 420.0),
    ("delete_unattached_volume", "vol", 35.0),
    ("tier_cold_storage", "bucket", 260.0),
    ("buy_savings_plan", "sp", 1900.0),
    ("release_idle_address", "ip", 4.5),
    ("modernise_cluster", "k8s", 950.0),
)
_TEAMS = ("platform", "data", "storefront", "payments", "research", "mobile", "shared")


def state(**fields: Value) -> str:
    """Write one state as compact JSON text, the way the product would store it."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


@dataclass(slots=True, eq=False)
class Recommendation:
    """One way to save money; ``savings`` in USD a month, ``place`` its index among the open ones."""

    rec_id: str
    kind: str
    resource: str
    savings: float
    place: int = -1
    status: str = "open"
    ticket: str | None = None

    @property
    def impact(self) -> str:
        """Return ``high``, ``medium`` or ``low`` by the monthly savings."""
        if self.savings >= HIGH_IMPACT_USD:
            return "high"
        return "medium" if self.savings >= MEDIUM_IMPACT_USD else "low"

    def snapshot(self, **more: Value) -> str:
        """Write the state as JSON, with what else is to be said about this change."""
        return state(
            status=self.status,
            kind=self.kind,
            resource=self.resource,
            impact=self.impact,
            monthly_savings_usd=self.savings,
            **more,
        )

    def move(self, status: str, **more: Value) -> tuple[str, str]:
        """Change the status; return the states before and after as JSON."""
        before = self.snapshot()
        self.status = status
        return before, self.snapshot(**more)


@dataclass(slots=True)
class Budget:
    """A team's monthly limit in whole USD."""

    budget_id: str
    team: str
    limit: int

    def change(self, limit: int) -> tuple[str, str]:
        """Set another limit; return the states before and after as JSON."""
        before = state(team=self.team, monthly_limit_usd=self.limit)
        self.limit = limit
        return before, state(team=self.team, monthly_limit_usd=limit)


class Estate:
    """Everything one tenant manages, changing as its ``people`` work. ``label`` keeps its ids apart from others'."""

    def __init__(self, rng: Random, people: int, label: str) -> None:
        self._rng = rng
        self._label = label
        self._numbers: dict[str, int] = {}
        self.target = min(24 + 4 * people, _OPEN)
        self.open: list[Recommendation] = []
        for _ in range(self.target):
            self.discover()
        self.accepted: deque[Recommendation] = deque(maxlen=_BACKLOG)
        self.snoozed: deque[Recommendation] = deque(maxlen=_BACKLOG)
        self.to_close: deque[Recommendation] = deque(maxlen=_BACKLOG)
        self.reserved = [self._reserve() for _ in range(RESERVED)]
        self.budgets = [Budget(self.number("bud"), team, rng.randint(4, 90) * 1000) for team in _TEAMS]
        self.roles = [self.number("role") for _ in range(4)]
        self.integrations = [self.number("int") for _ in range(3)]
        self.dashboards = [self.number("dash") for _ in range(9)]
        self.sign_on = self.number("sso")
        self.policies = [self.number("pol") for _ in range(4)]

    def number(self, kind: str) -> str:
        """Return the next id of that kind, unique among all tenants: ``bud-1-00001`` and so on."""
        self._numbers[kind] = count = self._numbers.get(kind, 0) + 1
        return f"{kind}-{self._label}-{count:05d}"

    def discover(self) -> Recommendation:
        """Find another way to save money; most are small, few of high impact."""
        found = self._draw()
        self.reopen(found)
        return found

    def reopen(self, found: Recommendation) -> None:
        """Put a recommendation among the open ones."""
        found.place = len(self.open)
        self.open.append(found)

    def pick(self) -> Recommendation:
        """Return one of the open recommendations; there always is one."""
        return self.open[int(self._rng.random() * len(self.open))] if self.open else self.discover()

    def settle(self, found: Recommendation) -> None:
        """Take what is decided out of the open ones, in constant time."""
        last = self.open.pop()
        if last is not found:
            self.open[found.place] = last
            last.place = found.place

    def _draw(self) -> Recommendation:
        rng = self._rng
        kind, prefix, typical = _KINDS[int(rng.random() * len(_KINDS))]
        savings = round(typical * rng.lognormvariate(0.0, 1.0), 2)
        return Recommendation(self.number("rec"), kind, f"{prefix}-{rng.getrandbits(48):012x}", savings)

    def _reserve(self) -> Recommendation:
        found = self._draw()
        found.savings = round(self._rng.uniform(6_000, 48_000), 2)
        return found
