"""Genesis and day records (docs/formats.md): one form, every field checked."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.entries import DayRecord, Genesis, PreviousLog, day_at, day_index, evidence_key_name
from transparency.errors import EntryError
from transparency.keys import ALG_COSIGNATURE, SigningKey, VerifierKey

LOG: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())["log"]
GENESIS_TEXT, DAY_TEXT, ANNOUNCING_TEXT = LOG["entries"]
ORIGIN = "audit.example.com/lumi"
KEY = VerifierKey.parse(LOG["vkey"])
EVIDENCE = VerifierKey.parse(LOG["evidence_vkey"])
OTHER = SigningKey(ORIGIN, bytes(32)).verifier
OTHER_EVIDENCE = SigningKey(evidence_key_name(ORIGIN), b"\x01" * 32).verifier
ZERO = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
RECORD = DayRecord(ORIGIN, date(2026, 11, 21), 1, bytes(32), bytes(32), 0, datetime(2026, 11, 22, 0, 15, 3, tzinfo=UTC))


def test_reference_vectors() -> None:
    genesis = Genesis.parse(GENESIS_TEXT.encode())
    assert genesis == Genesis(ORIGIN, date(2026, 11, 21), KEY, EVIDENCE)
    assert genesis.encode() == GENESIS_TEXT.encode()
    record = DayRecord.parse(DAY_TEXT.encode())
    assert (record.day, record.index, record.breaks) == (date(2026, 11, 21), 1, 0)
    assert record.sealed == datetime(2026, 11, 22, 0, 15, 3, tzinfo=UTC)
    assert record.encode() == DAY_TEXT.encode()
    announcing = DayRecord.parse(ANNOUNCING_TEXT.encode())
    assert announcing.next_key == VerifierKey.parse(LOG["next_vkey"])
    assert announcing.next_evidence_key is None
    assert announcing.encode() == ANNOUNCING_TEXT.encode()


@st.composite
def day_records(draw: st.DrawFn) -> DayRecord:
    day = draw(st.dates(max_value=date.max - timedelta(days=1)))
    midnight = datetime(day.year, day.month, day.day) + timedelta(days=1)  # noqa: DTZ001
    return DayRecord(
        ORIGIN,
        day,
        draw(st.integers(1, 2**63 - 1)),
        draw(st.binary(min_size=32, max_size=32)),
        draw(st.binary(min_size=32, max_size=32)),
        draw(st.integers(0, 2**63 - 1)),
        draw(st.datetimes(min_value=midnight, timezones=st.just(UTC))),
        draw(st.sampled_from([None, OTHER])),
        draw(st.sampled_from([None, OTHER_EVIDENCE])),
    )


@given(day_records())
def test_day_records_round_trip(record: DayRecord) -> None:
    assert DayRecord.parse(record.encode()) == record


@given(
    st.dates(),
    st.none() | st.builds(PreviousLog, st.just("old.example"), st.integers(1, 2**63 - 1), st.just(bytes(32))),
)
def test_genesis_round_trip(first_day: date, previous: PreviousLog | None) -> None:
    genesis = Genesis(ORIGIN, first_day, KEY, EVIDENCE, previous)
    assert Genesis.parse(genesis.encode()) == genesis


def test_both_announcements_in_order() -> None:
    record = replace(RECORD, next_key=OTHER, next_evidence_key=OTHER_EVIDENCE)
    lines = record.encode().decode().splitlines()
    assert [line.split(" ")[0] for line in lines[-2:]] == ["next-key", "next-evidence-key"]
    swapped = "\n".join([*lines[:-2], lines[-1], lines[-2], ""])
    with pytest.raises(EntryError, match="line 10"):
        DayRecord.parse(swapped.encode())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lumi/log/v1", "lumi/log/v2", "line 1"),
        ("lumi/log/v1", "\ufefflumi/log/v1", "line 1"),
        ("\n", "\r\n", "line 1"),
        ("origin audit", "origin  audit", "origin"),
        ("origin audit", "origin\taudit", "line 2"),
        ("origin audit.example.com/lumi", "origin other.example.com", "must be named"),
        ("origin audit.example.com/lumi", "origin ", "origin"),
        ("origin audit.example.com/lumi", "origin", "line 2"),
        ("origin audit.example.com/lumi\n", "", "line 2"),
        ("first-day 2026-11-21", "first-day 2026-11-31", "no such day"),
        ("first-day 2026-11-21", "first-day 2026-11-21 ", "first-day"),
        ("first-day 2026-11-21", "first-day 21.11.2026", "first-day"),
        ("first-day 2026-11-21", "first-day 2026-11-21\nfirst-day 2026-11-21", "line 4"),
        ("first-day", "First-day", "line 3"),
        ("85b76073", "85b76074", "'key'"),
        (LOG["vkey"], LOG["evidence_vkey"], "'key' is named"),
        (LOG["evidence_vkey"], LOG["vkey"], "'evidence-key' is named"),
        (LOG["vkey"], LOG["witness_vkey"], "'key' is named"),
        (LOG["evidence_vkey"] + "\n", LOG["evidence_vkey"], "line feed"),
        (LOG["evidence_vkey"] + "\n", LOG["evidence_vkey"] + "\n\n", "line 6"),
        (f"evidence-key {LOG['evidence_vkey']}\n", "", "no 'evidence-key' line"),
        (LOG["evidence_vkey"] + "\n", LOG["evidence_vkey"] + "\nnext-key x\n", "line 6"),
        (LOG["evidence_vkey"] + "\n", LOG["evidence_vkey"] + "\nprevious old 0 " + ZERO + "\n", "at least one entry"),
        (LOG["evidence_vkey"] + "\n", LOG["evidence_vkey"] + "\nprevious old 01 " + ZERO + "\n", "previous"),
        (LOG["evidence_vkey"] + "\n", LOG["evidence_vkey"] + "\nprevious old 1 AAAA\n", "previous"),
        (LOG["evidence_vkey"] + "\n", LOG["evidence_vkey"] + "\nprevious o+d 1 " + ZERO + "\n", "previous"),
        (LOG["evidence_vkey"] + "\n", LOG["evidence_vkey"] + "\nprevious old 1\n", "origin, size and root"),
        (
            LOG["evidence_vkey"] + "\n",
            LOG["evidence_vkey"] + "\nprevious old 1 " + ZERO + " \n",
            "origin, size and root",
        ),
    ],
)
def test_malformed_genesis(old: str, new: str, message: str) -> None:
    assert old in GENESIS_TEXT
    with pytest.raises(EntryError) as caught:
        Genesis.parse(GENESIS_TEXT.replace(old, new).encode())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lumi/day/v1", "lumi/log/v1", "line 1"),
        ("origin audit.example.com/lumi\nday 2026-11-21", "day 2026-11-21\norigin audit.example.com/lumi", "line 2"),
        ("origin audit.example.com/lumi", "origin audit\u00a0example", "origin"),
        ("day 2026-11-21", "day 2026-02-29", "no such day"),
        ("index 1", "index 0", "1 or more"),
        ("index 1", "index 01", "index"),
        ("index 1", "index 9223372036854775808", "index"),
        ("index 1", "index -1", "index"),
        ("index 1\n", "", "line 4"),
        ("map 1e78", "map 1e7", "map"),
        (
            "map 1e78A6mg/9aRxujV/zirJTMH3RqANXqloBqO4nadON0=",
            "map 1e78A6mg/9aRxujV/zirJTMH3RqANXqloBqO4nadON1=",
            "canonical",
        ),
        ("map 1e78A6mg/", "map 1e78A6mg_", "base64"),
        ("breaks 0", "breaks +0", "breaks"),
        ("breaks 0", "breaks 0x0", "breaks"),
        ("breaks 0", "breaks 9223372036854775808", "breaks"),
        (
            "sealed 2026-11-22T00:15:03.000000Z",
            "sealed 2026-11-21T23:59:59.999999Z",
            "before the day 2026-11-21 has ended",
        ),
        ("sealed 2026-11-22T00:15:03.000000Z", "sealed 2026-11-22T00:15:03Z", "sealed"),
        ("sealed 2026-11-22T00:15:03.000000Z", "sealed 2026-11-22T00:15:60.000000Z", "no such time"),
        ("000Z\n", "000Z\nprevious x 1 y\n", "line 9"),
        ("000Z\n", f"000Z\nnext-key {LOG['next_vkey']}\nnext-key {LOG['next_vkey']}\n", "line 10"),
        ("000Z\n", f"000Z\nnext-key {LOG['evidence_vkey']}\n", "'next-key' is named"),
        ("000Z\n", f"000Z\nnext-evidence-key {LOG['next_vkey']}\n", "'next-evidence-key' is named"),
        ("000Z\n", "000Z\nnext-key \n", "next-key"),
    ],
)
def test_malformed_day_records(old: str, new: str, message: str) -> None:
    assert old in DAY_TEXT
    with pytest.raises(EntryError) as caught:
        DayRecord.parse(DAY_TEXT.replace(old, new).encode())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"lumi/day/v1\n", b"lumi/log/v1\n", b"\xff\n", b"lumi/log/v1", b"x" * 70_000]
)
def test_what_is_no_entry(data: bytes) -> None:
    for parse in (Genesis.parse, DayRecord.parse):
        with pytest.raises(EntryError):
            parse(data)


def test_a_day_can_be_sealed_at_midnight_sharp() -> None:
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    assert replace(RECORD, sealed=midnight).sealed == midnight
    with pytest.raises(EntryError, match="has ended"):
        replace(RECORD, sealed=midnight - timedelta(microseconds=1))


def test_the_last_day_of_the_calendar_cannot_be_sealed() -> None:
    with pytest.raises(EntryError):
        replace(RECORD, day=date.max, sealed=datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "o rigin"},
        {"index": 0},
        {"breaks": -1},
        {"map_root": bytes(31)},
        {"manifest": bytes(33)},
        {"sealed": datetime(2026, 11, 23)},  # noqa: DTZ001
        {"sealed": datetime(2026, 11, 23, tzinfo=timezone(timedelta(hours=1)))},
        {"next_key": KEY, "next_evidence_key": VerifierKey.of(evidence_key_name(ORIGIN), KEY.public)},
        {"next_key": VerifierKey.of(ORIGIN, KEY.public, ALG_COSIGNATURE)},
    ],
)
def test_no_record_is_made_that_could_not_be_read(change: dict[str, Any]) -> None:
    with pytest.raises(EntryError):
        replace(RECORD, **change)


def test_the_evidence_key_is_another_key() -> None:
    with pytest.raises(EntryError, match="the same key"):
        Genesis(ORIGIN, date(2026, 1, 1), KEY, VerifierKey.of(evidence_key_name(ORIGIN), KEY.public))


@given(st.dates(), st.integers(0, 10_000))
def test_the_day_fixes_the_index(first_day: date, days: int) -> None:
    days = min(days, (date.max - first_day).days)
    day = first_day + timedelta(days=days)
    assert day_index(first_day, day) == 1 + days
    assert day_at(first_day, 1 + days) == day


def test_days_outside_the_log() -> None:
    first = date(2026, 1, 1)
    with pytest.raises(EntryError, match="before the log's first day"):
        day_index(first, date(2025, 12, 31))
    for index in (0, -1, 2**62):
        with pytest.raises(EntryError):
            day_at(first, index)
    assert day_at(first, day_index(first, date.max)) == date.max
    with pytest.raises(EntryError):
        day_at(first, day_index(first, date.max) + 1)
