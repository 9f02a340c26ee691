"""How chains, seals, log and destinations stand, as the records of the lake say; nothing is verified for it."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from lumi_pipeline.acknowledging import waiting_reports
from lumi_pipeline.errors import LumiError
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.status import DestinationStatus
from transparency.checkpoint import SignedCheckpoint, parse_signed_checkpoint
from transparency.entries import day_at
from transparency.logview import LogView


@dataclass(frozen=True, slots=True)
class Destination:
    """A destination of events: how it stands, or why that can't be told."""

    name: str
    status: DestinationStatus | None = None
    problem: str = ""


@dataclass(slots=True)
class Standing:
    """A look at the lake at the time ``at``. What could not be read is left empty, and ``problems`` says why.

    ``overdue`` are days whose record should be public by now and is not; ``unpublished`` are sealed and not in the
    log, ``missing`` complete and not sealed. ``waiting`` are those of ``missing`` that were stopped by broken chains.
    ``through`` is the last day that the checkpoint holds; that is as it lies there, and its signatures not verified.
    """

    at: datetime
    origin: str
    first: date | None = None
    sealed: int = 0
    last: date | None = None
    missing: list[date] = field(default_factory=list)
    unpublished: list[date] = field(default_factory=list)
    overdue: list[date] = field(default_factory=list)
    waiting: list[date] = field(default_factory=list)
    checkpoint: SignedCheckpoint | None = None
    through: date | None = None
    destinations: list[Destination] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def look_around(pipeline: Pipeline, tenant: str | None) -> Standing:
    """Look at everything and change nothing. With a tenant only those destinations count that get its events."""
    standing = Standing(pipeline.clock(), pipeline.config.origin)
    try:
        _look_at_days(pipeline, standing)
    except LumiError as error:
        standing.problems.append(str(error))
    exports = Exports(pipeline)
    for name in exports.names:
        try:
            if tenant is None or exports.wants(name, tenant):
                standing.destinations.append(Destination(name, exports.status(name)))
        except LumiError as error:
            standing.destinations.append(Destination(name, problem=str(error)))
    return standing


def _look_at_days(pipeline: Pipeline, standing: Standing) -> None:
    days = pipeline.sealed_days()
    if days:
        standing.first, standing.last, standing.sealed = days[0], days[-1], len(days)
    standing.missing = pipeline.missing_days()
    standing.unpublished = pipeline.unpublished_days()
    due = (standing.at - pipeline.config.record_due).date() - timedelta(days=1)
    standing.overdue = [day for day in [*standing.unpublished, *standing.missing] if day <= due]
    # Days are sealed in order, so that only the first can have been stopped.
    standing.waiting = [day for day in standing.missing[:1] if waiting_reports(pipeline.lake, day)]
    published = LogView(pipeline.lake.store).checkpoint()
    genesis = pipeline.genesis()
    if published is not None:
        standing.checkpoint = parse_signed_checkpoint(published)
        size = standing.checkpoint.checkpoint.size
        if genesis is not None and size > 1:
            standing.through = day_at(genesis.first_day, size - 1)
