"""Making the demo: from a plan to a directory with an outbox, keys and a configuration.

The outbox is built beside its place and renamed into it at the very end, so a directory either has a whole demo or
none. A run that was killed leaves the keys, the configuration and perhaps a partial outbox; the next run keeps the
former, throws the latter away and builds it again.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lumi_pipeline.demo.report import CONFIG_NAME, OUTBOX_NAME, SUMMARY_NAME, DemoError, DemoReport, read_report
from lumi_pipeline.demo.simulation import Plan, Simulation
from lumi_pipeline.outbox.sqlite import SqliteOutbox, database_errors
from lumi_pipeline.recorder import AuditRecorder
from transparency.keys import SigningKey

DEFAULT_SEED = 7
MAX_DAYS = 3_660
MAX_TENANTS = 1_000
MAX_EVENTS = 1_000_000_000

_MAX_SEED = 10**15
_EPOCH = date(1970, 1, 1)
_PARTIAL_NAME = f"{OUTBOX_NAME}.partial"
_ORIGIN = "localhost/lumi-demo"
_KEYS = {"keys/log.key": _ORIGIN, "keys/evidence.key": f"{_ORIGIN}/evidence"}
_CONFIG = f"""\
# A demo made by `lumi demo`. Paths are relative to this file.
root = "lake"
outbox = "sqlite:///{OUTBOX_NAME}"
origin = "{_ORIGIN}"
log_key_file = "keys/log.key"
evidence_key_file = "keys/evidence.key"
operator_tenant = "lumi-operator"
analyst_db = "analyst.duckdb"
"""


def make_demo(
    root: Path,
    *,
    days: int = 3,
    tenants: int = 5,
    events: int = 20_000,
    seed: int = DEFAULT_SEED,
    through: date | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DemoReport:
    """Make a demo in the directory ``root``, unless there is one.

    ``events`` is the total over all ``tenants`` and ``days``; the last day is ``through``, by default yesterday (UTC),
    because only days that are over can be sealed. ``progress`` is told how many events are written, and of how many.
    The same arguments make the same events, with the same ids; salts, chain ids and keys are random every time.

    Raises :class:`DemoError` for arguments that make no sense, a directory that holds something else, or another run
    that is at work there; :class:`~lumi_pipeline.errors.OutboxError` when the database cannot be written.
    """
    began = time.monotonic()
    plan = _plan(days, tenants, events, seed, through)
    with _alone_in(root):
        report = read_report(root) or _make(root, plan, progress)
    return replace(report, seconds=time.monotonic() - began)


def _plan(days: int, tenants: int, events: int, seed: int, through: date | None) -> Plan:
    limits = (("days", days, MAX_DAYS), ("tenants", tenants, MAX_TENANTS), ("events", events, MAX_EVENTS))
    for name, value, most in limits:
        if not 1 <= value <= most:
            raise DemoError(f"a demo of {value} {name} cannot be made; give a number of {name} from 1 to {most}")
    if abs(seed) >= _MAX_SEED:
        raise DemoError(f"seed {seed} is too large; any number of up to 15 digits will do")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    last_day = yesterday if through is None else through
    if last_day > yesterday:
        raise DemoError(f"{last_day} is not over (UTC), so it cannot be a demo's last day; the latest is {yesterday}")
    if (last_day - _EPOCH).days < days:
        raise DemoError(f"{days} days through {last_day} begin before {_EPOCH}; choose a later last day")
    return Plan(last_day - timedelta(days=days - 1), days, tenants, events, seed)


@contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """Hold the directory, made if need be, so that no other run builds there; a run that is killed lets go of it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DemoError(f"{root} cannot be used as the demo's directory: {error.strerror}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"another `lumi demo` is at work in {root}; wait for it to end") from None
        yield
    finally:
        os.close(handle)


def _make(root: Path, plan: Plan, progress: Callable[[int, int], None] | None) -> DemoReport:
    try:
        _write_keys(root)
        _write_config(root / CONFIG_NAME)
        with _partial_outbox(root / _PARTIAL_NAME) as partial:
            report = _fill(partial, root, plan, progress)
            _write(root / SUMMARY_NAME, report.summary())
            _sync(partial)
            # From here on there is a demo. A crash before leaves none, and the next run builds it again.
            partial.rename(root / OUTBOX_NAME)
            _sync(root)
    except OSError as error:
        raise DemoError(f"the demo cannot be written in {root}: {error}") from None
    return report


def _write_keys(root: Path) -> None:
    """Make the keys, or check those that a killed run left: nothing was signed with them yet."""
    for name, signer in _KEYS.items():
        path = root / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            SigningKey.generate(signer).save_new(path)
        elif (found := SigningKey.load(path).name) != signer:
            raise DemoError(f"{path} is the key of {found!r}, not of a demo; choose another directory")


def _write_config(path: Path) -> None:
    if path.exists():
        if path.read_text(encoding="utf-8", errors="replace") != _CONFIG:
            raise DemoError(f"{path} exists and is not the configuration of a demo; choose another directory")
    else:
        _write(path, _CONFIG.encode())


@contextmanager
def _partial_outbox(path: Path) -> Iterator[Path]:
    """Give a place to build in; leave nothing there, neither what a killed run left nor what this one does."""

    def sweep() -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)

    sweep()
    try:
        yield path
    finally:
        sweep()


def _fill(partial: Path, root: Path, plan: Plan, progress: Callable[[int, int], None] | None) -> DemoReport:
    simulation = Simulation(plan)
    outbox = SqliteOutbox.init(partial)
    with closing(outbox.connect()) as connection, database_errors(partial):
        # Nobody else sees this file yet, and after a crash it is thrown away: it needs no protection until the rename.
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        recorder = AuditRecorder(connection)
        written = 0
        for batch in simulation.run():
            recorder.record_many([new for _, new in batch], recorded_at=[recorded_at for recorded_at, _ in batch])
            connection.execute("COMMIT")
            written += len(batch)
            if progress is not None:
                progress(written, plan.events)
        connection.execute("PRAGMA journal_mode = WAL")
    return DemoReport(
        created=True,
        root=root,
        first_day=plan.first_day,
        last_day=plan.last_day,
        tenants=simulation.tenants,
        events=written,
        seed=plan.seed,
        stories=simulation.stories,
    )


def _write(path: Path, data: bytes) -> None:
    """Write a small file whole: a crash leaves the old state, or the new one, or besides them a ``.new`` file."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_bytes(data)
    _sync(temporary)
    temporary.replace(path)


def _sync(path: Path) -> None:
    """Make a file's content, or a directory's names, survive a power failure."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
