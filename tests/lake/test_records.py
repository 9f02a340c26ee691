"""Records, manifests and the private commit objects: their exact bytes, and that nothing else is taken for them."""

import hashlib
import json
from collections.abc import Iterator
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.acknowledging import break_report
from lumi_pipeline.chain import Break, BreakKind
from lumi_pipeline.errors import LumiError, RecordError
from lumi_pipeline.hashing import tenant_key
from lumi_pipeline.landings import Landing, landing_key
from lumi_pipeline.records import Manifest, StoredFile, TenantDay
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from lumi_pipeline.tenantdays import DayTenants, SealedTenant
from transparency.encoding import canonical_json

RECORD = TenantDay(
    day=date(2026, 11, 21),
    key=tenant_key("acme"),
    first=5,
    count=2,
    next=7,
    root=b"\x01" * 32,
    head_before=b"\x02" * 32,
    head_after=b"\x03" * 32,
    breaks=0,
)
RECORD_TEXT = (
    "lumi/tenant-day/v1\n"
    "day 2026-11-21\n"
    "tenant 17d55e6c597ca36790941ca10c654a98bb63b25a63444469240ee3ac9ffb10f5\n"
    "first 5\n"
    "count 2\n"
    "next 7\n"
    "root AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
    f"head-before {'02' * 32}\n"
    f"head-after {'03' * 32}\n"
    "breaks 0\n"
)
FILE = StoredFile("events/day=2026-11-21/part-00000-0011.parquet", 4096, 7, "ab" * 32)
MANIFEST = Manifest(date(2026, 11, 21), 7, 2, 0, (FILE,), {"lumi-pipeline": "0.1.0"})
MANIFEST_TEXT = (
    '{"breaks":0,"day":"2026-11-21","events":"7","files":[{"bytes":"4096",'
    f'"path":"events/day=2026-11-21/part-00000-0011.parquet","rows":"7","sha256":"{"ab" * 32}"}}],'
    '"format":"lumi/manifest/v1","software":{"lumi-pipeline":"0.1.0"},"tenants":"2"}\n'
)
LANDING = Landing(
    3, "5eed", "cd" * 32, (FILE,), StoredFile("landed/000000000003/tenants.parquet", 9, 1, "ef" * 32), None
)

days = st.dates()
hashes = st.binary(min_size=32, max_size=32)
counts = st.integers(0, 2**63 - 1)
tenant_days = st.builds(TenantDay, days, hashes, counts, counts, counts, hashes, hashes, hashes, counts)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
files = st.builds(StoredFile, names, counts, counts, hashes.map(bytes.hex))
manifests = st.builds(
    Manifest,
    days,
    counts,
    counts,
    st.integers(0, 2**53 - 1),
    st.lists(files, max_size=4, unique_by=lambda file: file.path).map(lambda found: tuple(sorted(found))),
    st.dictionaries(names, names, max_size=3),
)


def test_a_tenant_day_records_exact_bytes() -> None:
    assert RECORD.encode().decode() == RECORD_TEXT
    assert TenantDay.parse(RECORD_TEXT.encode()) == RECORD


def test_a_manifests_exact_bytes() -> None:
    assert MANIFEST.encode().decode() == MANIFEST_TEXT
    assert Manifest.parse(MANIFEST_TEXT.encode()) == MANIFEST


@given(tenant_days)
def test_tenant_day_records_survive_a_round_trip(record: TenantDay) -> None:
    assert TenantDay.parse(record.encode()) == record


@given(manifests)
def test_manifests_survive_a_round_trip(manifest: Manifest) -> None:
    assert Manifest.parse(manifest.encode()) == manifest


def _changed_lines(text: str) -> Iterator[str]:
    lines = text.split("\n")
    for number, line in enumerate(lines):
        before, after = lines[:number], lines[number + 1 :]
        name, _, value = line.partition(" ")
        for other in (
            [],
            [line, line],
            [line + " "],
            [line + "\r"],
            [" " + line],
            [name],
            [f"{name}  {value}"],
            [f"{name}\t{value}"],
            [f"{name} "],
            [f"{name} 0{value}"],
            [f"{name} +{value}"],
            [f"{name} -{value}"],
            [f"{name} {value.upper()}"],
            [f"{name} {value}="],
            [f"{name} {value[:-1]}"],
            [f"{name} {2**63}"],
            [f"{name} {2**63 - 1}"],
            [f"{name} 1.0"],
            [f"{name} \N{ARABIC-INDIC DIGIT ONE}"],
            [f"{name} null"],
            [f"{name.upper()} {value}"],
            [line, "more 1"],
        ):
            yield "\n".join([*before, *other, *after])
    yield "\ufeff" + text
    yield text * 2
    yield text[:-1]
    yield text.replace("\n", "\r\n")


def test_only_exact_tenant_day_records_are_read() -> None:
    largest = 2**63 - 1
    for text in _changed_lines(RECORD_TEXT):
        # Of all these changes, only another number in the place of a number leaves a record.
        numbers = [f"\n{name} {largest}\n" for name in ("first", "count", "next", "breaks")]
        assert _is_exact(text.encode()) is (text == RECORD_TEXT or any(line in text for line in numbers)), text
    for data in (b"", b"\n", b"lumi/tenant-day/v1\n", b"\xff", b"\0" * 100, b"x" * 3000, b"\n" * 2000):
        assert not _is_exact(data)


def _is_exact(data: bytes) -> bool:
    """Whether the bytes are a record in form (and then exactly what that record is written as), or are refused."""
    try:
        record = TenantDay.parse(data)
    except RecordError:
        return False
    assert record.encode() == data
    assert (record == RECORD) is (data == RECORD_TEXT.encode())
    return True


@settings(max_examples=150)
@given(st.data())
def test_damaged_tenant_day_records_are_refused_or_others(data: st.DataObject) -> None:
    text = bytearray(RECORD_TEXT.encode())
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.integers(0, 255))
    _is_exact(bytes(text))


def test_an_unbroken_record_adds_up() -> None:
    assert RECORD.unbroken
    assert not TenantDay.parse(RECORD_TEXT.replace("breaks 0", "breaks 1").encode()).unbroken
    assert not TenantDay.parse(RECORD_TEXT.replace("count 2", "count 3").encode()).unbroken


MANIFEST_VALUE = json.loads(MANIFEST_TEXT)
OTHERS = (None, True, -1, 1, "1", "01", "-1", "", [], {}, 2**53, "9223372036854775808", "2026-02-30", "AB" * 32, ["x"])


def _manifest(**changes: object) -> bytes:
    return canonical_json({**MANIFEST_VALUE, **changes}).encode() + b"\n"  # type: ignore[dict-item]


@pytest.mark.parametrize("field", MANIFEST_VALUE)
def test_only_exact_manifests_are_read(field: str) -> None:
    for other in OTHERS:
        try:
            data = _manifest(**{field: other})
            manifest = Manifest.parse(data)
        except LumiError as error:
            assert str(error)  # noqa: PT017 - or parsed
        else:
            assert manifest.encode() == data
    missing = {name: value for name, value in MANIFEST_VALUE.items() if name != field}
    with pytest.raises(RecordError, match="not a manifest"):
        Manifest.parse(canonical_json(missing).encode() + b"\n")


@pytest.mark.parametrize("field", MANIFEST_VALUE["files"][0])
def test_only_exact_files_are_read(field: str) -> None:
    file = MANIFEST_VALUE["files"][0]
    for other in OTHERS:
        if field == "path" and isinstance(other, str):
            continue
        if field in {"bytes", "rows"} and other == "1":
            continue
        with pytest.raises(LumiError):
            Manifest.parse(_manifest(files=[{**file, field: other}]))
    with pytest.raises(RecordError):
        Manifest.parse(_manifest(files=[{name: value for name, value in file.items() if name != field}]))


def test_a_manifests_files_are_sorted_and_each_there_once() -> None:
    file = MANIFEST_VALUE["files"][0]
    first, second = {**file, "path": "a"}, {**file, "path": "b"}
    assert [found.path for found in Manifest.parse(_manifest(files=[first, second])).files] == ["a", "b"]
    for wrong in ([second, first], [first, first], [first, {**first, "rows": "8"}]):
        with pytest.raises(RecordError, match="sorted by path, each once"):
            Manifest.parse(_manifest(files=wrong))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        MANIFEST_TEXT[:-1].encode(),
        MANIFEST_TEXT.encode() + b"\n",
        MANIFEST_TEXT.replace(":", ": ", 1).encode(),
        MANIFEST_TEXT.replace('"breaks":0,', '"breaks":0,"breaks":0,', 1).encode(),
        MANIFEST_TEXT.replace('"breaks":0', '"breaks":0.0', 1).encode(),
        MANIFEST_TEXT.replace('"breaks":0', '"breaks":00', 1).encode(),
        MANIFEST_TEXT.replace('{"breaks"', '{"Breaks"', 1).encode(),
        b"\xef\xbb\xbf" + MANIFEST_TEXT.encode(),
        MANIFEST_TEXT.encode("utf-16"),
        b"[" * 5000 + b"\n",
    ],
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(RecordError, match="not a manifest"):
        Manifest.parse(data)


def test_commit_objects_carry_a_digest_that_finds_every_changed_byte() -> None:
    fields = frozenset({"number", "text"})
    data = encode_sealed("test/v1", {"number": 1, "text": "ä\n"})
    assert parse_sealed("test/v1", data, fields, "it") == {"number": 1, "text": "ä\n", "format": "test/v1"}
    for place in range(len(data)):
        for byte in (data[place] ^ 1, data[place] ^ 0x20):
            with pytest.raises(RecordError, match=r"^it was altered"):
                parse_sealed("test/v1", data[:place] + bytes([byte]) + data[place + 1 :], fields, "it")
        with pytest.raises(RecordError, match=r"^it was altered"):
            parse_sealed("test/v1", data[:place], fields, "it")
    for other in (b"", b"null\n", b"[]\n", b'{"digest":1}\n', data + b"\n", data[:-1], b" " + data):
        with pytest.raises(RecordError, match=r"^it was altered"):
            parse_sealed("test/v1", other, fields, "it")
    with pytest.raises(RecordError, match="it is not a test/v2 object"):
        parse_sealed("test/v2", data, fields, "it")
    with pytest.raises(RecordError):
        parse_sealed("test/v1", data, fields | {"more"}, "it")
    with pytest.raises(RecordError):
        parse_sealed("test/v1", data, frozenset({"number"}), "it")


def test_a_landing_is_read_back_only_under_its_own_number() -> None:
    assert Landing.parse(LANDING.encode(), landing_key(3)) == LANDING
    assert landing_key(3) == "landings/000000000003.json"
    with pytest.raises(RecordError, match="describes another landing"):
        Landing.parse(LANDING.encode(), landing_key(4))


@pytest.mark.parametrize("field", ["breaks", "files", "number", "previous", "system_id", "tenants"])
def test_a_landing_whose_digest_fits_is_still_checked(field: str) -> None:
    value = json.loads(LANDING.encode())
    del value["digest"], value["format"]
    fine = {"breaks": [None], "files": [[]], "previous": ["x"], "system_id": ["x"]}.get(field, [])
    for other in (None, True, 1, "x", [], {}, [1], [None], {"path": 1}):
        if other in fine:
            continue
        with pytest.raises(LumiError):
            Landing.parse(encode_sealed("lumi/landing/v1", {**value, field: other}), landing_key(3))


def test_a_report_of_breaks_is_canonical_and_named_by_its_bytes() -> None:
    broken = Break("acme", 3, BreakKind.LINK, "aa", "bb")
    report = break_report(date(2026, 11, 21), [broken])
    assert report.data.decode() == (
        '{"breaks":[{"expected":"aa","found":"bb","kind":"link","seq":"3","tenant":"acme"}],'
        '"day":"2026-11-21","format":"lumi/breaks/v1"}\n'
    )
    assert report.sha256 == hashlib.sha256(report.data).hexdigest()
    assert report.key == f"seals/day=2026-11-21/breaks-{report.sha256}.json"
    again = break_report(date(2026, 11, 22), [broken])
    assert again.sha256 != report.sha256


def test_a_days_map_commits_to_every_byte_of_every_record() -> None:
    records = {
        "acme": RECORD,
        "globex": TenantDay.parse(RECORD.encode().replace(RECORD.key.hex().encode(), b"0f" * 32)),
    }
    tenants = {name: SealedTenant(name, bytes(16), record) for name, record in records.items()}
    root = DayTenants(RECORD.day, tenants, 0).tenant_map().root
    for name in tenants:
        fewer = {other: tenant for other, tenant in tenants.items() if other != name}
        assert DayTenants(RECORD.day, fewer, 0).tenant_map().root != root
    for changed in ("count 3", "breaks 1", "first 4"):
        field = changed.split(" ", maxsplit=1)[0]
        (line,) = [line for line in RECORD_TEXT.split("\n") if line.startswith(field)]
        other = TenantDay.parse(RECORD_TEXT.replace(line, changed).encode())
        replaced = {**tenants, "acme": SealedTenant("acme", bytes(16), other)}
        assert DayTenants(RECORD.day, replaced, 0).tenant_map().root != root
    # Where landings go on from, and the chain's id, are private bookkeeping and outside the map.
    assert DayTenants(RECORD.day, tenants, 9).tenant_map().root == root
