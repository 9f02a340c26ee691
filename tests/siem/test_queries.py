"""Generated queries: golden text for the languages of services, and DuckDB's run over real files."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem import querytext
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.exportfile import SUMMARY
from lumi_pipeline.siem.queries import Query, Span, queries
from lumi_pipeline.siem.settings import DestinationSettings, Route, Selection
from tests.lake.world import day

PERIOD = Period(day(0), day(1))
SPAN = Span(datetime(2024, 2, 27, 23, tzinfo=UTC), datetime(2024, 3, 4, 14, tzinfo=UTC))
GOLDEN = Path(__file__).parent / "queries"

OPTIONS: Mapping[str, Mapping[str, object]] = {
    "splunk": {"index": "audit", "sourcetype": None, "source": "lumi", "host": "lumi-pipeline"},
    "datadog": {"source": "lumi", "service": "audit log", "hostname": "lumi-pipeline", "env": "prod"},
    "sumo": {"category": "prod/audit", "source_name": None, "source_host": None},
    "sentinel": {"stream": "Custom-LumiAudit_CL"},
    "s3": {"bucket": "their-logs", "prefix": "audit/", "layout": "ndjson", "source": "lumi"},
    "file": {"path": "/var/audit"},
}


def settings(
    kind: str, format_name: str = "native", *routes: Mapping[str, object], **options: object
) -> DestinationSettings:
    """Settings of a kind, whether or not its module is there."""
    usual = {**OPTIONS.get(kind, {}), **options}
    named = [Route(f"r{i}", Selection(), {**usual, **route}) for i, route in enumerate(routes)]
    return DestinationSettings(
        name="siem",
        kind=kind,
        selection=Selection(),
        format=format_name,
        since=None,
        isolate=False,
        ordered=False,
        concurrency=1,
        deadline=timedelta(days=7),
        timeout=30,
        allow_private=False,
        ca_file=None,
        proxy=None,
        options=usual,
        routes=(*named, Route("default", Selection(), usual)),
    )


def one(kind: str, format_name: str = "native", period: Period = PERIOD, **options: object) -> Query:
    (query,) = queries(settings(kind, format_name, **options), period, SPAN)
    return query


@pytest.mark.parametrize("format_name", ["native", "ocsf"])
@pytest.mark.parametrize("kind", OPTIONS)
def test_queries_are_golden(kind: str, format_name: str) -> None:
    query = one(kind, format_name)
    text = f"{query.language}\n\n{query.summary}\n\n{query.dedup}\n"
    assert text == (GOLDEN / f"{kind}-{format_name}.txt").read_text(encoding="utf-8")


def test_a_tenant_and_security_lake_are_golden() -> None:
    found = [one(kind, period=Period(day(0), day(0), "a.b")) for kind in OPTIONS]
    found.append(one("s3", "ocsf", layout="security-lake"))
    text = "".join(f"{query.language}\n\n{query.summary}\n\n{query.dedup}\n\n" for query in found)
    assert text == (GOLDEN / "more.txt").read_text(encoding="utf-8")


def test_each_place_has_its_query() -> None:
    table = settings("splunk", "native", {"index": "one"}, {"index": "audit"}, {"index": None})
    found = queries(table, PERIOD, SPAN)
    assert [query.routes for query in found] == [("r0",), ("r1", "default"), ("r2",)]
    assert 'index="one"' in found[0].summary
    assert found[2].summary.startswith("index=*")


@pytest.mark.parametrize("kind", ["kafka", "https"])
def test_what_can_not_be_asked_has_no_queries(kind: str) -> None:
    assert queries(settings(kind), PERIOD, SPAN) == ()


HOSTILE = ('a" OR index=*', "a\\", "a'b", "a'); DROP TABLE x; --", "a | delete", "a]b", "a`b", "$x$", "[search x]")


@pytest.mark.parametrize("value", HOSTILE)
def test_settings_stay_values(value: str) -> None:
    for quote in (querytext.spl, querytext.kql, querytext.datadog):
        if "*" in value:
            continue
        text = quote(value)
        assert (text[0], text[-1]) == ('"', '"')
        assert json.loads(text) == value
    assert duckdb.sql(f"SELECT {querytext.sql(value)}").fetchall() == [(value,)]
    assert duckdb.sql(f"SELECT {querytext.sql(value)} GLOB {querytext.sql(querytext.glob(value))}").fetchall() == [
        (True,)
    ]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("splunk", {"index": "aud*"}),
        ("splunk", {"source": "a\nb"}),
        ("sumo", {"category": "prod/*"}),
        ("datadog", {"service": "a?"}),
        ("file", {"path": "/a\nb"}),
    ],
)
def test_what_can_not_be_quoted_is_refused(kind: str, options: Mapping[str, object]) -> None:
    with pytest.raises(SiemError, match="can't ask for exactly that"):
        queries(replace(settings(kind, **options)), PERIOD, SPAN)


def test_a_table_with_another_name_is_quoted() -> None:
    assert one("sentinel", stream="Custom-Lumi-Audit_CL").summary.startswith('["Lumi-Audit_CL"]\n')


def test_a_span_covers_events_and_arrivals() -> None:
    now = datetime(2024, 3, 4, 12, 34, 56, tzinfo=UTC)
    assert Span.of(PERIOD, None, now) == SPAN
    old, new = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    found = Span.of(PERIOD, (old, new), now)
    assert (found.first, found.last) == (old, new.replace(microsecond=0))
    assert Span.of(PERIOD, (now, now), now).first == SPAN.first


def record(tenant: str, seq: int, recorded: str, format_name: str) -> dict[str, object]:
    ids = {
        "event_id": f"{tenant}-{seq}",
        "tenant_id": tenant,
        "seq": seq,
        "recorded_at": f"{recorded}T23:59:59.999999Z",
    }
    if format_name == "native":
        return {**ids, "after_state": '{"seq":99,"recorded_at":"2024-01-01T"}'}
    metadata = {"uid": ids["event_id"], "tenant_uid": tenant, "sequence": seq}
    return {"metadata": metadata, "unmapped": {"recorded_at": ids["recorded_at"], "seq": 99}}


@pytest.mark.parametrize("format_name", ["native", "ocsf"])
def test_the_query_over_files_runs(tmp_path: Path, format_name: str) -> None:
    rows = [("a", 0, "2024-02-28"), ("a", 1, "2024-02-28"), ("a", 2, "2024-02-29"), ("a.b", 0, "2024-02-29")]
    place = tmp_path / "it's [here]*?"
    for number, days in enumerate((rows, rows[:1], [("a", 3, "2024-03-01"), ("a", 9, "2024-02-27")])):
        file = place / f"2024-02-2{number}" / "x.ndjson.gz"
        file.parent.mkdir(parents=True)
        lines = [json.dumps(record(*row, format_name)) + "\n" for row in days]
        file.write_bytes(gzip.compress("".join(lines).encode()))
    query = one("file", format_name, path=str(place))
    found = duckdb.sql(query.summary)
    assert tuple(found.columns) == SUMMARY
    assert found.fetchall() == [
        ("a", "2024-02-28", 3, 2, 0, 1),
        ("a", "2024-02-29", 1, 1, 2, 2),
        ("a.b", "2024-02-29", 1, 1, 0, 0),
    ]
    assert len(duckdb.sql(query.dedup).fetchall()) == 4
    alone = one("file", format_name, Period(day(0), day(1), "a.b"), path=str(place))
    assert duckdb.sql(alone.summary).fetchall() == [("a.b", "2024-02-29", 1, 1, 0, 0)]
