"""Proof files: all that an outsider needs to check one event, or one tenant's day, against the public log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from lumi_pipeline.errors import LakeError, ProofNotFound
from lumi_pipeline.eventplace import find_event
from lumi_pipeline.events import CORE_COLUMNS, HASH_COLUMNS, PAYLOAD_COLUMNS, TENANT_ID_SYNTAX
from lumi_pipeline.hashing import tenant_key
from lumi_pipeline.lake import Lake
from lumi_pipeline.proofs import ABSENCE_PROOF, EVENT_PROOF, TENANT_DAY_PROOF
from lumi_pipeline.sealedday import SealedDay, load_sealed_day
from transparency.encoding import Json, b64encode, canonical_json, excerpt, format_timestamp
from transparency.entries import Genesis, day_index
from transparency.logview import LogView
from transparency.merkle import inclusion_proof
from transparency.proof import TlogProof


def prove_event(lake: Lake, genesis: Genesis, event_id: str, *, redact: bool = False) -> bytes:
    """Return the proof file of one sealed and published event; with ``redact`` its payload is withheld.

    Raises :class:`~lumi_pipeline.errors.ProofNotFound` when no sealed, published day holds the event.
    """
    place = find_event(lake, event_id)
    sealed, tenant = place.sealed, place.tenant
    event = proved_event(place.event, place.index, place.path, redact=redact)
    return _log_proof(
        lake,
        genesis,
        sealed,
        {
            "event": event,
            "tenant_proof": b64encode(sealed.tenants.tenant_map().prove(tenant.record.key)),
            "tenant_record": tenant.record.encode().decode(),
            "type": EVENT_PROOF,
        },
    )


@dataclass(frozen=True, slots=True)
class TenantDayProof:
    """A proof file about one tenant on one day.

    ``events`` is how many its record has; None: the file proves that the tenant had no record yet.
    """

    data: bytes
    events: int | None


def prove_tenant_day(lake: Lake, genesis: Genesis, tenant_id: str, day: date) -> TenantDayProof:
    """Return the proof of what a sealed and published day's record says of a tenant, idle days too, or of its absence.

    Raises :class:`~lumi_pipeline.errors.ProofNotFound` when the id has not its form, or the day is not in the log.
    """
    if not TENANT_ID_SYNTAX.fullmatch(tenant_id):
        raise ProofNotFound(f"{excerpt(tenant_id)} is not a tenant id: 1 to 128 of A-Z a-z 0-9 . _ -, no . _ - first")
    if day < genesis.first_day:
        raise ProofNotFound(f"the log begins with {genesis.first_day}, so nothing can be proved of {day}")
    if not lake.is_sealed(day):
        raise ProofNotFound(f"{day} is not sealed yet; 'lumi run' seals and publishes every complete day")
    sealed = load_sealed_day(lake, day)
    tenant = sealed.tenants.tenants.get(tenant_id)
    about: dict[str, Json] = {"tenant_proof": b64encode(sealed.tenants.tenant_map().prove(tenant_key(tenant_id)))}
    if tenant is None:
        data = _log_proof(lake, genesis, sealed, {**about, "tenant_id": tenant_id, "type": ABSENCE_PROOF})
        return TenantDayProof(data, None)
    about |= {"tenant_record": tenant.record.encode().decode(), "type": TENANT_DAY_PROOF}
    return TenantDayProof(_log_proof(lake, genesis, sealed, about), tenant.record.count)


def proved_event(row: Mapping[str, object], index: int, path: Sequence[bytes], *, redact: bool) -> dict[str, Json]:
    """Return an event as a proof file has it; a payload that was erased, or with ``redact`` any, is withheld."""
    fields: dict[str, Json] = {name: _json_value(row[name]) for name in (*CORE_COLUMNS, *HASH_COLUMNS)}
    payload: dict[str, Json] = {name: _json_value(row[name]) for name in PAYLOAD_COLUMNS}
    return {
        "fields": fields,
        "index": str(index),
        "path": [b64encode(node) for node in path],
        "payload": None if redact or row["erased_at"] is not None else payload,
    }


def _log_proof(lake: Lake, genesis: Genesis, sealed: SealedDay, about: dict[str, Json]) -> bytes:
    """Wrap what is proved about a day in the proof that the log holds the day's record."""
    index = day_index(genesis.first_day, sealed.record.day)
    log = LogView(lake.store)
    published = log.published()
    if published is None or published.checkpoint.size <= index:
        raise ProofNotFound(f"{sealed.record.day} is sealed but not published yet; run 'lumi publish'")
    checkpoint = published.checkpoint
    tiles = log.tiles(checkpoint.size, checkpoint.root)
    genesis_path: list[Json] = [b64encode(node) for node in inclusion_proof(tiles, 0, checkpoint.size)]
    extra: Json = {
        **about,
        "day_record": sealed.record.encode().decode(),
        "genesis": genesis.encode().decode(),
        "genesis_path": genesis_path,
    }
    path = tuple(inclusion_proof(tiles, index, checkpoint.size))
    return TlogProof(index, path, published.data, canonical_json(extra).encode()).format()


def _json_value(value: object) -> Json:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return format_timestamp(value)
    if isinstance(value, int):
        return str(value)
    if value is None or isinstance(value, str):
        return value
    raise LakeError(f"a column of an event holds {type(value).__name__}")
