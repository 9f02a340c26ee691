"""Objects that are written to see what happens, and their removal.

They lie under ``log-private/doctor/``, which nothing else reads, and are named after the time they were written. A
crash leaves them; whoever writes the next ones removes those that are older than :data:`STALE_AFTER`.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from lumi_pipeline.doctor.bucketclient import asking, entries
from lumi_pipeline.doctor.examination import Examination, Place
from lumi_pipeline.stores.objectlock import ObjectLock, Retention
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3errors import FAILURES, code_of
from transparency.errors import ObjectMissing, StoreError
from transparency.filestore import TEMPORARY, FileStore
from transparency.store import ObjectStore

PREFIX: Final = "log-private/doctor/"
STALE_AFTER: Final = timedelta(hours=1)
HELD_FOR: Final = timedelta(minutes=2)
"""Retention of a probe: long enough for clocks that are a little apart, short enough to leave nothing behind."""

_TIME: Final = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class ProbeLock(ObjectLock):
    """Retention for minutes instead of days, of whatever is written."""

    def applies(self, key: str) -> bool:  # noqa: ARG002 - the signature of what it stands in for
        """Whatever is written."""
        return True

    def parameters(self, key: str) -> dict[str, object]:  # noqa: ARG002 - the signature of what it stands in for
        """What S3 has to be told with the object."""
        return {
            "ObjectLockMode": self.retention.mode.upper(),
            "ObjectLockRetainUntilDate": self.clock() + HELD_FOR,
        }


def new_key(now: datetime) -> str:
    """A key that nobody else uses."""
    return f"{PREFIX}{now.astimezone(UTC).strftime(_TIME)}-{secrets.token_hex(8)}"


@contextmanager
def probing(
    examination: Examination, place: Place, *, held: ProbeLock | None = None
) -> Iterator[tuple[ObjectStore, str]]:
    """Yield a store to write to, and a key for it; remove afterwards what can be removed.

    ``held`` is the retention to write under. Where the bucket has one of its own, which may be years, a short one
    takes its place.
    """
    key = new_key(examination.clock())
    if place.s3 is None:
        with _leaving_no_directory(place.store):
            try:
                yield place.store, key
            finally:
                with suppress(ObjectMissing):
                    place.store.delete(key)
        return
    facts = examination.facts(place)
    if held is None and facts.holds_by_default:
        held = ProbeLock(Retention("governance", 1), facts.clock)
    store = replace(place.s3, lock=held)
    try:
        yield store, key
    finally:
        remove(store, key, versioned=facts.keeps_versions)


def sweep(examination: Examination, place: Place) -> None:
    """Remove what crashes have left behind."""
    limit = PREFIX + (examination.clock().astimezone(UTC) - STALE_AFTER).strftime(_TIME)
    if place.s3 is not None and examination.facts(place).keeps_versions:
        remove(place.s3, PREFIX, versioned=True, before=limit)
        return
    for key in list(place.store.list(PREFIX)):
        if key < limit:
            with suppress(ObjectMissing):
                place.store.delete(key)


def remove(store: S3Store, key: str, *, versioned: bool, before: str = "") -> None:
    """Remove an object, or every version under a prefix that sorts ``before`` a key, as far as that is allowed.

    What is under retention stays until that ends; who may not remove versions leaves a mark that hides them.
    """
    if not versioned:
        with suppress(ObjectMissing):
            store.delete(key)
        return
    try:
        with asking(store, "list", "versions of probes", "s3:ListBucketVersions") as client:
            found = client.list_object_versions(Bucket=store.bucket, Prefix=store.prefix + key)
    except StoreError:
        with suppress(StoreError):
            store.delete(key)
        return
    for kind in ("Versions", "DeleteMarkers"):
        for version in entries(found, kind):
            if before and str(version["Key"]) >= store.prefix + before:
                continue
            try:
                client.delete_object(Bucket=store.bucket, Key=version["Key"], VersionId=version["VersionId"])
            except FAILURES as error:
                if not code_of(error):
                    raise


@contextmanager
def _leaving_no_directory(store: ObjectStore) -> Iterator[None]:
    """Remove the directories that a local probe makes, if they were not there before and nobody uses them by now."""
    if not isinstance(store, FileStore):
        yield
        return
    probes = store.path(PREFIX.removesuffix("/"))
    root = probes.parent.parent
    wanted = [probes, probes.parent, root / TEMPORARY, root, *root.parents]
    made = [directory for directory in wanted if not directory.exists() or directory == probes]
    try:
        yield
    finally:
        for directory in made:
            with suppress(OSError):  # in use by now
                directory.rmdir()
