"""Bundles for the page: one of many rows, made more quickly than the corpus makes rows; and a folder of any."""

from datetime import date
from hashlib import sha256
from pathlib import Path

from lumi_pipeline.events import COLUMNS
from tests.evidence.corpus.bundle import Bundle, bundle
from tests.evidence.corpus.csvfile import HEADER
from tests.evidence.corpus.world import Chain, TenantDay, World

DAY = date(2026, 10, 30)


def net(text: str) -> str:
    return f"{len(text)}:{text},"


def large_bundle(rows: int) -> Bundle:
    """One day of a tenant with this many rows, each of about 490 bytes. Their texts are ASCII."""
    chain = Chain("acme", ())
    head = chain.days[DAY].head_before
    state = '{"status":"applied","note":"checked, and found right"}'
    quoted = '"' + state.replace('"', '""') + '"'
    lines, hashes = [HEADER.decode()], []
    for seq in range(rows):
        micros = seq * 700_000
        minutes, rest = divmod(micros, 60_000_000)
        time = f"{DAY}T{minutes // 60:02}:{minutes % 60:02}:{rest // 1_000_000:02}.{rest % 1_000_000:06}Z"
        core = ["acme", str(seq), f"019aa4f2-0000-7000-8000-{seq:012x}", time, time, "RECOMMENDATION_APPLIED"]
        core += ["recommendation", f"rec-{seq}", "success", "user", f"u-{seq % 50}", "saml"]
        payload = [f"Person {seq % 50}", "203.0.113.7", "Mozilla/5.0", f"req-{seq}", "", state]
        salt = f"{seq:032x}"
        payload_text = net(salt) + "".join("-," if text == "" else net(text) for text in payload)
        payload_hash = sha256(f"lumi/payload/v1\n{payload_text}".encode()).hexdigest()
        text = f"lumi/event/v1\n{net(head)}{''.join(map(net, core))}{net(payload_hash)}"
        after = sha256(text.encode()).hexdigest()
        lines.append(",".join([*core, *payload[:5], quoted, salt, payload_hash, head, after, ""]) + "\r\n")
        hashes.append({"integrity_hash": after})
        head = after
    assert lines[0].count(",") == len(COLUMNS) - 1
    first = chain.days[DAY]
    chain.days = {DAY: TenantDay(hashes, 0, rows, first.head_before, head)}
    whole = bundle(World([chain], days=1).publish(), start=DAY, end=DAY)
    whole.csv = "".join(lines).encode()
    return whole


def write(bundle: Bundle, folder: Path) -> Path:
    """Put a bundle's files into a folder of its own."""
    path = folder / f"evidence-{bundle.evidence['tenant_id']}-{bundle.evidence['from']}-{bundle.evidence['to']}"
    path.mkdir()
    for name, data in bundle.files().items():
        (path / name).write_bytes(data)
    return path
