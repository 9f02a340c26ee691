"""Witnesses for a world: strict ones over HTTP, and policies that name them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lake.world import LOG_KEY, ORIGIN, World
from tests.transparency.fakes.witness import Witness, WitnessServer
from transparency.policy import Policy


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Running witnesses by their name in the policy; each knows the log's key, and the world's time."""

    directory: Path
    servers: Mapping[str, WitnessServer]

    def policy_file(self, quorum: str = "all", *, without_url: str = "") -> Path:
        """A policy whose quorum is ``none``, one witness's name, or all, any or a number of them."""
        lines = [f"log {LOG_KEY.verifier.vkey}"]
        for name, server in self.servers.items():
            lines.append(f"witness {name} {server.witness.vkey} {'' if name == without_url else server.url}")
        if quorum in {"none", *self.servers}:
            lines.append(f"quorum {quorum}")
        else:
            lines += [f"group g {quorum} {' '.join(self.servers)}", "quorum g"]
        path = self.directory / f"policy-{quorum}-{without_url}"
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
        return path

    def policy(self, quorum: str = "all") -> Policy:
        """The same, as a reader has it."""
        return Policy.parse(self.policy_file(quorum).read_bytes())

    def sizes(self) -> list[int]:
        """What each has cosigned last."""
        return [server.witness.latest.get(ORIGIN, (0, b""))[0] for server in self.servers.values()]

    def asked(self) -> list[int]:
        """How often each was asked."""
        return [len(server.requests) for server in self.servers.values()]


@contextmanager
def running(world: World, *names: str) -> Iterator[Witnesses]:
    """Run witnesses of these names."""
    with ExitStack() as stack:
        servers = {}
        for name in names:
            witness = Witness(
                f"witness.example.org/{name}",
                name.encode().ljust(32, b"."),
                lambda: world.clock().timestamp(),
                {ORIGIN: [LOG_KEY.verifier.vkey]},
            )
            servers[name] = stack.enter_context(WitnessServer(witness))
        yield Witnesses(world.directory, servers)
