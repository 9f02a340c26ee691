"""Attacks on the proof file of one event, part by part."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from lumi_pipeline.drill.attack import Area, Attack
from lumi_pipeline.drill.checks import PROOF
from lumi_pipeline.drill.scratch import Trial
from transparency.checkpoint import parse_signed_checkpoint, sign_checkpoint
from transparency.encoding import b64decode, b64encode, canonical_json, parse_canonical_json
from transparency.proof import MAX_PROOF_SIZE, TlogProof

_Extra = dict[str, Any]


def _extra(edit: Callable[[_Extra], None]) -> Callable[[Trial], None]:
    """Return the attack that edits what the proof says of the event, its tenant and its day."""

    def act(trial: Trial) -> None:
        proof = TlogProof.parse(trial.proof.read_bytes())
        extra = parse_canonical_json(proof.extra or b"", MAX_PROOF_SIZE)
        if not isinstance(extra, dict):
            raise TypeError("a proof's extra part is an object")
        edit(extra)
        trial.replace(trial.proof, replace(proof, extra=canonical_json(extra).encode()).format())

    return act


def _proof(edit: Callable[[TlogProof, Trial], TlogProof]) -> Callable[[Trial], None]:
    """Return the attack that edits the outer part: where the day's record is in which log."""

    def act(trial: Trial) -> None:
        trial.replace(trial.proof, edit(TlogProof.parse(trial.proof.read_bytes()), trial).format())

    return act


def _flipped(text: str) -> str:
    data = b64decode(text)
    return b64encode(data[:-1] + bytes([data[-1] ^ 1]))


def _field(name: str, value: str) -> Callable[[Trial], None]:
    def edit(extra: _Extra) -> None:
        extra["event"]["fields"][name] = value

    return _extra(edit)


def _payload(extra: _Extra) -> None:
    extra["event"]["payload"]["after_state"] = '{"status":"never happened"}'


def _event_path(extra: _Extra) -> None:
    extra["event"]["path"][0] = _flipped(extra["event"]["path"][0])


def _event_index(extra: _Extra) -> None:
    extra["event"]["index"] = str(int(extra["event"]["index"]) ^ 1)


def _tenant_record(extra: _Extra) -> None:
    extra["tenant_record"] = extra["tenant_record"].replace("\nbreaks 0\n", "\nbreaks 1\n")


def _tenant_proof(extra: _Extra) -> None:
    extra["tenant_proof"] = _flipped(extra["tenant_proof"])


def _day_record(extra: _Extra) -> None:
    extra["day_record"] = extra["day_record"].replace("\nbreaks 0\n", "\nbreaks 1\n")


def _genesis(extra: _Extra) -> None:
    first = extra["genesis"].index("\nfirst-day ") + len("\nfirst-day ")
    extra["genesis"] = extra["genesis"][:first] + "2000-01-01" + extra["genesis"][first + 10 :]


def _genesis_path(extra: _Extra) -> None:
    extra["genesis_path"][0] = _flipped(extra["genesis_path"][0])


def _path(proof: TlogProof, _: Trial) -> TlogProof:
    return replace(proof, path=(proof.path[0][::-1], *proof.path[1:]))


def _index(proof: TlogProof, _: Trial) -> TlogProof:
    return replace(proof, index=proof.index - 1)


def _checkpoint(proof: TlogProof, trial: Trial) -> TlogProof:
    checkpoint = parse_signed_checkpoint(proof.checkpoint).checkpoint
    return replace(proof, checkpoint=sign_checkpoint(checkpoint, [trial.keys.stranger]))


def _append(trial: Trial) -> None:
    trial.replace(trial.proof, trial.proof.read_bytes() + b"and more\n")


def _attack(name: str, told: str, act: Callable[[Trial], None]) -> Attack:
    return Attack(f"proof-{name}", Area.PROOF, told, act, (PROOF,))


ATTACKS: Final = (
    _attack("field", "Another actor in the event", _field("actor_id", "somebody-else")),
    _attack("tenant", "Another tenant in the event", _field("tenant_id", "another-tenant")),
    _attack("hash", "Another integrity hash of the event", _field("integrity_hash", "00" * 32)),
    _attack("payload", "Another payload of the event", _extra(_payload)),
    _attack("event-path", "A hash on the event's path", _extra(_event_path)),
    _attack("event-index", "The event's place in its day", _extra(_event_index)),
    _attack("tenant-record", "The tenant's record of the day", _extra(_tenant_record)),
    _attack("tenant-proof", "The proof in the tenant map", _extra(_tenant_proof)),
    _attack("day-record", "The record of the day", _extra(_day_record)),
    _attack("genesis", "The log's first entry", _extra(_genesis)),
    _attack("genesis-path", "A hash on the first entry's path", _extra(_genesis_path)),
    _attack("path", "A hash on the day record's path", _proof(_path)),
    _attack("index", "The day record's place in the log", _proof(_index)),
    _attack("checkpoint", "The checkpoint, signed with another key", _proof(_checkpoint)),
    _attack("more", "A line behind the end", _append),
)
