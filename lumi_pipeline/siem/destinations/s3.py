"""A customer's S3 bucket, under the customer's KMS key: gzipped NDJSON, or Parquet as Amazon Security Lake wants it.

Each batch is one object whose name is the delivery's id, so what is sent twice is there once.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import pyarrow as pa

from lumi_pipeline.errors import ConfigError, SiemError
from lumi_pipeline.siem.answers import attempt
from lumi_pipeline.siem.destination import Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.gzipping import compress
from lumi_pipeline.siem.options import Given, Option, choice, https_url, number, secret, text
from lumi_pipeline.siem.plain import Plain
from lumi_pipeline.siem.s3access import S3Access
from lumi_pipeline.siem.s3puts import Target, put, try_out
from lumi_pipeline.siem.securitylake import groups, parquet
from lumi_pipeline.siem.settings import DestinationSettings
from lumi_pipeline.stores.s3errors import FAILURES
from transparency.objectkeys import is_key

_MB: Final = 1_000_000
_LAKE: Final = "security-lake"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+")
_ROLE_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[!-~]{1,512}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _bucket(given: Given) -> str:
    value = text(given)
    if not _BUCKET.fullmatch(value):
        raise given.wrong("a bucket's name: 3 to 63 of a-z 0-9 . -")
    return value


def _prefix(given: Given) -> str:
    value = text(given).removesuffix("/")
    if not is_key(value):
        raise given.wrong("the beginning of keys, such as 'audit/lumi': no / first, nothing empty or . between two /")
    return f"{value}/"


def _key_arn(given: Given) -> str:
    # An id or an alias would be looked for in the account of whoever writes, not in that of the bucket's owner.
    if not _KEY_ARN.fullmatch(value := text(given)):
        raise given.wrong("the full ARN of a KMS key: arn:aws:kms:REGION:ACCOUNT:key/ID")
    return value


def _role_arn(given: Given) -> str:
    if not _ROLE_ARN.fullmatch(value := text(given)):
        raise given.wrong("the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME")
    return value


def _word(given: Given) -> str:
    if not _WORD.fullmatch(value := text(given)):
        raise given.wrong("1 to 64 of A-Z a-z 0-9 _ -, no _ or - first")
    return value


OPTIONS: Final[Mapping[str, Option]] = {
    "bucket": Option(_bucket, required=True),
    "prefix": Option(_prefix, "", routable=True),
    "kms_key": Option(_key_arn),
    "region": Option(_word),
    "endpoint": Option(https_url),
    "profile": Option(text),
    "access_key_id": Option(text),
    "secret_access_key": Option(secret),
    "session_token": Option(secret),
    "role_arn": Option(_role_arn),
    "external_id": Option(text),
    "layout": Option(choice("ndjson", _LAKE), "ndjson"),
    "source": Option(_word, "lumi"),
    "account_id": Option(_word, "external"),
    "max_bytes": Option(number(1 << 20, 128 * _MB), 128 * _MB),
    "max_events": Option(number(1, 10_000_000), 1_000_000),
}


def open_destination(settings: DestinationSettings) -> "S3Destination":
    """Open a destination of checked settings."""
    return S3Destination(settings)


class S3Destination(Plain):
    """A bucket, with a prefix, or one for each route."""

    def __init__(self, settings: DestinationSettings) -> None:
        options, name = settings.options, f"destination {settings.name}"
        if (options["access_key_id"] is None) != (options["secret_access_key"] is None):
            raise ConfigError(f"{name}: 'access_key_id' and 'secret_access_key' go together")
        if options["session_token"] is not None and options["access_key_id"] is None:
            raise ConfigError(f"{name}: 'session_token' goes with 'access_key_id'")
        if options["external_id"] is not None and options["role_arn"] is None:
            raise ConfigError(f"{name}: 'external_id' goes with 'role_arn'")
        endpoint = options["endpoint"]
        if endpoint is not None and str(endpoint).startswith("http:") and not settings.allow_private:
            raise ConfigError(f"{name}: the endpoint has no TLS; set allow_private = true if the network is your own")
        self._lake = options["layout"] == _LAKE
        if self._lake and (settings.format != "ocsf" or options["region"] is None):
            raise ConfigError(f"{name}: layout '{_LAKE}' needs format = 'ocsf' and 'region'")
        self.settings = settings
        self.suffix = "parquet" if self._lake else "ndjson.gz"
        self.mapping = f"s3-{options['layout']}/1"
        largest = int(str(options["max_bytes"]))
        self.limits = Limits(largest, int(str(options["max_events"])), largest)
        self._access = S3Access(settings)

    def group(self, events: pa.Table) -> pa.StringArray | None:
        """An object of Security Lake's holds events of one class and one day; another one any."""
        return groups(events) if self._lake else None

    def body(self, content: bytes | memoryview) -> bytes:
        """Gzip, or Parquet."""
        return parquet(bytes(content)) if self._lake else compress(content)

    def send(self, outgoing: Outgoing) -> Outcome:
        """Write one object."""
        return attempt(lambda: self._put(outgoing))

    def check(self) -> Sequence[str]:
        """Begin an upload below each prefix and give it up, which shows the rights and the key, and leaves nothing."""
        found = []
        for prefix in dict.fromkeys(str(route.options["prefix"]) for route in self.settings.routes):
            outcome = attempt(partial(self._try_out, f"{prefix}lumi-check"))
            if outcome.result is not Result.DELIVERED:
                raise SiemError(f"{self.settings.name}: {outcome.detail}")
            found.append(f"{outcome.detail}{prefix}")
        return found

    def close(self) -> None:
        """Let go of the connections."""
        self._access.forget()

    def _put(self, outgoing: Outgoing) -> Outcome:
        target = self._target(self._key(outgoing))
        try:
            client = self._access.client()
        except FAILURES as error:
            return target.judge(error)
        outcome = put(client, target, outgoing.body)
        if outcome.result is Result.BLOCKED:
            self._access.forget()  # whoever corrects credentials is not kept waiting until a role's have expired
        return outcome

    def _try_out(self, key: str) -> Outcome:
        target = self._target(key)
        try:
            return try_out(self._access.client(), target)
        except FAILURES as error:
            return target.judge(error)

    def _target(self, key: str) -> Target:
        options = self.settings.options
        kms_key = options["kms_key"]
        return Target(str(options["bucket"]), key, None if kms_key is None else str(kms_key))

    def _key(self, outgoing: Outgoing) -> str:
        prefix, options = outgoing.route.options["prefix"], self.settings.options
        name = f"{outgoing.delivery_id}.{self.suffix}"
        if not self._lake:
            return f"{prefix}day={outgoing.day.isoformat()}/{name}"
        class_uid, _, day = outgoing.group.partition("/")
        place = f"region={options['region']}/accountId={options['account_id']}/eventDay={day}"
        return f"{prefix}ext/{options['source']}-{class_uid}/{place}/{name}"
