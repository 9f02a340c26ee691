"""S3 addresses as they are configured: ``s3://bucket`` or ``s3://bucket/prefix``."""

import re
from typing import Final

SCHEME: Final = "s3://"

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_COMPONENT: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9!_.=-]{1,200}")
"""No character that a URL, a query engine's glob or a shell takes for something else."""

_MAX_PREFIX: Final = 512
"""Leaves room for the keys below, in S3's limit of 1024 bytes."""


def s3_address(text: str) -> str:
    """Check an address and return it without a ``/`` at its end; raises ValueError with the reason."""
    bucket, _, prefix = text.removeprefix(SCHEME).partition("/")
    prefix = prefix.removesuffix("/")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"it has to be {SCHEME}BUCKET/PREFIX, with a bucket's name of 3 to 63 characters a-z 0-9 . -")
    if len(prefix) > _MAX_PREFIX or not all(_COMPONENT.fullmatch(part) for part in prefix.split("/") if prefix):
        raise ValueError("its prefix may have plain names of A-Z a-z 0-9 ! _ . = - between single '/', 512 in all")
    return f"{SCHEME}{bucket}/{prefix}" if prefix else f"{SCHEME}{bucket}"


def split_address(address: str) -> tuple[str, str]:
    """Return the bucket of an address and its prefix, which is empty or ends with ``/``."""
    bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
    return bucket, f"{prefix}/" if prefix else ""
