"""Clients for buckets of others: region, endpoint and credentials as a destination's settings say.

Without any, botocore looks in the usual places. A role to assume is that of the bucket's owner, with the external id
that keeps others from having us use it (IAM User Guide, "Access to AWS accounts owned by third parties"). Secrets are
read at each attempt; when they have changed, or a role's credentials are about to expire, a new client is made.
"""

import hashlib
import time
from datetime import datetime
from threading import Lock
from typing import Final

import botocore.session  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, InvalidConfigError  # type: ignore[import-untyped]

from lumi_pipeline.siem.options import Secret
from lumi_pipeline.siem.settings import DestinationSettings
from lumi_pipeline.stores.s3client import S3Client

_EARLY: Final = 300.0
"""Seconds before a role's credentials expire in which they are not used any more."""

_CONNECT: Final = 10.0


class S3Access:
    """Makes clients. Threads may share it."""

    def __init__(self, settings: DestinationSettings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._client: S3Client | None = None
        self._made_of = b""
        self._until = 0.0

    def client(self) -> S3Client:
        """Return a client; raises what botocore raises, and SecretUnavailable."""
        options = self._settings.options
        key = {
            name: secret.read()
            for name, option in (("aws_secret_access_key", "secret_access_key"), ("aws_session_token", "session_token"))
            if isinstance(secret := options[option], Secret)
        }
        if options["access_key_id"] is not None:
            key["aws_access_key_id"] = str(options["access_key_id"])
        made_of = hashlib.sha256(repr(sorted(key.items())).encode()).digest()
        with self._lock:
            if self._client is None or made_of != self._made_of or time.time() > self._until:
                self._client, self._until = self._connect(key)
                self._made_of = made_of
            return self._client

    def forget(self) -> None:
        """Make a new client next time."""
        with self._lock:
            self._client = None

    def _connect(self, key: dict[str, str]) -> tuple[S3Client, float]:
        options = self._settings.options
        session = botocore.session.Session(profile=options["profile"])
        common = {"region_name": options["region"], "config": self._config(), "verify": self._verify()}
        until = float("inf")
        try:
            if options["role_arn"] is not None:
                key, until = self._assume(session.create_client("sts", **common, **key))
            client: S3Client = session.create_client("s3", endpoint_url=options["endpoint"], **common, **key)
        except BotoCoreError:
            raise
        except ValueError as error:  # an endpoint that is no URL
            raise InvalidConfigError(error_msg=str(error)) from None
        return client, until

    def _assume(self, sts: object) -> tuple[dict[str, str], float]:
        options = self._settings.options
        external = {} if options["external_id"] is None else {"ExternalId": options["external_id"]}
        answer = sts.assume_role(  # type: ignore[attr-defined]
            RoleArn=options["role_arn"], RoleSessionName="lumi-pipeline", **external
        )
        given = answer["Credentials"]
        expires = given["Expiration"]
        until = expires.timestamp() - _EARLY if isinstance(expires, datetime) else 0.0
        return {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }, until

    def _config(self) -> Config:
        settings = self._settings
        return Config(
            connect_timeout=min(_CONNECT, settings.timeout),
            read_timeout=settings.timeout,
            max_pool_connections=settings.concurrency + 1,
            retries={"mode": "standard", "total_max_attempts": 1},  # the sender tries again, and says so
            proxies={"http": settings.proxy, "https": settings.proxy} if settings.proxy else {},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"payload_signing_enabled": True},
        )

    def _verify(self) -> str | None:
        return None if self._settings.ca_file is None else str(self._settings.ca_file)
