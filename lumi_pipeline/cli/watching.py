"""What ``lumi monitor`` says of one look at a log: several verdicts, because several things can be wrong at once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from lumi_pipeline.cli.fetch import CHECKPOINT, Fetch
from lumi_pipeline.cli.logs import failed, is_checkpoint, unconfirmed
from lumi_pipeline.cli.output import count
from lumi_pipeline.due import format_due
from lumi_pipeline.following import MonitorState
from lumi_pipeline.keyadvice import claimed_keys
from lumi_pipeline.verdict import Status, Verdict
from transparency.checkpoint import parse_signed_checkpoint
from transparency.errors import FormatError, ObjectMissing, StoreError, VerificationError
from transparency.monitor import Contradiction, Followed, Step, follow, overdue_days
from transparency.policy import Policy, evaluate
from transparency.verify import check_checkpoint

if TYPE_CHECKING:
    from transparency.encoding import Json
    from transparency.verify import Progress

_SHOWN_DAYS: Final = 5


@dataclass(frozen=True, slots=True)
class Watched:
    """What one look came to.

    ``followed`` is the state to keep once the verdicts were told; None leaves the one there is. Unless ``changed``
    there is nothing to tell, and unless ``urgent`` nothing that anybody has to act on.
    """

    verdicts: list[Verdict]
    followed: Followed | None
    changed: bool
    urgent: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """How to look: whom the reader trusts (``policy``), or else whose keys are configured here (``own``); and when."""

    subject: str
    policy: Policy | None
    own: Policy | None
    now: datetime
    due: timedelta

    def look(self, fetch: Fetch, state: MonitorState, progress: "Progress | None" = None) -> Watched:
        """Look at the log; every outcome is a verdict. Evidence of a contradiction is kept, the state is not."""
        before = state.followed
        policy = None
        fetch = _reading_once(fetch)
        try:
            if before is None and not is_checkpoint(fetch(CHECKPOINT)):
                return self._ended(Status.UNRECOGNISED, "unrecognised", "Its checkpoint is not a signed note.")
            policy = self._trust(fetch)
            step = follow(fetch, policy or self._claimed(fetch, before), before, progress)
        except Contradiction as found:
            return self._contradicted(found, state)
        except ObjectMissing as error:
            if before is None:
                return self._ended(Status.UNRECOGNISED, "unrecognised", f"Not a log: {error}.")
            return self._ended(Status.INCOMPLETE, "unreachable", f"The log is not there any more: {error}.")
        except (VerificationError, FormatError, StoreError) as error:
            verdict = failed(self.subject, error)
            return _all([replace(verdict, lines=(*verdict.lines, *self._hint(fetch, verdict, before)))], None)
        verdicts = [self._followed(step, confirmed=policy is not None), *self._findings(step, policy)]
        return _all(verdicts, step)

    def _trust(self, fetch: Fetch) -> Policy | None:
        """The reader's policy; without one the keys configured here, if this is a log of theirs."""
        if self.policy is not None or self.own is None:
            return self.policy
        try:
            origin = parse_signed_checkpoint(fetch(CHECKPOINT)).checkpoint.origin
        except FormatError:
            return None
        return self.own if self.own.pinned_keys(origin) else None

    def _claimed(self, fetch: Fetch, before: Followed | None) -> Policy:
        """Stands in for trust: the keys seen before, so that nobody swaps them, or the one that the log claims."""
        if before is None:
            return claimed_keys(fetch)
        return Policy((before.history().genesis.key, *before.announced))

    def _followed(self, step: Step, *, confirmed: bool) -> Verdict:
        """What is new, who vouches for it, and which keys are announced."""
        key = step.policy.log_key
        size = step.followed.head.size
        witnesses = ", ".join(f"{name} ({_time(time)})" for name, time in step.policy.cosigned_by)
        cosigned = f"Cosigned by {witnesses}." if witnesses else "Not cosigned by a witness you named."
        lines = [
            f"{step.followed.head.origin}: {_new(step)}",
            f"Signed by {key.fingerprint}. {cosigned}",
            *_announcements(step),
        ]
        days: list[Json] = [record.day.isoformat() for record in step.records]
        facts: dict[str, Json] = {
            "new_days": days if step.before is not None else [],
            "origin": step.followed.head.origin,
            "previous_size": None if step.before is None else step.before.head.size,
            "size": size,
            "split_view_excluded": step.policy.split_view_excluded,
            "type": "log",
        }
        verdict = Verdict(self.subject, Status.VERIFIED, "ok", tuple(lines), facts)
        return verdict if confirmed else unconfirmed(verdict, key)

    def _findings(self, step: Step, policy: Policy | None) -> Iterator[Verdict]:
        """What is wrong although the log verifies: no quorum, declared breaks of new days, overdue records."""
        if policy is not None and not step.policy.quorum_met:
            try:
                evaluate(policy, parse_signed_checkpoint(step.followed.checkpoint))
            except VerificationError as error:
                yield failed(self.subject, error)
        broken = [record for record in step.records if record.breaks]
        if broken:
            breaks = count(sum(record.breaks for record in broken), "declared break")
            line = f"Finding: {breaks} in the chains of {_days([record.day for record in broken])}."
            yield self._finding("declared-break", line, [record.day for record in broken])
        overdue = overdue_days(step.history, self.now, self.due)
        if overdue is not None:
            first, last = overdue
            days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
            line = f"There is no record of {_days(days)}; it was due by {format_due(self.due)} UTC of the day after."
            yield self._finding("overdue", line, days)

    def _finding(self, reason: str, line: str, days: list[date]) -> Verdict:
        some: list[Json] = [day.isoformat() for day in days]
        return Verdict(self.subject, Status.FAILED, reason, (line,), {"days": some, "type": "log"})

    def _contradicted(self, found: Contradiction, state: MonitorState) -> Watched:
        files = state.keep(found)
        kept: list[Json] = [str(file) for file in files]
        lines = [
            f"ALARM: {found}.",
            "Both checkpoints carry the log's own signature. Show them to those who rely on it. Kept as evidence:",
            *(f"  {file}" for file in files),
            f"{state.path} stays at what was seen before; move it away to follow the log anew.",
        ]
        facts: dict[str, Json] = {"evidence": kept, "type": "log"}
        return _all([Verdict(self.subject, Status.FAILED, found.reason, tuple(lines), facts)], None)

    def _hint(self, fetch: Fetch, verdict: Verdict, before: Followed | None) -> list[str]:
        """Tell a reader who pins the old key alone that the log announced the one that signs now."""
        if verdict.reason != "checkpoint-signature" or before is None or not before.announced:
            return []
        try:
            signed_by = check_checkpoint(fetch(CHECKPOINT), Policy(before.announced))[1].log_key
        except (VerificationError, FormatError, StoreError):
            return []
        return [
            f"It is signed by {signed_by.vkey}, which its record of {takeover.announced} announced. If that is right, "
            "pin this key as well."
            for takeover in before.takeovers
            if takeover.key == signed_by
        ]

    def _ended(self, status: Status, reason: str, line: str) -> Watched:
        return _all([Verdict(self.subject, status, reason, (line,))], None)


def _reading_once(fetch: Fetch) -> Fetch:
    """Fetch the checkpoint once, so that everything said of it is said of the same one."""
    kept: list[bytes] = []

    def fetch_once(path: str) -> bytes:
        if path != CHECKPOINT:
            return fetch(path)
        if not kept:
            kept.append(fetch(path))
        return kept[0]

    return fetch_once


def _all(verdicts: list[Verdict], step: Step | None) -> Watched:
    wrong = any(verdict.status is not Status.VERIFIED for verdict in verdicts)
    if step is None:
        return Watched(verdicts, None, changed=True, urgent=True)
    new = step.before is None or step.before.head.size != step.followed.head.size
    return Watched(verdicts, step.followed, changed=wrong or new, urgent=wrong or any(map(bool, _announcements(step))))


def _new(step: Step) -> str:
    entries = count(step.followed.head.size, "entry", "entries")
    if step.before is None:
        through = "no day yet" if step.history.last is None else f"to {step.history.last.day}"
        return f"{entries}, {step.history.genesis.first_day} {through}; followed from now on."
    seen = f"the {step.before.head.size:,} seen before"
    if not step.records:
        return f"{entries}, nothing new since {seen}."
    days = _days([record.day for record in step.records])
    return f"{entries}; {count(len(step.records), 'new day')}, {days}, on top of {seen}."


def _announcements(step: Step) -> list[str]:
    """The keys that new records announce, for readers who have to pin them."""
    lines = []
    for record in step.records if step.before is not None else ():
        for what, key in (("log", record.next_key), ("evidence", record.next_evidence_key)):
            if key is not None:
                lines.append(
                    f"The record of {record.day} announces the {what} key {key.vkey} (fingerprint {key.fingerprint}), "
                    "valid from the next record on. Ask the operator whether that is right, then trust it as well."
                )
    return lines


def _days(days: list[date]) -> str:
    """Name days: all of few, or the first and the last of a run."""
    if len(days) > 1 and (days[-1] - days[0]).days == len(days) - 1:
        return f"{days[0]} to {days[-1]}"
    more = ", …" if len(days) > _SHOWN_DAYS else ""
    return ", ".join(str(day) for day in days[:_SHOWN_DAYS]) + more


def _time(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s"
