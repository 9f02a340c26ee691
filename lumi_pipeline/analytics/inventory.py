"""What of the lake the analyst database is made from: its sealed days, and what is landed and not sealed yet."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from lumi_pipeline.genesis import read_genesis
from lumi_pipeline.lake import Lake
from lumi_pipeline.landings import landed_prefix, landings
from lumi_pipeline.records import StoredFile
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.sealeddays import sealed_days
from transparency.entries import day_index
from transparency.logview import LogView


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the lake holds at one moment; comparing two tells what was changed in between.

    ``sealed`` has for every sealed day a digest of the names of its objects. Event files are named after their content
    and a sealed day never changes, so a day is only read again when that differs. ``published`` are those of the
    days that the public log holds. ``sealed_through`` has each tenant's first seq that is in no sealed day, and
    ``landed`` the files that may hold such rows, which are those of the landings from ``floor`` on.
    """

    sealed: Mapping[date, str]
    published: frozenset[date]
    sealed_through: Mapping[str, int]
    floor: int
    landed: tuple[StoredFile, ...]

    def follows(self, sealed: Mapping[date, str], landed: Iterable[str]) -> bool:
        """Whether a lake that held these sealed days and landed files has only gained since.

        It has not when files were replaced, as when payloads are erased, or days are gone.
        """
        there = {file.path for file in self.landed}
        return all(self.sealed.get(day) == content for day, content in sealed.items()) and all(
            key in there or key < landed_prefix(self.floor) for key in landed
        )

    def state(self, *about: str) -> str:
        """A digest (hex) of all this and of what else makes a difference."""
        parts = [*about, *(f"{day} {content} {day in self.published}" for day, content in sorted(self.sealed.items()))]
        parts += [file.path for file in self.landed]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def take_inventory(lake: Lake) -> Inventory:
    """Look at what the lake holds; only the last sealed day and the landings since are read."""
    # Sealed days first: landings stay when their rows are sealed, so what another run seals from here on is still found
    # among them, and no row is missing or there twice.
    earlier, own = sealed_days(lake)
    sealed = _contents(lake, [*earlier, *own])
    last = load_sealed_day(lake, max(sealed)) if sealed else None
    floor = last.tenants.landing_floor if last else 0
    return Inventory(
        sealed,
        _published(lake, sealed),
        {tenant_id: tenant.record.next for tenant_id, tenant in last.tenants.tenants.items()} if last else {},
        floor,
        tuple(file for landing in landings(lake, floor) for file in landing.event_files),
    )


def _contents(lake: Lake, days: Sequence[date]) -> dict[date, str]:
    """For every sealed day a digest of the names of its objects."""
    names: dict[str, list[str]] = {}
    for prefix in ("seals/day=", "events/day="):
        for key in lake.store.list(prefix):
            names.setdefault(key.removeprefix(prefix).partition("/")[0], []).append(key)
    return {day: hashlib.sha256("\n".join(names.get(day.isoformat(), [])).encode()).hexdigest() for day in days}


def _published(lake: Lake, sealed: Mapping[date, str]) -> frozenset[date]:
    genesis = read_genesis(lake)
    if genesis is None:
        return frozenset()
    size = LogView(lake.store).state().published_size
    # Days before the first are those of a log that this one succeeds.
    return frozenset(day for day in sealed if day < genesis.first_day or day_index(genesis.first_day, day) < size)
