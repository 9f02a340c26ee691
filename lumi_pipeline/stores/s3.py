"""An object store in an S3 bucket, or behind any gateway that honours create-only puts.

Creating is one conditional request (``If-None-Match: *``), which S3 decides atomically. A request whose answer is lost
is sent again, and then may meet the object that it created itself: the refusal (412) is therefore followed by reading
what is there, and the same bytes are success. So a retry comes out right without anybody remembering the first try.

Every object carries its SHA-256, which S3 checks on arrival, keeps, and returns with the object, where it is checked
again. An object of a gateway that keeps no checksums is protected on its way in by the request's signature.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lumi_pipeline.publicfiles import PUBLIC, cache_control, content_type
from lumi_pipeline.stores.address import SCHEME
from lumi_pipeline.stores.objectlock import ObjectLock
from lumi_pipeline.stores.s3client import S3Client, S3Connection, Version, checked
from lumi_pipeline.stores.s3errors import EXPIRED, FAILURES, Attempt, code_of
from lumi_pipeline.stores.s3multipart import CREATE_ONLY, upload_parts
from transparency.errors import ObjectConflict, ObjectMissing, StoreError
from transparency.objectkeys import check_key, is_key

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

_CONFLICT_ATTEMPTS: Final = 5
_CONFLICT_WAIT: Final = 0.05
"""Seconds before a creation that met another one in flight is tried again; doubled each time."""

_RIGHTS: Final = {
    "read": ("s3:GetObject", "s3:ListBucket (without it, what is missing is refused too)"),
    "create": ("s3:PutObject",),
    "replace": ("s3:PutObject",),
    "list": ("s3:ListBucket",),
    "delete": ("s3:GetObject", "s3:DeleteObject"),
    "purge": ("s3:GetObject", "s3:ListBucketVersions", "s3:DeleteObject", "s3:DeleteObjectVersion"),
}


class _Taken(Exception):
    """The key holds something already; whether it is what was to be written is not known yet."""


class _InFlight(Exception):
    """Another request on the same key is being decided."""


@dataclass(frozen=True, slots=True)
class S3Store:
    """Objects in ``bucket`` under ``prefix``, which is empty or ends with ``/``. See :class:`ObjectStore`.

    ``kms_key`` is the SSE-KMS key (id or ARN) that everything is encrypted with; without it the bucket's own setting
    holds. ``lock`` puts what it applies to under retention. Everything that S3 or the network refuses is raised as
    :class:`StoreError` with key, bucket, and what to do. Threads may share a store, and other processes get a copy.

    The conditional put decides nothing in a versioned bucket of a gateway that ignores it there (Ceph's does), so
    commits are only safe in a bucket where it is honoured; on AWS it is in both kinds.
    """

    connection: S3Connection
    bucket: str
    prefix: str
    kms_key: str | None = None
    lock: ObjectLock | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}".removesuffix("/")

    def url(self, key: str) -> str:
        """Return the ``s3://`` URL of an object, for readers that want one; it need not exist."""
        return f"{SCHEME}{self.bucket}/{self._name(key)}"

    def file_system(self, prefix: str) -> "AbstractFileSystem":
        """Return a file system that opens the URLs of objects, and knows those under ``prefix`` as they are now.

        Asking S3 once what there is saves every reader asking for the size of each file, several times.
        """
        with self._explain("list", prefix):
            files = self.connection.file_system()
            try:
                files.find(self.url(prefix.removesuffix("/")))
            except OSError as error:
                if isinstance(error.__cause__, FAILURES):  # s3fs wraps what S3 said
                    raise error.__cause__ from None
                raise StoreError(f"{prefix}: cannot list it in {self}: {error.strerror or error}") from None
            return files

    def get(self, key: str) -> bytes:
        """Return the object's bytes, held against their checksum where S3 has one; raise :class:`ObjectMissing`."""
        name = self._name(key)
        with self._explain("read", key) as client:
            left = self.connection.limits.attempts
            while True:
                answer = client.get_object(Bucket=self.bucket, Key=name, ChecksumMode="ENABLED")
                left -= 1
                with closing(answer["Body"]) as body:
                    largest = self.connection.limits.largest
                    if largest is not None and answer.get("ContentLength", largest + 1) > largest:
                        raise StoreError(f"{key} in {self} is larger than {largest} bytes; it can't be what it should")
                    try:
                        return body.read()
                    except FAILURES:  # the answer broke off or arrived damaged, which botocore itself does not retry
                        if not left:
                            raise

    def put_new(self, key: str, data: bytes) -> None:
        """Create the object; the same bytes being there is success, others raise :class:`ObjectConflict`."""
        self._keep("create", key, data, CREATE_ONLY)

    def put(self, key: str, data: bytes) -> None:
        """Create or replace the object; in a versioned bucket, what it held before is kept as an older version."""
        self._keep("replace", key, data, {})

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """Yield the keys with this prefix after ``start_after``, in code point order, a page at a time.

        S3 sorts by the bytes of UTF-8, which is the order of code points. Names that cannot be keys are passed over.
        """
        wanted: dict[str, object] = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        wanted["MaxKeys"] = self.connection.limits.page
        if start_after:
            wanted["StartAfter"] = self.prefix + start_after
        while True:
            with self._explain("list", prefix or "everything") as client:
                page = client.list_objects_v2(**wanted)
            for found in page.get("Contents", []):
                key = found["Key"].removeprefix(self.prefix)
                if is_key(key):
                    yield key
            if "NextContinuationToken" not in page:
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        """Remove the object, or raise :class:`ObjectMissing`; in a versioned bucket its versions stay.

        S3 answers alike whether there was something to delete or not, so that is asked first.
        """
        name = self._name(key)
        with self._explain("delete", key) as client:
            client.head_object(Bucket=self.bucket, Key=name)
            client.delete_object(Bucket=self.bucket, Key=name)

    def purge(self, key: str) -> None:
        """Remove every version of the object, the newest last; where none is kept, the object. None is no error.

        A crash in between leaves the newest, which is found again. Governance retention is bypassed, which takes the
        right to do so; under compliance, or a legal hold of S3, it is refused.
        """
        name = self._name(key)
        with self._explain("purge", key) as client:
            versions = sorted(self._versions(client, name), key=lambda version: version["IsLatest"])
            for version in versions:
                # Said only where it is needed: elsewhere it may take a right that nobody has.
                bypass = {"BypassGovernanceRetention": True} if self._governed(client, name, version) else {}
                client.delete_object(Bucket=self.bucket, Key=name, VersionId=version["VersionId"], **bypass)

    def kept_by(self, key: str) -> str | None:
        """What keeps everybody from removing the object: compliance retention, with its end, or a legal hold."""
        name = self._name(key)
        with self._explain("read", key) as client:
            head = _facts(client.head_object(Bucket=self.bucket, Key=name))
        if head.get("ObjectLockLegalHoldStatus") == "ON":
            return f"a legal hold of S3 in {self}"
        until = head.get("ObjectLockRetainUntilDate")
        if head.get("ObjectLockMode") != "COMPLIANCE" or not isinstance(until, datetime):
            return None
        return f"Object Lock (compliance) in {self} until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    def _versions(self, client: S3Client, name: str) -> Iterator[Version]:
        """Yield the versions of one object, and the marks of its deletion."""
        wanted: dict[str, object] = {"Bucket": self.bucket, "Prefix": name}
        while True:
            page = client.list_object_versions(**wanted)
            for version in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                if version["Key"] == name:
                    yield version
            if not page.get("IsTruncated"):
                return
            wanted |= {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _governed(self, client: S3Client, name: str, version: Version) -> bool:
        if self.lock is None:
            return False
        try:
            head = _facts(client.head_object(Bucket=self.bucket, Key=name, VersionId=version["VersionId"]))
        except FAILURES as error:
            if code_of(error) in {"404", "405", "MethodNotAllowed"}:  # the mark of a deletion
                return False
            raise
        return head.get("ObjectLockMode") == "GOVERNANCE"

    def _keep(self, doing: str, key: str, data: bytes, condition: Mapping[str, str]) -> None:
        """Write the object under a condition. A crash leaves it whole or not at all, and a replay comes out right."""
        for attempt in range(_CONFLICT_ATTEMPTS):
            try:
                with self._explain(doing, key) as client:
                    self._write(client, key, data, condition)
            except _InFlight:
                time.sleep(_CONFLICT_WAIT * 2**attempt)
            except _Taken:
                with suppress(ObjectMissing):  # removed since, so it can be written after all
                    if self.get(key) == data:
                        return
                    if condition:
                        raise ObjectConflict(
                            f"{key}: already holds other bytes in {self}; nothing was written"
                        ) from None
            else:
                return
        raise StoreError(f"{key}: cannot {doing} it in {self}: others keep writing it at the same time; run again")

    def _write(self, client: S3Client, key: str, data: bytes, condition: Mapping[str, str]) -> None:
        target = {"Bucket": self.bucket, "Key": self._name(key)}
        properties = self._properties(key)
        limits = self.connection.limits
        # What is to be locked goes in one request, whatever its size (S3 takes 5 GiB): Ceph 16's gateway accepts a
        # retention with an upload in parts and then does not apply it.
        if len(data) < limits.multipart_from or self._locks(key):
            client.put_object(**target, **properties, **condition, **checked(data))
            return
        # Some gateways ignore the condition of an upload in parts, so whether the key is taken is asked before as well.
        # In between another writer may come, and on such a gateway be overwritten. That changes nothing: what is large
        # enough for parts is named after its content, so both write the same bytes, and what decides between different
        # bytes, a commit object, has a few kilobytes.
        if condition and self._exists(client, target):
            raise _Taken
        upload_parts(client, target, properties, condition, data=data, part_size=limits.part_size)

    def _exists(self, client: S3Client, target: Mapping[str, str]) -> bool:
        try:
            client.head_object(**target)
        except FAILURES as error:
            if code_of(error) == "404":
                return False
            raise
        return True

    def _properties(self, key: str) -> dict[str, object]:
        """What is said of every object that is written: its encryption, its retention, and what it is to browsers."""
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key} if self.kms_key else {}
        path = key.removeprefix(PUBLIC)
        public = {"ContentType": content_type(path), "CacheControl": cache_control(path)} if path != key else {}
        return {**encryption, **public, **(self.lock.parameters(key) if self.lock else {})}

    def _locks(self, key: str) -> bool:
        return self.lock is not None and self.lock.applies(key)

    def _name(self, key: str) -> str:
        check_key(key)
        check_key(self.prefix + key)  # for its length
        return self.prefix + key

    @contextmanager
    def _explain(self, doing: str, key: str) -> Iterator[S3Client]:
        """Yield the client, and turn what botocore raises into errors of ours."""
        writing = doing in {"create", "replace"}
        locked = writing and self._locks(key)
        rights = (*_RIGHTS[doing], *(["s3:PutObjectRetention"] if locked else []))
        attempt = Attempt(doing, key, self.bucket, str(self), rights, self.kms_key, locked)
        try:
            yield self.connection.client()
        except FAILURES as error:
            code = code_of(error)
            # An upload in parts that is gone was completed, and only the answer was lost; then it was sent again.
            if writing and code in {"PreconditionFailed", "412", "NoSuchUpload"}:
                raise _Taken from None
            if writing and code in {"ConditionalRequestConflict", "OperationAborted"}:
                raise _InFlight from None
            raise attempt.failed(error) from None
        except RecursionError:  # botocore asks in which region the bucket is, is sent elsewhere, and asks there
            raise attempt.error(attempt.elsewhere()) from None
        except RuntimeError as error:
            if "still expired" not in str(error):
                raise
            raise attempt.error(EXPIRED) from None  # botocore has no class for renewed credentials that are expired too


def _facts(answer: object) -> Mapping[str, object]:
    return answer if isinstance(answer, Mapping) else {}
