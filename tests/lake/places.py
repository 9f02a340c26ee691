"""Where a test world lies: in SQLite and files, or in PostgreSQL and S3. What differs between the two is here."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar

from lumi_pipeline.config import Config
from lumi_pipeline.lake import Lake
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.opening import open_outbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.outboxaddress import postgresql_address
from lumi_pipeline.stores.roots import open_lake
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3client import S3Connection
from tests.databases import allow_test_sql, new_postgresql_outbox, url_of
from tests.postgresql import Postgresql
from tests.s3 import S3
from transparency.filestore import FileStore
from transparency.store import ObjectStore

Clock = Callable[[], datetime]

LOCAL: Final = "sqlite-and-files"
REMOTE: Final = "postgresql-and-s3"


SAMPLE: Final = 6
"""Of the moments at which a run may be killed or overtaken, one in so many is tried in a remote place."""

thorough = False
"""Whether all of them are tried in every place; set by the option --thorough."""

_Moment = TypeVar("_Moment")


def tries_all(place: "Place") -> bool:
    """Whether every moment is tried in a place."""
    return thorough or place.kind == LOCAL


def sampled(moments: Sequence[_Moment], place: "Place") -> list[_Moment]:
    """The moments to try: all of them in a local place, where each costs little; else some, the last among them."""
    if tries_all(place):
        return list(moments)
    return [moment for number, moment in enumerate(reversed(moments)) if number % SAMPLE == 0][::-1]


class Place(Protocol):
    """An outbox and a root. ``kind`` is LOCAL or REMOTE."""

    kind: str
    root: str
    outbox: Outbox

    @property
    def store(self) -> ObjectStore:
        """The store at the root, as somebody sees it who is not the pipeline."""
        ...

    def lake(self, config: Config, clock: Clock) -> Lake:
        """The lake as a pipeline opens it."""
        ...

    def copy(self, directory: Path) -> "Place":
        """An independent place with the same content."""
        ...

    def lose_outbox(self) -> None:
        """Remove the database."""
        ...

    def take_outbox(self, other: "Place") -> None:
        """Put the other place's database where this one's was, as after a restore; the other place has none then."""
        ...

    def overwrite(self, key: str, data: bytes) -> None:
        """Change an object as somebody with access to the storage could."""
        ...

    def changed(self, key: str) -> object:
        """Something that is another whenever the object was written again."""
        ...


@dataclass(slots=True)
class LocalPlace:
    """SQLite and files in a directory."""

    directory: Path
    kind: str = LOCAL
    root: str = field(init=False)
    outbox: Outbox = field(init=False)

    def __post_init__(self) -> None:
        self.root = str(self.directory / "lake")
        self.outbox = SqliteOutbox(self.directory / "outbox.db")

    @classmethod
    def create(cls, directory: Path) -> "LocalPlace":
        SqliteOutbox.init(directory / "outbox.db")
        return cls(directory)

    @property
    def store(self) -> FileStore:
        return FileStore(Path(self.root))

    def lake(self, config: Config, clock: Clock) -> Lake:
        return open_lake(config, clock)

    def copy(self, directory: Path) -> "LocalPlace":
        for path in self.directory.glob("outbox.db*"):
            shutil.copy(path, directory)
        if Path(self.root).exists():
            shutil.copytree(self.root, directory / "lake")
        return LocalPlace(directory)

    def lose_outbox(self) -> None:
        for path in self.directory.glob("outbox.db*"):
            path.unlink()

    def take_outbox(self, other: Place) -> None:
        assert isinstance(other, LocalPlace)
        self.lose_outbox()
        for path in other.directory.glob("outbox.db*"):
            path.rename(self.directory / path.name)

    def overwrite(self, key: str, data: bytes) -> None:
        self.store.path(key).write_bytes(data)

    def changed(self, key: str) -> object:
        return self.store.path(key).stat().st_mtime_ns


@dataclass(slots=True)
class Services:
    """The servers behind remote places, and one bucket for all that a run of tests keeps there."""

    postgresql: Postgresql
    s3: S3
    bucket: str
    connection: S3Connection = field(default_factory=S3Connection)
    """Shared: to open one takes longer than most tests."""
    made: int = 0

    def prefix(self) -> str:
        """A prefix of the bucket that nobody used before."""
        self.made += 1
        return f"{self.made}/"


@dataclass(slots=True)
class RemotePlace:
    """A PostgreSQL database, and a prefix of a bucket."""

    services: Services
    url: str
    prefix: str
    kind: str = REMOTE
    root: str = field(init=False)
    outbox: Outbox = field(init=False)

    def __post_init__(self) -> None:
        self.root = f"s3://{self.services.bucket}/{self.prefix}".removesuffix("/")
        self.outbox = open_outbox(postgresql_address(self.url))

    @classmethod
    def create(cls, services: Services) -> "RemotePlace":
        outbox = new_postgresql_outbox(services.postgresql.create_database())
        allow_test_sql(url_of(outbox))
        return cls(services, url_of(outbox), services.prefix())

    @property
    def store(self) -> S3Store:
        return S3Store(self.services.connection, self.services.bucket, self.prefix)

    def lake(self, config: Config, clock: Clock) -> Lake:  # noqa: ARG002 - neither a key nor a lock is configured
        return Lake(self.store, self.store.url, self.store.file_system)

    def copy(self, directory: Path) -> "RemotePlace":  # noqa: ARG002 - nothing of it lies on the disk
        copied = RemotePlace(self.services, self.services.postgresql.create_database(self.url), self.services.prefix())
        self.services.s3.copy(self.store, copied.store)
        return copied

    def lose_outbox(self) -> None:
        self.services.postgresql.drop(self.url)

    def take_outbox(self, other: Place) -> None:
        assert isinstance(other, RemotePlace)
        self.lose_outbox()
        self.services.postgresql.rename(other.url, self.url)

    def overwrite(self, key: str, data: bytes) -> None:
        self.services.s3.admin.put_object(Bucket=self.services.bucket, Key=self.prefix + key, Body=data)

    def changed(self, key: str) -> object:
        found = self.services.s3.admin.head_object(Bucket=self.services.bucket, Key=self.prefix + key)
        return found["LastModified"], found["ETag"]


NewPlace = Callable[[Path], Place]
"""Makes an empty place, for which it may use a directory."""
