"""``lumi siem reconcile --queries`` and ``--from-csv``: ask a SIEM what it holds, and hold that against the lake."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lumi_pipeline.cli.command import ExitCode
from lumi_pipeline.cli.output import count, say, say_json, say_pairs, say_table
from lumi_pipeline.errors import SiemError

if TYPE_CHECKING:
    from lumi_pipeline.siem.account import Period
    from lumi_pipeline.siem.exports import Exports
    from lumi_pipeline.siem.siemside import Comparison, Found
    from lumi_pipeline.siem.summary import SummaryComparison

_SHOWN = 20
"""Findings of a kind that are shown; ``--json`` lists up to a thousand."""


def show_queries(exports: "Exports", name: str, period: "Period", *, as_json: bool) -> ExitCode:
    """Print the queries that return what ``--from-csv`` takes."""
    from lumi_pipeline.siem.expected import Expected
    from lumi_pipeline.siem.queries import Span, queries

    expected = Expected(exports, name, period)
    found = queries(expected.settings, period, Span.of(period, expected.occurred(), exports.clock()))
    if as_json:
        rows = [
            {"dedup": q.dedup, "language": q.language, "routes": list(q.routes), "summary": q.summary} for q in found
        ]
        say_json({"destination": name, "queries": rows})
    elif not found:
        kind = expected.settings.kind
        say(f"A destination of the kind {kind} has no query language; export its events and give them to --from-csv.")
    else:
        for query in found:
            say(f"{name}, {count(len(query.routes), 'route')} ({', '.join(query.routes)}), {query.language}:")
            say(f"\n{query.summary}\n")
            say("Each event once, however often it is there:")
            say(f"\n{query.dedup}\n")
        say(f"Save the first one's result as CSV, then: lumi siem reconcile {name} --from-csv FILE, for the same days.")
    return ExitCode.SUCCESS


def reconcile_files(
    exports: "Exports", name: str, period: "Period", files: Sequence[Path], *, as_json: bool
) -> ExitCode:
    """Compare what came out of a SIEM with the lake: results of the queries, or exports of events.

    Returns FAILURE when events are missing, altered or unknown. Files that can't be read are a
    :class:`~lumi_pipeline.errors.SiemError`.
    """
    from lumi_pipeline.siem.expected import Expected
    from lumi_pipeline.siem.exportfile import look_at
    from lumi_pipeline.siem.siemside import compare_export
    from lumi_pipeline.siem.summary import compare_summary

    found = [look_at(path) for path in files]
    expected = Expected(exports, name, period)
    if any(export.is_summary for export in found):
        if not all(export.is_summary for export in found):
            raise SiemError("results of queries and exports of events can't be compared together; give one kind")
        summary = compare_summary(expected, found)
        if as_json:
            say_json(_summary_json(summary))
        else:
            _show_summary(summary)
        return ExitCode.SUCCESS if summary.agrees else ExitCode.FAILURE
    comparison = compare_export(expected, found)
    if as_json:
        say_json(_export_json(comparison))
    else:
        _show_export(comparison)
    return ExitCode.SUCCESS if comparison.agrees else ExitCode.FAILURE


def _show_summary(found: "SummaryComparison") -> None:
    say_pairs(
        [
            ("expected", count(found.expected, "event")),
            ("found", count(found.found, "event")),
            ("known not to be there", f"{found.absent:,}" if found.absent else None),
            ("rows of other days", f"{found.outside:,}" if found.outside else None),
        ]
    )
    if found.findings:
        say()
        rows = [(f.tenant_id, f.day.isoformat(), f.kind, f.count) for f in found.findings[:_SHOWN]]
        say_table(("tenant", "day", "finding", "events"), rows)
        _say_more(len(found.findings))
    say()
    if found.agrees:
        say("By numbers it agrees with the lake. Whether events were altered only an export of them can tell.")
    else:
        say("It does not agree with the lake. An export of the events of these days tells which they are.")


def _show_export(found: "Comparison") -> None:
    say_pairs(
        [
            ("records", f"{found.records:,}"),
            ("expected", count(found.expected, "event")),
            ("present", count(found.present, "event")),
            ("lost", f"{found.lost:,}"),
            *((state, f"{number:,}") for state, number in found.absent.items()),
            ("altered", f"{found.altered.count:,}"),
            ("unknown", f"{found.unknown.count:,}"),
            ("of other tenants", f"{found.foreign.count:,}"),
            ("more than once", f"{found.duplicated.count:,}"),
            ("not selected", f"{found.unselected:,}" if found.unselected else None),
            ("of other days", f"{found.outside:,}" if found.outside else None),
            ("compared", ", ".join(found.compared)),
            ("hashes", "recomputed" if found.recomputed else "compared only; not all is there that they are made of"),
        ]
    )
    if found.missing:
        say()
        ranges = [(m.tenant_id, m.first, m.last, m.count, m.state or "lost") for m in found.missing[:_SHOWN]]
        say_table(("tenant", "first seq", "last seq", "events", "missing"), ranges)
        _say_more(len(found.missing))
    _say_found("altered", found.altered)
    _say_found("unknown", found.unknown)
    _say_found("of another tenant", found.foreign)
    _say_found("more than once", found.duplicated)
    say()
    say("It agrees with the lake." if found.agrees else "It does not agree with the lake.")


def _say_found(what: str, found: "Found") -> None:
    if not found.count:
        return
    say()
    rows = [
        (
            e.tenant_id or "-",
            "-" if e.seq is None else str(e.seq),
            e.event_id or "-",
            ", ".join(e.differs) or (f"{e.copies} copies" if e.copies > 1 else what),
        )
        for e in found.shown[:_SHOWN]
    ]
    say_table(("tenant", "seq", "event id", what), rows)
    _say_more(found.count)


def _say_more(number: int) -> None:
    if number > _SHOWN:
        say(f"  … and {number - _SHOWN:,} more; --json lists up to a thousand")


def _summary_json(found: "SummaryComparison") -> dict[str, object]:
    return {
        "absent": found.absent,
        "agrees": found.agrees,
        "days": found.days,
        "expected": found.expected,
        "findings": [[f.tenant_id, f.day.isoformat(), f.kind, f.count] for f in found.findings],
        "found": found.found,
        "outside": found.outside,
    }


def _export_json(found: "Comparison") -> dict[str, object]:
    return {
        "absent": dict(found.absent),
        "agrees": found.agrees,
        "altered": _found_json(found.altered),
        "compared": list(found.compared),
        "duplicated": _found_json(found.duplicated),
        "expected": found.expected,
        "foreign": _found_json(found.foreign),
        "lost": found.lost,
        "missing": [
            {"count": m.count, "first": m.first, "last": m.last, "state": m.state or "lost", "tenant": m.tenant_id}
            for m in found.missing
        ],
        "outside": found.outside,
        "present": found.present,
        "recomputed": found.recomputed,
        "records": found.records,
        "unknown": _found_json(found.unknown),
        "unselected": found.unselected,
    }


def _found_json(found: "Found") -> dict[str, object]:
    events = [
        {"copies": e.copies, "differs": list(e.differs), "event_id": e.event_id, "seq": e.seq, "tenant": e.tenant_id}
        for e in found.shown
    ]
    return {"count": found.count, "events": events}
