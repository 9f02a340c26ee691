"""Bundles: the page agrees with the corpus case by case, and reads CSV and ZIP as strictly as they are specified."""

import csv
import io
import random
import struct
import zipfile

import pytest

from lumi_pipeline.events import COLUMNS
from tests.evidence.corpus import Case, cases
from tests.evidence.corpus.bundle import bundle
from tests.evidence.corpus.case import PINNED, zipped
from tests.evidence.corpus.csvfile import events_csv
from tests.evidence.corpus.world import WITNESS, World, chains, standard
from tests.pages.conftest import Verifier

GOOD = bundle(World(chains(), witnesses=(WITNESS,)).publish()).files()


def _groups() -> list[list[Case]]:
    """The corpus, some cases at a time: a case alone is quicker than a test."""
    every = cases()
    return [every[i : i + 60] for i in range(0, len(every), 60)]


@pytest.mark.slow
def test_every_case_of_the_corpus_is_judged_as_it_must_be(verifier: Verifier) -> None:
    wrong = []
    for group in _groups():
        verdicts = verifier.ask(
            """async (cases) => {
              const verdicts = [];
              for (const { name, files, archive, keys } of cases) {
                verdicts.push(await judgeFiles(name, files, archive, keys));
              }
              return verdicts;
            }""",
            [{"name": case.name, "files": case.files, "archive": case.archive, "keys": case.keys} for case in group],
        )
        for case, verdict in zip(group, verdicts, strict=True):
            if (verdict["exitCode"], verdict["reason"]) != (case.exit_code, case.reason):
                wrong.append((case.name, case.reason, verdict["reason"], verdict["message"]))
    assert not wrong


def test_a_verdict_tells_what_was_checked(verifier: Verifier) -> None:
    verdict = verifier.judge(GOOD, keys=[*PINNED, WITNESS.vkey])
    assert verdict["reason"] == "ok"
    assert (verdict["tenantId"], verdict["from"], verdict["to"]) == ("acme", "2026-11-01", "2026-11-04")
    assert (verdict["rows"], verdict["size"], verdict["splitViewExcluded"]) == (13, "9", True)
    assert [(day["kind"], day["count"], day["verdict"]) for day in verdict["days"]] == [
        ("events", "5", "holds"),
        ("idle", "0", "holds"),
        ("events", "6", "holds"),
        ("events", "2", "holds"),
    ]
    assert all(day["witness"] == WITNESS.name and day["delay"] > 0 for day in verdict["days"])
    assert verdict["signers"][0]["vkey"] == PINNED[0]
    assert verdict["evidenceSigners"][0]["vkey"].startswith("audit.example.org/corpus/evidence+")


def test_findings_name_the_rows_with_all_their_columns(verifier: Verifier) -> None:
    honest = bundle(standard())
    changed = honest.copy()
    changed.rows[2]["actor_id"] = "u-<b>nobody</b>"
    changed.rows.pop(7)
    verdict = verifier.judge(changed.files(), keys=PINNED)
    assert (verdict["reason"], verdict["counts"]["row-missing"]) == ("integrity-hash", 1)
    found = next(item for item in verdict["findings"] if item["reason"] == "integrity-hash")
    assert (found["seq"], found["record"], found["day"]) == (changed.rows[2]["seq"], 4, "2026-11-01")
    assert dict(zip(COLUMNS, found["cells"], strict=True)) == {name: changed.rows[2][name] for name in COLUMNS}
    assert [day["verdict"] for day in verdict["days"]] == ["problem", "holds", "problem", "holds"]


def test_other_files_of_a_folder_are_named_and_passed_over(verifier: Verifier) -> None:
    verdict = verifier.judge({**GOOD, "notes.txt": b"mine", "old/events.csv": b"x"}, keys=PINNED)
    assert (verdict["reason"], verdict["ignored"]) == ("ok", ["notes.txt", "old/events.csv"])
    assert verifier.judge({"notes.txt": b"mine"}, keys=PINNED)["reason"] == "unrecognised"


def test_a_file_of_a_bundle_alone_is_told_what_is_missing(verifier: Verifier) -> None:
    verdict = verifier.judge(None, GOOD["events.csv"], PINNED, "events.csv")
    assert verdict["reason"] == "missing-file"
    assert "evidence.json" in verdict["message"]
    assert verifier.judge(None, b"hello", PINNED, "letter.txt")["exitCode"] == 2


def test_a_year_of_days_with_the_browsers_help_and_without(verifier: Verifier) -> None:
    verdicts = verifier.ask(
        """async (files, keys) => {
          const first = await judgeFiles("with", files, null, keys);
          const before = hasNativeEd25519;
          hasNativeEd25519 = false;
          const second = await judgeFiles("without", files, null, keys);
          hasNativeEd25519 = before;
          return [first.reason, second.reason];
        }""",
        GOOD,
        [*PINNED, WITNESS.vkey],
    )
    assert verdicts == ["ok", "ok"]


SPLIT = """(pieces) => {
  const rows = [];
  const reader = new CsvReader(3, (csv) => rows.push([0, 1, 2].map((cell) => csv.text(cell))));
  try {
    for (const piece of pieces) reader.push(bytesOf(piece));
    reader.end();
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    return [rows.length, error.reason];
  }
  return rows;
}"""


def test_cells_are_the_same_wherever_the_file_is_cut_into_pieces(verifier: Verifier) -> None:
    data = 'a,b,c\r\n,"",x\r\n"a ""b"" c","line\r\n2",\'=1\r\n"",é日🎉,"\'+"\r\n'.encode()
    rows = [["a", "b", "c"], [None, "", "x"], ['a "b" c', "line\r\n2", "=1"], ["", "é日🎉", "+"]]
    cuts = [[data[:at], data[at:]] for at in range(len(data))]
    cuts.append([data[at : at + 1] for at in range(len(data))])
    assert verifier.ask(f"(cuts) => cuts.map({SPLIT})", cuts) == [rows] * len(cuts)


def test_what_pythons_csv_writer_writes_is_read_back(verifier: Verifier) -> None:
    chance = random.Random(7)
    texts = ["", " ", "x", '"', '""', ",", "\r\n", "\n", "\r", "é", "\U0001f600", "a'b", "x" * 300, "0", "ﬀ"]
    rows = [[chance.choice(texts) + chance.choice(texts) + "." for _ in range(3)] for _ in range(60)]
    rows = [["." + cell for cell in row] for row in rows]  # so that no cell begins like a formula
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    assert verifier.ask(SPLIT, [out.getvalue().encode()]) == rows


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"a,b,c\r\na,b,c", [1, "csv-format"]),
        (b"a,b,c\r\na,b,c\r", [1, "csv-format"]),
        (b"a,b,c\r\na,b,c\n", [1, "csv-resaved"]),
        (b"a,b,c\n", [0, "csv-resaved"]),
        (b'a,b,"c\r\n', [0, "csv-format"]),
        (b'a,b"b,c\r\n', [0, "csv-format"]),
        (b'a,"b"b,c\r\n', [0, "csv-format"]),
        (b"a,b\rb,c\r\n", [0, "csv-format"]),
        (b"a,b,c\r\na,b\r\n", [1, "csv-format"]),
        (b"a,b,c\r\na,b,c,d\r\n", [1, "csv-format"]),
        (b"a,b,c\r\n\r\n", [1, "csv-format"]),
        (b"", [0, "csv-format"]),
        (b"\xef\xbb\xbfa,b,c\r\n", [0, "csv-resaved"]),
        (b"\xff\xfea\0,\0", [0, "csv-resaved"]),
        (b"a;b;c\r\n", [0, "csv-resaved"]),
        (b'"a";"b";"c"\r\n', [0, "csv-resaved"]),
        (b"a\tb\tc\n", [0, "csv-resaved"]),
        (b"a,b,c\r\na,\0,c\r\n", [1, "csv-format"]),
        (b"a,b,c\r\na,\xff,c\r\n", [1, "csv-format"]),
        (b"a,b,c\r\na,\xed\xa0\x80,c\r\n", [1, "csv-format"]),
        (b"a,b,c\r\na,=b,c\r\n", [1, "csv-format"]),
        (b'a,b,c\r\na,"\tb",c\r\n', [1, "csv-format"]),
        (b"a,b,c\r\na,'b,c\r\n", [1, "csv-format"]),
        (b"a,b,c\r\na,',c\r\n", [1, "csv-format"]),
        ("a,b,c\r\na,\uff1d1,c\r\n".encode(), [1, "csv-format"]),
        ("a,b,c\r\na,'\uff1d1,''\r\n".encode(), [["a", "b", "c"], ["a", "\uff1d1", "'"]]),
        ("a,b,c\r\na,\uff1e1,'''\r\n".encode(), [["a", "b", "c"], ["a", "\uff1e1", "''"]]),
    ],
)
def test_csv_has_one_form(verifier: Verifier, data: bytes, verdict: list[object]) -> None:
    assert verifier.ask(SPLIT, [data]) == verdict


def test_a_record_without_an_end_is_refused_before_it_fills_the_memory(verifier: Verifier) -> None:
    found = verifier.ask(
        """() => {
          const reader = new CsvReader(3, () => {});
          const piece = new Uint8Array(1 << 20).fill(0x61);
          reader.push(utf8("a,b,c\\r\\n"));
          for (let pushed = 1; ; pushed++) {
            try {
              reader.push(piece);
            } catch (error) {
              return [pushed, error.reason];
            }
          }
        }"""
    )
    assert found == [17, "csv-format"]


def _archive(**entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def _with(change: dict[int, bytes], signature: bytes = b"PK\x01\x02") -> bytes:
    """The good ZIP file with bytes changed, counted from its first header of this kind."""
    data = bytearray(zipped(GOOD))
    at = data.index(signature)
    for offset, new in change.items():
        data[at + offset : at + offset + len(new)] = new
    return bytes(data)


def _damaged() -> bytes:
    data = bytearray(zipped(GOOD, zipfile.ZIP_STORED))
    data[data.index(b"RECOMMENDATION")] ^= 1
    return bytes(data)


def _zip64() -> bytes:
    """As a program writes it that does not know sizes in advance: ZIP64 fields, and data descriptors."""

    class Stream(io.RawIOBase):
        """Something that can't be sought."""

        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(data)  # type: ignore[arg-type]

    out = Stream()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in GOOD.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as entry:
                entry.write(data)
    return out.data


def _link() -> bytes:
    info = zipfile.ZipInfo("README.txt")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    out = io.BytesIO(zipped({name: data for name, data in GOOD.items() if name != "README.txt"}))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(info, "/etc/passwd")
    return out.getvalue()


ZIPS = {
    "deflated": (zipped(GOOD), "ok"),
    "stored": (zipped(GOOD, zipfile.ZIP_STORED), "ok"),
    "zip64": (_zip64(), "ok"),
    "in-a-folder": (zipped({f"evidence/{name}": data for name, data in GOOD.items()}), "unrecognised"),
    "something-else": (zipped({"notes.txt": b"x"}), "unrecognised"),
    "one-more-file": (zipped({**GOOD, "notes.txt": b"x"}), "bundle-format"),
    "bzip2": (zipped(GOOD, zipfile.ZIP_BZIP2), "bundle-format"),
    "damaged": (_damaged(), "bundle-format"),
    "encrypted": (_with({8: b"\x01\x00"}), "bundle-format"),
    "another-local-name": (_with({30: b"X"}, b"PK\x03\x04"), "bundle-format"),
    "another-crc": (_with({16: b"\0\0\0\0"}), "bundle-format"),
    "another-size": (_with({24: struct.pack("<I", 5)}), "bundle-format"),
    "huge-claim": (_with({24: struct.pack("<I", 0xFFFFFFFE)}), "bundle-format"),
    "one-place-for-two": (_with({42: struct.pack("<I", zipped(GOOD).index(b"PK\x03\x04", 4))}), "bundle-format"),
    "link": (_link(), "bundle-format"),
    "cut-off": (zipped(GOOD)[:-30], "unrecognised"),
    "many": (_archive(**{"events.csv": b""}, **{f"f{i}": b"" for i in range(20)}), "bundle-format"),
}  # fmt: skip


@pytest.mark.parametrize("name", ZIPS)
def test_a_zip_file_holds_the_bundle_and_nothing_else(verifier: Verifier, name: str) -> None:
    archive, reason = ZIPS[name]
    assert verifier.judge(None, archive, PINNED, "bundle.zip")["reason"] == reason


def test_random_damage_to_a_zip_file_is_never_more_than_a_verdict(verifier: Verifier) -> None:
    chance = random.Random(8)
    archive = zipped(GOOD)
    reasons = set()
    for _ in range(60):
        damaged = bytearray(archive)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        reasons.add(verifier.judge(None, bytes(damaged), PINNED, "bundle.zip")["reason"])
    assert reasons <= {"ok", "bundle-format", "unrecognised", "missing-file"}


def test_searching_finds_rows_by_the_text_of_any_cell(verifier: Verifier) -> None:
    rows = [{**row, "entity_id": f'Größe "{i}",\r\n'} for i, row in enumerate(bundle(standard()).rows)]
    search = """(csv, query) =>
      searchRows({ files: [{ path: "events.csv", file: chosen(csv) }] }, query, 2)"""
    assert verifier.ask(search, events_csv(rows), 'gröSSe "1')["total"] == 0
    found = verifier.ask(search, events_csv(rows), 'größe "1')
    assert (found["total"], [row["record"] for row in found["rows"]]) == (4, [3, 12])
