"""Break reports and their acknowledgement: how a day with a broken chain may be sealed after all, in the open.

A report is named by its SHA-256. An acknowledgement is an event of the operator's own chain first, and then a small
object beside the seal; it accepts exactly the report it names, so a break found later stops the seal again.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Final

from lumi_pipeline.chain import Break
from lumi_pipeline.errors import SealError
from lumi_pipeline.lake import Lake, seal_prefix
from lumi_pipeline.records import json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from transparency.encoding import Json, canonical_json, parse_canonical_json, parse_day
from transparency.errors import ObjectConflict, ObjectMissing

REPORT_FORMAT: Final = "lumi/breaks/v1"
ACKNOWLEDGEMENT_FORMAT: Final = "lumi/acknowledgement/v1"
_FIELDS: Final = frozenset({"event_id", "reason", "report"})
_MAX_REPORT: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class BreakReport:
    """Every break of a day, as bytes that can be pinned. ``sha256`` is lower-case hexadecimal."""

    day: date
    data: bytes

    @property
    def sha256(self) -> str:
        """What names the report."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def key(self) -> str:
        """Where the report is kept."""
        return f"{seal_prefix(self.day)}breaks-{self.sha256}.json"


def break_report(day: date, breaks: Sequence[Break]) -> BreakReport:
    """Write the report of a day's breaks: canonical JSON, sorted by tenant, seq and kind."""
    rows: list[Json] = [
        {"expected": b.expected, "found": b.found, "kind": b.kind.value, "seq": str(b.seq), "tenant": b.tenant_id}
        for b in breaks
    ]
    value: Json = {"breaks": rows, "day": day.isoformat(), "format": REPORT_FORMAT}
    return BreakReport(day, canonical_json(value).encode() + b"\n")


def keep_report(lake: Lake, report: BreakReport) -> None:
    """Keep a day's report. Earlier ones that nobody acknowledged are out of date and go: one is left to read."""
    try:
        lake.store.put_new(report.key, report.data)
    except ObjectConflict:  # altered since it was kept
        lake.discard(report.key)
        lake.store.put_new(report.key, report.data)
    for key in list(lake.store.list(f"{seal_prefix(report.day)}breaks-")):
        with suppress(ObjectMissing):  # another run removes the same
            other = BreakReport(report.day, lake.store.get(key))
            if key != report.key and not is_acknowledged(lake, other):
                lake.store.delete(key)


def waiting_reports(lake: Lake, day: date) -> list[BreakReport]:
    """The reports that stopped ``day`` and aren't acknowledged: none or one, or what a crash left of several."""
    prefix = f"{seal_prefix(day)}breaks-"
    reports = []
    for key in lake.store.list(prefix):
        report = BreakReport(day, lake.store.get(key))
        if report.key != key:
            raise SealError(f"{key} was altered: its SHA-256 is {report.sha256}; seal the day again for a fresh report")
        if not is_acknowledged(lake, report):
            reports.append(report)
    return reports


def open_report(lake: Lake, day: date) -> BreakReport:
    """The report that waits for acknowledgement; :class:`~lumi_pipeline.errors.SealError` if there is none."""
    reports = waiting_reports(lake, day)
    if len(reports) != 1:
        found = f"{len(reports)} reports" if reports else "no report"
        raise SealError(f"{day} has {found} of breaks to acknowledge; 'lumi seal --day {day}' finds out what is broken")
    return reports[0]


def acknowledge(lake: Lake, report: BreakReport, event_id: str, reason: str) -> None:
    """Keep the acknowledgement of a report; ``event_id`` is the operator's audit event that says the same."""
    lake.store.put_new(
        _acknowledgement_key(report),
        encode_sealed(ACKNOWLEDGEMENT_FORMAT, {"event_id": event_id, "reason": reason, "report": report.sha256}),
    )


def is_acknowledged(lake: Lake, report: BreakReport) -> bool:
    """Whether exactly this report was accepted."""
    key = _acknowledgement_key(report)
    try:
        data = lake.store.get(key)
    except ObjectMissing:
        return False
    return json_text(parse_sealed(ACKNOWLEDGEMENT_FORMAT, data, _FIELDS, key)["report"]) == report.sha256


def declared_breaks(lake: Lake) -> set[tuple[str, int, str]]:
    """Every break (tenant, seq, kind) of every report that was acknowledged."""
    declared = set()
    for key in lake.store.list("seals/day="):
        folder, _, name = key.rpartition("/")
        if not name.startswith("breaks-"):
            continue
        report = BreakReport(parse_day(folder.removeprefix("seals/day=")), lake.store.get(key))
        if not is_acknowledged(lake, report):
            continue
        match parse_canonical_json(report.data.removesuffix(b"\n"), _MAX_REPORT):
            case {"breaks": list(rows)}:
                for row in rows:
                    match row:
                        case {"kind": str(kind), "seq": str(seq), "tenant": str(tenant_id)}:
                            declared.add((tenant_id, int(seq), kind))
    return declared


def check_acknowledgements(lake: Lake, day: date, breaks: Sequence[Break]) -> set[str]:
    """Check every report and acknowledgement of a day that was sealed with these breaks; return their keys."""
    prefix = seal_prefix(day)
    reports = {key: BreakReport(day, lake.store.get(key)) for key in lake.store.list(f"{prefix}breaks-")}
    for key, report in reports.items():
        if report.key != key:
            raise SealError(f"{key} was altered: its SHA-256 is {report.sha256}")
    acknowledgements = set(lake.store.list(f"{prefix}acknowledged-"))
    for key in acknowledgements - {_acknowledgement_key(r) for r in reports.values() if is_acknowledged(lake, r)}:
        raise SealError(f"{key} acknowledges a report that is not there")
    if breaks and not is_acknowledged(lake, break_report(day, breaks)):
        key = _acknowledgement_key(break_report(day, breaks))
        raise SealError(f"{key} is missing, although the day is sealed with these breaks; restore it from a backup")
    return acknowledgements | set(reports)


def _acknowledgement_key(report: BreakReport) -> str:
    return f"{seal_prefix(report.day)}acknowledged-{report.sha256}.json"
