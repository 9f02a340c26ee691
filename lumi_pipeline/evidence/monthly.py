"""Evidence month by month: one bundle a tenant, made once and kept, verified whenever somebody asks for it again.

``evidence/<tenant>/<bundle>.zip`` in the lake's store holds a tenant's events of a calendar month; of the log's first
month, those from the log's first day on. A bundle is made and verified in a temporary directory and then created under
its key, whole or not at all, so a crash leaves nothing that looks like evidence. It is never replaced: making it again
would give other bytes (another run, a later checkpoint), and an auditor may have the first ones. Only an erasure puts
another one in its place, on record (superseding.py).

While a bundle is stored or checked, its ZIP file is held in memory once.
"""

from calendar import monthrange
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from lumi_pipeline.erasure.orders import steps_taken
from lumi_pipeline.errors import ConfigError, ErasureMeanwhile, EvidenceError, LumiError
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked, check_period
from lumi_pipeline.evidence.superseding import PREFIX, current_key
from lumi_pipeline.evidence.writer import write_bundle
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.stores.purging import purge
from lumi_pipeline.verdict import Status, Verdict
from transparency.errors import ObjectConflict, ObjectMissing
from transparency.logview import LogView


@dataclass(frozen=True, slots=True)
class MonthlyBundle:
    """One tenant's bundle of a month: where it is, how many events and bytes it has, and whether it was made now."""

    tenant_id: str
    key: str
    rows: int
    size: int
    fresh: bool
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MonthReport:
    """The bundles of a month that are there and verify, and why those of other tenants do not."""

    month: date
    bundles: tuple[MonthlyBundle, ...]
    failed: Mapping[str, str]


class MonthlyEvidence:
    """The monthly bundles of one pipeline, for the tenants in its setting ``evidence_tenants``.

    A month is given as its first day. Raises :class:`~lumi_pipeline.errors.EvidenceError` when nothing is sealed yet.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._store = pipeline.lake.store
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
            if any(current_key(self._asked(tenant_id, month), stored) not in stored for tenant_id in self.tenants):
                return ended[number:]
        return []

    def make(self, month: date) -> MonthReport:
        """Make each wanted bundle of a month; one that is there already is verified instead, and nothing is written.

        What is wrong with one tenant keeps no other waiting. Raises :class:`~lumi_pipeline.errors.EvidenceError` when
        the month is not over and published.
        """
        check_period(self._asked("", month), self._genesis, self._published())
        bundles: list[MonthlyBundle] = []
        failed: dict[str, str] = {}
        for tenant_id in self.tenants:
            try:
                bundles.append(self._bundle(self._asked(tenant_id, month)))
            except LumiError as error:
                failed[tenant_id] = str(error)
        return MonthReport(month, tuple(bundles), failed)

    def judge(self, month: date) -> list[Verdict]:
        """Verify every bundle of a month that is stored; one that is wanted and not there fails as ``missing``."""
        asked = {tenant_id: self._asked(tenant_id, month) for tenant_id in (*self.tenants, *self._stored_tenants())}
        stored = set(self._store.list(PREFIX))
        verdicts = []
        for tenant_id, one in sorted(asked.items()):
            key = current_key(one, stored)
            if key in stored:
                verdicts.append(self._verdict(key, self._store.get(key), one))
            elif tenant_id in self.tenants:
                line = f"{key} is not there; it is made when the month's evidence is made again."
                verdicts.append(Verdict(key, Status.FAILED, "missing", (line,)))
        return verdicts

    def made_anew(self, asked: Asked) -> bytes:
        """Return a bundle, made and verified anew from what the lake holds now; nothing is stored."""
        return self._write(asked, asked.name)[0]

    def _bundle(self, asked: Asked) -> MonthlyBundle:
        erasures = steps_taken(self._pipeline.lake)
        key = current_key(asked, self._store.list(f"{PREFIX}{asked.tenant_id}/"))
        data = self._stored(key)
        if data is None:
            data, verdict = self._write(asked, key)
            self._check_unchanged(erasures)
            try:
                self._store.put_new(key, data)
            except ObjectConflict:
                data = self._store.get(key)  # another run made it meanwhile: that one is the evidence
            else:
                try:
                    # Once more: an erasure that looked for evidence in between has not found it.
                    self._check_unchanged(erasures)
                except ErasureMeanwhile:
                    purge(self._store, key)
                    raise
                return _described(asked, key, data, verdict, fresh=True)
        verdict = self._verdict(key, data, asked)
        if not _sound(verdict):
            raise EvidenceError(
                f"{key} does not verify, and evidence is never overwritten: {' '.join(verdict.lines)} Find out who "
                "changed it, move it away, and make the month's evidence again"
            )
        return _described(asked, key, data, verdict, fresh=False)

    def _check_unchanged(self, erasures: int) -> None:
        if steps_taken(self._pipeline.lake) != erasures:
            raise ErasureMeanwhile

    def _write(self, asked: Asked, subject: str) -> tuple[bytes, Verdict]:
        with _scratch() as directory:
            report = write_bundle(
                self._pipeline, asked, directory, lambda path: self._judge(path, subject), zipped=True
            )
            return report.path.read_bytes(), report.verdict

    def _verdict(self, key: str, data: bytes, asked: Asked) -> Verdict:
        """Judge stored bytes, which have to be the bundle that their key names and not just any good one."""
        with _scratch() as directory:
            path = directory / f"{asked.name}.zip"
            path.write_bytes(data)
            verdict = self._judge(path, key)
        facts = verdict.facts
        wanted = {"tenant": asked.tenant_id, "from": str(asked.first), "to": str(asked.last)}
        if _sound(verdict) and any(facts[name] != value for name, value in wanted.items()):
            line = f"It is the evidence of {facts['tenant']}, {facts['from']} to {facts['to']}."
            return Verdict(key, Status.FAILED, "misplaced", (line,))
        return verdict

    def _judge(self, path: Path, subject: str) -> Verdict:
        trust = self._pipeline.trust()
        if trust is None:
            raise ConfigError("there is no key to check evidence against; set 'log_key_file' or 'policy_file'")
        return judge_bundle(path, trust, subject)

    def _asked(self, tenant_id: str, month: date) -> Asked:
        last = month.replace(day=monthrange(month.year, month.month)[1])
        first = self._genesis.first_day if month <= self._genesis.first_day <= last else month
        return Asked(tenant_id, first, last)

    def _published(self) -> list[date]:
        size = LogView(self._store).state().published_size
        return self._pipeline.sealed_days()[: max(size - 1, 0)]

    def _stored(self, key: str) -> bytes | None:
        try:
            return self._store.get(key)
        except ObjectMissing:
            return None

    def _stored_tenants(self) -> set[str]:
        return {key.removeprefix(PREFIX).partition("/")[0] for key in self._store.list(PREFIX)}


def _sound(verdict: Verdict) -> bool:
    """Whether it verifies; breaks that were declared are a finding of the auditor's and no fault of the bundle."""
    return verdict.status is Status.VERIFIED or verdict.reason == "declared-break"


def _described(asked: Asked, key: str, data: bytes, verdict: Verdict, *, fresh: bool) -> MonthlyBundle:
    rows = int(str(verdict.facts["events"]))
    return MonthlyBundle(asked.tenant_id, key, rows, len(data), fresh, verdict)


def _months(first: date, last: date) -> Iterator[date]:
    """Every month from that of ``first`` to that of ``last``, both included."""
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield date(number // 12, number % 12 + 1, 1)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A directory for one bundle, gone afterwards; a crash leaves it to whoever clears the temporary directory."""
    try:
        with TemporaryDirectory(prefix="lumi-evidence-") as name:
            yield Path(name)
    except OSError as error:
        raise EvidenceError(
            f"{error.filename or 'the temporary directory'} can't be used: {error.strerror}; TMPDIR names another place"
        ) from None
