"""Evidence month by month: one bundle a tenant, made once and kept, verified whenever somebody asks for it again.

``evidence/<tenant>/<bundle>.zip`` in the lake's store holds a tenant's events of a calendar month; of the log's first
month, those from the log's first day on. A bundle is made and verified in a temporary directory and then created under
its key, whole or not at all, so a crash leaves nothing that looks like evidence. It is never replaced: making it again
would give other bytes (another run, a later checkpoint), and an auditor may have the first ones. Only an erasure puts
another one in its place, on record (superseding.py).

Where ``compute`` names other processes, each tenant's bundle is made there, but for its signature (bundleunits.py).
Both ways write the same bytes.
"""

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from lumi_pipeline.compute import Compute, Inline, open_compute
from lumi_pipeline.erasure.orders import steps_taken
from lumi_pipeline.errors import EvidenceError, LumiError
from lumi_pipeline.evidence.bundleunits import BundlesApart, Outcome
from lumi_pipeline.evidence.drafts import clear_abandoned
from lumi_pipeline.evidence.period import Asked, check_period
from lumi_pipeline.evidence.readme import Run
from lumi_pipeline.evidence.stored import BundleStore, StoredBundle, scratch
from lumi_pipeline.evidence.superseding import PREFIX, current_key, current_keys
from lumi_pipeline.evidence.writer import BundleReport, write_bundle
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.verdict import Status, Verdict
from transparency.logview import LogView


@dataclass(frozen=True, slots=True)
class MonthReport:
    """The bundles of a month that are there and verify, and why those of other tenants do not."""

    month: date
    bundles: tuple[StoredBundle, ...]
    failed: Mapping[str, str]


class MonthlyEvidence:
    """The monthly bundles of one pipeline, for the tenants in its setting ``evidence_tenants``.

    A month is given as its first day. Raises :class:`~lumi_pipeline.errors.EvidenceError` when nothing is sealed yet.
    """

    def __init__(self, pipeline: Pipeline, compute: Compute | None = None) -> None:
        """``compute`` does the work; by default, what the configuration names."""
        self._pipeline = pipeline
        self._store = pipeline.lake.store
        self._compute = compute or open_compute(pipeline.config.compute)
        genesis = pipeline.genesis()
        if genesis is None:
            raise EvidenceError("nothing is sealed yet; 'lumi run' seals and publishes every complete day")
        self._genesis = genesis

    @property
    def tenants(self) -> tuple[str, ...]:
        """Whose evidence is wanted."""
        return self._pipeline.config.evidence_tenants

    def published_months(self) -> list[date]:
        """The months of which every day is over and in the public log, in order."""
        published = self._published()
        if not published:
            return []
        last = published[-1] + timedelta(days=1)
        return list(_months(self._genesis.first_day, last.replace(day=1) - timedelta(days=1)))

    def lacking(self, today: date) -> list[date]:
        """The months, in order, from the first that lacks a wanted bundle to the one before the month of ``today``."""
        stored = set(self._store.list(PREFIX))
        ended = list(_months(self._genesis.first_day, today.replace(day=1) - timedelta(days=1)))
        for number, month in enumerate(ended):
            wanted = [self._asked(tenant_id, month) for tenant_id in self.tenants]
            if not stored.issuperset(current_keys(wanted, stored).values()):
                return ended[number:]
        return []

    def make(self, month: date, run: Run | None = None) -> MonthReport:
        """Make each wanted bundle of a month; one that is there already is verified instead, and nothing is written.

        What is wrong with one tenant keeps no other waiting. ``run`` is who makes them; by default a new run. Raises
        :class:`~lumi_pipeline.errors.EvidenceError` when the month is not over and published.
        """
        check_period(self._asked("", month), self._genesis, self._published())
        clear_abandoned(self._pipeline.lake, self._pipeline.clock())
        every = [self._asked(tenant_id, month) for tenant_id in self.tenants]
        outcomes: Mapping[Asked, Outcome]
        if isinstance(self._compute, Inline):
            outcomes = {asked: self._outcome(asked, run) for asked in every}
        else:
            outcomes = BundlesApart(self._compute, self._pipeline).make(every, run)
        bundles = tuple(outcome for outcome in outcomes.values() if isinstance(outcome, StoredBundle))
        failed = {asked.tenant_id: str(o) for asked, o in outcomes.items() if not isinstance(o, StoredBundle)}
        return MonthReport(month, bundles, failed)

    def judge(self, month: date) -> list[Verdict]:
        """Verify every bundle of a month that is stored; one that is wanted and not there fails as ``missing``."""
        stored = set(self._store.list(PREFIX))
        tenants = sorted({*self.tenants, *(key.removeprefix(PREFIX).partition("/")[0] for key in stored)})
        keys = current_keys((self._asked(tenant_id, month) for tenant_id in tenants), stored)
        there = {asked: key for asked, key in keys.items() if key in stored}
        judged: Iterator[Verdict]
        if isinstance(self._compute, Inline):
            judged = (self._bundles().judged(asked, key) for asked, key in there.items())
        else:
            judged = BundlesApart(self._compute, self._pipeline).judge(there)
        verdicts = []
        for asked, key in keys.items():
            if key in stored:
                verdicts.append(next(judged))
            elif asked.tenant_id in self.tenants:
                line = f"{key} is not there; it is made when the month's evidence is made again."
                verdicts.append(Verdict(key, Status.FAILED, "missing", (line,)))
        return verdicts

    def made_anew(self, asked: Asked) -> bytes:
        """Return a bundle, made and verified anew from what the lake holds now; nothing is stored."""
        with scratch() as directory:
            return self._write(asked, asked.name, directory, None).path.read_bytes()

    def _outcome(self, asked: Asked, run: Run | None) -> Outcome:
        try:
            return self._bundle(asked, run)
        except LumiError as error:
            return error

    def _bundle(self, asked: Asked, run: Run | None) -> StoredBundle:
        erasures = steps_taken(self._pipeline.lake)
        stored = list(self._store.list(f"{PREFIX}{asked.tenant_id}/"))
        key = current_key(asked, stored)
        if key in stored:
            return self._bundles().verified(asked, key)
        with scratch() as directory:
            report = self._write(asked, key, directory, run)
            return self._bundles().keep(asked, key, report.path, report.verdict, erasures)

    def _write(self, asked: Asked, subject: str, directory: Path, run: Run | None) -> BundleReport:
        def judge(path: Path) -> Verdict:
            return self._bundles().judge(path, subject)

        return write_bundle(self._pipeline, asked, directory, judge, zipped=True, run=run)

    def _bundles(self) -> BundleStore:
        return BundleStore(self._pipeline.lake, self._pipeline.trust())

    def _asked(self, tenant_id: str, month: date) -> Asked:
        last = month.replace(day=monthrange(month.year, month.month)[1])
        first = self._genesis.first_day if month <= self._genesis.first_day <= last else month
        return Asked(tenant_id, first, last)

    def _published(self) -> list[date]:
        size = LogView(self._store).state().published_size
        return self._pipeline.sealed_days()[: max(size - 1, 0)]


def _months(first: date, last: date) -> Iterator[date]:
    """Every month from that of ``first`` to that of ``last``, both included."""
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield date(number // 12, number % 12 + 1, 1)
