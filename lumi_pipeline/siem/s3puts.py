"""One object in somebody else's bucket: written once, under their KMS key, and looked at afterwards.

A key is named after what it holds, and written with ``If-None-Match: *``, so a request that is sent again finds its own
object: the same checksum is success (S3 API Reference, PutObject and HeadObject).
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from botocore import exceptions as botocore  # type: ignore[import-untyped]

from lumi_pipeline.siem.destination import Assurance, Outcome, Result
from lumi_pipeline.stores.s3client import S3Client, checked
from lumi_pipeline.stores.s3errors import FAILURES, Attempt, code_of

_TAKEN: Final = frozenset({"PreconditionFailed", "412"})
_DENIED: Final = frozenset({"AccessDenied", "403", "Forbidden"})
_GONE: Final = frozenset({"NoSuchKey", "404"})
_RETRY: Final = frozenset(
    {
        *("ConditionalRequestConflict", "OperationAborted", "409"),
        *("SlowDown", "Throttling", "ThrottlingException", "ServiceUnavailable", "TooManyRequests", "503", "429"),
        *("InternalError", "RequestTimeout", "500", "502", "504"),
        *("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"),
        *("ExpiredToken", "ExpiredTokenException"),
        *("KMS.ThrottlingException", "KMS.KMSInternalException", "KMS.DependencyTimeoutException"),
    }
)
"""Codes of what passes by itself; temporary credentials are taken anew at the next attempt."""

_NOT_SENT: Final = (
    botocore.EndpointConnectionError,
    botocore.ConnectTimeoutError,
    botocore.ProxyConnectionError,
    botocore.SSLError,
    botocore.MetadataRetrievalError,
    botocore.CredentialRetrievalError,
)
_UNANSWERED: Final = (botocore.HTTPClientError, botocore.IncompleteReadError)

_DIGEST: Final = "lumi-sha256"
"""User metadata that says what the object's SHA-256 is, for services that keep no checksums."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an object goes. ``kms_key`` is the ARN of the key, None for what the bucket does by itself."""

    bucket: str
    key: str
    kms_key: str | None

    @property
    def encryption(self) -> dict[str, object]:
        """The parameters that ask for the key. With a bucket key S3 asks KMS once for many objects."""
        if self.kms_key is None:
            return {}
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key, "BucketKeyEnabled": True}

    @property
    def place(self) -> dict[str, str]:
        """The parameters that name the object."""
        return {"Bucket": self.bucket, "Key": self.key}

    def judge(self, error: Exception) -> Outcome:
        """Say what a failure of botocore's means."""
        code = code_of(error)
        rights = ("s3:PutObject", "kms:GenerateDataKey on the key") if self.kms_key else ("s3:PutObject",)
        attempt = Attempt("create", self.key, self.bucket, f"s3://{self.bucket}", rights, self.kms_key, locked=False)
        detail = str(attempt.failed(error))
        status, request_id = _answered(error)
        result = Result.BLOCKED
        if code in _RETRY or isinstance(error, _NOT_SENT) or (status is not None and status >= 500):
            result = Result.RETRY
        elif isinstance(error, _UNANSWERED):
            result = Result.AMBIGUOUS
        return Outcome(result, detail, status=status, request_id=request_id)


def put(client: S3Client, target: Target, data: bytes) -> Outcome:
    """Write an object that must not be there yet, then look at it."""
    digest = hashlib.sha256(data)
    try:
        client.put_object(
            **target.place,
            **target.encryption,
            **checked(data),
            IfNoneMatch="*",
            Metadata={_DIGEST: digest.hexdigest()},
        )
    except FAILURES as error:
        if code_of(error) not in _TAKEN:
            return target.judge(error)
        return _look(client, target, data, there_before=True)
    return _look(client, target, data, there_before=False)


def _look(client: S3Client, target: Target, data: bytes, *, there_before: bool) -> Outcome:
    try:
        answer = client.head_object(**target.place, ChecksumMode="ENABLED")
    except FAILURES as error:
        return _unseen(target, error, there_before=there_before)
    found = dict(answer) if isinstance(answer, Mapping) else {}
    answered = found.get("ResponseMetadata", {})
    digest = hashlib.sha256(data)
    checksum = b64encode(digest.digest()).decode()
    told = found.get("ChecksumSHA256") or _claimed(found.get("Metadata", {}))
    if told != checksum or found.get("ContentLength") != len(data):
        detail = f"{target.key} in {target.bucket} holds something else; remove it there, or choose another prefix"
        return Outcome(Result.BLOCKED, detail)
    facts = {
        "object": f"s3://{target.bucket}/{target.key}",
        "checksum": f"SHA256 {checksum}",
        "version": found.get("VersionId"),
        "kms_key": found.get("SSEKMSKeyId"),
    }
    return Outcome(
        Result.DELIVERED,
        "the object was there already" if there_before else "the object is there",
        Assurance.STORED,
        status=answered.get("HTTPStatusCode"),
        request_id=answered.get("RequestId"),
        facts={name: str(value) for name, value in facts.items() if value},
    )


def _claimed(metadata: Mapping[str, str]) -> str | None:
    """The checksum that we wrote beside the object ourselves."""
    try:
        return b64encode(bytes.fromhex(metadata.get(_DIGEST, ""))).decode()
    except ValueError:
        return None


def _unseen(target: Target, error: Exception, *, there_before: bool) -> Outcome:
    code = code_of(error)
    if code in _DENIED and not there_before:
        detail = "it was accepted; the credentials need s3:GetObject to look at it afterwards"
        facts = {"object": f"s3://{target.bucket}/{target.key}"}
        return Outcome(Result.DELIVERED, detail, Assurance.RECEIVED, facts=facts)
    if code in _DENIED:
        detail = f"{target.key} is there already; the credentials need s3:GetObject to see whether it is the same"
        return Outcome(Result.BLOCKED, detail)
    if code in _GONE and there_before:
        return Outcome(Result.RETRY, f"{target.key} was there and is gone")
    outcome = target.judge(error)
    return Outcome(Result.AMBIGUOUS, outcome.detail, status=outcome.status, request_id=outcome.request_id)


def try_out(client: S3Client, target: Target) -> Outcome:
    """Begin an upload under the target's key and give it up: it takes the rights that writing takes, and no data."""
    try:
        begun = client.create_multipart_upload(**target.place, **target.encryption)
        client.abort_multipart_upload(**target.place, UploadId=begun["UploadId"])
    except FAILURES as error:
        return target.judge(error)
    return Outcome(Result.DELIVERED, f"objects can be written to s3://{target.bucket}/")


def _answered(error: Exception) -> tuple[int | None, str | None]:
    if not isinstance(error, botocore.ClientError):
        return None, None
    answered = error.response.get("ResponseMetadata", {})
    status, request_id = answered.get("HTTPStatusCode"), answered.get("RequestId")
    return (int(status) if status else None), (str(request_id)[:128] if request_id else None)
