"""The tests' own S3: one server for the run, Ceph's gateway where it is installed, else moto's server in Python.

Both refuse what they should where tests rely on it. Only Ceph knows which KMS keys exist; only moto honours create-only
puts in versioned buckets, as AWS does (see :func:`moto_server`).
"""

import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import botocore.session
import pytest

from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3client import Limits, S3Connection
from tests.servers import Servers, Settings, Unavailable

CHOICE: Final = "TEST_S3"
"""Set to ``ceph`` or ``moto``, it decides which server is used; otherwise Ceph's is if it is installed."""

KMS_KEY: Final = "testkey-1"
"""A KMS key that Ceph's gateway knows."""

CUSTOMER_KEY: Final = "arn:aws:kms:us-east-1:000000000000:key/customer-1"
"""Another one, named as AWS names the key of another account."""

_PROGRAMS: Final = ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-osd", "monmaptool")
_SECRET: Final = "only-for-tests"  # it listens on the loopback interface alone, and only while the tests run
_STARTS: Final = 4
_PATIENCE: Final = 40
_STORE_PATIENCE: Final = 15
"""Seconds that Ceph's gateway, and the store behind it, may take to start before they are started anew."""


@dataclass(frozen=True, slots=True)
class S3:
    """A running server; the environment names it for as long as the tests run. Each test makes buckets of its own."""

    kind: str
    endpoint: str
    admin: Any

    def bucket(self, *, versioned: bool = False, locked: bool = False) -> str:
        """The name of a new bucket: plain, with versions, or with Object Lock enabled (which needs versions)."""
        name = f"test-{uuid.uuid4().hex}"
        self.admin.create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if locked else {}))
        if versioned:
            self.admin.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def store(self, bucket: str | None = None, prefix: str = "", limits: Limits | None = None) -> S3Store:
        """A store in a bucket, by default a new plain one."""
        return S3Store(S3Connection(limits or Limits()), bucket or self.bucket(), prefix)

    def copy(self, source: S3Store, target: S3Store) -> None:
        """Copy every object of one store to another one, inside the server."""
        for key in source.list(""):
            copied = {"Bucket": source.bucket, "Key": source.prefix + key}
            self.admin.copy_object(Bucket=target.bucket, Key=target.prefix + key, CopySource=copied)


def chosen() -> str:
    """Which server the tests use on this machine: ``ceph`` or ``moto``."""
    named = os.environ.get(CHOICE)
    if named not in {None, "ceph", "moto"}:
        raise Unavailable(f"{CHOICE} is {named!r}, but there are 'ceph' and 'moto'.")
    return named or ("ceph" if not _missing() else "moto")


def pytest_report_header() -> str:
    """Say which S3 server the tests run against."""
    if chosen() == "moto":
        missing = "" if os.environ.get(CHOICE) else f", as {_missing()[0]} is not installed"
        return f"S3: moto{missing} (Debian: apt-get install ceph-mon ceph-osd radosgw ceph-common)"
    version = subprocess.run(["radosgw", "--version"], capture_output=True, text=True, check=False).stdout
    return f"S3: {' '.join(version.split()[:3])}"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark what needs the server as slow: whoever needs it first waits for its start."""
    for item in items:
        if {"s3", "ceph"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@contextmanager
def server(directory: Path) -> Iterator[Settings]:
    """The S3 server that :func:`chosen` names; it listens on the loopback interface."""
    with ceph_server(directory) if chosen() == "ceph" else moto_server(directory) as settings:
        yield settings


@contextmanager
def moto_server(directory: Path) -> Iterator[Settings]:  # noqa: ARG001 - it keeps everything in memory
    """S3 in Python: what it lacks in realism it makes up in being there, and in how it treats versioned buckets.

    It works on one request after the other, because it does not check and create under one lock.
    """
    try:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
        from werkzeug.serving import make_server  # noqa: PLC0415
    except ImportError as error:
        raise Unavailable(f"moto's server is not installed ({error}); install the 'dev' extra.") from None
    http = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield _settings("moto", http.port)
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@contextmanager
def ceph_server(directory: Path) -> Iterator[Settings]:
    """Ceph's gateway over a store in memory."""
    missing = _missing()
    if missing:
        raise Unavailable(f"Ceph's S3 gateway is not installed: no {', '.join(missing)}.")
    for number in range(_STARTS):
        ceph = _Ceph(directory / str(number))
        try:
            ceph.start()
            yield _settings("ceph", ceph.port)
        except TimeoutError:
            continue
        finally:
            ceph.stop()
        return
    raise TimeoutError(f"Ceph's gateway hung in each of {_STARTS} starts")


def _settings(kind: str, port: int) -> Settings:
    return {"kind": kind, "endpoint": f"http://127.0.0.1:{port}"}


def _missing() -> list[str]:
    return [program for program in _PROGRAMS if shutil.which(program) is None]


class _Ceph:
    """A monitor, a store and a gateway in one directory."""

    def __init__(self, directory: Path) -> None:
        for name in ("mon", "osd", "rgw", "run", "log"):
            (directory / name).mkdir(parents=True)
        self._directory = directory
        self._conf = directory / "ceph.conf"
        self._monitor, self.port = _free_ports(2)
        self._end = time.monotonic() + _PATIENCE
        self._processes: list[subprocess.Popen[bytes]] = []
        self._fsid = str(uuid.uuid4())
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._conf.write_text(
            _CEPH_CONF.format(
                fsid=self._fsid,
                directory=directory,
                monitor=self._monitor,
                port=self.port,
                kms_key=KMS_KEY,
                customer_key=CUSTOMER_KEY,
                key=key,
            )
        )

    def start(self) -> None:
        place = self._directory
        monitors = place / "monmap"
        address = f"[v1:127.0.0.1:{self._monitor}]"
        self._run(["monmaptool", "--create", "--clobber", "--fsid", self._fsid, "--addv", "a", address, str(monitors)])
        self._run(["ceph-mon", *self._own("-i", "a"), "--mkfs", "--monmap", str(monitors)])
        self._spawn(["ceph-mon", "-f", *self._own("-i", "a")])
        osd = str(uuid.uuid4())
        self._retry(["ceph", "-c", str(self._conf), "--connect-timeout", "3", "-s"])
        self._run(["ceph", "-c", str(self._conf), "osd", "new", osd])
        self._run(["ceph-osd", *self._own("-i", "0"), "--mkfs", "--osd-uuid", osd])
        self._run(["ceph", "-c", str(self._conf), "osd", "crush", "add", "osd.0", "1", "host=here", "root=default"])
        self._spawn(["ceph-osd", "-f", *self._own("-i", "0")])
        self._wait_for_store()
        self._spawn(["radosgw", "-f", *self._own("-n", "client.rgw")])
        self._wait_for_gateway()
        user = ["user", "create", "--uid=test", "--display-name=test", "--access-key=test", f"--secret-key={_SECRET}"]
        self._run(["radosgw-admin", "-c", str(self._conf), *user])

    def stop(self) -> None:
        """Kill everything: nothing that it keeps is worth a farewell."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _own(self, *name: str) -> list[str]:
        user = ["--setuser", "root", "--setgroup", "root"] if os.geteuid() == 0 else []
        return ["-c", str(self._conf), *name, *user]

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _run(self, command: Sequence[str]) -> None:
        try:
            subprocess.run(command, cwd=self._directory, timeout=self._left(), check=True)
        except subprocess.TimeoutExpired:
            raise TimeoutError from None

    def _retry(self, command: Sequence[str]) -> None:
        while True:
            with suppress(subprocess.CalledProcessError):
                self._run(command)
                return
            time.sleep(min(0.2, self._left()))

    def _spawn(self, command: Sequence[str]) -> None:
        self._processes.append(subprocess.Popen(command, cwd=self._directory))

    def _wait_for_store(self) -> None:
        """It is up after three seconds or, in about one start in eight, never."""
        end = time.monotonic() + _STORE_PATIENCE
        status = ["ceph", "-c", str(self._conf), "--connect-timeout", "3", "osd", "stat"]
        while "1 up" not in subprocess.run(status, capture_output=True, text=True, check=False).stdout:
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(min(0.2, self._left()))

    def _wait_for_gateway(self) -> None:
        while True:
            with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=1).close()
                return
            time.sleep(min(0.2, self._left()))


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


_CEPH_CONF: Final = """
[global]
fsid = {fsid}
mon host = [v1:127.0.0.1:{monitor}]
auth cluster required = none
auth service required = none
auth client required = none
public network = 127.0.0.0/8
cluster network = 127.0.0.0/8
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
run dir = {directory}/run
log file = {directory}/log/$name.log
admin socket = {directory}/run/$name.asok
ms bind msgr2 = false
[mon]
mon data = {directory}/mon
mon data avail warn = 2
[osd]
osd data = {directory}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw data = {directory}/rgw
rgw crypt require ssl = false
rgw crypt s3 kms backend = testing
rgw crypt s3 kms encryption keys = {kms_key}={key} {customer_key}={key}
"""


@contextmanager
def environment(settings: Settings) -> Iterator[S3]:
    """Let the environment name a server, as an operator's would, and be nobody else's."""
    variables = {
        "AWS_ENDPOINT_URL": settings["endpoint"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": _SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield S3(settings["kind"], settings["endpoint"], botocore.session.Session().create_client("s3"))


@pytest.fixture(scope="session")
def s3(servers: Servers) -> Iterator[S3]:
    """The run's S3 server."""
    with environment(servers.shared(server)) as running:
        yield running


@pytest.fixture
def aws_like_s3(servers: Servers) -> Iterator[S3]:
    """A server that honours create-only puts in versioned buckets, as AWS does and Ceph's gateway does not."""
    with environment(servers.shared(moto_server)) as running:
        yield running


@pytest.fixture
def ceph(s3: S3) -> S3:
    """Ceph's gateway, for what moto does not do."""
    if s3.kind != "ceph":
        pytest.skip("needs Ceph's S3 gateway (Debian: apt-get install ceph-mon ceph-osd radosgw ceph-common)")
    return s3
