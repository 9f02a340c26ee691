"""The tests' own PostgreSQL: one server for the run with a database a test, or a server for one test alone.

Its settings are chosen to catch what works by accident elsewhere: a time zone that is not UTC and, where the server
knows one, a collation that is not the order of bytes.
"""

import os
import pwd
import random
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.servers import Servers, Settings, Unavailable

CHOICE: Final = "POSTGRESQL_BIN"
"""Names the directory of another version's programs than the newest that is found."""

_MISSING: Final = (
    "PostgreSQL's server is not installed: no initdb in {places}. Install it (Debian: apt-get install postgresql; "
    f"macOS: brew install postgresql), or name the directory of its programs in {CHOICE}."
)
_PASSWORD: Final = "only-for-tests"  # it listens on the loopback interface alone, and only while the tests run


@dataclass(slots=True)
class Postgresql:
    """A running server. ``url`` is its administrator's; tests work in databases that :meth:`create_database` makes."""

    url: str
    _created: list[str] = field(default_factory=list)

    def create_database(self, template: str | None = None) -> str:
        """The URL of a new database, empty or a copy of the one at the URL ``template``, which nobody may be using.

        A copy is made of files, so it takes about as long as copying them. It is dropped when the test is over.
        """
        name = f"test_{uuid.uuid4().hex}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(_database(template))
            if self.version >= 150000:  # before, this was the only way and had no name
                statement += sql.SQL(" STRATEGY FILE_COPY")
        self._run(statement)
        self._created.append(name)
        return self.url.rpartition("/")[0] + "/" + name

    def drop(self, url: str) -> None:
        """Drop one database, whoever is still connected."""
        self._run(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(_database(url)))

    def rename(self, old: str, new: str) -> None:
        """Give a database, which nobody may be using, the address of one that is gone."""
        self._run(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(_database(old), _database(new)))

    @property
    def databases(self) -> int:
        """How many databases were created and not dropped."""
        return len(self._created)

    def drop_databases(self, keep: int = 0) -> None:
        """Drop what was created, but for the first ``keep``, whoever is still connected."""
        while len(self._created) > keep:
            self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self._created.pop())))

    @property
    def version(self) -> int:
        """The server's version as PostgreSQL counts: 150004 is 15.4."""
        with psycopg.connect(self.url) as connection:
            return connection.info.server_version

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@dataclass(slots=True)
class PrivatePostgresql(Postgresql):
    """A server of one test alone, which may be stopped, killed and started again; it keeps its address."""

    programs: Path = Path()
    data: Path = Path()

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends its sessions, ``immediate`` is a crash, which the next start recovers from."""
        _stop(self.programs, self.data, mode)

    def start(self) -> None:
        """Start it again, at the same address; returns when it answers."""
        _start(self.programs, self.data)

    def kill_backends(self, of: LiteralString = "true") -> int:
        """SIGKILL the sessions for which the condition ``of`` on pg_stat_activity holds; the server then recovers.

        Returns how many there were.
        """
        query = sql.SQL(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND {}"
        ).format(sql.SQL(of))
        with psycopg.connect(self.url) as connection:
            pids = [pid for (pid,) in connection.execute(query).fetchall()]
        for pid in pids:
            os.kill(pid, 9)
        return len(pids)


def _database(url: str) -> sql.Identifier:
    return sql.Identifier(url.rpartition("/")[2])


@contextmanager
def cluster(directory: Path, *, fsync: bool = False) -> Iterator[Settings]:
    """The server: a new cluster in ``directory``. Without ``fsync`` it survives its own crash, not the machine's."""
    programs = _programs()
    data = directory / "data"
    password = directory / "password"
    password.write_text(_PASSWORD)
    owner = _owner()
    if owner is not None:
        for path in (directory, password):
            shutil.chown(path, owner)
    _init(programs, data, password)
    try:
        port = _start_on_a_free_port(programs, data, fsync=fsync)
        url = f"postgresql://postgres:{_PASSWORD}@127.0.0.1:{port}/postgres"
        yield {"url": url, "programs": str(programs), "data": str(data), "sockets": str(directory)}
    finally:
        if (data / "postmaster.pid").exists():
            _stop(programs, data, "immediate")


@pytest.fixture
def postgresql(servers: Servers) -> Iterator[Postgresql]:
    """The run's server; the test's databases are dropped when it is over."""
    server = Postgresql(servers.shared(cluster)["url"])
    yield server
    server.drop_databases()


@pytest.fixture
def private_postgresql(servers: Servers) -> Iterator[PrivatePostgresql]:
    """A server for this test alone, which keeps what it promised to keep even when the machine crashes."""
    with servers.private(cluster, fsync=True) as settings:
        yield PrivatePostgresql(settings["url"], programs=Path(settings["programs"]), data=Path(settings["data"]))


def _programs() -> Path:
    """The directory of the newest version's programs."""
    chosen = os.environ.get(CHOICE)
    if chosen is not None:
        places = [Path(chosen)]
    else:
        places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts[-2].zfill(4))[::-1]
        config = shutil.which("pg_config")
        if config is not None:
            bindir = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip()
            places.append(Path(bindir))
        found = shutil.which("initdb")
        places += [Path(found).resolve().parent] if found else []
    for place in places:
        if all((place / program).exists() for program in ("initdb", "postgres", "pg_ctl")):
            return place
    looked = ", ".join(map(str, places)) or "/usr/lib/postgresql/*/bin, pg_config --bindir, PATH"
    raise Unavailable(_MISSING.format(places=looked))


def _init(programs: Path, data: Path, password: Path) -> None:
    """Make the cluster, in the first of these orders of text that this machine's server knows."""
    command = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password]
    command += ["--no-sync", "--encoding=UTF8"]
    english = (["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"], ["--locale=en_US.UTF-8"])
    for order in english:
        with suppress(subprocess.CalledProcessError):
            _as_owner(data.parent, *command, *order)
            return
    _as_owner(data.parent, *command)


def _start_on_a_free_port(programs: Path, data: Path, *, fsync: bool) -> int:
    for attempts_left in reversed(range(5)):
        port = _free_port()
        (data / "postgresql.auto.conf").write_text(_configuration(port, data.parent, fsync=fsync))
        try:
            _start(programs, data)
        except subprocess.CalledProcessError:  # perhaps somebody else took the port meanwhile
            if not attempts_left:
                raise
        else:
            break
    return port


def _configuration(port: int, sockets: Path, *, fsync: bool) -> str:
    values = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": sockets,
        "max_connections": 200,
        "fsync": "on" if fsync else "off",
        "timezone": "Asia/Kolkata",
        # Beside the data, so that it goes when they go, after whatever kind of end.
        "dynamic_shared_memory_type": "mmap",
    }
    return "".join(f"{name} = '{value}'\n" for name, value in values.items())


def _start(programs: Path, data: Path) -> None:
    _as_owner(
        data.parent, programs / "pg_ctl", "start", "-D", data, "-w", "-t", "120", "-l", data.parent / "server.log"
    )


def _stop(programs: Path, data: Path, mode: str) -> None:
    _as_owner(data.parent, programs / "pg_ctl", "stop", "-D", data, "-w", "-t", "120", "-m", mode)


def _as_owner(directory: Path, *command: str | Path) -> None:
    """Run a program of PostgreSQL's, which refuses root, as the owner of its directory."""
    owner = _owner()
    group = None if owner is None else pwd.getpwnam(owner).pw_gid
    subprocess.run(
        list(map(str, command)),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        user=owner,
        group=group,
        extra_groups=None if owner is None else [],
        check=True,
    )


def _owner() -> str | None:
    """Whose the server is, where it can't be ours."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name for user in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), None)


def _free_port() -> int:
    # Below the ports that outgoing connections get, or one of them may take it while the server is down.
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
