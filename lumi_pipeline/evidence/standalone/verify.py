# /// script
# requires-python = ">=3.11"
# dependencies = ["pynacl"]
# ///
"""Check an evidence bundle with this file, Python and PyNaCl alone: verify.py [PATH] [--key VKEY-OR-FILE ...] [--json].

PATH is a bundle, folder or .zip; by default the folder of this file. Keys are yours, never the bundle's: of the log,
and if you like of witnesses and evidence. Exit code 0: verified; 1: altered, or with declared breaks; 2: no bundle; 3:
not completed, or no key of the log given. `check` follows docs/formats.md section 9: its first line that fails is why.
"""
import argparse, bisect, collections, contextlib, datetime, functools, hashlib, json, re, struct, sys, zipfile, zlib
try: import nacl.bindings, nacl.exceptions as errors, nacl.signing
except ImportError: sys.exit(sys.stderr.write("verify.py needs PyNaCl for signatures: pip install pynacl\n") and 3)
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any
SUMMED = ("README.txt", "events.csv", "evidence.json", "log.vkey", "verify.html", "verify.py")
FILES = {*SUMMED, "SHA256SUMS", "SHA256SUMS.sig"}
LIMITS = {"evidence.json": 64 << 20, "SHA256SUMS": 1 << 20, "SHA256SUMS.sig": 1 << 20, "log.vkey": 1 << 20}
EXIT_CODES = {"ok": 0, "usage": 2, "unrecognised": 2, "missing": 2, "unreachable": 3, "key-unconfirmed": 3}  # else 1
VERDICTS = ("VERIFIED", "NOT VERIFIED", "NOT A BUNDLE", "NOT CONFIRMED")  # for these exit codes
BREAKS = ("integrity-hash", "payload-hash", "row-missing", "row-link", "row-time", "row-head")  # of days with breaks
ORDER = ("row-tenant", *BREAKS[:2], "row-duplicate", "row-order", "row-added", *BREAKS[2:], "event-tree", "breaks")
Key = collections.namedtuple("Key", "name id kind public")  # of kind 1 for logs and evidence, of kind 4 for witnesses
# ---- Each value has one spelling, and so has each text (Conventions, sections 3, 5, 6 and 9) ----
DAY, COUNT, HEX, SALT = "[0-9]{4}-[0-9]{2}-[0-9]{2}", "(?:0|[1-9][0-9]{0,18})", "[0-9a-f]{64}", "[0-9a-f]{32}"
TIME, HASH = DAY + r"T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}\.[0-9]{6}Z", "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?"
NAME, TENANT, SIZE = r"[^\s+\x00-\x1f\x7f-\x9f]{1,1024}", "[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "[1-9][0-9]{0,18}"
LOG_KEY = r"\+[0-9a-f]{8}\+A[Q-Za-f][A-Za-z0-9+/]{42}"  # behind the name: id; a byte 1 (for witnesses 4) and 32 more
VKEY, EVIDENCE_KEY = NAME + LOG_KEY.replace("A[Q-Za-f]", "(?:A[Q-Za-f]|B[A-P])"), "(?P=origin)/evidence" + LOG_KEY
NOTE = f"((?!\ufeff)[^\x00-\x09\x0b-\x1f\x7f-\x9f]*\n)\n((?:\u2014 {NAME} {BASE64}\n)+)"
def lines(tag: str, **forms: str) -> str:  # the tag, then a name and a value on each line
    return f"{tag}\n" + "".join(f"{name.replace('_', '-')} (?P<{name}>{form})\n" for name, form in forms.items())
GENESIS = lines("lumi/log/v1", origin=NAME, first_day=DAY, key="(?P=origin)" + LOG_KEY, evidence_key=EVIDENCE_KEY)
GENESIS += f"(?:previous {NAME} (?P<size>{SIZE}) {HASH}\n)?"
DAY_RECORD = lines("lumi/day/v1", origin=NAME, day=DAY, index=SIZE, map=HASH, manifest=HASH, breaks=COUNT, sealed=TIME)
DAY_RECORD += f"(?:next-key (?P<key>(?P=origin){LOG_KEY})\n)?(?:next-evidence-key (?P<evidence_key>{EVIDENCE_KEY})\n)?"
TENANT_DAY = lines("lumi/tenant-day/v1", day=DAY, tenant=HEX, first=COUNT, count=COUNT, next=COUNT, root=HASH,
                   head_before=HEX, head_after=HEX, breaks=COUNT)
CHECKPOINT = f"(?P<origin>{NAME})\n(?P<size>{COUNT})\n(?P<root>{HASH})\n"
def many(form: str) -> str: return rf"\[(?:{form}(?:,{form})*+)?\]"  # a list in canonical JSON, as all of this is
TEXT, HASHES = r'"(?:[^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00(?:0[0-7be-f]|1[0-9a-f]))*+"', many(f'"{HASH}"')
BREAK = f'{{"kind":"(?:payload-hash|integrity-hash|link|missing|time|head)","seq":"{COUNT}"}}'
ENTRY = (f'{{"breaks":{many(BREAK)},"day":"{DAY}","day_record":{TEXT},"first_checkpoint":{TEXT},"first_path":{HASHES},'
         f'"path":{HASHES},"tenant_proof":"{BASE64}","tenant_record":(?:{TEXT}|null)}}')
EVIDENCE = (f'{{"chain_id":"{SALT}","checkpoint":{TEXT},"days":{many(ENTRY)},"from":"{DAY}","genesis":{TEXT},'
         f'"genesis_path":{HASHES},"origin":{TEXT},"tenant_id":"{TENANT}","to":"{DAY}","type":"lumi/evidence/v1"}}\n')
class Failure(Exception): """A check that does not hold: the code of its reason, and a sentence."""
def need(reason: str, holds: object, message: str) -> None:  # Nearly every check is one call of this.
    if not holds: raise Failure(reason, message) if reason != "malformed" else ValueError(message)
BAD = (ValueError, OSError, EOFError, RuntimeError, errors.CryptoError, zipfile.BadZipFile, zlib.error, struct.error)
def attempt(reason: str, parse: Any, *arguments: object) -> Any:  # What is in bad form, or badly signed, fails so.
    try: return parse(*arguments)
    except BAD as error: raise Failure(reason, f"{getattr(error, 'strerror', error)}") from None
def sha(*parts: bytes) -> bytes: return hashlib.sha256(b"".join(parts)).digest()  # H(part ‖ part ‖ …)
def net(value: bytes) -> bytes: return b"-," if value == NULL else b"%d:%b," % (len(value), value)
def b64(data: bytes) -> str: return b64encode(data).decode()
def number(text: str) -> int: return int(text) if int(text) < 1 << 63 else int("larger than any number may be")
def ordinal(day: str) -> int: return datetime.date.fromisoformat(day[:10]).toordinal()
def read_key(vkey: str) -> Key:
    name, key_id, material = (vkey if re.fullmatch(VKEY, vkey) else "++AAAA").split("+", 2)
    key = Key(name, sha(name.encode(), b"\n", b64decode(material))[:4], b64decode(material)[0], b64decode(material)[1:])
    need("malformed", key.id.hex() == key_id and nacl.bindings.crypto_core_ed25519_is_valid_point(key.public), "no key")
    return key
def keys_in(k: str) -> Any: return [*map(read_key, [k] if re.fullmatch(VKEY, k) else Path(k).read_text("utf8").split())]
def read(pattern: str, text: str) -> dict[str, Any]:  # what a text says at the names in its pattern; none can be large
    parts = {n: p for match in re.finditer(rf"\A{pattern}\Z", text) for n, p in match.groupdict().items() if p}
    days = [ordinal(parts[name]) for name in ("first_day", "day", "sealed") if name in parts]
    keys = {name: read_key(parts[name]) for name in ("key", "evidence_key") if name in parts}
    sound = parts and days == sorted({*days}) and len({key.public for key in keys.values()}) == len(keys)
    need("malformed", sound, f"not in form: {text[:60]!a}")
    return {n: number(p) if n != "origin" and re.fullmatch(COUNT, p) else p for n, p in parts.items()} | keys
def read_note(note: bytes, keys: Any = ()) -> tuple[str, dict[Key, int]]:  # its text, and who signed it
    text, below = next(iter(re.findall(rf"\A{NOTE}\Z", note.decode() if len(note) <= 1 << 20 else "")), ("", ""))
    signed, signatures = {}, [(name, b64decode(data)) for name, data in re.findall("\u2014 (\\S+) (\\S+)\n", below)]
    distinct = {(name, data[:4]) for name, data in signatures if data[4:]}
    need("malformed", text and len(distinct) == len(signatures) <= 100, "not a signed note")
    for key, data in [(key, data[4:]) for name, data in signatures for key in keys if key[:2] == (name, data[:4])]:
        signed[key] = time = number(str(int.from_bytes(data[:8]))) if key.kind == 4 else 0
        before = f"cosignature/v1\ntime {time}\n" if key.kind == 4 else ""
        nacl.signing.VerifyKey(key.public).verify(f"{before}{text}".encode(), data[8:] if key.kind == 4 else data)
    return text, signed
def by_log(keys: Any) -> set[str]: return {key.name for key in keys if key.kind == 1}
def read_checkpoint(note: str, keys: Any = ()) -> argparse.Namespace:
    return argparse.Namespace(**read(CHECKPOINT, read_note(note.encode())[0]), signed=read_note(note.encode(), keys)[1])
def tree_root(node: bytes, index: int, size: int, path: list[str]) -> bytes:  # ---- Trees: where a proof leads, or b""
    if size == 1 or not path: return node if (index, size, path) == (0, 1, []) else b""
    k, other = 1 << (size - 1).bit_length() - 1, b64decode(path[-1])
    inner = tree_root(node, index, k, path[:-1]) if index < k else tree_root(node, index - k, size - k, path[:-1])
    return inner and (sha(b"\1", inner, other) if index < k else sha(b"\1", other, inner))
def includes(tree: Any, entry: str, index: int, path: list[str]) -> bool:
    return bool(b64(tree_root(sha(b"\0", entry.encode()), index, tree.size, path)) == tree.root)
def map_root(leaf: bytes, value: bytes, path: bytes, key: bytes) -> bytes:  # looking up `key` has to end at this leaf
    node, above, here = sha(b"\0\x20", leaf, b"\x20", value), 256, True
    while path:
        bit, width = path[0], 1 + (path[0] >> 7)  # as a varint, 128 to 255 are that byte and a 1
        varint, other, path = path[:width], path[width:width + 32], path[width + 32:]
        need("malformed", bit < above and varint[1:] == b"\1"[:width - 1] and len(other) == 32, "no path in a map")
        side, want = (int.from_bytes(each) >> 255 - bit & 1 for each in (leaf, key))
        node, above, here = sha(b"\1", varint, *((other, node) if side else (node, other))), bit, here and side == want
    return node if here else b""
def content(opener: Any, digest: bool = False) -> Any:
    with opener() as file: return hashlib.file_digest(file, "sha256").hexdigest() if digest else file.read()
def packed_end(archive: Any, i: Any) -> int:  # where a file of a ZIP file ends, if both its headers tell the truth
    archive.fp.seek(i.header_offset)
    flags, method, name, more = struct.unpack("<6x2H16x2H", archive.fp.read(30))
    archive.fp.seek(name + more, 1)
    inflate, end = zlib.decompressobj(-15), i.header_offset + 30 + name + more + i.compress_size
    pieces = (archive.fp.read(min(left, 1 << 16)) for left in range(i.compress_size, 0, -1 << 16))
    size = sum(len(inflate.decompress(piece)) for piece in pieces) if method else i.compress_size
    whole = size == i.file_size and inflate.eof == bool(method) and not inflate.unused_data and end <= archive.start_dir
    need("malformed", whole and (flags, method) == (i.flag_bits, i.compress_type), "the ZIP file contradicts itself")
    return int(end)
def open_files(path: Path, archive: Any) -> dict[str, Any]:
    zipped, listed = (archive.filelist, []) if archive else ([], [p for p in path.iterdir() if p.name in FILES])
    found: list[Any] = [(p.name, p.lstat().st_mode >> 12, p.lstat().st_size, lambda p=p: p.open("rb")) for p in listed]
    found += [(i.orig_filename, i.external_attr >> 28, i.file_size, lambda i=i: archive.open(i)) for i in zipped]
    files, end = {name: opener for name, _, _, opener in found}, 0
    need("unrecognised", {"events.csv", "evidence.json"} & files.keys(), "there is no events.csv and no evidence.json")
    sound = all(kind in {0, 8} and size <= LIMITS.get(name, size) for name, kind, size, _ in found)  # 8: a regular file
    sound = sound and len(found) == len(files) and files.keys() <= FILES and {i.compress_type for i in zipped} <= {0, 8}
    for i in sorted(zipped if sound else [], key=lambda i: i.header_offset):
        sound, end = sound and end <= i.header_offset, attempt("bundle-format", packed_end, archive, i)
    need("bundle-format", sound and not (archive and attempt("bundle-format", archive.testzip)), "damaged or odd files")
    need("unrecognised", not (proofs := files.get("evidence.json")) or b"lumi/evidence/" in content(proofs), "not ours")
    need("missing-file", files.keys() == FILES, f"missing: {', '.join(sorted(FILES - files.keys()))}")
    return files
def read_evidence(data: bytes) -> argparse.Namespace:
    need("malformed", re.fullmatch(EVIDENCE, data.decode()), "evidence.json is not canonical, or has other fields")
    need("malformed", sum(1 for _ in re.finditer(rf"{TEXT}|[][{{}},]", data.decode())) <= 2_000_000, "too many values")
    bundle = argparse.Namespace(**json.loads(data))
    bundle.first, bundle.period = read(GENESIS, bundle.genesis), [vars(bundle)["from"], bundle.to]
    bundle.days = [argparse.Namespace(**day, time=b"", count=0, tree=[], found=[]) for day in bundle.days]
    for day in bundle.days:
        day.breaks = [(number(item["seq"]), item["kind"]) for item in day.breaks]
        need("malformed", day.breaks == sorted({*day.breaks}), f"{day.day}: breaks out of order")
    first, last, *listed = [ordinal(day) for day in (*bundle.period, *(day.day for day in bundle.days))]
    bundle.whole = [*range(first, min(last, first + len(listed)) + 1)] == listed != []
    return bundle
def check_day(bundle: Any, day: Any, before: Any, keys: list[Key]) -> None:
    latest, index = bundle.latest, 1 + ordinal(day.day) - ordinal(bundle.first["first_day"])
    need("day-inclusion", includes(latest, day.day_record, index, day.path), "this is not the log's record of the day")
    day.log = attempt("day-record", read, DAY_RECORD, day.day_record)
    need("day-origin", day.log["origin"] == latest.origin, "the day's record is of another log")
    need("day-index", (day.log["index"], day.log["day"]) == (index, day.day), "its record says another day or place")
    need("day-sealed", not before or day.log["sealed"] >= before.log["sealed"], "it was sealed before the day before")
    first = attempt("first-checkpoint", read_checkpoint, day.first_checkpoint, keys)
    fits = first.size < latest.size or (first.size, first.root) == (latest.size, latest.root)
    fits = fits and first.origin == latest.origin and includes(first, day.day_record, index, day.first_path)
    need("first-checkpoint", fits and latest.origin in by_log(first.signed), "first_checkpoint: not this day's")
    text, proof, name = day.tenant_record, b64decode(day.tenant_proof), net(bundle.tenant_id.encode())
    key, head = sha(b"lumi/tenant-key/v1\n", name), sha(b"lumi/genesis/v1\n", name, net(bundle.chain_id.encode())).hex()
    own: dict[str, Any] = dict.fromkeys(("first", "count", "next", "breaks"), 0)
    own |= {"root": EMPTY, "head_before": head, "head_after": head} if text is None else read(TENANT_DAY, text)
    need("tenant-record", not text or (own["day"], own["tenant"]) == (day.day, key.hex()), "of another day or tenant")
    leaf, value, path = (key, sha(text.encode()), proof) if text else (proof[1:33], proof[34:66], proof[66:])
    in_form = text or not proof or (len(value) == 32 and proof[:34:33] == b"\x20\x20")
    need("malformed", in_form and len(proof) <= 8770, "tenant_proof is not in form")
    root = b64(map_root(leaf, value, path, key)) if leaf else EMPTY
    need("tenant-map", root == day.log["map"] and bool(text) == (leaf == key), "not what the log has of the tenant")
    whole = own["next"] == own["first"] + own["count"] and (own["count"] or own["head_before"] == own["head_after"])
    agrees = own["first"] <= own["next"] and own["breaks"] <= day.log["breaks"] and (own["breaks"] or whole)
    need("tenant-record", agrees and (own["count"] or own["root"] == EMPTY), "the record contradicts itself")
    joins = not before or (own["first"], own["head_before"]) == (before.own["next"], before.own["head_after"])
    joins = joins and (text or not before or not before.tenant_record) and (own["first"] or own["head_before"] == head)
    need("tenant-chain", joins, "the record does not continue that of the day before, or not begin with chain_id")
    day.own, day.expected, day.head = own, own["first"], own["head_before"].encode()
COLUMNS = (b"tenant_id seq event_id recorded_at occurred_at action entity_type entity_id outcome actor_type actor_id"
           b" auth_method actor_name ip user_agent request_id before_state after_state payload_salt payload_hash"
           b" prev_hash integrity_hash erased_at").split()
NULL, QUOTES, EMPTY = b"\0", {b"", b'"', b"'"}, b64(sha())  # NULL stands for a null, for no text has this character
LEAD = "(?:['=+@\t\r\n-]|\uff07|\uff1d|\uff0b|\uff0d|\uff20)"  # only behind a ', for spreadsheets take it for a formula
PLAIN = rb'(?:"(?:[^"]++|"")*+"|[^",\r\n]*+)'
CELL = f"((?=\r\n|\"?+(?:'(?={LEAD})|(?!{LEAD})))".encode() + PLAIN + b")"
RECORD, BARE = re.compile(b",".join([CELL] * len(COLUMNS)) + b"\r\n"), re.compile(PLAIN + b"(?:," + PLAIN + b")*+\n")
MARKED = re.compile(f"{COUNT}\n{TIME}\n{TIME}\n(?:{SALT}|\0)\n{HEX}\n{HEX}\n{HEX}\n(?:{TIME}|\0)".encode())
OTHERS = re.compile(TENANT.encode() + rb"\n[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\n[A-Z][A-Z0-9_]{0,127}\n"
                    rb"(?:success|failure|unknown)\n(?:user|service|system|support)")
def is_day(time: bytes) -> bool: return time == NULL or bool(datetime.date.fromisoformat(time[:10].decode()))
def plain(c: bytes) -> bytes: return (c[1:-1].replace(b'""', b'"') if c[:1] == b'"' else c or NULL).removeprefix(b"'")
def read_row(record: bytes, number: int) -> list[bytes]:
    marks = re.match(b"\xef\xbb\xbf|\xff\xfe|\xfe\xff|[^,]*[;\t][^,]*$", record) if number == 1 else None
    bare = marks or (record[-2:] != b"\r\n" and BARE.fullmatch(record[:1 + (16 << 20)]))
    need("csv-resaved", not bare, f"record {number}: a byte order mark, no commas, or LF for CRLF")
    match = RECORD.fullmatch(record)
    sound = len(record) <= 16 << 20 and NULL not in record and record.decode(errors="ignore").encode() == record
    row = [cell if cell[:1] not in QUOTES else plain(cell) for cell in (match.groups() if match and sound else ())]
    need("csv-format", row and (number > 1 or row == COLUMNS), f"record {number}: not the columns, quotes or UTF-8")
    if number == 1: return row
    marked = MARKED.fullmatch(b"\n".join((row[1], *row[3:5], *row[18:]))) and NULL not in row[:11]
    marked = marked and int(row[1]) < 1 << 63 and all(map(is_day, (row[3], row[4], row[22])))
    need("csv-resaved", marked, f"record {number}: a number, time, hash or null that only a spreadsheet writes so")
    sizes = [len(text) for text in (row[0], row[2], *row[5:18])] if len(record) > 1 << 20 else [0]
    fits = OTHERS.fullmatch(b"\n".join((row[0], row[2], row[5], row[8], row[9]))) is not None and max(sizes) <= 1 << 20
    need("csv-format", fits and sum(sizes) <= 4 << 20, f"record {number}: a value that its column can't have")
    return row
def read_rows(file: Any, digest: Any) -> Any:
    record, number, odd = bytearray(), 1, 0
    while (line := file.readline(16 << 20)) or record or number == 1:
        digest.update(line)
        record += line
        odd ^= line.count(b'"') & 1
        if odd and line and len(record) <= 16 << 20: continue  # a line end within quotes does not end the record
        yield from [attempt("csv-resaved", read_row, bytes(record), number)][number == 1:]  # but not the header
        record, number, odd = bytearray(), number + 1, 0
def check_rows(rows: Any, tenant: bytes, days: list[Any]) -> None:
    findings, ends, highest, seen = dict[str, str](), [day.own["next"] for day in days], -1, {0: 0}  # a bit for a seq
    def find(reason: str, wrong: object, day: Any, place: int, sentence: str) -> None:
        if wrong and day and day.own["breaks"] and reason in BREAKS:
            day.found += [(place, reason.removeprefix("row-"))] if len(day.found) <= len(day.breaks) else []
        elif wrong: findings.setdefault(reason, f"{day.day if day else 'events.csv'}, seq {place}: {sentence}")
    for row in rows:
        seq, stored, at = int(row[1]), bytes.fromhex(row[21].decode()), bisect.bisect_right(ends, int(row[1]))
        day = days[at] if at < len(days) and seq >= days[0].own["first"] else None
        nets = [b"-," if cell == NULL else b"%d:%b," % (len(cell), cell) for cell in row]
        core, payload = sha(b"lumi/event/v1\n", nets[20], *nets[:12], nets[19]), (nets[18], *nets[12:18])
        whole = row[18] != NULL and row[22] == NULL and sha(b"lumi/payload/v1\n", *payload).hex().encode() == row[19]
        erased, bits, behind = {*row[12:19]} == {NULL} and row[22] != NULL, seen.get(seq >> 9, 0), seq < highest
        again, seen[seq >> 9], highest = bits >> (seq & 511) & 1, bits | 1 << (seq & 511), max(highest, seq)
        find("row-tenant", row[0] != tenant, day, seq, "the row is another tenant's")
        find("integrity-hash", core != stored, day, seq, "the row was altered: it has another hash")
        find("payload-hash", not whole and not erased, day, seq, "the payload was altered, or erased in part")
        find("row-duplicate", again, day, seq, "the row is there twice")
        find("row-order", behind and not again, day, seq, "the row comes after one with a larger seq")
        find("row-added", not day, day, seq, "the row belongs to no day of the bundle")
        if not day: continue
        find("row-missing", seq > day.expected, day, day.expected, "the row is missing")
        find("row-link", row[20] != day.head, day, seq, "the row does not link to the one before it")
        find("row-time", row[3] < day.time or row[3][:10].decode() != day.day, day, seq, "of another day, or too early")
        day.expected, day.head, day.time, day.count = max(day.expected, seq + 1), row[21], row[3], day.count + 1
        node, size = sha(b"\0lumi/event-leaf/v1\n", stored), day.count
        while size % 2 == 0: node, size = sha(b"\1", day.tree.pop(), node), size // 2
        day.tree.append(node)
    for day in days:
        own, end, tree = day.own, day.own["next"], reversed(day.tree)
        root = b64(functools.reduce(lambda right, left: sha(b"\1", left, right), tree)) if day.tree else EMPTY
        find("row-missing", day.expected < end, day, day.expected, "the row is missing")
        find("row-head", day.expected >= end and day.head.decode() != own["head_after"], day, end - 1, "another hash")
        find("event-tree", (root, day.count) != (own["root"], own["count"]), day, end, "not the rows that were sealed")
        find("breaks", sorted(day.found) != day.breaks or len(day.breaks) != own["breaks"], day, end, "not as declared")
    for reason in ORDER: need(reason, reason not in findings, findings.get(reason, ""))
def check(files: dict[str, Any], keys: list[Key], facts: dict[str, Any]) -> str:  # ---- Section 9, check by check ----
    bundle = attempt("malformed", read_evidence, content(files["evidence.json"]))
    latest = bundle.latest = attempt("checkpoint-format", read_checkpoint, bundle.checkpoint)
    witnesses, trusted = {k for k in keys if k.kind == 4}, [k for k in keys if k.name != f"{latest.origin}/evidence"]
    pinned, vkeys = {*trusted} - witnesses, content(files["log.vkey"]).decode(errors="replace")
    stated = "\n".join([bundle.genesis, vkeys, *(day.day_record for day in bundle.days)])
    for vkey in [] if pinned else re.findall(f"(?m)^(?:key |next-key |)({NAME}{LOG_KEY})$", stated):
        with contextlib.suppress(ValueError): trusted.append(read_key(vkey))  # stands in for what the reader lacks
    need("checkpoint-origin", latest.origin in by_log(trusted), f"no key is of the log {latest.origin!a}")
    signed = attempt("checkpoint-signature", read_checkpoint, bundle.checkpoint, {*trusted} - witnesses).signed
    need("checkpoint-signature", latest.origin in by_log(signed), "no key that you trust signed the checkpoint")
    cosigned = attempt("witness-signature", read_checkpoint, bundle.checkpoint, witnesses).signed
    need("witness-quorum", cosigned or not witnesses, "none of your witnesses cosigned the checkpoint")
    need("genesis-inclusion", includes(latest, bundle.genesis, 0, bundle.genesis_path), "the log begins otherwise")
    need("genesis-origin", bundle.first["origin"] == latest.origin == bundle.origin, "the genesis is of another log")
    need("genesis-key", bundle.first["key"] in trusted, "the log began with a key that you do not trust")
    need("day-list", bundle.whole, "the days are not every day of the period, once and in order")
    for day, before in zip(bundle.days, [None, *bundle.days], strict=False):
        try: attempt("malformed", check_day, bundle, day, before, trusted)
        except Failure as failure: raise Failure(failure.args[0], f"{day.day}: {failure.args[1]}") from None
    digest, sums = hashlib.sha256(), content(files["SHA256SUMS"]).decode(errors="replace")
    with files["events.csv"]() as file: check_rows(read_rows(file, digest), bundle.tenant_id.encode(), bundle.days)
    hashes = {name: content(files[name], digest=True) for name in SUMMED} | {"events.csv": digest.hexdigest()}
    listed = re.findall(r"(?m)^([0-9a-f]{64})  events\.csv$", sums) or hashes.values()
    need("csv-resaved", hashes["events.csv"] in listed, "all rows are right, but a program saved the file again")
    wrong, wanted = [n for n in SUMMED if hashes[n] not in sums], "".join(f"{hashes[n]}  {n}\n" for n in SUMMED)
    need("checksums", wanted == sums, f"SHA256SUMS does not fit {', '.join(wrong) or 'its form'}")
    own = {*keys} - {*trusted} | {r.get("evidence_key") for r in (bundle.first, *(d.log for d in bundle.days))} - {None}
    text, signed = attempt("bundle-signature", read_note, content(files["SHA256SUMS.sig"]), own)
    need("bundle-signature", text == sums, "SHA256SUMS.sig is the signature of something else")
    need("evidence-key", signed, "the bundle is not signed by an evidence key of this log")
    facts.update(tenant=bundle.tenant_id, period=bundle.period, events=sum(day.count for day in bundle.days))
    facts.update(log=bundle.origin, cosigned=", ".join(f"{key.name} at {t}" for key, t in cosigned.items()) or "nobody")
    broken = ", ".join(day.day for day in bundle.days if day.own["breaks"])
    need("declared-break", not broken, f"all is as it was sealed, with breaks that the operator declares on {broken}")
    need("key-unconfirmed", pinned, "consistent, but you gave no key of the log: anybody could have made this")
    return "all {events} events of {tenant}, {period[0]} to {period[1]}; cosigned by {cosigned}".format_map(facts)
def verify(path: Path, keys: list[str]) -> dict[str, Any]:  # for somebody who trusts these vkeys, or files of them
    facts: dict[str, Any] = {}
    try:
        need("unrecognised" if path.exists() else "missing", path.is_dir() or path.is_file(), f"none at {str(path)!a}")
        with contextlib.nullcontext() if path.is_dir() else path.open("rb") as file:
            need("unrecognised", not file or zipfile.is_zipfile(file), f"{str(path)!a} is no folder and no ZIP file")
            files = open_files(path, file and attempt("bundle-format", zipfile.ZipFile, file))
            reason, message = "ok", check(files, [k for given in keys for k in attempt("usage", keys_in, given)], facts)
    except Failure as failure: reason, message = failure.args
    except OSError as error: reason, message = "unreachable", str(error)
    code = EXIT_CODES.get(reason, 1)
    return facts | {"exit_code": code, "reason": reason, "messages": [f"{VERDICTS[code]} ({reason}): {message}"]}
def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("path", nargs="?", type=Path, default=Path(__file__).parent, help="a folder or a .zip")
    parser.add_argument("--key", action="append", default=[], help="a vkey that you trust, or a file of them")
    parser.add_argument("--json", action="store_true", help="print the verdict for machines")
    verdict = verify((options := parser.parse_args()).path, options.key)
    sys.stdout.write(f"{json.dumps(verdict) if options.json else verdict['messages'][0]}\n")
    return int(verdict["exit_code"])
if __name__ == "__main__": sys.exit(main())
