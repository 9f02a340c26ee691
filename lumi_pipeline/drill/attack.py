"""What an attack is: what somebody does to a copy, which checks have to find it, or why none of them can."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from lumi_pipeline.drill.scratch import Trial

_LOG = ("log/", "log-private/")
_SEALED = (*_LOG, "seals/", "events/", "erasures/")
_LANDED = (*_LOG, "seals/", "landings/", "landed/", "superseded/", "erasures/")


class Area(Enum):
    """What is attacked; ``value`` is its name, and what a copy of it has to hold of the lake."""

    LAKE = ("sealed events", _SEALED)
    SEALS = ("records", _SEALED)
    LOG = ("public log", _SEALED)
    LANDINGS = ("landings", _LANDED)
    OUTBOX = ("outbox", _LANDED)
    PROOF = ("proof file", ())
    BUNDLE = ("evidence", ())
    OPERATOR = ("everything", _SEALED)


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. ``told`` says what is done, for people; ``checks`` are names of those that may find it, in order.

    With ``beyond`` the attack is one that no check here is meant to find; it says who finds it, or that nobody does.
    """

    name: str
    area: Area
    told: str
    act: Callable[[Trial], None]
    checks: tuple[str, ...]
    beyond: str | None = None
