"""The judge finds whatever went wrong at a destination."""

from typing import Any

import pytest

from tests.siem.soak.expected import Place
from tests.siem.soak.judge import judge

PLACES = {f"e{seq}": Place("acme", seq) for seq in range(6)}
POISON = frozenset({"e3"})
ARRIVED = ["e0", "e1", "e2", "e4", "e5"]


def delivered(first: int, last: int, events: int, *, doubtful: bool = False) -> dict[str, Any]:
    ranges = [["acme", str(first), str(last), str(events)]]
    return {
        "key": f"0.0.{first}.{last}",
        "outcome": "delivered",
        "ranges": ranges,
        "events": str(events),
        "possible_duplicate": doubtful,
    }


QUARANTINED = {"outcome": "quarantined", "event_id": "e3", "ranges": [["acme", "3", "3", "1"]]}
RECEIPTS = [delivered(0, 2, 3), delivered(3, 5, 2), QUARANTINED]


def test_a_clean_run_has_no_faults() -> None:
    verdict = judge(PLACES, POISON, ARRIVED, RECEIPTS)
    assert (verdict.expected, verdict.arrived, verdict.quarantined) == (5, 5, 1)
    assert (verdict.faults(), verdict.disordered, verdict.duplicates, verdict.marked) == ({}, 0, 0, 0)


@pytest.mark.parametrize(
    ("arrived", "receipts", "faults"),
    [
        (["e0", "e1", "e4", "e5"], RECEIPTS, {"lost": 1, "unfounded": 1}),
        ([*ARRIVED, "e1"], RECEIPTS, {"unmarked": 1}),
        ([*ARRIVED, "e3"], RECEIPTS, {"strangers": 1}),
        (ARRIVED, [delivered(0, 2, 3), QUARANTINED], {"unfounded": 2}),
        (ARRIVED, [delivered(0, 2, 3), delivered(4, 5, 2)], {"misjudged": 1}),
        (ARRIVED, [*RECEIPTS[:1], delivered(4, 5, 2), QUARANTINED, {**QUARANTINED, "event_id": "e0"}], None),
    ],
)
def test_what_went_wrong_is_found(
    arrived: list[str], receipts: list[dict[str, Any]], faults: dict[str, int] | None
) -> None:
    if faults is None:
        with pytest.raises(AssertionError, match="does not say which events"):
            judge(PLACES, POISON, arrived, receipts)
    else:
        assert judge(PLACES, POISON, arrived, receipts).faults() == faults


def test_duplicates_that_were_told_are_no_fault() -> None:
    receipts = [delivered(0, 2, 3, doubtful=True), *RECEIPTS[1:]]
    verdict = judge(PLACES, POISON, [*ARRIVED, "e1", "e1"], receipts)
    assert (verdict.faults(), verdict.duplicates, verdict.marked) == ({}, 1, 3)


def test_order_is_that_of_first_arrivals() -> None:
    assert judge(PLACES, POISON, ["e0", "e1", "e0", "e2", "e1", "e4", "e5"], RECEIPTS).disordered == 0
    assert judge(PLACES, POISON, ["e0", "e2", "e1", "e4", "e5"], RECEIPTS).disordered == 1
