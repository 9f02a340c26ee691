"""Nobody can use the records of an erasure to change or hide anything else."""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pytest

from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.erasure.orders import Order, read_orders
from lumi_pipeline.errors import ErasureError, LumiError
from lumi_pipeline.events import EVENT_SCHEMA, PAYLOAD_COLUMNS
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.writer import write_bundle
from lumi_pipeline.lake import describe_parquet
from lumi_pipeline.landedrows import LandedRows
from lumi_pipeline.landings import read_cursors
from lumi_pipeline.records import StoredFile
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.superseding import Replacement, Superseded, rewritten_prefix
from lumi_pipeline.verdict import Status
from tests.erasure.forgetting import erikas, forget, status
from tests.lake.judging import judge
from tests.lake.world import World, at, day
from transparency.errors import VerificationError

Edit = Callable[[pa.Table], pa.Table]
FIRST_DAY_RECORD = f"seals/day={day(0)}/superseded-000000.json"
LANDING_RECORD = "superseded/000000000001/superseded-000000.json"


def cell(name: str, row: int, value: object) -> Edit:
    def edit(table: pa.Table) -> pa.Table:
        values = table.column(name).to_pylist()
        values[row] = value
        field = EVENT_SCHEMA.field(name)
        return table.set_column(EVENT_SCHEMA.get_field_index(name), field, pa.array(values, field.type))

    return edit


def nulled(row: int) -> Edit:
    def edit(table: pa.Table) -> pa.Table:
        for name in PAYLOAD_COLUMNS:
            table = cell(name, row, None)(table)
        return cell("erased_at", row, at(3, "00:20:00"))(table)

    return edit


def forge(world: World, key: str, edit: Edit) -> None:
    """Put another file in the place of one that an erasure wrote, and name it in the record."""
    record = Superseded.parse(world.store.get(key), key)
    replaced = record.files[0]
    table = world.pipeline().lake.open_events(replaced.new).read()
    file, data = describe_parquet(rewritten_prefix(replaced.new.path, 0), edit(table))
    world.store.delete(replaced.new.path)
    world.store.put_new(file.path, data)
    forged = StoredFile(file.path, file.size, replaced.old.rows, file.sha256)
    world.overwrite(key, Superseded(0, record.event_id, (Replacement(replaced.old, forged, 1),)).encode())


FORGERIES: dict[str, Edit] = {
    "another actor": cell("actor_id", 0, "somebody"),
    "another action": cell("action", 3, "LOGIN"),
    "another payload": cell("ip", 0, "192.0.2.1"),
    "a payload that nobody erased": nulled(0),
    "half a payload": cell("ip", 0, None),
    "another time of erasure": cell("erased_at", 1, at(2)),
    "erased and yet there": cell("actor_name", 1, "Somebody"),
    "another hash": cell("payload_hash", 1, bytes(32)),
    "rows in another order": lambda table: table.take([1, 0, 2, 3]),
    "a row twice": lambda table: table.take([0, 0, 2, 3]),
    "a row less": lambda table: table.slice(1),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_file_is_found(forgotten: World, name: str) -> None:
    world = forgotten
    forge(world, FIRST_DAY_RECORD, FORGERIES[name])
    failed = [verdict.subject for verdict in judge(world) if verdict.status is Status.FAILED]
    assert failed == [str(day(0))]
    pipeline = world.pipeline()
    days = pipeline.lake_days()
    cursors = read_cursors(pipeline.lake, load_sealed_day(pipeline.lake, days[-1]).tenants)
    with pytest.raises(LumiError), LandedRows(pipeline.lake, days, cursors, dict.fromkeys(cursors, 0)) as rows:
        list(rows.tables())
    asked = Asked("acme", day(0), day(0))
    with pytest.raises(LumiError):
        write_bundle(pipeline, asked, world.directory / "out", lambda path: judge_bundle(path, world.policy))


@pytest.mark.parametrize("name", ["another actor", "a payload that nobody erased"])
def test_a_forged_landed_file_is_found(forgotten: World, name: str) -> None:
    world = forgotten
    edit = {"another actor": cell("actor_id", 1, "somebody"), "a payload that nobody erased": nulled(1)}[name]
    forge(world, LANDING_RECORD, edit)
    assert [verdict.subject for verdict in judge(world) if verdict.status is Status.FAILED] == ["landings"]


def altered(**fields: object) -> Callable[[Order], bytes]:
    return lambda order: replace(order, **fields).encode()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "edit",
    [
        altered(reason="another"),
        altered(tenant_id="globex"),
        altered(at=at(1)),
        lambda order: replace(order, events={**order.events, 0: "019aa4f2-0000-7000-8000-000000000001"}).encode(),
        lambda _: b"{}\n",
    ],
)
def test_an_altered_order_is_found(forgotten: World, edit: Callable[[Order], bytes]) -> None:
    [known] = read_orders(forgotten.pipeline().lake)
    forgotten.overwrite(known.order.key, edit(known.order))
    assert status(forgotten) is Status.FAILED


@pytest.mark.parametrize("key", ["erasures/000000/order.json", FIRST_DAY_RECORD, LANDING_RECORD])
def test_a_lost_record_is_found(forgotten: World, key: str) -> None:
    forgotten.store.delete(key)
    assert status(forgotten) is Status.FAILED


def test_a_lost_end_is_an_unfinished_erasure(forgotten: World) -> None:
    forgotten.store.delete("erasures/000000/done.json")
    assert status(forgotten) is Status.INCOMPLETE


def test_an_order_that_nobody_recorded_covers_nothing(forgotten: World) -> None:
    """Somebody with the lake alone can't erase: an order without an event of the operator's chain is none."""
    [known] = read_orders(forgotten.pipeline().lake)
    forged = replace(known.order, number=1, event_id="019aa4f2-0000-7000-8000-000000000001", events={0: "x"})
    forgotten.store.put_new(forged.key, forged.encode())
    forge(forgotten, FIRST_DAY_RECORD, nulled(0))
    assert [v.subject for v in judge(forgotten) if v.status is Status.FAILED] == [str(day(0))]


def test_what_comes_back_is_told_and_erased_again(world: World) -> None:
    """An older dump has what was erased since; restored, it brings that back."""
    older = world.copy(world.directory.parent / "older")
    report = forget(world.pipeline())
    assert report.order is not None
    world.place.take_outbox(older.place)
    # The event that ordered it comes back with what was landed.
    world.pipeline().rebaser().accept("restored", rerecord=True)
    assert status(world) is Status.INCOMPLETE
    [again] = Eraser(world.pipeline()).again()
    assert again.parts["outbox"].events == 4
    assert status(world) is Status.VERIFIED


def test_a_payload_that_was_hidden_before_it_was_landed_is_neither_sealed_nor_called_erased(world: World) -> None:
    [hidden] = erikas(world, world.clock.now)
    nulls = ", ".join(f"{column} = NULL" for column in PAYLOAD_COLUMNS)
    change = f"UPDATE audit_outbox SET {nulls}, erased_at = recorded_at WHERE event_id = ?"  # noqa: S608 - constants
    assert world.tamper(change, (hidden,)) == 1
    assert world.pipeline().land().rows == 1
    with pytest.raises(ErasureError, match="seq 8 is gone, and nothing ordered that"):
        forget(world.pipeline())
    assert {v.subject for v in judge(world) if v.status is Status.FAILED} == {"landings", "outbox"}
    world.clock.now = at(4, "00:20:00")
    with pytest.raises(
        VerificationError, match=f"{day(3)} is not sealed: the payload of 1 event.*nothing ordered that"
    ):
        world.pipeline().run()
