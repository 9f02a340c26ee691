"""Keys: who may sign, and the text forms in which keys travel (C2SP signed-note, "Verifier keys").

A verifier key (vkey) is public: ``name+key id+base64(type ‖ public key)``. A signing key holds the secret seed and
lives in a file that only its owner can read. The key id says which key a signature line means and proves nothing:
four bytes can be made to agree. What is trusted is the whole key, and what is checked is the signature.
"""

import contextlib
import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey as Ed25519SigningKey
from nacl.signing import VerifyKey as Ed25519VerifyKey

from transparency.encoding import b64decode, b64encode, excerpt, hex_decode
from transparency.errors import EncodingError, KeyFormatError

ALG_ED25519 = 0x01
"""Signature type of logs and evidence keys: Ed25519 over the note text."""

ALG_COSIGNATURE = 0x04
"""Signature type of witnesses: timestamped Ed25519, cosignature/v1 (C2SP tlog-cosignature)."""

KEY_ID_SIZE = 4
PUBLIC_KEY_SIZE = 32
SEED_SIZE = 32
SIGNATURE_SIZE = 64
MAX_NAME_LENGTH = 1024
MAX_KEY_TEXT = 4096

_SIGNING_KEY_PREFIX = "PRIVATE+KEY+"
_OWNER_READ_WRITE = stat.S_IRUSR | stat.S_IWUSR
# White space in the Unicode sense, the separator "+", control characters, and halves of surrogate pairs.
_NOT_IN_NAMES = re.compile(r"[\s+\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_name(name: str) -> None:
    """Refuse what cannot name a key or a log: empty text, white space, ``+``, controls (C2SP signed-note, "Format")."""
    if not name:
        raise KeyFormatError("a key name is empty")
    if len(name) > MAX_NAME_LENGTH:
        raise KeyFormatError(f"key name {excerpt(name)} is longer than {MAX_NAME_LENGTH} characters")
    if _NOT_IN_NAMES.search(name):
        raise KeyFormatError(f"key name {excerpt(name)} holds white space, '+' or a control character")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under; two keys are the same signer if name and ``key_id`` agree.

    ``key_id`` is 4 bytes, ``public`` 32 bytes (RFC 8032 section 5.1.5), ``algorithm`` one of the ``ALG_`` constants.
    Making one with parts that do not belong together raises KeyFormatError.
    """

    name: str
    key_id: bytes
    algorithm: int
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.algorithm not in (ALG_ED25519, ALG_COSIGNATURE):
            raise KeyFormatError(
                f"key {excerpt(self.name)}: signature type 0x{self.algorithm:02x} is not supported; "
                "only 0x01 (Ed25519) and 0x04 (Ed25519 cosignature/v1) are"
            )
        _check_public_key(self.name, self.public)
        if self.key_id != _key_id(self.name, self.algorithm, self.public):
            raise KeyFormatError(f"key {excerpt(self.name)}: the key id {self.key_id.hex()} does not match the key")

    @classmethod
    def of(cls, name: str, public: bytes, algorithm: int = ALG_ED25519) -> "VerifierKey":
        """Make the key that belongs to these parts; the key id is computed."""
        check_name(name)
        return cls(name, _key_id(name, algorithm, public), algorithm, public)

    @classmethod
    def parse(cls, vkey: str) -> "VerifierKey":
        """Read a vkey, without line end; raise KeyFormatError when it is malformed, weak or of another type."""
        if vkey.startswith(_SIGNING_KEY_PREFIX):
            raise KeyFormatError("this is a secret key, where a public one (a vkey) is wanted; keep it to yourself")
        name, key_id, material = _split_key_text(vkey)
        return cls(name, key_id, material[0], material[1:])

    @property
    def vkey(self) -> str:
        """The text form, as :meth:`parse` reads it."""
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.algorithm]) + self.public)}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the vkey text in hexadecimal, for comparing keys over another channel (``sha256sum`` makes it)."""
        return hashlib.sha256(self.vkey.encode()).hexdigest()

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Tell whether ``signature`` (64 bytes) is this key's pure Ed25519 signature of ``message`` (RFC 8032).

        The key's ``algorithm`` says what a ``message`` is made of, and is for the caller to look at (note.py,
        cosignature.py). libsodium refuses a second form of a good signature (S not below the group's order).
        """
        if len(signature) != SIGNATURE_SIZE:
            return False
        try:
            Ed25519VerifyKey(self.public).verify(message, signature)
        except BadSignatureError:
            return False
        return True


class SigningKey:
    """A secret Ed25519 key. Its repr shows only the public half; :attr:`text` is the secret."""

    __slots__ = ("_secret", "verifier")

    verifier: VerifierKey

    def __init__(self, name: str, seed: bytes, algorithm: int = ALG_ED25519) -> None:
        """Make the key of a 32-byte ``seed``; ``ALG_COSIGNATURE`` makes the key of a witness."""
        if len(seed) != SEED_SIZE:
            raise KeyFormatError(f"the secret key of {excerpt(name)} does not hold a seed of {SEED_SIZE} bytes")
        self._secret = Ed25519SigningKey(seed)
        self.verifier = VerifierKey.of(name, bytes(self._secret.verify_key), algorithm)

    @classmethod
    def generate(cls, name: str, algorithm: int = ALG_ED25519) -> "SigningKey":
        """Draw a new key from the operating system's random source."""
        return cls(name, secrets.token_bytes(SEED_SIZE), algorithm)

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """Read secret key text as Go's ``sumdb/note`` writes it; no error repeats more of the text than the name."""
        if not text.startswith(_SIGNING_KEY_PREFIX):
            raise KeyFormatError(f"not a secret key: it does not start with {_SIGNING_KEY_PREFIX}")
        parts = None
        with contextlib.suppress(KeyFormatError):  # whose message might quote the secret
            parts = _split_key_text(text[len(_SIGNING_KEY_PREFIX) :])
        if parts is None:
            raise KeyFormatError(f"a secret key is {_SIGNING_KEY_PREFIX}name+key id+base64; this one is malformed")
        name, key_id, material = parts
        key = cls(name, material[1:], material[0])
        if key.verifier.key_id != key_id:
            raise KeyFormatError(f"the secret key of {excerpt(name)} does not match its key id; it is damaged")
        return key

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """Read a secret key file; refuse one that anybody but its owner may use."""
        try:
            data = _read_private_file(path)
        except OSError as error:
            raise KeyFormatError(f"cannot read the secret key file {path}: {error.strerror}") from None
        try:
            # Undecodable bytes become characters that no key holds, so that parse reports them without quoting them.
            return cls.parse(data.decode("utf-8", errors="replace").removesuffix("\n"))
        except KeyFormatError as error:
            raise KeyFormatError(f"{path}: {error}") from None

    def save_new(self, path: Path) -> None:
        """Write the key to a new file of mode 0600, durably; never replace an existing one.

        A crash leaves either nothing, or the complete file, or besides them a ``.new`` file whose key nobody used.
        """
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_READ_WRITE)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(f"{self.text}\n".encode())
                    file.flush()
                    os.fsync(file.fileno())
                os.link(temporary, path)
            finally:
                temporary.unlink()
            _sync_directory(path.parent)
        except FileExistsError:
            raise KeyFormatError(f"{path} exists; a secret key is never overwritten, so move it away first") from None
        except OSError as error:
            raise KeyFormatError(f"cannot write the secret key file {path}: {error.strerror}") from None

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte pure Ed25519 signature of ``message``: the same bytes every time (RFC 8032)."""
        return self._secret.sign(message).signature

    @property
    def name(self) -> str:
        """The name this key signs under."""
        return self.verifier.name

    @property
    def text(self) -> str:
        """The secret: ``PRIVATE+KEY+name+key id+base64(type ‖ seed)``."""
        material = b64encode(bytes([self.verifier.algorithm]) + bytes(self._secret))
        return f"{_SIGNING_KEY_PREFIX}{self.name}+{self.verifier.key_id.hex()}+{material}"

    def __repr__(self) -> str:
        """Show the public half only, so that logs and tracebacks cannot leak the secret."""
        return f"SigningKey({self.verifier.vkey})"


def _key_id(name: str, algorithm: int, public: bytes) -> bytes:
    """Return SHA-256(name ‖ LF ‖ type ‖ public key)[:4] (C2SP signed-note, "Signatures")."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:KEY_ID_SIZE]


def _check_public_key(name: str, public: bytes) -> None:
    """Refuse keys under which a signature proves nothing.

    A point of small order has signatures that fit many messages, and a non-canonical encoding gives one key two
    identities. libsodium's check refuses both, and points off the curve or outside the prime-order subgroup, which no
    honest key generation makes.
    """
    if len(public) != PUBLIC_KEY_SIZE:
        raise KeyFormatError(f"key {excerpt(name)}: {PUBLIC_KEY_SIZE} bytes of public key expected, got {len(public)}")
    if not crypto_core_ed25519_is_valid_point(public):
        raise KeyFormatError(f"key {excerpt(name)}: not a safe Ed25519 public key (small order or not canonical)")


def _split_key_text(text: str) -> tuple[str, bytes, bytes]:
    """Split ``name+key id+base64`` into the name, the 4-byte key id, and the type byte with the key."""
    if len(text) > MAX_KEY_TEXT:
        raise KeyFormatError(f"a key of more than {MAX_KEY_TEXT} characters")
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    check_name(name)
    try:
        identifier, material = hex_decode(key_id, KEY_ID_SIZE), b64decode(encoded)
    except EncodingError as error:
        raise KeyFormatError(f"a key is name+key id+base64; {excerpt(text)} is not: {error}") from None
    if not material:
        raise KeyFormatError(f"key {excerpt(name)} is empty")
    return name, identifier, material


def _read_private_file(path: Path) -> bytes:
    """Read the beginning of a regular file of mode 0600 or less: more than any key has."""
    # Without O_NONBLOCK, a named pipe in the place of the file would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Of the opened file, not of the path, which may come to name another file in between.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFormatError(f"the secret key file {path} is not a regular file")
        mode = stat.S_IMODE(status.st_mode)
        if mode & ~_OWNER_READ_WRITE:
            raise KeyFormatError(f"the secret key file {path} has mode {mode:04o}, not 0600; run: chmod 600 {path}")
        return os.read(descriptor, 2 * MAX_KEY_TEXT)
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    """Make a new name in ``directory`` survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
