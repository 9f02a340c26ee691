"""What arrived held against what was recorded, and against what the receipts say. Plain loops, and none of our code."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.siem.soak.expected import Place


@dataclass(frozen=True, slots=True)
class Verdict:
    """Numbers of events, counted at one destination.

    ``lost`` are those that are neither there nor refused, ``duplicates`` those that are there more than once,
    ``marked`` those of which the receipts say that they may be, ``unmarked`` duplicates of which they don't.
    ``disordered`` came after a later one of their tenant's. ``misjudged`` were put aside without being refused, or the
    other way round; ``unfounded`` are said to be there and are not.
    """

    expected: int
    arrived: int
    lost: int
    strangers: int
    duplicates: int
    marked: int
    unmarked: int
    disordered: int
    quarantined: int
    misjudged: int
    unfounded: int
    witnesses: tuple[str, ...] = ()
    """What the receipts say of some of the lost."""

    def faults(self) -> dict[str, int]:
        """What there is and must not be, besides disorder, which only some promise not to make."""
        names = ("lost", "strangers", "unmarked", "misjudged", "unfounded")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def judge(
    places: Mapping[str, Place], poison: frozenset[str], arrived: Sequence[str], receipts: Sequence[Mapping[str, Any]]
) -> Verdict:
    """Judge one destination, which is to have every event but the poison."""
    counts = Counter(arrived)
    expected = places.keys() - poison
    ids = {place: event_id for event_id, place in places.items()}
    delivered: set[str] = set()
    marked: set[str] = set()
    quarantined = {str(receipt["event_id"]) for receipt in receipts if receipt["outcome"] == "quarantined"}
    for receipt in receipts:
        if receipt["outcome"] == "quarantined":
            continue
        events = {ids[place] for place in _places(receipt)} - quarantined
        assert len(events) == int(receipt["events"]), f"{receipt['key']} does not say which events it is about"
        delivered |= events
        marked |= events if receipt["possible_duplicate"] else set()
    duplicates = {event_id for event_id, count in counts.items() if count > 1}
    return Verdict(
        expected=len(expected),
        arrived=len(expected & counts.keys()),
        lost=len(expected - counts.keys()),
        strangers=len(counts.keys() - expected),
        duplicates=len(duplicates),
        marked=len(marked),
        unmarked=len(duplicates - marked),
        disordered=_disordered(places, arrived),
        quarantined=len(quarantined),
        misjudged=len(quarantined ^ poison),
        unfounded=len(delivered - counts.keys()) + len(expected - delivered),
        witnesses=tuple(_witnesses(places, sorted(expected - counts.keys())[:3], receipts)),
    )


def read_receipts(root: Path, destination: str) -> list[dict[str, Any]]:
    """The lines of a destination's receipts, in order."""
    files = sorted((root / "siem" / destination / "receipts").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().split(b"\n") if line.startswith(b"{")]


def _witnesses(
    places: Mapping[str, Place], events: Sequence[str], receipts: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    for event_id in events:
        for receipt in receipts:
            if places[event_id] in _places(receipt):
                yield f"{event_id} ({places[event_id]}): {json.dumps(receipt)}"


def _places(receipt: Mapping[str, Any]) -> Iterator[Place]:
    for tenant_id, first, last, _ in receipt["ranges"]:
        for seq in range(int(first), int(last) + 1):
            yield Place(tenant_id, seq)


def _disordered(places: Mapping[str, Place], arrived: Sequence[str]) -> int:
    """How many events came, the first time, after one that is later in their chain."""
    found = 0
    highest: dict[str, int] = {}
    for event_id in dict.fromkeys(arrived):
        place = places[event_id]
        found += place.seq < highest.get(place.tenant_id, -1)
        highest[place.tenant_id] = max(place.seq, highest.get(place.tenant_id, -1))
    return found
