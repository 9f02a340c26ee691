"""Whatever is changed in any file, public or private, verification finds it and names it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from lumi_pipeline.errors import ChainBroken
from lumi_pipeline.verdict import Status
from tests.lake.altering import (
    Altered,
    Look,
    Original,
    look_at_acknowledgement,
    look_at_day,
    look_at_folders,
    look_at_landings,
    look_at_log,
    names,
)
from tests.lake.judging import judge
from tests.lake.world import LOG_KEY, ORIGIN, World, at, day
from transparency.entries import DayRecord, Genesis
from transparency.keys import SigningKey
from transparency.log import Log
from transparency.memorystore import MemoryStore

SMALL = 2048
"""Up to this size every byte is altered, beyond it a few dozen."""

BROKEN = 4
"""The day with a broken chain, where there is one."""


@dataclass(frozen=True, slots=True)
class Group:
    """Objects that the same verification looks at."""

    keys: re.Pattern[str]
    look: Look
    status: Status = Status.FAILED
    """What verification says when one of them is altered."""


GROUPS = {
    "log": Group(re.compile(r"log/(?!index\.html).*"), look_at_log),
    # The site is a way to look at the log and no evidence: what is odd about it is told, and fails nothing.
    "site": Group(re.compile(r"log/index\.html"), look_at_log, Status.VERIFIED),
    "journal": Group(re.compile(r"log-private/(commits|cosigned)/.*|log-private/genesis\.txt"), look_at_log),
    "records": Group(re.compile(r"seals/day=.*/day\.txt"), look_at_log),
    "manifests": Group(re.compile(r"seals/day=.*/manifest\.json"), look_at_day),
    "tenant-days": Group(re.compile(r"seals/day=.*/tenant_days-.*\.parquet"), look_at_day),
    "events": Group(re.compile(r"events/day=.*/part-.*\.parquet"), look_at_day),
    "acknowledgements": Group(re.compile(r"seals/day=.*/(breaks|acknowledged)-.*\.json"), look_at_acknowledgement),
    "landings": Group(re.compile(r"landings/.*\.json"), look_at_landings),
    "landed": Group(re.compile(r"landed/.*/(part|tenants|breaks)-.*\.parquet"), look_at_landings),
}


def build(directory: Path, *, broken: bool) -> World:
    """Five sealed days, one idle, published in two rounds; on top, two landings with events of the open day."""
    world = World.create(directory, at(4, "00:20:00"))
    world.record_all(
        [
            ("acme", at(0, "09:00:00")),
            ("globex", at(0, "10:00:00")),
            ("acme", at(0, "23:59:59.999999")),
            ("acme", at(1, "00:00:00")),
            ("globex", at(1, "00:00:00")),
            ("initech", at(3, "08:00:00")),
        ]
    )
    world.pipeline().run()
    world.record_all([("acme", at(BROKEN, "09:00:00")), ("globex", at(BROKEN, "10:00:00"))])
    world.clock.now = at(5, "00:20:00")
    if broken:
        world.tamper("UPDATE audit_outbox SET actor_id = 'nobody' WHERE tenant_id = 'acme' AND seq = 3")
        with pytest.raises(ChainBroken):
            world.pipeline().run()
        world.pipeline().acknowledge(day(BROKEN), "row 3 was edited by hand, see ticket 17")
    world.pipeline().run()
    for tenant in ("globex", "umbrella"):
        world.record(tenant, at(5, "00:10:00"))
        if broken:
            world.tamper("UPDATE audit_outbox SET ip = '::1' WHERE tenant_id = ? AND seq > 2", (tenant,))
        world.pipeline().land()
    return world


def original_of(world: World) -> Original:
    reports = [report for report in world.pipeline().seal([day(BROKEN)]) if report.breaks]
    return Original(world, world.contents(), reports[0].breaks if reports else ())


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return original_of(build(tmp_path_factory.mktemp("intact") / "world", broken=False))


@pytest.fixture(scope="module")
def acknowledged(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """The same, but one day was sealed with an acknowledged break, and there is another break in what is landed."""
    return original_of(build(tmp_path_factory.mktemp("acknowledged") / "world", broken=True))


def alterations(data: bytes, random: Random) -> Iterator[tuple[str, bytes | None]]:
    """What a disk or a person does to a file, with a name for each."""
    size = len(data)
    positions = range(size) if size <= SMALL else {*range(16), *range(size - 16, size), *random.sample(range(size), 16)}
    for position in positions:
        bit = 1 << random.randrange(8)
        yield f"bit {bit} of byte {position}", data[:position] + bytes([data[position] ^ bit]) + data[position + 1 :]
    for length in {0, 1, size // 2, size - 1}:
        yield f"cut to {length} bytes", data[:length]
    for more in (b"\n", b"\0", b" ", data):
        yield f"{len(more)} bytes appended", data + more
    yield "deleted", None


def alter_all(original: Original, name: str, keys: list[str], exempt: Callable[[str, str], bool]) -> int:
    """Alter these objects in every way; return how many alterations were found. A survivor fails the test."""
    random = Random(name)
    look, status = GROUPS[name].look, GROUPS[name].status
    found = 0
    for key in keys:
        usual = look(original, key, {})
        for what, data in alterations(original.objects[key], random):
            verdicts = [verdict for verdict in look(original, key, {key: data}) if verdict not in usual]
            if not exempt(key, what):
                assert any(names(verdict, key, status) for verdict in verdicts), f"{key}: {what}: {verdicts}"
                found += 1
    return found


@pytest.mark.parametrize("which", ["intact", "acknowledged"])
def test_every_object_is_in_a_group(which: str, request: pytest.FixtureRequest) -> None:
    original: Original = request.getfixturevalue(which)
    for key in original.objects:
        if key.startswith("index/"):
            continue  # test_proofindex.py alters proof indexes, which are no evidence
        assert len([name for name, group in GROUPS.items() if group.keys.fullmatch(key)]) == 1, key
    empty = {name for name, group in GROUPS.items() if not any(map(group.keys.fullmatch, original.objects))}
    assert empty == ({"acknowledgements"} if which == "intact" else set())


@pytest.mark.parametrize("which", ["intact", "acknowledged"])
def test_untouched_nothing_is_found_but_what_was_declared(which: str, request: pytest.FixtureRequest) -> None:
    original: Original = request.getfixturevalue(which)
    findings = [(v.subject, v.reason) for v in judge(original.world) if v.status is not Status.VERIFIED]
    declared = [(str(day(BROKEN)), "declared-break"), ("landings", "chain-broken"), ("outbox", "chain-broken")]
    assert findings == ([] if which == "intact" else declared)


SLOW = {"log", "records", "manifests", "landings"}


def each(*groups: str) -> list[pytest.ParameterSet]:
    return [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in groups]


@pytest.mark.parametrize("name", each(*(name for name in GROUPS if name != "acknowledgements")))
def test_every_alteration_is_found(intact: Original, name: str) -> None:
    keys = [key for key in intact.objects if GROUPS[name].keys.fullmatch(key)]
    last = max(key for key in intact.objects if key.startswith("landings/"))
    # As if the last landing had never been committed: that is another verdict, see below.
    assert alter_all(intact, name, keys, lambda key, what: (key, what) == (last, "deleted")) > 30


@pytest.mark.parametrize("name", each("manifests", "tenant-days", "events", "acknowledgements", "landings", "landed"))
def test_every_alteration_is_found_where_there_are_breaks_as_well(acknowledged: Original, name: str) -> None:
    """Of the day with breaks, or of what was landed with one."""
    place = re.compile(rf".*/day={day(BROKEN)}/.*|land.*")
    keys = [key for key in acknowledged.objects if GROUPS[name].keys.fullmatch(key) and place.fullmatch(key)]
    last = max(key for key in acknowledged.objects if key.startswith("landings/"))
    assert alter_all(acknowledged, name, keys, lambda key, what: (key, what) == (last, "deleted")) > 30


def test_a_lost_last_landing_is_not_passed_over(intact: Original) -> None:
    """Nobody can tell it from a landing that is about to be committed; so it is no failure, but no success either."""
    last = max(key for key in intact.objects if key.startswith("landings/"))
    [verdict] = look_at_landings(intact, last, {last: None})
    assert verdict.status is Status.INCOMPLETE
    assert last in verdict.lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in GROUPS if name != "acknowledgements"])
def test_verifying_everything_finds_what_its_parts_find(intact: Original, name: str, tmp_path: Path) -> None:
    random = Random(name)
    key = random.choice([key for key in intact.objects if GROUPS[name].keys.fullmatch(key)])
    world = intact.world.copy(tmp_path / "world")
    data = bytearray(intact.objects[key])
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    world.overwrite(key, bytes(data))
    assert any(names(verdict, key, GROUPS[name].status) for verdict in judge(world)), key


# Objects that are added, or exchanged for each other.


def seal_key(number: int, name: str) -> str:
    return f"seals/day={day(number)}/{name}"


ADDED: dict[str, tuple[Look, str]] = {
    "a file in a sealed partition": (look_at_day, f"events/day={day(0)}/part-00001-0123456789abcdef.parquet"),
    "a file in the partition of an idle day": (look_at_day, f"events/day={day(2)}/part-00000-0123456789abcdef.parquet"),
    "a file of another kind in a partition": (look_at_day, f"events/day={day(0)}/.part-00000.crc"),
    "a directory in a partition": (look_at_day, f"events/day={day(0)}/hour=0/part-00000.parquet"),
    "a file beside the partitions": (look_at_folders, "events/part-00000-0123456789abcdef.parquet"),
    "a partition before the first day": (look_at_folders, f"events/day={day(-1)}/part-00000.parquet"),
    "a partition of no day": (look_at_folders, "events/day=2024-02-30/part-00000.parquet"),
    "a second manifest": (look_at_day, seal_key(1, "manifest-2.json")),
    "a second record": (look_at_day, seal_key(1, "day-2.txt")),
    "other tenant-day records": (look_at_day, seal_key(1, "tenant_days-0123456789abcdef.parquet")),
    "a file beside the seals": (look_at_folders, "seals/day.txt"),
    "an acknowledgement without a report": (look_at_day, seal_key(1, f"acknowledged-{'0' * 64}.json")),
    "a report that is not what it is named after": (look_at_day, seal_key(1, f"breaks-{'0' * 64}.json")),
    "a record after a gap": (look_at_day, seal_key(9, "day.txt")),
    "a record before the first day": (look_at_day, seal_key(-1, "day.txt")),
    "a landed file of a sealed landing": (look_at_landings, f"landed/{0:012}/part-00000-0123456789abcdef.parquet"),
    "a landed file more": (look_at_landings, f"landed/{2:012}/part-00001-0123456789abcdef.parquet"),
    "a landed file of no landing": (look_at_landings, "landed/extra/part-00000.parquet"),
    "a landed file in no folder": (look_at_landings, "landed/part-00000.parquet"),
    "a landing after a gap": (look_at_landings, f"landings/{9:012}.json"),
    "a landing of no number": (look_at_landings, "landings/extra.json"),
    "a tile of another width": (look_at_log, "log/tile/0/000.p/4"),
    "a tile beyond the tree": (look_at_log, "log/tile/0/001.p/1"),
    "an entry bundle beyond the tree": (look_at_log, "log/tile/entries/000.p/7"),
    "something else in public": (look_at_log, "log/events.parquet"),
    "a commit on top": (look_at_log, f"log-private/commits/{6:012}"),
    "a commit in between": (look_at_log, f"log-private/commits/{3:012}"),
    "a checkpoint kept for another size": (look_at_log, f"log-private/cosigned/{4:012}"),
    "a checkpoint kept for a larger size": (look_at_log, f"log-private/cosigned/{7:012}"),
    "staged entries": (look_at_log, f"log-private/staging/{6:012}-{'0' * 64}"),
}


@pytest.mark.parametrize("what", ADDED)
def test_every_object_that_is_added_is_found(intact: Original, what: str) -> None:
    """Also if its bytes are those of an object that is right where it is."""
    look, key = ADDED[what]
    twin = next(data for found, data in intact.objects.items() if found.split("/")[0] == key.split("/")[0])
    for data in (b"", twin):
        verdicts = look(intact, key, {key: data})
        assert any(names(verdict, key) for verdict in verdicts), verdicts


EXCHANGED = {
    "two records": (look_at_log, [(seal_key(1, "day.txt"), seal_key(3, "day.txt"))]),
    "two manifests": (look_at_day, [(seal_key(1, "manifest.json"), seal_key(3, "manifest.json"))]),
    "two days' records and manifests": (
        look_at_day,
        [(seal_key(1, name), seal_key(3, name)) for name in ("day.txt", "manifest.json")],
    ),
    "two landings": (look_at_landings, [(f"landings/{1:012}.json", f"landings/{2:012}.json")]),
    "two commits": (look_at_log, [(f"log-private/commits/{0:012}", f"log-private/commits/{5:012}")]),
    "two kept checkpoints": (look_at_log, [(f"log-private/cosigned/{5:012}", f"log-private/cosigned/{6:012}")]),
    "the public checkpoint and an older one": (look_at_log, [("log/checkpoint", f"log-private/cosigned/{5:012}")]),
    "two tiles": (look_at_log, [("log/tile/0/000.p/5", "log/tile/0/000.p/6")]),
    "two bundles": (look_at_log, [("log/tile/entries/000.p/5", "log/tile/entries/000.p/6")]),
}


@pytest.mark.parametrize("what", EXCHANGED)
def test_objects_that_are_exchanged_are_found(intact: Original, what: str) -> None:
    look, pairs = EXCHANGED[what]
    altered: dict[str, bytes | None] = {}
    for one, other in pairs:
        altered |= {one: intact.objects[other], other: intact.objects[one]}
    verdicts = look(intact, pairs[0][0], altered)
    assert any(names(verdict, key) for verdict in verdicts for pair in pairs for key in pair), verdicts


@pytest.mark.parametrize("prefix", ["events/", "seals/"])
def test_files_that_are_exchanged_between_days_are_found(intact: Original, prefix: str) -> None:
    """All of a day's files at once, under the names that the other day's have."""
    one, other = ([key for key in intact.objects if key.startswith(f"{prefix}day={day(n)}/")] for n in (1, 3))
    altered: dict[str, bytes | None] = {}
    for pair in zip(one, other, strict=True):
        altered |= {pair[0]: intact.objects[pair[1]], pair[1]: intact.objects[pair[0]]}
    for key in (one[0], other[0]):
        [verdict] = look_at_day(intact, key, altered)
        assert names(verdict, key)


# Logs that were signed anew, with the log's own key.


def entries_of(original: Original) -> list[bytes]:
    return [
        original.objects["log-private/genesis.txt"],
        *(original.objects[seal_key(number, "day.txt")] for number in range(5)),
    ]


def record(entries: list[bytes], number: int, /, **changes: object) -> bytes:
    return replace(DayRecord.parse(entries[number]), **changes).encode()  # type: ignore[arg-type]


def exchange(entries: list[bytes]) -> list[bytes]:
    entries[2], entries[3] = entries[3], entries[2]
    return entries


def exchange_days(entries: list[bytes]) -> list[bytes]:
    """Each at the index that it names, so only the days are wrong."""
    entries[2], entries[3] = record(entries, 3, index=2), record(entries, 2, index=3)
    return entries


def another_genesis(entries: list[bytes]) -> list[bytes]:
    return [replace(Genesis.parse(entries[0]), first_day=day(-1)).encode(), *entries[1:]]


RESIGNED: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "two records exchanged": (exchange, "index 2"),
    "two records exchanged that name their new index": (exchange_days, "index 2"),
    "a second record of the last day": (lambda entries: [*entries, entries[5]], "index 6"),
    "a second record of the last day that names its index": (
        lambda entries: [*entries, record(entries, 5, index=6)],
        "index 6",
    ),
    "a day left out": (lambda entries: entries[:3] + entries[4:], "index 3"),
    "a day left out and the next moved up": (
        lambda entries: [*entries[:3], *(record(entries, index, index=index - 1) for index in (4, 5))],
        "index 3",
    ),
    "another first day": (another_genesis, "index 1"),
    "breaks denied or invented": (lambda entries: [*entries[:5], record(entries, 5, breaks=1)], seal_key(4, "day.txt")),
    "sealed before the day before it": (
        lambda entries: [*entries[:4], record(entries, 4, sealed=at(9)), entries[5]],
        str(day(4)),
    ),
    "something that is no record": (lambda entries: [*entries, b"lumi/day/v1\n"], "entry 6"),
    "another origin": (lambda entries: [*entries[:5], record(entries, 5, origin="log.example.com")], "index 5"),
}


def resigned(original: Original, entries: list[bytes], key: SigningKey) -> Altered:
    """The lake with another log: nothing is left of the old one."""
    store = MemoryStore()
    Log(store, [key]).append(entries)
    old: dict[str, bytes | None] = {key: None for key in original.objects if key.startswith(("log/", "log-private/c"))}
    return {**old, **{key: store.get(key) for key in store.list("")}}


def test_a_log_that_is_signed_anew_as_it_was_verifies(intact: Original) -> None:
    [verdict] = look_at_log(intact, "", resigned(intact, entries_of(intact), LOG_KEY))
    assert verdict.status is Status.VERIFIED


@pytest.mark.parametrize("what", RESIGNED)
def test_a_log_that_was_changed_and_signed_anew_is_found(intact: Original, what: str) -> None:
    forge, place = RESIGNED[what]
    [verdict] = look_at_log(intact, "", resigned(intact, forge(entries_of(intact)), LOG_KEY))
    assert verdict.status is Status.FAILED
    assert place in "\n".join(verdict.lines)


def test_a_log_that_somebody_else_signed_is_found(intact: Original) -> None:
    stranger = SigningKey(ORIGIN, bytes(32))
    [verdict] = look_at_log(intact, "", resigned(intact, entries_of(intact), stranger))
    assert (verdict.status, verdict.reason) == (Status.FAILED, "checkpoint-signature")
