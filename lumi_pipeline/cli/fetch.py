"""Getting what is to be verified, from a directory, a web server or S3, never more of it than could make sense."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.stores.address import SCHEME, s3_address, split_address
from transparency.errors import ObjectMissing, StoreError

MAX_OBJECT_BYTES: Final = 64 * 2**20
"""The largest proof file there can be; a log's largest object, a full entry bundle, has 16 MiB."""

TIMEOUT_SECONDS: Final = 30.0

CHECKPOINT: Final = "checkpoint"

Fetch = Callable[[str], bytes]
"""Returns the object at a ``/``-separated path; raises StoreError, or its ObjectMissing."""


class TooLarge(StoreError):
    """It has more bytes than anything of a log, and than any proof file."""


def is_url(target: str) -> bool:
    """Tell whether a command line argument means an address on the web or in S3."""
    return target.startswith(("http://", "https://", SCHEME))


def log_directory(path: Path) -> Path | None:
    """Return the directory of the log that ``path`` means: itself, or the ``log/`` of a lake's root."""
    return next((found for found in (path, path / "log") if (found / CHECKPOINT).is_file()), None)


@contextmanager
def log_fetch(target: str) -> Iterator[Fetch]:
    """Fetch the files of the log at an address or in a directory; its ``checkpoint`` may be named as well.

    Raises :class:`~lumi_pipeline.errors.ConfigError` for what can be no address.
    """
    if is_url(target) or "://" in target:
        with remote_fetch(_checked_address(target)) as fetch:
            yield fetch
    else:
        path = Path(target)
        if path.name == CHECKPOINT and path.is_file():
            path = path.parent
        yield directory_fetch(log_directory(path) or path)


def log_address(url: str) -> str:
    """Return the address of the log that a URL means: what ``checkpoint`` is below."""
    return url.removesuffix(CHECKPOINT) if urlsplit(url).path.endswith(f"/{CHECKPOINT}") else url


def _checked_address(target: str) -> str:
    try:
        if not is_url(target):
            raise ValueError("it has to begin with https://, http:// or s3://")
        address = log_address(target)
        return s3_address(address) if address.startswith(SCHEME) else address
    except ValueError as error:
        raise ConfigError(f"{target!r} is not the address of a log: {error}") from None


def directory_fetch(root: Path) -> Fetch:
    """Fetch objects from files below ``root``."""

    def fetch(path: str) -> bytes:
        return read_file(root / path)

    return fetch


@contextmanager
def remote_fetch(base: str) -> Iterator[Fetch]:
    """Fetch objects from below an address on the web or in S3; the path may be empty where it names one object."""
    with (_s3_fetch if base.startswith(SCHEME) else _web_fetch)(base) as fetch:
        yield fetch


@contextmanager
def _s3_fetch(base: str) -> Iterator[Fetch]:
    from lumi_pipeline.stores.s3 import S3Store
    from lumi_pipeline.stores.s3client import Limits, S3Connection

    bucket, prefix = split_address(s3_address(base))
    whole = S3Store(S3Connection(Limits(largest=MAX_OBJECT_BYTES)), bucket, "")

    def fetch(path: str) -> bytes:
        return whole.get(f"{prefix}{path}" if path else prefix.removesuffix("/"))

    yield fetch


@contextmanager
def _web_fetch(base: str) -> Iterator[Fetch]:
    """Fetch objects from below a web address, on one kept-open connection."""
    import httpx

    prefix = base.removesuffix("/")
    with httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=True, max_redirects=5) as client:

        def fetch(path: str) -> bytes:
            url = f"{prefix}/{path}" if path else base
            try:
                with client.stream("GET", url) as response:
                    if response.status_code in (404, 410):
                        raise ObjectMissing(f"{url} is not there (HTTP {response.status_code})")
                    if response.status_code != 200:
                        raise StoreError(f"{url} answered HTTP {response.status_code}")
                    return _capped(response.iter_bytes(), url)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise StoreError(f"{url}: {error or type(error).__name__}") from None

        yield fetch


def read_file(path: Path) -> bytes:
    """Read a file of a sensible size; raise StoreError, or its ObjectMissing."""
    try:
        with open_without_waiting(path) as file:
            data = file.read(MAX_OBJECT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise ObjectMissing(f"{path} is not there") from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    return _capped([data], str(path))


def open_without_waiting(path: Path) -> BinaryIO:
    """Open a file for reading. A pipe that nobody writes to is empty; one that somebody has open is read to its end."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    os.set_blocking(file.fileno(), True)
    return file


def _capped(chunks: Iterator[bytes] | list[bytes], where: str) -> bytes:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > MAX_OBJECT_BYTES:
            raise TooLarge(f"{where} is larger than {MAX_OBJECT_BYTES} bytes; nothing of a log or proof is")
    return bytes(data)
