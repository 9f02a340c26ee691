"""Whom a verification trusts: ``--key`` and ``--policy``, given by whoever verifies."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from lumi_pipeline.cli.command import ExitCode, Stop
from lumi_pipeline.cli.options import PATH, Given
from lumi_pipeline.errors import LumiError

if TYPE_CHECKING:
    from transparency.policy import Policy

_Function = TypeVar("_Function", bound=Callable[..., object])

MAX_TRUST_BYTES: Final = 1 << 20


def trust_options(function: _Function) -> _Function:
    """Let the command take ``--key`` (any number) and ``--policy``."""
    function = click.option(
        "--policy", "policy_file", metavar="FILE", type=PATH, help="Trust the keys and witnesses of this tlog-policy."
    )(function)
    return click.option(
        "--key",
        "key_texts",
        metavar="VKEY-OR-FILE",
        multiple=True,
        help="Trust this key (of a log, of evidence, of a witness), or those in this file.",
    )(function)


def read_trust(key_texts: Sequence[str], policy_file: Path | None) -> "Policy | None":
    """Combine keys and policy file; None when neither was given. What cannot be read is a usage error."""
    from transparency.policy import Policy

    if not key_texts and policy_file is None:
        return None
    try:
        pinned = Policy.pinning(*(vkey for text in key_texts for vkey in _vkeys(text)))
    except LumiError as error:
        raise Stop(f"--key: {error}", ExitCode.USAGE) from None
    if policy_file is None:
        return pinned
    if pinned.witnesses:
        raise Stop(
            "--key: with a policy, name witnesses in the policy, which says how many of them have to cosign",
            ExitCode.USAGE,
        )
    try:
        policy = Policy.parse(_read(policy_file))
    except LumiError as error:
        raise Stop(f"{policy_file}: {error}", ExitCode.USAGE) from None
    more = tuple(key for key in pinned.log_keys if key not in policy.log_keys)
    return replace(policy, log_keys=policy.log_keys + more)


def own_trust(given: Given) -> "Policy | None":
    """Trust in the log and the evidence whose keys are configured here; None when there is no key that can be read."""
    from transparency.policy import Policy

    pipeline = given.pipeline()
    try:
        trusted = pipeline.trust()
    except LumiError:
        trusted = None  # then nothing is trusted, and the verdict says so
    try:
        evidence = pipeline.known_evidence_keys()
    except LumiError:
        evidence = ()
    # A key only ever speaks for what has its own name, so no log is believed for the sake of the evidence key.
    if trusted is None:
        return Policy(evidence) if evidence else None
    return replace(trusted, log_keys=trusted.log_keys + evidence)


def _vkeys(text: str) -> list[str]:
    """Return the vkey itself, or those that the file of that name holds, one a line."""
    # Not with pathlib, which fails where a vkey is longer than a file's name can be.
    if "+" in text and not os.path.isfile(text):  # noqa: PTH113
        return [text]
    if not os.path.exists(text):  # noqa: PTH110
        raise Stop(f"--key: {text!r} is neither a vkey nor a file that is there", ExitCode.USAGE)
    try:
        return _read(Path(text)).decode("utf-8").strip().split("\n")
    except UnicodeDecodeError:
        raise Stop(f"--key: {text} does not hold a vkey", ExitCode.USAGE) from None


def _read(path: Path) -> bytes:
    from lumi_pipeline.cli.fetch import open_without_waiting

    try:
        with open_without_waiting(path) as file:
            return file.read(MAX_TRUST_BYTES + 1)
    except OSError as error:
        raise Stop(f"{path}: {error.strerror}", ExitCode.USAGE) from None
