"""``lumi keys``: make and show the keys that sign."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, ExitCode, Stop, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.output import say, say_json
from lumi_pipeline.config import Config

if TYPE_CHECKING:
    from transparency.keys import SigningKey


@dataclass(frozen=True, slots=True)
class _Role:
    """One of the two keys: what it is for, where it lies, and the name it signs under."""

    purpose: str
    path: Path
    name: str


@click.group(epilog=examples("lumi keys new", "lumi keys show"))
def keys() -> None:
    """Make and show the keys that sign checkpoints and evidence."""


@keys.command(cls=Command, epilog=examples("lumi --origin audit.example.com/lumi keys new"))
@config_option
@json_option
@click.pass_obj
def new(given: Given, as_json: bool) -> None:
    """Make the log key and the evidence key.

    Both are written to new files that only you can read (mode 0600); a key that exists is kept as it is. The public
    halves are printed: hand the log's to everyone who is to verify.
    """
    from transparency.keys import SigningKey

    roles = _roles(given.config())
    # Existing keys are read before anything is written, so a wrong one is found while nothing has changed.
    found = {role: _load(role) for role in roles if role.path.exists()}
    if len(found) == len(roles):
        files = " and ".join(str(role.path) for role in roles)
        raise Stop(
            f"{files} exist already; keys are never overwritten. See them with: lumi keys show", ExitCode.FAILURE
        )
    made = {}
    for role in roles:
        if role not in found:
            role.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made[role] = SigningKey.generate(role.name)
            # A crash after the first key leaves it for the next call, which keeps it and makes the other.
            made[role].save_new(role.path)
    _show({role: found.get(role) or made[role] for role in roles}, as_json, made=set(made))


@keys.command(cls=Command, epilog=examples("lumi keys show", "lumi keys show --json"))
@config_option
@json_option
@click.pass_obj
def show(given: Given, as_json: bool) -> None:
    """Show the public halves of both keys, never the secret ones."""
    _show({role: _load(role) for role in _roles(given.config())}, as_json, made=set())


def _roles(config: Config) -> tuple[_Role, _Role]:
    from transparency.entries import evidence_key_name

    return (
        _Role("log", config.log_key_file, config.origin),
        _Role("evidence", config.evidence_key_file, evidence_key_name(config.origin)),
    )


def _load(role: _Role) -> "SigningKey":
    from transparency.keys import SigningKey

    if not role.path.exists():
        raise Stop(f"there is no {role.purpose} key at {role.path}; make it with: lumi keys new", ExitCode.FAILURE)
    key = SigningKey.load(role.path)
    if key.name != role.name:
        raise Stop(
            f"{role.path} holds the key {key.name}, but the {role.purpose} key of this configuration is {role.name}; "
            "correct 'origin' or the path of the key file",
            ExitCode.FAILURE,
        )
    return key


def _show(keys: "dict[_Role, SigningKey]", as_json: bool, made: set[_Role]) -> None:
    if as_json:
        say_json(
            {
                role.purpose: {
                    "file": str(role.path),
                    "fingerprint": key.verifier.fingerprint,
                    "made": role in made,
                    "vkey": key.verifier.vkey,
                }
                for role, key in keys.items()
            }
        )
        return
    for role, key in keys.items():
        state = "new" if role in made else "kept" if made else "in"
        say(
            f"{role.purpose} key ({state} {role.path})"
            if state == "in"
            else f"{role.purpose} key, {state}: {role.path}"
        )
        say(f"  vkey         {key.verifier.vkey}")
        say(f"  fingerprint  {key.verifier.fingerprint}")
