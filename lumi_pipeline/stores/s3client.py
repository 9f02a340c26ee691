"""The connection to S3: botocore's client with bounded patience, and the file system that DuckDB reads through.

Region, endpoint, credentials and profile are what botocore finds in the usual places (``AWS_REGION``,
``AWS_ENDPOINT_URL``, ``AWS_PROFILE``, the shared files, the instance's role, …); nothing of that is ours to configure.
"""

import hashlib
import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final, NotRequired, Protocol, TypedDict

import botocore.session  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, InvalidConfigError  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

_POOL: Final = 16
"""Connections kept open: as many as sealing has writers."""

_BLOCK: Final = 2**20
"""How many bytes are read ahead at once, where a reader asks for a few."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, patience in seconds.

    ``attempts`` is how often a request is sent at most; waits in between grow, to 20 seconds at the longest. So an
    endpoint that is dead is given up after seconds, and one that accepts connections and never answers after minutes.
    ``largest`` is how large an object may be that is read, where it comes from strangers.
    """

    multipart_from: int = 64 * 2**20
    part_size: int = 16 * 2**20
    page: int = 1000
    attempts: int = 4
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    largest: int | None = None


class Body(Protocol):
    """The content of an object while it is received."""

    def read(self) -> bytes:
        """Receive all of it."""

    def close(self) -> None:
        """Give up the rest."""


class Received(TypedDict):
    """The answer to GetObject, as far as it is used; strangers may leave out the length."""

    Body: Body
    ContentLength: NotRequired[int]


class Listing(TypedDict, total=False):
    """A page of ListObjectsV2."""

    Contents: list[dict[str, str]]
    NextContinuationToken: str


class Version(TypedDict):
    """One version of an object, or a mark that it was deleted."""

    Key: str
    VersionId: str
    IsLatest: bool


class Versions(TypedDict, total=False):
    """A page of ListObjectVersions."""

    Versions: list[Version]
    DeleteMarkers: list[Version]
    IsTruncated: bool
    NextKeyMarker: str
    NextVersionIdMarker: str


class S3Client(Protocol):
    """The operations of botocore's client that are used here; botocore itself has no types."""

    def get_object(self, **parameters: object) -> Received:
        """GetObject."""

    def head_object(self, **parameters: object) -> object:
        """HeadObject."""

    def put_object(self, **parameters: object) -> object:
        """PutObject."""

    def delete_object(self, **parameters: object) -> object:
        """DeleteObject."""

    def list_object_versions(self, **parameters: object) -> Versions:
        """ListObjectVersions."""

    def list_objects_v2(self, **parameters: object) -> Listing:
        """ListObjectsV2."""

    def create_multipart_upload(self, **parameters: object) -> Mapping[str, str]:
        """CreateMultipartUpload."""

    def upload_part(self, **parameters: object) -> Mapping[str, str]:
        """UploadPart."""

    def complete_multipart_upload(self, **parameters: object) -> object:
        """CompleteMultipartUpload."""

    def abort_multipart_upload(self, **parameters: object) -> object:
        """AbortMultipartUpload."""


@dataclass(slots=True)
class _Opened:
    """A client, and the process that made it."""

    pid: int
    client: S3Client


@dataclass(frozen=True, slots=True)
class S3Connection:
    """A client for each process that needs one, made at first use; safe to share between threads, and to pickle."""

    limits: Limits = Limits()
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)
    _opened: list[_Opened] = field(default_factory=list, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[type["S3Connection"], tuple[Limits]]:
        """Pickle without the client: the other process makes its own, with what it finds in its environment."""
        return type(self), (self.limits,)

    def client(self) -> S3Client:
        """The client of this process; raises what botocore raises when credentials or settings can't be read."""
        with self._lock:
            # A forked process must not send on the connections of its parent.
            if not self._opened or self._opened[0].pid != os.getpid():
                self._opened[:] = [_Opened(os.getpid(), self._connect())]
            return self._opened[0].client

    def file_system(self) -> "AbstractFileSystem":
        """A new fsspec file system for reading, which knows nothing yet of what there is."""
        from s3fs import S3FileSystem  # type: ignore[import-untyped]  # noqa: PLC0415 - half a second, for readers alone

        files = S3FileSystem(
            anon=False, skip_instance_cache=True, default_block_size=_BLOCK, config_kwargs=self._settings()
        )
        files.retries = 1  # botocore's own, which the settings bound, are enough
        return files

    def _settings(self) -> dict[str, object]:
        return {
            "connect_timeout": self.limits.connect_timeout,
            "max_pool_connections": _POOL,
            "read_timeout": self.limits.read_timeout,
            "retries": {"mode": "standard", "total_max_attempts": self.limits.attempts},
            # Our own SHA-256 is sent with every object, so botocore need not add another checksum. A request's
            # signature covers its body too, over TLS as well: gateways that know no checksums verify that.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_supported",
            "s3": {"payload_signing_enabled": True},
        }

    def _connect(self) -> S3Client:
        try:
            client: S3Client = botocore.session.Session().create_client("s3", config=Config(**self._settings()))
        except BotoCoreError:
            raise
        except ValueError as error:  # an endpoint that is no URL
            raise InvalidConfigError(error_msg=str(error)) from None
        return client


def checked(data: bytes) -> dict[str, object]:
    """The parameters of a request that carries ``data`` with its SHA-256, and says that it does.

    Retention is only accepted with a checksum that is announced (S3 API Reference, PutObject).
    """
    digest = b64encode(hashlib.sha256(data).digest()).decode()
    return {"Body": data, "ChecksumAlgorithm": "SHA256", "ChecksumSHA256": digest}
