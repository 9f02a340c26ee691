"""The operations of botocore's client that only the checks use, and errors of ours for what goes wrong with them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, cast

from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3client import S3Client
from lumi_pipeline.stores.s3errors import FAILURES, Attempt


class BucketClient(S3Client, Protocol):
    """An S3 client that also asks about buckets and versions; see :class:`S3Client`."""

    def head_object(self, **parameters: object) -> Mapping[str, object]:
        """HeadObject."""

    def head_bucket(self, **parameters: object) -> Mapping[str, object]:
        """HeadBucket."""

    def get_bucket_versioning(self, **parameters: object) -> Mapping[str, object]:
        """GetBucketVersioning."""

    def get_object_lock_configuration(self, **parameters: object) -> Mapping[str, object]:
        """GetObjectLockConfiguration."""

    def get_bucket_lifecycle_configuration(self, **parameters: object) -> Mapping[str, object]:
        """GetBucketLifecycleConfiguration."""


@contextmanager
def asking(store: S3Store, doing: str, what: str, *rights: str) -> Iterator[BucketClient]:
    """Yield a client for one request; what S3 refuses becomes a :class:`~transparency.errors.StoreError`."""
    try:
        yield cast("BucketClient", store.connection.client())
    except FAILURES as error:
        attempt = Attempt(doing, what, store.bucket, str(store), rights, store.kms_key, locked=False)
        raise attempt.failed(error) from None


def entries(answer: object, name: str) -> list[dict[str, object]]:
    """The entries of a list in an answer of S3's; none where it is missing."""
    found = answer.get(name) if isinstance(answer, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
