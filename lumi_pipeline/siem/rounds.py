"""One round over all destinations: what is planned, what is delivered; one that fails keeps no other waiting.

Days that are over are filled where something of them is lacking, exactly as ``lumi siem backfill`` does it, but never
before the day that a destination begins with: that takes somebody who asks for it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from lumi_pipeline.errors import LeaseHeld, LumiError
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.backfill import backfill, find_gap
from lumi_pipeline.siem.deliver import DeliveryReport
from lumi_pipeline.siem.exports import Exports


@dataclass(slots=True)
class Round:
    """What a round did for one destination; ``error`` is what went wrong, ``held`` who else is delivering to it.

    ``planned`` and ``delivered`` count events by UTC day of recording.
    """

    name: str
    planned: Counter[date] = field(default_factory=Counter)
    plans: int = 0
    refused: int = 0
    delivery: DeliveryReport | None = None
    error: str | None = None
    held: str | None = None

    @property
    def delivered(self) -> Counter[date]:
        """Events delivered, by day."""
        return self.delivery.days if self.delivery else Counter()


def plan_all(exports: Exports) -> list[Round]:
    """Plan for every destination what was landed since."""

    def plan(done: Round) -> None:
        for report in exports.plan(done.name):
            done.plans += 1
            done.refused += report.refused
            done.planned.update(report.days)

    return [_guarded(name, plan) for name in exports.names]


def deliver_all(exports: Exports, patience: timedelta, days: Sequence[date] = ()) -> list[Round]:
    """Deliver to every destination what is planned; fill those of ``days`` that are over."""
    today = exports.clock().date()
    past = sorted(day for day in days if day < today)

    def deliver(done: Round) -> None:
        first = max(past[0], exports.since(done.name)) if past else today
        if past and first <= past[-1]:
            gap = find_gap(exports, done.name, Period(first, past[-1]))
            if gap.events:
                done.delivery = backfill(exports, done.name, gap, patience).delivery
                return
        done.delivery = exports.deliver(done.name, patience)

    return [_guarded(name, deliver) for name in exports.names]


def _guarded(name: str, act: Callable[[Round], None]) -> Round:
    done = Round(name)
    try:
        act(done)
    except LeaseHeld as error:
        done.held = str(error)
    except LumiError as error:
        done.error = str(error)
    return done
