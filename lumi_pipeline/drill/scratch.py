"""A scratch copy of one sealed day, with what verifying it needs; and fresh copies of that, one for each attack.

The original is only read. Its keys are not even read: the copy's log is signed anew with keys that live as long as the
drill, so no forgery made here carries a signature that anybody trusts. A crash leaves the scratch directory, which
nothing refers to.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.config import Config
from lumi_pipeline.errors import DrillError
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.writer import write_bundle
from lumi_pipeline.genesis import GENESIS_KEY
from lumi_pipeline.lake import Lake, events_prefix, seal_prefix
from lumi_pipeline.outbox.sqlite import database_errors
from lumi_pipeline.outboxaddress import sqlite_address
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.proving import prove_event
from lumi_pipeline.records import StoredFile
from lumi_pipeline.sealedday import current_files, load_manifest
from lumi_pipeline.tenantdays import read_day_tenants
from transparency.checkpoint import parse_signed_checkpoint
from transparency.cosignature import cosign, merge_cosignatures
from transparency.entries import DayRecord, Genesis
from transparency.filestore import FileStore
from transparency.keys import ALG_COSIGNATURE, SigningKey
from transparency.log import Log
from transparency.logview import LogView
from transparency.monitor import Followed, follow
from transparency.note import format_note, parse_note
from transparency.policy import Policy

LEAST_EVENTS: Final = 4
"""So many events of one tenant are needed: two to exchange, one before them and one behind."""

_WITNESS: Final = "drill.invalid/witness"
_COSIGNED_AT: Final = 1
_OUTBOX: Final = "outbox.db"


@dataclass(frozen=True, slots=True)
class Keys:
    """The drill's own keys. ``stranger`` has the log's name and is another key."""

    log: SigningKey
    evidence: SigningKey
    witness: SigningKey
    stranger: SigningKey

    @classmethod
    def generate(cls, origin: str) -> "Keys":
        """Make them."""
        return cls(
            SigningKey.generate(origin),
            SigningKey.generate(f"{origin}/evidence"),
            SigningKey.generate(_WITNESS, ALG_COSIGNATURE),
            SigningKey.generate(origin),
        )

    @property
    def pinned(self) -> Policy:
        """What an auditor trusts who knows the log's key."""
        return Policy.pinning(self.log.verifier.vkey)

    @property
    def witnessed(self) -> Policy:
        """What an auditor trusts who also names a witness."""
        lines = (f"log {self.log.verifier.vkey}", f"witness w {self.witness.verifier.vkey}", "quorum w")
        return Policy.parse(("\n".join(lines) + "\n").encode())

    def cosign(self, signed: bytes) -> bytes:
        """Be the witness: sign a checkpoint, of which the caller knows that it follows from all that were signed."""
        line = cosign(parse_signed_checkpoint(signed).checkpoint, self.witness, _COSIGNED_AT)
        return format_note(merge_cosignatures(parse_note(signed), [line]))


@dataclass(frozen=True, slots=True)
class Target:
    """What is attacked: a tenant's rows, ``count`` of them from row ``start`` on, in one event file of the day.

    ``first_seq`` is the number of the first of them.
    """

    day: date
    tenant_id: str
    file: StoredFile
    start: int
    count: int
    first_seq: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A copy in a directory of its own. Its files may be shared with other copies: replace them, never write into."""

    directory: Path
    config: Config
    clock: Callable[[], datetime]
    keys: Keys
    target: Target
    known: Followed | None = None
    """What somebody who followed the log knew of it before anything was attacked; None until it is signed anew."""

    @property
    def followed(self) -> Followed:
        """The same, where it is there."""
        if self.known is None:
            raise DrillError("the copy's log is not signed yet; this is a mistake of ours")
        return self.known

    @property
    def store(self) -> FileStore:
        """The lake's objects."""
        return FileStore(self.directory / "lake")

    @property
    def lake(self) -> Lake:
        """The lake."""
        store = self.store
        return Lake(store, lambda key: str(store.path(key)))

    def fetch(self, path: str) -> bytes:
        """Return a file of the log, as a visitor gets it."""
        return self.store.get(f"log/{path}")

    @property
    def pipeline(self) -> Pipeline:
        """A pipeline on this copy, as a new process would open it."""
        return Pipeline(self.config, self.lake, self.clock)

    @property
    def outbox(self) -> Path:
        """The SQLite file of the outbox, where there is one."""
        return self.directory / _OUTBOX

    @property
    def proof(self) -> Path:
        """The proof file of one event."""
        return self.directory / "event.tlog-proof"

    @property
    def bundle(self) -> Path:
        """The evidence of the tenant for the day."""
        return self.directory / "evidence" / Asked(self.target.tenant_id, self.target.day, self.target.day).name

    def replace(self, path: Path, data: bytes) -> None:
        """Put another file where this one is; whoever shares the old one keeps it."""
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(data)
        temporary.replace(path)

    def write_evidence(self, policy: Policy) -> None:
        """Write bundle and proof as this copy's pipeline gives them, anew if they are there."""
        shutil.rmtree(self.bundle.parent, ignore_errors=True)
        self.proof.unlink(missing_ok=True)
        pipeline, target = self.pipeline, self.target
        genesis = pipeline.genesis()
        if genesis is None:
            raise DrillError("the copy has lost the first entry of its log; this is a mistake of ours")
        asked = Asked(target.tenant_id, target.day, target.day)
        write_bundle(pipeline, asked, self.bundle.parent, lambda path: judge_bundle(path, policy))
        self.proof.write_bytes(prove_event(self.lake, genesis, self._some_event()))

    def _some_event(self) -> str:
        for file in current_files(self.lake, self.target.day):
            for table in self.lake.read_events(file):
                ids = table.filter(pc.equal(table.column("tenant_id"), pa.scalar(self.target.tenant_id)))
                if len(ids):
                    return str(ids.column("event_id")[len(ids) // 2].as_py())
        raise DrillError(f"{self.target.day} has no event of {self.target.tenant_id}; this is a mistake of ours")


class Scratch:
    """A copy of a sealed and published day in ``directory``, which is there and empty; and of that, fresh copies."""

    def __init__(self, source: Pipeline, directory: Path, target: Target) -> None:
        self._directory = directory
        self._base = directory / "untouched"
        self.target = target
        self.outbox = source.config.outbox.path is not None
        self._taken = 0
        self._known: Followed | None = None
        origin = source.config.origin
        self.keys = Keys.generate(origin)
        self._copy_lake(source)
        if source.config.outbox.path is not None:
            _copy_sqlite(source.config.outbox.path, self._base / _OUTBOX)
        for name, key in (("log.key", self.keys.log), ("evidence.key", self.keys.evidence)):
            key.save_new(directory / name)
        self._config = replace(
            source.config,
            log_key_file=directory / "log.key",
            evidence_key_file=directory / "evidence.key",
            policy_file=None,
            kms_key=None,
            object_lock=None,
            locked_root=None,
            destinations=(),
            feeds=(),
            file=None,
        )
        self._clock = source.clock

    @property
    def untouched(self) -> Trial:
        """The copy that no attack sees."""
        return self._trial(self._base)

    def prepare(self) -> None:
        """Sign the copy's log anew, with the drill's keys, and write evidence and a proof."""
        trial = self.untouched
        store = trial.store
        genesis = Genesis.parse(store.get(GENESIS_KEY))
        size = LogView(store).state().published_size
        days = trial.pipeline.sealed_days()
        records = [DayRecord.parse(store.get(f"{seal_prefix(day)}day.txt")) for day in days]
        for prefix in ("log", "log-private"):
            shutil.rmtree(self._base / "lake" / prefix)
        own = replace(genesis, key=self.keys.log.verifier, evidence_key=self.keys.evidence.verifier)
        store.put_new(GENESIS_KEY, own.encode())
        for record in records:
            if record.next_key is not None or record.next_evidence_key is not None:
                # Keys that were announced did not sign this copy.
                plain = replace(record, next_key=None, next_evidence_key=None).encode()
                trial.replace(store.path(f"{seal_prefix(record.day)}day.txt"), plain)
        entries = [own.encode()]
        entries += [store.get(f"{seal_prefix(record.day)}day.txt") for record in records[: size - 1]]
        log = Log(store, [self.keys.log], cosign=self.keys.cosign)
        log.append(entries[: records[size - 2].index])  # two checkpoints at least, so that one can be set back
        log.append(entries[records[size - 2].index :])
        self._known = follow(trial.fetch, self.keys.pinned, None).followed
        trial.write_evidence(self.keys.pinned)

    def fresh(self, prefixes: Sequence[str], *, outbox: bool, files: bool) -> Trial:
        """Make a copy of what an attack and its checks look at; unchanged files are shared by hard links."""
        self._taken += 1
        directory = self._directory / f"attack-{self._taken:02}"
        directory.mkdir()
        for prefix in prefixes:
            if (self._base / "lake" / prefix).is_dir():
                shutil.copytree(self._base / "lake" / prefix, directory / "lake" / prefix, copy_function=os.link)
        if files:
            trial = self.untouched
            shutil.copytree(trial.bundle.parent, directory / "evidence", copy_function=os.link)
            os.link(trial.proof, directory / trial.proof.name)
        if outbox:
            # A real copy: SQLite writes into its file.
            shutil.copyfile(self._base / _OUTBOX, directory / _OUTBOX)
        return self._trial(directory)

    def _trial(self, directory: Path) -> Trial:
        config = replace(self._config, root=(directory / "lake").as_uri(), outbox=sqlite_address(directory / _OUTBOX))
        return Trial(directory, config, self._clock, self.keys, self.target, self._known)

    def _copy_lake(self, source: Pipeline) -> None:
        day = self.target.day
        sealed = source.sealed_days()
        published = LogView(source.lake.store).state().published_size - 1
        whole = {day, day - timedelta(days=1), sealed[-1], sealed[published - 1]}
        wanted = ("log/", "log-private/", "landings/", "landed/", "superseded/", "erasures/")
        keys = [key for prefix in wanted for key in _list(source, prefix)]
        keys += [f"{seal_prefix(other)}day.txt" for other in sealed if other not in whole]
        keys += [key for other in sorted(whole) for key in _list(source, seal_prefix(other))]
        keys += _list(source, events_prefix(day))

        def copy(key: str) -> None:
            path = self._base / "lake" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.lake.store.get(key))

        for _ in source.lake.side_by_side(copy, keys):
            pass


def find_target(source: Pipeline, day: date | None) -> Target:
    """Choose a published day (the newest that will do, unless one is given) and a tenant to attack in it."""
    sealed = source.sealed_days()
    published = sealed[: max(LogView(source.lake.store).state().published_size - 1, 0)]
    if day is not None and day not in published:
        raise DrillError(f"{day} is not sealed and published; 'lumi status' says which days are")
    for candidate in [day] if day is not None else reversed(published):
        for found in _targets(source, candidate):
            return found
    where = f"{day} has" if day is not None else "no published day has"
    raise DrillError(
        f"{where} {LEAST_EVENTS} events in one tenant's unbroken chain, which a drill needs; record some first"
    )


def _targets(source: Pipeline, day: date) -> Iterator[Target]:
    """Yield for each event file of a day the tenant with the fewest rows that are enough and all in that file."""
    manifest = load_manifest(source.lake, day)
    known = read_day_tenants(source.lake, manifest).tenants
    for file in current_files(source.lake, day):
        rows = source.lake.open_events(file).read(columns=["tenant_id", "seq"])
        tenants = rows.column("tenant_id")
        counted = rows.group_by("tenant_id").aggregate([("seq", "count")]).to_pylist()
        enough = sorted(
            (entry["seq_count"], entry["tenant_id"])
            for entry in counted
            if (tenant := known.get(entry["tenant_id"])) is not None
            and LEAST_EVENTS <= entry["seq_count"] == tenant.record.count
            and tenant.record.unbroken
        )
        if enough:
            count, tenant_id = enough[0]
            start = pc.index(tenants, tenant_id).as_py()
            yield Target(day, tenant_id, file, start, count, rows.column("seq")[start].as_py())


def _list(source: Pipeline, prefix: str) -> list[str]:
    keys = list(source.lake.store.list(prefix))
    return [key for key in keys if not key.startswith("log-private/doctor/")]


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database as of one moment, whatever is recorded meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        database_errors(source),
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
        # One file, with nothing beside it, so that it can be copied as a file.
        copy.execute("PRAGMA journal_mode = DELETE")
