"""What evidence is asked for, and whether it can be given: one tenant, from one sealed and published day to another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

from lumi_pipeline.days import day_range
from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.lake import Lake
from lumi_pipeline.pruned import pruned_keys
from lumi_pipeline.sealedday import load_sealed_day
from transparency.entries import Genesis


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose events, and of which days; both ends are included."""

    tenant_id: str
    first: date
    last: date

    @property
    def name(self) -> str:
        """The name of the bundle."""
        return f"evidence-{self.tenant_id}-{self.first}-{self.last}"

    def days(self) -> Iterator[date]:
        """Every day of the period, in order."""
        yield from day_range(self.first, self.last)


def check_period(asked: Asked, genesis: Genesis, published: Sequence[date]) -> None:
    """Raise :class:`~lumi_pipeline.errors.EvidenceError` unless every day of the period is in the public log."""
    if asked.last < asked.first:
        raise EvidenceError(f"the period ends on {asked.last}, before it begins on {asked.first}; exchange the two")
    if asked.first < genesis.first_day:
        raise EvidenceError(
            f"the log begins with {genesis.first_day}, so nothing can be proved of {asked.first}; begin there"
        )
    if not published:
        raise EvidenceError("no day is published yet; 'lumi run' seals and publishes every complete day")
    if asked.last > published[-1]:
        raise EvidenceError(
            f"the last published day is {published[-1]}, so nothing can be proved of {asked.last} yet; end there, or "
            "run 'lumi run' if that day is over"
        )


def check_not_pruned(lake: Lake, asked: Asked) -> None:
    """Raise :class:`~lumi_pipeline.errors.EvidenceError` if events of the tenant and period were pruned."""
    for day in sorted(pruned_keys(lake).keys() & set(asked.days())):
        sealed = load_sealed_day(lake, day)
        if sealed.pruned is not None and asked.tenant_id in sealed.gone:
            raise EvidenceError(
                f"the events of {asked.tenant_id} of {day} were pruned under policy (event {sealed.pruned.event_id}), "
                "so there is no evidence of them any more; begin after that day. Evidence made before still verifies"
            )


def chain_id_of(lake: Lake, tenant_id: str, last_sealed: date) -> bytes:
    """Return the chain id of a tenant; :class:`~lumi_pipeline.errors.EvidenceError` if no sealed day knows it."""
    known = load_sealed_day(lake, last_sealed).tenants.tenants
    if tenant_id not in known:
        near = get_close_matches(tenant_id, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise EvidenceError(f"no sealed day through {last_sealed} has a tenant {tenant_id!r}{hint}")
    return known[tenant_id].chain_id
