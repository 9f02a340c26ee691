"""Delivery: each event arrives once, or the receipts say why not, whatever the other side answers."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from lumi_pipeline.errors import LedgerError
from lumi_pipeline.siem.destination import AgeRule, Result
from lumi_pipeline.siem.ledger import State
from lumi_pipeline.siem.plans import PlanBook
from tests.siem.shipping import Answer, Request, Script, Shipping, down, failing, lake_of, settings, taken

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def poison(*events: str, result: Result = Result.REFUSED, named: bool = False) -> Script:
    """Requests with one of these events are refused for it, and the others taken."""

    def script(request: Request) -> Answer:
        found = [index for index, event in enumerate(request.events) if event in events]
        if not found:
            return taken()
        return failing(result, found[0] if result is Result.PARTIAL else 0, index=found[0] if named else None)

    return script


def then(*answers: Answer) -> Script:
    """These answers, one after the other, and from then on everything is taken."""
    waiting = list(answers)
    return lambda _: waiting.pop(0) if waiting else taken()


def quarantined(shipping: Shipping) -> list[object]:
    return [receipt["event_id"] for receipt in shipping.receipts() if receipt["outcome"] == "quarantined"]


def event(shipping: Shipping, tenant_id: str, seq: int) -> str:
    """The id of a planned event."""
    book = PlanBook(lake_of(shipping.store), shipping.settings.name)
    rows = book.events(book.read(0)).to_pylist()
    [found] = [row["event_id"] for row in rows if (row["tenant_id"], row["seq"]) == (tenant_id, seq)]
    return str(found)


def test_everything_is_sent_once_and_a_second_run_does_nothing(shipping: Shipping) -> None:
    report = shipping.run()
    assert (report.batches, report.events, report.duplicates, report.open_batches) == (6, 22, 0, 0)
    assert report.receipts == 6
    shipping.check_settled()
    before = shipping.store.list("siem/siem/ledger/")
    assert shipping.run().events == 0
    assert list(before) == list(shipping.store.list("siem/siem/ledger/"))


def test_a_receipt_says_what_was_sent(shipping: Shipping) -> None:
    shipping.siem.script = lambda _: taken(request_id="r-1", facts={"offset": "7"})
    shipping.run()
    receipt = shipping.receipts()[2]
    sent = next(request for request in shipping.siem.requests if request.delivery_id == receipt["delivery"])
    assert receipt["payload_sha256"] == sent.body_sha256
    assert receipt["ranges"] == [["acme", "8", "9", "2"], ["globex", "0", "1", "2"]]
    assert receipt["facts"] == {"offset": "7"}
    said = ("attempts", "assurance", "request_id", "status", "possible_duplicate", "restamped", "lane", "outcome")
    assert [receipt[name] for name in said] == [1, "received", "r-1", 200, False, False, "live/default", "delivered"]


@pytest.mark.parametrize("result", [Result.REFUSED, Result.PARTIAL])
def test_an_event_that_is_refused_by_name_is_put_aside_and_the_others_go_on(shipping: Shipping, result: Result) -> None:
    bad = [event(shipping, "acme", 0), event(shipping, "globex", 3), event(shipping, "initech", 4)]
    shipping.siem.script = poison(*bad, result=result, named=True)
    report = shipping.run()
    assert quarantined(shipping) == bad
    assert (report.quarantined, report.events, report.duplicates) == (3, 19, 0)
    shipping.check_settled()
    assert not set(bad) & set(shipping.siem.counts)


@pytest.mark.parametrize("result", [Result.REFUSED, Result.TOO_LARGE])
def test_an_event_that_is_refused_namelessly_is_searched_for(shipping: Shipping, result: Result) -> None:
    bad = [event(shipping, "acme", 2), event(shipping, "acme", 3)]
    shipping.siem.script = poison(*bad, result=result)
    shipping.run()
    assert quarantined(shipping) == bad
    shipping.check_settled()


def test_batches_that_are_too_large_are_sent_in_parts(shipping: Shipping) -> None:
    shipping.siem.script = lambda request: taken() if len(request.events) == 1 else failing(Result.TOO_LARGE)
    report = shipping.run()
    assert (report.events, report.quarantined) == (22, 0)
    assert {len(request.events) for request in shipping.siem.requests if request.delivery_id.count(".")} == {1, 2}
    shipping.check_settled()


def test_a_server_that_fails_at_one_event_is_sent_the_others(shipping: Shipping) -> None:
    bad = event(shipping, "globex", 3)
    shipping.siem.script = lambda request: down(500) if bad in request.events else taken()
    shipping.run(HOUR)
    assert shipping.siem.counts.keys() == shipping.events() - {bad}
    [left] = shipping.ledger.open.values()
    assert (left.state, left.key.count) == (State.WAITING, 1)
    shipping.siem.script = lambda _: taken()
    shipping.run(HOUR)
    shipping.check_settled()


@pytest.mark.parametrize(("status", "ordered"), [(500, False), (500, True), (503, True)])
def test_a_long_outage_cuts_nothing_into_small_pieces(shipping: Shipping, status: int, ordered: bool) -> None:
    shipping.settings = settings(ordered=ordered)
    shipping.siem.script = lambda _: down(status)
    shipping.run(3 * HOUR)
    assert len(shipping.ledger.open) < 12
    assert len(shipping.siem.requests) > 200
    shipping.siem.script = lambda _: taken()
    shipping.run(HOUR)
    shipping.check_settled()
    assert set(shipping.siem.counts.values()) == {1}


def test_events_refused_one_after_the_other_hold_the_destination(shipping: Shipping) -> None:
    """Rather the settings are wrong than every event; before everything is put aside, somebody should look."""
    shipping.settings = settings(concurrency=1)
    shipping.siem.script = lambda _: failing(Result.REFUSED, index=0)
    report = shipping.run()
    assert report.quarantined == 20
    assert report.hold is not None
    assert report.hold.settings
    assert "it says refused" in report.hold.detail
    assert shipping.run(14 * MINUTE).quarantined == 0
    shipping.siem.script = lambda _: taken()
    shipping.run(15 * MINUTE)
    shipping.check_settled()
    assert shipping.ledger.hold is None


def test_credentials_that_are_refused_hold_the_destination_until_they_are_corrected(shipping: Shipping) -> None:
    shipping.siem.script = lambda _: failing(Result.BLOCKED, status=403)
    report = shipping.run()
    assert report.hold is not None
    assert (report.hold.settings, report.hold.detail) == (True, "it says blocked")
    began = report.hold.since
    tried = len(shipping.siem.requests)
    assert tried <= 6
    shipping.run(HOUR)
    assert len(shipping.siem.requests) == tried + 4, "one batch is tried each quarter of an hour"
    assert shipping.ledger.hold is not None
    assert shipping.ledger.hold.since == began
    shipping.siem.script = lambda _: taken()
    assert shipping.run().events == 0
    shipping.clock.now += 15 * MINUTE
    assert shipping.run().events == 22
    shipping.check_settled()
    assert shipping.ledger.hold is None


def test_retry_after_holds_the_whole_destination(shipping: Shipping) -> None:
    shipping.settings = settings(ordered=True)
    shipping.siem.script = then(taken(), down(429, retry_after=120.0))
    shipping.run(timedelta(seconds=119))
    assert len(shipping.siem.requests) == 2
    shipping.run(timedelta(seconds=120))
    shipping.check_settled()


def test_a_destination_that_takes_and_asks_for_a_pause_gets_one(shipping: Shipping) -> None:
    shipping.settings = settings(ordered=True)
    shipping.siem.script = lambda request: taken(retry_after=60.0) if request.number < 6 else taken()
    shipping.run()
    assert len(shipping.siem.requests) == 6
    shipping.check_settled()


def test_while_a_destination_is_down_one_request_at_a_time_tries(shipping: Shipping) -> None:
    shipping.siem.script = lambda _: down()
    shipping.run()
    first = len(shipping.siem.requests)
    assert first == 6
    began = shipping.clock.now
    gaps = []
    last = began
    while shipping.clock.now < began + HOUR:
        asked = len(shipping.siem.requests)
        shipping.run(MINUTE)
        gaps += [shipping.clock.now - last] * (len(shipping.siem.requests) > asked)
        last = shipping.clock.now
    assert 60 < len(shipping.siem.requests) - first < 600
    shipping.siem.script = lambda _: taken()
    shipping.run(2 * MINUTE)
    shipping.check_settled()


def test_what_may_have_arrived_is_sent_again_and_told(shipping: Shipping) -> None:
    shipping.siem.script = then(failing(Result.AMBIGUOUS, 4), failing(Result.AMBIGUOUS, 0))
    report = shipping.run(HOUR)
    assert report.duplicates == 8
    shipping.check_settled()
    assert sum(count > 1 for count in shipping.siem.counts.values()) == 4


def test_what_may_have_arrived_stays_in_doubt_when_it_is_refused_afterwards(shipping: Shipping) -> None:
    shipping.settings = settings(ordered=True)
    shipping.siem.script = then(failing(Result.AMBIGUOUS, 4), down(), down(429, retry_after=5.0))
    assert shipping.run(HOUR).duplicates == 4
    shipping.check_settled()


def test_what_may_have_arrived_and_is_then_split_stays_in_doubt(shipping: Shipping) -> None:
    shipping.settings = settings(ordered=True)
    bad = event(shipping, "acme", 1)
    answers = [failing(Result.AMBIGUOUS, 1)]
    poisoned = poison(bad, named=True, result=Result.PARTIAL)
    shipping.siem.script = lambda request: answers.pop() if answers else poisoned(request)
    shipping.run(HOUR)
    shipping.check_settled()
    assert shipping.siem.counts[event(shipping, "acme", 0)] == 2


@pytest.mark.parametrize("seed", range(4))
def test_an_ordered_lane_keeps_the_order_of_each_tenant(shipping: Shipping, seed: int) -> None:
    shipping.settings = settings(ordered=True)
    answers = [down(), failing(Result.AMBIGUOUS), failing(Result.TOO_LARGE), taken(), down(429, retry_after=3.0)]
    shipping.siem.script = lambda request: answers[hash((seed, request.number)) % 5] if request.number < 40 else taken()
    shipping.run(DAY)
    assert_in_order(shipping)


def test_a_server_that_fails_at_one_event_of_an_ordered_lane_is_sent_the_others_in_order(shipping: Shipping) -> None:
    shipping.settings = settings(ordered=True)
    bad = event(shipping, "acme", 5)
    shipping.siem.script = lambda request: down(500) if bad in request.events else taken()
    shipping.run(2 * HOUR)
    assert shipping.siem.counts.keys() == shipping.events() - {bad}
    assert_in_order(shipping)


def assert_in_order(shipping: Shipping) -> None:
    """Each tenant's events are there in the order of their seqs."""
    seqs: dict[object, list[int]] = {}
    for record in shipping.siem.arrived:
        seqs.setdefault(record["tenant_id"], []).append(int(str(record["seq"])))
    assert all(found == sorted(found) for found in seqs.values())
    assert seqs


def test_nothing_is_dropped_at_the_deadline(shipping: Shipping) -> None:
    shipping.siem.script = lambda _: down()
    shipping.run()
    shipping.clock.now += timedelta(days=7, seconds=1)
    report = shipping.run()
    assert (report.blocked, report.open_events) == (22, 22)
    assert {d.state for d in shipping.ledger.open.values()} == {State.BLOCKED}
    assert {d.detail for d in shipping.ledger.open.values()} == {"not delivered in 7 days; last: answered 503"}
    shipping.siem.script = lambda _: taken()
    assert shipping.run().events == 0, "somebody has to say that it is to go on"


def test_what_only_waited_behind_what_failed_is_not_blocked(shipping: Shipping) -> None:
    """A long outage leaves a decision about one batch of an ordered lane, not about all."""
    shipping.settings = settings(ordered=True)
    shipping.siem.script = lambda _: down()
    shipping.run()
    shipping.clock.now += timedelta(days=7, seconds=1)
    report = shipping.run()
    assert (report.blocked, report.open_events) == (4, 22)
    assert [d.state for d in shipping.ledger.of(*State)] == [State.BLOCKED, State.WAITING, *[State.PLANNED] * 4]
    shipping.siem.script = lambda _: taken()
    assert shipping.run(MINUTE).events == 18


def test_acknowledgements_are_waited_for(shipping: Shipping) -> None:
    shipping.siem.script = lambda request: taken(ack=str(request.number))
    shipping.siem.acknowledged = dict.fromkeys(map(str, range(6)), False)
    shipping.run()
    assert shipping.receipts() == []
    assert {d.state for d in shipping.ledger.open.values()} == {State.ACCEPTED}
    shipping.siem.acknowledged = {str(number): number != 3 for number in range(6)}
    shipping.run()
    assert len(shipping.receipts()) == 5
    assert {receipt["assurance"] for receipt in shipping.receipts()} == {"indexed"}
    shipping.siem.acknowledged["3"] = True
    report = shipping.run()
    assert report.events in {2, 4}
    shipping.check_settled()
    assert len(shipping.siem.requests) == 6


def test_whoever_was_promised_an_acknowledgement_stays_to_ask_for_it(shipping: Shipping) -> None:
    """Behind a balancer nobody else can, and everything would be sent again in every run."""
    begun = shipping.clock.now

    class Later(dict[str, bool]):
        def __getitem__(self, ack: str) -> bool:
            return shipping.clock.now - begun > timedelta(seconds=40)

    shipping.siem.script = lambda request: taken(ack=str(request.number))
    shipping.siem.acknowledged = Later(dict.fromkeys(map(str, range(6)), False))
    report = shipping.run()
    assert (report.events, report.duplicates, report.receipts, report.open_batches) == (22, 0, 6, 0)
    assert 40 <= sum(shipping.slept) < 45
    shipping.check_settled()


@pytest.mark.parametrize("forgotten", [True, False])
def test_an_acknowledgement_that_does_not_come_leaves_a_doubt(shipping: Shipping, forgotten: bool) -> None:
    """It is unknown by now, or it stays false for five minutes."""
    shipping.siem.script = lambda request: taken(ack=str(request.number))
    shipping.siem.acknowledged = {str(number): number != 3 for number in range(20)}
    if forgotten:
        del shipping.siem.acknowledged["3"]
    report = shipping.run(6 * MINUTE)
    assert len(shipping.siem.requests) == 7
    assert report.duplicates == len(shipping.siem.requests[3].events)
    shipping.check_settled()
    if not forgotten:
        assert sum(shipping.slept) >= 300


AGE = AgeRule(timedelta(hours=17), timedelta(hours=2))


def test_events_that_became_too_old_are_sent_with_another_time_and_told(shipping: Shipping) -> None:
    shipping.age = AGE
    shipping.siem.script = then(*[down()] * 6)
    shipping.run()
    shipping.clock.now += 18 * HOUR
    shipping.run(HOUR)
    assert all(record["restamped"] for record in shipping.siem.arrived)
    assert {receipt["restamped"] for receipt in shipping.receipts()} == {True}
    sent = {request.body_sha256 for request in shipping.siem.requests[6:]}
    assert {receipt["payload_sha256"] for receipt in shipping.receipts()} == sent
    shipping.check_settled()


def test_events_young_enough_are_sent_as_they_are(shipping: Shipping) -> None:
    shipping.age = AGE
    shipping.run()
    assert {receipt["restamped"] for receipt in shipping.receipts()} == {False}
    assert not any("restamped" in record for record in shipping.siem.arrived)


def lose(shipping: Shipping, key: str) -> None:
    shipping.store.delete(key)


def alter(shipping: Shipping, key: str) -> None:
    data = shipping.store.get(key)
    shipping.store.put(key, data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(("harm", "said"), [(lose, "is missing although it was committed"), (alter, "was altered")])
def test_a_body_that_is_lost_or_altered_blocks_its_batch_alone(
    shipping: Shipping, harm: Callable[[Shipping, str], None], said: str
) -> None:
    batch = PlanBook(lake_of(shipping.store), shipping.settings.name).read(0).batches[2]
    data = shipping.store.get(batch.body.path)
    harm(shipping, batch.body.path)
    report = shipping.run()
    assert (report.events, report.blocked) == (18, 4)
    [blocked] = shipping.ledger.open.values()
    assert blocked.state is State.BLOCKED
    assert said in blocked.detail
    assert batch.body.path in blocked.detail
    shipping.store.put(batch.body.path, data)
    assert shipping.run().events == 0


def test_a_body_that_is_lost_until_it_is_acknowledged_leaves_a_doubt(shipping: Shipping) -> None:
    """Nobody can say any more what was acknowledged; the others' receipts are written."""
    shipping.siem.script = lambda request: taken(ack=str(request.number))
    shipping.siem.acknowledged = dict.fromkeys(map(str, range(6)), False)
    shipping.run()
    batch = PlanBook(lake_of(shipping.store), shipping.settings.name).read(0).batches[2]
    lose(shipping, batch.body.path)
    shipping.siem.acknowledged = dict.fromkeys(map(str, range(6)), True)
    report = shipping.run()
    assert (report.events, report.blocked) == (18, 4)
    [blocked] = shipping.ledger.open.values()
    assert blocked.duplicates
    assert batch.body.path in blocked.detail


def test_a_plan_that_is_another_one_is_refused_and_nothing_is_sent(shipping: Shipping) -> None:
    journal = PlanBook(lake_of(shipping.store), shipping.settings.name).journal
    shipping.store.put(journal.key(1), journal.read(0))
    with pytest.raises(LedgerError, match="was altered: it is plan 0"):
        shipping.run()
    assert shipping.siem.requests == []


def test_a_plan_that_is_gone_is_named(shipping: Shipping) -> None:
    shipping.siem.script = lambda _: down()
    shipping.run()
    journal = PlanBook(lake_of(shipping.store), shipping.settings.name).journal
    shipping.store.delete(journal.key(0))
    shipping.clock.now += HOUR
    assert shipping.run().blocked == 22
    details = {delivery.detail for delivery in shipping.ledger.open.values()}
    assert details == {f"{journal.key(0)} is gone; plans are never deleted: restore it from a backup"}
