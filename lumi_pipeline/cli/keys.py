"""``lumi keys``: make, show and replace the keys that sign."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, ExitCode, Stop, examples
from lumi_pipeline.cli.options import PATH, Given, config_option, json_option
from lumi_pipeline.cli.output import count, note, say, say_json
from lumi_pipeline.errors import ConfigError, LumiError
from transparency.encoding import b64encode

if TYPE_CHECKING:
    from lumi_pipeline.keyfiles import KeyFiles
    from lumi_pipeline.pipeline import Pipeline
    from lumi_pipeline.rotating import KeyState
    from lumi_pipeline.rotation import Role
    from transparency.keys import SigningKey


@click.group(epilog=examples("lumi keys new", "lumi keys show", "lumi keys rotate"))
def keys() -> None:
    """Make, show and replace the keys that sign checkpoints and evidence."""


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

    files = given.pipeline().keyring.files
    # Existing keys are read before anything is written, so a wrong one is found while nothing has changed.
    found = {role: _current(role, file) for role, file in files.items() if file.path.exists()}
    if len(found) == len(files):
        paths = " and ".join(str(file.path) for file in files.values())
        raise Stop(
            f"{paths} exist already; keys are never overwritten. See them with: lumi keys show", ExitCode.FAILURE
        )
    made = {}
    for role, file in files.items():
        if role not in found:
            file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made[role] = SigningKey.generate(file.name)
            # A crash after the first key leaves it for the next call, which keeps it and makes the other.
            made[role].save_new(file.path)
    shown = {role: found.get(role) or made[role] for role in files}
    if as_json:
        say_json(
            {
                role.value: {"file": str(files[role].path), "made": role in made, **_public(key)}
                for role, key in shown.items()
            }
        )
        return
    for role, key in shown.items():
        say(f"{role.value} key, {'new' if role in made else 'kept'}: {files[role].path}")
        _say_public(key)


@keys.command(cls=Command, epilog=examples("lumi keys show", "lumi keys show --json"))
@config_option
@json_option
@click.pass_obj
def show(given: Given, as_json: bool) -> None:
    """Show the public halves of the keys, never the secret ones, and how far a replacement is.

    It tells what to do next: when a new key has to be backed up and copied, when the old file may be destroyed.
    """
    pipeline = given.pipeline()
    # First of all, as they can be shown where the lake can't be reached.
    held = {role: _held(role, files) for role, files in pipeline.keyring.files.items()}
    states: dict[Role, KeyState] = {}
    try:
        states = {role: pipeline.key_state(role) for role in held}
    except LumiError as error:
        note(f"Which keys sign now is not known: {error}")
    _show(pipeline, held, states, as_json=as_json)


@keys.command(cls=Command, epilog=examples("lumi keys rotate", "lumi keys rotate --log"))
@click.option("--log", is_flag=True, help="Replace the key that signs checkpoints.")
@click.option("--evidence", is_flag=True, help="Replace the key that signs evidence and receipts.")
@config_option
@json_option
@click.pass_obj
def rotate(given: Given, log: bool, evidence: bool, as_json: bool) -> None:
    """Replace a key, or both: make the next one, and have the next sealed day announce it.

    The new key is written beside the old one (FILE.next, mode 0600). From the day after the announcement on both sign,
    and 30 days later the new one alone; 'lumi keys show' tells what to do when. It becomes an event of the operator's
    own tenant. Run it again if it was interrupted. A key that was stolen can't be replaced so: see docs/operations.md.
    """
    from lumi_pipeline.rotation import Role

    pipeline = given.pipeline()
    wanted = {Role.LOG: log, Role.EVIDENCE: evidence}
    states = {role: pipeline.rotate(role) for role in Role if wanted[role] or not any(wanted.values())}
    _show(pipeline, {role: state.files.held() for role, state in states.items()}, states, as_json=as_json)


@keys.command(
    cls=Command,
    epilog=examples(
        "lumi keys succeed ../site/lake",
        "lumi keys succeed ../site/lake --checkpoint ../site/lake/log-private/cosigned/000000000325 --discard-later",
    ),
)
@click.argument("before", metavar="OLD-ROOT")
@click.option("--checkpoint", metavar="FILE", type=PATH, help="The old log's last checkpoint that is beyond doubt.")
@click.option(
    "--discard-later", is_flag=True, help="Remove days that it does not cover from the copy, to seal them anew."
)
@config_option
@json_option
@click.pass_obj
def succeed(given: Given, before: str, checkpoint: Path | None, discard_later: bool, as_json: bool) -> None:
    """Begin a log that succeeds another one, whose key was stolen.

    'root' has to be a copy of OLD-ROOT without log/ and log-private/, 'origin' another name, and the keys new ones. The
    first entry of the new log pins the old one at its last checkpoint, or at the one that is given; nothing of OLD-ROOT
    is changed. Then 'lumi run' goes on with the day after. docs/operations.md has the whole procedure.
    """
    from transparency.note import MAX_NOTE_SIZE

    pipeline = given.pipeline()
    old = replace(given, overrides={**given.overrides, "root": before}).pipeline()
    data = None if checkpoint is None else checkpoint.read_bytes()[: MAX_NOTE_SIZE + 1]
    done = pipeline.succeed(old.lake, data, discard=discard_later)
    previous = done.previous
    if as_json:
        say_json(
            {
                "discarded": done.discarded,
                "first_day": done.genesis.first_day.isoformat(),
                "origin": done.genesis.origin,
                "previous": {"origin": previous.origin, "root": b64encode(previous.root), "size": previous.size},
            }
        )
        return
    say(f"{done.genesis.origin} succeeds {previous.origin} and begins on {done.genesis.first_day}.")
    say(
        f"It pins {count(previous.size, 'entry', 'entries')}, through {done.last_day}, root {b64encode(previous.root)}."
    )
    if done.discarded:
        say(f"{count(done.discarded, 'object')} of later days removed from the copy; they are landed and sealed anew.")
    say("Seal and publish with: lumi run")


def _current(role: "Role", files: "KeyFiles") -> "SigningKey":
    try:
        return files.current()
    except ConfigError as error:
        raise Stop(f"{role.value} key: {error}", ExitCode.FAILURE) from None


def _held(role: "Role", files: "KeyFiles") -> "list[SigningKey]":
    try:
        return files.held()
    except ConfigError as error:
        raise Stop(f"{role.value} key: {error}", ExitCode.FAILURE) from None


def _show(
    pipeline: "Pipeline",
    held: "dict[Role, list[SigningKey]]",
    states: "dict[Role, KeyState]",
    *,
    as_json: bool,
) -> None:
    shown = {role: _key_json(keys, pipeline.keyring.files[role], states.get(role)) for role, keys in held.items()}
    if as_json:
        say_json({role.value: value for role, value in shown.items()})
        return
    for role, keys in held.items():
        files = pipeline.keyring.files[role]
        paths = [path for path in (files.path, files.next_path) if path.exists()]
        for path, key in zip(paths, keys, strict=True):
            say(f"{role.value} key in {path}")
            _say_public(key)
        state = states.get(role)
        if state is not None:
            say(f"  signs now    {', '.join(key.key_id.hex() for key in state.signs)}")
            if state.advice():
                say(f"  to do        {state.advice()}")


def _key_json(keys: "list[SigningKey]", files: "KeyFiles", state: "KeyState | None") -> dict[str, object]:
    """One role for machines: what is in the files, who signs now, and how far a replacement is."""
    following = files.next()
    alone = state.alone_from if state else None
    return {
        "alone_from": None if alone is None else alone.isoformat(),
        "file": str(files.path),
        "next": None if following is None else {"file": str(files.next_path), **_public(following)},
        "phase": state.phase.value if state else None,
        "signs": [key.vkey for key in state.signs] if state else None,
        "to_do": state.advice() if state else None,
        **_public(keys[0]),
    }


def _public(key: "SigningKey") -> dict[str, object]:
    return {"fingerprint": key.verifier.fingerprint, "vkey": key.verifier.vkey}


def _say_public(key: "SigningKey") -> None:
    say(f"  vkey         {key.verifier.vkey}")
    say(f"  fingerprint  {key.verifier.fingerprint}")
