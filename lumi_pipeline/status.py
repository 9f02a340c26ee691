"""Where everything stands: what is recorded, landed, sealed and published, and what is left to do."""

from dataclasses import dataclass, field
from datetime import date

import pyarrow.compute as pc

from lumi_pipeline.acknowledging import waiting_reports
from lumi_pipeline.errors import LumiError
from lumi_pipeline.landings import read_cursors
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.siem.exports import Exports
from transparency.encoding import Json, b64encode
from transparency.logview import LogView


@dataclass(slots=True)
class PipelineStatus:
    """A look at the whole pipeline. What could not be read is None, and ``problems`` says why.

    Counts of events: ``recorded`` in the outbox, ``landed`` in the lake, ``sealed`` in sealed days, each including the
    ones after it. ``missing`` are the complete days that aren't sealed, ``unpublished`` those sealed and not in the
    log; ``waiting`` maps days whose chains are broken to the SHA-256 of the report that waits for acknowledgement.
    ``destinations`` says in one word how each is (:class:`~lumi_pipeline.siem.status.Health`).
    """

    origin: str
    root: str
    outbox: str
    tenants: int | None = None
    recorded: int | None = None
    closed_before: str | None = None
    landed: int | None = None
    sealed: int | None = None
    sealed_days: list[date] = field(default_factory=list)
    missing: list[date] = field(default_factory=list)
    unpublished: list[date] = field(default_factory=list)
    size: int = 0
    log_root: bytes | None = None
    waiting: dict[date, str] = field(default_factory=dict)
    destinations: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Json]:
        """The status as JSON; event counts as text, like everything counted in int64."""
        days = self.sealed_days
        missing: list[Json] = [day.isoformat() for day in self.missing]
        unpublished: list[Json] = [day.isoformat() for day in self.unpublished]
        problems: list[Json] = list(self.problems)
        waiting: dict[str, Json] = {day.isoformat(): report for day, report in self.waiting.items()}
        destinations: dict[str, Json] = dict(self.destinations)
        return {
            "closed_before": self.closed_before,
            "destinations": destinations,
            "events": {"landed": _text(self.landed), "recorded": _text(self.recorded), "sealed": _text(self.sealed)},
            "log": {
                "origin": self.origin,
                "root": b64encode(self.log_root) if self.log_root else None,
                "size": self.size,
            },
            "missing": missing,
            "outbox": self.outbox,
            "problems": problems,
            "root": self.root,
            "sealed": {
                "days": len(days),
                "first": days[0].isoformat() if days else None,
                "last": days[-1].isoformat() if days else None,
            },
            "tenants": self.tenants,
            "unpublished": unpublished,
            "waiting": waiting,
        }


def survey(pipeline: Pipeline) -> PipelineStatus:
    """Look at everything and change nothing; what can't be read becomes a problem, not an error."""
    status = PipelineStatus(pipeline.config.origin, pipeline.config.root, pipeline.config.outbox.name)

    for look in (_look_at_outbox, _look_at_lake, _look_at_log, _look_at_destinations):
        try:
            look(pipeline, status)
        except LumiError as error:
            if str(error) not in status.problems:
                status.problems.append(str(error))
    return status


def _look_at_outbox(pipeline: Pipeline, status: PipelineStatus) -> None:
    status.closed_before = pipeline.outbox.closed_before().isoformat()
    with pipeline.outbox.snapshot() as snapshot:
        heads = snapshot.heads()
    status.tenants = len(heads)
    status.recorded = pc.sum(heads.column("next_seq")).as_py() or 0


def _look_at_lake(pipeline: Pipeline, status: PipelineStatus) -> None:
    days = pipeline.sealed_days()
    sealed = pipeline.last_sealed()
    last = sealed.tenants if sealed else None
    status.sealed = sum(tenant.record.next for tenant in last.tenants.values()) if last else 0
    status.landed = sum(cursor.next_seq for cursor in read_cursors(pipeline.lake, last).values())
    status.missing = pipeline.missing_days()
    status.sealed_days = days
    for day in status.missing[:1]:
        reports = waiting_reports(pipeline.lake, day)
        if reports:
            status.waiting[day] = reports[0].sha256


def _look_at_log(pipeline: Pipeline, status: PipelineStatus) -> None:
    published = LogView(pipeline.lake.store).published()
    if published is not None:
        status.size, status.log_root = published.checkpoint.size, published.checkpoint.root
    status.unpublished = pipeline.unpublished_days()


def _look_at_destinations(pipeline: Pipeline, status: PipelineStatus) -> None:
    exports = Exports(pipeline)
    for name in exports.names:
        try:
            status.destinations[name] = exports.status(name).health(exports.clock()).value
        except LumiError as error:
            status.destinations[name] = "unknown"
            status.problems.append(f"{name}: {error}")


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
