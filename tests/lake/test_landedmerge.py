"""Rows of landings are merged by where they lie: what comes out is what sorting them gives, whatever their shape."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline import stretches
from lumi_pipeline.cutting import SMALL_GROUPS, in_groups, in_parts, row_sizes
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import EVENT_SCHEMA, to_micros
from lumi_pipeline.landedmerge import LandedMerge
from lumi_pipeline.landings import (
    Cursor,
    LandedTenant,
    Landing,
    landed_prefix,
    landed_tenants,
    landing_key,
    tenants_table,
)
from lumi_pipeline.pending import Pending
from lumi_pipeline.records import StoredFile
from lumi_pipeline.stretches import Stretch, read_stretches
from tests.lake.rows import events
from tests.lake.world import World, at, day

TENANTS = ("acme", "acme.eu", "globex", "initech", "zoë")
NOWHERE = StoredFile("landed/000000000000/tenants-0.parquet", 0, 0, "")


class Landed:
    """Landings of made-up rows in a directory; ``plan`` has to merge them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.landings: list[tuple[Landing, list[LandedTenant], list[str]]] = []
        self.places: dict[StoredFile, str] = {}

    def land(self, tenants: Sequence[LandedTenant], ends: Sequence[int], group_rows: int) -> None:
        """Add a landing with these shares, in files that end at these rows."""
        number = len(self.landings)
        rows = [(share.tenant_id, seq) for share in tenants for seq in range(share.first, share.cursor.next_seq)]
        files = [
            self.put(f"{landed_prefix(number)}part-{part:05d}", events(rows[begin:end]), group_rows)
            for part, (begin, end) in enumerate(pairwise([0, *ends, len(rows)]))
        ]
        landing = Landing(number, "system", "", tuple(files), NOWHERE, None)
        self.landings.append((landing, list(tenants), [self.places[file] for file in files]))

    def put(self, prefix: str, table: pa.Table, group_rows: int) -> StoredFile:
        place = self.directory / f"{len(self.places)}.parquet"
        with pq.ParquetWriter(place, EVENT_SCHEMA, use_dictionary=False) as writer:
            writer.write_table(EVENT_SCHEMA.empty_table())  # a row group without rows
            writer.write_table(table, group_rows)
        file = StoredFile(f"{prefix}-0.parquet", 0, len(table), "")
        self.places[file] = str(place)
        return file


def share(tenant_id: str, first: int, rows: int) -> LandedTenant:
    return LandedTenant(tenant_id, first, rows, Cursor(bytes(16), first + rows, bytes(32), 0, bytes(32)))


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_merging_gives_what_sorting_gives(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    landed = Landed(tmp_path_factory.mktemp("landed"))
    reached = dict.fromkeys(TENANTS, 0)
    long = data.draw(st.booleans())
    for _ in range(data.draw(st.integers(1, 4))):
        counts = {
            t: data.draw(st.integers(0, 900 if long else 5)) for t in data.draw(st.sets(st.sampled_from(TENANTS)))
        }
        shares = [share(tenant_id, reached[tenant_id], counts[tenant_id]) for tenant_id in sorted(counts)]
        ends = sorted(data.draw(st.lists(st.integers(0, sum(counts.values())), max_size=3)))
        landed.land(shares, ends, data.draw(st.sampled_from([1, 3, 1000]) if not long else st.just(700)))
        for tenant_id, count in counts.items():
            reached[tenant_id] += count
    bounds = {t: sorted(data.draw(st.tuples(*[st.integers(0, reached[t] + 1)] * 2))) for t in TENANTS}
    plan = LandedMerge.plan(landed.landings)
    assert plan is not None
    stretches = plan.stretches({tenant_id: (first, after) for tenant_id, (first, after) in bounds.items()})
    assert stretches is not None
    tables = list(read_stretches(stretches, landed.places))
    expected = [(t, seq) for t in sorted(TENANTS) for seq in range(bounds[t][0], min(bounds[t][1], reached[t]))]
    assert pa.concat_tables([EVENT_SCHEMA.empty_table(), *tables]).equals(events(expected))


def test_one_row_of_each_row_group_does_not_keep_the_row_groups_in_memory(tmp_path: Path) -> None:
    groups, large = 24, "x" * 2**24
    place = tmp_path / "landed.parquet"
    with pq.ParquetWriter(place, EVENT_SCHEMA, use_dictionary=False, write_statistics=False) as writer:
        for number in range(groups):
            rows = [events([("acme", 2 * number)]), events([("acme", 2 * number + 1)], large)]
            writer.write_table(pa.concat_tables(rows))
    file = StoredFile("landed/000000000000/part-00000-0.parquet", 0, 2 * groups, "")
    wanted = [Stretch("acme", 0, file, 2 * number, 2 * number + 1) for number in range(groups)]
    before = pa.total_allocated_bytes()
    most = 0

    def watched() -> Iterator[Stretch]:
        nonlocal most
        for stretch in wanted:
            most = max(most, pa.total_allocated_bytes() - before)
            yield stretch

    [table] = read_stretches(watched(), {file: str(place)})
    assert table.column("seq").to_pylist() == list(range(0, 2 * groups, 2))
    assert most < 256 * 2**20


def test_row_groups_of_many_files_are_not_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "HELD_BYTES", 16 * 2**20)
    monkeypatch.setattr(stretches, "PART_BYTES", 8 * 2**20)
    files: dict[StoredFile, str] = {}
    for number in range(20):
        place = tmp_path / f"{number}.parquet"
        rows = [events([("acme", number)]), events([("acme", 20 + number)]), events([("acme", 99)], "x" * (4 * 2**20))]
        pq.write_table(pa.concat_tables(rows), place, use_dictionary=False, write_statistics=False)
        files[StoredFile(f"landed/{number:012d}/part-00000-0.parquet", 0, 3, "")] = str(place)
    before = pa.total_allocated_bytes()
    most = 0

    def watched() -> Iterator[Stretch]:
        nonlocal most
        for row in range(2):
            for number, file in enumerate(files):
                most = max(most, pa.total_allocated_bytes() - before)
                yield Stretch("acme", number, file, row, row + 1)

    [table] = read_stretches(watched(), files)
    assert table.column("seq").to_pylist() == list(range(40))
    assert most < 40 * 2**20


def test_row_groups_that_may_be_held_together_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[StoredFile, str] = {}
    size = 0
    for number in range(4):
        place = tmp_path / f"{number}.parquet"
        rows = events([("acme", 4 * row + number) for row in range(100)])
        pq.write_table(rows, place)
        size += int(row_sizes(rows).sum())
        files[StoredFile(f"landed/{number:012d}/part-00000-0.parquet", 0, 100, "")] = str(place)
    monkeypatch.setattr(stretches, "HELD_BYTES", size)
    decoded = []
    decode = pq.ParquetFile.read_row_group

    def counted(parquet: pq.ParquetFile, number: int, *, use_threads: bool) -> pa.Table:
        decoded.append(parquet)
        return decode(parquet, number, use_threads=use_threads)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    wanted = (Stretch("acme", number, file, row, row + 1) for row in range(100) for number, file in enumerate(files))
    [table] = read_stretches(wanted, files)
    assert table.column("seq").to_pylist() == list(range(400))
    assert len(decoded) == len(files)


def test_few_rows_among_many_of_others_are_not_merged(tmp_path: Path) -> None:
    landed = whole(tmp_path)
    days, tenants, own = 30, 100, 10_000
    shares = [share(f"t{number:03d}", 0, own) for number in range(tenants)]
    [(landing, _, places)] = landed.landings
    files = [replace(file, rows=own * tenants // 2) for file in landing.files]
    for place in places:  # of which only the metadata is looked at
        pq.write_table(pa.table({"nothing": pa.nulls(own * tenants // 2)}), place, row_group_size=SMALL_GROUPS.rows)
    plan = LandedMerge.plan([(replace(landing, files=tuple(files)), shares, places)])
    assert plan is not None
    names = [tenant.tenant_id for tenant in shares]
    assert plan.stretches(dict.fromkeys(names, (0, own // days))) is None
    assert plan.stretches(dict.fromkeys(names, (0, own // 2))) is not None
    assert plan.stretches({"t050": (0, own // days)}) is not None, "few row groups are decoded fast"


def test_groups_and_parts_end_where_their_rows_say_and_not_where_pieces_do() -> None:
    sizes = [2**22, 2**20, 0, 2**21] * 24
    rows = pa.concat_tables([events([("acme", seq)], "x" * size) for seq, size in enumerate(sizes)])
    whole = rows.combine_chunks()
    cuts = [[], [1, 2, 3, 50, 95], list(range(1, 96)), [40]]
    found = []
    for ends in cuts:
        pieces = [whole.slice(begin, end - begin) for begin, end in pairwise([0, *ends, len(sizes)])]
        groups = list(in_groups(pieces))
        assert pa.concat_tables(groups).equals(whole)
        assert all(column.num_chunks == 1 for group in groups for column in group.columns)
        found.append(([len(group) for group in groups], [len(part) for part in in_parts(iter(groups))]))
    assert found == [found[0]] * len(cuts)
    assert len(found[0][0]) == 3


# Landings that nobody made like that.


def whole(directory: Path) -> Landed:
    landed = Landed(directory)
    landed.land([share("acme", 0, 6), share("globex", 0, 4)], [4], 3)
    assert LandedMerge.plan(landed.landings) is not None
    return landed


def read(landed: Landed) -> pa.Table:
    plan = LandedMerge.plan(landed.landings)
    assert plan is not None
    stretches = plan.stretches({"acme": (0, 6), "globex": (0, 4)})
    assert stretches is not None
    return pa.concat_tables(read_stretches(stretches, landed.places))


@pytest.mark.parametrize(
    "shares",
    [
        [share("acme", 0, 6), share("globex", 0, 5)],
        [replace(share("acme", 0, 5), rows=6), share("globex", 0, 4)],
        [share("acme", 0, 6), share("globex", 0, 8), share("initech", 4, -4)],
        [share("acme", 0, 6), share("acme", 0, 4)],
    ],
    ids=["other-sum", "other-range", "negative", "twice"],
)
def test_what_a_landing_says_of_its_tenants_has_to_fit_its_files(tmp_path: Path, shares: list[LandedTenant]) -> None:
    landed = whole(tmp_path)
    [(landing, _, places)] = landed.landings
    assert LandedMerge.plan([(landing, shares, places)]) is None


def test_a_landing_that_lists_a_file_twice_is_not_merged(tmp_path: Path) -> None:
    landed = whole(tmp_path)
    [(landing, _, places)] = landed.landings
    first = landing.files[0]
    shares = [share("acme", 0, 8)]
    assert LandedMerge.plan([(replace(landing, files=(first, first)), shares, [places[0]] * 2)]) is None


def test_landings_that_take_much_memory_once_decoded_are_not_merged(tmp_path: Path) -> None:
    landed, files = Landed(tmp_path), []
    for number, size in enumerate((10, 2**20, 2**20)):
        rows = events([("acme", seq) for seq in range(300 * number, 300 * number + 300)], "x" * size)
        files.append(landed.put(f"{landed_prefix(number)}part-00000", rows, 300))
    plans = []
    for taken in (files[:1], files[:2], files):
        landings = [
            (Landing(n, "system", "", (file,), NOWHERE, None), [share("acme", 300 * n, 300)], [landed.places[file]])
            for n, file in enumerate(taken)
        ]
        plans.append(LandedMerge.plan(landings))
    assert [plan is not None for plan in plans] == [True, True, False]


def test_a_file_with_other_rows_than_its_landing_says_is_named(tmp_path: Path) -> None:
    for rows in ([("acme", 0)], [("acme", seq) for seq in range(5)]):
        landed = whole(tmp_path)
        file = landed.landings[0][0].files[0]
        other = landed.put("landed/000000000000/part-00009", events(rows), 3)
        landed.places[file] = landed.places[other]
        with pytest.raises(LakeError, match=r"part-00000-0\.parquet was altered: it does not hold the 4 rows"):
            read(landed)


def test_a_file_that_was_swapped_after_it_was_checked_is_an_error_of_ours(tmp_path: Path) -> None:
    landed = whole(tmp_path)
    place = Path(landed.places[landed.landings[0][0].files[1]])
    pq.write_table(pa.table({"tenant_id": ["acme"] * 6}), place)
    with pytest.raises(LakeError, match=r"part-00001-0\.parquet does not have the columns of an event file"):
        read(landed)
    place.write_bytes(b"PAR1")
    with pytest.raises(LakeError, match="is not a readable Parquet file"):
        read(landed)
    place.unlink()
    with pytest.raises(LakeError, match="is not a readable Parquet file"):
        read(landed)


# However rows were landed, the day they make is the same.


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Some tenants' events of two days, in one landing."""
    world = World.create(tmp_path_factory.mktemp("once") / "world", at(2))
    for number, counts in enumerate([{"acme": 70, "globex": 1, "initech": 17}, {"acme": 20, "hooli": 11}]):
        world.record_all((tenant_id, at(number)) for tenant_id, count in counts.items() for _ in range(count))
    world.pipeline().land()
    return world


def land_again(world: World, ends: Sequence[int]) -> None:
    """Replace a world's only landing by several of the same rows, each up to another of the seqs ``ends``."""
    lake = world.pipeline().lake
    first = Landing.parse(world.store.get(landing_key(0)), landing_key(0))
    rows = pa.concat_tables([table for file in first.files for table in lake.read_events(file)])
    world.store.delete(landing_key(0))
    previous = ""
    shares = {tenant.tenant_id: tenant for tenant in landed_tenants(lake, first)}
    for number, (begin, end) in enumerate(pairwise([0, *ends, len(rows)])):
        taken = rows.filter((pc.field("seq") >= begin) & (pc.field("seq") < end))
        tenants = []
        for tenant_id, known in shares.items():
            own = taken.filter(pc.field("tenant_id") == tenant_id)
            if len(own):
                head, time = own.column("integrity_hash")[-1].as_py(), own.column("recorded_at")[-1].as_py()
                cursor = replace(
                    known.cursor, next_seq=begin + len(own), head=head, last_hash=head, not_before=to_micros(time)
                )
                tenants.append(LandedTenant(tenant_id, begin, len(own), cursor))
        files = [lake.put_parquet(f"{landed_prefix(number)}part-00000", taken)] if len(taken) else []
        table = lake.put_parquet(f"{landed_prefix(number)}tenants", tenants_table(tenants))
        data = Landing(number, first.system_id, previous, tuple(files), table, None).encode()
        world.overwrite(landing_key(number), data)
        previous = sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("ends", "merged"), [([1], True), ([0, 1, 17, 17, 29, 30], True), ([7, 31], True), ([*range(1, 70)], False)]
)
def test_a_day_is_the_same_however_its_rows_were_landed(
    once: World, tmp_path: Path, ends: list[int], *, merged: bool
) -> None:
    found = []
    for number, shape in enumerate([[], ends]):
        world = once.copy(tmp_path / str(number))
        land_again(world, shape)
        with Pending(world.pipeline().lake, 0) as pending:
            assert (pending.stretches({}) is not None) == (merged or not shape)
        reports = list(world.pipeline().seal([day(0), day(1)]))
        assert [report.rows for report in reports] == [88, 31]
        found.append((world.contents("events/"), [report.map_root for report in reports]))
    assert found[0] == found[1]
