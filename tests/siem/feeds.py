"""What a customer sees of a feed: only what the entries of the index name, read without any code of ours."""

import gzip
import hashlib
import json
from dataclasses import dataclass

from transparency.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Fed:
    """A feed as it was read: all lines, parsed, and the entries they came by."""

    events: list[dict[str, object]]
    entries: list[dict[str, object]]

    @property
    def seqs(self) -> list[object]:
        return [event["seq"] for event in self.events]


def read_feed(store: ObjectStore, tenant: str) -> Fed:
    """Follow a tenant's index from its beginning, checking what a customer can check."""
    prefix = f"feeds/{tenant}/"
    fed = Fed([], [])
    previous, after = "0" * 64, 0
    for number, key in enumerate(store.list(f"{prefix}index/")):
        assert key == f"{prefix}index/{number:012d}.json"
        data = store.get(key)
        entry = json.loads(data)
        assert (entry["previous"], int(entry["first"]), entry["tenant_id"]) == (previous, after, tenant)
        lines = []
        if entry["object"] is not None:
            body = store.get(prefix + entry["object"])
            assert hashlib.sha256(body).hexdigest() == entry["sha256"]
            assert len(body) == int(entry["bytes"])
            lines = [json.loads(line) for line in gzip.decompress(body).splitlines()]
        assert all(line["batch_id"] == entry["batch_id"] for line in lines)
        withheld = {s for first, last, _ in entry["withheld"] for s in range(int(first), int(last) + 1)}
        seqs = range(int(entry["first"]), int(entry["next"]))
        assert [line["seq"] for line in lines] == [seq for seq in seqs if seq not in withheld]
        fed.events.extend(lines)
        fed.entries.append(entry)
        previous, after = hashlib.sha256(data).hexdigest(), int(entry["next"])
    return fed
