"""The files of a bundle: missing, changed, too many; its sums and their signature; ZIP files of all kinds."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping

from tests.evidence.corpus.bundle import Bundle, Files, bundle, sums
from tests.evidence.corpus.case import EVIDENCE_PINNED, PINNED, Case, altered, zipped
from tests.evidence.corpus.primitives import sha
from tests.evidence.corpus.proofs import flipped, loose
from tests.evidence.corpus.signing import Key, note, signature_line
from tests.evidence.corpus.world import EVIDENCE_KEY, LOG_KEY, ORIGIN, standard


def cases() -> Iterator[Case]:
    plain = bundle(standard())
    files = plain.files()
    yield from _missing(files)
    yield from _changed(plain)
    yield from _sums(files)
    yield from _signatures(files)
    yield from _archives(files)
    yield from _broken_archives(files)


def _missing(files: Files) -> Iterator[Case]:
    for name in files:
        left = {other: data for other, data in files.items() if other != name}
        yield Case(f"missing-{name}", f"{name} is missing", 1, "missing-file", files=left)
        yield Case(f"zip-missing-{name}", f"{name} is missing", 1, "missing-file", archive=zipped(left))
    neither = {name: data for name, data in files.items() if name not in {"events.csv", "evidence.json"}}
    yield Case("missing-both", "events.csv and evidence.json are missing", 2, "unrecognised", files=neither)
    yield Case("empty-folder", "nothing is there", 2, "unrecognised", files={})
    letter = {"letter.txt": b"Dear auditor,\n"}
    yield Case("other-folder", "a folder of something else", 2, "unrecognised", files=letter)
    yield Case("other-json", "some other evidence.json", 2, "unrecognised", files={"evidence.json": b"{}\n"})


def _changed(plain: Bundle) -> Iterator[Case]:
    """Files whose content only the signature vouches for."""
    content = plain.content()
    for name, data in (
        ("README.txt", b"Trust us.\n"),
        ("README.txt", content["README.txt"] + b"x"),
        ("README.txt", b""),
        ("verify.html", content["verify.html"] + b"<script src=x></script>\n"),
        ("verify.html", content["verify.html"] + b"\n"),
        ("verify.py", b"print('VERIFIED')\n"),
        ("verify.py", content["verify.py"] + b"\n"),
        ("log.vkey", f"{Key(ORIGIN, seed='x').vkey}\n".encode()),
        ("log.vkey", content["log.vkey"] + b"\n"),
        ("log.vkey", b"\xff\xfe"),
    ):
        changed = content | {name: data}
        mark = sha(data).hex()[:4]
        for form, reason in (("kept", "checksums"), ("resummed", "bundle-signature")):
            yield from altered(f"file-{name}-{mark}", f"{name} is another", plain, changed, reason, forms=(form,))


def _sums(files: Files) -> Iterator[Case]:
    text = files["SHA256SUMS"]
    lines = text.splitlines(keepends=True)
    csv = next(line for line in lines if b"events.csv" in line)
    readme = lines[0]
    for name, description, data, reason in (
        ("hash", "another hash of a file", text.replace(readme[:64], sha(b"").hex().encode()), "checksums"),
        ("csv-hash", "another hash of events.csv", text.replace(csv[:64], sha(b"").hex().encode()), "csv-resaved"),
        ("csv-left-out", "no line of events.csv", text.replace(csv, b""), "checksums"),
        ("left-out", "no line of a file", text.replace(readme, b""), "checksums"),
        ("added", "a line of a file that is not there", text + sha(b"").hex().encode() + b"  zzz\n", "checksums"),
        ("itself", "a line of itself", sums({"SHA256SUMS": text}) + text, "checksums"),
        ("twice", "a line twice", readme + text, "checksums"),
        ("order", "lines in another order", b"".join(lines[1:]) + readme, "checksums"),
        ("upper", "hashes in capitals", text.replace(readme[:64], readme[:64].upper()), "checksums"),
        ("star", "as sha256sum -b writes it", text.replace(b"  ", b" *"), "checksums"),
        ("crlf", "CRLF for LF", text.replace(b"\n", b"\r\n"), "checksums"),
        ("trailing-lf", "an LF more", text + b"\n", "checksums"),
        ("trailing", "a byte more", text + b"x", "checksums"),
        ("no-lf", "an LF less", text[:-1], "checksums"),
        ("bom", "a byte order mark", b"\xef\xbb\xbf" + text, "checksums"),
        ("empty", "nothing", b"", "checksums"),
    ):
        yield Case(f"sums-{name}", description, 1, reason, files=files | {"SHA256SUMS": data})


def _signatures(files: Files) -> Iterator[Case]:
    text, signature = files["SHA256SUMS"], files["SHA256SUMS.sig"]
    line = signature[len(text) + 1 :]
    stranger = Key(EVIDENCE_KEY.name, seed="stranger")
    encoded = line.decode().strip().split(" ")[2]
    unknown = stranger.line(text)
    forged_by_stranger = signature_line(stranger.name, stranger.id + bytes(64))
    other_text = text.replace(b"README.txt", b"readme.txt")
    with_stranger = (*PINNED, stranger.vkey)
    for name, description, data, reason, keys in (
        ("unsigned", "no signature", text, "bundle-signature", PINNED),
        ("unsigned-note", "a note without signatures", text + b"\n", "bundle-signature", PINNED),
        ("empty", "nothing", b"", "bundle-signature", PINNED),
        ("forged", "a forged signature", note(text, [_replaced(line, flipped(encoded))]), "bundle-signature", PINNED),
        ("loose", "not canonical base64", note(text, [_replaced(line, loose(encoded))]), "bundle-signature", PINNED),
        (
            "other-text",
            "the signature of another text",
            note(other_text, [EVIDENCE_KEY.line(other_text)]),
            "bundle-signature",
            PINNED,
        ),
        (
            "text-changed",
            "its text is another",
            signature.replace(b"README.txt", b"readme.txt"),
            "bundle-signature",
            PINNED,
        ),
        ("trailing-lf", "an LF more", signature + b"\n", "bundle-signature", PINNED),
        ("trailing", "a byte more", signature + b"x", "bundle-signature", PINNED),
        ("no-lf", "an LF less", signature[:-1], "bundle-signature", PINNED),
        ("twice", "the same signature twice", note(text, [line, line]), "bundle-signature", PINNED),
        ("not-utf-8", "not UTF-8", signature + b"\xff\n", "bundle-signature", PINNED),
        ("unknown", "by a key nobody knows", note(text, [unknown]), "evidence-key", PINNED),
        ("log-key", "by the log's key", note(text, [LOG_KEY.line(text)]), "evidence-key", PINNED),
        (
            "second-forged",
            "a second one is forged",
            note(text, [line, forged_by_stranger]),
            "bundle-signature",
            with_stranger,
        ),
        (
            "forged-unknown-text",
            "unknown, and another text",
            note(other_text, [stranger.line(other_text)]),
            "bundle-signature",
            PINNED,
        ),
    ):
        yield Case(f"signature-{name}", description, 1, reason, keys, files | {"SHA256SUMS.sig": data})
    more = files | {"SHA256SUMS.sig": note(text, [unknown, line])}
    yield Case("signature-and-unknown", "one by a key nobody knows besides", 0, "ok", EVIDENCE_PINNED, more)
    brought = files | {"SHA256SUMS.sig": note(text, [unknown])}
    yield Case("signature-brought", "by a key that only the reader knows", 0, "ok", with_stranger, brought)


def _replaced(line: bytes, encoded: str) -> bytes:
    return b" ".join([*line.split(b" ")[:2], encoded.encode() + b"\n"])


def _archive(files: Mapping[str, bytes], **attributes: dict[str, int]) -> bytes:
    """A ZIP file in which entries have attributes of ``zipfile.ZipInfo``: ``external_attr={"events.csv": …}``."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = attributes.get("compress_type", {}).get(name, zipfile.ZIP_DEFLATED)
            info.external_attr = attributes.get("external_attr", {}).get(name, 0o644 << 16)
            archive.writestr(info, data)
    return output.getvalue()


def _archives(files: Files) -> Iterator[Case]:
    folder = {f"evidence-acme/{name}": data for name, data in files.items()}
    link = {"README.txt": (stat.S_IFLNK | 0o777) << 16}
    pipe = {"log.vkey": (stat.S_IFIFO | 0o644) << 16}
    regular = dict.fromkeys(files, (stat.S_IFREG | 0o644) << 16)
    yield Case("zip-unix", "with the modes of regular files", 0, "ok", archive=_archive(files, external_attr=regular))
    for name, description, data in (
        ("file-added", "a file more", zipped(files | {"notes.txt": b""})),
        ("folder-entry", "an entry of a folder", zipped(files | {"more/": b""})),
        ("file-in-folder", "a file in a folder", zipped(files | {"more/events.csv": files["events.csv"]})),
        ("file-above", "a file that leads out of the folder", zipped(files | {"../verify.py": b""})),
        ("case", "a file with the same name in capitals", zipped(files | {"EVENTS.CSV": files["events.csv"]})),
        ("many", "more files than there may be", zipped(files | {f"{n}.txt": b"" for n in range(9)})),
        ("link", "a link", _archive(files | {"README.txt": b"/etc/hostname"}, external_attr=link)),
        ("pipe", "neither a file nor a link", _archive(files, external_attr=pipe)),
        ("bzip2", "another compression", _archive(files, compress_type={"events.csv": zipfile.ZIP_BZIP2})),
        ("lzma", "another compression", _archive(files, compress_type={"README.txt": zipfile.ZIP_LZMA})),
        (
            "bomb",
            "evidence.json unpacks to more than it may have",
            zipped(files | {"evidence.json": _spaces(files, 64 << 20)}),
        ),
        ("bomb-sums", "SHA256SUMS does", zipped(files | {"SHA256SUMS": bytes((1 << 20) + 1)})),
        ("bomb-signature", "SHA256SUMS.sig does", zipped(files | {"SHA256SUMS.sig": bytes((1 << 20) + 1)})),
        ("bomb-vkey", "log.vkey does", zipped(files | {"log.vkey": bytes((1 << 20) + 1)})),
    ):
        yield Case(f"zip-{name}", description, 1, "bundle-format", archive=data)
    yield Case(
        "zip-twice", "a file is there twice, the same", 1, "bundle-format", archive=_twice(files, files["events.csv"])
    )
    forged = files["events.csv"].replace(b"u-0", b"u-9")
    yield Case(
        "zip-twice-other",
        "a file is there twice, the second another",
        1,
        "bundle-format",
        archive=_twice(files, forged),
    )
    yield Case("zip-in-folder", "the files are in a folder", 2, "unrecognised", archive=zipped(folder))
    yield Case("zip-empty", "a ZIP file without files", 2, "unrecognised", archive=zipped({}))
    yield Case("zip-other", "a ZIP file of something else", 2, "unrecognised", archive=zipped({"a.txt": b"a"}))
    yield Case("zip-none", "not a ZIP file", 2, "unrecognised", archive=b"PK\x03\x04 no more than that")
    yield Case("zip-csv", "events.csv itself", 2, "unrecognised", archive=files["events.csv"])
    rows = files["events.csv"].replace(b"REPORT_EXPORTED", b"LOGIN", 1)
    yield Case("zip-altered", "an altered row", 1, "integrity-hash", archive=zipped(files | {"events.csv": rows}))
    large = files | {"log.vkey": bytes((1 << 20) + 1)}
    yield Case("folder-large-vkey", "log.vkey is too large", 1, "bundle-format", files=large)


def _spaces(files: Files, size: int) -> bytes:
    return files["evidence.json"].ljust(size + 1)


def _twice(files: Files, data: bytes) -> bytes:
    """A ZIP file whose last entry has the name of another: written under one as long, and renamed."""
    return zipped(files | {"events.cs_": data}).replace(b"events.cs_", b"events.csv")


def _broken_archives(files: Files) -> Iterator[Case]:
    whole = zipped(files, method=zipfile.ZIP_STORED)
    at = whole.index(b"acme,")
    central = whole.index(b"PK\x01\x02")
    yield Case(
        "zip-crc",
        "a byte that is not the one whose sum is there",
        1,
        "bundle-format",
        archive=_patched(whole, at, b"A"),
    )
    packed = zipped(files)
    start = packed.index(b"events.csv") + len("events.csv")
    broken = _patched(packed, start + 40, bytes(8))
    yield Case("zip-deflate", "damaged in the compressed bytes", 1, "bundle-format", archive=broken)
    shorter = _with_size(whole, "events.csv", -10)
    yield Case("zip-size-lies", "a file that is larger than it says", 1, "bundle-format", archive=shorter)
    flags = central + 8
    encrypted = _patched(whole, flags, struct.pack("<H", 1))
    yield Case("zip-encrypted", "marked as encrypted", 1, "bundle-format", archive=encrypted)
    name = whole.index(b"README.txt")
    renamed = _patched(whole, name, b"ReADME.txt")
    yield Case(
        "zip-two-names", "another name in front of the bytes than in the list", 1, "bundle-format", archive=renamed
    )
    flagged = _patched(whole, 6, struct.pack("<H", 1 << 3))
    yield Case("zip-two-flags", "other flags", 1, "bundle-format", archive=flagged)
    listed = packed.index(b"PK\x01\x02")
    (size,) = struct.unpack_from("<I", packed, listed + 20)
    sharing = _patched(packed, listed + 20, struct.pack("<I", size + 2))
    yield Case("zip-shared-bytes", "a file that reaches into the next", 1, "bundle-format", archive=sharing)
    yield Case(
        "zip-longer", "a file unpacks to more than is listed", 1, "bundle-format", archive=_appended(files, hidden=True)
    )
    yield Case(
        "zip-tail",
        "something behind a file's compressed bytes",
        1,
        "bundle-format",
        archive=_appended(files, hidden=False),
    )
    cut = whole[: len(whole) - 30]
    yield Case("zip-cut", "cut off", 2, "unrecognised", archive=cut)
    yield Case("zip-commented", "with a comment at its end", 0, "ok", archive=_commented(files))
    yield Case("zip-prefixed", "with bytes in front", 0, "ok", archive=b"#!/bin/sh\n" + whole)
    yield Case("zip-followed", "with bytes behind its end", 0, "ok", archive=packed + b"\r\n")
    ended = _patched(whole, len(whole) - 2, struct.pack("<H", 22)) + b"PK\x05\x06" + bytes(18)
    yield Case("zip-two-ends", "another end in its comment, which lists no file", 2, "unrecognised", archive=ended)
    yield Case("zip-no-end", "the first bytes of an end, and no more", 2, "unrecognised", archive=whole + b"PK\x05\x06")
    yield Case(
        "zip-stored-tail",
        "something behind the bytes of a file that is not compressed",
        1,
        "bundle-format",
        archive=_behind_stored(files),
    )


def _patched(data: bytes, at: int, patch: bytes) -> bytes:
    return data[:at] + patch + data[at + len(patch) :]


def _with_size(archive: bytes, name: str, change: int) -> bytes:
    """A ZIP file in whose list (and local header) a stored file has another size than it has."""
    for marker, sizes in ((b"PK\x03\x04", 18), (b"PK\x01\x02", 20)):
        names = 30 if marker.endswith(b"\x04") else 46
        at = archive.index(marker)
        while archive[at + names : at + names + len(name)] != name.encode():
            at = archive.index(marker, at + 1)
        compressed, size = struct.unpack_from("<II", archive, at + sizes)
        archive = _patched(archive, at + sizes, struct.pack("<II", compressed + change, size + change))
    return archive


def _appended(files: Files, *, hidden: bool) -> bytes:
    """A ZIP file whose last file has more compressed bytes than make its content: more content, or no content."""
    output, name = io.BytesIO(), "README.txt"
    with zipfile.ZipFile(output, "w") as archive:
        for other in sorted(files, key=lambda other: other == name):
            packing = zlib.compressobj(wbits=-15)
            data = packing.compress(files[other] + (b"more" if hidden and other == name else b"")) + packing.flush()
            data += b"more" if not hidden and other == name else b""
            archive.writestr(zipfile.ZipInfo(other), data)
            entry = archive.filelist[-1]
            entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, len(files[other])
            entry.compress_size, entry.CRC = len(data), zlib.crc32(files[other])
    made = output.getvalue()
    for entry in archive.filelist:  # the headers before the bytes were written without that
        fields = struct.pack("<HHHIII", zipfile.ZIP_DEFLATED, 0, 33, entry.CRC, entry.compress_size, entry.file_size)
        made = _patched(made, entry.header_offset + 8, fields)
    return made


def _behind_stored(files: Files) -> bytes:
    """A ZIP file whose stored files have four bytes more in it than the list says that they unpack to."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data + b"more")
            entry = archive.filelist[-1]
            entry.file_size, entry.CRC = len(data), zlib.crc32(data)
    made = output.getvalue()
    for entry in archive.filelist:  # as in front of the bytes
        made = _patched(made, entry.header_offset + 14, struct.pack("<I", entry.CRC))
        made = _patched(made, entry.header_offset + 22, struct.pack("<I", entry.file_size))
    return made


def _commented(files: Files) -> bytes:
    output = io.BytesIO(zipped(files))
    with zipfile.ZipFile(output, "a") as archive:
        archive.comment = b"for the auditor"
    return output.getvalue()
