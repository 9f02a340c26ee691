"""The places that hold events, each as a part of an erasure: what it holds of them, and how they are erased there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lumi_pipeline.erasure.orders import Order


@dataclass(frozen=True, slots=True)
class Touched:
    """Objects of a part that hold chosen events, and their bytes; ``notes`` say what is out of reach, and what waits.

    After an erasure: the objects that were written anew, and their bytes.
    """

    objects: int = 0
    size: int = 0
    events: int = 0
    notes: tuple[str, ...] = ()


class Part(Protocol):
    """One place. Both methods look at what is there now, so doing it again does what is left."""

    name: str

    def look(self, tenant_id: str, events: Mapping[int, str]) -> Touched:
        """Say what would be touched; changes nothing."""
        ...

    def erase(self, order: Order) -> Touched:
        """Erase the events of an order from everything here, for good; return what was written anew."""
        ...
