import gzip
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from lumi_pipeline.errors import ImportFailed
from lumi_pipeline.events import MAX_TEXT_BYTES
from lumi_pipeline.importers import import_ndjson
from lumi_pipeline.importers.driver import BATCH_EVENTS
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.recorder import AuditRecorder
from tests.databases import database, url_of
from tests.events.making import START, check_chains, new_event, stored

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample" / "events.ndjson"
LINE: dict[str, object] = {
    "tenant_id": "acme",
    "event_id": "019aa4f2-0000-7000-8000-000000000001",
    "occurred_at": "2026-03-02T12:00:00.000000Z",
    "action": "LOGIN",
    "entity_type": "session",
    "entity_id": "s-1",
    "actor_type": "user",
    "actor_id": "u-1",
}


def line(number: int, when: datetime | None = START, tenant: str = "acme", **changes: object) -> dict[str, object]:
    identity = {"event_id": f"019aa4f2-0000-7000-8000-{number:012x}", "tenant_id": tenant}
    return LINE | identity | {"occurred_at": when.isoformat() if when else None} | changes


def write(path: Path, *lines: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


def test_a_line_becomes_an_event(outbox: Outbox, file: Path) -> None:
    full = LINE | {
        "outcome": "failure",
        "auth_method": "oidc",
        "actor_name": "Zoë",
        "ip": "2001:db8::1",
        "user_agent": "",
        "request_id": None,
        "before_state": '{"a":  1.0}',
        "after_state": {"b": [1, "é"]},
    }
    report = import_ndjson(outbox, write(file, full))
    (event,) = stored(outbox)
    for name, value in full.items():
        if name not in {"occurred_at", "after_state"}:
            assert getattr(event, name) == value
    assert event.after_state == '{"b":[1,"é"]}'
    assert event.occurred_at == START
    assert (report.read, report.added, report.first, report.last) == (1, 1, event.recorded_at, event.recorded_at)


def test_what_a_line_leaves_out_has_its_default(outbox: Outbox, file: Path) -> None:
    bare = {name: value for name, value in LINE.items() if name not in {"event_id", "occurred_at"}}
    import_ndjson(outbox, write(file, bare, bare | {"outcome": None}))
    first, second = stored(outbox)
    assert (first.outcome, first.auth_method, first.occurred_at) == ("success", None, first.recorded_at)
    assert first.event_id != second.event_id


def test_lines_without_ids_are_recorded_once_all_the_same(outbox: Outbox, file: Path) -> None:
    bare = {name: value for name, value in LINE.items() if name != "event_id"}
    write(file, bare, bare)
    assert import_ndjson(outbox, file).added == 2
    write(file, bare, bare, bare)
    again = import_ndjson(outbox, file)
    assert (again.added, again.already_there) == (1, 2)
    assert import_ndjson(outbox, file, tenant="other").added == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"actor": "u-1"}, "there is no column 'actor'; did you mean actor_id"),
        ({"xyz": 1}, "there is no column 'xyz'; the columns are tenant_id"),
        ({"seq": 0}, "seq is set by the recorder"),
        ({"recorded_at": "2026-03-02T12:00:00Z"}, "recorded_at is set by the recorder"),
        ({"integrity_hash": "00" * 32}, "integrity_hash is set by the recorder"),
        ({"action": None}, "action is missing"),
        ({"tenant_id": None}, "tenant_id is missing"),
        ({"action": "login"}, "action must be"),
        ({"actor_id": 17}, "actor_id must be text, got int"),
        ({"after_state": True}, "after_state must be text, got bool"),
        ({"occurred_at": "yesterday"}, "occurred_at must be like"),
        ({"occurred_at": 1752147738}, "occurred_at must be like"),
        ({"occurred_at": "2026-03-02T12:00:00"}, "time zone"),
        ({"occurred_at": "0001-01-01T00:00:00+10:00"}, "0001 to 9999"),
        ({"user_agent": "x" * (MAX_TEXT_BYTES + 1)}, f"the limit is {MAX_TEXT_BYTES}"),
        ({"before_state": {"a": "\ud800"}}, "before_state has a lone surrogate"),
    ],
)
def test_a_line_that_is_no_event_is_named_and_nothing_recorded(
    outbox: Outbox, file: Path, changes: dict[str, object], reason: str
) -> None:
    write(file, line(1), line(2) | changes)
    with pytest.raises(ImportFailed, match=rf"events\.ndjson: line 2: {reason}|line 2: .*{reason}"):
        import_ndjson(outbox, file)
    assert stored(outbox) == []


def test_the_tenant_can_be_given(outbox: Outbox, file: Path) -> None:
    write(file, line(1), line(2, tenant="globex"), line(3) | {"tenant_id": None})
    import_ndjson(outbox, file, tenant="initech")
    assert check_chains(outbox) == {"initech": 3}
    with pytest.raises(ImportFailed, match="line 1: tenant_id must be"):
        import_ndjson(outbox, file, tenant="no/tenant")


def test_now_keeps_the_order_of_the_file(outbox: Outbox, file: Path) -> None:
    write(file, line(2, START), line(1, START - timedelta(days=1)), line(3, None))
    import_ndjson(outbox, file)
    assert [event.event_id[-1] for event in stored(outbox)] == ["2", "1", "3"]


def test_history_is_sorted_and_keeps_its_times(outbox: Outbox, file: Path) -> None:
    times = [START, START - timedelta(days=1), START + timedelta(days=1), START - timedelta(days=1)]
    tenants = ["acme", "globex", "acme", "acme"]
    write(file, *(line(n, when, tenant) for n, (when, tenant) in enumerate(zip(times, tenants, strict=True))))
    report = import_ndjson(outbox, file, recorded_at="occurred")
    assert [(event.tenant_id, event.recorded_at) for event in stored(outbox)] == [
        ("acme", times[1]),
        ("acme", times[0]),
        ("acme", times[2]),
        ("globex", times[1]),
    ]
    assert (report.first, report.last, report.tenants) == (times[1], times[2], 2)
    assert check_chains(outbox) == {"acme": 3, "globex": 1}


def test_history_behind_the_chain_is_raised_within_its_day_only(outbox: Outbox, file: Path) -> None:
    with database(outbox) as connection:
        AuditRecorder(connection).record_many([new_event()], recorded_at=[START])
        connection.commit()
    write(file, line(1, START - timedelta(hours=11)), line(2, START + timedelta(seconds=1)))
    import_ndjson(outbox, file, recorded_at="occurred")
    events = stored(outbox)
    assert [event.recorded_at for event in events] == [START, START, START + timedelta(seconds=1)]
    assert events[1].occurred_at == START - timedelta(hours=11)
    write(file, line(3, START - timedelta(hours=13)), line(4, START, tenant="globex"))
    with pytest.raises(ImportFailed, match=r"event 019aa4f2.*0003 of tenant acme.*stands at 2026-03-02T12:00:01"):
        import_ndjson(outbox, file, recorded_at="occurred")
    assert check_chains(outbox) == {"acme": 3}


def test_history_of_closed_days_or_before_the_log_is_refused_before_anything_is_recorded(
    outbox: Outbox, file: Path
) -> None:
    write(file, line(1, START), line(2, START + timedelta(days=1), tenant="globex"))
    with pytest.raises(ImportFailed, match=r"tenant acme .*before the log's first day, 2026-03-03"):
        import_ndjson(outbox, file, recorded_at="occurred", first_day=date(2026, 3, 3))
    outbox.close_day(START.date())
    with pytest.raises(ImportFailed, match=r"tenant acme .*every day before 2026-03-03 is closed.*--recorded-at now"):
        import_ndjson(outbox, file, recorded_at="occurred", first_day=START.date())
    assert stored(outbox) == []
    import_ndjson(outbox, file, first_day=date(2026, 3, 3))
    again = import_ndjson(outbox, file, recorded_at="occurred", first_day=date(2026, 3, 3))
    assert (again.added, again.already_there) == (0, 2)


def test_history_of_the_future_or_without_a_time_is_refused(outbox: Outbox, file: Path) -> None:
    write(file, line(1), line(2, datetime.now(UTC) + timedelta(hours=1), tenant="globex"))
    with pytest.raises(ImportFailed, match=r"tenant globex .*in the future"):
        import_ndjson(outbox, file, recorded_at="occurred")
    write(file, line(1), line(2, None))
    with pytest.raises(ImportFailed, match="line 2: occurred_at is missing"):
        import_ndjson(outbox, file, recorded_at="occurred")
    assert stored(outbox) == []


def test_progress_counts_what_is_recorded(outbox: Outbox, file: Path) -> None:
    write(file, *(line(number) for number in range(2 * BATCH_EVENTS + 5)))
    seen: list[int] = []
    import_ndjson(outbox, file, progress=seen.append)
    assert seen == [BATCH_EVENTS, 2 * BATCH_EVENTS, 2 * BATCH_EVENTS + 5]
    assert check_chains(outbox) == {"acme": 2 * BATCH_EVENTS + 5}


KILLED = """
import os, signal, sys
from lumi_pipeline.config import load_config
from lumi_pipeline.importers import import_ndjson
from lumi_pipeline.outbox.opening import open_outbox

def kill(done: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)

import_ndjson(open_outbox(load_config().outbox), sys.argv[1], recorded_at="occurred", progress=kill)
"""


def test_an_import_that_was_killed_is_completed_by_the_next(outbox: Outbox, file: Path) -> None:
    count = BATCH_EVENTS + 300
    write(file, *(line(number, START + timedelta(seconds=number % 7)) for number in range(count)))
    environment = os.environ | {"LUMI_OUTBOX": url_of(outbox)}
    killed = subprocess.run([sys.executable, "-c", KILLED, file], cwd=ROOT, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert check_chains(outbox) == {"acme": BATCH_EVENTS}
    report = import_ndjson(outbox, file, recorded_at="occurred")
    assert (report.added, report.already_there) == (300, BATCH_EVENTS)
    assert check_chains(outbox) == {"acme": count}


def test_the_sample_can_be_imported(outbox: Outbox) -> None:
    report = import_ndjson(outbox, SAMPLE, recorded_at="occurred")
    assert report.added == report.read > 300
    assert report.tenants == 3
    counts = check_chains(outbox)
    assert sum(counts.values()) == report.added
    assert {event.recorded_at.date() for event in stored(outbox)} == {date(2025, 3, day) for day in (3, 4, 5)}


def test_the_sample_gzipped_is_the_same(outbox: Outbox, file: Path) -> None:
    file.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    import_ndjson(outbox, file)
    assert import_ndjson(outbox, SAMPLE).added == 0


def test_the_sample_is_what_its_generator_writes() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    made = subprocess.run(
        [sys.executable, SAMPLE.with_name("generate.py")], check=True, capture_output=True, env=environment
    )
    assert made.stdout == SAMPLE.read_bytes()


@pytest.mark.parametrize(
    ("other", "why"),
    [({"outcome": "failure"}, "there twice, and not the same"), ({}, "added"), ({"tenant_id": "x"}, "twice")],
)
def test_two_records_of_one_id_are_one_event_or_refused(
    outbox: Outbox, tmp_path: Path, other: dict[str, str], why: str
) -> None:
    line = {
        "event_id": "0199f3c2-8b1e-7c40-9d53-1f0f6f1f2a77",
        "tenant_id": "acme",
        "action": "LOGIN",
        "entity_type": "session",
        "entity_id": "s-1",
        "actor_type": "user",
        "actor_id": "u-1",
    }
    file = tmp_path / "events.ndjson"
    file.write_text(f"{json.dumps(line)}\n{json.dumps({**line, **other})}\n")
    if not other:
        assert import_ndjson(outbox, file).added == 1
        file.write_text(json.dumps({**line, "tenant_id": "globex"}))
        with pytest.raises(ImportFailed, match="that tenant acme has already"):
            import_ndjson(outbox, file)
        return
    with pytest.raises(ImportFailed, match=why):
        import_ndjson(outbox, file)
    with outbox.snapshot() as snapshot:
        assert len(snapshot.heads()) == 0
