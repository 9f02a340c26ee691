"""The forms, tables and limits of docs/formats.md are those of our code: same fields, same order, same words."""

import ast
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lumi_pipeline import events, records
from lumi_pipeline.acknowledging import acknowledge, break_report
from lumi_pipeline.chain import Break, BreakKind
from lumi_pipeline.compute import Inline
from lumi_pipeline.doctor.examination import Examination, Place
from lumi_pipeline.doctor.writing import look_at_store
from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.erasure.orders import Order, Outcome, Selector, begin_round, finish_order
from lumi_pipeline.erasure.orders import Place as ErasurePlace
from lumi_pipeline.erasure.planning import Selection
from lumi_pipeline.errors import ChainBroken, WitnessesMissing
from lumi_pipeline.events import COLUMNS, CORE_COLUMNS, HASH_COLUMNS, NULLABLE_COLUMNS, PAYLOAD_COLUMNS
from lumi_pipeline.evidence import bundlefiles, csvform, proofsfile, rowchecks
from lumi_pipeline.evidence.monthly import MonthlyEvidence
from lumi_pipeline.evidence.superseding import SupersededBundle
from lumi_pipeline.hashing import net
from lumi_pipeline.lake import GROUP_BYTES, Lake
from lumi_pipeline.landings import Landing
from lumi_pipeline.pruned import Pruned
from lumi_pipeline.pruning.pruner import Pruner
from lumi_pipeline.rebaserecords import Rebase, finish_rebase
from lumi_pipeline.rebasing import Finding, Kind
from lumi_pipeline.records import Manifest, StoredFile, TenantDay
from lumi_pipeline.rotation import Role
from lumi_pipeline.siem import receipts
from lumi_pipeline.siem.checking import UNKNOWN_SIGNER
from lumi_pipeline.siem.erased import ErasedBatch, ErasedPlan
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.feederased import ErasedEntry
from lumi_pipeline.succession import succeed
from lumi_pipeline.superseding import Replacement, Superseded
from lumi_pipeline.verdict import Status
from tests.crashing import CrashingStore
from tests.docs.delivering import DELIVERY_FORMS, NAME, deliver
from tests.docs.formats_page import EXAMPLES, FORMS, REPOSITORY, TEXT, code, tables
from tests.lake.witnesses import running
from tests.lake.world import World, at
from tests.siem.fakes.http import answer
from transparency import encoding, keys, note, patricia, policy, proof, tiles
from transparency.checkpoint import parse_signed_checkpoint
from transparency.entries import DayRecord, Genesis, PreviousLog
from transparency.filestore import FileStore
from transparency.journal import Commit, Journal
from transparency.keys import SigningKey
from transparency.memorystore import MemoryStore
from transparency.policy import Policy, evaluate
from transparency.proof import TlogProof
from transparency.store import ObjectStore

VECTORS: dict[str, Any] = json.loads((REPOSITORY / "tests/vectors/lumi_v1.json").read_text(encoding="utf-8"))
LOG = VECTORS["log"]
FIRST_EVENT = VECTORS["events"][0]

ORIGIN = "log.example.com/test"
KEY = SigningKey(ORIGIN, bytes(32)).verifier
EVIDENCE_KEY = SigningKey(f"{ORIGIN}/evidence", bytes(range(32))).verifier
DAY = date(2026, 11, 21)
HASH = bytes(32)
FILE = StoredFile("<object key>", 1, 2, HASH.hex())
REBASE = Rebase(
    0, "<event>", "<time>", "<text>", "<name>", "<name>", True, {Kind.FORKED: 1},
    (Finding("acme", Kind.FORKED, 1, 0, 0, 1, 0),),
)  # fmt: skip
REPORT = break_report(DAY, [Break("acme", 1, BreakKind.LINK, "a", "b")])


def written(write: Callable[[MemoryStore], None]) -> bytes:
    """The one object that something writes."""
    store = MemoryStore()
    write(store)
    [key] = store.list("")
    return store.get(key)


def rebase_done() -> bytes:
    """What says that a rebase was finished that took a row out."""
    store = MemoryStore()
    Lake(store, str).put_parquet("rebases/000000000000/forked/acme/part-00000", pa.table({"row": [1]}))
    finish_rebase(Lake(store, str), REBASE)
    return store.get("rebases/000000000000/done.json")


RECORD_FORMS = {
    "tenant-day": TenantDay(DAY, HASH, 0, 0, 0, HASH, HASH, HASH, 0).encode(),
    "genesis": Genesis(ORIGIN, DAY, KEY, EVIDENCE_KEY, PreviousLog("old.example.com/log", 1, HASH)).encode(),
    "day": DayRecord(ORIGIN, DAY, 1, HASH, HASH, 0, datetime(2026, 11, 22, tzinfo=UTC), KEY, EVIDENCE_KEY).encode(),
}
"""Records with every line that they can have."""

SHORTEST = {
    "tenant-day": RECORD_FORMS["tenant-day"],
    "genesis": LOG["entries"][0].encode(),
    "day": LOG["entries"][1].encode(),
}

MOMENT = datetime(2026, 11, 22, tzinfo=UTC)
ORDER = Order(0, "<event>", "<tenant_id>", Selector.ACTOR, "<text>", MOMENT, {1: "<event_id>"})
PART = "landed/000000000000/part-00000"
OLD = replace(FILE, path=f"{PART}-{'0' * 16}.parquet")
KEPT = replace(FILE, path=f"events/day={DAY}/kept-00000-{'0' * 16}.parquet")
NEW = replace(FILE, path=f"{PART}-erased-000000-{'0' * 16}.parquet")

JSON_FORMS = {
    "erasure": ORDER.encode(),
    "erasure-gone": replace(ORDER, gone={ErasurePlace.LAKE: {1: MOMENT}, ErasurePlace.OUTBOX: {1: MOMENT}}).encode(),
    "erasure-round": written(lambda store: begin_round(Lake(store, str), ORDER)),
    "erasure-done": written(lambda store: finish_order(Lake(store, str), ORDER, Outcome.DONE)),
    "pruned": Pruned(DAY, 0, "<event>", 1, ("<tenant_id>",), (KEPT,), HASH, HASH.hex()).encode(),
    "superseded": Superseded(0, "<event>", (Replacement(OLD, NEW, 1),)).encode(),
    "siem-erased": ErasedPlan(0, "<event>", 0, (ErasedBatch(0, "<batch>", ("<event_id>",), FILE, 0),), FILE).encode(),
    "feed-superseded": ErasedEntry(0, "<tenant_id>", 0, "<event>", 1, "<key>", 1, HASH.hex()).encode(),
    "evidence-superseded": SupersededBundle.of(0, "<event>", ["<object key>"], "<object key>", b"").encode(),
    "manifest": Manifest(DAY, 2, 1, 0, (FILE,), {"<name>": "<version>"}).encode(),
    "landing": Landing(0, "<name>", "", (FILE,), FILE, None).encode(),
    "acknowledgement": written(lambda store: acknowledge(Lake(store, str), REPORT, "<event>", "<text>")),
    "rebase": REBASE.encode(),
    "rebase-done": rebase_done(),
    "breaks": REPORT.data,
    "commit": Commit(0, 1, HASH).encode(),
    "staging": written(lambda store: Journal(store, "log-private/").stage(Commit(0, 1, HASH), [b"entry"])),
}

HASH_FORMS = {
    "payload-hash": FIRST_EVENT["payload_hash"],
    "integrity-hash": FIRST_EVENT["integrity_hash"],
    "genesis-hash": FIRST_EVENT["prev_hash"],
    "tenant-key": VECTORS["tenant_keys"]["acme"],
}


@pytest.mark.parametrize("name", RECORD_FORMS)
def test_form_of_a_record(name: str) -> None:
    shown = [line.strip("[]").split(" ")[0] for line in FORMS[name].splitlines()]
    assert shown == [line.split(" ")[0] for line in RECORD_FORMS[name].decode().splitlines()]
    required = [line for line in FORMS[name].splitlines() if not line.startswith("[")]
    assert len(required) == len(SHORTEST[name].splitlines())


def shape(value: object) -> object:
    """Names, their order, and types, without the values."""
    if isinstance(value, dict):
        return [(name, shape(item)) for name, item in value.items()]
    return [shape(item) for item in value[:1]] if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize("name", JSON_FORMS)
def test_form_of_a_json_object(name: str) -> None:
    ours = json.loads(JSON_FORMS[name])
    assert shape(json.loads(FORMS[name])) == shape(ours)
    assert json.loads(FORMS[name]).get("format") == ours.get("format")
    assert JSON_FORMS[name].endswith(b"\n") == (name not in {"commit", "staging"})


def test_digests_of_private_objects() -> None:
    for name in JSON_FORMS.keys() - {"manifest", "breaks", "commit", "staging"}:
        value = json.loads(JSON_FORMS[name])
        digest = value.pop("digest")
        assert sha256(encoding.canonical_json(value).encode()).hexdigest() == digest


@pytest.mark.parametrize("name", HASH_FORMS)
def test_form_of_a_hash(name: str) -> None:
    """Follow the formula as a reader would, on the first event."""
    values: Mapping[str, Any] = {**FIRST_EVENT, "chain_id": VECTORS["chain_ids"]["acme"]}
    [tag] = re.findall(r'H\("(lumi/[a-z-]+/v1)\\n"', FORMS[name])
    parts = [f"{tag}\n".encode()]
    for is_hex, column in re.findall(r"net\((hex )?(\w+)\)", FORMS[name]):
        assert bool(is_hex) == (column in {"payload_salt", "chain_id", *HASH_COLUMNS})
        parts.append(net(str(values[column])))
    assert sha256(b"".join(parts)).hexdigest() == HASH_FORMS[name]


def check_cosignature_form(form: str) -> None:
    time, lines = LOG["checkpoints"][1]["witness_time"], EXAMPLES["checkpoint"].partition("\n\n")[0]
    filled = form.replace("<POSIX seconds in decimal>", str(time)).replace("<the three lines of the checkpoint>", lines)
    assert filled == EXAMPLES["cosignature-input"]


def check_proof_form(form: str) -> None:
    words = [line.split(" ")[0] for line in form.splitlines()]
    assert words == ["c2sp.org/tlog-proof@v1", "extra", "index", "<base64", "…", "", "<signed"]
    for text in VECTORS["proofs"].values():
        assert [line.split(" ")[0] for line in text.splitlines()[:3]] == words[:3]


def check_policy_form(form: str) -> None:
    signed = parse_signed_checkpoint(LOG["checkpoints"][1]["cosigned"].encode())
    for threshold in ("all", "any", "1"):
        for quorum in ("g", "none"):
            fillings = (  # for one line after the other
                {"<vkey>": LOG["vkey"], "[<url>]": ""},
                {"<name>": "w", "<vkey>": LOG["witness_vkey"], "[<url>]": "https://witness.example.org/"},
                {"<name>": "g", "<all|any|number>": threshold, "[<member> …]": "", "<member>": "w"},
                {"<name|none>": quorum},
            )
            text = ""
            for line, filling in zip(form.splitlines(), fillings, strict=True):
                filled = line
                for placeholder, value in filling.items():
                    assert placeholder in filled
                    filled = filled.replace(placeholder, value)
                text += f"{filled}\n"
            assert evaluate(Policy.parse(text.encode()), signed).split_view_excluded == (quorum == "g")


def check_sample_form(form: str) -> None:
    """Draw the rows of the page's example from its formula alone."""
    _, _, about = form.partition("\\n")
    names = re.findall(r"net\(([^)]+)\)", about)
    assert names == ["origin", "base64 root of the checkpoint", "tenant_id", "from", "to", "N", "n", "nonce"]
    example = TEXT.partition("otherwise, counted from 0")[2].partition("\n\n")[0]
    origin, root, tenant, nonce = re.findall(r"`([^`]+)`", example)
    values = (origin, root, tenant, "2026-11-21", "2026-11-21", "1000", "5", nonce)
    [tag] = re.findall(r'H\("(lumi/[a-z-]+/v1)\\n"', form)
    seed = sha256(f"{tag}\n".encode() + b"".join(map(net, values))).digest()
    rows: list[int] = []
    number = 0
    while len(rows) < 5:
        drawn = int.from_bytes(sha256(seed + number.to_bytes(8, "big")).digest(), "big")
        number += 1
        if drawn < 2**256 // 1000 * 1000 and drawn % 1000 not in rows:
            rows.append(drawn % 1000)
    assert f"the rows are {', '.join(map(str, sorted(rows)))}." in example


OTHER_FORMS = {
    "cosignature": check_cosignature_form,
    "proof": check_proof_form,
    "policy": check_policy_form,
    "sample": check_sample_form,
}


@pytest.mark.parametrize("name", OTHER_FORMS)
def test_other_form(name: str) -> None:
    OTHER_FORMS[name](FORMS[name])


def test_every_form_is_checked() -> None:
    checked = RECORD_FORMS.keys() | JSON_FORMS.keys() | HASH_FORMS.keys() | OTHER_FORMS.keys()
    assert FORMS.keys() == checked | DELIVERY_FORMS


def test_columns() -> None:
    [rows] = tables("## 1. Event")
    assert [code(row[0]) for row in rows] == [[name] for name in COLUMNS]
    groups = {"core": CORE_COLUMNS, "payload": PAYLOAD_COLUMNS, "hashes": HASH_COLUMNS, "–": ("erased_at",)}
    values = {
        "tenant_id": (events.TENANT_ID_SYNTAX.pattern,),
        "action": (events.ACTION_SYNTAX.pattern,),
        "outcome": events.OUTCOMES,
        "actor_type": events.ACTOR_TYPES,
    }
    for cell, kind, null, group in rows:
        [name] = code(cell)
        assert name in groups[group]
        assert (null != "no") == (name in NULLABLE_COLUMNS)
        assert tuple(code(kind)) == values.get(name, ())


def test_kinds_of_breaks() -> None:
    [rows] = tables("## 3. Tenant-day record")
    assert [code(row[0]) for row in rows] == [[kind.value] for kind in BreakKind]


def test_fields_of_proofs() -> None:
    fields, event, *_ = tables("## 7. Proof files")
    proofs = {}
    for text in VECTORS["proofs"].values():
        extra = json.loads(TlogProof.parse(text.encode()).extra or b"")
        proofs[extra["type"]] = extra
    header = next(line for line in TEXT.splitlines() if line.startswith("| field | value | "))
    assert set(code(header)) == proofs.keys()
    for position, kind in enumerate(code(header), start=2):
        assert {code(row[0])[0] for row in fields if row[position] == "yes"} == proofs[kind].keys()
        assert {row[position] for row in fields} <= {"yes", "–"}
    assert {code(row[0])[0] for row in event} == proofs["lumi/event-proof/v1"]["event"].keys()


NEVER_A_VERDICT = {"consistency", "misplaced"}
"""Reasons that functions of the library give, and that no verification passes on."""

JUDGES = (
    "lumi_pipeline/proofs.py",
    "lumi_pipeline/cli/logs.py",
    "lumi_pipeline/cli/targets.py",
    "lumi_pipeline/cli/watching.py",
    "lumi_pipeline/siem/checking.py",
    *(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "lumi_pipeline/evidence").glob("*.py")),
)
REASON_IS_ARGUMENT = {
    "VerificationError": 0, "Contradiction": 0, "Verdict": 2, "_failed": 1, "_verify_inclusion": 4, "_finding": 0,
    "_ended": 1,
}  # fmt: skip


def reasons_in(source: str) -> Iterator[str]:
    """Yield the reasons that a module gives: to the error, to a verdict, or to what raises the error."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=given) if name in REASON_IS_ARGUMENT:
                if isinstance(reason := given[REASON_IS_ARGUMENT[name]], ast.Constant):
                    yield str(reason.value)
            case ast.keyword(arg="reason", value=ast.Constant(value=value)):
                yield str(value)


def test_reasons() -> None:
    sources = [*(REPOSITORY / "transparency").glob("*.py"), *(REPOSITORY / name for name in JUDGES)]
    ours = {reason for source in sources for reason in reasons_in(source.read_text(encoding="utf-8"))}
    ours |= {UNKNOWN_SIGNER, *rowchecks.RANKED, csvform.RESAVED, csvform.FORMAT}
    headings = (
        "### Verifying a checkpoint",
        "### Verifying a whole log",
        "### Following a log",
        "### Checks",
        "### Verifying receipts",
        "### Checking a bundle",
    )
    shown = {reason for heading in headings for rows in tables(heading) for row in rows for reason in code(row[-1])}
    assert shown == ours - NEVER_A_VERDICT


def test_exit_codes() -> None:
    *_, rows = tables("### Checks")
    assert [int(row[0]) for row in rows] == sorted(status.value for status in Status)


def test_limits() -> None:
    [rows] = tables("## Limits")
    assert [int(row[1].replace(",", "")) for row in rows] == [
        events.MAX_TEXT_BYTES,
        events.MAX_EVENT_BYTES,
        records._MAX_RECORD,
        patricia.MAX_PROOF_SIZE,
        records._MAX_MANIFEST,
        tiles.MAX_ENTRY_SIZE,
        keys.MAX_NAME_LENGTH,
        note.MAX_NOTE_SIZE,
        note.MAX_SIGNATURES,
        policy.MAX_POLICY_SIZE,
        policy.MAX_OF_EACH_KIND,
        proof.MAX_PROOF_SIZE,
        proof.MAX_PATH_LENGTH,
        receipts.MAX_LINE,
        encoding.MAX_JSON_DEPTH,
        encoding.MAX_JSON_TOKENS,
        proofsfile.MAX_SIZE,
        bundlefiles.MAX_SMALL,
        csvform.MAX_RECORD,
        bundlefiles.MAX_ENTRIES,
    ]


@dataclass(frozen=True, slots=True)
class Lived:
    """What was written in a world in which everything happened that writes an object.

    ``keys`` are those of all objects that ever were. ``parquet`` is the schema of each kind of private file.
    """

    keys: frozenset[str]
    parquet: Mapping[str, pa.Schema]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    world = World.create(tmp_path_factory.mktemp("formats") / "world", at(2, "00:20:00"))
    world.record("acme", at(0), at(1))
    world.tamper("UPDATE audit_outbox SET entity_id = 'T-2' WHERE seq = 0")
    stores: list[CrashingStore] = []

    def recording(store: ObjectStore) -> ObjectStore:
        stores.append(CrashingStore(store))
        return stores[-1]

    world.pipeline(recording).land()
    schemas = {}
    for key in world.store.list("landed/"):  # now, as they are removed when their rows are sealed and published
        schemas[key.rpartition("/")[2].rpartition("-")[0]] = pq.read_schema(world.parquet(key))
    with pytest.raises(ChainBroken) as stopped:
        world.pipeline(recording).run()
    world.pipeline(recording).acknowledge(stopped.value.day, "a test")
    world.pipeline(recording).run()
    deliver(world, recording)
    for name in ("events", "cursors"):
        [key] = world.store.list(f"siem/{NAME}/planned/000000000000/{name}-")
        schemas[name] = pq.read_schema(world.parquet(key))
    world.tamper("UPDATE audit_outbox SET entity_id = 'T-3' WHERE tenant_id = 'acme' AND seq = 1")
    world.pipeline(recording).rebaser().accept("a test", rerecord=True)
    assert list(look_at_store(Place("root", recording(world.store), None, has_lock=False), Examination(world.config)))
    forget(world, recording)
    [key] = world.store.list(f"seals/day={at(1).date()}/tenant_days-")
    schemas["tenant_days"] = pq.read_schema(world.parquet(key))
    world.pipeline(recording).rotate(Role.LOG)
    with running(world, "w1") as witnesses:
        world.clock.now = at(2, "12:00:00")
        world.pipeline(recording, policy_file=witnesses.policy_file()).submit()
    world.record("acme", at(2, "13:00:00"))
    world.clock.now = at(3, "00:20:00")
    with running(world, "w1", "w2") as witnesses:
        witnesses.servers["w2"].script(answer(503))
        with pytest.raises(WitnessesMissing):
            world.pipeline(recording, policy_file=witnesses.policy_file("all")).run()
        world.pipeline(recording, policy_file=witnesses.policy_file("all")).run()
    copy = tmp_path_factory.mktemp("successor") / "lake"
    shutil.copytree(world.place.root, copy, ignore=shutil.ignore_patterns("log", "log-private"))
    lake = Lake(recording(FileStore(copy)), str)
    successor = SigningKey(ORIGIN, b"2" * 32).verifier, SigningKey(f"{ORIGIN}/evidence", b"3" * 32).verifier
    succeed(lake, world.pipeline().lake, successor, None, discard=False)
    prune(world, recording)
    apart = Watching(world)
    pipeline = world.pipeline(evidence_tenants=("globex",))
    assert MonthlyEvidence(pipeline, apart).make(at(0).date().replace(day=1)).bundles
    return Lived(frozenset({*apart.keys, *(write.key for store in stores for write in store.writes)}), schemas)


def prune(world: World, wrap: Callable[[ObjectStore], ObjectStore]) -> None:
    """Prune a day of which some rows have to stay, and erase one of these."""
    [event] = world.record("globex", at(5))
    [kept] = world.record("initech", at(5))
    world.clock.now = at(12)
    world.pipeline(wrap).run()
    hold = Holds(world.pipeline().operator).place("initech", "a test")
    assert Pruner(world.pipeline(wrap, retention_days=1, destinations=(), feeds=())).prune(at(6).date()).days
    Holds(world.pipeline().operator).release(hold.hold_id, "a test")
    assert Eraser(world.pipeline(wrap)).erase(Selection("initech", event_ids=(kept.event_id,)), "a test").order
    assert event.event_id not in {id_ for (id_,) in world.select("SELECT event_id FROM audit_outbox")}


_Unit = TypeVar("_Unit")
_Result = TypeVar("_Result")


class Watching:
    """Does work here as if it were elsewhere, and notes which objects of evidence there are after each unit."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.keys: set[str] = set()

    def map(self, work: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Iterator[_Result]:
        for result in Inline().map(work, units):
            self.keys |= set(self._world.store.list("evidence"))
            yield result


def forget(world: World, wrap: Callable[[ObjectStore], ObjectStore]) -> None:
    """Erase an event that is sealed, and was taken out by a rebase, and one that is planned and not delivered yet."""
    MonthlyEvidence(world.pipeline(wrap, evidence_tenants=("acme",))).make(at(0).date().replace(day=1))
    [event] = world.record("acme", at(2, "00:10:00"))
    world.pipeline(wrap).land()
    assert [plan.events for plan in Exports(world.pipeline(wrap)).plan(NAME)] == [1]
    [(sealed,)] = world.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 1")
    selection = Selection("acme", event_ids=(str(sealed), event.event_id))
    assert Eraser(world.pipeline(wrap)).erase(selection, "a test").order is not None


WORDS = {
    "<00000>": r"\d{5}",
    "<SHA-256>": "[0-9a-f]{64}",
    "<bundle>": r"evidence-(?:acme|globex)-\d{4}-\d\d-\d\d-\d{4}-\d\d-\d\d",
    "<day>": r"\d{4}-\d\d-\d\d",
    "<erasure>": r"\d{6}",
    "<hash>": "[0-9a-f]{16}",
    "<hexadecimal new root>": "[0-9a-f]{64}",
    "<name>": "[a-z0-9-]+",
    "<number>": r"\d{12}",
    "<random>": "[0-9a-f]{16}",
    "<pruning>": r"\d{6}",
    "<round>": r"\d{6}",
    "<role>": "(?:log|evidence)",
    "<size>": r"\d{12}",
    "<suffix>": r"(?:ndjson\.gz|json\.gz|parquet)",
    "<time>": r"\d{8}T\d{6}Z",
    "<tenant>": "[A-Za-z0-9._-]+",
    "…": "(?:checkpoint|index.html|log.vkey|tile/.+)",
}


def test_keys_of_private_objects(lived: Lived) -> None:
    rows = next(tables("## Private objects"))
    keys_shown = [code(row[0])[0] for row in rows]
    patterns = [
        "".join(WORDS.get(part) or re.escape(part) for part in re.split("(<[^>]+>|…)", shown)) for shown in keys_shown
    ]
    for key in lived.keys:
        assert sum(re.fullmatch(pattern, key) is not None for pattern in patterns) == 1, key
    for shown, pattern in zip(keys_shown, patterns, strict=True):
        assert any(re.fullmatch(pattern, key) for key in lived.keys), shown


def test_columns_of_private_files(lived: Lived) -> None:
    _, rows = tables("## Private objects")
    for cell, text in rows:
        [name] = code(cell)
        columns = code(text.partition(";")[0].partition("(")[0])
        assert columns == lived.parquet[name].names
    assert lived.parquet["part-00000"].names == list(COLUMNS)
    about_metadata = rows[0][1].partition("metadata")[2]
    own = [name.encode() for name in code(about_metadata)]
    assert all(schema.metadata.keys() - own == {GROUP_BYTES} for schema in lived.parquet.values())
    assert lived.parquet["tenant_days"].metadata.keys() >= set(own)
