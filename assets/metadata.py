"""What people see of a run in Dagster: numbers, roots, small tables, and a chart of the day by hour.

Tenant names and what was found in broken rows come from the outbox, which is to say from anybody: they are escaped
before they get into Markdown.
"""

import html
from base64 import b64encode as base64_bytes
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

import dagster as dg

from lumi_pipeline.analytics import BuildReport
from lumi_pipeline.chain import Break
from lumi_pipeline.cli.output import safe
from lumi_pipeline.evidence.monthly import MonthReport
from lumi_pipeline.evidence.superseding import PREFIX
from lumi_pipeline.lake import Lake, events_prefix, seal_prefix
from lumi_pipeline.landing import LandingReport
from lumi_pipeline.profile import DayProfile
from lumi_pipeline.publishing import PublishReport
from lumi_pipeline.sealing import SealReport
from lumi_pipeline.siem.rounds import Round
from lumi_pipeline.verdict import Status, Verdict
from lumi_pipeline.witnessing import Cosigning
from transparency.encoding import b64encode
from transparency.entries import DayRecord

Metadata = Mapping[str, dg.MetadataValue]

SHOWN_ROWS: Final = 50
"""How many rows a table in Dagster shows before it only counts the rest."""

_MARKDOWN: Final = str.maketrans({char: f"\\{char}" for char in "\\`*_[]|!"} | {"\n": " ", "\t": " "})
_CHART_WIDTH: Final = 480
_CHART_HEIGHT: Final = 120
_BAR: Final = _CHART_WIDTH // 24


def landing_metadata(report: LandingReport) -> Metadata:
    """What a landing brought in, by day, and the breaks in it."""
    days = [(day.isoformat(), rows) for day, rows in sorted(report.days.items())]
    return {
        "dagster/row_count": dg.MetadataValue.int(report.rows),
        "landing": dg.MetadataValue.text("nothing new" if report.number is None else str(report.number)),
        "tenants": dg.MetadataValue.int(report.tenants),
        "bytes": dg.MetadataValue.int(report.size),
        **_speed(report.rows, report.seconds),
        "by_day": dg.MetadataValue.md(table(("day", "events"), days)),
        "breaks": dg.MetadataValue.md(breaks_table(report.breaks)),
    }


def seal_metadata(lake: Lake, report: SealReport, profile: DayProfile) -> Metadata:
    """What a sealed day consists of, what commits to it, and how its events spread."""
    tenants = sorted(profile.by_tenant.items(), key=lambda item: (-item[1], item[0]))
    return {
        "dagster/row_count": dg.MetadataValue.int(report.rows),
        "tenants": dg.MetadataValue.int(report.tenants),
        "bytes": dg.MetadataValue.int(report.size),
        "files": dg.MetadataValue.int(report.files),
        **_speed(report.rows, report.seconds),
        "index": dg.MetadataValue.int(report.index),
        "map_root": dg.MetadataValue.text(b64encode(report.map_root)),
        "manifest_sha256": dg.MetadataValue.text(report.manifest_sha256),
        "what_was_done": dg.MetadataValue.text("sealed" if report.fresh else "verified again; it was sealed before"),
        "by_hour": dg.MetadataValue.md(hours_chart(profile)),
        "by_tenant": dg.MetadataValue.md(table(("tenant", "events"), tenants)),
        "breaks": dg.MetadataValue.md(breaks_table(report.breaks)),
        "partition": dg.MetadataValue.path(lake.locate(events_prefix(report.day).rstrip("/"))),
        "seal": dg.MetadataValue.path(lake.locate(seal_prefix(report.day).rstrip("/"))),
    }


def publish_metadata(lake: Lake, report: PublishReport, record: DayRecord) -> Metadata:
    """Where in the log a day is, and the log that it was published with."""
    return {
        "index": dg.MetadataValue.int(record.index),
        "log_size": dg.MetadataValue.int(report.size),
        "root": dg.MetadataValue.text(b64encode(report.root)),
        "appended_now": dg.MetadataValue.bool(record.day in report.days),
        "seconds": dg.MetadataValue.float(report.seconds),
        "checkpoint": dg.MetadataValue.md(f"```\n{report.checkpoint}```"),
        "checkpoint_file": dg.MetadataValue.path(lake.locate("log/checkpoint")),
        "verifier_key_file": dg.MetadataValue.path(lake.locate("log/log.vkey")),
        **(cosigning_metadata(report.cosigning) if report.cosigning else {}),
    }


def cosigning_metadata(cosigning: Cosigning) -> Metadata:
    """What each witness said to a checkpoint, and whether that makes a quorum."""
    rows = [(reply.witness, "cosigned" if reply.problem is None else reply.problem) for reply in cosigning.replies]
    return {
        "witnesses": dg.MetadataValue.md(table(("witness", "reply"), rows)),
        "witness_quorum": dg.MetadataValue.bool(cosigning.quorum_met),
    }


def evidence_metadata(lake: Lake, report: MonthReport) -> Metadata:
    """The bundles of a month: events, bytes, verdict and place of each."""
    rows = [
        (b.tenant_id, b.rows, b.size, b.verdict.reason, "made" if b.fresh else "verified", lake.locate(b.key))
        for b in report.bundles
    ]
    return {
        "dagster/row_count": dg.MetadataValue.int(sum(bundle.rows for bundle in report.bundles)),
        "bundles": dg.MetadataValue.int(len(report.bundles)),
        "bytes": dg.MetadataValue.int(sum(bundle.size for bundle in report.bundles)),
        "by_tenant": dg.MetadataValue.md(
            table(("tenant", "events", "bytes", "verdict", "what was done", "path"), rows)
        ),
        "folder": dg.MetadataValue.path(lake.locate(PREFIX.rstrip("/"))),
    }


def plan_metadata(rounds: Sequence[Round], day: date) -> Metadata:
    """How many events of a day were put into batches by this run, by destination."""
    rows = [(done.name, done.planned[day], done.plans, done.refused) for done in rounds]
    return {
        "dagster/row_count": dg.MetadataValue.int(sum(planned for _, planned, _, _ in rows)),
        "by_destination": dg.MetadataValue.md(table(("destination", "events", "plans", "too large"), rows)),
    }


def delivery_metadata(rounds: Sequence[Round], day: date) -> Metadata:
    """How many events of a day this run delivered, by destination, and what keeps the rest."""
    rows = [(done.name, done.delivered[day], *_left(done)) for done in rounds]
    header = ("destination", "delivered", "left (all days)", "put aside", "why")
    return {
        "dagster/row_count": dg.MetadataValue.int(sum(done.delivered[day] for done in rounds)),
        "by_destination": dg.MetadataValue.md(table(header, rows)),
    }


def _left(done: Round) -> tuple[int, int, str]:
    report = done.delivery
    if report is None:
        return 0, 0, done.error or done.held or ""
    return report.open_events, report.quarantined, report.hold.detail if report.hold else ""


def analyst_metadata(report: BuildReport, day: date) -> Metadata:
    """How many events of a day the analyst database has, and what the build that saw to it did."""
    return {
        "dagster/row_count": dg.MetadataValue.int(report.days.get(day, 0)),
        "events_in_all": dg.MetadataValue.int(report.events),
        "not_sealed_yet": dg.MetadataValue.int(report.landed),
        "days_in_all": dg.MetadataValue.int(len(report.days)),
        "days_read_now": dg.MetadataValue.int(len(report.rebuilt)),
        "events_read_now": dg.MetadataValue.int(report.rows),
        **_speed(report.rows, report.seconds),
        "bytes": dg.MetadataValue.int(report.size),
        "file": dg.MetadataValue.path(str(report.path)),
    }


def verdict_metadata(verdicts: Sequence[Verdict]) -> Metadata:
    """Several verdicts as counts and a table, what failed first."""
    rows = [
        (verdict.subject, verdict.status.name.lower(), verdict.reason, " ".join(verdict.lines))
        for verdict in sorted(verdicts, key=lambda verdict: verdict.status is Status.VERIFIED)
    ]
    verified = sum(verdict.status is Status.VERIFIED for verdict in verdicts)
    return {
        "checked": dg.MetadataValue.int(len(verdicts)),
        "verified": dg.MetadataValue.int(verified),
        "verdicts": dg.MetadataValue.md(table(("what", "status", "reason", "found"), rows)),
    }


def breaks_table(breaks: Sequence[Break]) -> str:
    """Breaks as a Markdown table: tenant, seq, kind, what the chain called for, and what was there."""
    if not breaks:
        return "none"
    rows = [(b.tenant_id, b.seq, b.kind.value, b.expected, b.found) for b in breaks]
    return table(("tenant", "seq", "kind", "expected", "found"), rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """A Markdown table of at most :data:`SHOWN_ROWS` rows; it says how many more there are."""
    if not rows:
        return "none"
    numeric = [all(isinstance(row[column], int) for row in rows) for column in range(len(header))]
    lines = [_row(header), _row(["--:" if right else ":--" for right in numeric])]
    lines += [_row(_cell(value) for value in row) for row in rows[:SHOWN_ROWS]]
    if len(rows) > SHOWN_ROWS:
        lines.append(f"\n… and {len(rows) - SHOWN_ROWS:,} more")
    return "\n".join(lines)


def hours_chart(profile: DayProfile) -> str:
    """The day's events by UTC hour as a bar chart: Markdown with an inline SVG."""
    top = max(*profile.by_hour, 1)
    bars = []
    for hour, count in enumerate(profile.by_hour):
        height = round(count / top * _CHART_HEIGHT)
        bars.append(
            f'<rect x="{hour * _BAR + 2}" y="{20 + _CHART_HEIGHT - height}" width="{_BAR - 4}" height="{height}">'
            f"<title>{hour:02d}:00 {count:,}</title></rect>"
        )
        if hour % 3 == 0:
            bars.append(f'<text x="{hour * _BAR + 2}" y="{36 + _CHART_HEIGHT}">{hour:02d}</text>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_CHART_WIDTH}" height="{_CHART_HEIGHT + 42}" fill="#4f7fbf" '
        f'font-family="sans-serif" font-size="11"><text x="2" y="12">{profile.events:,} events on {profile.day}, '
        f"by hour (UTC); highest bar {top:,}</text>{''.join(bars)}</svg>"
    )
    return f"![events by hour](data:image/svg+xml;base64,{base64_bytes(svg.encode()).decode()})"


def _speed(rows: int, seconds: float) -> Metadata:
    return {
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "events_per_second": dg.MetadataValue.int(round(rows / seconds) if seconds > 0 else 0),
    }


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else html.escape(safe(value)).translate(_MARKDOWN)
