"""What proves each day of a bundle, from the log and the sealed days: the content of ``evidence.json``."""

from collections.abc import Mapping, Sequence
from datetime import date

from lumi_pipeline.chain import Break
from lumi_pipeline.errors import LakeError
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.proofsfile import TYPE
from lumi_pipeline.hashing import tenant_key
from lumi_pipeline.lake import Lake
from lumi_pipeline.sealedday import SealedDay
from transparency.checkpoint import Checkpoint, SignedCheckpoint, parse_signed_checkpoint
from transparency.encoding import Json, b64encode, canonical_json
from transparency.entries import Genesis, day_index
from transparency.logview import LogView
from transparency.merkle import inclusion_proof
from transparency.tiles import TileReader


class LogProofs:
    """Proofs from the public log as it was when ``published`` was its checkpoint."""

    def __init__(self, lake: Lake, genesis: Genesis, published: SignedCheckpoint) -> None:
        self._view = LogView(lake.store)
        self.signed = published.data
        self.genesis = genesis
        self.checkpoint = published.checkpoint
        self._tiles = self._reader(self.checkpoint)
        self._first: tuple[bytes, Checkpoint, TileReader] | None = None

    def genesis_path(self) -> list[Json]:
        """Inclusion of the genesis in that checkpoint."""
        return _texts(inclusion_proof(self._tiles, 0, self.checkpoint.size))

    def day(self, day: date) -> dict[str, Json]:
        """Inclusion of a day's record in that checkpoint, and in the first one that was kept for it."""
        index = day_index(self.genesis.first_day, day)
        first, checkpoint, tiles = self._first_checkpoint(index)
        return {
            "first_checkpoint": first.decode(),
            "first_path": _texts(inclusion_proof(tiles, index, checkpoint.size)),
            "path": _texts(inclusion_proof(self._tiles, index, self.checkpoint.size)),
        }

    def _first_checkpoint(self, index: int) -> tuple[bytes, Checkpoint, TileReader]:
        """Days that were published together share theirs, so the reader of the last one found is kept."""
        signed = self._view.first_checkpoint(index)
        if signed is None:
            raise LakeError(f"no checkpoint that holds entry {index} is kept under log-private/cosigned/; restore it")
        if self._first is None or self._first[0] != signed:
            checkpoint = parse_signed_checkpoint(signed).checkpoint
            self._first = signed, checkpoint, self._reader(checkpoint)
        return self._first

    def _reader(self, checkpoint: Checkpoint) -> TileReader:
        return self._view.tiles(checkpoint.size, checkpoint.root)


def day_evidence(log: LogProofs, sealed: SealedDay, tenant_id: str, breaks: Sequence[Break]) -> Mapping[str, Json]:
    """One day of ``evidence.json``; ``breaks`` are those of this tenant's rows on that day."""
    tenant = sealed.tenants.tenants.get(tenant_id)
    found: list[Json] = [
        {"kind": broken.kind.value, "seq": str(broken.seq)}
        for broken in sorted(breaks, key=lambda one: (one.seq, one.kind.value))
    ]
    return {
        **log.day(sealed.record.day),
        "breaks": found,
        "day": sealed.record.day.isoformat(),
        "day_record": sealed.record.encode().decode(),
        "tenant_proof": b64encode(sealed.tenants.tenant_map().prove(tenant_key(tenant_id))),
        "tenant_record": None if tenant is None else tenant.record.encode().decode(),
    }


def evidence_json(asked: Asked, chain_id: bytes, log: LogProofs, days: Sequence[Mapping[str, Json]]) -> bytes:
    """Return the bytes of ``evidence.json``."""
    every: list[Json] = [dict(day) for day in days]
    content: Json = {
        "chain_id": chain_id.hex(),
        "checkpoint": log.signed.decode(),
        "days": every,
        "from": asked.first.isoformat(),
        "genesis": log.genesis.encode().decode(),
        "genesis_path": log.genesis_path(),
        "origin": log.genesis.origin,
        "tenant_id": asked.tenant_id,
        "to": asked.last.isoformat(),
        "type": TYPE,
    }
    return f"{canonical_json(content)}\n".encode()


def _texts(hashes: Sequence[bytes]) -> list[Json]:
    return [b64encode(node) for node in hashes]
