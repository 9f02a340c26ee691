"""Where the outbox is: a database URL, with a name that can be shown because it holds no secret."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SQLITE: Final = "sqlite:///"
POSTGRESQL: Final = ("postgresql://", "postgres://")

_HOST: Final = r"(?:\[[0-9A-Fa-f:.]+\]|[\w.%-]*)(?::[0-9]*)?"
_SERVER: Final = re.compile(
    rf"(?:[^:@/?]*(?::[^@/]*)?@|(?![^/]*@)){_HOST}(?:,{_HOST})*(?:/[^@?]*)?(?:\?.*)?",
    re.DOTALL,  # for libpq an @ before the first slash ends user and password, be it among the parameters
)


@dataclass(frozen=True, slots=True)
class OutboxAddress:
    """A checked database URL. ``name`` is what messages and metadata show; ``url`` may hold a password.

    ``path`` is the file of an SQLite database, None for a server.
    """

    name: str
    url: str = field(repr=False)
    path: Path | None = None


def sqlite_address(path: Path) -> OutboxAddress:
    """Return the address of an SQLite file."""
    return OutboxAddress(str(path), f"{SQLITE}{path}", path)


def postgresql_address(url: str) -> OutboxAddress:
    """Return the address of a PostgreSQL database (a libpq connection URI), named without password and parameters."""
    authority, slash, rest = url.partition("://")[2].partition("/")
    user, at, hosts = authority.rpartition("@")
    database = rest.partition("?")[0]
    hosts = hosts.partition("?")[0]
    return OutboxAddress(f"postgresql://{user.partition(':')[0]}{at}{hosts}{slash}{database}", url)


def is_clear(url: str) -> bool:
    """Tell whether nothing of a PostgreSQL URL's password can be taken for a host, a port or a database.

    That is what becomes of a password with an ``@`` or ``/`` that is not percent-encoded, and those are told in errors.
    """
    return _SERVER.fullmatch(url.partition("://")[2]) is not None


def holds_password(url: str) -> bool:
    """Tell whether a database URL has a password in it, before the host or among the parameters."""
    authority, _, rest = url.partition("://")[2].partition("/")
    user, at, _ = authority.rpartition("@")
    return bool(at and ":" in user) or "password=" in (authority + rest).partition("?")[2].lower()
