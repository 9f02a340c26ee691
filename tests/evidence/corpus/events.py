"""Events as they are written in a bundle: one dict a row, every column as text or None."""

from collections.abc import Sequence

from tests.evidence.corpus.primitives import net, sha

Row = dict[str, str | None]

CORE = (
    *("tenant_id", "seq", "event_id", "recorded_at", "occurred_at", "action", "entity_type", "entity_id", "outcome"),
    *("actor_type", "actor_id", "auth_method"),
)
PAYLOAD = ("actor_name", "ip", "user_agent", "request_id", "before_state", "after_state")
COLUMNS = (*CORE, *PAYLOAD, "payload_salt", "payload_hash", "prev_hash", "integrity_hash", "erased_at")

LEADS = ("'", "=", "+", "-", "@", "\t", "\r", "\n", "\uff07", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell must not begin with unguarded."""


def genesis_hash(tenant_id: str, chain_id: str) -> str:
    return sha(b"lumi/genesis/v1\n", net(tenant_id, chain_id)).hex()


def tenant_key(tenant_id: str) -> bytes:
    return sha(b"lumi/tenant-key/v1\n", net(tenant_id))


def payload_hash(row: Row) -> str:
    return sha(b"lumi/payload/v1\n", net(row["payload_salt"], *(row[name] for name in PAYLOAD))).hex()


def integrity_hash(row: Row) -> str:
    columns = (row["prev_hash"], *(row[name] for name in CORE), row["payload_hash"])
    return sha(b"lumi/event/v1\n", net(*columns)).hex()


def event_leaf(row: Row) -> bytes:
    return b"lumi/event-leaf/v1\n" + bytes.fromhex(row["integrity_hash"] or "")


def sealed(row: Row) -> Row:
    """The row with the hashes that its columns give."""
    row = row | {"payload_hash": payload_hash(row)}
    return row | {"integrity_hash": integrity_hash(row)}


def link(rows: Sequence[Row], head: str) -> list[Row]:
    """The rows with all hashes anew, each linked to the one before, the first to ``head``."""
    linked = []
    for row in rows:
        linked.append(sealed(row | {"prev_hash": head}))
        head = linked[-1]["integrity_hash"] or ""
    return linked


def erased(row: Row) -> Row:
    return row | dict.fromkeys((*PAYLOAD, "payload_salt")) | {"erased_at": "2026-12-24T18:00:00.000000Z"}


def event(tenant_id: str, seq: int, recorded_at: str, **columns: str | None) -> Row:
    """An event without hashes. Its columns vary with ``seq``: nulls, empty texts, Unicode, JSON with quotes."""
    row: Row = {
        "tenant_id": tenant_id,
        "seq": str(seq),
        "event_id": f"019aa4f2-0000-7000-8000-{seq:012x}",
        "recorded_at": recorded_at,
        "occurred_at": f"{recorded_at[:17]}00.{seq:06}Z",
        "action": ("LOGIN", "RECOMMENDATION_DISMISSED", "REPORT_EXPORTED")[seq % 3],
        "entity_type": "recommendation",
        "entity_id": f"rec-{seq}" if seq % 5 else "",
        "outcome": ("success", "failure", "unknown")[seq % 3],
        "actor_type": ("user", "service", "system", "support")[seq % 4],
        "actor_id": f"u-{seq % 3}",
        "auth_method": ("saml", None)[seq % 2],
        "actor_name": ("Zoë Ångström", None, "")[seq % 3],
        "ip": f"203.0.113.{seq}",
        "user_agent": ("Mozilla/5.0", None)[seq % 2],
        "request_id": f"req-{seq}",
        "before_state": ('{"status":"open"}', None)[seq % 2],
        "after_state": f'{{"status":"applied","n":{seq},"note":"a, b"}}',
        "payload_salt": f"{seq + 1:032x}",
        "payload_hash": None,
        "prev_hash": None,
        "integrity_hash": None,
        "erased_at": None,
    }
    return row | columns


HOSTILE: tuple[dict[str, str | None], ...] = (
    *({"entity_id": f"{lead}HYPERLINK(1)", "user_agent": lead} for lead in LEADS),
    {"entity_id": '"', "actor_id": '""', "actor_name": 'a\r\nb,\n"c"\r', "ip": "", "user_agent": "''"},
    {"entity_id": "", "auth_method": "", "actor_name": "", "ip": None, "before_state": "", "after_state": None},
    {
        "entity_id": "-,5:abcde,",
        "actor_name": "\x01\x02\x1f\x7f\x85\u2028\ufeff",
        "after_state": "🎉\U0010ffff é e\u0301",
    },
    {"entity_id": " lead and trail ", "actor_id": ",", "user_agent": ";;\t;", "before_state": '{"a":"=1"}\r\n'},
)
"""Texts that a reader of CSV, a spreadsheet or a hash may stumble over."""
