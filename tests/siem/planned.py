"""What was planned of a world's events, read back from the lake and held against the outbox."""

from lumi_pipeline.siem.destination import Limits
from lumi_pipeline.siem.plans import Plan, PlanBook
from tests.lake.world import World
from tests.siem.shipping import LIMITS, NAME, ScriptedDestination, Siem, lake_of, settings


def destination(limits: Limits = LIMITS, group: str | None = None, **options: object) -> ScriptedDestination:
    return ScriptedDestination(settings(**options), Siem(), limits, group=group)


def plans_of(world: World) -> list[Plan]:
    book = PlanBook(lake_of(world.store), NAME)
    return [book.read(number) for number in range(book.planned().next_number)]


def planned(world: World) -> list[tuple[str, int]]:
    """Tenant and seq of every planned event, in the order of plans and batches."""
    book = PlanBook(lake_of(world.store), NAME)
    found: list[tuple[str, int]] = []
    for read in plans_of(world):
        rows = book.events(read).to_pylist()
        assert [row["batch"] for row in rows] == [i for i, batch in enumerate(read.batches) for _ in range(batch.count)]
        for number, batch in enumerate(read.batches):
            seqs: dict[str, list[int]] = {}
            for row in rows:
                if row["batch"] == number:
                    seqs.setdefault(str(row["tenant_id"]), []).append(int(str(row["seq"])))
            shares = [(share.tenant_id, share.first, share.last, share.count) for share in batch.tenants]
            assert shares == [(t, min(s), max(s), len(s)) for t, s in sorted(seqs.items())]
        found += [(str(row["tenant_id"]), int(str(row["seq"]))) for row in rows]
    return found


def recorded(world: World, *tenants: str) -> list[tuple[str, int]]:
    """Tenant and seq of every event in the outbox, of these tenants or of all."""
    rows = world.select("SELECT tenant_id, seq FROM audit_outbox ORDER BY tenant_id, seq")
    found = [(str(tenant_id), int(str(seq))) for tenant_id, seq in rows]
    return [row for row in found if not tenants or row[0] in tenants]


def assert_planned_once(world: World, *tenants: str) -> None:
    assert sorted(planned(world)) == recorded(world, *tenants)
