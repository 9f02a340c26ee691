"""When a next key signs: beside the old one from the record after its announcement on, alone 30 days later."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.entries import DayRecord
from transparency.keys import SigningKey
from transparency.rotation import OVERLAP, Takeover, signing_keys

ORIGIN = "log.example.com/days"
FIRST, SECOND, THIRD = (SigningKey(ORIGIN, bytes([n]) * 32).verifier for n in (1, 2, 3))
START = date(2026, 1, 1)


def record(day: date, sealed: datetime | None = None) -> DayRecord:
    """The record of a day, sealed a quarter past the midnight that ended it unless said otherwise."""
    usual = datetime.combine(day + timedelta(days=1), time(0, 15), UTC)
    index = 1 + (day - START).days
    return DayRecord(ORIGIN, day, index, bytes(32), bytes(32), breaks=0, sealed=sealed or usual)


ANNOUNCED = date(2026, 3, 1)
TAKEOVER = Takeover(SECOND, ANNOUNCED, ANNOUNCED + timedelta(days=2))


@pytest.mark.parametrize(
    ("after", "keys"),
    [
        (-1, (FIRST,)),
        (0, (FIRST,)),
        (1, (FIRST, SECOND)),
        (30, (FIRST, SECOND)),
        (31, (SECOND,)),
        (400, (SECOND,)),
    ],
)
def test_both_keys_sign_for_thirty_days(after: int, keys: tuple[object, ...]) -> None:
    assert signing_keys(FIRST, [TAKEOVER], record(ANNOUNCED + timedelta(days=after))) == keys


def test_a_genesis_alone_is_signed_with_its_key() -> None:
    assert signing_keys(FIRST, [], None) == (FIRST,)
    assert signing_keys(FIRST, [TAKEOVER], None) == (FIRST,)


def test_the_thirty_days_are_those_of_readers_however_many_records_come_at_once() -> None:
    """After an outage of 40 days all records are sealed in one night; the old key signs for 30 more."""
    night = datetime(2026, 4, 12, 0, 15, tzinfo=UTC)
    takeover = Takeover(SECOND, ANNOUNCED, night.date())
    for days in range(1, 31):
        day = ANNOUNCED + timedelta(days=40 + days)
        sealed = max(night + timedelta(days=days - 1), datetime.combine(day + timedelta(days=1), time(0, 15), UTC))
        alone = sealed.date() - night.date() >= OVERLAP
        assert signing_keys(FIRST, [takeover], record(day, sealed)) == ((SECOND,) if alone else (FIRST, SECOND))
    assert signing_keys(FIRST, [takeover], record(ANNOUNCED + timedelta(days=41), night)) == (FIRST, SECOND)


def test_one_rotation_after_the_other() -> None:
    again = Takeover(THIRD, date(2027, 3, 1), date(2027, 3, 3))
    expected = {
        date(2026, 3, 1): (FIRST,),
        date(2026, 3, 2): (FIRST, SECOND),
        date(2027, 3, 1): (SECOND,),
        date(2027, 3, 2): (SECOND, THIRD),
        date(2027, 4, 1): (THIRD,),
    }
    for day, keys in expected.items():
        assert signing_keys(FIRST, [TAKEOVER, again], record(day)) == keys


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40))
def test_once_alone_a_key_stays_alone(delays: list[int]) -> None:
    """However late each day is sealed, the keys only ever change from one to both to the other."""
    sealed = datetime.combine(ANNOUNCED + timedelta(days=2), time(0, 15), UTC)
    takeover = Takeover(SECOND, ANNOUNCED, sealed.date())
    stages = []
    for number, delay in enumerate(delays):
        day = ANNOUNCED + timedelta(days=1 + number)
        sealed = max(sealed, datetime.combine(day + timedelta(days=1), time(0, 15), UTC)) + timedelta(hours=delay)
        stages.append(len(signing_keys(FIRST, [takeover], record(day, sealed))))
    assert stages[0] == 2
    assert stages == sorted(stages, reverse=True)
