"""evidence.json changed: its form, the checkpoint and the genesis, the days and their records, the tenant's records."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

from tests.evidence.corpus.bundle import Bundle, bundle
from tests.evidence.corpus.case import PINNED, Case, altered, tampered
from tests.evidence.corpus.primitives import EMPTY, b64, canonical
from tests.evidence.corpus.signing import Key, checkpoint_text, note, signature_line
from tests.evidence.corpus.world import EVIDENCE_KEY, LOG_KEY, ORIGIN, WITNESS, World, chains, day_of, standard

Edit = Callable[[Bundle], object]


def cases() -> Iterator[Case]:
    plain = bundle(standard())
    yield from _json(plain)
    yield from _fields(plain)
    yield from _base64(plain)
    yield from _period(plain)
    yield from _checkpoint(plain)
    yield from _genesis(plain)
    yield from _witness()


def put(**fields: object) -> Edit:
    return lambda b: b.evidence.update(fields)


def put_day(number: int, **fields: object) -> Edit:
    return lambda b: b.days[number].update(fields)


def cut_last_hash(path: list[str]) -> list[str]:
    return path[:-1]


def flipped(text: str, at: int = 20) -> str:
    """The base64 of the same bytes but for one bit."""
    data = bytearray(b64decode(text))
    data[at] ^= 1
    return b64(bytes(data))


def loose(text: str) -> str:
    """The same bytes in base64 that has bits set behind the last byte."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=")
    return body[:-1] + letters[letters.index(body[-1]) + 1] + text[len(body) :]


def _json(plain: Bundle) -> Iterator[Case]:
    data = canonical(plain.evidence)
    text = data.decode()
    for name, description, changed in (
        ("trailing-lf", "an LF more", data + b"\n"),
        ("trailing-bytes", "something behind the end", data + b"{}"),
        ("no-lf", "no LF at the end", data[:-1]),
        ("crlf", "CRLF at the end", data[:-1] + b"\r\n"),
        ("bom", "a byte order mark", b"\xef\xbb\xbf" + data),
        ("utf-16", "in UTF-16 but for the mark of our type", text.encode("utf-16") + b"lumi/evidence/"),
        ("space", "a space", data.replace(b'"from":', b'"from": ', 1)),
        (
            "order",
            "fields in another order",
            b'{"type":"lumi/evidence/v1",' + data[1:].replace(b',"type":"lumi/evidence/v1"', b""),
        ),
        ("duplicate-key", "a field twice, the same", data.replace(b'"from":', b'"from":"2026-11-01","from":', 1)),
        (
            "duplicate-key-other",
            "a field twice, the first another",
            data.replace(b'"to":', b'"to":"2026-11-03","to":', 1),
        ),
        ("escape", "a letter as an escape", data.replace(b"audit.example", b"\\u0061udit.example", 1)),
        ("escape-slash", "a slash as an escape", data.replace(b"lumi/log", b"lumi\\/log", 1)),
        ("float", "a floating point number", data.replace(b'"breaks":[]', b'"breaks":[1.0]', 1)),
        ("float-seq", "for a seq", data.replace(b'"breaks":[]', b'"breaks":[{"kind":"time","seq":1.5}]', 1)),
        (
            "number-seq",
            "a number, not text, for a seq",
            data.replace(b'"breaks":[]', b'"breaks":[{"kind":"time","seq":1}]', 1),
        ),
        ("negative-zero", "-0", data.replace(b'"breaks":[]', b'"breaks":-0', 1)),
        ("nan", "NaN", data.replace(b'"breaks":[]', b'"breaks":NaN', 1)),
        ("deep", "nested very deeply", data.replace(b'"breaks":[]', b'"breaks":' + b"[" * 100_000, 1)),
        ("surrogate", "half of a surrogate pair", data.replace(b"audit.example", b"\\ud800udit.example", 1)),
        ("latin-1", "not UTF-8", data.replace(b"audit.example", b"\xe4udit.example", 1)),
        ("cut", "cut off", data[:-3]),
        ("two-objects", "twice the same", data + data),
    ):
        content = plain.content() | {"evidence.json": changed}
        yield from altered(f"json-{name}", description, plain, content, "malformed")
    for name, changed in (
        ("other-type", data.replace(b"lumi/evidence/v1", b"acme/evidence/v1")),
        ("halved", data[: len(data) // 2]),
        ("emptied", b""),
    ):
        files = plain.files() | {"evidence.json": changed}
        yield Case(f"json-{name}", "evidence.json is something else", 2, "unrecognised", files=files)


def _fields(plain: Bundle) -> Iterator[Case]:
    for name, description, edit in (
        ("version", "another version", put(type="lumi/evidence/v2")),
        ("field-added", "a field that there is not", put(note="")),
        ("field-missing", "a field is missing", lambda b: b.evidence.pop("origin")),
        ("day-field-added", "one in a day", put_day(0, note="")),
        ("day-field-missing", "one is missing in a day", lambda b: b.days[0].pop("first_path")),
        ("break-field-added", "one in a break", put_day(0, breaks=[{"kind": "time", "seq": "7", "found": ""}])),
        ("tenant-syntax", "no tenant can have this id", put(tenant_id="acme\n")),
        ("tenant-null", "null for the tenant", put(tenant_id=None)),
        ("chain-id-short", "too short a chain_id", put(chain_id=plain.evidence["chain_id"][1:])),
        ("chain-id-upper", "a chain_id in capitals", put(chain_id=plain.evidence["chain_id"].upper())),
        ("from-no-day", "a day that there is not", put(**{"from": "2026-02-30"})),
        ("to-time", "a time for a day", put(to="2026-11-04T00:00:00.000000Z")),
        ("days-object", "an object for the days", put(days={})),
        ("day-null", "null for a day", lambda b: b.days.__setitem__(1, None)),
        ("path-null", "null for a path", put_day(0, path=None)),
        ("path-number", "a number in a path", put_day(0, path=[1])),
        ("path-short-hash", "a hash that is too short", put_day(0, path=["AAAA"])),
        ("record-number", "a number for a record", put_day(0, tenant_record=1)),
        ("record-false", "false for a record", put_day(0, tenant_record=False)),
        ("checkpoint-null", "null for the checkpoint", put(checkpoint=None)),
    ):
        yield from tampered(f"field-{name}", description, plain, edit, "malformed")


def _base64(plain: Bundle) -> Iterator[Case]:
    def first_hash(b: Bundle, name: str, change: Callable[[str], str]) -> None:
        target: dict[str, Any] = b.evidence if name == "genesis_path" else b.days[0]
        target[name][0] = change(target[name][0])

    for name in ("genesis_path", "path", "first_path"):
        edit = lambda b, name=name: first_hash(b, name, loose)  # noqa: E731
        yield from tampered(f"base64-loose-{name}", "bits behind the last byte", plain, edit, "malformed")
    for name, change in (
        ("padding", lambda text: text.rstrip("=")),
        ("url", lambda text: text.replace("+", "-").replace("/", "_")),
        ("space", lambda text: f"{text[:4]} {text[4:]}"),
        ("lf", lambda text: f"{text}\n"),
    ):
        target = next(i for i, text in enumerate(plain.days[0]["path"]) if name != "url" or "/" in text or "+" in text)

        def edit_hash(b: Bundle, at: int = target, change: Callable[[str], str] = change) -> None:
            b.days[0]["path"][at] = change(b.days[0]["path"][at])

        yield from tampered(f"base64-{name}-path", "base64 that is not canonical", plain, edit_hash, "malformed")
    checkpoint = plain.evidence["checkpoint"]
    root = checkpoint.split("\n")[2]
    edit = put(checkpoint=checkpoint.replace(root, loose(root)))
    yield from tampered("base64-loose-root", "in the checkpoint", plain, edit, "checkpoint-format")
    signature = checkpoint.split("\n")[4].split(" ")[2]
    edit = put(checkpoint=checkpoint.replace(signature, loose(signature)))
    yield from tampered("base64-loose-signature", "in a signature", plain, edit, "checkpoint-format")
    record = plain.days[0]["tenant_record"]
    root = next(line.split(" ")[1] for line in record.split("\n") if line.startswith("root"))
    edit = put_day(0, tenant_record=record.replace(root, loose(root)))
    yield from tampered("base64-loose-record", "in a tenant-day record", plain, edit, "malformed")


def _period(plain: Bundle) -> Iterator[Case]:
    def repeat(b: Bundle) -> None:
        b.days.insert(1, b.days[1])

    longer = bundle(standard(), end=day_of(6)).evidence["days"]
    yield from tampered("days-left-out", "a day is left out", plain, lambda b: b.days.pop(1), "day-list")
    yield from tampered("days-first-left-out", "the first day is", plain, lambda b: b.days.pop(0), "day-list")
    yield from tampered("days-last-left-out", "the last day is", plain, lambda b: b.days.pop(), "day-list")
    yield from tampered("days-reversed", "the days are backwards", plain, lambda b: b.days.reverse(), "day-list")
    yield from tampered(
        "days-swapped", "two days changed places", plain, lambda b: b.days.insert(0, b.days.pop(1)), "day-list"
    )
    yield from tampered("days-twice", "a day is there twice", plain, repeat, "day-list")
    yield from tampered("days-added", "a day more than the period has", plain, put(days=longer), "day-list")
    yield from tampered("days-none", "no days", plain, put(days=[]), "day-list")
    yield from tampered("days-none-reversed", "a period of no days", plain, put(days=[], to="2026-10-31"), "day-list")
    yield from tampered(
        "period-reversed",
        "from and to changed places",
        plain,
        put(**{"from": "2026-11-04", "to": "2026-11-01"}),
        "day-list",
    )
    yield from tampered("period-longer", "a longer period than the days are", plain, put(to="2026-11-05"), "day-list")
    yield from tampered("period-shorter", "a shorter one", plain, put(**{"from": "2026-11-02"}), "day-list")
    yield from tampered(
        "period-all-time",
        "all days that there are",
        plain,
        put(**{"from": "0001-01-01", "to": "9999-12-31"}),
        "day-list",
    )
    yield from tampered("day-renamed", "another date for a day", plain, put_day(1, day="2026-11-03"), "day-list")

    def shift(b: Bundle) -> None:
        b.evidence.update({"from": "2026-11-02", "to": "2026-11-05"})
        for number, day in enumerate(b.days):
            day["day"] = f"2026-11-0{number + 2}"

    yield from tampered("period-shifted", "all dates a day later", plain, shift, "day-inclusion")


def _checkpoint(plain: Bundle) -> Iterator[Case]:
    checkpoint = plain.evidence["checkpoint"]
    text, _, line = checkpoint.partition("\n\n")
    text += "\n"
    other = Key("audit.example.com/another")
    renamed = Key(ORIGIN, seed="another log of this name")
    _, name, encoded = line.strip().split(" ")
    forged = signature_line(name, bytes(b64decode(flipped(encoded)))).decode()
    size, root = 9, b64decode(text.split("\n")[2])

    def of(body: str, *lines: str) -> Edit:
        return put(checkpoint=body + "\n" + "".join(lines))

    def signed(body: bytes, *keys: Key) -> Edit:
        return put(checkpoint=note(body, [key.line(body) for key in keys]).decode())

    elsewhere = checkpoint_text(other.name, size, root)
    older = standard().checkpoint(8)
    for case, description, edit, reason in (
        ("another-log", "of another log", signed(elsewhere, other), "checkpoint-origin"),
        (
            "another-log-our-key",
            "of another log, signed by this one's key",
            signed(elsewhere, LOG_KEY),
            "checkpoint-origin",
        ),
        ("unsigned", "without signatures", of(text), "checkpoint-format"),
        ("no-empty-line", "without the empty line", put(checkpoint=text + line), "checkpoint-format"),
        ("unknown-signer", "signed by a key nobody knows", signed(text.encode(), renamed), "checkpoint-signature"),
        ("evidence-signer", "signed by the evidence key", signed(text.encode(), EVIDENCE_KEY), "checkpoint-signature"),
        ("forged", "a forged signature", of(text, forged), "checkpoint-signature"),
        ("root", "another root", of(text.replace(text.split("\n")[2], b64(EMPTY)), line), "checkpoint-signature"),
        ("size", "another size", of(text.replace("\n9\n", "\n10\n"), line), "checkpoint-signature"),
        ("size-zeros", "a size with a zero", of(text.replace("\n9\n", "\n09\n"), line), "checkpoint-format"),
        ("extension", "a line more", of(f"{text}more\n", line), "checkpoint-format"),
        ("short", "a line less", of(text.rsplit("\n", 2)[0] + "\n", line), "checkpoint-format"),
        ("trailing", "something behind the signatures", put(checkpoint=checkpoint + "x"), "checkpoint-format"),
        ("trailing-lf", "an LF more", put(checkpoint=checkpoint + "\n"), "checkpoint-format"),
        ("no-lf", "an LF less", put(checkpoint=checkpoint[:-1]), "checkpoint-format"),
        ("crlf", "CRLF for LF", put(checkpoint=checkpoint.replace("\n", "\r\n")), "checkpoint-format"),
        ("signed-twice", "the same signature twice", of(text, line, line), "checkpoint-format"),
        (
            "malformed-unknown",
            "a malformed line of an unknown key",
            of(text, line, "\u2014 who AAAA\n"),
            "checkpoint-format",
        ),
        ("hyphen", "a hyphen for the dash", of(text, line.replace("\u2014", "-")), "checkpoint-format"),
        (
            "many-signatures",
            "more signatures than there may be",
            of(text, line, *map(_stranger, range(100))),
            "checkpoint-format",
        ),
        ("empty", "nothing", put(checkpoint=""), "checkpoint-format"),
        ("older", "an older one of the log", put(checkpoint=older), "genesis-inclusion"),
    ):
        yield from tampered(f"checkpoint-{case}", description, plain, edit, reason)
    good_and_forged = of(text, line, forged.replace(name, f"{name}"))
    yield from tampered("checkpoint-good-and-forged", "two by one key", plain, good_and_forged, "checkpoint-format")
    bad_second = signature_line(ORIGIN, renamed.id + bytes(64)).decode()
    keys = (*PINNED, renamed.vkey)
    yield from tampered(
        "checkpoint-second-forged",
        "a forged one by a second pinned key",
        plain,
        of(text, line, bad_second),
        "checkpoint-signature",
        keys=keys,
    )
    theirs = signed(text.encode(), other)
    about = "signed by another log that the reader trusts too"
    keys = (*PINNED, other.vkey)
    yield from tampered("checkpoint-other-trusted", about, plain, theirs, "checkpoint-signature", keys=keys)
    strangers = of(text, line, *map(_stranger, range(99)))
    changed = plain.copy()
    strangers(changed)
    yield Case(
        "checkpoint-strangers", "signatures by keys nobody knows are passed over", 0, "ok", files=changed.files()
    )


def _stranger(number: int) -> str:
    return signature_line(f"stranger-{number}", bytes(68)).decode()


def _genesis(plain: Bundle) -> Iterator[Case]:
    genesis = plain.evidence["genesis"]
    path = plain.evidence["genesis_path"]
    another = World(chains(), evidence_key=Key(EVIDENCE_KEY.name, seed="x")).publish().genesis
    elsewhere = Key("audit.example.com/another")
    foreign = World(
        chains(), origin=elsewhere.name, log_keys=(elsewhere,), evidence_key=Key(f"{elsewhere.name}/evidence")
    ).publish()
    swapped = genesis.replace("key audit", "KEY audit").replace("evidence-KEY", "key").replace("KEY", "evidence-key")
    for case, description, edit, reason in (
        (
            "first-day",
            "another first day",
            put(genesis=genesis.replace("2026-10-30", "2026-10-29")),
            "genesis-inclusion",
        ),
        ("another-key", "another evidence key", put(genesis=another), "genesis-inclusion"),
        ("another-log", "of another log", put(genesis=foreign.genesis), "genesis-inclusion"),
        ("trailing", "something behind it", put(genesis=genesis + "x"), "malformed"),
        ("trailing-line", "a line more", put(genesis=genesis + "note x\n"), "malformed"),
        ("no-lf", "no LF at the end", put(genesis=genesis[:-1]), "malformed"),
        ("keys-swapped", "the keys changed places", put(genesis=swapped), "malformed"),
        (
            "key-id",
            "a key id that is not the key's",
            put(genesis=genesis.replace("+08fe5917+", "+08fe5918+")),
            "malformed",
        ),
        ("empty", "nothing", put(genesis=""), "malformed"),
        ("day-record", "a day record in its place", put(genesis=plain.days[0]["day_record"]), "malformed"),
        ("path-cut", "a hash less in its path", put(genesis_path=path[:-1]), "genesis-inclusion"),
        ("path-longer", "a hash more", put(genesis_path=[*path, path[0]]), "genesis-inclusion"),
        ("path-empty", "none", put(genesis_path=[]), "genesis-inclusion"),
        ("path-altered", "another hash", put(genesis_path=[flipped(path[0]), *path[1:]]), "genesis-inclusion"),
        ("path-swapped", "two hashes swapped", put(genesis_path=[path[1], path[0], *path[2:]]), "genesis-inclusion"),
        ("origin", "another origin beside it", put(origin="audit.example.com/another"), "genesis-origin"),
        ("origin-lf", "an LF behind the origin", put(origin=f"{ORIGIN}\n"), "genesis-origin"),
    ):
        yield from tampered(f"genesis-{case}", description, plain, edit, reason)
    odd = World(chains()).publish()
    odd.entries[0] = foreign.genesis.encode()
    liar = bundle(odd)
    liar.evidence["genesis"] = foreign.genesis
    yield Case("operator-genesis-of-another", "entry 0 is another log's", 1, "genesis-origin", files=liar.files())


def _witness() -> Iterator[Case]:
    cosigned = bundle(World(chains(), witnesses=(WITNESS,)).publish())
    keys = (*PINNED, WITNESS.vkey)
    checkpoint = cosigned.evidence["checkpoint"]
    text, _, lines = checkpoint.partition("\n\n")
    own, theirs = lines.splitlines(keepends=True)
    encoded = theirs.strip().split(" ")[2]

    def with_line(line: str) -> Edit:
        return put(checkpoint=f"{text}\n\n{own}{line}")

    for case, description, edit, reason in (
        (
            "forged",
            "a forged cosignature",
            with_line(theirs.replace(encoded, flipped(encoded, 40))),
            "witness-signature",
        ),
        ("time", "another time", with_line(theirs.replace(encoded, flipped(encoded, 11))), "witness-signature"),
        (
            "time-negative",
            "a time below zero",
            with_line(theirs.replace(encoded, _with_bit(encoded))),
            "witness-signature",
        ),
        (
            "short",
            "too short",
            with_line(signature_line(WITNESS.name, WITNESS.id + bytes(64)).decode()),
            "witness-signature",
        ),
        ("removed", "taken away", with_line(""), "witness-quorum"),
    ):
        yield from tampered(f"cosignature-{case}", description, cosigned, edit, reason, keys=keys)
    late = with_line(WITNESS.line(f"{text}\n".encode(), 2**63).decode())
    yield from tampered("cosignature-time-large", "a time of 2^63", cosigned, late, "witness-signature", keys=keys)
    first = cosigned.days[1]["first_checkpoint"]
    encoded = first.splitlines()[-1].split(" ")[2]
    edit = put_day(1, first_checkpoint=first.replace(encoded, flipped(encoded, 40)))
    yield from tampered(
        "cosignature-first-forged", "forged on a first checkpoint", cosigned, edit, "first-checkpoint", keys=keys
    )


def _with_bit(encoded: str) -> str:
    data = bytearray(b64decode(encoded))
    data[4] |= 0x80
    return b64(bytes(data))
