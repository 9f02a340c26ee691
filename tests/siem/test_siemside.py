"""What comes out of a SIEM, in the forms in which products export it, held against the lake."""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lumi_pipeline.cli.siemside import reconcile_files, show_queries
from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem import exportfile
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.expected import Expected
from lumi_pipeline.siem.exportfile import look_at
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.settings import read_destinations
from lumi_pipeline.siem.siemside import Comparison, MissingRange, compare_export
from lumi_pipeline.siem.summary import DayFinding, SummaryComparison, compare_summary
from tests.lake.world import World, at, day
from tests.siem.fakes.http import FakeServer, Reply, Request

Record = dict[str, object]
PERIOD = Period(day(0), day(1))
POISON = "poison"


class Receiver(FakeServer):
    """An endpoint that keeps the lines it is sent, and refuses a request with a poisoned event."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def handle(self, request: Request) -> Reply:
        content = gzip.decompress(request.body).decode()
        if POISON in content:
            return Reply(400)
        self.lines += content.splitlines()
        return Reply(200)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A destination that was delivered to, and what it holds."""

    exports: Exports
    records: tuple[Record, ...]


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """Acme: seqs 0 to 7 on two days, of which 3 is refused, 5 of another action, 7 never sent; globex: 0 to 2."""
    world = World.create(tmp_path_factory.mktemp("delivered") / "world", at(5))
    texts = {"actor_name": 'Zoë "Z", Å\nb', "before_state": "", "user_agent": None, "occurred_at": at(-400)}
    world.record("acme", at(0), at(0), at(0, "23:59:59.999999"), **texts)
    world.record("globex", at(0), at(1), at(2))
    world.record("acme", at(1), entity_id=POISON)
    world.record("acme", at(1))
    world.record("acme", at(1), action="LOGIN")
    world.record("acme", at(1), auth_method=None)
    world.record("other", at(1))
    world.pipeline().land()
    with Receiver() as receiver:
        table = {
            "kind": "https",
            "name": "siem",
            "url": f"{receiver.url}/",
            "allow_private": True,
            "tenants": ["acme", "globex"],
            "actions": ["TICKET_CREATED"],
            "since": "beginning",
        }
        pipeline = world.pipeline(destinations=read_destinations([table], "destinations", world.directory))
        exports = Exports(pipeline)
        list(exports.plan("siem"))
        exports.deliver("siem")
    world.record("acme", at(1))
    world.pipeline().land()
    # Requests go side by side, so they arrive in any order.
    records = sorted(map(json.loads, receiver.lines), key=lambda record: (record["tenant_id"], record["seq"]))
    return Delivered(Exports(pipeline), tuple(records))


def compare(delivered: Delivered, *files: Path, period: Period = PERIOD) -> Comparison:
    return compare_export(Expected(delivered.exports, "siem", period), [look_at(file) for file in files])


def ndjson(path: Path, records: Sequence[object]) -> Path:
    path.write_text("".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records), encoding="utf-8")
    return path


def as_csv(path: Path, rows: Sequence[Mapping[str, object]], end: str = "\n", start: str = "") -> Path:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes((start + stream.getvalue()).encode())
    return path


def pascal(record: Record) -> Record:
    names = {"tenant_id": "TenantKey", "recorded_at": "RecordedTime", "occurred_at": "EventTime", "ip": "IpAddress"}
    return {names.get(n, "".join(part.title() for part in n.split("_"))): value for n, value in record.items()}


def digits(record: Record) -> Record:
    """As Azure Monitor writes times: seven digits."""
    times = {name: str(value).replace("Z", "0Z") for name, value in record.items() if name.endswith("_at")}
    return {**record, **times}


def for_people(record: Record) -> Record:
    """As the portal saves results: times are as people in one country write them."""
    row: Record = {"TenantId": "workspace"}
    for name, value in pascal(record).items():
        is_time = name.endswith("Time")
        row[f"{name} [UTC]" if is_time else name] = "11/21/2026, 9:14:03.123 AM" if is_time else value
    return row


def dense(record: Record) -> Record:
    return {name: value for name, value in record.items() if value is not None}


FORMS: dict[str, Callable[[Path, Sequence[Record]], Path]] = {
    "native": ndjson,
    "native, nulls dropped": lambda path, records: ndjson(path, [dense(r) for r in records]),
    "array": lambda path, records: _text(path, json.dumps(records, indent=1)),
    "gzip": lambda path, records: _gzipped(ndjson(path, records)),
    "splunk json": lambda path, records: ndjson(
        path, [{"preview": False, "result": {"_raw": json.dumps(r), "seq": [str(r["seq"])] * 2}} for r in records]
    ),
    "splunk envelope": lambda path, records: ndjson(
        path, [{"time": 1, "event": r, "fields": {"event_id": r["event_id"], "seq": str(r["seq"])}} for r in records]
    ),
    "splunk csv raw": lambda path, records: as_csv(
        path, [{"_time": "x", "_raw": json.dumps(r), "event_id": f"{r['event_id']}\n{r['event_id']}"} for r in records]
    ),
    "splunk csv fields": lambda path, records: as_csv(
        path,
        [{**r, "seq": f"{r['seq']}\n{r['seq']}", "event_id": f"{r['event_id']}\n{r['event_id']}"} for r in records],
    ),
    "datadog search": lambda path, records: ndjson(
        path, [{"id": "A", "attributes": {"attributes": {"lumi": dense(r)}, "message": "LOGIN"}} for r in records]
    ),
    "datadog archive": lambda path, records: ndjson(
        path, [{"_id": "A", "attributes": {"lumi": r}, "message": "{x", "service": "s"} for r in records]
    ),
    "datadog csv": lambda path, records: as_csv(
        path, [{"Date": "d", **{f"@lumi.{name}": value for name, value in r.items()}} for r in records], "\r\n"
    ),
    "sentinel json": lambda path, records: ndjson(path, [{"TenantId": "ws", **pascal(digits(r))} for r in records]),
    "sentinel csv": lambda path, records: as_csv(path, [for_people(r) for r in records], "\r\n", "\ufeff"),
    "sumo csv": lambda path, records: as_csv(
        path, [{"_messagetime": 1, "_raw": json.dumps(r), "_size": 9} for r in records]
    ),
    "ids and hashes": lambda path, records: as_csv(
        path, [{name: r[name] for name in ("event_id", "tenant_id", "seq", "integrity_hash")} for r in records]
    ),
}
EXACT = {"native", "native, nulls dropped", "array", "gzip", "splunk json", "splunk envelope", "splunk csv raw"} | {
    "datadog search",
    "datadog archive",
    "sentinel json",
    "sumo csv",
}


def _text(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _gzipped(path: Path) -> Path:
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def test_an_export_that_fits_agrees(delivered: Delivered, tmp_path: Path) -> None:
    found = compare(delivered, ndjson(tmp_path / "[a]*.export", delivered.records))
    assert found.agrees
    assert found.recomputed
    assert (found.expected, found.present, found.records, found.outside) == (9, 7, 8, 1)
    assert found.absent == {"open": 1, "quarantined": 1}
    assert found.missing == (
        MissingRange("acme", 7, 7, 1, "open"),
        MissingRange("acme", 3, 3, 1, "quarantined"),
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(delivered: Delivered, tmp_path: Path, form: str) -> None:
    changed = {"integrity_hash": "0" * 64} if form == "ids and hashes" else {"actor_id": "u-18"}
    altered = next(r for r in delivered.records if r["tenant_id"] == "acme" and r["seq"] == 1)
    gone = [r for r in delivered.records if not (r["tenant_id"] == "acme" and r["seq"] == 0)]
    records = [{**r, **changed} if r is altered else r for r in gone]
    twice = next(r for r in gone if r["tenant_id"] == "globex" and r["seq"] == 0)
    stranger = {**altered, "event_id": "0190aaaa-0000-7000-8000-000000000000"}
    foreign = {**stranger, "event_id": "0190aaaa-0000-7000-8000-000000000001", "tenant_id": "other"}
    found = compare(delivered, FORMS[form](tmp_path / "x", [*records, twice, stranger, foreign]))
    assert not found.agrees
    assert found.recomputed is (form in EXACT)
    assert (found.records, found.expected, found.present, found.outside, found.lost) == (10, 9, 6, 1, 1)
    assert found.absent == {"open": 1, "quarantined": 1}
    assert found.missing[0] == MissingRange("acme", 0, 0, 1, None)
    assert [(e.tenant_id, e.seq, e.event_id) for e in found.altered.shown] == [("acme", 1, altered["event_id"])]
    assert set(changed) <= set(found.altered.shown[0].differs)
    assert ("recomputed integrity_hash" in found.altered.shown[0].differs) is (form in EXACT)
    assert [(e.event_id, e.copies) for e in found.duplicated.shown] == [(twice["event_id"], 2)]
    assert [e.event_id for e in found.unknown.shown] == [stranger["event_id"]]
    assert [e.event_id for e in found.foreign.shown] == [foreign["event_id"]]


COLUMNS = (
    *("tenant_id", "seq", "recorded_at", "occurred_at", "action", "entity_type", "entity_id", "outcome", "actor_type"),
    *("actor_id", "auth_method", "actor_name", "ip", "user_agent", "request_id", "before_state", "after_state"),
    *("payload_salt", "payload_hash", "prev_hash", "integrity_hash"),
)


@pytest.mark.parametrize("form", ["native", "splunk csv fields", "sentinel json"])
def test_any_altered_column_is_named(delivered: Delivered, tmp_path: Path, form: str) -> None:
    record = next(r for r in delivered.records if r["tenant_id"] == "acme" and r["seq"] == 1)
    values = {"seq": 99, "recorded_at": "2024-02-28T12:00:00.000001Z", "occurred_at": "2023-01-01T00:00:00.000000Z"}
    copies = [(column, {**record, column: values.get(column, f"{record[column]}1")}) for column in COLUMNS]
    if form == "native":
        copies += [(column, {**record, column: None if record[column] is not None else ""}) for column in COLUMNS]
    file = FORMS[form](tmp_path / "x", [copy for _, copy in copies])
    found = compare(delivered, file, period=Period(day(0), day(0), "acme"))
    assert found.altered.count == len(copies)
    named = sorted(e.differs[0] for e in found.altered.shown)
    assert named == sorted(column for column, _ in copies)
    strong = {"payload_salt", "actor_name", "ip", "user_agent", "request_id", "before_state", "after_state"}
    if form == "native":
        for event in found.altered.shown:
            kind = "payload_hash" if event.differs[0] in strong else "integrity_hash"
            # The event's own hash is not hashed, and without salt there is nothing to recompute.
            assert f"recomputed {kind}" in event.differs or event.differs[0] in {"integrity_hash", "payload_salt"}


def test_values_that_were_too_large_are_not_missed(delivered: Delivered, tmp_path: Path) -> None:
    records = [{**r, "after_state": None, "omitted": ["after_state"]} for r in delivered.records]
    assert compare(delivered, ndjson(tmp_path / "x", records)).agrees
    records = [{**r, "after_state": None, "omitted": ["before_state"]} for r in delivered.records]
    assert compare(delivered, ndjson(tmp_path / "x", records)).altered.count == 7


def test_several_files_are_one_export(delivered: Delivered, tmp_path: Path) -> None:
    records = sorted(delivered.records, key=lambda r: str(r["integrity_hash"]))
    twice = records.index(next(r for r in records if r["recorded_at"] < "2024-03"))  # type: ignore[operator]
    first = FORMS["splunk csv raw"](tmp_path / "a.csv", records[: twice + 1])
    second = FORMS["gzip"](tmp_path / "b.gz", records[twice:])
    found = compare(delivered, first, second)
    assert found.agrees
    assert found.recomputed
    assert found.duplicated.count == 1


def test_one_tenants_days_are_compared_alone(delivered: Delivered, tmp_path: Path) -> None:
    own = [r for r in delivered.records if r["tenant_id"] == "globex"]
    found = compare(delivered, ndjson(tmp_path / "x", own), period=Period(day(1), day(1), "globex"))
    assert found.agrees
    assert (found.expected, found.present, found.outside) == (1, 1, 2)


BAD = {
    b"": "is empty",
    b"\n \n": "is empty",
    b"a,b\r\n1,2\r\n": r"its columns are 'a', 'b'; wanted are",
    b'{"a":1}\n': "its first record is no event of ours",
    b"[]": "first record is not JSON",
    b"[" * 100000: "first record is not JSON",
    b"\xff\xfe\x00": "neither CSV",
    b"\x1f\x8bnope": "can't be read",
    gzip.compress(b'{"event_id":"x"}\n' * 999)[:-9]: "can't be read",
    b'{"event_id":"x"}\n{"event_id":\n': "near line",
    b'{"event_id":"x"}\n{"event_id":"\\ud800"}\n': "near line",
    b"event_id,seq\n1,2,3\n": "can't be read",
    b'event_id,seq\n"1,2\n': "can't be read",
    b"event_id,seq\n\xff,2\n": "can't be read",
    b",".join(b"c%d" % i for i in range(2000)): "2000 columns",
}


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_files_that_are_no_export_are_refused(delivered: Delivered, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "secret-content"
    file.write_bytes(content)
    with pytest.raises(SiemError, match=BAD[content]) as refused:
        compare(delivered, file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("start", [b'{"event_id":"x"}\n{"event_id":"', b'event_id\nx\n"'])
def test_a_record_that_is_too_large_is_refused(delivered: Delivered, tmp_path: Path, start: bytes) -> None:
    file = tmp_path / "bomb.gz"
    file.write_bytes(gzip.compress(start + b"x" * (3 * exportfile.MAX_RECORD) + b'"}\n', 1))
    with pytest.raises(SiemError, match="at most"):
        compare(delivered, file)


def test_junk_among_records_is_unknown(delivered: Delivered, tmp_path: Path) -> None:
    junk: list[object] = [{}, [], 3, {"event_id": None}, {"event_id": {"a": 1}, "seq": "many"}]
    file = ndjson(tmp_path / "x", [*delivered.records, *junk])
    found = compare(delivered, file)
    assert found.unknown.count == len(junk)
    assert not found.agrees


def summarise(records: Sequence[Record]) -> list[dict[str, object]]:
    """What a generated query returns, counted by hand."""
    days: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        days.setdefault((str(record["tenant_id"]), str(record["recorded_at"])[:10]), []).append(record)
    return [
        {
            "tenant_id": tenant,
            "day": of_day,
            "events": len(found),
            "distinct_events": len({r["event_id"] for r in found}),
            "min_seq": min(int(str(r["seq"])) for r in found),
            "max_seq": max(int(str(r["seq"])) for r in found),
        }
        for (tenant, of_day), found in days.items()
    ]


def by_numbers(delivered: Delivered, *files: Path, period: Period = PERIOD) -> SummaryComparison:
    return compare_summary(Expected(delivered.exports, "siem", period), [look_at(file) for file in files])


def test_a_summary_that_fits_agrees(delivered: Delivered, tmp_path: Path) -> None:
    rows = summarise(delivered.records)
    found = by_numbers(delivered, as_csv(tmp_path / "x.csv", rows))
    assert found.agrees
    assert (found.days, found.expected, found.found, found.absent, found.outside) == (4, 9, 7, 2, 1)
    floats = [{**row, "events": f"{row['events']}.0", "max_seq": f"{row['max_seq']}E0", "x": ""} for row in rows]
    assert by_numbers(delivered, as_csv(tmp_path / "y.csv", floats, "\r\n", "\ufeff")) == found
    halves = [as_csv(tmp_path / f"{i}.csv", summarise(delivered.records[i::2])) for i in range(2)]
    assert by_numbers(delivered, *halves).agrees


def test_a_summary_shows_what_is_wrong(delivered: Delivered, tmp_path: Path) -> None:
    records = [r for r in delivered.records if (r["tenant_id"], r["seq"]) not in {("acme", 1), ("globex", 1)}]
    first = next(r for r in records if r["tenant_id"] == "globex" and r["seq"] == 0)
    records += [{**r, "event_id": "x", "tenant_id": tenant} for r in [first] for tenant in ("other", "globex")]
    records.append(first)
    found = by_numbers(delivered, as_csv(tmp_path / "x.csv", summarise(records)))
    assert not found.agrees
    assert found.findings == (
        DayFinding("acme", day(0), "missing", 1),
        DayFinding("globex", day(0), "duplicated", 1),
        DayFinding("globex", day(0), "unknown", 1),
        DayFinding("globex", day(1), "missing", 1),
        DayFinding("other", day(0), "foreign", 1),
    )
    rows = [{**row, "max_seq": int(str(row["max_seq"])) + 9} for row in summarise(delivered.records)]
    found = by_numbers(delivered, as_csv(tmp_path / "y.csv", rows))
    assert {finding.kind for finding in found.findings} == {"range"}


@pytest.mark.parametrize(
    "row", ["acme,yesterday,1,1,0,0", "acme,2024-02-28,x,1,0,0", "acme,2024-02-28,1,1,0", "acme,2024-02-28,1.5,1,0,0"]
)
def test_a_summary_that_is_not_in_form_is_refused(delivered: Delivered, tmp_path: Path, row: str) -> None:
    file = _text(tmp_path / "x.csv", f"tenant_id,day,events,distinct_events,min_seq,max_seq\n{row}\n")
    with pytest.raises(SiemError, match="row 1: it is not tenant_id"):
        by_numbers(delivered, file)


def test_times_are_searched_for_where_events_occurred(delivered: Delivered) -> None:
    assert Expected(delivered.exports, "siem", PERIOD).occurred() == (
        datetime.combine(day(-400), at(0).time(), UTC),
        at(1),
    )


def test_a_period_that_ends_before_it_begins_is_refused(delivered: Delivered) -> None:
    with pytest.raises(SiemError, match="before it begins"):
        Expected(delivered.exports, "siem", Period(day(1), day(0)))


def test_the_command_says_what_it_found(
    delivered: Delivered, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = ndjson(tmp_path / "whole", delivered.records)
    assert reconcile_files(delivered.exports, "siem", PERIOD, [whole], as_json=False) == 0
    printed = capfd.readouterr().out
    assert "It agrees with the lake." in printed
    assert re.search("acme +3 +3 +1 +quarantined", printed)
    part = ndjson(tmp_path / "part", [{**r, "actor_id": "x"} for r in delivered.records[1:]])
    assert reconcile_files(delivered.exports, "siem", PERIOD, [part], as_json=False) == 1
    assert "actor_id, recomputed integrity_hash" in capfd.readouterr().out
    assert reconcile_files(delivered.exports, "siem", PERIOD, [part], as_json=True) == 1
    report = json.loads(capfd.readouterr().out)
    assert (report["agrees"], report["lost"], report["altered"]["count"]) == (False, 1, 6)
    summary = as_csv(tmp_path / "summary", summarise(delivered.records[1:]))
    assert reconcile_files(delivered.exports, "siem", PERIOD, [summary], as_json=False) == 1
    assert re.search("2024-02-2[89] +missing +1", capfd.readouterr().out)
    assert reconcile_files(delivered.exports, "siem", PERIOD, [summary], as_json=True) == 1
    assert [finding[2:] for finding in json.loads(capfd.readouterr().out)["findings"]] == [["missing", 1]]
    with pytest.raises(SiemError, match="one kind"):
        reconcile_files(delivered.exports, "siem", PERIOD, [summary, whole], as_json=False)


def test_the_command_says_that_https_has_no_queries(delivered: Delivered, capfd: pytest.CaptureFixture[str]) -> None:
    assert show_queries(delivered.exports, "siem", PERIOD, as_json=False) == 0
    assert "has no query language" in capfd.readouterr().out


def test_the_command_prints_queries(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    world = World.create(tmp_path / "world", at(5))
    world.record("acme", at(0), occurred_at=at(-30))
    world.pipeline().land()
    table = {"kind": "splunk", "name": "soc", "url": "https://siem.example.com", "token": "env:X", "since": "beginning"}
    exports = Exports(world.pipeline(destinations=read_destinations([table], "destinations", tmp_path)))
    assert show_queries(exports, "soc", PERIOD, as_json=False) == 0
    printed = capfd.readouterr().out
    assert f"earliest={int(at(-30, '11:00:00').timestamp())} latest={int(at(5, '14:00:00').timestamp())}" in printed
    assert "lumi siem reconcile soc --from-csv FILE" in printed
    assert show_queries(exports, "soc", PERIOD, as_json=True) == 0
    assert json.loads(capfd.readouterr().out)["queries"][0]["language"] == "SPL"
