"""The pipeline as its users see it: land, seal, publish, on the stores and keys that a configuration names.

The command line and Dagster both work through :class:`Pipeline` and add nothing of their own to it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Final

from lumi_pipeline.acknowledging import acknowledge, open_report
from lumi_pipeline.beginning import first_day, log_to_seal
from lumi_pipeline.catalogue import DAY_ACKNOWLEDGED, LOG_KEY_ROTATED
from lumi_pipeline.compute import Inline, open_compute
from lumi_pipeline.config import OPEN, Config
from lumi_pipeline.days import day_end, day_range, last_complete_day
from lumi_pipeline.erasure.confirming import Erasures
from lumi_pipeline.erasure.operatorchain import Operator
from lumi_pipeline.erasure.orders import steps_taken
from lumi_pipeline.errors import ConcurrentRun, ConfigError, ErasureMeanwhile, LakeError, LumiError, SealError
from lumi_pipeline.events import to_micros
from lumi_pipeline.gathered import Gathered
from lumi_pipeline.genesis import read_genesis
from lumi_pipeline.keyring import Keyring
from lumi_pipeline.lake import Lake
from lumi_pipeline.landing import LandingReport, land
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.opening import open_outbox
from lumi_pipeline.pending import Pending
from lumi_pipeline.policyfile import read_policy
from lumi_pipeline.proofindex import index_missing
from lumi_pipeline.pruning.confirming import Prunings
from lumi_pipeline.publishing import PublishReport, publish, refresh
from lumi_pipeline.rebase import Rebaser
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.rotating import KeyState, look_at_key, next_key
from lumi_pipeline.rotation import Role, order_rotation
from lumi_pipeline.runreport import RunReport
from lumi_pipeline.sealedday import SealedDay, load_sealed_day
from lumi_pipeline.sealeddays import sealed_days
from lumi_pipeline.sealing import Progress, Sealer, SealReport
from lumi_pipeline.sealunits import Elsewhere
from lumi_pipeline.site import refresh_site
from lumi_pipeline.stores.roots import LakeAddress, open_lake
from lumi_pipeline.succession import Succession, succeed
from lumi_pipeline.witnessing import Cosigner, Cosigning
from transparency.encoding import Json
from transparency.entries import Genesis, day_index
from transparency.errors import FormatError, LogError, StoreError, VerificationError
from transparency.keys import SigningKey, VerifierKey
from transparency.logview import LogView
from transparency.policy import Policy

Clock = Callable[[], datetime]
Sleep = Callable[[float], None]
_ATTEMPTS: Final = 4
"""How often a seal begins, that erasures keep coming in between."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Pipeline:
    """Everything that one configuration names, opened when it is first needed.

    ``sleep`` waits so many seconds of the time that ``clock`` tells.
    """

    def __init__(self, config: Config, lake: Lake, clock: Clock, sleep: Sleep = time.sleep) -> None:
        self.config = config
        self.lake = lake
        self.clock = clock
        self.sleep = sleep

    @classmethod
    def open(cls, config: Config, clock: Clock = _utc_now) -> "Pipeline":
        """Open a configuration's pipeline; the outbox and the keys are opened when something needs them."""
        return cls(config, open_lake(config, clock), clock)

    @cached_property
    def outbox(self) -> Outbox:
        """The outbox; :class:`~lumi_pipeline.errors.OutboxError` when it isn't there or isn't one."""
        return open_outbox(self.config.outbox)

    @cached_property
    def keyring(self) -> Keyring:
        """The keys that sign, and when."""
        return Keyring(self.config, self.lake)

    def evidence_keys(self) -> list[SigningKey]:
        """The keys that sign everything but checkpoints: one, or two while one is being replaced."""
        return self.keyring.evidence_keys(self.genesis())

    def trust(self) -> Policy | None:
        """What this side pins: the policy file, else the log keys in the key files; None when there is neither."""
        if self.config.policy_file is not None:
            return read_policy(self.config.policy_file)
        files = self.keyring.files[Role.LOG]
        if not files.path.exists() and not files.next_path.exists():
            return None
        held = tuple(key.verifier for key in files.held())
        try:
            return Policy(self.keyring.known(Role.LOG, self.genesis(), held))
        except (FormatError, LogError, StoreError, VerificationError):
            return Policy(held)  # no more is trusted than what lies here; what is wrong with the log is not said here

    def publishing_policy(self) -> Policy | None:
        """What a day's publication is held against: as :meth:`trust`, without a quorum where it may do without one."""
        policy = self.trust()
        return replace(policy, quorum=None) if policy and self.config.witness_fail == OPEN else policy

    def known_evidence_keys(self) -> tuple[VerifierKey, ...]:
        """The evidence keys of this log, those included that were replaced; none where nothing says so."""
        trust = self.trust()
        pinned = trust.pinned_keys(self.config.origin) if trust else ()
        try:
            return self.keyring.known(Role.EVIDENCE, self.genesis(), pinned)
        except (FormatError, StoreError, VerificationError) as error:
            raise LakeError(f"the log does not tell its evidence keys; see 'lumi fsck': {error}") from None

    def genesis(self) -> Genesis | None:
        """The log's first entry, which fixes its origin and first day; None before the first seal."""
        return read_genesis(self.lake)

    def land(self) -> LandingReport:
        """Land what the outbox gained since the last landing."""
        sealed = self.last_sealed()
        if sealed is None:
            self._check_not_lost()
        try:
            return land(self.outbox, self.lake, sealed.tenants if sealed else None)
        except LakeError:
            self._check_overtaken(sealed.record.day if sealed else None)
            raise

    def missing_days(self, through: date | None = None) -> list[date]:
        """The complete days up to ``through`` (default: the last complete one) that aren't sealed yet, in order.

        Before the first seal the first day is that of the first landed event, unless it is configured; with nothing
        landed there is none.
        """
        last = self._through(through)
        sealed = self.sealed_days()
        first = sealed[-1] + timedelta(days=1) if sealed else first_day(self.lake, self.config)
        return [] if first is None else list(day_range(first, last))

    def sealed_days(self) -> list[date]:
        """The sealed days; :class:`~lumi_pipeline.errors.LakeError` when one in between has lost its record."""
        return sealed_days(self.lake)[1]

    def lake_days(self) -> list[date]:
        """The sealed days of the lake, in order: those of this log, and before them those of logs that it succeeds."""
        earlier, own = sealed_days(self.lake)
        return [*earlier, *own]

    def last_sealed(self) -> SealedDay | None:
        """The last sealed day of the lake, which whatever comes next goes on from."""
        days = self.lake_days()
        return load_sealed_day(self.lake, days[-1]) if days else None

    def unpublished_days(self) -> list[date]:
        """The sealed days that the log doesn't hold yet, in order."""
        genesis = self.genesis()
        if genesis is None:
            return []
        # What was committed but not published yet counts as missing too: publishing is what completes it.
        size = LogView(self.lake.store).state().published_size
        return [day for day in self.sealed_days() if day_index(genesis.first_day, day) >= size]

    def seal(self, days: Sequence[date]) -> Iterator[SealReport]:
        """Seal these days in order: close the last in the outbox, land once more, then one day after the other.

        A day that is sealed already is verified instead. Yields each day's report when that day is done, so what was
        sealed before a failure is known.
        """
        known = self.sealed_days()
        for day in sorted(set(days) & set(known)):
            yield self.verify_sealed(day)
        fresh = sorted(set(days) - set(known))
        if fresh:
            yield from self._seal_fresh(fresh, known[-1] if known else None)

    def verify_sealed(self, day: date, progress: Progress | None = None) -> SealReport:
        """Recompute one sealed day from its stored bytes, on top of the stored day before it."""
        genesis = self._require_genesis()
        is_first = day == genesis.first_day and genesis.previous is None
        before = None if is_first else load_sealed_day(self.lake, day - timedelta(days=1))
        return self.sealer(genesis).verify(day, before, progress)[1]

    def sealer(self, genesis: Genesis) -> Sealer:
        """What seals and verifies days of the log that ``genesis`` begins."""
        compute = open_compute(self.config.compute)
        elsewhere = None if isinstance(compute, Inline) else Elsewhere(compute, LakeAddress.of(self.config))
        return Sealer(self.lake, genesis, self.clock, self.erasures(), self.prunings(), elsewhere=elsewhere)

    @property
    def operator(self) -> Operator:
        """The operator's own tenant, for whoever reads its chain and adds to it."""
        return Operator(self.outbox, self.lake, self.config.operator_tenant, self.clock)

    def erasures(self) -> Erasures:
        """Which erased rows are accounted for, as outbox and lake are now."""
        return Erasures(self.lake, lambda: self.outbox, self.config.operator_tenant)

    def prunings(self) -> Prunings:
        """Which pruned days are accounted for, as outbox and lake are now."""
        return Prunings(self.lake, lambda: self.outbox, self.config.operator_tenant)

    def publish(self) -> PublishReport:
        """Publish every sealed day that the log lacks, under one checkpoint; keep site and proof indexes up to date."""
        cosigner = self._cosigner(required=self.config.witness_fail != OPEN)
        report = publish(self.lake, self.keyring, self._require_genesis(), self.sealed_days(), cosigner)
        # A crash before this leaves the page of before, or none, until the next run; and days without a proof index.
        refresh_site(self.lake.store, self.config.record_due)
        index_missing(self.lake, self.lake_days())
        return report

    def witness_policy(self) -> Policy | None:
        """The policy, if it names witnesses."""
        policy = None if self.config.policy_file is None else read_policy(self.config.policy_file)
        return policy if policy and policy.witnesses else None

    def submit(self) -> Cosigning:
        """Show the newest checkpoint to the witnesses once more, and publish it with what they sign.

        What is public stays public, whoever answers; the report says whether the replies make a quorum.
        """
        genesis = self._require_genesis()
        cosigner = self._cosigner(required=False)
        if cosigner is None:
            raise ConfigError("no witness is configured; 'policy_file' names a policy with their keys and addresses")
        refresh(self.lake, self.keyring, genesis, cosigner)
        if cosigner.last is None:
            raise LakeError("nothing is published yet; 'lumi publish' does, and asks the witnesses")
        return cosigner.last

    def run(self, through: date | None = None, on_sealed: Callable[[SealReport], None] | None = None) -> RunReport:
        """Land, seal and publish every complete day up to ``through`` that is missing.

        When a day can't be sealed, the days before it are still published; then the error is raised.
        """
        started = time.monotonic()
        landing = self.land()
        seals: list[SealReport] = []
        failure: LumiError | None = None
        try:
            for report in self.seal(self.missing_days(through)):
                seals.append(report)
                if on_sealed:
                    on_sealed(report)
        except LumiError as error:
            failure = error
        try:
            publication = self.publish() if self.genesis() is not None else None
        except LumiError as error:
            if failure is not None:
                raise failure from error  # the first thing that went wrong is the one to look at first
            raise
        if failure is not None:
            raise failure
        return RunReport(landing, tuple(seals), publication, time.monotonic() - started)

    def acknowledge(self, day: date, reason: str) -> str:
        """Accept the report of breaks that stopped ``day``; return the report's SHA-256 (hex).

        The acknowledgement is first an event of the operator's own chain. A crash before the lake knows of it leaves
        that event, and acknowledging again records another.
        """
        if not reason.strip():
            raise SealError("an acknowledgement needs a reason that an auditor can read")
        report = open_report(self.lake, day)
        state = {"day": day.isoformat(), "reason": reason, "report": report.sha256}
        event_id = self._record_of_operator(DAY_ACKNOWLEDGED, "day", day.isoformat(), state)
        acknowledge(self.lake, report, event_id, reason)
        return report.sha256

    def key_state(self, role: Role) -> KeyState:
        """How far the replacement of one key is."""
        days = self.sealed_days()
        return look_at_key(self.lake, self.keyring, self.genesis(), role, days[-1] if days else None)

    def succeed(self, before: Lake, checkpoint: bytes | None, *, discard: bool) -> Succession:
        """Begin this log as the successor of the one in the lake ``before``, of which this lake is a copy."""
        log, evidence = (files.current().verifier for files in self.keyring.files.values())
        return succeed(self.lake, before, (log, evidence), checkpoint, discard=discard)

    def rotate(self, role: Role) -> KeyState:
        """Make the key that takes over from the one of this role, and order its announcement by the next sealed day.

        The order is first an event of the operator's own chain. A crash before the lake knows of it leaves the key file
        and that event; rotating again uses the file, and records another.
        """
        genesis = self._require_genesis()
        state = self.key_state(role)
        key = next_key(state)
        self._record_of_operator(
            LOG_KEY_ROTATED,
            "log_key",
            key.verifier.vkey,
            {"next": key.verifier.vkey, "present": state.signs[-1].vkey, "role": role.value},
        )
        days = self.sealed_days()
        first = days[-1] + timedelta(days=1) if days else genesis.first_day
        order_rotation(self.lake, role, first, key.verifier)
        return self.key_state(role)

    def rebaser(self) -> Rebaser:
        """What compares the outbox with everything landed, and accepts it when it was restored."""
        days = self.lake_days()
        sealed = load_sealed_day(self.lake, days[-1]).tenants if days else None
        return Rebaser(self.outbox, self.lake, days, sealed, self.config.operator_tenant, self.clock)

    def _record_of_operator(self, action: str, entity_type: str, entity_id: str, state: Mapping[str, Json]) -> str:
        """Record what the operator does as an event of the operator's own chain; return its id."""
        with closing(self.outbox.connect()) as connection, self.outbox.explained():
            event = AuditRecorder(connection, clock=self.clock).record(
                tenant_id=self.config.operator_tenant,
                action=action,
                entity_type=entity_type,
                entity_id=entity_id,
                actor_type="system",
                actor_id="lumi-pipeline",
                after_state=dict(state),
            )
            connection.commit()
        return event.event_id

    def _cosigner(self, *, required: bool) -> Cosigner | None:
        """Who asks the witnesses of the policy; None without any."""
        policy = self.witness_policy()
        if policy is None:
            return None
        store = self.lake.store
        return Cosigner(policy, LogView(store), self.clock, required=required, gathered=Gathered(store))

    def _seal_fresh(self, days: Sequence[date], done: date | None) -> Iterator[SealReport]:
        """Seal days when ``done`` is the last one sealed; begin again where an erasure went on meanwhile."""
        for attempt in range(_ATTEMPTS):
            try:
                for report in self._seal_once([day for day in days if done is None or day > done], done):
                    done = report.day
                    yield report
            except ErasureMeanwhile:
                # The files of this attempt have rows that may be erased by now: the next one removes them.
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def _seal_once(self, days: Sequence[date], done: date | None) -> Iterator[SealReport]:
        erasures = steps_taken(self.lake)
        now = self.clock()
        if to_micros(now) < day_end(days[-1]):
            raise SealError(
                f"{days[-1]} is not over yet; the last day that can be sealed is {now.date() - timedelta(1)}"
            )
        self.outbox.close_day(days[-1])
        self.land()
        try:
            before = self.last_sealed()
            with Pending(self.lake, before.tenants.landing_floor if before else 0) as pending:
                genesis = log_to_seal(self.lake, self.config, self.keyring, pending, now.date())
                expected = before.tenants.day + timedelta(days=1) if before else genesis.first_day
                if list(days) != list(day_range(expected, days[-1])):
                    raise SealError(f"days are sealed in order, without a gap: {expected} comes first")
                for report in self.sealer(genesis).seal(days, before, pending):
                    done = report.day
                    yield report
        except (LakeError, SealError):
            self._check_overtaken(done)
            if steps_taken(self.lake) != erasures:
                raise ErasureMeanwhile from None
            raise

    def _check_overtaken(self, done: date | None) -> None:
        """Tell another run's work from damage: what that sealed past ``done``, ours finds taken or cleared away."""
        sealed = self.lake.sealed_days()
        if sealed and (done is None or sealed[-1] > done):
            raise ConcurrentRun(f"another run sealed {sealed[-1]} meanwhile; run again to carry on from there")

    def _check_not_lost(self) -> None:
        """A lake that has a public log and no sealed day was lost: what is written into it now gets in the way."""
        size = LogView(self.lake.store).state().published_size
        # Whatever is published was sealed before; so if another run did both just now, its day is there by now.
        if size > 1 and not self.lake.sealed_days():
            raise LakeError(
                f"log/checkpoint is of {size} entries, but no day is sealed here: the lake was lost, or 'root' is "
                "wrong. Nothing was written; restore the lake from a backup first"
            )

    def _require_genesis(self) -> Genesis:
        genesis = self.genesis()
        if genesis is None:
            raise SealError("nothing is sealed yet; 'lumi run' seals and publishes every complete day")
        return genesis

    def _through(self, through: date | None) -> date:
        complete = last_complete_day(self.clock())
        if through is not None and through > complete and day_end(through) > to_micros(self.clock()):
            raise SealError(f"{through} is not over yet; the last complete day is {complete}")
        return complete if through is None else through
