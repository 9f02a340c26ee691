"""Bundles in the lake's store: created once, under the key that names them, and judged whenever somebody asks.

While a bundle is stored or judged, its ZIP file is held in memory once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lumi_pipeline.erasure.orders import steps_taken
from lumi_pipeline.errors import ConfigError, ErasureMeanwhile, EvidenceError
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.writer import is_sound
from lumi_pipeline.lake import Lake
from lumi_pipeline.stores.purging import purge
from lumi_pipeline.verdict import Status, Verdict
from transparency.errors import ObjectConflict
from transparency.policy import Policy


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """One tenant's bundle: where it is, how many events and bytes it has, and whether it was made now."""

    tenant_id: str
    key: str
    rows: int
    size: int
    fresh: bool
    verdict: Verdict


class BundleStore:
    """The bundles of a lake, for a reader who trusts what ``trust`` says; without it nothing is called verified."""

    def __init__(self, lake: Lake, trust: Policy | None) -> None:
        self._lake = lake
        self._store = lake.store
        self._trust = trust

    def verified(self, asked: Asked, key: str) -> StoredBundle:
        """Verify the one that is stored. Raises :class:`~lumi_pipeline.errors.EvidenceError` if it does not."""
        data = self._store.get(key)
        verdict = self._verdict(key, data, asked)
        if not is_sound(verdict):
            raise EvidenceError(
                f"{key} does not verify, and evidence is never overwritten: {' '.join(verdict.lines)} Find out who "
                "changed it, move it away, and make the month's evidence again"
            )
        return _described(asked, key, len(data), verdict, fresh=False)

    def judged(self, asked: Asked, key: str) -> Verdict:
        """The verdict on the one that is stored."""
        return self._verdict(key, self._store.get(key), asked)

    def judge(self, path: Path, subject: str) -> Verdict:
        """The verdict on a file that is not stored yet."""
        if self._trust is None:
            raise ConfigError("there is no key to check evidence against; set 'log_key_file' or 'policy_file'")
        return judge_bundle(path, self._trust, subject)

    def keep(self, asked: Asked, key: str, made: Path, verdict: Verdict, erasures: int) -> StoredBundle:
        """Store a bundle that was made and verified, unless there is another one by now: then that is the evidence.

        ``erasures`` is how far erasures had come before it was made. Raises
        :class:`~lumi_pipeline.errors.ErasureMeanwhile` when one went on since: the bundle may hold what is erased.
        """
        self._check_unchanged(erasures)
        data = made.read_bytes()
        try:
            # A crash after this leaves the bundle, and nobody who was told of it: the next run verifies it.
            self._store.put_new(key, data)
        except ObjectConflict:
            return self.verified(asked, key)
        try:
            # Once more: an erasure that looked for evidence in between has not found it.
            self._check_unchanged(erasures)
        except ErasureMeanwhile:
            purge(self._store, key)
            raise
        return _described(asked, key, len(data), verdict, fresh=True)

    def _check_unchanged(self, erasures: int) -> None:
        if steps_taken(self._lake) != erasures:
            raise ErasureMeanwhile

    def _verdict(self, key: str, data: bytes, asked: Asked) -> Verdict:
        """Judge stored bytes, which have to be the bundle that their key names and not just any good one."""
        with scratch() as directory:
            path = directory / f"{asked.name}.zip"
            path.write_bytes(data)
            verdict = self.judge(path, key)
        facts = verdict.facts
        wanted = {"tenant": asked.tenant_id, "from": str(asked.first), "to": str(asked.last)}
        if is_sound(verdict) and any(facts[name] != value for name, value in wanted.items()):
            line = f"It is the evidence of {facts['tenant']}, {facts['from']} to {facts['to']}."
            return Verdict(key, Status.FAILED, "misplaced", (line,))
        return verdict


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for one bundle, gone afterwards; a crash leaves it to whoever clears the temporary directory."""
    try:
        with TemporaryDirectory(prefix="lumi-evidence-") as name:
            yield Path(name)
    except OSError as error:
        raise EvidenceError(
            f"{error.filename or 'the temporary directory'} can't be used: {error.strerror}; TMPDIR names another place"
        ) from None


def _described(asked: Asked, key: str, size: int, verdict: Verdict, *, fresh: bool) -> StoredBundle:
    return StoredBundle(asked.tenant_id, key, int(str(verdict.facts["events"])), size, fresh, verdict)
