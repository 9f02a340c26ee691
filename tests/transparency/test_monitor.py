"""Following a log: what is new is checked, two histories are told from one, and nothing is read twice."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.daylogs import KEY, NEXT_KEY, ORIGIN, WITNESSES, DayLog
from transparency.checkpoint import Checkpoint, parse_signed_checkpoint, sign_checkpoint
from transparency.entries import Genesis
from transparency.errors import FormatError, ObjectMissing, StoreError, VerificationError
from transparency.keys import SigningKey
from transparency.merkle import EMPTY_ROOT, verify_consistency
from transparency.monitor import Contradiction, Followed, Step, follow, last_due_day, overdue_days
from transparency.policy import Policy
from transparency.rotation import Takeover
from transparency.verify import verify_log

FIRST_DAY = date(2024, 2, 1)
POLICY = Policy.pinning(KEY.verifier.vkey)
LARGEST = 12
FORK = 5
"""Up to this size both histories of ``snapshot`` are the same."""

Files = Mapping[str, bytes]


def reading(files: Files, asked: list[str] | None = None) -> Callable[[str], bytes]:
    def fetch(path: str) -> bytes:
        if asked is not None:
            asked.append(path)
        if path not in files:
            raise ObjectMissing(path)
        return files[path]

    return fetch


def log_of(sizes: Sequence[int], history: str = "") -> DayLog:
    """A log published at these sizes; its days up to the fork have no history of their own."""
    log = DayLog(FIRST_DAY, history=history)
    for size in sizes:
        if size <= FORK:
            log.history = ""
        log.grow(size - max(log.size, 1))
        log.history = history
    return log


@cache
def snapshot(history: str, size: int) -> Files:
    """What a server shows when the log has this size, published entry by entry."""
    return log_of(range(1, size + 1), history).files


def root(history: str, size: int) -> bytes:
    return parse_signed_checkpoint(snapshot(history, size)["checkpoint"]).checkpoint.root


def look(files: Files, before: Followed | None, policy: Policy = POLICY) -> Step:
    return follow(reading(files), policy, before)


def after(files: Files, before: Followed | None = None) -> Followed:
    return look(files, before).followed


def found(files: Files, before: Followed | None, policy: Policy = POLICY) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        look(files, before, policy)
    return caught.value


# --- a log that only grows -------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.lists(st.integers(0, 130), min_size=1, max_size=6))
def test_following_in_steps_finds_what_the_whole_log_says(steps: list[int]) -> None:
    log = DayLog(FIRST_DAY)
    state: Followed | None = None
    for days in steps:
        size = log.size
        if days or not size:
            log.grow(days)
        step = look(log.files, None if state is None else Followed.parse(state.encode()))
        assert [record.index for record in step.records] == list(range(max(size, 1), log.size))
        assert step.records == tuple(log.record(number) for number in range(max(size, 1), log.size))
        state = step.followed
    assert state is not None
    whole = verify_log(reading(log.files), POLICY)
    assert state.head == whole.checkpoint
    history = state.history()
    assert (history.genesis, history.last and history.last.day) == (whole.genesis, whole.last_day)


def test_a_day_costs_the_same_however_long_the_log_is() -> None:
    log = DayLog(FIRST_DAY)
    log.grow(700)
    state = after(log.files)
    log.grow(1)
    asked: list[str] = []
    follow(reading(log.files, asked), POLICY, state)
    assert sorted(asked) == ["checkpoint", "tile/0/002.p/190", "tile/1/000.p/2", "tile/entries/002.p/190"]
    asked.clear()
    follow(reading(log.files, asked), POLICY, after(log.files))
    assert asked == ["checkpoint"]


# --- two histories, and a shorter log --------------------------------------------------------------------------------


def expected(before: tuple[str, int] | None, shown: tuple[str, int]) -> str:
    """What one look at such a server has to come to."""
    if before is None:
        return "ok"
    agree = before[0] == shown[0] or min(before[1], shown[1]) <= FORK
    if shown[1] < before[1]:
        return "rollback"  # the longer tree's files are not there any more, so nobody can say more
    return "ok" if agree else "split-view"


SHOWN = st.tuples(st.sampled_from(["", "other"]), st.integers(1, LARGEST))


@settings(max_examples=60)
@given(st.lists(st.tuples(SHOWN, st.booleans()), max_size=10))
def test_whatever_a_server_shows_nothing_false_is_followed(looks: list[tuple[tuple[str, int], bool]]) -> None:
    """Between a look and the keeping of the state a monitor may die: then the next look starts from before."""
    state: Followed | None = None
    model: tuple[str, int] | None = None
    for shown, dies in looks:
        outcome = expected(model, shown)
        if outcome == "ok":
            step = look(snapshot(*shown), state)
            if not dies:
                state, model = Followed.parse(step.followed.encode()), shown
        else:
            assert found(snapshot(*shown), state).reason == outcome


@pytest.mark.parametrize("size", [FORK + 1, 7, 8])
@pytest.mark.parametrize("now", [FORK + 1, 8, 9, LARGEST])
def test_a_contradiction_carries_what_convinces_others(size: int, now: int) -> None:
    state = after(snapshot("", size))
    error = found({**snapshot("", size), **snapshot("other", now)}, state)
    assert isinstance(error, Contradiction)
    assert error.reason == "split-view"
    assert (error.before, error.shown) == (snapshot("", size)["checkpoint"], snapshot("other", now)["checkpoint"])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (again.reason, str(again), again.before, again.path) == ("split-view", str(error), error.before, error.path)
    if size < now:
        # The path leads to the root that was signed last, and, for the size before, to another than was signed.
        verify_consistency(size, now, root("other", size), root("other", now), error.path)
        with pytest.raises(VerificationError):
            verify_consistency(size, now, root("", size), root("other", now), error.path)


def test_a_shorter_log_is_compared_with_the_longer_one_as_long_as_its_files_are_there() -> None:
    state = after(snapshot("", 9))
    older = {**snapshot("", 9), "checkpoint": snapshot("", 4)["checkpoint"]}
    assert found(older, state).reason == "rollback"
    assert "an older state of the same history" in str(found(older, state))
    other = {**snapshot("", 9), "checkpoint": snapshot("other", 8)["checkpoint"]}
    error = found(other, state)
    assert isinstance(error, Contradiction)
    assert error.reason == "split-view"
    verify_consistency(8, 9, root("", 8), root("", 9), error.path)
    assert "can't be told" in str(found(snapshot("", 4), state))
    empty = {**snapshot("", 9), "checkpoint": sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), [KEY])}
    assert found(empty, state).reason == "rollback"
    assert found(empty, None).reason == "genesis"


def test_a_server_that_fails_while_a_shorter_log_is_compared_hides_nothing() -> None:
    def fetch(path: str) -> bytes:
        if path != "checkpoint":
            raise StoreError("the network is down")
        return snapshot("", 4)["checkpoint"]

    with pytest.raises(Contradiction) as caught:
        follow(fetch, POLICY, after(snapshot("", 9)))
    assert caught.value.reason == "rollback"


def test_another_log_at_the_address() -> None:
    other = SigningKey("other.example.com/log", b"\x07" * 32)
    checkpoint = sign_checkpoint(Checkpoint(other.name, 9, bytes(32)), [other])
    policy = Policy.pinning(KEY.verifier.vkey, other.verifier.vkey)
    error = found({"checkpoint": checkpoint}, after(snapshot("", 8)), policy)
    assert error.reason == "checkpoint-origin"
    assert "and now" in str(error)


# --- what is new is checked ------------------------------------------------------------------------------------------


def test_any_altered_file_that_is_read_is_found() -> None:
    log = DayLog(FIRST_DAY)
    log.grow(300)
    state = after(log.files)
    log.grow(300)
    asked: list[str] = []
    follow(reading(log.files, asked), POLICY, state)
    for path in set(asked) - {"checkpoint"}:
        data = log.files[path]
        for altered in (data[:-1] + bytes([data[-1] ^ 1]), data[:-1], data + b"x", b""):
            assert found({**log.files, path: altered}, state).reason == "tile", path
        assert found({name: content for name, content in log.files.items() if name != path}, state).reason == "tile"


def grown(*entries: bytes, keys: Sequence[SigningKey] = (KEY,)) -> tuple[Followed, Files]:
    """Follow a log of ten days; then it gets these entries."""
    log = DayLog(FIRST_DAY)
    log.grow(10)
    state = after(log.files)
    log.keys = list(keys)
    log.append(entries)
    return state, log.files


RECORD = DayLog(FIRST_DAY).record


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([b""], "day-record"),
        ([RECORD(11).encode(), RECORD(12).encode()[:-1]], "day-record"),
        ([RECORD(11, origin="example.com/other").encode()], "day-origin"),
        ([RECORD(12).encode()], "day-index"),
        ([RECORD(10).encode()], "day-index"),
        ([RECORD(11).encode(), RECORD(11).encode()], "day-index"),
        ([RECORD(11, sealed=RECORD(13).sealed).encode(), RECORD(12).encode()], "day-sealed"),
    ],
)
def test_new_entries_follow_the_rules(entries: list[bytes], reason: str) -> None:
    state, files = grown(*entries)
    assert found(files, state).reason == reason


def test_a_record_is_not_sealed_before_the_last_one_that_was_seen() -> None:
    log = DayLog(FIRST_DAY)
    log.grow(10, {10: {"sealed": RECORD(12).sealed}})
    state = after(log.files)
    log.grow(1)
    assert found(log.files, state).reason == "day-sealed"


def test_announced_keys_are_followed() -> None:
    state, files = grown(RECORD(11, next_key=NEXT_KEY.verifier).encode())
    step = look(files, state)
    assert step.followed.takeovers == (Takeover(NEXT_KEY.verifier, RECORD(11).day, None),)
    assert step.records[0].next_key == NEXT_KEY.verifier
    new = Policy.pinning(NEXT_KEY.verifier.vkey)
    log = DayLog(FIRST_DAY)
    log.grow(11, {11: {"next_key": NEXT_KEY.verifier}})
    log.keys = [KEY, NEXT_KEY]
    assert found({**log.files, "checkpoint": resigned(log.checkpoint, NEXT_KEY)}, None, new).reason == "log-key"
    log.keys = [KEY]
    log.grow(1)
    files = {**log.files, "checkpoint": resigned(log.checkpoint, NEXT_KEY)}
    later = look(files, Followed.parse(step.followed.encode()), new)
    assert later.followed.head.size == 13
    [takeover] = Followed.parse(later.followed.encode()).takeovers
    assert takeover == Takeover(NEXT_KEY.verifier, RECORD(11).day, RECORD(12).sealed.date())
    assert later.followed == look(files, None, new).followed, "as who has read all of it"
    assert found(files, step.followed).reason == "checkpoint-signature"


def resigned(checkpoint: bytes, *keys: SigningKey) -> bytes:
    return sign_checkpoint(parse_signed_checkpoint(checkpoint).checkpoint, keys)


def test_a_quorum_is_told_and_does_not_keep_from_following() -> None:
    witness = WITNESSES[0].verifier.vkey
    policy = Policy.parse(f"log {KEY.verifier.vkey}\nwitness w {witness}\nquorum w\n".encode())
    log = DayLog(FIRST_DAY, witnesses=WITNESSES)
    log.grow(3)
    step = look(log.files, None, policy)
    assert (step.policy.quorum_met, step.policy.split_view_excluded) == (True, True)
    log.witnesses = []
    log.grow(1)
    step = look(log.files, step.followed, policy)
    assert (step.policy.quorum_met, step.followed.head.size) == (False, 5)


# --- the state -------------------------------------------------------------------------------------------------------

STATE = after(snapshot("", 7))
OTHER_GENESIS = Genesis(
    "b", FIRST_DAY, SigningKey("b", b"\x01" * 32).verifier, SigningKey("b/evidence", b"\x03" * 32).verifier
)


@given(st.integers(0, len(STATE.encode()) - 1), st.binary(max_size=3))
def test_a_damaged_state_is_refused_or_read_as_what_it_says(position: int, change: bytes) -> None:
    data = STATE.encode()
    altered = data[:position] + change + data[position + 1 :]
    try:
        read = Followed.parse(altered)
    except (FormatError, VerificationError):
        return
    assert read.encode() == altered


@pytest.mark.parametrize(
    "change",
    [
        {"last_record": None},
        {"last_record": RECORD(5).encode()},
        {"genesis": replace(DayLog(FIRST_DAY).genesis, first_day=date(2024, 2, 2)).encode()},
        {"genesis": RECORD(5).encode()},
        {"genesis": OTHER_GENESIS.encode()},
        {"takeovers": (Takeover(NEXT_KEY.verifier, FIRST_DAY, None),)},
        {"takeovers": (Takeover(NEXT_KEY.verifier, FIRST_DAY, FIRST_DAY),) * 2},
    ],
)
def test_parts_that_do_not_belong_together_are_no_state(change: dict[str, Any]) -> None:
    with pytest.raises((FormatError, VerificationError)):
        Followed.parse(replace(STATE, **change).encode())


def test_a_log_of_its_genesis_alone_is_followed() -> None:
    state = Followed.parse(after(snapshot("", 1)).encode())
    assert state.last_record is None
    assert len(look(snapshot("", 3), state).records) == 2


# --- freshness -------------------------------------------------------------------------------------------------------

DUE = timedelta(hours=2)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (datetime(2024, 3, 2, 1, 59, 59, tzinfo=UTC), date(2024, 2, 29)),
        (datetime(2024, 3, 2, 2, 0, 0, tzinfo=UTC), date(2024, 3, 1)),
        (datetime(2024, 3, 2, 23, 59, 59, tzinfo=UTC), date(2024, 3, 1)),
    ],
)
def test_a_record_is_due_two_hours_after_its_day(now: datetime, day: date) -> None:
    assert last_due_day(now, DUE) == day


def test_overdue_days_are_those_after_the_last_record() -> None:
    history = look(snapshot("", 7), None).history  # up to 6 February
    assert overdue_days(history, datetime(2024, 2, 8, 1, tzinfo=UTC), DUE) is None
    assert overdue_days(history, datetime(2024, 2, 8, 2, tzinfo=UTC), DUE) == (date(2024, 2, 7), date(2024, 2, 7))
    assert overdue_days(history, datetime(2024, 2, 10, 12, tzinfo=UTC), DUE) == (date(2024, 2, 7), date(2024, 2, 9))
    begun = look(snapshot("", 1), None).history
    assert overdue_days(begun, datetime(2024, 1, 1, tzinfo=UTC), DUE) is None
    assert overdue_days(begun, datetime(2024, 2, 2, 3, tzinfo=UTC), DUE) == (FIRST_DAY, FIRST_DAY)
