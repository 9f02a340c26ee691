"""Steps that overlap: in order, one at a time, and an error of any step ends all of it."""

import os
import signal
import time
from collections.abc import Iterator
from threading import Event, active_count, get_ident

import pytest

from lumi_pipeline.overlapping import overlapped


def test_results_come_in_order_from_another_thread() -> None:
    found = list(overlapped(lambda item: (item, get_ident()), range(50)))
    assert [item for item, _ in found] == list(range(50))
    assert {thread for _, thread in found}.isdisjoint({get_ident()})
    assert list(overlapped(str, [])) == []


def test_the_next_item_is_made_while_one_is_worked_on() -> None:
    made = Event()

    def items() -> Iterator[int]:
        yield 0
        made.set()
        yield 1

    assert list(overlapped(lambda item: made.wait(10) and item, items())) == [0, 1]


def test_no_more_than_two_items_are_ahead_of_who_uses_them() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(20):
            made.append(item)
            yield item

    for used, _ in enumerate(overlapped(abs, items())):
        time.sleep(0.001)
        assert len(made) <= used + 2


def test_an_error_of_the_step_or_of_the_items_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        list(overlapped(lambda item: 1 // item, [1, 0, 1]))

    def items() -> Iterator[int]:
        yield 1
        raise KeyError

    done = []
    with pytest.raises(KeyError):
        list(overlapped(done.append, items()))
    assert done == [1]


def test_steps_can_follow_each_other_and_be_left_early() -> None:
    steps = overlapped(str, overlapped(abs, range(-5, 5)))
    assert next(steps) == "5"
    steps.close()  # type: ignore[attr-defined]


def test_nothing_goes_on_after_an_error() -> None:
    closed: list[str] = []
    begun: list[int] = []
    release = Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append("items")

    def write(item: int) -> int:
        begun.append(item)
        if item == 2:
            release.wait(10)
        return item

    def read_back(item: int) -> int:
        release.set()
        return 1 // (item - 1)

    before = active_count()
    with pytest.raises(ZeroDivisionError) as caught:
        list(overlapped(read_back, overlapped(write, items())))
    assert (closed, active_count()) == (["items"], before), "also while the error is held"
    assert len(begun) <= 4
    assert caught


def test_control_c_waits_for_the_item_that_is_worked_on_and_begins_no_other() -> None:
    begun: list[int] = []
    done: list[int] = []
    interrupted = Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def act(item: int) -> None:
        begun.append(item)
        time.sleep(0.05)  # until the other item waits, and so does who iterates
        os.kill(os.getpid(), signal.SIGINT)
        interrupted.wait(10)
        time.sleep(0.3)
        done.append(item)

    usual = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(overlapped(act, range(10)))
    finally:
        signal.signal(signal.SIGINT, usual)
    assert begun == done == [0]
