"""The report as one HTML file, which needs no script, fetches nothing and can fetch nothing."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lumi_pipeline.analytics.report.figures import Figures, Period
from lumi_pipeline.analytics.report.leads import Lead
from lumi_pipeline.analytics.report.markup import Child, Markup, joined, make
from lumi_pipeline.analytics.report.parts import nothing
from lumi_pipeline.analytics.report.scales import long_day
from lumi_pipeline.analytics.report.sections import (
    chain_section,
    delivery_section,
    findings_section,
    lead_section,
    numbers_section,
    verdict_section,
)
from lumi_pipeline.analytics.report.standing import Standing
from lumi_pipeline.analytics.report.volume import actors_section, ranking_section, volume_section, week_section
from lumi_pipeline.pages import inline
from lumi_pipeline.wording import count

_PLACE: Final = re.compile(r"\{(title|content)\}")


@dataclass(frozen=True, slots=True)
class Report:
    """What a page shows: of all tenants, or of one. ``figures`` is None where the database has no day at all.

    ``built_at`` is when the analyst database was brought up to date (UTC); ``leads`` are what investigations found.
    """

    tenant: str | None
    built_at: datetime
    standing: Standing
    figures: Figures | None
    leads: tuple[Lead, ...]


def report_page(report: Report) -> bytes:
    """Return the page. Whatever came from events, files or keys is in it as text, never as markup."""
    title = f"Audit report: {report.tenant or 'all tenants'}"
    parts = {"title": joined(title).text, "content": _content(report).text}
    # In one pass: a name may well be "{content}".
    return _PLACE.sub(lambda match: parts[match[1]], inline("report.html").decode()).encode()


def _content(report: Report) -> Markup:
    figures, standing, one_tenant = report.figures, report.standing, report.tenant is not None
    main: list[Child] = [verdict_section(standing, figures)]
    if figures is None:
        main.append(make("div", nothing("There is no event yet, and no day."), class_="card wide"))
    else:
        main += [
            numbers_section(figures, report.leads, one_tenant=one_tenant),
            findings_section(report.leads),
            volume_section(figures),
            week_section(figures),
            None
            if one_tenant
            else ranking_section("tenants", "Events by tenant", "tenant", figures.tenants, figures.events),
            ranking_section("actions", "Events by action", "action", figures.actions, figures.events),
            actors_section(figures),
        ]
    main += [chain_section(standing), delivery_section(standing, one_tenant=one_tenant)]
    main += [lead_section(lead) for lead in report.leads if lead.rows or lead.problem]
    return joined(_header(report), make("main", *main), _footer())


def _header(report: Report) -> Markup:
    period = "no days yet" if report.figures is None else _words(report.figures.period)
    lead = (
        f"{period}. Made {report.standing.at:%Y-%m-%d %H:%M} UTC from the analyst database as of "
        f"{report.built_at:%Y-%m-%d %H:%M} UTC."
    )
    return make(
        "header",
        make("p", "Audit report", class_="eyebrow"),
        make("h1", report.tenant or "All tenants"),
        make("p", lead, class_="lead"),
    )


def _words(period: Period) -> str:
    if period.length == 1:
        return f"{long_day(period.first)}, one day"
    return f"{long_day(period.first)} to {long_day(period.last)}, {count(period.length, 'day')}"


def _footer() -> Markup:
    return make(
        "footer",
        make("h2", "What this report is, and what it isn’t"),
        make(
            "p",
            "Days and hours are those of recording, in UTC. Events that are not sealed yet are counted too. "
            "The numbers come from the analyst database, which is made from the lake. Nothing was verified for this "
            "page, and it is no evidence. ",
            make("code", "lumi evidence"),
            " makes evidence that an auditor checks alone, ",
            make("code", "lumi prove"),
            " the proof of one event.",
        ),
        make("p", "It names people and what they did: keep it like the events themselves."),
    )
