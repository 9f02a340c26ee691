"""Where events come from on the command line: the demo, a new outbox, imported files; and where everything stands."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.system import EVENTS_A_DAY, TENANTS, Lumi, System

SAMPLE = Path(__file__).resolve().parents[2] / "data/sample/events.ndjson"


def test_a_demo_is_made_once(tmp_path: Path, lumi: Lumi) -> None:
    arguments = ("demo", "--root", tmp_path / "demo", "--days", 2, "--tenants", 2, "--events", 200, "--seed", 1)
    made = lumi(*arguments, "--json").json
    assert (made["created"], made["events"], len(made["tenants"])) == (True, 200, 2)  # type: ignore[arg-type]
    assert lumi("--config", made["config"], "run").code == 0
    again = lumi(*arguments)
    assert (again.code, "Nothing was added" in again.out) == (0, True)
    assert lumi("--config", made["config"], "verify", "--all").code == 0
    nonsense = lumi("demo", "--root", tmp_path / "other", "--days", 0)
    assert (nonsense.code, "number of days" in nonsense.err) == (1, True)


def test_the_tour_proves_and_forges(published: System, lumi: Lumi) -> None:
    ran = lumi("tour")
    assert ran.code == 0, ran.err
    assert "failed (integrity-hash)" in ran.out
    [proof] = published.directory.glob("*.tlog-proof")
    assert lumi("verify", proof, "--key", "lake/log/log.vkey").code == 0
    assert str(published.directory) not in ran.out, "paths are told as seen from here"


def test_an_outbox_is_initialised_once(tmp_path: Path, lumi: Lumi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        ran = lumi("--outbox", "sqlite:///box/outbox.db", "outbox", "init")
        assert (ran.code, str(tmp_path / "box/outbox.db") in ran.out) == (0, True)


def test_a_file_is_imported_once(recorded: System, lumi: Lumi) -> None:
    lines = len(SAMPLE.read_text().splitlines())
    first = lumi("import", "ndjson", SAMPLE, "--tenant", "sample", "--json").json
    assert (first["read"], first["added"], first["already_there"], first["tenants"]) == (lines, lines, 0, 1)
    again = lumi("import", "ndjson", SAMPLE, "--tenant", "sample")
    assert (again.code, f"added 0 of 0 tenants, {lines} already there" in again.out) == (0, True)
    status = lumi("status", "--json").json
    assert status["events"] == {"landed": "0", "recorded": str(2 * EVENTS_A_DAY + lines), "sealed": "0"}
    assert status["tenants"] == len(TENANTS) + 1
    assert recorded.outbox.exists()


def test_history_keeps_its_times_or_is_refused(published: System, lumi: Lumi) -> None:
    event = {
        "tenant_id": "historic",
        "action": "LOGIN",
        "entity_type": "session",
        "entity_id": "s-1",
        "actor_type": "user",
        "actor_id": "u-1",
        "occurred_at": f"{published.days[0] - timedelta(days=400)}T10:00:00.000000Z",
    }
    file = published.directory / "history.ndjson"
    file.write_text(json.dumps(event))
    refused = lumi("import", "ndjson", file, "--recorded-at", "occurred")
    assert (refused.code, "closed" in refused.err) == (1, True)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    event["occurred_at"] = hour_ago.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    file.write_text(json.dumps(event))
    kept = lumi("import", "ndjson", file, "--recorded-at", "occurred", "--json").json
    assert kept["first"] == kept["last"] == event["occurred_at"]
    assert lumi("import", "ndjson", file, "--recorded-at", "yesterday").code == 2
    assert lumi("import", "ndjson", "missing.ndjson").code == 1


def test_cloudtrail_records_come_in(recorded: System, lumi: Lumi) -> None:
    record = {
        "eventID": "0199f3c2-8b1e-7c40-9d53-1f0f6f1f2a77",
        "eventTime": "2026-01-01T00:00:00Z",
        "eventName": "ListBuckets",
        "eventSource": "s3.amazonaws.com",
        "recipientAccountId": "123456789012",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/ana", "userName": "ana"},
        "sourceIPAddress": "192.0.2.1",
    }
    file = recorded.directory / "trail.json"
    file.write_text(json.dumps({"Records": [record]}))
    assert lumi("import", "cloudtrail", file, "--json").json["added"] == 1


def test_status_tells_what_is_to_be_done(recorded: System, lumi: Lumi) -> None:
    before = lumi("status").out
    assert "60 events of 3 tenants, 60 not landed yet" in before
    assert "not published yet" in before
    assert lumi("run", "--through", recorded.days[0]).code == 0
    after = lumi("status", "--json").json
    assert after["sealed"] == {"days": 1, "first": str(recorded.days[0]), "last": str(recorded.days[0])}
    assert str(recorded.days[1]) in after["missing"]  # type: ignore[operator]
    assert after["keys"] == {"evidence": True, "log": True}
    assert "lumi run" in lumi("status").out


def test_status_of_nothing(tmp_path: Path, lumi: Lumi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = lumi("status")
    assert (ran.code, "lumi outbox init" in ran.err) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_status_claims_nothing_of_what_it_cannot_read(published: System, lumi: Lumi) -> None:
    (published.root / "log-private/genesis.txt").unlink()
    ran = lumi("status")
    assert (ran.code, "genesis.txt is missing" in ran.err) == (1, True)
    assert "nothing is waiting" not in ran.out
    assert "no day yet" not in ran.out
