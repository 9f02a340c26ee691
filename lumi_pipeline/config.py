"""Configuration: built-in defaults < ``lumi.toml`` < environment < command line options.

:data:`SETTINGS` is the one list of what can be set; names, environment variables and options all derive from it.
Relative paths in ``lumi.toml`` are relative to that file, all others to the current directory, so a configuration
means the same wherever it is used from.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from lumi_pipeline.compute import parse_compute
from lumi_pipeline.due import parse_due
from lumi_pipeline.errors import ConfigError
from lumi_pipeline.outboxaddress import (
    POSTGRESQL,
    SQLITE,
    OutboxAddress,
    holds_password,
    is_clear,
    postgresql_address,
    sqlite_address,
)
from lumi_pipeline.siem.settings import DestinationSettings, read_destinations
from lumi_pipeline.stores.address import SCHEME, s3_address, split_address
from lumi_pipeline.stores.objectlock import Retention
from transparency.encoding import excerpt, parse_day
from transparency.errors import FormatError

CONFIG_NAME: Final = "lumi.toml"
CONFIG_VARIABLE: Final = "LUMI_CONFIG"
"""The environment form of ``--config``."""

MAX_CONFIG_BYTES: Final = 1 << 20

CLOSED: Final = "closed"
OPEN: Final = "open"
"""What ``witness_fail`` may be."""

_PREFIX: Final = "LUMI_"
_KMS_KEY: Final = re.compile(r"[A-Za-z0-9:/_.-]{1,2048}")
_DAYS: Final = re.compile(r"[1-9][0-9]{0,5}")
_MAX_DAYS: Final = 36_525
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set. ``name`` is its key in ``lumi.toml`` and its field in :class:`Config`."""

    name: str
    default: str | None
    meaning: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return _PREFIX + self.name.upper()

    @property
    def option(self) -> str:
        """The command line option that sets it."""
        return "--" + self.name.replace("_", "-")


SETTINGS: Final = (
    Setting("root", "data/local/lake", "Where the lake and the log lie: a path, file:// URL or s3://BUCKET/PREFIX."),
    Setting("kms_key", None, "KMS key (id or ARN) that encrypts what is written to S3; default: as the bucket does."),
    Setting("object_lock", None, "Retention of sealed days and log in S3: compliance:DAYS or governance:DAYS."),
    Setting("locked_root", None, "Second copy of sealed days and log, under object_lock: s3://BUCKET/PREFIX."),
    Setting("outbox", "sqlite:///data/local/outbox.db", "The outbox database: sqlite:///PATH or postgresql://…"),
    Setting("origin", "localhost/lumi-demo", "The log's name; fixed once the log exists."),
    Setting("first_day", None, "The log's first day (YYYY-MM-DD); default: the day of the first event."),
    Setting("log_key_file", "data/local/keys/log.key", "Secret key that signs checkpoints."),
    Setting("evidence_key_file", "data/local/keys/evidence.key", "Secret key that signs evidence and receipts."),
    Setting("policy_file", None, "Witness policy (tlog-policy); default: no witnesses."),
    Setting(
        "record_due", "02:00", "Time of day (UTC) by which the log is expected to have the record of the day before."
    ),
    Setting(
        "witness_fail",
        "closed",
        "Without the policy's quorum publish nothing (closed), or publish all the same (open).",
    ),
    Setting("operator_tenant", "lumi-operator", "Tenant whose chain records what the operator does."),
    Setting("analyst_db", "data/local/analyst.duckdb", "The analyst database: a DuckDB file, made from the lake."),
    Setting("compute", "inline", "Where heavy work runs: inline, processes:N or dask:tcp://HOST:PORT."),
    Setting("retention_days", None, "Days that events are kept at least; 'lumi prune' needs it. Default: for ever."),
)
_NAMES: Final = tuple(setting.name for setting in SETTINGS)
_DESTINATIONS: Final = "destinations"
_FEEDS: Final = "feeds"
_EVIDENCE_TENANTS: Final = "evidence_tenants"
_IN_FILE: Final = (*_NAMES, _DESTINATIONS, _FEEDS, _EVIDENCE_TENANTS)
"""What a file can say: also ``[[destinations]]``, who else gets the events, ``feeds``, tenants with a pull feed, and
``evidence_tenants``, those for whom evidence is made every month.
"""


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, checked. Paths are absolute; nothing was opened or created yet.

    ``root`` is a ``file://`` or ``s3://`` URL, ``locked_root`` an ``s3://`` URL. ``file`` is the ``lumi.toml`` that was
    read.
    """

    root: str
    outbox: OutboxAddress
    origin: str
    first_day: date | None
    log_key_file: Path
    evidence_key_file: Path
    policy_file: Path | None
    record_due: timedelta
    operator_tenant: str
    analyst_db: Path
    compute: str
    kms_key: str | None = None
    object_lock: Retention | None = None
    locked_root: str | None = None
    destinations: tuple[DestinationSettings, ...] = ()
    feeds: tuple[str, ...] = ()
    evidence_tenants: tuple[str, ...] = ()
    file: Path | None = None
    witness_fail: str = CLOSED
    retention_days: int | None = None

    @property
    def root_path(self) -> Path | None:
        """The local directory of ``root``; None when it is in S3."""
        return local_path(self.root)


def local_path(root: str) -> Path | None:
    """The local directory of a root's URL; None when it is in S3."""
    return None if root.startswith(SCHEME) else Path(unquote(urlsplit(root).path))


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as somebody gave it: ``source`` names it in errors, ``base`` is what its relative paths start from."""

    source: str
    value: object
    base: Path
    is_option: bool = False

    def text(self) -> str:
        """Return the value, which must be text that is neither empty nor holds a NUL."""
        if not isinstance(self.value, str):
            raise ConfigError(f"{self.source} must be text in quotes, not {type(self.value).__name__}")
        if not self.value.strip() or "\0" in self.value:
            raise ConfigError(f"{self.source} is empty; give it a value or leave it out")
        return self.value

    def path(self) -> Path:
        """Return the value as an absolute path."""
        return self.resolve(self.text())

    def resolve(self, text: str) -> Path:
        """Make ``text`` an absolute path."""
        try:
            return self.base / Path(text).expanduser()
        except RuntimeError:
            raise ConfigError(f"{self.source}: {excerpt(text)} names no home directory") from None


def load_config(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, str | None] | None = None,
) -> Config:
    """Read the configuration.

    ``path`` is the file to read; without it ``LUMI_CONFIG`` names it, and without that ``lumi.toml`` of the current
    directory is read if there is one. ``overrides`` are options by setting name; None means not given. Raises
    :class:`~lumi_pipeline.errors.ConfigError` for what is unknown, malformed or missing.
    """
    env = os.environ if env is None else env
    file = _find_file(path, env)
    here = Path.cwd()
    given = {
        setting.name: _Given(f"default of {setting.name}", setting.default, here)
        for setting in SETTINGS
        if setting.default is not None
    }
    for layer in (_from_file(file), _from_environment(env, here), _from_options(overrides or {}, here)):
        given.update(layer)

    def read(name: str, parse: Callable[[_Given], _Value]) -> _Value:
        return parse(given[name])

    return _consistent(
        Config(
            root=read("root", _root),
            outbox=read("outbox", _outbox),
            origin=read("origin", _origin),
            first_day=read("first_day", _day) if "first_day" in given else None,
            log_key_file=read("log_key_file", _Given.path),
            evidence_key_file=read("evidence_key_file", _Given.path),
            policy_file=read("policy_file", _Given.path) if "policy_file" in given else None,
            record_due=read("record_due", _due),
            witness_fail=read("witness_fail", _witness_fail),
            operator_tenant=read("operator_tenant", _tenant),
            analyst_db=read("analyst_db", _Given.path),
            compute=read("compute", _compute),
            retention_days=read("retention_days", _retention_days) if "retention_days" in given else None,
            kms_key=read("kms_key", _kms_key) if "kms_key" in given else None,
            object_lock=read("object_lock", _object_lock) if "object_lock" in given else None,
            locked_root=read("locked_root", _locked_root) if "locked_root" in given else None,
            destinations=read(_DESTINATIONS, _read_destinations) if _DESTINATIONS in given else (),
            feeds=read(_FEEDS, _tenants) if _FEEDS in given else (),
            evidence_tenants=read(_EVIDENCE_TENANTS, _tenants) if _EVIDENCE_TENANTS in given else (),
            file=file,
        )
    )


def _find_file(path: Path | None, env: Mapping[str, str]) -> Path | None:
    if path is None and CONFIG_VARIABLE in env:
        path = _Given(CONFIG_VARIABLE, env[CONFIG_VARIABLE], Path.cwd()).path()
    if path is None:
        path = Path(CONFIG_NAME)
        # Only the file that nobody asked for may be missing; a dangling link was somebody's intention.
        if not path.exists() and not path.is_symlink():
            return None
    return path.absolute()


def _from_file(file: Path | None) -> dict[str, _Given]:
    if file is None:
        return {}
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_CONFIG_BYTES + 1)
        if len(data) > MAX_CONFIG_BYTES:
            raise ConfigError(f"{file} is larger than {MAX_CONFIG_BYTES} bytes; it is not a configuration file")
        table: dict[str, object] = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not valid UTF-8 at byte {error.start}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    for key in table:
        if key not in _IN_FILE:
            nearest = _nearest(key, _IN_FILE)
            raise ConfigError(f"{file}: unknown key {excerpt(key)}; did you mean {nearest!r}?")
    return {key: _Given(f"{file}: {key}", value, file.parent) for key, value in table.items()}


def _from_environment(env: Mapping[str, str], here: Path) -> dict[str, _Given]:
    variables = {setting.variable: setting.name for setting in SETTINGS}
    known = (*variables, CONFIG_VARIABLE)
    for variable in env:
        # Other LUMI_ variables may hold secrets that the configuration refers to by name; a near miss is a slip.
        if variable.startswith(_PREFIX) and variable not in known:
            nearest = difflib.get_close_matches(variable, known, n=1, cutoff=0.85)
            if nearest:
                raise ConfigError(f"unknown environment variable {variable}; did you mean {nearest[0]}?")
    return {name: _Given(variable, env[variable], here) for variable, name in variables.items() if variable in env}


def _from_options(overrides: Mapping[str, str | None], here: Path) -> dict[str, _Given]:
    for name in overrides:
        if name not in _NAMES:
            raise ConfigError(f"unknown setting {excerpt(name)}; did you mean {_nearest(name, _NAMES)!r}?")
    options = {setting.name: setting.option for setting in SETTINGS}
    return {
        name: _Given(options[name], value, here, is_option=True)
        for name, value in overrides.items()
        if value is not None
    }


def _nearest(name: str, known: tuple[str, ...]) -> str:
    return difflib.get_close_matches(name[:100], known, n=1, cutoff=0.0)[0]


def _root(given: _Given) -> str:
    text = given.text()
    scheme, separator, rest = text.partition("://")
    if not separator:
        return given.resolve(text).as_uri()
    if scheme == "s3":
        return _s3(given)
    if scheme != "file":
        raise ConfigError(
            f"{given.source}: {excerpt(scheme)} URLs are not supported; give a path or s3://BUCKET/PREFIX"
        )
    if not rest.startswith("/") or "?" in rest or "#" in rest:
        raise ConfigError(f"{given.source}: {excerpt(text)} is not file:///PATH with an absolute path")
    return given.resolve(unquote(rest)).as_uri()


def _s3(given: _Given) -> str:
    text = given.text()
    try:
        return s3_address(text)
    except ValueError as error:
        raise ConfigError(f"{given.source}: {excerpt(text)} is not an S3 address: {error}") from None


def _locked_root(given: _Given) -> str:
    if not given.text().startswith(SCHEME):
        raise ConfigError(f"{given.source} must be {SCHEME}BUCKET/PREFIX: only S3 has Object Lock")
    return _s3(given)


def _kms_key(given: _Given) -> str:
    text = given.text()
    if not _KMS_KEY.fullmatch(text):
        raise ConfigError(f"{given.source}: {excerpt(text)} is neither the id nor the ARN of a KMS key")
    return text


def _object_lock(given: _Given) -> Retention:
    text = given.text()
    try:
        return Retention.parse(text)
    except ValueError as error:
        raise ConfigError(f"{given.source}: {excerpt(text)} is not a retention: {error}") from None


def _consistent(config: Config) -> Config:
    """Refuse settings that make no sense together: what nobody would notice missing must not be left out silently."""
    in_s3 = config.root_path is None
    if config.locked_root is not None:
        if config.object_lock is None:
            raise ConfigError("'locked_root' needs 'object_lock', which says how long its objects can't be deleted")
        if in_s3 and split_address(config.root)[0] == split_address(config.locked_root)[0]:
            raise ConfigError(
                "'root' and 'locked_root' are in one bucket; Object Lock needs another one, which keeps versions"
            )
    elif not in_s3 and config.object_lock is not None:
        raise ConfigError("'object_lock' needs S3: set 'root' or 'locked_root' to s3://BUCKET/PREFIX, or leave it out")
    elif not in_s3 and config.kms_key is not None:
        raise ConfigError("'kms_key' needs S3: set 'root' or 'locked_root' to s3://BUCKET/PREFIX, or leave it out")
    return config


_OUTBOX_URLS: Final = f"{SQLITE}PATH or postgresql://USER@HOST/DATABASE"


def _outbox(given: _Given) -> OutboxAddress:
    text = given.text()
    scheme, separator, _ = text.partition("://")
    # A database URL may hold a password, so no message repeats more of it than its scheme.
    if not separator and any(sign in text for sign in "@=:"):
        raise ConfigError(f"{given.source} is not a database URL; write {_OUTBOX_URLS}")
    if not separator:
        raise ConfigError(f"{given.source} is a database URL; for the SQLite file {excerpt(text)} write {SQLITE}{text}")
    if text.startswith(POSTGRESQL):
        if given.is_option and holds_password(text):
            raise ConfigError(
                f"{given.source}: everybody on this machine can read a password on a command line; put the URL into"
                " LUMI_OUTBOX, or leave the password out and name a password file in PGPASSFILE"
            )
        if not is_clear(text):
            raise ConfigError(
                f"{given.source} is not a URL of PostgreSQL; write it as"
                " postgresql://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETER=VALUE, in names and passwords with %40 for @,"
                " %2F for /, %3A for : and %25 for %"
            )
        return postgresql_address(text)
    if scheme != "sqlite":
        raise ConfigError(f"{given.source}: {excerpt(scheme)} URLs are not supported; use {_OUTBOX_URLS}")
    path = text.removeprefix(SQLITE)
    if path == text or not path or "?" in path or "#" in path or path.startswith(":"):
        raise ConfigError(f"{given.source} must be {SQLITE}PATH, naming a database file and no parameters")
    return sqlite_address(given.resolve(path))


def _origin(given: _Given) -> str:
    from transparency.keys import check_name  # noqa: PLC0415 - the help text needs no cryptography

    text = given.text()
    try:
        check_name(text)
    except FormatError as error:
        raise ConfigError(f"{given.source} is the log's key name: {error}") from None
    return text


def _day(given: _Given) -> date:
    if isinstance(given.value, date) and not isinstance(given.value, datetime):
        return given.value  # TOML has days of its own
    try:
        return parse_day(given.text())
    except FormatError as error:
        raise ConfigError(f"{given.source}: {error}") from None


def _due(given: _Given) -> timedelta:
    try:
        return parse_due(given.text())
    except ValueError as error:
        raise ConfigError(f"{given.source}: {error}") from None


def _retention_days(given: _Given) -> int:
    value = given.value
    days = int(value) if isinstance(value, str) and _DAYS.fullmatch(value) else value
    if type(days) is not int or not 1 <= days <= _MAX_DAYS:
        raise ConfigError(f"{given.source}: {excerpt(str(value))} is not a number of days from 1 to {_MAX_DAYS}")
    return days


def _witness_fail(given: _Given) -> str:
    text = given.text()
    if text not in {CLOSED, OPEN}:
        raise ConfigError(f"{given.source}: {excerpt(text)} is neither {CLOSED!r} nor {OPEN!r}")
    return text


def _tenant(given: _Given) -> str:
    from lumi_pipeline.events import TENANT_ID_SYNTAX  # noqa: PLC0415 - the help text needs no Arrow

    text = given.text()
    if not TENANT_ID_SYNTAX.fullmatch(text):
        raise ConfigError(f"{given.source}: {excerpt(text)} is not a tenant id ({TENANT_ID_SYNTAX.pattern})")
    return text


def _read_destinations(given: _Given) -> tuple[DestinationSettings, ...]:
    return read_destinations(given.value, given.source, given.base)


def _tenants(given: _Given) -> tuple[str, ...]:
    if not isinstance(given.value, list):
        raise ConfigError(f"{given.source} must be a list of tenant ids, such as ['acme']")
    tenants = [_tenant(_Given(f"{given.source}[{i}]", value, given.base)) for i, value in enumerate(given.value)]
    twice = next((tenant for i, tenant in enumerate(tenants) if tenant in tenants[:i]), None)
    if twice is not None:
        raise ConfigError(f"{given.source}: {twice!r} is there twice")
    return tuple(tenants)


def _compute(given: _Given) -> str:
    return parse_compute(given.text(), given.source)
