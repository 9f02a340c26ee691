"""What the saved investigations find in the period of a report, and how to go on from there."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import duckdb

from lumi_pipeline.analytics.asking import Answer
from lumi_pipeline.analytics.investigation import Investigation, load, names, names_events
from lumi_pipeline.analytics.report.figures import Period
from lumi_pipeline.errors import AnalystError

SHOWN: Final = 3
"""Findings of which a report shows the first row."""

_FINDING: Final = "finding"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an investigation: its cells as text, and the ids of its events."""

    cells: tuple[str, ...]
    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lead:
    """What one investigation found: so many findings in so many rows; ``rows`` are the first of the first findings.

    ``header`` names the cells of a row; ``command`` shows all that was found. ``problem`` says why it could not be run.
    """

    name: str
    title: str
    description: str
    command: str
    findings: int = 0
    events: int = 0
    header: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    problem: str = ""


def follow_leads(db: duckdb.DuckDBPyConnection, period: Period, tenant: str | None) -> tuple[Lead, ...]:
    """Run every investigation that needs no value but a period and perhaps a tenant, on that period."""
    found = [load(name) for name in names()]
    asked = [one for one in found if not any(parameter.required for parameter in one.parameters)]
    return tuple(_follow(db, investigation, period, tenant) for investigation in asked)


def _follow(db: duckdb.DuckDBPyConnection, investigation: Investigation, period: Period, tenant: str | None) -> Lead:
    known = {parameter.name for parameter in investigation.parameters}
    given = {"since": period.first.isoformat(), "until": period.last.isoformat()}
    if tenant is not None:
        given["tenant"] = tenant
    given = {name: text for name, text in given.items() if name in known}
    options = [f"--param {name}={shlex.quote(text)}" for name, text in given.items()]
    command = " ".join(["lumi investigate", investigation.name, *options, f"--evidence {investigation.name}"])
    about = (investigation.name, investigation.title, investigation.description, command)
    try:
        return _read(about, investigation.run(db, investigation.bind(given)))
    except AnalystError as error:
        return Lead(*about, problem=str(error))


def _read(about: tuple[str, str, str, str], answer: Answer) -> Lead:
    """Count findings and rows as they come, and keep the first row of the first few findings."""
    columns = answer.schema.names
    shown = [name for name in columns if name != _FINDING and not names_events(name)]
    events, seen, rows = 0, set[object](), list[Row]()
    for batch in answer.batches:
        numbers = batch.column(_FINDING).to_pylist()
        for index, number in enumerate(numbers):
            if number not in seen and len(rows) < SHOWN:
                [cells] = batch.slice(index, 1).to_pylist()
                rows.append(_row(cells, shown))
            seen.add(number)
        events += len(numbers)
    return Lead(*about, len(seen), events, tuple(name.replace("_", " ") for name in shown), tuple(rows))


def _row(cells: Mapping[str, object], shown: Sequence[str]) -> Row:
    event_ids = [str(value) for name, value in cells.items() if names_events(name) and value is not None]
    return Row(tuple(_text(cells[name]) for name in shown), tuple(dict.fromkeys(event_ids)))


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)
