"""Days of the bundle changed, or published by an operator who cheats: day records, tenant-day records, tenant maps."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from datetime import date

from tests.evidence.corpus.bundle import Bundle, bundle
from tests.evidence.corpus.case import Case, tampered
from tests.evidence.corpus.events import genesis_hash, tenant_key
from tests.evidence.corpus.primitives import b64, map_path, sha
from tests.evidence.corpus.proofs import flipped, loose, put, put_day
from tests.evidence.corpus.signing import COSIGNATURE, Key, checkpoint_text, note
from tests.evidence.corpus.world import EVIDENCE_KEY, LOG_KEY, ORIGIN, Chain, TenantDay, World, chains, day_of, standard

THIRD, FOURTH = day_of(2), day_of(3)
"""The first two days of the bundle; the second is idle."""


def cases() -> Iterator[Case]:
    plain = bundle(standard())
    yield from _day_records(plain)
    yield from _logged_otherwise()
    yield from _first_checkpoints(plain)
    yield from _tenant_records(plain)
    yield from _tenant_proofs(plain)
    yield from _absences(plain)
    yield from _recorded_otherwise()
    yield from _chains_cut(plain)


def _day_records(plain: Bundle) -> Iterator[Case]:
    first, second = plain.days[0], plain.days[1]
    record, path = first["day_record"], first["path"]
    other = World(chains((3, 4, 4, 0, 6, 2, 3))).publish()
    forked = bundle(other).days[0]
    moved = {name: second[name] for name in ("day_record", "path")}
    swapped = {name: first[name] for name in ("day_record", "path")}

    def swap(b: Bundle) -> None:
        b.days[0].update(moved)
        b.days[1].update(swapped)

    for name, description, edit, reason in (
        ("of-another-day", "the record of another day, with its proof", put_day(0, **moved), "day-inclusion"),
        ("swapped", "two days' records changed places", swap, "day-inclusion"),
        ("map", "another map", put_day(0, day_record=record.replace("\nmap ", "\nmap A", 1)), "day-inclusion"),
        (
            "breaks",
            "another number of breaks",
            put_day(0, day_record=record.replace("breaks 0", "breaks 1")),
            "day-inclusion",
        ),
        ("second", "a second record of the day", put_day(0, day_record=forked["day_record"]), "day-inclusion"),
        ("fork", "a second record, with its proof in another tree", put_day(0, **forked), "day-inclusion"),
        ("path-cut", "a hash less in the path", put_day(0, path=path[:-1]), "day-inclusion"),
        ("path-longer", "a hash more", put_day(0, path=[*path, path[0]]), "day-inclusion"),
        ("path-altered", "another hash", put_day(0, path=[flipped(path[0]), *path[1:]]), "day-inclusion"),
        ("path-empty", "none", put_day(0, path=[]), "day-inclusion"),
        ("trailing", "something behind it", put_day(0, day_record=f"{record}x"), "day-inclusion"),
    ):
        yield from tampered(f"day-{name}", description, plain, edit, reason)


def _logged(edit: Callable[[dict[str, str]], object]) -> Bundle:
    """The bundle of a log whose record of the first day of the bundle has other lines."""
    return bundle(World(chains(), edit_day=lambda number, lines: edit(lines) if number == 2 else None).publish())


def _logged_otherwise() -> Iterator[Case]:
    other_key = Key("audit.example.com/another").vkey
    for name, description, lines, reason in (
        ("index", "an index that breaks the rule", {"index": "4"}, "day-index"),
        ("day", "another day than its index has", {"day": "2026-10-31"}, "day-index"),
        ("origin", "another log's origin", {"origin": "audit.example.com/another"}, "day-origin"),
        ("index-zeros", "an index with a zero", {"index": "03"}, "day-record"),
        ("breaks-negative", "less than no breaks", {"breaks": "-1"}, "day-record"),
        ("sealed-early", "sealed before its day ended", {"sealed": "2026-11-01T23:59:59.999999Z"}, "day-record"),
        ("sealed-form", "sealed at a time in another form", {"sealed": "2026-11-02T00:15:00Z"}, "day-record"),
        ("next-key", "another log's key announced", {"next-key": other_key}, "day-record"),
        ("unknown-line", "a line that there is not", {"note": "x"}, "day-record"),
    ):
        bad = _logged(lambda record, lines=lines: record.update(lines))
        yield Case(f"operator-day-{name}", f"in the log stands {description}", 1, reason, files=bad.files())
    twin = Key(ORIGIN, seed="twin"), Key(EVIDENCE_KEY.name, seed="twin")
    weak = b"\x01" + bytes(32)  # a point of small order, under which a signature proves nothing
    weak_id = sha(ORIGIN.encode(), b"\n", weak)[:4].hex()
    for name, description, keys in (
        (
            "one-key",
            "one key as log key and evidence key",
            {"next-key": twin[0].vkey, "next-evidence-key": twin[1].vkey},
        ),
        ("weak-key", "a key that is none", {"next-key": f"{ORIGIN}+{weak_id}+{b64(weak)}"}),
        ("witness-key", "the key of a witness", {"next-key": Key(ORIGIN, COSIGNATURE).vkey}),
        (
            "evidence-name",
            "an evidence key with the name of the log",
            {"next-evidence-key": Key(ORIGIN, seed="n").vkey},
        ),
    ):
        bad = _logged(lambda record, keys=keys: record.update(keys))
        yield Case(f"operator-day-{name}", f"announced is {description}", 1, "day-record", files=bad.files())
    for name, change in (
        ("trailing", lambda entry: entry + b"x"),
        ("crlf", lambda entry: entry.replace(b"\n", b"\r\n")),
        ("no-lf", lambda entry: entry[:-1]),
        ("tag", lambda entry: entry.replace(b"lumi/day/v1", b"lumi/day/v2")),
        ("order", lambda entry: entry.replace(b"breaks 0\n", b"").replace(b"manifest", b"breaks 0\nmanifest")),
        ("twice", lambda entry: entry.replace(b"breaks 0\n", b"breaks 0\nbreaks 0\n")),
    ):
        edit = lambda number, entry, change=change: change(entry) if number == 2 else entry  # noqa: E731
        files = bundle(World(chains(), edit_entry=edit).publish()).files()
        yield Case(
            f"operator-day-{name}", "in the log stands a record that is not in form", 1, "day-record", files=files
        )

    def sealed_back(number: int, lines: dict[str, str]) -> None:
        if number == 2:
            lines["sealed"] = "2026-11-03T00:15:00.000001Z"  # a microsecond after the next day's

    files = bundle(World(chains(), edit_day=sealed_back).publish()).files()
    yield Case("operator-sealed-back", "a day sealed before the day before it", 1, "day-sealed", files=files)

    def sealed_together(number: int, lines: dict[str, str]) -> None:
        if number == 2:
            lines["sealed"] = "2026-11-03T00:15:00.000000Z"

    files = bundle(World(chains(), edit_day=sealed_together).publish()).files()
    yield Case("sealed-together", "two days sealed at the same moment", 0, "ok", files=files)


def _first_checkpoints(plain: Bundle) -> Iterator[Case]:
    world = standard()
    day = plain.days[1]
    other = Key("audit.example.com/another")
    forked = World(chains((3, 4, 4, 0, 6, 2, 3))).publish()
    fork = bundle(forked).days[1]
    text, _, line = day["first_checkpoint"].partition("\n\n")
    elsewhere = checkpoint_text(other.name, 5, b64decode(text.split("\n")[2]))
    encoded = line.strip().split(" ")[2]
    for name, description, fields in (
        ("of-another-log", "of another log", {"first_checkpoint": note(elsewhere, [other.line(elsewhere)]).decode()}),
        (
            "renamed",
            "another log's, by this one's key",
            {"first_checkpoint": note(elsewhere, [LOG_KEY.line(elsewhere)]).decode()},
        ),
        ("unsigned", "without signatures", {"first_checkpoint": f"{text}\n\n"}),
        (
            "forged",
            "with a forged signature",
            {"first_checkpoint": day["first_checkpoint"].replace(encoded, flipped(encoded))},
        ),
        ("unknown-signer", "signed by a key nobody knows", {"first_checkpoint": _signed(text, Key(ORIGIN, seed="x"))}),
        ("malformed", "not a checkpoint", {"first_checkpoint": "none\n"}),
        ("of-another-day", "that of another day", {"first_checkpoint": plain.days[3]["first_checkpoint"]}),
        ("too-small", "of a tree without the day", {"first_checkpoint": world.checkpoint(4)}),
        ("path-cut", "a hash less in first_path", {"first_path": day["first_path"][:-1]}),
        ("path-altered", "another hash", {"first_path": [*day["first_path"][:-1], flipped(day["first_path"][-1])]}),
        ("path-latest", "the path in the latest tree", {"first_path": day["path"]}),
        ("fork", "of another tree that the log signed", {"first_checkpoint": fork["first_checkpoint"]}),
    ):
        yield from tampered(f"first-checkpoint-{name}", description, plain, put_day(1, **fields), "first-checkpoint")
    both = (LOG_KEY.vkey, other.vkey)
    theirs = put_day(1, first_checkpoint=_signed(text, other))
    about = "signed by another log that the reader trusts too"
    yield from tampered("first-checkpoint-other-trusted", about, plain, theirs, "first-checkpoint", keys=both)
    early = bundle(world, size=7)
    later = put_day(1, first_checkpoint=world.checkpoint(9), first_path=world.path(4, 9))
    yield from tampered("first-checkpoint-later", "larger than the latest", early, later, "first-checkpoint")
    split = standard()
    split.entries[8] = split.entries[8].replace(b"breaks 0", b"breaks 7")
    same_size = put_day(1, first_checkpoint=split.checkpoint(9), first_path=split.path(4, 9))
    yield from tampered(
        "first-checkpoint-split-view", "of the same size, another root", plain, same_size, "first-checkpoint"
    )


def _signed(text: str, key: Key) -> str:
    body = f"{text}\n".encode()
    return note(body, [key.line(body)]).decode()


def _tenant_records(plain: Bundle) -> Iterator[Case]:
    record = plain.days[0]["tenant_record"]
    world = standard()
    chain = world.chain("acme")
    theirs = world.chain("hooli").days[THIRD].record(THIRD, "hooli")
    proof = world.map_proof(THIRD, "hooli")
    forked = [Chain("acme", (3, 4, 4, 0, 6, 2, 3)), Chain("hooli", (1, 1, 2))]
    second = bundle(World(forked).publish()).days[0]
    for name, description, fields, reason in (
        (
            "of-another",
            "another tenant's, with its proof",
            {"tenant_record": theirs, "tenant_proof": proof},
            "tenant-record",
        ),
        (
            "of-another-day",
            "another day's",
            {"tenant_record": chain.days[FOURTH].record(FOURTH, "acme")},
            "tenant-record",
        ),
        ("count", "another count", {"tenant_record": record.replace("count 5", "count 4")}, "tenant-map"),
        ("second", "a second record of the day", {"tenant_record": second["tenant_record"]}, "tenant-map"),
        (
            "second-proved",
            "a second record, with its proof in another map",
            {"tenant_record": second["tenant_record"], "tenant_proof": second["tenant_proof"]},
            "tenant-map",
        ),
        ("trailing", "something behind it", {"tenant_record": f"{record}x"}, "malformed"),
        ("trailing-line", "a line more", {"tenant_record": f"{record}note x\n"}, "malformed"),
        ("zeros", "a number with a zero", {"tenant_record": record.replace("count 5", "count 05")}, "malformed"),
        (
            "large",
            "a number that is too large",
            {"tenant_record": record.replace("count 5", f"count {2**63}")},
            "malformed",
        ),
        (
            "upper",
            "a hash in capitals",
            {"tenant_record": record.replace(chain.days[THIRD].head_after, "AB" * 32)},
            "malformed",
        ),
        ("crlf", "CRLF for LF", {"tenant_record": record.replace("\n", "\r\n")}, "malformed"),
        ("empty", "nothing", {"tenant_record": ""}, "malformed"),
    ):
        yield from tampered(f"tenant-record-{name}", description, plain, put_day(0, **fields), reason)
    yield from tampered(
        "tenant-renamed", "another tenant's name on the bundle", plain, put(tenant_id="globex"), "tenant-record"
    )


def _tenant_proofs(plain: Bundle) -> Iterator[Case]:
    proof = b64decode(plain.days[0]["tenant_proof"])
    world = standard()
    of_another = world.map_proof(THIRD, "hooli")
    of_another_day = world.map_proof(day_of(4), "acme")
    steps = proof[33:] + proof[:33] if len(proof) > 33 else proof + proof
    for name, description, text, reason in (
        ("of-another", "another tenant's", of_another, "tenant-map"),
        ("of-another-day", "another day's", of_another_day, "tenant-map"),
        ("altered", "another hash", flipped(b64(proof), 5), "tenant-map"),
        ("bit", "another bit", b64(bytes([proof[0] ^ 2]) + proof[1:]), "tenant-map"),
        ("empty", "nothing", "", "tenant-map"),
        ("cut", "a byte less", b64(proof[:-1]), "malformed"),
        ("trailing", "a byte more", b64(proof + b"\x00"), "malformed"),
        ("order", "bits that do not decrease", b64(steps), "malformed"),
        ("varint", "a bit in more bytes than it needs", b64(bytes([proof[0] | 0x80, 0]) + proof[1:]), "malformed"),
        ("bit-256", "a bit that no key has", b64(b"\x80\x02" + proof[1:]), "malformed"),
        ("large", "more bytes than a proof can have", b64(bytes(8771)), "malformed"),
        ("base64", "not canonical", loose(b64(proof + b"\x00")), "malformed"),
    ):
        yield from tampered(f"tenant-proof-{name}", description, plain, put_day(0, tenant_proof=text), reason)


def _absences(plain: Bundle) -> Iterator[Case]:
    """A tenant's events kept secret: its rows are taken out and it is said not to have been there."""
    world = standard()
    pairs = world.maps[THIRD]
    key = tenant_key("acme")
    own_leaf = b"\x20" + key + b"\x20" + pairs[key] + map_path(pairs, key)[1]
    other = tenant_key("hooli")
    other_leaf = b"\x20" + other + b"\x20" + pairs[other] + map_path(pairs, other)[1]
    with_globex = b64decode(world.map_proof(day_of(4), "initech"))

    def claim(proof: bytes) -> Callable[[Bundle], None]:
        def edit(b: Bundle) -> None:
            b.days[0].update(tenant_record=None, tenant_proof=b64(proof))
            del b.rows[:5]

        return edit

    presence = b64decode(plain.days[0]["tenant_proof"])
    for name, description, proof, reason in (
        ("own-leaf", "its own leaf shown as somebody else's", own_leaf, "tenant-map"),
        ("other-leaf", "the absence of another: a leaf that looking it up does not end at", other_leaf, "tenant-map"),
        ("of-another-day", "that of another day", with_globex, "tenant-map"),
        ("empty", "an empty proof", b"", "tenant-map"),
        ("presence", "the proof of its presence", presence, "malformed"),
        ("cut", "half a leaf", own_leaf[:50], "malformed"),
        ("length", "a leaf of another length", b"\x21" + own_leaf[1:], "malformed"),
    ):
        yield from tampered(f"absence-{name}", description, plain, claim(proof), reason)
    globex = bundle(world, "globex")
    record = plain.days[0]["tenant_record"]
    yield from tampered(
        "presence-of-absent", "a record where there is none", globex, put_day(0, tenant_record=record), "tenant-record"
    )
    changed = put_day(0, tenant_proof=flipped(globex.days[0]["tenant_proof"], 50))
    yield from tampered("absence-altered", "another hash in a proof of absence", globex, changed, "tenant-map")
    elsewhere = put_day(0, tenant_proof=bundle(world, "globex", start=day_of(0)).days[0]["tenant_proof"])
    yield from tampered("absence-other-day", "the proof of another day", globex, elsewhere, "tenant-map")


def _recorded(day: date, edit: Callable[[TenantDay], object]) -> dict[str, bytes]:
    world = World(chains())
    edit(world.chain("acme").days[day])
    return bundle(world.publish()).files()


def _recorded_otherwise() -> Iterator[Case]:
    for name, description, day, lines in (
        ("next", "next is not first and count", THIRD, {"next": "13"}),
        ("idle-root", "an idle day with a root", FOURTH, {"root": b64(bytes(32))}),
        ("idle-head", "an idle day with a new head", FOURTH, {"head-after": "ab" * 32}),
    ):
        files = _recorded(day, lambda part, lines=lines: part.edits.update(lines))
        yield Case(f"operator-record-{name}", f"in the map stands {description}", 1, "tenant-record", files=files)

    def fewer(number: int, lines: dict[str, str]) -> None:
        if number == 2:
            lines["breaks"] = "0"

    world = World(chains(), edit_day=fewer)
    world.chain("acme").days[THIRD].breaks = [("time", 8)]
    files = bundle(world.publish()).files()
    yield Case("operator-record-breaks", "more breaks than the day declares", 1, "tenant-record", files=files)

    def backwards(part: TenantDay) -> None:
        part.edits = {"next": "3"}
        part.breaks = [("head", 2)]

    files = _recorded(THIRD, backwards)
    yield Case("operator-record-backwards", "next before first", 1, "tenant-record", files=files)
    files = _recorded(FOURTH, lambda part: part.edits.update({"root": b64(bytes(32)), "breaks": "1"}))
    yield Case("operator-record-idle-broken", "an idle day with breaks and a root", 1, "tenant-record", files=files)


def _chains_cut(plain: Bundle) -> Iterator[Case]:
    for name, description, lines in (
        ("seqs", "seqs that do not follow those of the day before", {"first": "13", "next": "13"}),
        ("head", "a head that does not", {"head-before": "ab" * 32, "head-after": "ab" * 32}),
    ):
        files = _recorded(FOURTH, lambda part, lines=lines: part.edits.update(lines))
        yield Case(f"operator-chain-{name}", description, 1, "tenant-chain", files=files)

    def gone(day: date) -> dict[str, bytes]:
        world = World(chains())
        del world.chain("acme").days[day]
        return bundle(world.publish()).files()

    yield Case("operator-chain-gone", "no record in the middle of the chain", 1, "tenant-chain", files=gone(FOURTH))
    yield Case("operator-chain-began-late", "a chain that does not begin with 0", 1, "tenant-chain", files=gone(THIRD))
    world = World(chains())
    late = Chain("acme", (3, 4, 5, 0, 6, 2, 3))
    late.days[THIRD].edits = {"first": "0", "next": "5"}
    world.chains[0] = late
    files = bundle(world.publish()).files()
    yield Case("operator-chain-anew", "a chain that begins anew", 1, "tenant-chain", files=files)
    began = bundle(standard(), start=day_of(0))
    other = {"chain_id": "00" * 16}
    yield from tampered("chain-id-altered", "another chain_id", began, put(**other), "tenant-chain")
    for form, reason in (("kept", "checksums"), ("resummed", "bundle-signature")):
        text = "another chain_id where the chain does not begin: only the signature tells"
        yield from tampered("chain-id-unused", text, plain, put(**other), reason, forms=(form,))
    wrong = World(chains())
    first = wrong.chain("acme").days[day_of(0)]
    first.edits = {"head-before": genesis_hash("acme", "ff" * 16)}
    files = bundle(wrong.publish(), start=day_of(0)).files()
    yield Case(
        "operator-chain-other-genesis", "a chain that begins with another chain_id", 1, "tenant-chain", files=files
    )
