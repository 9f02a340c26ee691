"""Building the analyst database: what the lake gained since it was built last, in a copy that then takes its place.

Readers never meet a half-built database, nor keep a build waiting: the file that they have open stays as it was, and
whoever opens it anew gets the new one. A crash at any point leaves the old one, and a copy that the next build removes.
"""

import fcntl
import glob
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

import duckdb
import pyarrow as pa

from lumi_pipeline.analytics.inventory import Inventory, take_inventory
from lumi_pipeline.analytics.schema import ACTIVITY_COLUMNS, DAY_OF, create_events, create_tables, fill_actions, form
from lumi_pipeline.config import Config
from lumi_pipeline.errors import AnalystError
from lumi_pipeline.interrupting import interruptible
from lumi_pipeline.lake import EVENTS_PREFIX, Lake
from lumi_pipeline.records import StoredFile
from lumi_pipeline.rowgroups import long_rows
from lumi_pipeline.sealedday import load_sealed_day

MEMORY_LIMIT: Final = "1GB"
"""What DuckDB may use while building; what does not fit it spills beside the database."""

_TOGETHER: Final = 100_000
"""Rows after which a transaction ends. Nothing depends on where: until the file is in place nobody reads it. But many
small transactions wait for the disk, and one large one holds memory.
"""

_PATIENCE: Final = 600.0
_PAUSE: Final = 0.2
_UNFINISHED: Final = ".new"
_INSERT: Final = """
INSERT INTO activity
SELECT {day}, {columns}, {sealed}, opened.file, file_row_number
FROM read_parquet($paths, filename = true, file_row_number = true, hive_partitioning = false) AS found
    JOIN opened USING (filename) {rest} {order}
"""
Settings: TypeAlias = dict[str, str | bool | int | float | list[str]]
"""DuckDB's, as it wants them."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many days are done and how many there are to do."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did. ``events`` and ``days`` are what the database holds, ``rows`` and ``rebuilt`` what was read.

    ``landed`` counts the events that are not in a sealed day, ``days`` the events of each day. ``size`` is in bytes;
    ``changed`` tells whether anything had to be done.
    """

    path: Path
    events: int
    landed: int
    days: Mapping[date, int]
    rows: int
    rebuilt: tuple[date, ...]
    changed: bool
    size: int = 0
    seconds: float = 0.0


def build_database(config: Config, lake: Lake, *, fresh: bool = False, progress: Progress | None = None) -> BuildReport:
    """Bring the analyst database of ``config`` up to date with the lake, or with ``fresh`` make all of it anew.

    Raises :class:`~lumi_pipeline.errors.LakeError` when a file is not what was committed, and
    :class:`~lumi_pipeline.errors.AnalystError` when the database can't be written; then it stays as it was.
    """
    started = time.monotonic()
    path = config.analyst_db
    check_place(path)
    with _writing(path), _alone(path):
        _sweep(path)
        try:
            done = _bring_up_to_date(config, lake, progress, fresh=fresh)
        except duckdb.Error:
            if fresh:
                raise
            # Somewhere in the file is what can't be read. All that is in it can be had from the lake.
            done = _bring_up_to_date(config, lake, progress, fresh=True)
        size = path.stat().st_size
    return replace(done, size=size, seconds=time.monotonic() - started)


def check_place(path: Path) -> None:
    """Refuse a path that can't be the database: a finished build would take even a device's place, if root runs it."""
    if path.exists() and not path.is_file():
        raise AnalystError(f"{path} is no file, so it can't be the analyst database; name another in 'analyst_db'")


def _bring_up_to_date(config: Config, lake: Lake, progress: Progress | None, *, fresh: bool) -> BuildReport:
    path = config.analyst_db
    rebuilt: tuple[date, ...] = ()
    rows = 0
    inventory = take_inventory(lake)
    state = inventory.state(form(), config.root)
    with TemporaryDirectory(prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent) as place:
        copy = Path(place) / path.name
        known = None if fresh else _copy_known(path, copy, config.root, inventory)
        if known != state:
            settings: Settings = {"memory_limit": MEMORY_LIMIT, "temp_directory": str(Path(place) / "spill")}
            with duckdb.connect(str(copy), config=settings) as db:
                db.execute("SET TimeZone = 'UTC'")
                build = _Build(db, lake, inventory)
                build.run(config.root, state, progress)
            rebuilt, rows = tuple(build.rebuilt), build.rows
            _replace(copy, path)
    return BuildReport(path, *_counts(path), rows, rebuilt, known != state)


@contextmanager
def attached(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a DuckDB in memory with the file as its database ``analyst``, which can't be written to.

    Not the file itself: DuckDB would give whoever opens a path again what it has open there, even if the file has been
    replaced since.
    """
    with duckdb.connect() as db:
        attach(db, path)
        yield db


def attach(db: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Add the file to a connection as its database ``analyst``, read only, and make it the one that is asked."""
    quoted = str(path).replace("'", "''")
    db.execute(f"ATTACH '{quoted}' AS analyst (READ_ONLY); USE analyst")


def _copy_known(path: Path, copy: Path, root: str, inventory: Inventory) -> str | None:
    """Copy a database that can be brought up to date, unless it is already; return its state, None if it can't be."""
    if not path.exists() or _log(path).exists():
        return None  # with a write-ahead log beside it another program wrote to it: then it is made anew
    with suppress(duckdb.Error), attached(path) as db:
        # As long as it is open here, no other program can open it for writing.
        for made, of, state in db.sql("SELECT format, root, state FROM lake.build").fetchall():
            sealed = dict(db.sql("SELECT day, content FROM lake.sealed_days").fetchall())
            landed = [key for (key,) in db.sql("SELECT key FROM lake.files WHERE day IS NULL").fetchall()]
            # Rows that DuckDB deletes stay in free blocks of its file. So where something was taken out of the lake,
            # as erased payloads are, nothing of this file is kept.
            if (made, of) != (form(), root) or not inventory.follows(sealed, landed):
                return None
            if state != inventory.state(form(), root):
                shutil.copyfile(path, copy)
            return str(state)
    return None


def _counts(path: Path) -> tuple[int, int, dict[date, int]]:
    with attached(path) as db:
        ((events, landed),) = db.sql("SELECT count(*), count(*) FILTER (WHERE NOT sealed) FROM activity").fetchall()
        return events, landed, dict(db.sql("SELECT day, events FROM days ORDER BY day").fetchall())


def _replace(copy: Path, path: Path) -> None:
    """Put the finished copy in place, durably."""
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    # What another program may have written into the old file goes with it; a crash here leaves the old one without.
    _log(path).unlink(missing_ok=True)
    # The commit. A crash before it leaves the old database and the copy, which the next build removes.
    copy.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _log(path: Path) -> Path:
    """Where DuckDB keeps what was written to a database and is not in its file yet."""
    return path.with_name(f"{path.name}.wal")


def _sweep(path: Path) -> None:
    """Remove what builds that were killed left behind."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{_UNFINISHED}"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other build is under way, for ten minutes at most."""
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    end = time.monotonic() + _PATIENCE
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise AnalystError(
                        f"another build of {path} has been under way for long; see what it does"
                    ) from None
                time.sleep(_PAUSE)
            else:
                break
        yield
    finally:
        os.close(lock)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Make what goes wrong with the file and its directory, or with DuckDB, an error of ours."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with interruptible():
            yield
    except OSError as error:
        raise AnalystError(f"the analyst database {path} can't be written: {error.strerror or error}") from None
    except duckdb.Error as error:
        reason = str(error).partition("\n")[0]
        raise AnalystError(f"the analyst database {path} can't be built: {reason}") from None


class _Build:
    """One build, in a database that nobody else sees yet."""

    def __init__(self, db: duckdb.DuckDBPyConnection, lake: Lake, inventory: Inventory) -> None:
        self._db = db
        self._lake = lake
        self._inventory = inventory
        self.rebuilt: list[date] = []
        self.rows = 0

    def run(self, root: str, state: str, progress: Progress | None) -> None:
        """Read what the lake has gained, and write down what that makes."""
        db = self._db
        db.begin()
        if not db.sql("SELECT 1 FROM duckdb_tables() WHERE table_name = 'activity'").fetchall():
            create_tables(db)
        known = {day for (day,) in db.sql("SELECT day FROM lake.sealed_days").fetchall()}
        waiting = sorted(self._inventory.sealed.keys() - known)
        db.execute("DELETE FROM days WHERE NOT sealed")
        kept = 0
        for number, day in enumerate(waiting):
            if progress:
                progress(number, len(waiting))
            self._read_day(day)
            self.rebuilt.append(day)
            if self.rows - kept > _TOGETHER:
                db.commit()
                db.begin()
                kept = self.rows
        self._read_landed()
        self._summarise()
        self._create_view()
        fill_actions(db)
        db.execute("DELETE FROM lake.build")
        db.execute("INSERT INTO lake.build VALUES (?, ?, ?, ?)", [form(), root, datetime.now(UTC), state])
        db.commit()

    def _summarise(self) -> None:
        """Count the landed days, and tell which of the sealed ones are published."""
        db = self._db
        db.execute(
            "INSERT INTO days SELECT day, count(DISTINCT tenant_id), count(*), false, false, NULL FROM activity "
            "WHERE NOT sealed AND day NOT IN (SELECT day FROM days) GROUP BY day"
        )
        db.register("public", pa.table({"day": pa.array(sorted(self._inventory.published), pa.date32())}))
        db.execute("UPDATE days SET published = day IN (SELECT day FROM public) WHERE sealed")
        db.unregister("public")

    def _create_view(self) -> None:
        db = self._db
        if self._lake.file_system is not None:
            db.register_filesystem(self._lake.file_system(EVENTS_PREFIX))
        files = db.sql("SELECT key, day IS NOT NULL FROM lake.files ORDER BY day, key").fetchall()
        paths = [(self._lake.locate(key), sealed) for key, sealed in files]
        create_events(db, [path for path, sealed in paths if sealed], [path for path, sealed in paths if not sealed])

    def _read_day(self, day: date) -> None:
        sealed = load_sealed_day(self._lake, day)
        self._insert(sealed.event_files, day)
        active = sum(tenant.record.count > 0 for tenant in sealed.present.values())
        events = sum(file.rows for file in sealed.event_files)
        self._db.execute(
            "INSERT INTO days VALUES (?, ?, ?, true, false, ?)",
            [day, active, events, sealed.manifest.breaks],
        )
        broken = [(t, s.record.breaks) for t, s in sealed.tenants.tenants.items() if s.record.breaks]
        for tenant_id, breaks in broken:
            self._db.execute("INSERT INTO lake.breaks VALUES (?, ?, ?)", [day, tenant_id, breaks])
        self._db.execute("INSERT INTO lake.sealed_days VALUES (?, ?)", [day, self._inventory.sealed[day]])

    def _read_landed(self) -> None:
        """Drop the landed rows that are sealed by now, and read the landings that are new."""
        db = self._db
        through = self._inventory.sealed_through
        db.register(
            "through",
            pa.table(
                {
                    "tenant_id": pa.array(list(through), pa.string()),
                    "next_seq": pa.array(list(through.values()), pa.int64()),
                }
            ),
        )
        db.execute("DELETE FROM lake.sealed_through; INSERT INTO lake.sealed_through SELECT * FROM through")
        db.unregister("through")
        wanted = {file.path: file for file in self._inventory.landed}
        known = {key for (key,) in db.sql("SELECT key FROM lake.files WHERE day IS NULL").fetchall()}
        for key in known - wanted.keys():
            db.execute("DELETE FROM lake.files WHERE key = ?", [key])
        db.execute(
            "DELETE FROM activity WHERE NOT sealed AND (file NOT IN (SELECT file FROM lake.files) OR seq < "
            "(SELECT next_seq FROM lake.sealed_through AS t WHERE t.tenant_id = activity.tenant_id))"
        )
        self._insert([file for path, file in wanted.items() if path not in known], None)

    def _insert(self, files: Sequence[StoredFile], day: date | None) -> None:
        """Read the rows of committed files: all of them, or of landed ones (no ``day``) those that no day holds."""
        if not files:
            return
        db = self._db
        ((last,),) = db.sql("SELECT coalesce(max(file), 0) FROM lake.files").fetchall()
        numbered = list(enumerate(files, last + 1))
        db.executemany(
            "INSERT INTO lake.files VALUES (?, ?, ?, ?, ?, ?)",
            [[number, file.path, file.size, file.sha256, file.rows, day] for number, file in numbered],
        )
        with TemporaryDirectory(prefix="lumi-") as directory:
            paths = self._lake.fetch_events(files, Path(directory))
            numbers = pa.array([number for number, _ in numbered], pa.int32())
            db.register("opened", pa.table({"filename": pa.array(paths, pa.string()), "file": numbers}))
            statement = _INSERT.format(
                day=DAY_OF if day is None else "$day::DATE",
                columns=", ".join(ACTIVITY_COLUMNS),
                sealed="false" if day is None else "true",
                rest="LEFT JOIN lake.sealed_through USING (tenant_id) WHERE seq >= coalesce(next_seq, 0)"
                if day is None
                else "",
                # Where rows are too long to be sorted, finding one user's takes longer.
                order="" if long_rows(paths) else "ORDER BY actor_id, tenant_id, seq",
            )
            parameters: dict[str, object] = {"paths": paths} if day is None else {"paths": paths, "day": day}
            ((rows,),) = db.execute(statement, parameters).fetchall()
            db.unregister("opened")
        self.rows += rows
