"""Who signs a log's checkpoints: one key, or, while it is being replaced, two (docs/formats.md, "Key rotation")."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from transparency.errors import LogError
from transparency.keys import ALG_ED25519, SigningKey, VerifierKey


class Signers(Protocol):
    """The keys of one log, size by size: what the log holds by then decides who signs.

    For one size the answer is the same every time, so that a checkpoint signed again after a crash has the same bytes.
    """

    @property
    def origin(self) -> str:
        """The name of the log, and of all its keys."""
        ...

    def verifiers(self, size: int) -> Sequence[VerifierKey]:
        """The public halves of the keys that sign the checkpoint of ``size`` entries; of 0, the log's first key."""
        ...

    def keys(self, size: int) -> Sequence[SigningKey]:
        """The same keys with their secret halves; a :class:`~transparency.errors.LumiError` when one isn't at hand."""
        ...


@dataclass(frozen=True, slots=True)
class SameSigners:
    """The same keys for every size; all are Ed25519 keys with the log's origin as their name."""

    always: tuple[SigningKey, ...]

    def __post_init__(self) -> None:
        names = {key.name for key in self.always}
        if len(names) != 1 or any(key.verifier.algorithm != ALG_ED25519 for key in self.always):
            raise LogError(f"a log is signed with Ed25519 keys of one name, its origin, not of {sorted(names)}")

    @property
    def origin(self) -> str:
        """The name of the keys."""
        return self.always[0].name

    def verifiers(self, size: int) -> Sequence[VerifierKey]:  # noqa: ARG002 - the same for every size
        """The public halves."""
        return [key.verifier for key in self.always]

    def keys(self, size: int) -> Sequence[SigningKey]:  # noqa: ARG002 - the same for every size
        """The keys."""
        return self.always
