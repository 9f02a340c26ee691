"""The destinations of a pipeline: what the command line and Dagster do with them."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cached_property

from lumi_pipeline.errors import ConcurrentRun, ConfigError
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.siem.account import Account, Period
from lumi_pipeline.siem.deliver import LEASE_LENGTH, Deliverer, DeliveryReport
from lumi_pipeline.siem.destination import Destination
from lumi_pipeline.siem.digests import Digester
from lumi_pipeline.siem.evidencekeys import EvidenceKeys
from lumi_pipeline.siem.lease import Lease
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.opening import opened
from lumi_pipeline.siem.planner import Planner, PlanReport
from lumi_pipeline.siem.plans import PlanBook, Planned, destinations_of
from lumi_pipeline.siem.receipts import ReceiptBook
from lumi_pipeline.siem.settings import DestinationSettings
from lumi_pipeline.siem.source import Source
from lumi_pipeline.siem.statements import Statement
from lumi_pipeline.siem.status import DestinationStatus, look, unplanned_events


class Exports:
    """The destinations of a pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.lake = pipeline.lake
        self.clock = pipeline.clock

    @property
    def names(self) -> list[str]:
        """The destinations, in the order of the configuration."""
        return [settings.name for settings in self._pipeline.config.destinations]

    @cached_property
    def keys(self) -> EvidenceKeys:
        """The keys that sign receipts and statements, and that have signed them."""
        return EvidenceKeys.of(self._pipeline)

    def receipts(self, name: str) -> ReceiptBook:
        """A destination's receipts, verified when they are read."""
        return ReceiptBook(self.lake, name, self.keys)

    def removed(self) -> Iterator[DestinationStatus]:
        """Yield how destinations stand that are not configured any more, under another name perhaps."""
        for name in destinations_of(self.lake):
            if name not in self.names:
                yield look(self.lake, self.receipts(name), name, "removed", unplanned=0, now=self.clock())

    def settings(self, name: str) -> DestinationSettings:
        """One destination's settings; :class:`~lumi_pipeline.errors.ConfigError` names the nearest there is."""
        for settings in self._pipeline.config.destinations:
            if settings.name == name:
                return settings
        if not self.names:
            raise ConfigError("no destination is configured; [[destinations]] in lumi.toml names them (docs/siem.md)")
        nearest = difflib.get_close_matches(name[:100], self.names, n=1, cutoff=0.0)[0]
        raise ConfigError(f"there is no destination {name[:100]!r}; did you mean {nearest!r}?")

    @cached_property
    def source(self) -> Source:
        """The lake as it was when it was first needed."""
        return Source.open(self.lake, tuple(self._pipeline.lake_days()))

    def wants(self, name: str, tenant_id: str) -> bool:
        """Whether a destination gets events of a tenant: of the operator's own only where that is named."""
        tenants = self.settings(name).selection.tenants
        return tenant_id != self._pipeline.config.operator_tenant if tenants is None else tenant_id in tenants

    def check(self, name: str) -> Sequence[str]:
        """Try a destination's credentials and settings without sending an event; return what was found right."""
        with opened(self.settings(name)) as destination:
            return destination.check()

    def planner(self, destination: Destination) -> Planner:
        """What plans for a destination."""
        name = destination.settings.name
        return Planner(PlanBook(self.lake, name), destination, self.source, lambda t: self.wants(name, t), self.clock)

    def deliverer(self, destination: Destination) -> Deliverer:
        """What delivers to a destination."""
        return Deliverer(self.lake, destination, self.keys, self.clock, self._pipeline.sleep)

    def plan(self, name: str) -> Iterator[PlanReport]:
        """Make batches of whatever was landed since; yields each plan when it is committed."""
        with opened(self.settings(name)) as destination:
            try:
                yield from self.planner(destination).plan()
            except ConcurrentRun:
                self._look_again()
                yield from self.planner(destination).plan()

    def deliver(self, name: str, patience: timedelta = timedelta(0)) -> DeliveryReport:
        """Send what is planned, waiting up to ``patience`` for what can only be sent later; then digest receipts."""
        with opened(self.settings(name)) as destination:
            report = self.deliverer(destination).run(patience)
        self.digest(name)
        return report

    def digest(self, name: str) -> str | None:
        """Record a digest of a destination's receipts in the operator's chain, if one is due; return its event's id."""
        pipeline = self._pipeline
        operator = pipeline.config.operator_tenant
        return Digester(self.lake, lambda: pipeline.outbox, name, self.keys, operator, self.clock).digest()

    def status(self, name: str) -> DestinationStatus:
        """Where a destination stands."""
        settings = self.settings(name)
        planned = PlanBook(self.lake, name).planned()
        ends = {t: cursor.next_seq for t, cursor in self.source.cursors.items() if self.wants(name, t)}
        unplanned = unplanned_events(planned, ends, self.source.first_seqs(self._since(name, planned)))
        return look(self.lake, self.receipts(name), name, settings.kind, unplanned=unplanned, now=self.clock())

    def waiting(self, name: str, ends: Mapping[str, int]) -> str | None:
        """A tenant of which a destination has not planned all rows before these seqs; None as a rule."""
        planned = PlanBook(self.lake, name).planned()
        starts = self.source.first_seqs(self._since(name, planned))
        wanted = ((t, after) for t, after in sorted(ends.items()) if self.wants(name, t))
        return next((t for t, after in wanted if planned.next_seq(t, starts) < after), None)

    def since(self, name: str) -> date:
        """The day of recording that a destination begins with: fixed by its first plan, and as configured before."""
        return self._since(name, PlanBook(self.lake, name).planned())

    def _since(self, name: str, planned: Planned) -> date:
        return planned.last.since if planned.last else self.settings(name).since or self.clock().date()

    def begin(self, name: str) -> date:
        """The first day that there can be an account of: since when the destination gets events, and the lake has."""
        days = self.source.days
        return max(self.since(name), days[0]) if days else self.since(name)

    def next_plan(self, name: str) -> int:
        """The number that a destination's next plan gets."""
        return PlanBook(self.lake, name).planned().next_number

    def account(self, name: str, period: Period) -> Account:
        """What became of every row of a period; use as a context manager."""
        try:
            return self._account(name, period)
        except ConcurrentRun:
            self._look_again()
            return self._account(name, period)

    def _account(self, name: str, period: Period) -> Account:
        return Account(
            self.lake,
            name,
            self.source,
            self.receipts(name),
            period=period,
            wants=lambda tenant_id: self.wants(name, tenant_id),
            actions=self.settings(name).selection.actions,
            since=self.since(name),
        )

    def _look_again(self) -> None:
        """Forget how the lake was: another run has planned, or sealed a day and cleared away what was landed of it."""
        self.__dict__.pop("source", None)

    def statement(self, name: str, period: Period) -> Statement:
        """State what became of a period's rows, as things are now."""
        with self.account(name, period) as account:
            return self.stated(name, account)

    def stated(self, name: str, account: Account) -> Statement:
        """State what an account says."""
        ledger = account.ledger.ledger
        return Statement.of(
            name,
            account.period,
            self.clock(),
            days=account.days(),
            missing=account.missing(),
            reach=account.reach,
            receipts=(ledger.receipts, ledger.last_receipt),
        )

    @contextmanager
    def attending(self, name: str) -> Iterator[tuple[LedgerBook, Lease]]:
        """Hold a destination's lease to write into its ledger by hand."""
        self.settings(name)
        with Lease(self.lake, name, self.clock, LEASE_LENGTH) as lease:
            yield LedgerBook(self.lake, name), lease
