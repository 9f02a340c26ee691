"""A strict witness, written from the C2SP specifications (tlog-witness, tlog-cosignature, signed-note, RFC 6962).

It shares no code with what it tests. For each log that it was told of it remembers one size and root, refuses whatever
the specification has it refuse, and keeps what was refused for another history: that is evidence.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from tests.siem.fakes.http import FakeServer, Reply, Request

SIZE = re.compile(rb"0|[1-9][0-9]{0,18}")
EMPTY = hashlib.sha256(b"").digest()


class Refused(Exception):
    def __init__(self, status: int, body: bytes = b"", kind: str = "text/plain; charset=utf-8") -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.kind = kind


def key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def canonical(text: bytes) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data) != text:
        raise ValueError("not canonical base64")
    return data


def largest_power_below(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def recompute(old: int, new: int, known: bytes, proof: list[bytes], *, whole: bool = True) -> tuple[bytes, bytes]:
    """The roots of both sizes as a proof gives them, by RFC 6962's definition of SUBPROOF read backwards.

    ``known`` is the old root, which the proof leaves out where the old tree is a complete subtree of the new one.
    """
    if old == new:
        digest = known if whole else proof.pop()
        return digest, digest
    k = largest_power_below(new)
    other = proof.pop()
    if old <= k:
        left_old, left_new = recompute(old, k, known, proof, whole=whole)
        return left_old, hashlib.sha256(b"\x01" + left_new + other).digest()
    right_old, right_new = recompute(old - k, new - k, known, proof, whole=False)
    return (
        hashlib.sha256(b"\x01" + other + right_old).digest(),
        hashlib.sha256(b"\x01" + other + right_new).digest(),
    )


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes]) -> bool:
    if old == 0:
        return not proof
    if old == new:
        return not proof and old_root == new_root
    left = list(proof)
    try:
        roots = recompute(old, new, old_root, left)
    except IndexError:
        return False
    return not left and roots == (old_root, new_root)


@dataclass
class Witness:
    """One witness: a key of type 0x04, the logs it was told of, and what it cosigned last of each."""

    name: str
    seed: bytes
    clock: Callable[[], float]
    logs: dict[str, list[str]] = field(default_factory=dict)
    """Origin → the vkeys that may sign for it."""
    latest: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    suspicious: list[bytes] = field(default_factory=list)
    """Signed requests that did not extend what was cosigned."""

    @property
    def vkey(self) -> str:
        public = bytes(SigningKey(self.seed).verify_key)
        identifier = key_id(self.name, 4, public).hex()
        return f"{self.name}+{identifier}+{base64.b64encode(bytes([4]) + public).decode()}"

    def add_checkpoint(self, body: bytes) -> bytes:
        """The signature line for a submission that deserves it; everything else raises Refused."""
        old, proof, text, signatures = self._parse(body)
        origin, size, root = self._tree_head(text)
        if origin not in self.logs:
            raise Refused(404, b"I know no such log\n")
        if not self._is_signed(origin, text, signatures):
            raise Refused(403, b"not signed by a key that I know\n")
        if old > size:
            raise Refused(400, b"a log does not shrink\n")
        known, known_root = self.latest.get(origin, (0, EMPTY))
        if old != known:
            raise Refused(409, f"{known}\n".encode(), "text/x.tlog.size")
        if old == size and old > 0 and root != known_root:
            self.suspicious.append(body)
            raise Refused(409, f"{known}\n".encode(), "text/x.tlog.size")
        if not is_consistent(old, size, known_root, root, proof):
            self.suspicious.append(body)
            raise Refused(422, b"no proof of consistency\n")
        self.latest[origin] = (size, root)
        return self.line(text, int(self.clock()))

    def line(self, text: bytes, time: int) -> bytes:
        key = SigningKey(self.seed)
        signature = key.sign(b"cosignature/v1\ntime %d\n" % time + text).signature
        blob = key_id(self.name, 4, bytes(key.verify_key)) + time.to_bytes(8, "big") + signature
        return f"\u2014 {self.name} ".encode() + base64.b64encode(blob) + b"\n"

    def _parse(self, body: bytes) -> tuple[int, list[bytes], bytes, list[bytes]]:
        try:
            header, note = body.split(b"\n\n", 1)
            first, *lines = header.split(b"\n")
            if not first.startswith(b"old ") or not SIZE.fullmatch(first[4:]) or len(lines) > 63:
                raise ValueError("no old size, or too many lines")
            proof = [canonical(line) for line in lines]
            if any(len(digest) != 32 for digest in proof):
                raise ValueError("not a hash")
            text, _, signatures = note.rpartition(b"\n\n")
            if not signatures.endswith(b"\n"):
                raise ValueError("a line does not end")
            return int(first[4:]), proof, text + b"\n", signatures.split(b"\n")[:-1]
        except ValueError as error:
            raise Refused(400, f"{error}\n".encode()) from None

    def _tree_head(self, text: bytes) -> tuple[str, int, bytes]:
        try:
            origin, size, root, rest = text.split(b"\n", 3)
            if rest or not SIZE.fullmatch(size):
                raise ValueError("not three lines")
            return origin.decode(), int(size), canonical(root)
        except ValueError as error:
            raise Refused(400, f"{error}\n".encode()) from None

    def _is_signed(self, origin: str, text: bytes, signatures: list[bytes]) -> bool:
        keys = {}
        for vkey in self.logs[origin]:
            name, _, material = vkey.split("+", 2)
            keys[name.encode(), key_id(name, 1, base64.b64decode(material)[1:])] = base64.b64decode(material)[1:]
        good = False
        for line in signatures:
            try:
                dash, name, blob = line.split(b" ")
                data = canonical(blob)
            except ValueError:
                raise Refused(400, b"not a signature line\n") from None
            if dash != "\u2014".encode():
                raise Refused(400, b"not a signature line\n")
            public = keys.get((name, data[:4]))
            if public is None:
                continue
            try:
                VerifyKey(public).verify(text, data[4:])
            except BadSignatureError:
                raise Refused(403, b"a signature is wrong\n") from None
            good = True
        return good


class WitnessServer(FakeServer):
    """The same, over HTTP on this machine. ``url`` is its submission prefix."""

    def __init__(self, witness: Witness) -> None:
        super().__init__()
        self.witness = witness

    def handle(self, request: Request) -> Reply:
        if (request.method, request.path) != ("POST", "/add-checkpoint"):
            return Reply(405 if request.path == "/add-checkpoint" else 404)
        try:
            line = self.witness.add_checkpoint(request.body)
        except Refused as refusal:
            return Reply(refusal.status, refusal.body, {"Content-Type": refusal.kind})
        return Reply(200, line, {"Content-Type": "text/plain; charset=utf-8"})
