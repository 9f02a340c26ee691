"""What went wrong at S3, said so that somebody can put it right.

S3's answers and botocore's exceptions are many; what an operator can do about them is little: correct a setting, get a
right, renew credentials, set the clock, wait. Messages never repeat what may hold a secret: of credentials that can't
be had only the provider is named, of an endpoint only its address, of a refused signature nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from botocore import exceptions as botocore  # type: ignore[import-untyped]

from transparency.encoding import excerpt
from transparency.errors import ObjectMissing, StoreError

FAILURES: Final = (botocore.BotoCoreError, botocore.ClientError)
"""What botocore raises on purpose."""

_ABOUT_KMS: Final = re.compile(r"\bkms:[A-Z]|\bkms-keyid\b|\bKMS key\b")
_EXPECTED_REGION: Final = re.compile(r"expecting '([a-z0-9-]{1,40})'")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried: the operation on an object, the rights it takes, and the KMS key it was to use, if any."""

    doing: str
    key: str
    bucket: str
    place: str
    rights: tuple[str, ...]
    kms_key: str | None
    locked: bool

    def failed(self, error: Exception) -> StoreError:
        """The error of ours for one of botocore's."""
        code = code_of(error)
        if code in {"NoSuchKey", "404"}:
            return ObjectMissing(f"{self.key}: there is no such object in {self.place}")
        reason = self._refusal(code, error) if isinstance(error, botocore.ClientError) else _trouble(error)
        return self.error(reason)

    def error(self, reason: str) -> StoreError:
        """The error for a reason."""
        return StoreError(f"{self.key}: cannot {self.doing} it in {self.place}: {reason}")

    def _refusal(self, code: str, error: botocore.ClientError) -> str:
        answer = error.response.get("Error", {})
        message = str(answer.get("Message") or "")
        if code.startswith("KMS.") or _ABOUT_KMS.search(message):
            return self._no_kms(code)
        if code in _DENIED:
            wanted = " and ".join(self.rights)
            return f"access denied; the credentials need {wanted} there, or a policy of the bucket forbids it"
        if code in _ELSEWHERE:
            return self.elsewhere(_region(error))
        if self.locked and code in {"InvalidRequest", "ObjectLockConfigurationNotFoundError", "InvalidBucketState"}:
            return f"Object Lock was refused ({code}); only a bucket that was made with Object Lock enabled can do it"
        known = _REASONS.get(code)
        if known is not None:
            return known.format(bucket=self.bucket)
        said = f": {excerpt(message)}" if message and message != "None" else ""
        return f"S3 refused it with {code}{said}"

    def _no_kms(self, code: str) -> str:
        key = f"the KMS key {self.kms_key}" if self.kms_key else "the KMS key that it is encrypted with"
        return (
            f"{key} can't be used ({code}); check that it exists, is enabled, lies in the bucket's region, and that "
            "the credentials have kms:GenerateDataKey and kms:Decrypt on it"
        )

    def elsewhere(self, region: str | None = None) -> str:
        """The reason when S3 points to another region, which it may or may not name."""
        found = f"is in the region {region}; set AWS_REGION={region}" if region else "is not in the region asked"
        return f"the bucket {self.bucket} {found}" + ("" if region else "; set AWS_REGION to the bucket's")


def code_of(error: Exception) -> str:
    """S3's error code, or the HTTP status where an answer has no body; empty when there was no answer."""
    if not isinstance(error, botocore.ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", ""))


_DENIED: Final = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"})
_ELSEWHERE: Final = frozenset(
    {
        "301",
        "307",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "TemporaryRedirect",
    }
)

_BUSY: Final = "S3 is busy or in trouble, also after several attempts; run again later"
_CLOCK: Final = "this machine's clock differs too much from S3's; set it, best by NTP"
_DAMAGED: Final = "it arrived damaged; check the network and any proxy on the way"
EXPIRED: Final = (
    "the credentials have expired; renew them ('aws sso login', a new session, a role's renewal), run again"
)
_NOT_ANSWERING: Final = "{address} does not answer; check the endpoint and the network, then run again"
_REASONS: Final[Mapping[str, str]] = {
    "NoSuchBucket": "there is no bucket {bucket}; make it, or correct the setting and the endpoint",
    "InvalidBucketName": "{bucket} is not a bucket name that this service knows; correct the setting",
    "InvalidAccessKeyId": "the access key is unknown there; check the profile or AWS_ACCESS_KEY_ID, and whether the "
    "endpoint is the right one",
    "SignatureDoesNotMatch": "the signature is wrong, so the secret does not belong to the access key; check the "
    "profile or AWS_SECRET_ACCESS_KEY",
    "InvalidToken": "the session token is not valid there; check the profile or AWS_SESSION_TOKEN",
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "TokenRefreshRequired": EXPIRED,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "NotImplemented": "this service does not know the request, perhaps not create-only puts (If-None-Match), which "
    "nothing here works without",
    "InvalidObjectState": "it was moved to an archive; restore it, and end the lifecycle rule that did so",
    **dict.fromkeys(
        ("BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch"), _DAMAGED
    ),
    **dict.fromkeys(("500", "502", "503", "504", "InternalError", "RequestTimeout"), _BUSY),
    **dict.fromkeys(("ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException"), _BUSY),
}
_TROUBLES: Final[Sequence[tuple[tuple[type[Exception], ...], str]]] = (
    (
        (botocore.NoCredentialsError,),
        "there are no credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    ((botocore.PartialCredentialsError,), "the credentials lack {cred_var}; set it as well"),
    ((botocore.ProfileNotFound,), "there is no profile {profile}; correct AWS_PROFILE"),
    ((botocore.SSOError, botocore.TokenRetrievalError, botocore.LoginError), EXPIRED),
    ((botocore.RefreshWithMFAUnsupportedError,), EXPIRED),
    ((botocore.CredentialRetrievalError,), "{provider} gives no credentials; check that it works, then run again"),
    ((botocore.MetadataRetrievalError,), "the instance gives no credentials; check its role, then run again"),
    ((botocore.SSLError,), "{address} offers no certificate that is trusted here; see AWS_CA_BUNDLE"),
    (
        (botocore.FlexibleChecksumError,),
        "what was received is not what its checksum says; check the network, then the object itself",
    ),
    ((botocore.ProxyConnectionError,), "the proxy can't be reached; check HTTPS_PROXY and HTTP_PROXY"),
    ((botocore.ReadTimeoutError, botocore.ConnectTimeoutError), _NOT_ANSWERING),
    (
        (botocore.ConnectionError, botocore.HTTPClientError, botocore.IncompleteReadError),
        "{address} can't be reached or breaks off; check AWS_ENDPOINT_URL and the network, then run again",
    ),
    (
        (botocore.ConfigParseError, botocore.ConfigNotFound),
        "the shared AWS configuration can't be read; correct it, or AWS_CONFIG_FILE",
    ),
    ((botocore.NoRegionError, botocore.InvalidRegionError), "no region that there can be is set; set AWS_REGION"),
    ((botocore.InvalidConfigError,), "AWS_ENDPOINT_URL is not an address, or another AWS_ setting is malformed"),
)
"""The first that fits counts: some are special cases of later ones."""


def _region(error: botocore.ClientError) -> str | None:
    """The right region, where the answer tells it."""
    answer = error.response.get("Error", {})
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    told = _EXPECTED_REGION.search(str(answer.get("Message") or ""))
    region = answer.get("Region") or headers.get("x-amz-bucket-region") or (told and told[1])
    return str(region) if region and re.fullmatch(r"[a-z0-9-]{1,40}", str(region)) else None


def _trouble(error: Exception) -> str:
    """What kept a request from being sent, or its answer from being received."""
    details: Mapping[str, object] = getattr(error, "kwargs", {})
    about = {name: excerpt(str(details.get(name))) for name in ("cred_var", "profile", "provider")}
    for kinds, reason in _TROUBLES:
        if isinstance(error, kinds):
            return reason.format(address=_address(details), **about)
    return f"the AWS client can't do it ({type(error).__name__}); check the AWS_ settings of the environment"


def _address(details: Mapping[str, object]) -> str:
    """Where the request went: no more of the URL than its address, as the rest may hold a password."""
    parts = urlsplit(str(details.get("endpoint_url") or ""))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "the endpoint"
