"""Nothing is lost: 16 processes record for 50 tenants while the lake is landed and days are closed.

In the second test processes are killed and the server crashes as well. ``make soak`` runs both for SOAK_SECONDS each;
otherwise they take a few seconds. What they did is printed at the end of each.
"""

import os
from pathlib import Path

import pytest

from tests.postgresql import PrivatePostgresql
from tests.soak.driver import crowd, disturb, outcome
from tests.soak.judge import Evidence, judge
from tests.soak.load import Load

pytestmark = pytest.mark.slow

ASKED = os.environ.get("SOAK_SECONDS")


def test_nothing_is_lost_while_many_write(
    private_postgresql: PrivatePostgresql, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = private_postgresql.create_database()
    load = Load.prepare(url, tmp_path, float(ASKED or 5))
    with crowd(load) as people:
        people.finish()
    evidence = outcome(load, url)
    report(capsys, "undisturbed", evidence)
    counts = evidence.known.counts
    assert judge(evidence).kinds() == {}
    assert not evidence.known.unknown
    assert len(evidence.known.committed) > 100
    assert counts["landings"] > 1
    assert counts["closings"] > 0
    assert counts["rollbacks"] > 0
    assert counts["serialization retries"] > 0
    if ASKED:
        assert counts["deadlock retries"] > 0


def test_nothing_is_lost_when_processes_are_killed_and_the_server_crashes(
    private_postgresql: PrivatePostgresql, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = private_postgresql.create_database()
    load = Load.prepare(url, tmp_path, float(ASKED or 9))
    restarts = max(2, int(float(ASKED or 0)) // 15)
    with crowd(load) as people:
        disturb(people, private_postgresql, load, restarts)
        people.finish()
    evidence = outcome(load, url)
    report(capsys, "with kills and crashes", evidence)
    counts = evidence.known.counts
    assert judge(evidence).kinds() == {}
    assert len(evidence.known.committed) > 50
    assert counts["server crashes"] >= 2
    assert counts["writers killed"] > 5
    assert counts["connections lost"] > 5
    if ASKED:
        assert counts["landings killed"] > 3
        assert counts["closings"] > 0


def report(capsys: pytest.CaptureFixture[str], name: str, evidence: Evidence) -> None:
    """Print what was done and found, where somebody asked for a run."""
    if not ASKED:
        return
    known = evidence.known
    figures = {
        "seconds": ASKED,
        "events committed": len(known.committed),
        "events in the lake": len(evidence.landed),
        "events whose commit got no answer": len(known.unknown),
        "events rolled back": len(known.absent),
        **dict(sorted(known.counts.items())),
        **{kind.replace("_", " "): 0 for kind in judge(evidence).__dataclass_fields__},
        **judge(evidence).kinds(),
    }
    with capsys.disabled():
        print(f"\n\n{name}")
        for what, number in figures.items():
            print(f"  {what:<42}{number:>12}")
