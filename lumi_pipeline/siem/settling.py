"""From what came of a request to moves of the ledger, and the receipts of what they settle."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from lumi_pipeline.errors import LumiError
from lumi_pipeline.siem import receipts
from lumi_pipeline.siem.destination import Assurance, Outcome, Result
from lumi_pipeline.siem.ledger import REFUSALS_IN_A_ROW, Delivery, Do, Key, Ledger, Move
from lumi_pipeline.siem.loading import Loaded, Loader
from transparency.encoding import Json

ACK_PATIENCE: Final = timedelta(minutes=5)
"""How long an acknowledgement is waited for before the batch is sent again (Splunk's recommendation for HEC)."""

PROBE_AFTER: Final = timedelta(minutes=15)
"""How long a destination rests that refuses credentials or settings, before one batch tries again."""

_ARRIVED: Final = frozenset({Result.DELIVERED, Result.PARTIAL})
_LONGEST: Final = 60.0
_SERVER_ERROR: Final = 500
_SPLIT_AFTER: Final = 6
"""Attempts after which a batch that the server fails at is halved: one event of it may be the reason."""

_SPLIT_UNTIL: Final = 32
"""Failures in a row after which nothing is halved any more: then the server fails at everything. Between this and
:data:`_SPLIT_AFTER` there are enough of them to find one event among millions."""


@dataclass(slots=True)
class Settled:
    """Moves, and the receipts that go with them; events delivered, and those of them that may be there twice."""

    moves: list[Move] = field(default_factory=list)
    receipts: list[dict[str, Json]] = field(default_factory=list)
    delivered: list[tuple[Loaded, bool]] = field(default_factory=list)
    quarantined: int = 0


class Settler:
    """Decides, for one destination."""

    def __init__(
        self, destination: str, loader: Loader, jitter: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._destination = destination
        self._loader = loader
        self._jitter = jitter

    def settle(self, sent: Sequence[tuple[Delivery, Loaded, Outcome | None]], ledger: Ledger, now: datetime) -> Settled:
        """Decide about a group of requests; no outcome means that it was not sent."""
        settled = Settled()
        for delivery, loaded, outcome in sent:
            if outcome is None:
                settled.moves.append(Move(Do.RETURN, now, delivery.key))
                continue
            found = ledger.open[delivery.key]
            if _one_event_may_be_why(found, outcome, ledger):
                until = now + self._pause(found.attempts)
                settled.moves.append(replace(_halved(found.key, now), detail=outcome.detail, until=until))
            else:
                self._one(settled, found, loaded, outcome, now)
        outcomes = [(delivery.lane, outcome) for delivery, _, outcome in sent if outcome is not None]
        settled.moves += self._about_destination(outcomes, settled, ledger, now)
        return settled

    def confirmed(self, settled: Settled, delivery: Delivery, now: datetime) -> None:
        """A batch that was accepted has been acknowledged."""
        outcome = Outcome(Result.DELIVERED, assurance=Assurance.INDEXED, status=200)
        try:
            loaded = self._loader.load(delivery, now)
        except LumiError as error:
            # Without its body nobody can say what was acknowledged. It is blocked when it is to be sent again.
            settled.moves.append(Move(Do.DOUBT, now, delivery.key, detail=str(error)[:500]))
        else:
            self._deliver(settled, delivery, loaded, outcome, now)

    def quarantine(self, settled: Settled, delivery: Delivery, reason: str, now: datetime) -> None:
        """One event is put aside."""
        settled.moves.append(Move(Do.QUARANTINE, now, delivery.key, detail=reason))
        event = self._loader.event(delivery.key)
        settled.receipts.append(receipts.quarantined(self._destination, delivery, event, reason, now))
        settled.quarantined += 1

    def _one(self, settled: Settled, delivery: Delivery, loaded: Loaded, outcome: Outcome, now: datetime) -> None:
        key = delivery.key
        match outcome.result:
            case Result.DELIVERED if outcome.ack is not None:
                until = now + ACK_PATIENCE
                settled.moves.append(Move(Do.ACCEPT, now, key, until=until, ack=outcome.ack))
            case Result.DELIVERED:
                self._deliver(settled, delivery, loaded, outcome, now)
            case Result.PARTIAL if outcome.index is not None and 0 <= outcome.index < key.count:
                self._partial(settled, delivery, loaded, outcome, now)
            case Result.PARTIAL | Result.AMBIGUOUS:
                until = now + self._pause(delivery.attempts)
                settled.moves.append(Move(Do.DOUBT, now, key, detail=outcome.detail, until=until))
            case Result.TOO_LARGE if key.count > 1:
                settled.moves.append(_halved(key, now))
            case Result.REFUSED if outcome.index is not None and 0 <= outcome.index < key.count:
                self._partial(settled, delivery, loaded, outcome, now)
            case Result.REFUSED if key.count > 1:
                settled.moves.append(_halved(key, now))
            case Result.TOO_LARGE | Result.REFUSED:
                self.quarantine(settled, delivery, outcome.detail, now)
            case Result.RETRY | Result.BLOCKED:
                until = now + self._pause(delivery.attempts) if outcome.result is Result.RETRY else now
                settled.moves.append(Move(Do.WAIT, now, key, detail=outcome.detail, until=until))

    def _partial(self, settled: Settled, delivery: Delivery, loaded: Loaded, outcome: Outcome, now: datetime) -> None:
        """One event is refused; those before it are there if the outcome is PARTIAL, and not if it is REFUSED."""
        key, index = delivery.key, outcome.index or 0
        refused = Key(key.plan, key.batch, key.first + index, key.first + index + 1)
        cuts = tuple(cut for cut in (refused.first, refused.end) if key.first < cut < key.end)
        if cuts:
            settled.moves.append(Move(Do.SPLIT, now, key, cuts=cuts))
        if index and outcome.result is Result.PARTIAL:
            part = replace(delivery, key=replace(key, end=refused.first))
            there = self._loader.load(part, now)
            # What was sent is the whole request, and its digest is what the receiver can compare.
            outgoing = replace(there.outgoing, body_sha256=loaded.outgoing.body_sha256)
            self._deliver(settled, part, replace(there, outgoing=outgoing), outcome, now)
        self.quarantine(settled, replace(delivery, key=refused), outcome.detail, now)

    def _deliver(self, settled: Settled, delivery: Delivery, loaded: Loaded, outcome: Outcome, now: datetime) -> None:
        settled.moves.append(Move(Do.DELIVER, now, delivery.key))
        settled.receipts.append(receipts.delivered(self._destination, delivery, loaded, outcome, now))
        settled.delivered.append((loaded, delivery.duplicates))

    def _about_destination(
        self, sent: Sequence[tuple[str, Outcome]], settled: Settled, ledger: Ledger, now: datetime
    ) -> list[Move]:
        """What the outcomes of a group, each with its lane, mean for all others: they may have to wait for a while."""
        outcomes = [outcome for _, outcome in sent]
        arrived = {lane for lane, outcome in sent if outcome.result in _ARRIVED}
        blocked = {lane: outcome for lane, outcome in sent if outcome.result is Result.BLOCKED}
        if not arrived and not set(blocked) <= set(ledger.pauses):
            return [_held(next(iter(blocked.values())).detail, now)]
        # Where one lane's credentials are refused and those of another are not, or were not, the other one goes on.
        moves = [replace(_held(outcome.detail, now), lanes=(lane,)) for lane, outcome in blocked.items()]
        if resumed := tuple(sorted(lane for lane in arrived if lane in ledger.pauses and lane not in blocked)):
            moves.append(Move(Do.RESUME, now, lanes=resumed))
        return [*moves, *self._about_all(outcomes, settled, ledger, now)]

    def _about_all(self, outcomes: Sequence[Outcome], settled: Settled, ledger: Ledger, now: datetime) -> list[Move]:
        """What the outcomes mean for the whole destination."""
        if settled.quarantined and ledger.refusals + settled.quarantined >= REFUSALS_IN_A_ROW and not settled.delivered:
            last = next(move.detail for move in reversed(settled.moves) if move.do is Do.QUARANTINE)
            return [_held(f"it refuses one event after the other, the last with: {last}", now)]
        asked = max((outcome for outcome in outcomes if outcome.retry_after), key=_retry_after, default=None)
        if asked is not None:
            until = now + timedelta(seconds=_retry_after(asked))
            return [Move(Do.HOLD, now, detail=asked.detail, until=until)]
        failed = [o for o in outcomes if o.result in {Result.RETRY, Result.AMBIGUOUS}]
        if failed and len(failed) == len(outcomes):
            until = now + self._pause(ledger.failures + 1)
            return [Move(Do.HOLD, now, detail=failed[-1].detail, until=until)]
        arrived = any(outcome.result in _ARRIVED for outcome in outcomes)
        return [Move(Do.RESUME, now)] if ledger.hold is not None and arrived else []

    def _pause(self, attempts: int) -> timedelta:
        """Full jitter: anything up to a time that doubles from one second to a minute."""
        return timedelta(seconds=self._jitter(0.1, min(_LONGEST, 2.0 ** min(attempts, 10))))


def _held(detail: str, now: datetime) -> Move:
    """Until somebody has corrected something, one request each quarter of an hour."""
    return Move(Do.HOLD, now, detail=detail, until=now + PROBE_AFTER, settings=True)


def _one_event_may_be_why(delivery: Delivery, outcome: Outcome, ledger: Ledger) -> bool:
    """Whether a batch that the server failed at is to be halved."""
    failed = outcome.result is Result.RETRY and outcome.status == _SERVER_ERROR
    return failed and delivery.key.count > 1 and delivery.attempts >= _SPLIT_AFTER and ledger.failures < _SPLIT_UNTIL


def _halved(key: Key, now: datetime) -> Move:
    return Move(Do.SPLIT, now, key, cuts=((key.first + key.end) // 2,))


def _retry_after(outcome: Outcome) -> float:
    return outcome.retry_after or 0.0
