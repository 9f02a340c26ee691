"""What a thing to be verified is: a proof, evidence, receipts or a log, in a directory, on the web or in S3."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lumi_pipeline.cli.fetch import (
    CHECKPOINT,
    TooLarge,
    directory_fetch,
    is_url,
    log_address,
    log_directory,
    read_file,
    remote_fetch,
)
from lumi_pipeline.cli.logs import failed, judge_log
from lumi_pipeline.cli.progress import progress
from lumi_pipeline.evidence.bundlefiles import looks_like_bundle
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.siem.checking import UNKNOWN_SIGNER, looks_like_receipts, verify_receipts
from lumi_pipeline.verdict import Status, Verdict
from transparency.errors import ObjectMissing, StoreError
from transparency.policy import Policy

_FILES: Final = (".tlog-proof", ".jsonl")


def judge(target: str, policy: Policy | None, own: Policy | None = None) -> Verdict:
    """Find out what ``target`` is and verify it; every outcome is a verdict.

    ``policy`` is whom the user asked to trust. Where that is nobody, ``own`` is our own log's key, which says something
    only of what claims to come from our own log.
    """
    if policy is None and own is not None:
        verdict = judge(target, own)
        return judge(target, None) if verdict.reason in {"checkpoint-origin", UNKNOWN_SIGNER} else verdict
    try:
        return _judge_url(target, policy) if is_url(target) else _judge_path(target, Path(target), policy)
    except ObjectMissing as error:
        return Verdict(target, Status.UNRECOGNISED, "missing", (f"{error}.",))
    except TooLarge as error:
        return Verdict(target, Status.UNRECOGNISED, "unrecognised", (f"{error}.",))
    except StoreError as error:
        return failed(target, error)
    except OSError as error:
        return Verdict(target, Status.INCOMPLETE, "unreachable", (f"{target} can't be read: {error.strerror}.",))
    except ValueError:
        return Verdict(target, Status.UNRECOGNISED, "unrecognised", ("It is neither a path nor a URL.",))


def _judge_path(subject: str, path: Path, policy: Policy | None) -> Verdict:
    if looks_like_bundle(path):
        with progress("Verifying", "rows") as meter:
            return judge_bundle(path, policy, subject, meter.reach)
    if path.is_dir():
        directory = log_directory(path)
        if directory is not None:
            return _judge_log_directory(subject, directory, policy)
        return Verdict(subject, Status.UNRECOGNISED, "unrecognised", ("It holds neither a log nor evidence.",))
    if path.name == CHECKPOINT and path.is_file():
        return _judge_log_directory(subject, path.parent, policy)
    return _judge_file(subject, read_file(path), policy)


def _judge_file(subject: str, data: bytes, policy: Policy | None) -> Verdict:
    if looks_like_receipts(data):
        return verify_receipts(data, policy.log_keys if policy else None, subject)
    return verify_proof(data, policy, subject)


def _judge_log_directory(subject: str, directory: Path, policy: Policy | None) -> Verdict:
    with progress("Verifying", "entries") as meter:
        return judge_log(directory_fetch(directory), policy, subject, meter.reach)


def _judge_url(url: str, policy: Policy | None) -> Verdict:
    if urlsplit(url).path.endswith(_FILES):
        with remote_fetch(url) as fetch:
            return _judge_file(url, fetch(""), policy)
    with remote_fetch(log_address(url)) as fetch, progress("Verifying", "entries") as meter:
        return judge_log(fetch, policy, url, meter.reach)
