"""Accept a restored database: make it agree with what was landed, and let landing go on from it.

The order is the safety. First everything is compared and everything looked at that could be in the way, rights and the
lake's files included; only then anything is changed. The decision is kept, sealed days are closed again, chains are
mended one by one, the operator's audit event is recorded, and last a landing without events names the database: no
landing reads it before. Each step can be repeated, so an interrupted rebase is completed by the next.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.catalogue import LANDING_REBASED, find_action
from lumi_pipeline.chain import Gap
from lumi_pipeline.comparing import Progress, compare, known_cursors, tenants_with_breaks
from lumi_pipeline.errors import DuplicateEvent, ForkedOutbox
from lumi_pipeline.events import uuid7
from lumi_pipeline.lake import Lake
from lumi_pipeline.landedrows import LandedRows
from lumi_pipeline.landing import land_system
from lumi_pipeline.landings import Cursor, LastLanding, last_landing, read_cursors
from lumi_pipeline.mending import ForkMet, Mended, mend
from lumi_pipeline.outbox import Connection, Outbox
from lumi_pipeline.outbox.repair import REPAIR_PATIENCE, Repairs
from lumi_pipeline.outbox.repairs import repairs_on
from lumi_pipeline.prunedgaps import read_gaps
from lumi_pipeline.rebaserecords import Rebase, begin_rebase, evidence_prefix, finish_rebase, interrupted
from lumi_pipeline.rebasing import Finding, Findings
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.tenantdays import DayTenants
from transparency.encoding import format_timestamp

_NAMED = 3
"""Tenants that a message names."""


@dataclass(frozen=True, slots=True)
class RebaseReport:
    """What a rebase found and did. ``number`` is None when there was nothing to do.

    ``resumed`` says that it completed one that was interrupted; ``mended`` is what this run did then.
    """

    findings: Findings
    number: int | None
    resumed: bool
    mended: tuple[Mended, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    """What one snapshot showed, and the state of the lake that it was compared with."""

    findings: Findings
    cursors: Mapping[str, Cursor]
    last: LastLanding | None
    gaps: Mapping[str, Sequence[Gap]]


@dataclass(frozen=True, slots=True)
class Rebaser:
    """Compares an outbox with a lake and mends it. ``days`` are all sealed days, ``sealed`` what the last one holds."""

    outbox: Outbox
    lake: Lake
    days: Sequence[date]
    sealed: DayTenants | None
    operator_tenant: str
    clock: Callable[[], datetime]

    def check(self, progress: Progress | None = None) -> Findings:
        """Say how the database stands to what was landed; nothing is changed."""
        return self._look(progress).findings

    def is_interrupted(self, findings: Findings) -> bool:
        """Whether a rebase with this database was begun and not finished."""
        return interrupted(self.lake, findings.system_id) is not None

    def accept(self, reason: str, *, rerecord: bool, progress: Progress | None = None) -> RebaseReport:
        """Make the database agree with the lake, and landing go on from it.

        ``rerecord`` allows rows to be taken out and recorded again; where that is needed without it,
        :class:`~lumi_pipeline.errors.ForkedOutbox` is raised. Raises :class:`~lumi_pipeline.errors.OutboxError` when
        this role may not repair, and :class:`~lumi_pipeline.errors.LakeError` when the lake is damaged; then nothing
        was changed.
        """
        look = self._look(progress)
        findings = look.findings
        resumed = self.is_interrupted(findings)
        if findings.is_accepted and not resumed:
            return RebaseReport(findings, None, False, ())
        if findings.forks and not rerecord:
            raise ForkedOutbox(_forks(findings.forks))
        with closing(self.outbox.connect()) as connection, self.outbox.explained():
            repairs = repairs_on(connection)
            if findings.repairs:
                repairs.check()
            with self._landed(look.cursors, findings.repairs) as landed:
                rebase = begin_rebase(self.lake, findings, reason, uuid7(), format_timestamp(self.clock()))
                if findings.days_open and self.sealed is not None:
                    self.outbox.close_day(self.sealed.day, REPAIR_PATIENCE)
                mended = tuple(self._mend(repairs, rebase, look, landed, rerecord=rerecord))
            self._record(connection, rebase)
        if findings.other_system and look.last is not None:
            land_system(self.lake, look.last, findings.system_id)
        finish_rebase(self.lake, rebase)
        return RebaseReport(findings, rebase.number, resumed, mended)

    def _look(self, progress: Progress | None) -> _Look:
        # In the order of a landing: the number first, so that whoever lands meanwhile is noticed at the commit.
        floor = self.sealed.landing_floor if self.sealed else 0
        last = last_landing(self.lake, floor)
        cursors = read_cursors(self.lake, self.sealed)
        broken = tenants_with_breaks(self.lake, self.days, floor)
        with self.outbox.snapshot() as snapshot:
            known = known_cursors(snapshot, cursors)
            findings = Findings(
                snapshot.system_id,
                last.landing.system_id if last else None,
                snapshot.closed_before,
                self.sealed.day if self.sealed else None,
                compare(snapshot, self.lake, self.days, known, broken=broken, progress=progress),
            )
        return _Look(findings, known, last, read_gaps(self.lake, self.days))

    def _landed(self, cursors: Mapping[str, Cursor], repairs: Sequence[Finding]) -> LandedRows:
        return LandedRows(self.lake, self.days, cursors, {found.tenant_id: found.first for found in repairs})

    def _mend(
        self, repairs: Repairs, rebase: Rebase, look: _Look, landed: LandedRows, *, rerecord: bool
    ) -> Iterator[Mended]:
        """Mend the chains in order; the landed rows come in one stream, sorted by tenant."""
        stream = groupby(_by_tenant(landed.tables()), itemgetter(0))
        waiting = next(stream, None)
        for found in look.findings.repairs:
            rows: Iterator[pa.Table] = iter(())
            if waiting is not None and waiting[0] == found.tenant_id:
                rows = (table for _, table in waiting[1])
            try:
                yield self._mend_one(repairs, rebase, look, found, rows, removing=found.forked > 0)
            except ForkMet:
                if not rerecord:
                    raise
                # Recorded since the snapshot. The rows were used up, so they are looked for once more.
                with self._landed(look.cursors, [found]) as again:
                    yield self._mend_one(repairs, rebase, look, found, again.tables(), removing=True)
            if waiting is not None and waiting[0] == found.tenant_id:
                waiting = next(stream, None)

    def _mend_one(
        self, repairs: Repairs, rebase: Rebase, look: _Look, found: Finding, rows: Iterator[pa.Table], *, removing: bool
    ) -> Mended:
        cursor = look.cursors[found.tenant_id]
        evidence = evidence_prefix(rebase.number, found.tenant_id)
        gaps = look.gaps.get(found.tenant_id, ())
        return mend(self.lake, repairs, cursor, found, rows, gaps=gaps, evidence=evidence, removing=removing)

    def _record(self, connection: Connection, rebase: Rebase) -> None:
        """Record the operator's audit event, once: its id was fixed with the decision."""
        try:
            AuditRecorder(connection, clock=self.clock).record(
                tenant_id=self.operator_tenant,
                action=LANDING_REBASED,
                entity_type=find_action(LANDING_REBASED).entity_type,
                entity_id=rebase.system_id,
                actor_type="system",
                actor_id="lumi-pipeline",
                event_id=rebase.event_id,
                after_state=rebase.summary(),
            )
        except DuplicateEvent:
            connection.rollback()  # recorded by a run that was interrupted after it
        else:
            connection.commit()


def _by_tenant(tables: Iterator[pa.Table]) -> Iterator[tuple[str, pa.Table]]:
    """Cut sorted tables where the tenant changes."""
    for table in tables:
        begin = 0
        runs = pc.call_function("run_end_encode", [table.column("tenant_id").combine_chunks()])
        for tenant_id, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            yield str(tenant_id), table.slice(begin, end - begin)
            begin = end


def _forks(forks: Sequence[Finding]) -> str:
    named = ", ".join(f"{found.tenant_id} from seq {found.first} on" for found in forks[:_NAMED])
    more = f" and {len(forks) - _NAMED} more" if len(forks) > _NAMED else ""
    rows = sum(found.forked for found in forks)
    return (
        f"{rows} row(s) lie where others were landed (tenant {named}{more}); nothing was changed. With --rerecord they "
        "are kept as evidence, and recorded again behind those that were landed"
    )
