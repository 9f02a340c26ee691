"""What was found in an evidence bundle, in words for people and as facts for machines."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from lumi_pipeline.evidence.daychecks import CheckedDay, CheckedDays, breaks_declared
from lumi_pipeline.evidence.proofsfile import TYPE, Evidence
from lumi_pipeline.evidence.readertrust import ReaderTrust
from lumi_pipeline.evidence.rowchecks import RowFindings
from lumi_pipeline.verdict import Status, Verdict
from transparency.encoding import Json
from transparency.keys import VerifierKey

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class CheckedBundle:
    """A bundle of which every check but the last two passed: declared breaks, and a key of the reader's own."""

    evidence: Evidence
    trust: ReaderTrust
    days: CheckedDays
    rows: RowFindings
    signers: tuple[VerifierKey, ...]
    others: tuple[str, ...]


def verdict_on(checked: CheckedBundle, subject: str) -> Verdict:
    """Put what was found into words."""
    days, evidence = checked.days, checked.evidence
    broken = breaks_declared(days.days)
    found = f"{_count(checked.rows.rows, 'event')} of {_count(len(days.days), 'day')}, {_with_events(days.days)}"
    state = "as they were sealed" if broken else "unaltered"
    lines = [
        f"{evidence.tenant_id}, {evidence.first} to {evidence.last}: {found}.",
        f"They are all that the log {evidence.origin} commits to, and {state}.",
        f"The log was signed by {_fingerprints(days.policy.log_keys)}, the bundle by {_fingerprints(checked.signers)}.",
        _cosigned(days),
        _delay(days.days),
    ]
    if checked.rows.erased:
        lines.append(f"The payload of {_count(checked.rows.erased, 'event')} was erased; its hash is still proved.")
    if checked.others:
        more = f" and {len(checked.others) - _SHOWN:,} more" if len(checked.others) > _SHOWN else ""
        lines.append(f"Not part of the bundle, and not looked at: {', '.join(checked.others[:_SHOWN])}{more}.")
    facts = _facts(checked)
    if broken:
        shown = "; ".join(_breaks(day) for day in broken[:_SHOWN]) + ("; …" if len(broken) > _SHOWN else "")
        lines.append(f"Finding: days were sealed with declared breaks in this tenant's chain: {shown}.")
        return Verdict(subject, Status.FAILED, "declared-break", tuple(lines), facts)
    if not checked.trust.confirmed:
        lines += [
            "Consistent, but no trusted key of the log was given, so anybody could have made this.",
            f"Compare the fingerprint {evidence.genesis.key.fingerprint} with one you trust, or pass --key.",
        ]
        return Verdict(subject, Status.INCOMPLETE, "key-unconfirmed", tuple(lines), facts)
    return Verdict(subject, Status.VERIFIED, "ok", tuple(lines), facts)


def _facts(checked: CheckedBundle) -> dict[str, Json]:
    """The same for machines. What may be larger than a JSON number is decimal text."""
    days, evidence = checked.days, checked.evidence
    delays = _delays(days.days)
    cosigned: list[Json] = [{"name": name, "time": str(time)} for name, time in days.policy.cosigned_by]
    breaks: list[Json] = [
        {"day": day.day.isoformat(), "kind": kind, "seq": str(seq)}
        for day in breaks_declared(days.days)
        for seq, kind in day.declared
    ]
    signers: list[Json] = [key.vkey for key in checked.signers]
    return {
        "breaks": breaks,
        "checkpoint_size": str(days.checkpoint.size),
        "cosigned_by": cosigned,
        "days": len(days.days),
        "days_not_cosigned": len(days.days) - len(delays),
        "erased": checked.rows.erased,
        "events": str(checked.rows.rows),
        "evidence_keys": signers,
        "from": evidence.first.isoformat(),
        "key": days.policy.log_key.vkey,
        "longest_delay_seconds": str(max(delays)[0]) if delays else None,
        "origin": evidence.origin,
        "split_view_excluded": days.policy.split_view_excluded,
        "tenant": evidence.tenant_id,
        "to": evidence.last.isoformat(),
        "type": TYPE,
    }


def _with_events(days: tuple[CheckedDay, ...]) -> str:
    absent = sum(day.record is None for day in days)
    held = sum(day.record is not None and day.record.count > 0 for day in days)
    before = f", {absent:,} of them before its first" if absent else ""
    return f"{held:,} of which have any{before}"


def _fingerprints(keys: tuple[VerifierKey, ...]) -> str:
    return " and ".join(key.fingerprint for key in keys)


def _breaks(day: CheckedDay) -> str:
    listed = ", ".join(f"{kind} at seq {seq}" for seq, kind in day.declared[:_SHOWN])
    more = len(day.declared) - _SHOWN
    return f"{day.day}: {listed}" + (f" and {more:,} more" if more > 0 else "")


def _cosigned(days: CheckedDays) -> str:
    cosigners = ", ".join(name for name, _ in days.policy.cosigned_by)
    witnessed = f"Cosigned by {cosigners}" if cosigners else "Not cosigned by a witness you named"
    return f"{witnessed}{'' if days.policy.split_view_excluded else ': a split view of the log is not excluded'}."


def _delays(days: tuple[CheckedDay, ...]) -> list[tuple[int, date]]:
    return [(day.delay, day.day) for day in days if day.delay is not None]


def _delay(days: tuple[CheckedDay, ...]) -> str:
    delays = _delays(days)
    alone = len(days) - len(delays)
    if not delays:
        return (
            "No witness you named signed when the days came into the log: only the operator vouches for when that was."
        )
    seconds, day = max(delays)
    line = f"The longest time from the end of a day to a witness's first signature over it: {_span(seconds)} ({day})."
    if alone:
        line += f" Of {_count(alone, 'day')} no witness you named signed when they came into the log."
    return line


def _span(seconds: int) -> str:
    """A time that passed, rounded down to minutes; witnesses' clocks may be wrong, by any amount."""
    if seconds < 0:
        return "none, its clock said the day was not over"
    minutes = seconds // 60
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min"))
    return " ".join(f"{number:,} {unit}" for number, unit in parts if number) or "less than a minute"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
