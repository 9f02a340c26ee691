"""The verdict on a whole log that somebody publishes, as ``lumi verify`` gives it."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from lumi_pipeline.cli.fetch import CHECKPOINT, Fetch
from lumi_pipeline.cli.output import count
from lumi_pipeline.keyadvice import claimed_keys, explain_log
from lumi_pipeline.verdict import Status, Verdict
from transparency.errors import FormatError, ObjectMissing, StoreError, VerificationError
from transparency.keys import VerifierKey
from transparency.policy import Policy

if TYPE_CHECKING:
    from transparency.encoding import Json
    from transparency.verify import LogVerdict

_SHOWN_DAYS: Final = 5
_SIGNATURE_MARK: Final = "\n\u2014 ".encode()

Progress = Callable[[int, int], None]


def judge_log(fetch: Fetch, policy: Policy | None, subject: str, progress: Progress | None = None) -> Verdict:
    """Verify a log from its files. Without a policy the best verdict is "consistent, key unconfirmed"."""
    from transparency.verify import verify_log

    try:
        if not is_checkpoint(fetch(CHECKPOINT)):
            return Verdict(subject, Status.UNRECOGNISED, "unrecognised", ("Its checkpoint is not a signed note.",))
        log = verify_log(fetch, policy or claimed_keys(fetch), progress)
    except ObjectMissing as error:
        return Verdict(subject, Status.UNRECOGNISED, "unrecognised", (f"Not a log: {error}.",))
    except (VerificationError, FormatError, StoreError) as error:
        return _explained(failed(subject, error), fetch, policy)
    return _verdict(log, subject, confirmed=policy is not None)


def is_checkpoint(data: bytes) -> bool:
    """Tell whether these bytes are meant as a signed checkpoint, however damaged."""
    return _SIGNATURE_MARK in data


def _explained(verdict: Verdict, fetch: Fetch, policy: Policy | None) -> Verdict:
    """Add what the log says of its keys, where it is not signed with one that is trusted."""
    if policy is None or verdict.reason not in {"checkpoint-signature", "log-key"}:
        return verdict
    explanation = explain_log(fetch, policy)
    return replace(verdict, lines=(*verdict.lines, explanation)) if explanation else verdict


def failed(subject: str, error: VerificationError | FormatError | StoreError) -> Verdict:
    """Say why something did not verify, or, when the files could not be had, why nobody knows."""
    if isinstance(error, VerificationError):
        return Verdict(subject, Status.FAILED, error.reason, (str(error),))
    if isinstance(error, FormatError):
        return Verdict(subject, Status.FAILED, "malformed", (str(error),))
    return Verdict(subject, Status.INCOMPLETE, "unreachable", (str(error),))


def _verdict(log: "LogVerdict", subject: str, *, confirmed: bool) -> Verdict:
    """Turn what the log's verification found into a verdict."""
    key = log.policy.log_key
    through = "no day yet" if log.last_day is None else f"{log.genesis.first_day} to {log.last_day}"
    witnesses = ", ".join(name for name, _ in log.policy.cosigned_by)
    cosigned = f"Cosigned by {witnesses}." if witnesses else "Not cosigned by a witness you named."
    if not log.policy.split_view_excluded:
        cosigned += " Split view not excluded."
    entries = count(log.checkpoint.size, "entry", "entries")
    lines = [
        f"{log.checkpoint.origin}: {entries}, {through}; every published byte follows from them.",
        f"Signed by {key.fingerprint}. {cosigned}",
    ]
    days: list[Json] = [day.isoformat() for day in log.broken_days]
    facts: dict[str, Json] = {
        "breaks": log.breaks,
        "broken_days": days,
        "key": key.vkey,
        "origin": log.checkpoint.origin,
        "size": log.checkpoint.size,
        "type": "log",
    }
    if log.breaks:
        some = ", ".join(str(day) for day in log.broken_days[:_SHOWN_DAYS])
        more = ", …" if len(log.broken_days) > _SHOWN_DAYS else ""
        lines.append(f"Finding: {count(log.breaks, 'declared break')} in the chains of {some}{more}.")
        return Verdict(subject, Status.FAILED, "declared-break", tuple(lines), facts)
    verdict = Verdict(subject, Status.VERIFIED, "ok", tuple(lines), facts)
    return verdict if confirmed else unconfirmed(verdict, key)


def unconfirmed(verdict: Verdict, key: VerifierKey) -> Verdict:
    """Take back what a verdict says beyond consistency, because nobody vouched for the key."""
    line = (
        "Consistent, but no trusted key was given, so anybody could have made this. Compare the fingerprint "
        f"{key.fingerprint} with one you trust, or pass --key."
    )
    return replace(verdict, status=Status.INCOMPLETE, reason="key-unconfirmed", lines=(*verdict.lines, line))
