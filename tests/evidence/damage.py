"""Damage of all kinds, at random: to the bytes of files, to rows and proofs, and by an operator who signs it.

Nobody writes down what the verdict has to be: verifiers are held against each other, also where several things are
wrong at once.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.evidence.corpus.bundle import Bundle, Files, bundle, sums
from tests.evidence.corpus.events import COLUMNS, PAYLOAD, Row, erased, integrity_hash, link, payload_hash, sealed
from tests.evidence.corpus.primitives import EMPTY, b64
from tests.evidence.corpus.signing import Key
from tests.evidence.corpus.world import EVIDENCE_KEY, LOG_KEY, WITNESS, TenantDay, World, chains, day_of

PIECES = (
    *(
        b'"',
        b'""',
        b",",
        b"\r\n",
        b"\n",
        b"\r",
        b"'",
        b"=",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b";",
        b"\t",
        b"0",
        b"1",
        b"-",
    ),
    *(b"+", b" ", b"\\", b"\\u0000", b"null", b"{}", b"[]", b"A", b"a", b"\n\n", b"9223372036854775808", b"2026-02-30"),
    *("é".encode(), "\u2014 ".encode(), "\uff1d".encode(), b"\xed\xa0\x80"),
)
"""What parsers stumble over."""


def damaged_bytes(random: Random, data: bytes) -> bytes:
    """The bytes with one to three changes: bits, pieces, lines or cells, put in, taken out or moved."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(_BYTE_CHANGES)(random, data)
    return data


def _flip(random: Random, data: bytes) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _insert(random: Random, data: bytes) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice(PIECES) + data[at + random.randrange(2) :]


def _cut(random: Random, data: bytes) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + data[at + random.choice((1, 1, 2, 5, 40, 300)) :]


def _repeat(random: Random, data: bytes) -> bytes:
    at, start = random.randint(0, len(data)), random.randint(0, len(data))
    return data[:at] + data[start : start + random.randrange(200)] + data[at:]


def _shuffle(random: Random, data: bytes) -> bytes:
    separator = random.choice((b"\n", b"\r\n", b","))
    parts = data.split(separator)
    at, other = random.randrange(len(parts)), random.randrange(len(parts))
    if random.randrange(2):
        parts[at], parts[other] = parts[other], parts[at]
    else:
        parts.insert(at, parts[other])
    return separator.join(parts)


def _digit(random: Random, data: bytes) -> bytes:
    digits = [at for at, byte in enumerate(data) if 48 <= byte < 58]
    if not digits:
        return data
    at = random.choice(digits)
    return data[:at] + str(random.randrange(10)).encode() + data[at + 1 :]


_BYTE_CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (_flip, _insert, _insert, _cut, _repeat, _shuffle, _digit)


def damaged_files(random: Random, files: Files) -> Files:
    """The files of a bundle, one of them damaged; now and then with sums that fit again."""
    name = random.choice(("events.csv", "events.csv", "evidence.json", "evidence.json", *sorted(files)))
    changed = files | {name: damaged_bytes(random, files[name])}
    if random.random() < 0.3:
        content = {name: data for name, data in changed.items() if not name.startswith("SHA256SUMS")}
        changed["SHA256SUMS"] = sums(content)
    return changed


def damage_rows(random: Random, rows: list[Row]) -> None:
    """Change, add, remove, move, erase or rewrite a row in place, with hashes that fit or don't."""
    if not rows:
        return
    at, other = random.randrange(len(rows)), random.randrange(len(rows))
    row, kind = dict(rows[at]), random.randrange(8)
    if kind == 0:
        rows.pop(at)
    elif kind == 1:
        rows.insert(other, row)
    elif kind == 2:
        rows.insert(other, rows.pop(at))
    elif kind == 3:
        name = random.choice(COLUMNS)
        rows[at] = row | {name: random.choice((rows[other][name], "", None, "x", "5", "2026-11-03T09:00:00.000000Z"))}
    elif kind == 4:
        change = random.choice(({"ip": "1"}, {"actor_id": "u-9"}, {"recorded_at": rows[other]["recorded_at"]}))
        end = random.randint(at + 1, len(rows))
        rows[at:end] = link([row | change, *rows[at + 1 : end]], row["prev_hash"] or "")
    elif kind == 5:
        rows[at] = erased(row)
    elif kind == 6:
        rows[at] = erased(row) | {
            random.choice((*PAYLOAD, "payload_salt", "erased_at")): random.choice((None, "", "00" * 16))
        }
    else:
        rows[at] = sealed(row | {"seq": str(random.randrange(25))})


def breaks_of(part: TenantDay, day: str) -> list[tuple[str, int]]:
    """The breaks of a day as section 3 counts them."""
    breaks, expected, head, time = [], part.first, part.head_before, ""
    for row in part.rows:
        seq = int(row["seq"] or -1)
        gone = row["erased_at"] is not None and all(row[name] is None for name in (*PAYLOAD, "payload_salt"))
        whole = (
            row["erased_at"] is None and row["payload_salt"] is not None and payload_hash(row) == row["payload_hash"]
        )
        found = {
            "missing": seq > expected,
            "payload-hash": not gone and not whole,
            "integrity-hash": integrity_hash(row) != row["integrity_hash"],
            "link": row["prev_hash"] != head,
            "time": (row["recorded_at"] or "") < time or (row["recorded_at"] or "")[:10] != day,
        }
        breaks += [(kind, expected if kind == "missing" else seq) for kind, there in found.items() if there]
        expected, head, time = max(expected, seq + 1), row["integrity_hash"] or "", row["recorded_at"] or ""
    if expected < part.next:
        breaks.append(("missing", expected))
    elif head != part.head_after:
        breaks.append(("head", part.next - 1))
    return breaks


def cheating_world(random: Random) -> World:
    """A log whose operator sealed damaged days, declares their breaks or not, and may get a record wrong."""
    counts = [random.randrange(5) for _ in range(8)]
    world = World(chains(counts), witnesses=(WITNESS,) if random.random() < 0.2 else ())
    part, day = world.chain("acme").days[day_of(number := random.randrange(2, 6))], str(day_of(number))
    if random.random() < 0.6:
        for _ in range(random.randrange(3)):
            damage_rows(random, part.rows)
        kept = [row for row in part.rows if (row["seq"] or "x").isdigit() and len(row["integrity_hash"] or "") == 64]
        part.rows = sorted(kept, key=lambda row: int(row["seq"] or 0))
        part.breaks = breaks_of(part, day) if random.random() < 0.8 else []
    if random.random() < 0.15:
        part.declared = random.randrange(4)
    if random.random() < 0.15:
        part.edits = {random.choice(("first", "count", "next")): str(random.randrange(25))}
    if random.random() < 0.1:
        part.edits = random.choice(({"head-before": "ab" * 32}, {"head-after": "ab" * 32}, {"root": b64(EMPTY)}))
    if random.random() < 0.15:
        lines = {
            "index": str(random.randrange(9)),
            "day": str(day_of(random.randrange(8))),
            "breaks": str(random.randrange(3)),
            "sealed": f"{day_of(random.randrange(9))}T00:15:00.000000Z",
            "map": b64(EMPTY),
        }
        name = random.choice(sorted(lines))
        world.edit_day = lambda at, record: record.update({name: lines[name]}) if at == number else None
    if random.random() < 0.1:
        world.chain("acme").days.pop(day_of(random.randrange(7)))
    return world.publish()


def damage_proofs(random: Random, evidence: dict[str, Any], others: list[dict[str, Any]]) -> None:
    """Change what evidence.json says, in place; ``others`` are days of other bundles, to borrow from."""
    days, kind = evidence["days"], random.randrange(7)
    day = random.choice(days)
    if kind == 0:
        days.pop(random.randrange(len(days)))
    elif kind == 1:
        days.insert(random.randrange(len(days)), json.loads(json.dumps(day)))
    elif kind == 2 and others:
        other = random.choice(others)
        names = (
            "day",
            "day_record",
            "path",
            "first_checkpoint",
            "first_path",
            "tenant_record",
            "tenant_proof",
            "breaks",
        )
        day.update({name: other[name] for name in random.sample(names, random.randint(1, 3))})
    elif kind == 3:
        day["tenant_record"] = None
    elif kind == 4:
        field, texts = random.choice((("to", ("2026-11-03", "2026-11-31")), ("tenant_id", ("globex", "initech", "-"))))
        evidence[field] = random.choice(texts)
    elif kind == 5:
        name = random.choice(("day_record", "first_checkpoint", "tenant_record"))
        day[name] = _with_other_letter(random, day[name]) if day[name] else None
    else:
        name = random.choice(("checkpoint", "genesis", "origin", "chain_id"))
        evidence[name] = _with_other_letter(random, evidence[name])


def _with_other_letter(random: Random, text: str) -> str:
    at = random.randrange(len(text))
    return text[:at] + random.choice(("", "x", "0", "\n", "1", text[at].upper())) + text[at + 1 :]


def damaged_bundle(random: Random, others: list[dict[str, Any]]) -> Bundle:
    """A bundle of a cheating world, which may be changed again, signed by whoever did it."""
    world = cheating_world(random)
    start = random.randrange(4)
    tenant = random.choice(("acme", "acme", "acme", "globex", "initech"))
    made = bundle(world, tenant, day_of(start), day_of(random.randint(start, 6))).copy()
    others.extend(json.loads(json.dumps(made.days)))
    if random.random() < 0.5:
        for _ in range(random.choice((1, 1, 2))):
            damage_rows(random, made.rows)
    if random.random() < 0.5:
        damage_proofs(random, made.evidence, others)
    if random.random() < 0.1:
        made.signers = (random.choice((LOG_KEY, WITNESS, Key(EVIDENCE_KEY.name, seed="thief"))),)
    return made
