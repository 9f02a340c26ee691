"""Queries for the SIEM's side: what it holds of a period, per tenant and UTC day of recording, and each event once.

A summary returns tenant_id, day, events, distinct_events, min_seq and max_seq, and its result as CSV can be compared
with the lake (summary.py). Distinct ids are counted exactly: ``dcount`` of KQL and ``count_distinct`` of Sumo Logic are
estimates, so events are grouped by id first.

A SIEM lists events under the time at which they occurred, and some under that at which they arrived; so a search has to
span all of that (``Span``), while the day is always taken from ``recorded_at`` in the event.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from lumi_pipeline.siem import querytext
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.settings import DestinationSettings, Route


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a search has to cover, as a SIEM reckons time; ``last`` excluded."""

    first: datetime
    last: datetime

    @classmethod
    def of(cls, period: Period, occurred: tuple[datetime, datetime] | None, now: datetime) -> "Span":
        """From the earliest time of an event, or the period's beginning, until now or the latest time of one.

        Events may arrive, and be listed so, at any time since. Whole hours, with one more at each end.
        """
        begin = datetime.combine(period.first, time(), UTC)
        first = min([begin, *(occurred or ())]).replace(minute=0, second=0, microsecond=0)
        last = max([now, *(occurred or ())]).replace(minute=0, second=0, microsecond=0)
        earliest, latest = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC, microsecond=0)
        hour = timedelta(hours=1)
        return cls(
            first - hour if first - earliest >= hour else earliest,
            last + 2 * hour if latest - last >= 2 * hour else latest,
        )


@dataclass(frozen=True, slots=True)
class Query:
    """The queries for one place within a destination: which ``routes`` send there, the language and its texts."""

    routes: tuple[str, ...]
    language: str
    summary: str
    dedup: str


_Writer = Callable[[DestinationSettings, Route, Period, Span], tuple[str, str]]


def queries(settings: DestinationSettings, period: Period, span: Span) -> tuple[Query, ...]:
    """Return the queries for a destination, one for each place; none where its kind has no queries (Kafka, HTTPS).

    Raises :class:`~lumi_pipeline.errors.SiemError` where a setting can't be quoted exactly.
    """
    if settings.kind not in _WRITERS:
        return ()
    language, write = _WRITERS[settings.kind]
    places: dict[tuple[str, str], list[str]] = {}
    for route in settings.routes:
        places.setdefault(write(settings, route, period, span), []).append(route.name)
    return tuple(Query(tuple(routes), language, *texts) for texts, routes in places.items())


def _splunk(settings: DestinationSettings, route: Route, period: Period, span: Span) -> tuple[str, str]:
    """SPL. A field that is in the event and in ``fields`` may have its value twice; the first is taken."""
    options = {**route.options, "sourcetype": route.options["sourcetype"] or f"lumi:{settings.format}"}
    terms = [
        f"{name}={querytext.spl(str(options[name]))}"
        for name in ("index", "sourcetype", "source", "host")
        if options[name]
    ]
    if options["index"] is None:
        terms.insert(0, "index=*")
    terms += [f"earliest={_epoch(span.first)}", f"latest={_epoch(span.last)}"]
    base = " ".join(terms)
    once = "event_id=mvindex(event_id, 0), tenant_id=mvindex(tenant_id, 0), seq=tonumber(mvindex(seq, 0))"
    tenant = [f"| where tenant_id={querytext.spl(period.tenant_id)}"] if period.tenant_id else []
    first, last = period.first.isoformat(), period.last.isoformat()
    dated = [
        base,
        f"| eval {once}",
        r'| rex field=_raw "\"recorded_at\":\"(?<day>\d{4}-\d{2}-\d{2})T"',
        f'| where day>="{first}" AND day<="{last}"',
        *tenant,
    ]
    summary = [
        *dated,
        "| stats count AS events dc(event_id) AS distinct_events min(seq) AS min_seq max(seq) AS max_seq",
        "    BY tenant_id day",
        "| sort 0 tenant_id day",
        "| table tenant_id day events distinct_events min_seq max_seq",
    ]
    return "\n".join(summary), "\n".join([*dated, "| dedup event_id"])


def _datadog(settings: DestinationSettings, route: Route, period: Period, span: Span) -> tuple[str, str]:
    """DDSQL ("DDSQL Reference", table functions, ``dd.logs``)."""
    named = {"source": "source", "service": "service", "host": "hostname"}
    terms = [f"{tag}:{querytext.datadog(str(route.options[name]))}" for tag, name in named.items()]
    if route.options["env"] is not None:
        terms.append(f"env:{querytext.datadog(str(route.options['env']))}")
    if period.tenant_id:
        terms.append(f"@lumi.tenant_id:{querytext.datadog(period.tenant_id)}")
    recorded = "@lumi.recorded_at" if settings.format == "native" else f"@{settings.format}.unmapped.recorded_at"
    logs = [
        "dd.logs(",
        f"    filter => {querytext.sql(' '.join(terms))},",
        f"    columns => ARRAY['@lumi.tenant_id', '@lumi.event_id', '@lumi.seq', '{recorded}', 'message'],",
        f"    from_timestamp => TIMESTAMP '{_plain(span.first)}',",
        f"    to_timestamp => TIMESTAMP '{_plain(span.last)}'",
        "  ) AS (tenant_id VARCHAR, event_id VARCHAR, seq BIGINT, recorded_at VARCHAR, message VARCHAR)",
    ]
    return _sql_summary("\n".join(["", "  FROM " + logs[0], *logs[1:]]), period), _sql_dedup("\n".join(logs), period)


def _sumo(settings: DestinationSettings, route: Route, period: Period, span: Span) -> tuple[str, str]:
    """Sumo Logic's language; the time range is chosen beside the query."""
    named = {"_sourceCategory": "category", "_sourceName": "source_name", "_sourceHost": "source_host"}
    terms = [f"{tag}={querytext.sumo(str(route.options[name]))}" for tag, name in named.items() if route.options[name]]
    names = _OCSF if settings.format == "ocsf" else _NATIVE
    dated = [
        f"// Time range: {_plain(span.first)} to {_plain(span.last)} (UTC)",
        " ".join([*terms, '"integrity_hash"']),
        f"| json {', '.join(map(querytext.sumo, names))} as {', '.join(names.values())}",
        "| substring(recorded_at, 0, 10) as day",
        '| toLong(replace(day, "-", "")) as day_number',
        f"| where day_number >= {period.first:%Y%m%d} and day_number <= {period.last:%Y%m%d}",
        *([f"| where tenant_id = {querytext.sumo(period.tenant_id)}"] if period.tenant_id else []),
        "| toLong(seq) as seq",
    ]
    summary = [
        *dated,
        "| count as copies, min(seq) as low, max(seq) as high by tenant_id, day, event_id",
        "| sum(copies) as events, count as distinct_events, min(low) as min_seq, max(high) as max_seq",
        "    by tenant_id, day",
        "| sort by tenant_id asc, day asc",
        "| fields tenant_id, day, events, distinct_events, min_seq, max_seq",
    ]
    return "\n".join(summary), "\n".join([*dated, "| dedup by event_id"])


def _sentinel(_: DestinationSettings, route: Route, period: Period, span: Span) -> tuple[str, str]:
    """KQL. The stream's table is taken to be called as the stream is, which the data collection rule decides."""
    table = str(route.options["stream"]).partition("-")[2]
    after = period.last + timedelta(days=1) if period.last < date.max else period.last
    dated = [
        querytext.kql_name(table),
        f"| where TimeGenerated between (datetime({_iso(span.first)}) .. datetime({_iso(span.last)}))",
        f"| where RecordedTime >= datetime({period.first}) and RecordedTime < datetime({after})",
        *([f"| where TenantKey == {querytext.kql(period.tenant_id)}"] if period.tenant_id else []),
    ]
    summary = [
        *dated,
        "| summarize copies = count(), low = min(Seq), high = max(Seq)",
        "    by tenant_id = TenantKey, day = format_datetime(RecordedTime, 'yyyy-MM-dd'), event_id = EventId",
        "| summarize events = sum(copies), distinct_events = count(), min_seq = min(low), max_seq = max(high)",
        "    by tenant_id, day",
        "| order by tenant_id asc, day asc",
    ]
    return "\n".join(summary), "\n".join([*dated, "| summarize take_any(*) by EventId"])


def _files(settings: DestinationSettings, route: Route, period: Period, _: Span) -> tuple[str, str]:
    """SQL that DuckDB runs over the objects or files themselves; for S3 it needs a secret (CREATE SECRET)."""
    options = route.options
    if settings.kind == "s3":
        place = f"s3://{options['bucket']}/{querytext.glob(str(options['prefix'] or ''))}"
    else:
        place = f"{querytext.glob(str(options['path']).rstrip('/'))}/"
    names = _OCSF if settings.format == "ocsf" else _NATIVE
    if options.get("layout") == "security-lake":
        files = querytext.sql(f"{place}ext/{querytext.glob(str(options['source']))}-*/**/*.parquet")
        read, rest = f"read_parquet({files}, union_by_name = true)", "*"
        columns = [f"{path} AS {name}" for path, name in names.items()]
    else:
        files = querytext.sql(f"{place}**/*.ndjson.gz")
        read = f"read_json_objects({files}, {_NDJSON})"
        columns = [f"CAST(json->>'$.{path}' AS {_TYPES[name]}) AS {name}" for path, name in names.items()]
        rest = "json"
    inner = ["(", f"    SELECT {f',{chr(10)}      '.join([*columns, rest])}", f"    FROM {read}", "  ) AS records"]
    source = "\n".join(inner)
    return _sql_summary(f"\n  FROM {source}", period), _sql_dedup(source, period)


_NDJSON: Final = "format = 'newline_delimited', compression = 'gzip', maximum_object_size = 33554432"
_TYPES: Final = {"tenant_id": "VARCHAR", "event_id": "VARCHAR", "seq": "BIGINT", "recorded_at": "VARCHAR"}
_OCSF: Final = {
    "metadata.tenant_uid": "tenant_id",
    "metadata.uid": "event_id",
    "metadata.sequence": "seq",
    "unmapped.recorded_at": "recorded_at",
}
_NATIVE: Final = {name: name for name in _OCSF.values()}
"""Where the columns that a summary needs are in an event: path → name."""


def _sql_summary(source: str, period: Period) -> str:
    return "\n".join(
        [
            "SELECT tenant_id, day, SUM(copies) AS events, COUNT(*) AS distinct_events, MIN(low) AS min_seq,",
            "  MAX(high) AS max_seq",
            "FROM (",
            "  SELECT tenant_id, SUBSTRING(recorded_at, 1, 10) AS day, event_id, COUNT(*) AS copies, MIN(seq) AS low,",
            f"    MAX(seq) AS high{source}",
            f"  WHERE {_sql_period(period)}",
            "  GROUP BY tenant_id, SUBSTRING(recorded_at, 1, 10), event_id",
            ") AS by_event",
            "GROUP BY tenant_id, day",
            "ORDER BY tenant_id, day",
        ]
    )


def _sql_dedup(source: str, period: Period) -> str:
    return "\n".join(
        [
            "SELECT * FROM (",
            "  SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY seq) AS copy",
            f"  FROM {source}",
            f"  WHERE {_sql_period(period)}",
            ") AS copies WHERE copy = 1",
        ]
    )


def _sql_period(period: Period) -> str:
    days = f"SUBSTRING(recorded_at, 1, 10) BETWEEN '{period.first}' AND '{period.last}'"
    return f"{days} AND tenant_id = {querytext.sql(period.tenant_id)}" if period.tenant_id else days


_WRITERS: Final[Mapping[str, tuple[str, _Writer]]] = {
    "splunk": ("SPL", _splunk),
    "datadog": ("DDSQL", _datadog),
    "sumo": ("Sumo Logic", _sumo),
    "sentinel": ("KQL", _sentinel),
    "s3": ("SQL (DuckDB)", _files),
    "file": ("SQL (DuckDB)", _files),
}


def _epoch(moment: datetime) -> int:
    return int(moment.timestamp())


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
