"""What the bucket of a store does with objects: versions, encryption, checksums, lifecycle; and S3's clock."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from lumi_pipeline.doctor.bucketclient import asking, entries
from lumi_pipeline.doctor.bucketfacts import DATE_DOUBT, answered_at
from lumi_pipeline.doctor.clocks import judge_clock
from lumi_pipeline.doctor.examination import Examination, Place
from lumi_pipeline.doctor.findings import Check, Finding, not_configured, not_tried, ok, problem, warning
from lumi_pipeline.doctor.probes import PREFIX, probing
from lumi_pipeline.evidence.drafts import DRAFTS
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3errors import FAILURES, code_of

_NO_RULES: Final = frozenset({"NoSuchLifecycleConfiguration", "404"})
_SEE: Final = "see the AWS_ settings, and the rights of the credentials"


def bucket_checks(place: Place) -> list[Check]:
    """The checks of one store's bucket."""
    bucket = (f"{place.name} bucket",)
    return [
        Check(f"{place.name} clock", partial(look_at_clock, place), _SEE, bucket),
        Check(f"{place.name} encryption", partial(look_at_encryption, place), "see 'kms_key'", bucket),
        Check(f"{place.name} checksums", partial(look_at_checksums, place), _SEE, (place.name,)),
        Check(f"{place.name} lifecycle", partial(look_at_lifecycle, place), _SEE, bucket),
    ]


def bucket_check(place: Place) -> Check:
    """The check that all others of a store in S3 need."""
    advice = f"see '{place.name.replace(' ', '_')}', AWS_ENDPOINT_URL and the other AWS_ settings"
    return Check(f"{place.name} bucket", partial(look_at_bucket, place), advice)


def look_at_bucket(place: Place, examination: Examination) -> Iterator[Finding]:
    """Reach the bucket, and tell what it says of itself."""
    facts = examination.facts(place)
    if facts.versioning is None or facts.has_lock is None:
        yield warning(
            f"{place.s3}: the credentials may not ask for versioning and Object Lock",
            "give them s3:GetBucketVersioning and s3:GetBucketObjectLockConfiguration",
        )
        return
    lock = "on" if facts.has_lock else "off"
    default = f", by default {facts.default_mode}" if facts.default_mode else ""
    yield ok(f"{place.s3}: versioning {facts.versioning}, Object Lock {lock}{default}")


def look_at_clock(place: Place, examination: Examination) -> Iterator[Finding]:
    """Compare the clock with the Date that S3 answers with."""
    store = _s3(place)
    before = examination.clock()
    with asking(store, "list", "objects", "s3:ListBucket") as client:
        there = answered_at(client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix, MaxKeys=1))
    travel = (examination.clock() - before) / 2
    yield judge_clock("S3's clock", before + travel - there, travel + DATE_DOUBT)


def look_at_encryption(place: Place, examination: Examination) -> Iterator[Finding]:
    """Write with the KMS key, and see whether S3 says that it was used."""
    store = _s3(place)
    if store.kms_key is None:
        yield not_configured("no 'kms_key'; objects are encrypted as the bucket does by itself")
        return
    with probing(examination, place) as (probe, key):
        probe.put_new(key, b"probe")
        with asking(store, "read", key, "s3:GetObject") as client:
            found = client.head_object(Bucket=store.bucket, Key=store.prefix + key)
        probe.get(key)
    method, used = found.get("ServerSideEncryption"), str(found.get("SSEKMSKeyId", ""))
    # An alias or another form of the name can't be held against the id that S3 tells.
    named = store.kms_key.rpartition("/")[2]
    if method != "aws:kms" or ("alias/" not in store.kms_key and named not in used):
        yield problem(
            f"S3 takes {store.kms_key}, and then encrypts with {used or method or 'nothing'}",
            "correct 'kms_key', or use a service that honours it",
        )
    else:
        yield ok(f"objects are encrypted and read with {used or store.kms_key}")


def look_at_checksums(place: Place, examination: Examination) -> Iterator[Finding]:
    """Write with a SHA-256, as everything is written, and see whether it is kept."""
    store = _s3(place)
    with probing(examination, place) as (probe, key):
        probe.put_new(key, b"probe")
        with asking(store, "read", key, "s3:GetObject") as client:
            found = client.head_object(Bucket=store.bucket, Key=store.prefix + key, ChecksumMode="ENABLED")
    if "ChecksumSHA256" in found:
        yield ok("SHA-256 is accepted, kept and returned")
    else:
        yield ok("SHA-256 is accepted, but not kept; the signature of each request protects it on its way")


def look_at_lifecycle(place: Place, examination: Examination) -> Iterator[Finding]:  # noqa: ARG001 - as all checks
    """Find a rule that ends incomplete uploads, and rules that remove what has to stay."""
    store = _s3(place)
    with asking(store, "read", "the lifecycle rules", "s3:GetLifecycleConfiguration") as client:
        try:
            rules = entries(client.get_bucket_lifecycle_configuration(Bucket=store.bucket), "Rules")
        except FAILURES as error:
            code = code_of(error)
            if code in {"AccessDenied", "403"}:
                yield not_tried("the credentials may not read lifecycle rules (s3:GetLifecycleConfiguration)")
                return
            if code not in _NO_RULES:
                raise
            rules = []
    enabled = [(rule, _prefix(rule)) for rule in rules if rule.get("Status") == "Enabled"]
    expiring = [
        str(rule.get("ID") or prefix or "of the whole bucket")
        for rule, prefix in enabled
        if _expires_objects(rule) and _reaches(prefix, store.prefix)
    ]
    ends_uploads = any(
        "AbortIncompleteMultipartUpload" in rule and store.prefix.startswith(prefix) for rule, prefix in enabled
    )
    if expiring:
        yield problem(
            f"the lifecycle rule {', '.join(expiring)} removes objects that have to stay",
            f"end it, or limit it to {store.prefix}{PREFIX}",
        )
    elif not ends_uploads:
        yield warning(
            "no lifecycle rule ends incomplete uploads, which are paid for until then",
            "add one: AbortIncompleteMultipartUpload after 7 days",
        )
    else:
        yield ok("a lifecycle rule ends incomplete uploads, and none removes objects that have to stay")


def _prefix(rule: dict[str, object]) -> str:
    """The prefix that a rule applies to, in whichever of its places it is written."""
    places: list[object] = [rule, rule.get("Filter")]
    if isinstance(rule.get("Filter"), dict):
        places.append(dict(_mapping(rule["Filter"])).get("And"))
    return next((str(prefix) for place in places if (prefix := _mapping(place).get("Prefix"))), "")


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _expires_objects(rule: Mapping[str, object]) -> bool:
    """Whether a rule removes objects, and not only the delete markers of those that are gone."""
    return bool(set(_mapping(rule.get("Expiration"))) - {"ExpiredObjectDeleteMarker"})


def _reaches(rule: str, prefix: str) -> bool:
    """Whether a rule for the prefix ``rule`` reaches anything under ``prefix`` but probes and drafts."""
    passing = (f"{prefix}{PREFIX}", f"{prefix}{DRAFTS}")
    return (rule.startswith(prefix) or prefix.startswith(rule)) and not rule.startswith(passing)


def _s3(place: Place) -> S3Store:
    if place.s3 is None:
        raise ValueError(f"{place.name} is not in S3")
    return place.s3
