"""How many of the planted stories the investigations find, and how much else they report.

A finding is right when at least half of its events belong to a story, whichever; a story is found when a right finding
of an investigation that it is meant for has events of it. ``python -m tests.analytics.accuracy 101 102 103 104 105``
prints the table of docs/analytics.md. Thresholds were chosen on the seeds 1 to 5; do not look at others while tuning.
"""

import sys
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import sqrt

import duckdb
import pyarrow as pa

from lumi_pipeline.analytics.investigation import load
from lumi_pipeline.demo.simulation import Plan
from tests.analytics.simulated import MONDAY, database, simulate

MEANT: Mapping[str, frozenset[str]] = {
    "dormant-account": frozenset({"dormant-account"}),
    "guessed-login": frozenset({"password-guessing"}),
    "leaver-activity": frozenset({"leaver-active"}),
    "mass-export": frozenset({"mass-export", "privilege-escalation"}),
    "new-network": frozenset({"key-probing", "leaver-active", "night-dismissals", "password-guessing"}),
    "privilege-escalation": frozenset({"privilege-escalation"}),
    "refused-attempts": frozenset({"key-probing"}),
    "unusual-dismissals": frozenset({"night-dismissals"}),
}
"""Which stories each investigation should find. The two others answer questions, and find whatever is asked for."""

Findings = dict[int, list[str]]
"""Event ids by finding."""


def ask(db: duckdb.DuckDBPyConnection, name: str, **given: str) -> pa.Table:
    """All rows of an investigation."""
    investigation = load(name)
    answer = investigation.run(db, investigation.bind(given))
    return pa.Table.from_batches(answer.batches, answer.schema)


def findings(db: duckdb.DuckDBPyConnection, name: str, **given: str) -> Findings:
    rows = ask(db, name, **given)
    found: Findings = defaultdict(list)
    for number, event_id in zip(rows["finding"].to_pylist(), rows["event_id"].to_pylist(), strict=True):
        found[number].append(event_id)
    return found


def is_right(event_ids: Collection[str], labelled: Collection[str]) -> bool:
    return 2 * sum(event_id in labelled for event_id in event_ids) >= len(event_ids)


@dataclass(slots=True)
class Score:
    """Counts over several demos."""

    right: int = 0
    wrong: int = 0
    found: int = 0
    missed: int = 0
    lost: list[str] = field(default_factory=list)

    def add(self, found: Findings, meant: Mapping[str, frozenset[str]], labelled: Collection[str]) -> None:
        right = [set(event_ids) for event_ids in found.values() if is_right(event_ids, labelled)]
        self.right += len(right)
        self.wrong += len(found) - len(right)
        for name, events in meant.items():
            if any(event_ids & events for event_ids in right):
                self.found += 1
            else:
                self.missed += 1
                self.lost.append(name)


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    if not total:
        return 0.0, 1.0
    z = 1.96
    share = hits / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = z / (1 + z * z / total) * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, centre - spread), min(1.0, centre + spread)


def measure(plans: Collection[Plan]) -> dict[str, Score]:
    scores = {name: Score() for name in MEANT}
    for plan in plans:
        table, stories = simulate(plan)
        labelled = {event_id for story in stories.values() for event_id in story.event_ids}
        with database(table) as db:
            for name, meant in MEANT.items():
                told = {story: frozenset(stories[story].event_ids) for story in meant if story in stories}
                scores[name].add(findings(db, name), told, labelled)
    return scores


def main() -> None:
    seeds = [int(seed) for seed in sys.argv[1:]]
    sizes = ((3, 20_000), (14, 90_000))
    for name, score in measure(
        [Plan(MONDAY, days, 5, events, seed) for seed in seeds for days, events in sizes]
    ).items():
        cells = []
        for hits, total in ((score.right, score.right + score.wrong), (score.found, score.found + score.missed)):
            low, high = wilson(hits, total)
            cells.append(f"{hits} of {total} ({100 * low:.0f}–{100 * high:.0f} %)")
        print(f"| `{name}` | {cells[0]} | {cells[1]} |", " ".join(score.lost))


if __name__ == "__main__":
    main()
