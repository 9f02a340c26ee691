"""What can be set of a destination: names, kinds of values, and secrets that are never values.

A secret is a reference, ``env:NAME`` or ``file:PATH``. It is read when it is used, each time, so a rotated one is
picked up by itself, and nothing that holds a reference can leak what it stands for.
"""

import difflib
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lumi_pipeline.errors import ConfigError
from transparency.encoding import excerpt

_MAX_SECRET: Final = 1 << 16
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
"""A host's name in a URL (international ones as xn--…), or an IPv6 address without a zone."""
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""RFC 9110 section 5.6.2, token."""


class SecretUnavailable(ConfigError):
    """A secret can't be read now; delivery waits until it can."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret: ``env:NAME`` or ``file:PATH`` (a regular file that only its owner can read)."""

    reference: str

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def read(self) -> str:
        """Return the secret as it is now, without a line end; :class:`SecretUnavailable` says what is wrong."""
        scheme, _, name = self.reference.partition(":")
        value = os.environ.get(name) if scheme == "env" else _read_private(Path(name))
        if value is None:
            raise SecretUnavailable(f"the environment variable {name} is not set; it is to hold a secret")
        value = value.rstrip("\r\n")
        if not value or not value.isprintable():
            raise SecretUnavailable(f"{self.reference} is empty or holds control characters; it is to hold a secret")
        return value

    def read_token(self) -> str:
        """Return the secret for a header, which holds ASCII only; errors as :meth:`read`."""
        value = self.read()
        if not value.isascii():
            raise SecretUnavailable(f"{self.reference} holds other characters than ASCII; no header can carry it")
        return value


def _read_private(path: Path) -> str:
    try:
        # Without O_NONBLOCK, a named pipe in the place of the file would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SecretUnavailable(f"the secret file {path} is not a regular file")
            mode = stat.S_IMODE(status.st_mode)
            if mode & 0o077:
                raise SecretUnavailable(f"the secret file {path} has mode {mode:04o}, not 0600; run: chmod 600 {path}")
            content = os.read(descriptor, _MAX_SECRET + 1)
            if len(content) > _MAX_SECRET:  # its beginning would be another secret
                raise SecretUnavailable(f"the secret file {path} has more than 64 KiB; it is to hold a secret")
            return content.decode("utf-8")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SecretUnavailable(f"the secret file {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretUnavailable(f"the secret file {path} is not UTF-8 text") from None


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody gave it: ``source`` names it in errors, ``base`` is what relative paths start from."""

    source: str
    value: object
    base: Path

    def wrong(self, wanted: str) -> ConfigError:
        """The error that says what is wanted instead; the value itself may be a secret, so it is not repeated."""
        return ConfigError(f"{self.source} must be {wanted}")


Parser = Callable[[Given], object]


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can be set. Without a default it must be; ``routable`` ones may differ from route to route."""

    parse: Parser
    default: object = None
    required: bool = False
    routable: bool = False


def read_options(
    options: Mapping[str, Option], table: Mapping[str, object], source: str, base: Path
) -> dict[str, object]:
    """Check a table against what can be set in it; :class:`~lumi_pipeline.errors.ConfigError` names what is wrong."""
    for name in table:
        if name not in options:
            nearest = difflib.get_close_matches(str(name)[:100], options, n=1, cutoff=0.0)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise ConfigError(f"{source}: unknown key {excerpt(str(name))}{hint}")
    values: dict[str, object] = {}
    for name, option in options.items():
        if name in table:
            values[name] = option.parse(Given(f"{source}: {name}", table[name], base))
        elif option.required:
            raise ConfigError(f"{source}: {name!r} is missing")
        else:
            values[name] = option.default
    return values


def text(given: Given) -> str:
    """Text that is neither empty nor holds control characters."""
    if not isinstance(given.value, str) or not given.value.strip() or not given.value.isprintable():
        raise given.wrong("text in quotes, not empty and without control characters")
    return given.value


def secret(given: Given) -> Secret:
    """A reference to a secret."""
    value = given.value if isinstance(given.value, str) else ""
    scheme, _, name = value.partition(":")
    if scheme == "file" and name and name.isprintable():
        return Secret(f"file:{_path(given, name)}")
    if scheme == "env" and _VARIABLE.fullmatch(name):
        return Secret(value)
    raise given.wrong("env:NAME or file:PATH, which name where the secret is; never the secret itself")


def https_url(given: Given) -> str:
    """An absolute ``https://`` URL (or ``http://``, which the transport only allows to private addresses)."""
    value = text(given)
    try:
        return check_url(value)
    except ValueError as error:
        raise given.wrong(str(error)) from None


def check_url(value: str) -> str:
    """Return a URL that a request can go to; ValueError says what it must be, and quotes nothing of it."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("a URL") from None
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.fragment:
        raise ValueError("a URL that begins with https://, without a fragment")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL without user name and password; set them as secrets")
    if not value.isascii() or not value.isprintable() or any(c in value for c in ' "<>\\^`{|}'):
        raise ValueError("a URL in ASCII, with %… for other characters and xn--… for international names")
    if not _HOST.fullmatch(parts.hostname):
        raise ValueError("a URL whose host is a name or an address")
    return value


def proxy_url(given: Given) -> str:
    """A proxy: ``http://HOST:PORT``, which connects to destinations by CONNECT (RFC 9110 section 9.3.6)."""
    value = https_url(given)
    parts = urlsplit(value)
    if parts.scheme != "http" or parts.path not in {"", "/"} or parts.query:
        raise given.wrong("http://HOST:PORT")
    return value


def path(given: Given) -> Path:
    """A path; relative ones start from the file that the setting is in."""
    return _path(given, text(given))


def _path(given: Given, name: str) -> Path:
    try:
        return given.base / Path(name).expanduser()
    except RuntimeError:
        raise given.wrong("a path; this one names no home directory") from None


def flag(given: Given) -> bool:
    """True or false."""
    if not isinstance(given.value, bool):
        raise given.wrong("true or false")
    return given.value


def number(low: int, high: int) -> Parser:
    """A whole number from ``low`` to ``high``."""

    def parse(given: Given) -> int:
        if isinstance(given.value, bool) or not isinstance(given.value, int) or not low <= given.value <= high:
            raise given.wrong(f"a whole number from {low} to {high}")
        return given.value

    return parse


def choice(*known: str) -> Parser:
    """One of several words."""

    def parse(given: Given) -> str:
        if given.value not in known:
            raise given.wrong(f"one of {', '.join(known)}")
        return str(given.value)

    return parse


def texts(given: Given) -> tuple[str, ...]:
    """A list of texts, not empty, each once."""
    if not isinstance(given.value, list) or not given.value:
        raise given.wrong("a list of texts, not empty")
    values = [text(Given(f"{given.source}[{i}]", value, given.base)) for i, value in enumerate(given.value)]
    if len(set(values)) != len(values):
        raise given.wrong("a list of texts, each once")
    return tuple(values)


def names(given: Given) -> dict[str, str]:
    """A table of texts by name."""
    if not isinstance(given.value, dict):
        raise given.wrong("a table of texts")
    return {str(key): text(Given(f"{given.source}.{key}", value, given.base)) for key, value in given.value.items()}


def header_name(given: Given) -> str:
    """The name of an HTTP header."""
    value = text(given)
    if not _HEADER.fullmatch(value):
        raise given.wrong("the name of an HTTP header, such as X-Api-Key")
    return value


def header_value(given: Given) -> str:
    """What an HTTP header can hold: printable ASCII without white space around it."""
    value = text(given)
    if not value.isascii() or value != value.strip():
        raise given.wrong("printable ASCII text, without spaces around it: it becomes an HTTP header")
    return value
