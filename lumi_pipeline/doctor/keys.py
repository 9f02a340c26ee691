"""The keys that sign, and the policy: there, private, whole, and those of this log."""

import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, not_configured, ok, problem, warning
from lumi_pipeline.errors import ConfigError
from lumi_pipeline.rotating import Phase
from lumi_pipeline.rotation import KeyHistory, Role
from transparency.encoding import excerpt
from transparency.entries import Genesis, evidence_key_name
from transparency.errors import KeyFormatError, ObjectMissing
from transparency.keys import SigningKey, VerifierKey

_VKEY: Final = "log/log.vkey"
_PROBE: Final = b"lumi doctor: this is no checkpoint\n"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def look_at_key(purpose: str, examination: Examination) -> Iterator[Finding]:
    """Read a key file, sign and verify with it."""
    config = examination.config
    is_log = purpose == "log"
    path = config.log_key_file if is_log else config.evidence_key_file
    wanted = config.origin if is_log else evidence_key_name(config.origin)
    unsafe = _unsafe(path, purpose)
    if unsafe is not None:
        yield unsafe
        return
    try:
        key = SigningKey.load(path)
    except KeyFormatError as error:
        yield problem(str(error), "restore it from its backup; a new key is another log's key")
        return
    if key.name != wanted:
        yield problem(
            f"{path} holds the key of {excerpt(key.name)}, but 'origin' asks for {wanted}",
            f"correct 'origin' or '{purpose}_key_file'",
        )
    elif not key.verifier.verify(_PROBE, key.sign(_PROBE)):
        yield problem(f"{path}: what it signs does not verify", "restore it from its backup, and check this machine")
    else:
        yield ok(f"{path} is private, signs and verifies; id {key.verifier.key_id.hex()}")


def look_at_agreement(examination: Examination) -> Iterator[Finding]:
    """Hold keys and policy against those that the log signs with from here on, and the one that it publishes."""
    genesis = examination.pipeline.genesis()
    if genesis is None:
        yield ok("there is no log yet to hold the keys against")
        return
    found = [*_missing(examination, genesis), *_unpinned(examination, genesis), *_unfinished(examination)]
    if _published_vkey(examination) not in {None, f"{genesis.key.vkey}\n".encode()}:
        found.append(
            problem(
                f"{_VKEY} is not the key that the log began with, which it has to be for ever",
                f"write it again: {genesis.key.vkey}",
            )
        )
    yield from found or [ok("these are the keys that the log signs with, and it publishes its first one")]


def _signing(examination: Examination, genesis: Genesis, role: Role) -> tuple[VerifierKey, ...]:
    """The keys that sign when all sealed days are published."""
    pipeline = examination.pipeline
    return KeyHistory(pipeline.lake, genesis).keys(role, 1 + len(pipeline.sealed_days()))


def _unpinned(examination: Examination, genesis: Genesis) -> Iterator[Finding]:
    """A policy that was not told of a new key takes nothing for verified once that key signs alone."""
    path, policy = examination.config.policy_file, examination.pipeline.trust()
    pinned = policy.pinned_keys(genesis.origin) if policy else ()
    for key in _signing(examination, genesis, Role.LOG) if path and pinned else ():
        if key not in pinned:
            yield warning(f"{path} lacks a key that the log signs with", f"add the line: log {key.vkey}")


def _missing(examination: Examination, genesis: Genesis) -> Iterator[Finding]:
    for role in Role:
        for key in _signing(examination, genesis, role):
            try:
                examination.pipeline.keyring.find(role, key)
            except ConfigError as error:
                yield problem(
                    f"the {role.value} key is not the one that the log signs with: {error}",
                    "put back the key that the log signs with, or correct 'root'",
                )


def _unfinished(examination: Examination) -> Iterator[Finding]:
    for role in Role:
        state = examination.pipeline.key_state(role)
        if state.phase in {Phase.MADE, Phase.ALONE}:
            yield warning(f"the replacement of the {role.value} key is not finished", state.advice() or "")


def look_at_policy(examination: Examination) -> Iterator[Finding]:
    """Read the witness policy, which has to know this log."""
    path, origin = examination.config.policy_file, examination.config.origin
    if path is None:
        yield not_configured("no 'policy_file', so no witnesses")
        return
    policy = examination.pipeline.trust()
    if policy is None or not policy.pinned_keys(origin):
        yield warning(f"{path} has no key of {origin}, so no checkpoint of it verifies", "add its line: log <vkey>")
    else:
        yield ok(f"{path} names {len(policy.log_keys)} log key(s) and {len(policy.witnesses)} witness(es)")


def _unsafe(path: Path, purpose: str) -> Finding | None:
    """What is wrong with where a key lies and who may get at it."""
    if not path.exists():
        return problem(
            f"there is no {purpose} key at {path}",
            f"set '{purpose}_key_file' to where it is; for a new log make one: lumi keys new",
        )
    mode, folder = stat.S_IMODE(path.stat().st_mode), path.parent.stat().st_mode
    if mode & _OTHERS:
        return problem(
            f"{path} has mode {mode:04o}: others may use the key",
            f"chmod 600 {path}; if others were on this machine, replace the key",
        )
    # Where the sticky bit is set, nobody can replace another's file.
    if folder & _OTHERS_WRITE and not folder & stat.S_ISVTX:
        return problem(f"others may replace files in {path.parent}", f"chmod go-w {path.parent}")
    return None


def _published_vkey(examination: Examination) -> bytes | None:
    try:
        return examination.root.store.get(_VKEY)
    except ObjectMissing:
        return None


def _check(purpose: str) -> Check:
    look: Callable[[Examination], Iterator[Finding]] = partial(look_at_key, purpose)
    return Check(f"{purpose} key", look, f"see '{purpose}_key_file'")


KEY_CHECKS: Final = (
    _check("log"),
    _check("evidence"),
    Check(
        "keys of this log", look_at_agreement, "lumi fsck tells what is damaged", ("root", "log key", "evidence key")
    ),
    Check("policy", look_at_policy, "correct 'policy_file' or the file"),
)
