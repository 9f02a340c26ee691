"""The one exception tree of the project.

Everything raised on purpose descends from :class:`LumiError`; the command line turns those into one clear message
and lets everything else be the bug that it is. Parsers of foreign bytes raise the :class:`FormatError` of their own
kind and nothing else, whatever they are given.
"""


class LumiError(Exception):
    """Root of every error raised deliberately. The message says what is wrong, where, and what to do next."""


class TransparencyError(LumiError):
    """Root of the errors of the log: formats, verification, storage, appending."""


class FormatError(TransparencyError):
    """Bytes that are not what they should be: not recognisable, not canonical, or over a size limit."""


class EncodingError(FormatError):
    """Base64, hexadecimal, decimal, varint or JSON text that is not in its one canonical form."""


class KeyFormatError(FormatError):
    """A verifier key (vkey) or secret key text that is malformed or of a type that is not supported."""


class NoteError(FormatError):
    """A signed note that cannot be parsed (C2SP signed-note)."""


class CheckpointError(FormatError):
    """A checkpoint that is not exactly origin, size and root (C2SP tlog-checkpoint)."""


class CosignatureError(FormatError):
    """A cosignature/v1 that is malformed (C2SP tlog-cosignature)."""


class PolicyError(FormatError):
    """A witness policy file that cannot be parsed or contradicts itself (C2SP tlog-policy)."""


class TileError(FormatError):
    """A tile, entry bundle or tile path that is malformed (C2SP tlog-tiles)."""


class ProofFormatError(FormatError):
    """A proof (tlog-proof, inclusion, consistency, map proof) that is malformed."""


class EntryError(FormatError):
    """A log entry (genesis or day record) that is not in the form that docs/formats.md gives."""


class VerificationError(TransparencyError):
    """Well-formed, but it does not verify.

    ``reason`` is a stable, short, lower-case code (``checkpoint-signature``, ``inclusion``, …) for machines and tests;
    docs/formats.md lists those of verdicts.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["VerificationError"], tuple[object, ...]]:
        """Pickle with both arguments, so that the error survives a process boundary."""
        return type(self), (self.reason, str(self))


class StoreError(TransparencyError):
    """An object store refused or failed; the message names the key."""


class ObjectMissing(StoreError):
    """``get`` or ``delete`` of a key that holds nothing."""


class ObjectConflict(StoreError):
    """``put_new`` of a key that already holds other bytes: somebody else was first."""


class LogError(TransparencyError):
    """The log cannot be appended to or published as asked."""


class ConcurrentAppend(LogError):
    """Another run committed this tree size first; nothing of ours was signed or published."""


class WitnessError(TransparencyError):
    """A witness did not cosign a checkpoint: it refused, or what it answered is no cosignature of its own."""


class WitnessConflict(WitnessError):
    """A witness has cosigned a history of this log that is not the one here: a fork, a stolen key, a log set back."""
