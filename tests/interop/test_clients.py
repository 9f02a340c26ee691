"""Clients that share no code with us read a log that we wrote, and notice when it was changed.

They are optional; a test whose client is not installed skips and says how to get it:

- Go's ``sumdb/note`` and ``sumdb/tlog``, in go/main.go: ``apt-get install golang-go golang-golang-x-mod-dev``
- the Python library tlog-scales, in tlog_scales_client.py: an environment of its own with ``pip install
  tlog-scales==0.0.3``, whose interpreter the environment variable TLOG_SCALES_PYTHON names
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.lake.world import LOG_KEY, ORIGIN, World, at
from transparency.checkpoint import Checkpoint, parse_signed_checkpoint, sign_checkpoint
from transparency.cosignature import cosign, merge_cosignatures
from transparency.encoding import b64encode
from transparency.keys import ALG_COSIGNATURE, SigningKey
from transparency.logview import LogView
from transparency.merkle import inclusion_proof
from transparency.note import Signature, format_note
from transparency.proof import TlogProof

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
GO_SOURCES = Path("/usr/share/gocode")
"""Where Debian's packages put the sources of Go libraries, in the layout of a GOPATH."""

SIZES = (101, 256, 257, 300)
"""The sizes that were published: within the first tile, exactly its end, just past it, and well within the second."""

WITNESS = SigningKey("witness.example.org/w1", bytes(range(64, 96)), ALG_COSIGNATURE)
OTHER_WITNESS = SigningKey("witness.example.org/w2", bytes(range(96, 128)), ALG_COSIGNATURE)
VKEY = LOG_KEY.verifier.vkey


@dataclass(frozen=True, slots=True)
class Published:
    """A log in files: the public directory, and the checkpoints that were kept when it was smaller."""

    log: Path
    kept: Path

    @property
    def earlier(self) -> list[str]:
        return [str(self.kept / f"{size:012}") for size in SIZES[:-1]]

    def root(self, size: int) -> str:
        """The base64 root that the checkpoint of this size was signed with."""
        return b64encode(parse_signed_checkpoint((self.kept / f"{size:012}").read_bytes()).checkpoint.root)

    def report(self) -> list[str]:
        """What a client prints that finds everything in order."""
        size = SIZES[-1]
        lines = [f"tree {size} {self.root(size)}"]
        for old in SIZES[:-1]:
            lines += [f"tree {old} {self.root(old)}", f"consistent {old} {size}"]
        return [*lines, f"included {size}"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three tenants, few events, and idle days enough for more than one tile."""
    world = World.create(tmp_path_factory.mktemp("interop") / "world", at(0))
    world.record("acme", at(-299), at(-299, "13:00:00"), at(-150))
    world.record("globex", at(-150), at(-3))
    for size in SIZES:  # the genesis, then the records of days -299 and on
        world.clock.now = at(size - SIZES[-1], "01:00:00")
        world.pipeline().run()
    assert [int(key.rpartition("/")[2]) for key in world.store.list("log-private/cosigned/")] == list(SIZES)
    return world


@pytest.fixture
def world(template: World, tmp_path: Path) -> World:
    return template.copy(tmp_path / "world")


@pytest.fixture
def published(world: World) -> Published:
    root = Path(world.place.root)
    return Published(root / "log", root / "log-private" / "cosigned")


def build_go_client(directory: Path) -> list[str]:
    go = shutil.which("go")
    if go is None or not (GO_SOURCES / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("Go or its module library is missing: apt-get install golang-go golang-golang-x-mod-dev")
    program = directory / "verifylog"
    # Everything comes from GO_SOURCES: no module is looked for, neither here nor on the network.
    environment = {"GO111MODULE": "off", "GOFLAGS": "", "GOPATH": str(GO_SOURCES), "GOCACHE": str(directory / "cache")}
    built = subprocess.run(
        [go, "build", "-o", str(program), str(HERE / "go" / "main.go")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return [str(program)]


def tlog_scales_python() -> str:
    python = os.environ.get("TLOG_SCALES_PYTHON")
    if not python:
        pytest.skip("tlog-scales is missing: pip install tlog-scales==0.0.3 elsewhere; TLOG_SCALES_PYTHON=its python")
    return python


Client = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session", params=["go", "tlog-scales"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Client:
    if request.param == "go":
        command = build_go_client(tmp_path_factory.mktemp("go"))
    else:
        command = [tlog_scales_python(), str(HERE / "tlog_scales_client.py")]

    def run(published: Published, *options: str, vkey: str = VKEY) -> subprocess.CompletedProcess[str]:
        return start([*command, *options, str(published.log), vkey, *published.earlier])

    return run


def start(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONUTF8": "1"}
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=120)


def add_cosignature(published: Published, witness: SigningKey, signed_as: SigningKey | None = None) -> None:
    """Let a witness sign the public checkpoint; ``signed_as`` is under whose name the line stands."""
    path = published.log / "checkpoint"
    signed = parse_signed_checkpoint(path.read_bytes())
    line = cosign(signed.checkpoint, witness, 1_800_000_000)
    if signed_as is not None:
        line = Signature(signed_as.name, signed_as.verifier.key_id, line.signature)
    path.write_bytes(format_note(merge_cosignatures(signed.note, [line])))


def test_an_independent_client_verifies_our_log(client: Client, published: Published) -> None:
    done = client(published)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == published.report()


def test_an_independent_client_verifies_our_cosignatures(client: Client, published: Published) -> None:
    add_cosignature(published, WITNESS)
    done = client(published, "--witness", WITNESS.verifier.vkey)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"cosigned by {WITNESS.name}", *published.report()]


def edit(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) >= 1
    path.write_bytes(data.replace(old, new, 1))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def sign_another_history(published: Published) -> None:
    """What a log that keeps two histories would have shown somebody when it had 256 entries."""
    other = Checkpoint(ORIGIN, 256, sha256(b"another history").digest())
    (published.kept / f"{256:012}").write_bytes(sign_checkpoint(other, [LOG_KEY]))


ALTERATIONS: dict[str, tuple[Callable[[Published], None], int]] = {
    "checkpoint": (lambda log: edit(log.log / "checkpoint", b"\n300\n", b"\n299\n"), 0),
    "tile on the right edge": (lambda log: flip(log.log / "tile/0/001.p/44"), 0),
    "partial tile of an earlier size": (lambda log: flip(log.log / "tile/0/000.p/101"), 1),
    "full tile": (lambda log: flip(log.log / "tile/0/000"), 2),
    "another history": (sign_another_history, 3),
    "entry": (lambda log: edit(log.log / "tile/entries/000", b"\nbreaks 0\n", b"\nbreaks 1\n"), 7),
}
"""What is altered, and how many lines of the report a client can still get right."""


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_independent_client_notices_an_alteration(client: Client, published: Published, name: str) -> None:
    alter, lines = ALTERATIONS[name]
    report = published.report()
    alter(published)
    done = client(published)
    assert done.returncode == 1
    assert done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines() == report[:lines]


def test_an_independent_client_notices_another_log(client: Client, published: Published) -> None:
    done = client(published, vkey=SigningKey(ORIGIN, bytes(32)).verifier.vkey)
    assert (done.returncode, done.stdout) == (1, "")


def test_an_independent_client_notices_a_forged_cosignature(client: Client, published: Published) -> None:
    add_cosignature(published, OTHER_WITNESS, signed_as=WITNESS)
    done = client(published, "--witness", WITNESS.verifier.vkey)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("index", [0, 1, 200, 255, 256, 299])
def test_an_independent_client_makes_the_proof_that_we_make(world: World, published: Published, index: int) -> None:
    view = LogView(world.store)
    data = view.checkpoint() or b""
    head = parse_signed_checkpoint(data).checkpoint
    ours = TlogProof(index, tuple(inclusion_proof(view.tiles(head.size, head.root), index, head.size)), data)
    made = start([tlog_scales_python(), "-m", "tlog_scales.cli", "gen-proof", str(published.log), str(index)])
    assert made.stdout.encode() == ours.format(), made.stderr
