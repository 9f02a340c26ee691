"""Trust policies: which log keys and which witnesses a reader believes (C2SP tlog-policy).

The reader brings the policy from its own side; nothing in it may come from the party being checked. A policy file is
lines of words, ``#`` starts a comment line::

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> <all|any|k> <member> …
    quorum <name|none>

Several ``log`` lines of one origin pin the old and the new key of a rotation.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from transparency.checkpoint import SignedCheckpoint, verify_checkpoint
from transparency.cosignature import verify_cosignatures
from transparency.encoding import excerpt, parse_decimal
from transparency.errors import EncodingError, KeyFormatError, PolicyError, VerificationError
from transparency.keys import ALG_COSIGNATURE, ALG_ED25519, VerifierKey

MAX_POLICY_SIZE = 1024 * 1024
MAX_OF_EACH_KIND = 256
"""Most logs, witnesses and groups in a policy; C2SP asks for at least 32 of each."""

_NONE = "none"
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BLANKS = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness under the policy's own name for it; ``url`` is where a log submits checkpoints, if it is given."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Has witnessed a checkpoint when at least ``threshold`` of its members have."""

    name: str
    threshold: int
    members: tuple["Quorum", ...]


Quorum: TypeAlias = Witness | Group


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom a reader trusts. ``quorum`` None means that no witness is needed."""

    log_keys: tuple[VerifierKey, ...]
    witnesses: tuple[Witness, ...] = ()
    quorum: Quorum | None = None

    @classmethod
    def pinning(cls, *vkeys: str) -> "Policy":
        """Trust these keys: of logs, and of witnesses, any one of which has to have cosigned.

        Without a witness's key none is asked for. Raises KeyFormatError or PolicyError.
        """
        keys = tuple(dict.fromkeys(VerifierKey.parse(vkey) for vkey in vkeys))
        for key in keys:
            if key.algorithm not in {ALG_ED25519, ALG_COSIGNATURE}:
                raise PolicyError(f"{key.vkey} is neither the key of a log nor of a witness")
        witnesses = tuple(Witness(key.name, key) for key in keys if key.algorithm == ALG_COSIGNATURE)
        logs = tuple(key for key in keys if key.algorithm == ALG_ED25519)
        return cls(logs, witnesses, Group("any witness", 1, witnesses) if witnesses else None)

    @classmethod
    def parse(cls, data: bytes) -> "Policy":
        """Read a policy file of at most 1 MiB; raise PolicyError naming the line.

        A policy without ``log`` lines is accepted, but no checkpoint verifies under it.
        """
        return _PolicyReader().read(data)

    def pinned_keys(self, origin: str) -> tuple[VerifierKey, ...]:
        """The trusted keys of one log."""
        return tuple(key for key in self.log_keys if key.name == origin)

    def has_quorum(self, cosigners: Collection[VerifierKey]) -> bool:
        """Tell whether cosignatures by these keys are enough."""
        return self.quorum is None or _has_witnessed(self.quorum, cosigners)


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """How a checkpoint stands under a policy.

    ``log_keys`` are the trusted keys of the log that signed it. ``cosigned_by`` are the trusted witnesses that did,
    by key name, with their times (POSIX seconds).

    ``split_view_excluded`` tells whether no reader with this policy can be shown another history, as long as these
    witnesses are honest: the others are too few for a quorum, so each history needs one of these, and an honest
    witness signs for one only. It is false without a quorum, and for one of two witnesses where either would do.
    """

    log_keys: tuple[VerifierKey, ...]
    cosigned_by: tuple[tuple[str, int], ...]
    quorum_met: bool
    split_view_excluded: bool

    @property
    def log_key(self) -> VerifierKey:
        """The trusted key that signed; the first in the checkpoint's order while a key is being replaced."""
        return self.log_keys[0]


def evaluate(policy: Policy, signed: SignedCheckpoint, *, require_quorum: bool = True) -> PolicyVerdict:
    """Verify a checkpoint under a policy, or raise VerificationError.

    Reasons: ``checkpoint-origin`` (not a log of this policy), ``checkpoint-signature``, ``witness-signature`` (a
    trusted witness's line fails), ``witness-quorum``. With ``require_quorum`` false a missing quorum is only reported
    in the verdict: for a log that publishes although a witness is away.
    """
    log_keys = tuple(verify_checkpoint(signed, policy.log_keys))
    cosignatures = verify_cosignatures(signed.note, [witness.key for witness in policy.witnesses])
    cosigners = {cosignature.witness for cosignature in cosignatures}
    quorum_met = policy.has_quorum(cosigners)
    if require_quorum and not quorum_met:
        present = (
            ", ".join(sorted(witness.name for witness in policy.witnesses if witness.key in cosigners)) or "nobody"
        )
        raise VerificationError(
            "witness-quorum",
            f"checkpoint {signed.checkpoint.size} of {signed.checkpoint.origin} lacks the policy's quorum of "
            f"witnesses: {describe_quorum(policy.quorum)} needed, cosigned by {excerpt(present, 400)}",
        )
    others = {witness.key for witness in policy.witnesses} - cosigners
    return PolicyVerdict(
        log_keys,
        tuple((cosignature.witness.name, cosignature.time) for cosignature in cosignatures),
        quorum_met,
        policy.quorum is not None and quorum_met and not _has_witnessed(policy.quorum, others),
    )


def describe_quorum(quorum: Quorum | None) -> str:
    """Say in words what a quorum asks for."""
    if quorum is None:
        return "no witness"
    if isinstance(quorum, Witness):
        return f"witness {excerpt(quorum.name)}"
    return f"{quorum.threshold} of the {len(quorum.members)} members of group {excerpt(quorum.name)}"


def _has_witnessed(quorum: Quorum, cosigners: Collection[VerifierKey]) -> bool:
    """Tell whether these witnesses are enough. No deeper than the number of groups: none can contain itself."""
    if isinstance(quorum, Witness):
        return quorum.key in cosigners
    return sum(_has_witnessed(member, cosigners) for member in quorum.members) >= quorum.threshold


class _PolicyReader:
    """Collects the definitions of a policy file, line by line, so that each error can name its line."""

    def __init__(self) -> None:
        self.line = 0
        self.log_keys: list[VerifierKey] = []
        self.witnesses: list[Witness] = []
        self.public_keys: set[bytes] = set()
        self.defined: dict[str, Quorum] = {}
        self.grouped: set[str] = set()
        self.quorum: Quorum | None = None
        self.quorum_line: int | None = None

    def read(self, data: bytes) -> Policy:
        for words in self._lines(data):
            match words:
                case ["log", vkey] | ["log", vkey, _]:
                    self._define_log(vkey)
                case ["witness", name, vkey]:
                    self._define_witness(name, vkey, None)
                case ["witness", name, vkey, url]:
                    self._define_witness(name, vkey, url)
                case ["group", name, threshold, *members] if members:
                    self._define_group(name, threshold, members)
                case ["quorum", name]:
                    self._define_quorum(name)
                case _:
                    self._fail(f"not a log, witness, group or quorum line: {excerpt(' '.join(words))}")
        if self.quorum_line is None:
            raise PolicyError("the policy has no quorum line; add 'quorum none' to ask for no witnesses")
        return Policy(tuple(self.log_keys), tuple(self.witnesses), self.quorum)

    def _lines(self, data: bytes) -> Iterator[list[str]]:
        """Yield the words of each line that says something."""
        if len(data) > MAX_POLICY_SIZE:
            raise PolicyError(f"the policy has {len(data)} bytes; at most {MAX_POLICY_SIZE} are accepted")
        # Names are opaque bytes to C2SP: undecodable ones are carried along, each distinct, and refused in keys.
        for self.line, text in enumerate(data.decode("utf-8", errors="surrogateescape").split("\n"), start=1):
            control = _FORBIDDEN.search(text)
            if control:
                hint = "; save the file with LF line ends" if control.group() == "\r" else ""
                self._fail(f"control character {control.group()!r}{hint}")
            words = _BLANKS.split(text.strip(" \t"))
            if words[0] and not words[0].startswith("#"):
                yield words

    def _define_log(self, vkey: str) -> None:
        key = self._parse_key(vkey, ALG_ED25519, "a log")
        self._take_key(key, f"log {excerpt(key.name)}")
        if len(self.log_keys) == MAX_OF_EACH_KIND:
            self._fail(f"more than {MAX_OF_EACH_KIND} logs")
        self.log_keys.append(key)

    def _define_witness(self, name: str, vkey: str, url: str | None) -> None:
        key = self._parse_key(vkey, ALG_COSIGNATURE, "a witness")
        self._take_key(key, f"witness {excerpt(name)}")
        if len(self.witnesses) == MAX_OF_EACH_KIND:
            self._fail(f"more than {MAX_OF_EACH_KIND} witnesses")
        witness = Witness(name, key, url)
        self._define(name, witness)
        self.witnesses.append(witness)

    def _define_group(self, name: str, threshold: str, members: list[str]) -> None:
        if len(self.defined) - len(self.witnesses) == MAX_OF_EACH_KIND:
            self._fail(f"more than {MAX_OF_EACH_KIND} groups")
        group = Group(name, self._parse_threshold(threshold, len(members)), tuple(map(self._take_member, members)))
        self._define(name, group)

    def _define_quorum(self, name: str) -> None:
        if self.quorum_line is not None:
            self._fail(f"a second quorum line; the first is line {self.quorum_line}")
        self.quorum_line = self.line
        self.quorum = None if name == _NONE else self._look_up(name)

    def _define(self, name: str, value: Quorum) -> None:
        if name == _NONE:
            self._fail("the name 'none' is reserved")
        if name in self.defined:
            self._fail(f"the name {excerpt(name)} is defined twice")
        self.defined[name] = value

    def _take_member(self, name: str) -> Quorum:
        """Use up a name as a group member: were it in two groups, one witness could count twice."""
        member = self._look_up(name)
        if name in self.grouped:
            self._fail(f"{excerpt(name)} is already a member of a group")
        self.grouped.add(name)
        return member

    def _look_up(self, name: str) -> Quorum:
        found = self.defined.get(name)
        if found is None:
            self._fail(f"no witness or group {excerpt(name)} is defined above")
        return found

    def _parse_threshold(self, text: str, members: int) -> int:
        if text == "any":
            return 1
        if text == "all":
            return members
        try:
            threshold = parse_decimal(text)
        except EncodingError:
            self._fail(f"'all', 'any' or a number expected, got {excerpt(text)}")
        if not 1 <= threshold <= members:
            self._fail(f"the threshold {threshold} is not within 1 to {members}, the number of members")
        return threshold

    def _parse_key(self, vkey: str, algorithm: int, owner: str) -> VerifierKey:
        try:
            key = VerifierKey.parse(vkey)
        except KeyFormatError as error:
            self._fail(str(error))
        if key.algorithm != algorithm:
            self._fail(f"{excerpt(key.name)}: the key of {owner} has type 0x{algorithm:02x}, not 0x{key.algorithm:02x}")
        return key

    def _take_key(self, key: VerifierKey, owner: str) -> None:
        """Use up a public key: were it there twice, a log could be its own witness, or one witness count as two."""
        if key.public in self.public_keys:
            self._fail(f"the key of {owner} is listed twice")
        self.public_keys.add(key.public)

    def _fail(self, problem: str) -> NoReturn:
        raise PolicyError(f"policy line {self.line}: {problem}")
