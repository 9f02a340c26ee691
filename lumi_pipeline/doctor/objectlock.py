"""Whether Object Lock is more than a setting: some gateways take a retention and then delete all the same."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from lumi_pipeline.doctor.bucketclient import asking
from lumi_pipeline.doctor.examination import Examination, Place
from lumi_pipeline.doctor.findings import Check, Finding, not_configured, ok, problem, warning
from lumi_pipeline.doctor.probes import HELD_FOR, PREFIX, ProbeLock, probing
from lumi_pipeline.stores.s3client import S3Client
from lumi_pipeline.stores.s3errors import FAILURES, code_of

_REFUSALS: Final = frozenset({"AccessDenied", "403", "InvalidRequest", "ObjectLocked", "WORMProtected"})


def lock_check(place: Place) -> Check:
    """The check of one store in S3."""
    return Check(
        f"{place.name} object lock",
        partial(look_at_lock, place),
        "see 'object_lock' and the rights of the credentials",
        (f"{place.name} bucket",),
    )


def look_at_lock(place: Place, examination: Examination) -> Iterator[Finding]:
    """Write under a retention of minutes, and try to delete that very version.

    In compliance mode the version stays until then; the next look, or a lifecycle rule, removes it.
    """
    retention = examination.config.object_lock
    if not place.has_lock or retention is None or place.s3 is None:
        other = "'locked_root' is what is locked" if examination.locked_root else "no 'object_lock'"
        yield not_configured(f"{other}; here who may delete can delete")
        return
    store, facts, minutes = place.s3, examination.facts(place), HELD_FOR.seconds // 60
    if facts.has_lock is False:
        yield problem(
            f"'object_lock' is {retention}, but {store.bucket} was made without Object Lock: nothing is protected",
            "make a bucket with Object Lock enabled and name it in 'locked_root'",
        )
        return
    lock = ProbeLock(retention, facts.clock)
    bypassed = False
    with probing(examination, place, held=lock) as (probe, key):
        probe.put_new(key, b"probe")
        with asking(store, "read", key, "s3:GetObject") as client:
            version = client.head_object(Bucket=store.bucket, Key=store.prefix + key).get("VersionId")
        target = {"Bucket": store.bucket, "Key": store.prefix + key, "VersionId": version}
        with asking(store, "delete", key, "s3:DeleteObjectVersion") as client:
            refused = _is_refused(client, **target)
            if refused and retention.mode == "governance":
                bypassed = not _is_refused(client, **target, BypassGovernanceRetention=True)
    if not refused:
        yield problem(
            f"{store} takes a retention ({retention.mode}) and deletes what is under it all the same",
            "use a service that enforces Object Lock; until then nothing is protected",
        )
    elif bypassed:
        yield warning(
            "what is under retention can't be deleted, but these credentials may bypass that (governance)",
            "take s3:BypassGovernanceRetention from them, or use compliance",
        )
    else:
        yield ok(
            f"a version under retention ({retention.mode}) could not be deleted; it stays for {minutes} min in {PREFIX}"
        )


def _is_refused(client: S3Client, **target: object) -> bool:
    try:
        client.delete_object(**target)
    except FAILURES as error:
        if code_of(error) not in _REFUSALS:
            raise
        return True
    return False
