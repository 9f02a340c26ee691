"""Keys made of names, and signed notes: every signature of the corpus is the same in every run."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from nacl.signing import SigningKey

from tests.evidence.corpus.primitives import b64, sha

NOTE, COSIGNATURE = 1, 4


@dataclass(frozen=True, slots=True)
class Key:
    """A key whose ``secret`` is by default the hash of ``seed``, and that its name."""

    name: str
    kind: int = NOTE
    seed: str = ""
    secret: bytes = b""
    _secret: SigningKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        secret = self.secret or sha(f"corpus key {self.seed or self.name}".encode())
        object.__setattr__(self, "_secret", SigningKey(secret))

    @property
    def material(self) -> bytes:
        return bytes([self.kind]) + bytes(self._secret.verify_key)

    @property
    def id(self) -> bytes:
        return sha(self.name.encode(), b"\n", self.material)[:4]

    @property
    def vkey(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64(self.material)}"

    def line(self, text: bytes, time: int = 0) -> bytes:
        """The signature line for a note of this text; ``time`` (POSIX seconds) is for witnesses."""
        if self.kind == COSIGNATURE:
            signed = f"cosignature/v1\ntime {time}\n".encode() + text
            signature = time.to_bytes(8) + self._secret.sign(signed).signature
        else:
            signature = self._secret.sign(text).signature
        return signature_line(self.name, self.id + signature)


def signature_line(name: str, signature: bytes) -> bytes:
    return f"\u2014 {name} {b64(signature)}\n".encode()


def note(text: bytes, lines: Iterable[bytes]) -> bytes:
    return text + b"\n" + b"".join(lines)


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    return f"{origin}\n{size}\n{b64(root)}\n".encode()
