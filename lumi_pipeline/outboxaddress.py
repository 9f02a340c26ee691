"""Where the outbox is: a database URL, with a name that can be shown because it holds no secret."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SQLITE: Final = "sqlite:///"
POSTGRESQL: Final = ("postgresql://", "postgres://")


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


def holds_password(url: str) -> bool:
    """Tell whether a database URL has a password in it, before the host or among the parameters."""
    authority, _, rest = url.partition("://")[2].partition("/")
    user, at, _ = authority.rpartition("@")
    return bool(at and ":" in user) or "password=" in (authority + rest).partition("?")[2].lower()
