"""The sections of a report that say how things stand: verdict, figures, findings, chains and seals, destinations."""

import shlex
from collections.abc import Sequence
from datetime import date
from typing import Final

from lumi_pipeline.analytics.report.charts import warning_sign
from lumi_pipeline.analytics.report.figures import Figures
from lumi_pipeline.analytics.report.leads import Lead, Row
from lumi_pipeline.analytics.report.markup import Child, Markup, foreign, joined, make
from lumi_pipeline.analytics.report.parts import command_line, facts, mark, nothing, paragraphs, section, table
from lumi_pipeline.analytics.report.scales import long_day
from lumi_pipeline.analytics.report.standing import Destination, Standing
from lumi_pipeline.siem.status import Health
from lumi_pipeline.wording import count, duration
from transparency.encoding import b64encode

_LISTED: Final = 10
_HEALTH: Final = {
    Health.OK: ("good", "all delivered"),
    Health.BEHIND: ("unknown", "behind"),
    Health.WAITING: ("unsure", "waiting, tries again by itself"),
    Health.ATTENTION: ("bad", "needs attention"),
    Health.BLOCKED: ("bad", "refuses to work"),
}


def verdict_section(standing: Standing, figures: Figures | None) -> Markup:
    """In one look: are all days sealed and published, and their chains whole? As the records say, unverified."""
    breaks = sum(day.breaks for day in figures.days) if figures else 0
    broken = [day.day for day in figures.days if day.breaks] if figures else []
    told: list[str] = []
    state, title = "good", "Everything due is sealed and published"
    if not standing.sealed and not standing.problems:
        state, title = "unknown", "Nothing is sealed yet"
    if standing.sealed:
        told.append(f"{count(standing.sealed, 'day')} sealed, {_span(standing.first, standing.last)}.")
    if breaks:
        state, title = "unsure", f"Sealed with {count(breaks, 'break')} in this period"
        told.append(f"Breaks in chains were accepted when these days were sealed: {_days(broken)}.")
    elif figures and any(day.sealed for day in figures.days):
        told.append("The sealed days of this period have no breaks in their chains.")
    if standing.overdue:
        state, title = "bad", f"{count(len(standing.overdue), 'day')} overdue"
        told.append(f"Records that should be public by now: {_days(standing.overdue)}.")
        if not standing.waiting:
            told.append("'lumi run' does what is due.")
    if standing.waiting:
        state, title = "bad", "A broken chain keeps a day from being sealed"
        told.append(f"{_days(standing.waiting)} waits for a decision, and later days with it; see 'lumi status'.")
    if standing.problems:
        state, title = "bad", "The lake’s records can’t be read"
        told += standing.problems
    return make(
        "section",
        mark(state),
        make("div", make("h2", title, id="verdict-title"), *(make("p", text) for text in told)),
        class_=f"verdict {state}",
        aria_labelledby="verdict-title",
    )


def numbers_section(figures: Figures, leads: Sequence[Lead], *, one_tenant: bool) -> Markup:
    """The few numbers to begin with."""
    shown: list[tuple[str, str, str]] = [
        (f"{figures.events:,}", "events", f"{figures.unsealed:,} not sealed yet" if figures.unsealed else ""),
        (f"{figures.actor_count:,}", "active accounts", "users and systems"),
        (f"{figures.failed:,}", "without success", "failed, refused"),
        (f"{figures.action_count:,}", "different actions", ""),
    ]
    if not one_tenant:
        shown.insert(1, (f"{figures.tenant_count:,}", "active tenants", ""))
    found = sum(lead.findings for lead in leads)
    shown.append((f"{found:,}", "findings", f"of {count(len(leads), 'investigation')}"))
    tiles = [
        make("div", make("dt", name), make("dd", number), make("dd", more, class_="under") if more else None)
        for number, name, more in shown
    ]
    return make("dl", *tiles, class_="tiles")


def findings_section(leads: Sequence[Lead]) -> Markup:
    """What the investigations found, one line each, with links to the first of it."""
    rows: list[Sequence[Child]] = [
        (
            make("a", lead.title, href=f"#lead-{lead.name}") if lead.rows or lead.problem else lead.title,
            f"{lead.findings:,}" if not lead.problem else "could not run",
            f"{lead.events:,}" if not lead.problem else "",
        )
        for lead in leads
    ]
    return section(
        "findings",
        "Findings",
        table(("Investigation", "Findings", "Rows"), rows, numbers=(1, 2), kind="wraps"),
        about="Questions that were asked of this period. A finding is a reason to look, not a verdict about anybody.",
    )


def lead_section(lead: Lead) -> Markup:
    """The first rows of one investigation, and how to go on."""
    told: list[Child] = [make("p", "All of it, with proofs: ", command_line(lead.command), class_="quiet")]
    if lead.problem:
        told.insert(0, nothing(lead.problem))
    else:
        rows = [_finding(lead.header, row) for row in lead.rows]
        more = "" if lead.findings == len(rows) else f", the first {len(rows)} of {lead.findings:,}"
        told.insert(0, joined(make("p", f"The first row of each finding{more}:"), make("ol", *rows, class_="rows")))
    return section(f"lead-{lead.name}", lead.title, *told, about=lead.description)


def _finding(header: Sequence[str], row: Row) -> Markup:
    """One row as names and values, which fits a telephone as well as paper; what is empty is left out."""
    cells = [(name, cell) for name, cell in zip(header, row.cells, strict=True) if cell]
    values = [make("div", make("dt", name), make("dd", foreign(cell))) for name, cell in cells]
    proofs = [command_line(f"lumi prove {shlex.quote(event_id)}") for event_id in row.event_ids]
    return make("li", make("dl", *values), paragraphs(proofs, "proof"))


def chain_section(standing: Standing) -> Markup:
    """Days and checkpoint."""
    rows: list[tuple[str, Child]] = [
        ("Log", make("span", standing.origin, class_="name")),
        ("Sealed", f"{count(standing.sealed, 'day')}{_span(standing.first, standing.last, ', ')}"),
        ("Not published", f"{count(len(standing.unpublished), 'sealed day')}{_listed(standing.unpublished)}"),
        ("Not sealed", f"{count(len(standing.missing), 'complete day')}{_listed(standing.missing)}"),
        ("Overdue", _overdue(standing)),
    ]
    signed = standing.checkpoint
    if signed is not None:
        head = signed.checkpoint
        names = list(dict.fromkeys(signature.name for signature in signed.note.signatures))
        through = f", through {long_day(standing.through)}" if standing.through else ""
        rows += [
            ("Checkpoint", f"{count(head.size, 'entry', 'entries')}{through}"),
            ("Root", make("span", b64encode(head.root), class_="name")),
            ("Signed by", joined(*(make("span", foreign(name), class_="line name") for name in names))),
        ]
    else:
        rows.append(("Checkpoint", "none yet"))
    return section(
        "chain",
        "Chains, seals and log",
        facts(rows),
        make("p", "As the records say. To check them all: ", command_line("lumi verify --all"), class_="quiet"),
        wide=False,
    )


def delivery_section(standing: Standing, *, one_tenant: bool) -> Markup:
    """How far behind each destination is."""
    title = "Delivery to SIEMs"
    if not standing.destinations:
        whose = "no destination gets this tenant's events" if one_tenant else "no destination is configured"
        return section("delivery", title, nothing(f"Nothing is delivered: {whose}."), wide=False)
    rows = [_destination(found, standing) for found in standing.destinations]
    header = ("Destination", "State", "Lag", "Waiting", "Aside")
    return section(
        "delivery",
        title,
        table(header, rows, numbers=(3, 4), kind="wraps"),
        make(
            "p",
            "Lag: how long the oldest batch that is not delivered has waited. Waiting: events still to be delivered, "
            "of all tenants that the destination gets. Aside: what somebody has to decide on. More: ",
            command_line("lumi siem status"),
            class_="quiet",
        ),
        wide=False,
    )


def _destination(found: Destination, standing: Standing) -> tuple[Child, ...]:
    status = found.status
    if status is None:
        unknown = joined(mark("bad"), " unknown", make("span", found.problem, class_="under"))
        return foreign(found.name), unknown, "?", "?", "?"
    sign, word = _HEALTH[status.health(standing.at)]
    reason = status.reason or status.blocked_reason
    last = status.last_receipt
    receipt = f"last receipt {duration(standing.at - last)} ago" if last else "no receipt yet"
    return (
        joined(foreign(found.name), make("span", status.kind, class_="under")),
        joined(mark(sign), f" {word}", make("span", foreign(reason) if reason else receipt, class_="under")),
        "none" if status.lag is None else duration(status.lag),
        f"{status.open_events + status.unplanned:,}",
        f"{status.quarantined + status.blocked:,}",
    )


def _overdue(standing: Standing) -> Child:
    if not standing.overdue:
        return "none"
    sign = make("svg", warning_sign("7"), width=14, height=14, class_="sample", aria_hidden="true")
    return joined(sign, f" {count(len(standing.overdue), 'day')}{_listed(standing.overdue)}")


def _span(first: date | None, last: date | None, lead: str = "") -> str:
    if first is None or last is None:
        return ""
    return f"{lead}{long_day(first)}" if first == last else f"{lead}{long_day(first)} to {long_day(last)}"


def _days(days: Sequence[date]) -> str:
    """Days in order, those that follow one another as a span."""
    spans: list[tuple[date, date]] = []
    for day in days:
        if spans and (day - spans[-1][1]).days == 1:
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    more = f" and {len(spans) - _LISTED:,} more" if len(spans) > _LISTED else ""
    return ", ".join(_span(*span) for span in spans[:_LISTED]) + more


def _listed(days: Sequence[date]) -> str:
    return f": {_days(days)}" if days else ""
