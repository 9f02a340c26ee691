"""What a bucket says of itself: versions, Object Lock, and what time it is there."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from lumi_pipeline.doctor.bucketclient import BucketClient, asking
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3errors import FAILURES, code_of
from transparency.errors import StoreError

_NO_LOCK: Final = frozenset(
    {"ObjectLockConfigurationNotFoundError", "InvalidBucketState", "MethodNotAllowed", "NotImplemented"}
)
_DENIED: Final = frozenset({"AccessDenied", "403"})

DATE_DOUBT: Final = timedelta(seconds=0.5)
"""A Date header counts whole seconds, so half a second later is meant to within this."""


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """What is known of a bucket.

    ``versioning`` is ``Enabled``, ``Suspended`` or ``Off``; ``has_lock`` whether Object Lock is enabled, and
    ``default_mode`` the mode of the retention that it gives to whatever is written. None is unknown: the credentials
    may not ask. ``clock`` is S3's, to within a second.
    """

    versioning: str | None
    has_lock: bool | None
    default_mode: str | None
    clock: Callable[[], datetime]

    @property
    def keeps_versions(self) -> bool:
        """Whether what is removed may stay as a version."""
        return self.versioning != "Off"

    @property
    def holds_by_default(self) -> bool:
        """Whether everything that is written comes under retention."""
        return self.default_mode is not None


def read_facts(store: S3Store) -> BucketFacts:
    """Ask S3; raises :class:`~transparency.errors.StoreError` when the bucket isn't there or may not be listed."""
    with asking(store, "list", "objects", "s3:ListBucket") as client:
        listed = client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix, MaxKeys=1)
        versioning = _versioning(client, store.bucket)
        has_lock, mode = _object_lock(client, store.bucket)
    told, read = answered_at(listed), time.monotonic()
    return BucketFacts(versioning, has_lock, mode, lambda: told + timedelta(seconds=time.monotonic() - read))


def answered_at(answer: object) -> datetime:
    """When S3 says it gave an answer; :class:`~transparency.errors.StoreError` when it does not say."""
    headers = _within(answer, "ResponseMetadata", "HTTPHeaders")
    try:
        return parsedate_to_datetime(str(headers.get("date"))).astimezone(UTC) + DATE_DOUBT
    except ValueError:
        raise StoreError("S3's answers have no Date header that can be read") from None


def _versioning(client: BucketClient, bucket: str) -> str | None:
    try:
        return str(client.get_bucket_versioning(Bucket=bucket).get("Status") or "Off")
    except FAILURES as error:
        if code_of(error) not in _DENIED:
            raise
        return None


def _object_lock(client: BucketClient, bucket: str) -> tuple[bool | None, str | None]:
    try:
        answer = client.get_object_lock_configuration(Bucket=bucket)
    except FAILURES as error:
        if code_of(error) in _NO_LOCK:
            return False, None
        if code_of(error) not in _DENIED:
            raise
        return None, None
    configured = _within(answer, "ObjectLockConfiguration")
    mode = _within(configured, "Rule", "DefaultRetention").get("Mode")
    return configured.get("ObjectLockEnabled") == "Enabled", None if mode is None else str(mode)


def _within(value: object, *names: str) -> Mapping[str, object]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
